//! Against what a network is trained and measured, as a file.

use super::attack::{Attack, Keep};
use super::attack_loss::AttackLoss;
use super::ball::Norm;
use super::pixels::Pixels;
use super::transform::Transform;
use crate::document::{Fault, Source};
use crate::training::{Executor, TrainingError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// The form of a robustness file: the domains, and how their weights move.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Robustness {
    /// Where the attacks and the schedule of weights come from
    #[schemars(length(min = 1))]
    pub source: String,
    /// Pull of the domains' weights to equal ones: 0 trains on the worst domain alone, a large one on their mean
    #[schemars(range(min = 0.0))]
    pub gamma: f64,
    /// Step of the weights' ascent after each mini-batch, 1/β
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub step: f64,
    /// The domains
    #[schemars(length(min = 1))]
    pub domain: Vec<Domain>,
}

/// One domain: what is done to samples before the network sees them.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Domain {
    /// Names the domain in logs and reports
    #[schemars(length(min = 1))]
    pub name: String,
    /// Whether the network is trained on it; without, it is measured alone
    #[serde(default = "yes")]
    pub train: bool,
    /// What is done to the samples
    pub change: Change,
}

fn yes() -> bool {
    true
}

fn confidence() -> f32 {
    50.0
}

/// What is done to samples.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Change {
    /// Nothing
    Clean {},
    /// One step of the whole radius the way the loss rises (Goodfellow et al., ICLR 2015)
    Fgsm {
        /// How the size of a perturbation is measured
        norm: Norm,
        /// The largest size, in pixels of 0 to 1
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        radius: f32,
    },
    /// Projected gradient ascent (Madry et al., ICLR 2018)
    Pgd {
        /// How the size of a perturbation is measured
        norm: Norm,
        /// The largest size, in pixels of 0 to 1
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        radius: f32,
        /// The size of a step
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        step_size: f32,
        /// Steps while training
        steps: NonZeroU32,
        /// Steps when robust accuracy is measured in the end; as many as in training where it is left out
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test_steps: Option<NonZeroU32>,
        /// Whether to start at a random place of the ball
        #[serde(default = "yes")]
        random_start: bool,
        /// What the attack raises
        #[serde(default)]
        loss: LossName,
        /// The largest margin that `margin` raises
        #[serde(default = "confidence")]
        #[schemars(range(min = 0.0))]
        confidence: f32,
    },
    /// Moved to one of eight sides, drawn for each sample
    Shift {
        /// Pixels
        #[schemars(range(min = 1))]
        pixels: usize,
    },
    /// Turned to the left or to the right, drawn for each sample
    Rotate {
        /// Degrees
        #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 180.0))]
        degrees: f32,
    },
    /// Distances to the sample's mean times a factor
    Contrast {
        /// Below 1 paler, above 1 harsher
        #[schemars(range(min = 0.0))]
        factor: f32,
    },
    /// Gaussian noise
    Noise {
        /// Its standard deviation, in pixels of 0 to 1
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        deviation: f32,
    },
}

/// What an attack raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LossName {
    /// Cross-entropy.
    #[default]
    CrossEntropy,
    /// The margin of the best other class over the label (Carlini and Wagner).
    Margin,
}

/// How hard an attack tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// The steps of training, the last place.
    Train,
    /// The steps of training, the worst place.
    Validate,
    /// The steps of the last measurement, the worst place.
    Test,
}

impl Robustness {
    /// What no schema can say: names that stand twice, and nothing to train on.
    #[must_use]
    pub fn faults(&self, source: &Source) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (i, domain) in self.domain.iter().enumerate() {
            if self.domain[..i].iter().any(|d| d.name == domain.name) {
                faults.push(Fault::new(
                    source.place(&["domain", &i.to_string(), "name"]),
                    format!("there are two domains named `{}`", domain.name),
                    "give each domain its own name: reports tell them apart by it",
                ));
            }
        }
        if !self.domain.iter().any(|d| d.train) {
            faults.push(Fault::new(
                source.place(&["domain", "0", "train"]),
                "no domain is trained on",
                "leave `train = false` out of at least one",
            ));
        }
        faults
    }
}

impl Domain {
    /// Whether samples need rows and columns, that is the shape `[C, H, W]`.
    #[must_use]
    pub fn needs_maps(&self) -> bool {
        matches!(self.change, Change::Shift { .. } | Change::Rotate { .. })
    }

    /// The inputs that the network sees instead of `inputs` of samples of a shape.
    ///
    /// # Errors
    /// As [`Attack::run`] and [`Transform::apply`].
    pub fn inputs(
        &self,
        executor: &mut dyn Executor,
        (pixels, shape): (&Pixels, &[usize]),
        (inputs, labels): (&[f32], &[u32]),
        seed: u64,
        effort: Effort,
    ) -> Result<Vec<f32>, TrainingError> {
        if let Some(attack) = self.change.attack(effort) {
            let keep = if effort == Effort::Train {
                Keep::Last
            } else {
                Keep::Worst
            };
            return attack.run(executor, pixels, inputs, labels, seed, keep);
        }
        match self.change.transform() {
            Some(transform) => Ok(pixels.inputs(&transform.apply(&pixels.of(inputs), shape, seed)?)),
            None => Ok(inputs.to_vec()),
        }
    }
}

impl Change {
    fn attack(&self, effort: Effort) -> Option<Attack> {
        match *self {
            Self::Fgsm { norm, radius } => Some(Attack::fgsm(norm, radius)),
            Self::Pgd {
                norm,
                radius,
                step_size,
                steps,
                test_steps,
                random_start,
                loss,
                confidence,
            } => Some(Attack {
                norm,
                radius,
                step_size,
                steps: test_steps
                    .filter(|_| effort == Effort::Test)
                    .unwrap_or(steps)
                    .get(),
                random_start,
                loss: match loss {
                    LossName::CrossEntropy => AttackLoss::CrossEntropy,
                    LossName::Margin => AttackLoss::Margin { confidence },
                },
            }),
            _ => None,
        }
    }

    fn transform(&self) -> Option<Transform> {
        match *self {
            Self::Shift { pixels } => Some(Transform::Shift { pixels }),
            Self::Rotate { degrees } => Some(Transform::Rotate { degrees }),
            Self::Contrast { factor } => Some(Transform::Contrast { factor }),
            Self::Noise { deviation } => Some(Transform::Noise { deviation }),
            _ => None,
        }
    }
}
