//! Supports by a score of single weights: magnitude and Wanda.

use super::problem::Problem;
use super::solution::Solution;
use crate::compression::ConstraintSet;

/// The largest weights as they are.
#[must_use]
pub fn magnitude(problem: &Problem, set: &dyn ConstraintSet) -> Solution {
    let support = problem.project(set, problem.dense());
    Solution::masked(problem, problem.dense(), support)
}

/// The largest weights, refitted: what no answer of [`super::solve`] is worse than.
#[must_use]
pub fn magnitude_refit(problem: &Problem, set: &dyn ConstraintSet) -> Solution {
    Solution::refitted(problem, problem.project(set, problem.dense()))
}

/// The weights with the largest |w|·‖x‖ as they are (Wanda, arXiv 2306.11695). The set chooses what is compared:
/// the whole layer or each output.
#[must_use]
pub fn wanda(problem: &Problem, set: &dyn ConstraintSet) -> Solution {
    let n = problem.inputs();
    let norms: Vec<Vec<f64>> = problem.grams().iter().map(super::problem::Gram::norms).collect();
    let scores: Vec<f64> = problem
        .dense()
        .iter()
        .enumerate()
        .map(|(i, w)| w * norms[i / n / problem.rows_per_group()][i % n])
        .collect();
    Solution::masked(problem, problem.dense(), problem.project(set, &scores))
}
