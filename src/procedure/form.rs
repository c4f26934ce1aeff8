//! Procedures as files: the steps from a dense network to a compressed one.

use super::step::Step;
use crate::admm::{AdmmOptions, Retrain};
use crate::training::{FitOptions, Loss, OptimiserOptions, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroUsize};

/// The form of a procedure file.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Procedure {
    /// Where the schedule comes from
    #[schemars(length(min = 1))]
    pub source: String,
    /// Factor on the epochs of the workload's dense training
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub dense_effort: f64,
    /// Percentage points of validation accuracy that a step may lose against the dense network to be chosen
    #[schemars(range(min = 0.0, max = 100.0))]
    pub max_drop: f64,
    /// The same for steps onto levels; as `max-drop` where it is left out
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub levels_max_drop: Option<f64>,
    /// Bits of activations that are tried on every network that is chosen, each 2 to 16; the fewest that hold its accuracy
    /// are reported, the most if none do
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 2, max = 16)))]
    pub activation_bits: Vec<u8>,
    /// The steps in order
    #[schemars(length(min = 1))]
    pub step: Vec<Step>,
}

fn one() -> f64 {
    1.0
}

/// One ADMM run.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Admm {
    /// W, Z and U steps
    pub iterations: NonZeroU32,
    /// Penalty of the first iteration
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub rho: f64,
    /// Factor on the penalty after each iteration
    #[serde(default = "one")]
    #[schemars(range(min = 1.0))]
    pub growth: f64,
    /// The penalty never exceeds this
    #[serde(default = "rho_max")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub rho_max: f64,
    /// The W-step
    #[serde(flatten)]
    pub training: Training,
}

fn rho_max() -> f64 {
    0.4
}

/// Training of some epochs: Adam, a cosine schedule, cross-entropy and distillation from the dense network.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Training {
    /// Passes over the training samples; 0.4 is four tenths of a pass
    #[schemars(range(min = 0.0))]
    pub epochs: f64,
    /// Samples of a step
    pub batch: NonZeroUsize,
    /// The highest learning rate
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub rate: f64,
    /// The learning rate at the end
    #[schemars(range(min = 0.0))]
    pub last_rate: f64,
    /// Portion of the steps during which the rate rises, in [0, 1)
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub warm_up: f64,
    /// Images are shifted at random by up to this many pixels
    pub shift: usize,
    /// Share of the distillation from the dense network in the loss; 0 is cross-entropy alone
    #[schemars(range(min = 0.0, max = 1.0))]
    pub distil: f64,
    /// Temperature of the distillation
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub temperature: f64,
    /// The last portion of the steps whose weights are averaged into the result; 0 takes the last weights
    #[schemars(range(min = 0.0, max = 1.0))]
    pub average: f64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 0.0,
            batch: NonZeroUsize::new(128).unwrap_or(NonZeroUsize::MIN),
            rate: 1e-3,
            last_rate: 0.0,
            warm_up: 0.0,
            shift: 0,
            distil: 0.7,
            temperature: 2.0,
            average: 0.0,
        }
    }
}

impl Training {
    pub(super) fn options(&self, seed: u64) -> FitOptions {
        FitOptions {
            epochs: self.epochs,
            batch: self.batch.get(),
            optimiser: OptimiserOptions::adam(0.0),
            schedule: Schedule::Cosine {
                peak: self.rate as f32,
                last: self.last_rate as f32,
                warm_up: self.warm_up as f32,
            },
            loss: if self.distil > 0.0 {
                Loss::Distilled {
                    temperature: self.temperature as f32,
                    weight: self.distil as f32,
                }
            } else {
                Loss::CrossEntropy
            },
            augment_shift: self.shift,
            seed,
        }
    }

    pub(super) fn retrain(&self, seed: u64) -> Retrain {
        Retrain {
            fit: self.options(seed),
            average: self.average as f32,
        }
    }
}

impl Admm {
    pub(super) fn options(&self, seed: u64) -> AdmmOptions {
        AdmmOptions {
            iterations: self.iterations.get(),
            w_step: self.training.options(seed),
            rho: self.rho as f32,
            rho_growth: self.growth as f32,
            rho_max: self.rho_max as f32,
        }
    }
}
