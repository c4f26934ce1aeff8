//! What a workload says about data, training and accuracy.

use super::refuse;
use crate::document::{At, Fault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// The data set of a workload.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataSpec {
    /// How the files are written
    pub format: DataFormat,
    /// The directory that holds them, as given; whoever loads the data resolves it
    #[schemars(length(min = 1))]
    pub directory: String,
    /// Samples at the end of the training set that are held out to validate
    #[serde(default)]
    pub validation: usize,
    /// The `WordPiece` vocabulary of `text-tsv`, a file of the directory or a path; without it the words of the training
    /// set that are most frequent
    pub vocabulary: Option<String>,
    /// The mean of each channel, which is taken off every pixel (of 0 to 1)
    #[serde(default)]
    pub mean: Vec<f32>,
    /// The standard deviation of each channel, by which every pixel is divided
    #[serde(default)]
    pub deviation: Vec<f32>,
}

/// How the files of a data set are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataFormat {
    /// The four IDX files of MNIST and its kin, plain or gzip-compressed.
    Idx,
    /// CIFAR-10's binary files: `data_batch_1.bin` and so on, `test_batch.bin`.
    CifarBinary,
    /// One ZIP archive of JPEG pictures: `train/CLASS/NAME.jpg` and `test/CLASS/NAME.jpg`.
    CifarZip,
    /// `train.tsv`, `test.tsv` and, to validate, `dev.tsv`: sentence, tab, label. The sentences of `dev.tsv` are the end of
    /// the training set.
    TextTsv,
}

/// A published accuracy of the dense network.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Baseline {
    /// The portion of test samples that are right, in [0, 1]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub accuracy: f64,
    /// What is counted, as `top-1`
    #[schemars(length(min = 1))]
    pub metric: String,
    /// Paper and table
    #[schemars(length(min = 1))]
    pub source: String,
}

/// The portion of a layer's input activations that are not zero.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationDensity {
    /// In (0, 1].
    pub value: f64,
    /// Where it was measured or published.
    pub source: String,
}

/// Densities at which others have pruned a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    /// Paper and table, or how they were measured.
    pub source: String,
    /// Layer name to the portion of its weights that are kept, in (0, 1].
    pub density: BTreeMap<String, f64>,
}

/// How the dense baseline is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSpec {
    /// The optimiser.
    pub optimiser: OptimiserSpec,
    /// Passes over the training set; at least 1.
    pub epochs: usize,
    /// Samples of a step; at least 1.
    pub batch: usize,
    /// The peak learning rate; greater than 0.
    pub learning_rate: f64,
    /// Decay of weights (not of biases), added to their gradient times this; at least 0.
    pub weight_decay: f64,
    /// How the learning rate moves after the warm-up.
    pub schedule: ScheduleSpec,
    /// The portion of all steps during which the learning rate rises linearly from 0, in [0, 1).
    pub warm_up: f64,
    /// Images are shifted at random by up to this many pixels in rows and columns.
    pub augment_shift: usize,
    /// Whether images are mirrored at random, left to right.
    pub augment_flip: bool,
    /// The seed of initial weights, order of samples, shifts and mirroring.
    pub seed: u64,
}

/// An optimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimiserSpec {
    /// Adam with its usual moments, 0.9 and 0.999.
    Adam,
    /// Stochastic gradient descent.
    Sgd {
        /// Momentum, in [0, 1).
        momentum: f64,
    },
}

/// How the learning rate moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScheduleSpec {
    /// Down to 0 along half a cosine.
    Cosine,
    /// Multiplied by a factor every so many epochs.
    Step {
        /// Epochs between two steps; at least 1.
        epochs: usize,
        /// The factor, in (0, 1].
        factor: f64,
    },
}

/// The `[training]` table.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TrainingForm {
    /// The optimiser
    optimiser: At<OptimiserName>,
    /// Momentum of `sgd`; 0.9 if not given
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    momentum: Option<At<f64>>,
    /// Passes over the training set
    epochs: NonZeroUsize,
    /// Samples of a step
    batch: NonZeroUsize,
    /// The peak learning rate
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    learning_rate: f64,
    /// Decay of weights, not of biases
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    weight_decay: f64,
    /// How the learning rate moves after the warm-up
    schedule: At<ScheduleName>,
    /// Epochs between two steps of the `step` schedule
    step_epochs: Option<At<NonZeroUsize>>,
    /// Factor of the `step` schedule, in (0, 1]
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    step_factor: Option<At<f64>>,
    /// Portion of all steps during which the learning rate rises, in [0, 1)
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    warm_up: f64,
    /// Images are shifted at random by up to this many pixels
    #[serde(default)]
    augment_shift: usize,
    /// Whether images are mirrored at random, left to right
    #[serde(default)]
    augment_flip: bool,
    /// The seed of initial weights, order of samples, shifts and mirroring
    #[serde(default = "seed")]
    seed: u64,
}

fn seed() -> u64 {
    1
}

/// An optimiser's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OptimiserName {
    Adam,
    Sgd,
}

/// A schedule's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum ScheduleName {
    Cosine,
    Step,
}

impl TrainingForm {
    /// The checked form; faults of fields against each other are noted.
    pub(super) fn check(&self, faults: &mut Vec<Fault>) -> Option<TrainingSpec> {
        let optimiser = match (self.optimiser.value, &self.momentum) {
            (OptimiserName::Adam, Some(momentum)) => {
                faults.push(momentum.fault(
                    "`momentum` belongs to `optimiser = \"sgd\"`",
                    "remove it, or choose \"sgd\"",
                ));
                None
            }
            (OptimiserName::Adam, None) => Some(OptimiserSpec::Adam),
            (OptimiserName::Sgd, momentum) => Some(OptimiserSpec::Sgd {
                momentum: momentum.as_ref().map_or(0.9, |m| m.value),
            }),
        };
        Some(TrainingSpec {
            schedule: self.schedule(faults)?,
            optimiser: optimiser?,
            epochs: self.epochs.get(),
            batch: self.batch.get(),
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            warm_up: self.warm_up,
            augment_shift: self.augment_shift,
            augment_flip: self.augment_flip,
            seed: self.seed,
        })
    }

    fn schedule(&self, faults: &mut Vec<Fault>) -> Option<ScheduleSpec> {
        match (self.schedule.value, &self.step_epochs, &self.step_factor) {
            (ScheduleName::Cosine, None, None) => Some(ScheduleSpec::Cosine),
            (ScheduleName::Cosine, epochs, factor) => {
                let spans = [epochs.as_ref().map(At::span), factor.as_ref().map(At::span)];
                faults.extend(spans.into_iter().flatten().map(|span| {
                    Fault::new(
                        span,
                        "`step-epochs` and `step-factor` belong to `schedule = \"step\"`",
                        "remove it, or choose \"step\"",
                    )
                }));
                None
            }
            (ScheduleName::Step, Some(epochs), Some(factor)) => Some(ScheduleSpec::Step {
                epochs: epochs.value.get(),
                factor: factor.value,
            }),
            (ScheduleName::Step, epochs, factor) => {
                for (missing, key) in [
                    (epochs.is_none(), "step-epochs"),
                    (factor.is_none(), "step-factor"),
                ] {
                    refuse(faults, missing, || {
                        self.schedule.fault(
                            format!("the schedule \"step\" needs `{key}`"),
                            format!("add `{key} = …` beside it"),
                        )
                    });
                }
                None
            }
        }
    }
}
