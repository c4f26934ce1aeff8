//! The alternating direction method of multipliers on a network's weights (METHODS §0; Zhang et al., ECCV 2018,
//! arXiv 1804.03294; ADMM-NN, arXiv 1812.11677).
//!
//! Minimise the training loss with every weight tensor in its constraint set. [`solve`] alternates the W-step
//! (the optimiser on loss + ρ/2·‖W − Z + U‖², whose gradient is ρ(W − Z + U)), the Z-step (an exact projection
//! onto the set) and the U-step (the running residual). [`prune`] and [`quantise`] are that solver with
//! different sets, followed by masked retraining.
//!
//! [`reweight`] and [`dynamic`] stand beside it: penalties on groups in place of sets, for which no layer needs a target.

mod average;
#[cfg(test)]
mod bowl;
mod cut;
mod dynamic;
pub mod layerwise;
mod levels;
mod options;
mod penalty;
mod prune;
mod record;
mod reweighted;
mod rounds;
mod saliency;
mod solve;
mod straight_through;

pub use dynamic::{DynamicOptions, dynamic};
pub use levels::{Quantised, quantise};
pub use options::{AdmmOptions, PruneOptions, QuantiseOptions, Retrain, Snapping};
pub use penalty::PenaltyStep;
pub use prune::{prune, prune_shared};
pub use record::{Phase, Record};
pub use reweighted::{GroupCut, ReweightOptions, reweight};
pub use saliency::fisher;
pub use solve::{Assignment, Problem, Sets, solve};
