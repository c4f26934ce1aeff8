//! Schedules by effort. Start: the measured schedule for LeNet-5 (its structure carries over: a first cut on the
//! dense network with ρ doubling, then small cuts on the survivors with rising ρ, distillation from the dense
//! network, and levels last).

use crate::admm::{AdmmOptions, PruneOptions, QuantiseOptions, Snapping};
use crate::training::{FitOptions, Loss, OptimiserOptions, Schedule};
use serde::{Deserialize, Serialize};

/// How much effort a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A coarse answer, for trying things out.
    Quick,
    /// The main job: LeNet-5 in under five minutes on two cores.
    Default,
    /// Small steps and long retraining.
    Thorough,
}

/// Everything that a preset fixes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// Factor on the dense baseline's epochs.
    pub(super) baseline: f64,
    /// Portion of the weights that the first cut keeps.
    pub(super) first_cut: f64,
    /// The first cut, on the dense network.
    pub(super) trunk: PruneOptions,
    /// Training of the first cut's survivors.
    pub(super) settle: FitOptions,
    /// One step of the search.
    pub(super) step: PruneOptions,
    /// Factor on the objective's cost that a step starts with.
    pub(super) shrink: f64,
    /// Steps at most, per objective.
    pub(super) rounds: u32,
    /// Networks of a search's path that are finished at most, the smallest first, until one holds.
    pub(super) candidates: usize,
    /// Training of the chosen support.
    pub(super) polish: FitOptions,
    /// Levels on the survivors.
    pub(super) levels: QuantiseOptions,
    /// Widths that are tried, narrowest first, until the accuracy holds.
    pub(super) widths: Vec<u8>,
}

const DISTILLED: Loss = Loss::Distilled {
    temperature: 2.0,
    weight: 0.7,
};

fn adam(epochs: f64, peak: f32, last: f32, warm_up: f32, shift: usize, seed: u64) -> FitOptions {
    FitOptions {
        epochs,
        batch: 128,
        optimiser: OptimiserOptions::adam(0.0),
        schedule: Schedule::Cosine { peak, last, warm_up },
        loss: DISTILLED,
        augment_shift: shift,
        seed,
    }
}

impl Preset {
    /// The preset's schedules under a seed.
    pub(super) fn plan(self, seed: u64) -> Plan {
        // effort: epochs of a step, of polishing, number of steps
        let (baseline, iterations, retrain, settle, rounds, shrink, candidates, polish, levels) = match self {
            Self::Quick => (0.35, 4, 1.0, 2.0, 3, 0.7, 1, 2.0, 4),
            Self::Default => (1.0, 4, 4.0, 10.0, 4, 0.75, 3, 20.0, 12),
            Self::Thorough => (2.0, 8, 8.0, 30.0, 16, 0.88, 3, 60.0, 12),
        };
        let admm = |iterations, w_step, rho, rho_growth| AdmmOptions {
            iterations,
            w_step,
            rho,
            rho_growth,
            rho_max: 0.4,
        };
        Plan {
            baseline,
            first_cut: 0.02,
            trunk: PruneOptions {
                admm: admm(
                    8,
                    adam(
                        if self == Self::Quick { 0.15 } else { 0.4 },
                        1e-3,
                        3e-4,
                        0.0,
                        0,
                        seed,
                    ),
                    3e-3,
                    2.0,
                )
                .with_loss(Loss::Distilled {
                    temperature: 4.0,
                    weight: 0.7,
                }),
                retrain: adam(0.0, 1e-3, 1e-3, 0.0, 0, seed).into(),
            },
            settle: adam(settle, 4e-3, 0.0, 0.1, 1, seed),
            step: PruneOptions {
                admm: admm(iterations, adam(0.5, 2e-3, 6e-4, 0.0, 0, seed), 3e-3, 2.0),
                retrain: adam(retrain, 3e-3, 0.0, 0.1, 1, seed).into(),
            },
            shrink,
            rounds,
            candidates,
            polish: adam(polish, 3e-3, 0.0, 0.1, 1, seed),
            levels: QuantiseOptions {
                admm: admm(levels, adam(0.75, 1e-3, 1e-4, 0.0, 0, seed), 5e-3, 1.7),
                through: None,
                snapping: Snapping::AtOnce,
                retrain: adam(2.0, 1e-3, 0.0, 0.1, 0, seed).into(),
            },
            widths: if self == Self::Thorough {
                vec![3, 4, 5, 6, 8]
            } else {
                vec![4]
            },
        }
    }
}
