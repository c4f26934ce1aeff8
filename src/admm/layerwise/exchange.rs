//! Exchanges of single weights between a support and the rest, until none lowers the error.

use super::obc::inverse;
use super::problem::Problem;
use super::product::dot;
use super::refit::{kept, restricted};
use super::solution::Solution;
use crate::compression::{ConstraintSet, Mask};
use rayon::prelude::*;

/// Rounds at most.
const ROUNDS: usize = 60;

/// How much more a newcomer must promise than what it replaces costs, in steps of caution: simultaneous exchanges
/// hinder each other, so a round that failed is tried again with fewer of them.
const CAUTION: [f64; 6] = [1.0, 0.8, 0.6, 0.4, 0.25, 0.1];

/// Improves a refitted solution by splicing (after Zhu et al., PNAS 117(52), 2020): what removing each kept weight
/// would cost and what adding each other one would gain, both with all kept weights refitted, are one score, and the
/// set keeps the best. An exchange stands only if E falls. All rounds together take about `budget` multiplications at
/// most: on large dense supports an exchange gains little and costs much.
#[must_use]
pub fn exchange(problem: &Problem, set: &dyn ConstraintSet, start: Solution, budget: f64) -> Solution {
    let mut best = start;
    let mut caution = 0;
    let counts = best.support.row_counts();
    let cost = |c: usize| (c * c) as f64 * (c + problem.inputs()) as f64;
    let round: f64 = counts.into_iter().map(cost).sum();
    let rounds = (budget / round.max(1.0)) as usize;
    for _ in 0..rounds.min(ROUNDS) {
        let losses = scores(problem, &best);
        let mut improved = false;
        while caution < CAUTION.len() {
            let scored: Vec<f64> = losses
                .iter()
                .enumerate()
                .map(|(i, &s)| {
                    if best.support.get(i) {
                        s
                    } else {
                        s * CAUTION[caution]
                    }
                })
                .collect();
            let support: Mask = problem.project(set, &scored);
            if support == best.support {
                caution = CAUTION.len();
                break;
            }
            let next = Solution::refitted(problem, support);
            if next.objective < best.objective * (1.0 - 1e-9) {
                best = next;
                improved = true;
                break;
            }
            caution += 1;
        }
        if !improved {
            break;
        }
    }
    best
}

/// The root of each weight's worth: of a kept one E's rise when it goes, of another E's fall when it comes.
fn scores(problem: &Problem, solution: &Solution) -> Vec<f64> {
    let n = problem.inputs();
    let curved = problem.times_gram(&solution.weights);
    let mut scores = vec![0.0; curved.len()];
    scores.par_chunks_mut(n).enumerate().for_each(|(row, scores)| {
        let h = &problem.gram(row).h;
        let own = kept(&solution.support, row);
        let size = own.len();
        let mut inverse = inverse(&restricted(h, n, &own), size);
        for i in 0..size {
            for j in 0..i {
                inverse[i * size + j] = inverse[j * size + i];
            }
            let w = solution.weights[row * n + own[i]];
            scores[own[i]] = (0.5 * w * w / inverse[i * size + i]).sqrt();
        }
        let mut column = vec![0.0; size];
        let mut image = vec![0.0; size];
        for p in (0..n).filter(|p| problem.alive().get(row * n + p) && !solution.support.get(row * n + p)) {
            own.iter().zip(&mut column).for_each(|(&i, c)| *c = h[p * n + i]);
            for (i, v) in image.iter_mut().enumerate() {
                *v = dot(&inverse[i * size..(i + 1) * size], &column);
            }
            let left = (h[p * n + p] - dot(&column, &image)).max(1e-12 * h[p * n + p]);
            let gradient = problem.pull()[row * n + p] - curved[row * n + p];
            scores[p] = (0.5 * gradient * gradient / left).sqrt();
        }
    });
    scores
}
