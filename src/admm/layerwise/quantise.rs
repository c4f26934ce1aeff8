//! Levels on a support, with errors that flow into the weights not yet on levels, and a descent on the grid.

use super::grid::{Grid, storable};
use super::problem::Problem;
use super::product::dot;
use super::refit::{kept, restricted};
use super::sparsegpt::upper;
use crate::compression::Mask;
use rayon::prelude::*;

/// Rounds of descent and new scales.
const ROUNDS: usize = 10;

/// Sweeps of one descent at most.
const SWEEPS: usize = 100;

/// Weights on levels.
#[derive(Debug, Clone, PartialEq)]
pub struct OnGrid {
    /// The weights, zero outside the support.
    pub weights: Vec<f64>,
    /// The levels of each output.
    pub grids: Vec<Grid>,
}

/// A grid for each output, fitted to the weights of its support. Fit to refitted weights, never to dense ones.
///
/// # Panics
/// When there is not one weight per position.
#[must_use]
pub fn fit_grids(support: &Mask, weights: &[f64], bits: u8, zero: bool) -> Vec<Grid> {
    assert_eq!(weights.len(), support.len(), "one weight per position");
    (0..support.rows())
        .into_par_iter()
        .map(|row| {
            let own = kept(support, row);
            let values = own.iter().map(|&i| weights[row * support.cols() + i]);
            Grid::fit(&values, bits, zero)
        })
        .collect()
}

/// Every weight of the support on its nearest level.
#[must_use]
pub fn rounded(support: &Mask, weights: &[f64], grids: &[Grid]) -> Vec<f64> {
    let n = support.cols();
    let round = |(i, &w): (usize, &f64)| {
        if support.get(i) {
            grids[i / n].round(w)
        } else {
            0.0
        }
    };
    weights.iter().enumerate().map(round).collect()
}

/// GPTQ along the support (ALGORITHMS §3b; arXiv 2210.17323): each output's kept inputs in falling order of H's
/// diagonal, each error passed on to the kept inputs that follow, never to pruned ones. `weights` are the refitted ones.
#[must_use]
pub fn gptq(problem: &Problem, support: &Mask, weights: &[f64], grids: &[Grid]) -> Vec<f64> {
    let n = problem.inputs();
    let mut out = vec![0.0; weights.len()];
    out.par_chunks_mut(n).enumerate().for_each(|(row, out)| {
        let h = &problem.gram(row).h;
        let mut order = kept(support, row);
        order.sort_by(|&a, &b| h[b * n + b].total_cmp(&h[a * n + a]).then(a.cmp(&b)));
        let size = order.len();
        let u = upper(&restricted(h, n, &order), size);
        let mut w: Vec<f64> = order.iter().map(|&i| weights[row * n + i]).collect();
        for i in 0..size {
            let level = grids[row].round(w[i]);
            let error = (w[i] - level) / u[i * size + i];
            for (w, u) in w[i + 1..].iter_mut().zip(&u[i * size + i + 1..(i + 1) * size]) {
                *w -= error * u;
            }
            out[order[i]] = level;
        }
    });
    out
}

/// Coordinate descent on the grid (ALGORITHMS §3c): every weight in turn goes to the level of least E with all others
/// fixed, until none moves. With `rescale`, each output's scale then goes to its optimum at these codes and the
/// descent starts again while that helps. E never rises.
#[must_use]
pub fn descend(problem: &Problem, support: &Mask, weights: &[f64], grids: &[Grid], rescale: bool) -> OnGrid {
    let n = problem.inputs();
    let rows: Vec<(Vec<f64>, Grid)> = (0..problem.outputs())
        .into_par_iter()
        .map(|row| {
            let own = kept(support, row);
            let mut line = Line {
                h: restricted(&problem.gram(row).h, n, &own),
                pull: own.iter().map(|&i| problem.pull()[row * n + i]).collect(),
                q: own.iter().map(|&i| weights[row * n + i]).collect(),
                grid: grids[row],
            };
            line.sweep();
            for _ in 0..if rescale { ROUNDS } else { 0 } {
                if !line.rescale() {
                    break;
                }
                line.sweep();
            }
            let mut out = vec![0.0; n];
            own.iter().zip(line.q).for_each(|(&i, q)| out[i] = q);
            (out, line.grid)
        })
        .collect();
    let (weights, grids): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    OnGrid {
        weights: weights.concat(),
        grids,
    }
}

/// The best pipeline of all (ALGORITHMS §3): grids of the refitted weights, GPTQ along the support, descent.
#[must_use]
pub fn quantise(problem: &Problem, support: &Mask, refitted: &[f64], bits: u8, zero: bool) -> OnGrid {
    let grids = fit_grids(support, refitted, bits, zero);
    let swept = gptq(problem, support, refitted, &grids);
    descend(problem, support, &swept, &grids, true)
}

/// One output on its support.
struct Line {
    h: Vec<f64>,
    pull: Vec<f64>,
    q: Vec<f64>,
    grid: Grid,
}

impl Line {
    fn gradient(&self) -> Vec<f64> {
        let size = self.q.len();
        (0..size)
            .map(|i| dot(&self.h[i * size..(i + 1) * size], &self.q) - self.pull[i])
            .collect()
    }

    /// ½·q'Hq − q'G: E but for a constant.
    fn error(&self) -> f64 {
        let gradient = self.gradient();
        let both: Vec<f64> = gradient.iter().zip(&self.pull).map(|(g, p)| g - p).collect();
        0.5 * dot(&self.q, &both)
    }

    fn sweep(&mut self) {
        let size = self.q.len();
        let mut gradient = self.gradient();
        for _ in 0..SWEEPS {
            let mut moved = false;
            for i in 0..size {
                let diagonal = self.h[i * size + i];
                let level = self.grid.round(self.q[i] - gradient[i] / diagonal);
                let step = level - self.q[i];
                // E changes by step·(g + step·H_ii/2): a step that rounding alone asks for is none
                if step == 0.0 || step * (gradient[i] + 0.5 * step * diagonal) >= 0.0 {
                    continue;
                }
                self.q[i] = level;
                moved = true;
                let row = &self.h[i * size..(i + 1) * size];
                gradient.iter_mut().zip(row).for_each(|(g, h)| *g += step * h);
            }
            if !moved {
                return;
            }
        }
    }

    /// Moves the scale to its optimum at fixed codes. Says whether E fell by more than a part in 10⁶.
    fn rescale(&mut self) -> bool {
        let codes: Vec<f64> = self.q.iter().map(|&q| self.grid.code(q)).collect();
        let size = codes.len();
        let curved: f64 = (0..size)
            .map(|i| codes[i] * dot(&self.h[i * size..(i + 1) * size], &codes))
            .sum();
        let scale = dot(&codes, &self.pull) / curved;
        if !(scale.is_finite() && scale > 0.0) {
            return false;
        }
        let before = (self.error(), self.q.clone(), self.grid);
        self.grid.scale = storable(scale);
        self.q = codes.iter().map(|k| k * self.grid.scale).collect();
        let error = self.error();
        if error < before.0 {
            return before.0 - error > 1e-6 * before.0.abs();
        }
        (self.q, self.grid) = (before.1, before.2);
        false
    }
}
