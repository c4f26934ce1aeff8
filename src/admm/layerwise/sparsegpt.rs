//! One sweep over a layer's inputs that passes each error on to the inputs that follow.

use super::grid::Grid;
use super::obc::inverse;
use super::pattern::Pattern;
use super::problem::Problem;
use super::refit::factorise;
use super::solution::Solution;
use crate::compression::Mask;
use rayon::prelude::*;

/// Inputs whose mask is chosen together.
const BLOCK: usize = 128;

/// `SparseGPT` (ALGORITHMS §2; arXiv 2301.00774): masks by w²/U² block by block, every block as sparse as the layer.
/// With `grids`, one for each output, kept weights go onto their levels in the same sweep. Starts from W0.
#[must_use]
pub fn sparsegpt(problem: &Problem, pattern: Pattern, grids: Option<&[Grid]>) -> Solution {
    let (m, n) = (problem.outputs(), problem.inputs());
    let factors: Vec<Vec<f64>> = problem.grams().par_iter().map(|g| upper(&g.h, n)).collect();
    let factor = |row: usize| factors[row / problem.rows_per_group()].as_slice();
    let mut weights = problem.dense().to_vec();
    let mut support = Mask::empty(m, n);
    let total = problem.alive().count();
    let keep = pattern.kept(m, n).min(total);
    let (mut seen, mut chosen) = (0, 0);
    let width = match pattern {
        Pattern::Count(_) => BLOCK,
        // a group's mask is chosen when the sweep reaches it
        Pattern::Groups { of, .. } => of.max(1),
    };
    for from in (0..n).step_by(width) {
        let to = (from + width).min(n);
        let mut scores: Vec<(f64, usize)> = Vec::new();
        for row in 0..m {
            for i in (from..to).filter(|i| problem.alive().get(row * n + i)) {
                scores.push(((weights[row * n + i] / factor(row)[i * n + i]).abs(), row * n + i));
            }
        }
        match pattern {
            Pattern::Count(_) => {
                seen += scores.len();
                // as many as keep the portion so far, so that counts are exact at the end
                let take = (keep as u128 * seen as u128 / total.max(1) as u128) as usize - chosen;
                largest(&mut scores, take).for_each(|i| support.set(i, true));
                chosen += take.min(scores.len());
            }
            Pattern::Groups { keep, of } => {
                let take = Pattern::kept_of(keep, of, to - from);
                for own in scores.chunk_by_mut(|a, b| a.1 / n == b.1 / n) {
                    largest(own, take).for_each(|i| support.set(i, true));
                }
            }
        }
        weights.par_chunks_mut(n).enumerate().for_each(|(row, w)| {
            for i in from..to {
                let u = &factor(row)[i * n..(i + 1) * n];
                let wanted = match (support.get(row * n + i), grids) {
                    (false, _) => 0.0,
                    (true, None) => continue,
                    (true, Some(grids)) => grids[row].round(w[i]),
                };
                let error = (w[i] - wanted) / u[i];
                for (w, u) in w[i + 1..].iter_mut().zip(&u[i + 1..]) {
                    *w -= error * u;
                }
                w[i] = wanted;
            }
        });
    }
    Solution::masked(problem, &weights, support)
}

/// The indices of the largest scores; of equal ones the lower index.
fn largest(scores: &mut [(f64, usize)], take: usize) -> impl Iterator<Item = usize> + '_ {
    scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scores.iter().take(take).map(|&(_, i)| i)
}

/// The upper Cholesky factor U of H⁻¹ = U'U.
pub(super) fn upper(h: &[f64], n: usize) -> Vec<f64> {
    let mut lower = inverse(h, n);
    for i in 0..n {
        for j in 0..i {
            lower[i * n + j] = lower[j * n + i];
        }
    }
    super::product::vectorised(
        #[inline(always)]
        || factorise(&mut lower, n),
    );
    let mut upper = vec![0.0; n * n];
    for i in 0..n {
        for j in i..n {
            upper[i * n + j] = lower[j * n + i];
        }
    }
    upper
}
