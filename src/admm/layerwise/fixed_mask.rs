//! ADMM under a mask that grows while the weights move.

use super::obc::inverse;
use super::problem::Problem;
use super::product::{Matrix, product};
use super::solution::Solution;
use crate::compression::{ConstraintSet, Mask};

/// ρ, in units of H's diagonal.
const RHO: f64 = 1.0;

/// Iterations in all, and those in which the mask grows.
const ITERATIONS: u32 = 20;
const GROWING: u32 = 15;

/// Damping on top of the problem's, in units of H's diagonal.
const DAMPING: f64 = 0.1;

/// The fixed-mask variant (ALGORITHMS §1.3; arXiv 2401.02938): the sparsity rises to its end over the first 15 of
/// 20 iterations, each of which cuts the smallest of W + U in scaled weights; the mask then stays. `sets` gives the
/// set for a portion of weights kept; the last asked for is the final one. Weights are not refitted.
#[must_use]
pub fn fixed_mask(problem: &Problem, density: f64, sets: &dyn Fn(f64) -> Box<dyn ConstraintSet>) -> Solution {
    let (n, per_group) = (problem.inputs(), problem.rows_per_group());
    let scale: Vec<Vec<f64>> = problem.grams().iter().map(super::problem::Gram::norms).collect();
    let scale = |i: usize| scale[i / n / per_group][i % n];
    let steps: Vec<Vec<f64>> = problem
        .grams()
        .iter()
        .map(|gram| {
            let s = gram.norms();
            let mut h: Vec<f64> = (0..n * n).map(|i| gram.h[i] / (s[i / n] * s[i % n])).collect();
            (0..n).for_each(|i| h[i * n + i] += DAMPING + RHO);
            let mut step = inverse(&h, n);
            for i in 0..n {
                for j in 0..i {
                    step[i * n + j] = step[j * n + i];
                }
            }
            step
        })
        .collect();
    let start: Vec<f64> = (0..problem.dense().len())
        .map(|i| problem.dense()[i] * scale(i))
        .collect();
    // the damping pulls towards W0, as the problem's own does
    let pull: Vec<f64> = (0..start.len())
        .map(|i| problem.pull()[i] / scale(i) + DAMPING * start[i])
        .collect();
    let mut w = start.clone();
    let mut u = vec![0.0; w.len()];
    let mut mask = Mask::full(problem.outputs(), n);
    for iteration in 0..ITERATIONS {
        let both: Vec<f64> = w.iter().zip(&u).map(|(w, u)| w + u).collect();
        if iteration < GROWING {
            let rest = 1.0 - f64::from(iteration + 1) / f64::from(GROWING);
            let kept = 1.0 - (1.0 - density) * (1.0 - rest.powi(3));
            mask = problem.project(&*sets(kept), &both);
        }
        let z: Vec<f64> = (0..both.len())
            .map(|i| if mask.get(i) { both[i] } else { 0.0 })
            .collect();
        u.iter_mut()
            .zip(w.iter().zip(&z))
            .for_each(|(u, (w, z))| *u += w - z);
        let right: Vec<f64> = (0..z.len()).map(|i| pull[i] + RHO * (z[i] - u[i])).collect();
        for (group, step) in steps.iter().enumerate() {
            let range = group * per_group * n..(group + 1) * per_group * n;
            let step = Matrix::rows(step, 0, n);
            product([per_group, n, n], &right[range.clone()], step, &mut w[range]);
        }
    }
    let unscaled: Vec<f64> = (0..w.len()).map(|i| (w[i] + u[i]) / scale(i)).collect();
    Solution::masked(problem, &unscaled, mask)
}
