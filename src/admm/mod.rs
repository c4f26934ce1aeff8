//! The alternating direction method of multipliers on a network's weights (METHODS §0; Zhang et al., ECCV 2018,
//! arXiv 1804.03294; ADMM-NN, arXiv 1812.11677).
//!
//! Minimise the training loss with every weight tensor in its constraint set. [`solve`] alternates the W-step
//! (the optimiser on loss + ρ/2·‖W − Z + U‖², whose gradient is ρ(W − Z + U)), the Z-step (an exact projection
//! onto the set) and the U-step (the running residual). [`prune`] and [`quantise`] are that solver with
//! different sets, followed by masked retraining.

mod average;
pub mod layerwise;
mod levels;
mod options;
mod prune;
mod record;
mod saliency;
mod solve;

pub use levels::{Quantised, quantise};
pub use options::{AdmmOptions, PruneOptions, QuantiseOptions, Retrain, Snapping};
pub use prune::{prune, prune_shared};
pub use record::{Phase, Record};
pub use saliency::fisher;
pub use solve::{Assignment, Problem, Sets, solve};
