//! What a method returns.

use super::problem::Problem;
use super::refit::{Solver, refit};
use crate::compression::Mask;

/// Weights and the support they lie on, outputs × inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// The weights, zero outside the support.
    pub weights: Vec<f64>,
    /// The positions that may be non-zero.
    pub support: Mask,
    /// E of the weights.
    pub objective: f64,
}

impl Solution {
    /// These weights with zeros outside the support.
    #[must_use]
    pub fn masked(problem: &Problem, weights: &[f64], support: Mask) -> Self {
        let weights: Vec<f64> = weights
            .iter()
            .enumerate()
            .map(|(i, &w)| if support.get(i) { w } else { 0.0 })
            .collect();
        Self {
            objective: problem.objective(&weights),
            weights,
            support,
        }
    }

    /// The weights of least error on a support.
    #[must_use]
    pub fn refitted(problem: &Problem, support: Mask) -> Self {
        let weights = refit(problem, &support, Solver::Auto, None);
        Self {
            objective: problem.objective(&weights),
            weights,
            support,
        }
    }
}
