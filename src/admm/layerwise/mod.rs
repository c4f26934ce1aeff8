//! Compression layer by layer, after training: calibration inputs only, no labels, no gradients.
//!
//! A layer's outputs on calibration inputs shall change least: minimise `E(W) = ½‖X(W − W0)‖² + …` over a constraint set
//! ([`Problem`]). [`alps`] is ADMM on the eigendecomposition of X'X with a ρ that grows as fast as the support
//! settles (ALPS, arXiv 2406.07831); [`refit`] gives the weights of least error on a support; [`quantise()`] moves them
//! onto levels. [`magnitude()`], [`wanda()`], [`sparsegpt()`], [`fixed_mask()`] and [`obc()`] are what it is
//! measured against.

mod alps;
mod compress;
mod error;
mod exchange;
mod fixed_mask;
mod grid;
mod masks;
mod obc;
mod patches;
mod pattern;
mod problem;
mod product;
mod quality;
mod quantise;
mod refit;
mod solution;
mod solve;
mod sparsegpt;
mod statistics;
mod target;

pub use alps::{Check, alps};
pub use compress::compress;
pub use error::LayerwiseError;
pub use exchange::exchange;
pub use fixed_mask::fixed_mask;
pub use grid::Grid;
pub use masks::{magnitude, magnitude_refit, wanda};
pub use obc::{Trace, cut, obc, traces};
pub use pattern::Pattern;
pub use problem::Problem;
pub use quality::{Quality, RhoSchedule};
pub use quantise::{OnGrid, descend, fit_grids, gptq, quantise, rounded};
pub use refit::{Solver, refit};
pub use solution::Solution;
pub use solve::{Method, solve};
pub use sparsegpt::sparsegpt;
pub use statistics::Moments;
pub use target::{LayerReport, LayerTarget, LayerwiseOptions};
