//! Optimal brain compression: exact greedy removal, one weight at a time.

use super::pattern::Pattern;
use super::problem::Problem;
use super::product::vectorised;
use super::refit::{Solver, factorise, refit, restricted};
use super::solution::Solution;
use rayon::prelude::*;

/// In which order an output's weights go, and what each removal adds to E.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// Inputs, the first removed first. Weights that were pruned before do not appear.
    pub order: Vec<u32>,
    /// The loss of each removal, in the same order.
    pub losses: Vec<f64>,
}

/// Greedy removal of every output's weights until none is left: one trace gives every sparsity of the layer
/// (ALGORITHMS §2; OBC, arXiv 2208.11580). With [`Pattern::Groups`] each group stops at what it keeps.
/// O(outputs × inputs³).
#[must_use]
pub fn traces(problem: &Problem, pattern: Pattern) -> Vec<Trace> {
    let n = problem.inputs();
    let alive = problem.alive();
    // the unconstrained optimum on what is alive
    let start = if problem.is_dense_optimal()
        && (0..alive.len()).all(|i| alive.get(i) || problem.dense()[i] == 0.0)
    {
        problem.dense().to_vec()
    } else {
        refit(problem, alive, Solver::Auto, None)
    };
    (0..problem.outputs())
        .into_par_iter()
        .map(|row| {
            let live: Vec<usize> = (0..n).filter(|i| alive.get(row * n + i)).collect();
            let weights: Vec<f64> = live.iter().map(|&i| start[row * n + i]).collect();
            let inverse = inverse(&restricted(&problem.gram(row).h, n, &live), live.len());
            let mut removal = Removal::new(live, weights, inverse);
            if let Pattern::Groups { keep, of } = pattern {
                removal.limit(n, keep, of.max(1));
            }
            removal.run()
        })
        .collect()
}

/// The solution of [`traces`]: the removals of least loss in the whole layer, then the weights of least error.
#[must_use]
pub fn obc(problem: &Problem, pattern: Pattern) -> Solution {
    cut(problem, &traces(problem, pattern), pattern)
}

/// The solution that a layer's traces hold for a pattern.
#[must_use]
pub fn cut(problem: &Problem, traces: &[Trace], pattern: Pattern) -> Solution {
    let n = problem.inputs();
    let mut support = problem.alive().clone();
    match pattern {
        Pattern::Count(keep) => {
            let mut all: Vec<(f64, usize, usize)> = traces
                .iter()
                .enumerate()
                .flat_map(|(row, t)| t.losses.iter().enumerate().map(move |(k, &loss)| (loss, row, k)))
                .collect();
            let remove = all.len().saturating_sub(keep);
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
            let mut removed = vec![0; traces.len()];
            all[..remove].iter().for_each(|&(_, row, _)| removed[row] += 1);
            for (row, (trace, removed)) in traces.iter().zip(removed).enumerate() {
                for &i in &trace.order[..removed] {
                    support.set(row * n + i as usize, false);
                }
            }
        }
        Pattern::Groups { .. } => {
            for (row, trace) in traces.iter().enumerate() {
                for &i in &trace.order {
                    support.set(row * n + i as usize, false);
                }
            }
        }
    }
    Solution::refitted(problem, support)
}

/// The inverse of a positive definite matrix: its part on and right of the diagonal.
pub(super) fn inverse(matrix: &[f64], n: usize) -> Vec<f64> {
    let mut factor = matrix.to_vec();
    // rows of `half`, column i of L⁻¹ in row i: H⁻¹ = L⁻ᵀ L⁻¹
    let mut half = vec![0.0; n * n];
    let mut inverse = vec![0.0; n * n];
    vectorised(
        #[inline(always)]
        || {
            factorise(&mut factor, n);
            for i in 0..n {
                let row = &mut half[i * n..(i + 1) * n];
                row[i] = 1.0 / factor[i * n + i];
                for j in i + 1..n {
                    row[j] =
                        -super::product::dot(&factor[j * n + i..j * n + j], &row[i..j]) / factor[j * n + j];
                }
            }
            for i in 0..n {
                for j in i..n {
                    inverse[i * n + j] =
                        super::product::dot(&half[i * n + j..(i + 1) * n], &half[j * n + j..(j + 1) * n]);
                }
            }
        },
    );
    inverse
}

/// One output on its way to empty.
struct Removal {
    /// The input of each position.
    inputs: Vec<usize>,
    weights: Vec<f64>,
    /// H⁻¹ on and right of the diagonal, positions × positions.
    inverse: Vec<f64>,
    gone: Vec<bool>,
    left: usize,
    /// How many of each input's group may still go, and inputs of a group.
    limits: Option<(Vec<usize>, usize)>,
}

impl Removal {
    fn new(inputs: Vec<usize>, weights: Vec<f64>, inverse: Vec<f64>) -> Self {
        Self {
            gone: vec![false; inputs.len()],
            left: inputs.len(),
            inputs,
            weights,
            inverse,
            limits: None,
        }
    }

    fn limit(&mut self, n: usize, keep: usize, of: usize) {
        let mut may_go: Vec<usize> = vec![0; n.div_ceil(of)];
        for &i in &self.inputs {
            may_go[i / of] += 1;
        }
        for (group, may) in may_go.iter_mut().enumerate() {
            *may = may.saturating_sub(Pattern::kept_of(keep, of, of.min(n - group * of)));
        }
        self.limits = Some((may_go, of));
    }

    fn run(mut self) -> Trace {
        let mut trace = Trace::default();
        let mut column = Vec::new();
        while let Some(p) = self.cheapest() {
            let size = self.inputs.len();
            let pivot = self.inverse[p * size + p];
            let step = self.weights[p] / pivot;
            trace.order.push(self.inputs[p] as u32);
            trace.losses.push(0.5 * step * self.weights[p]);
            if let Some((may_go, of)) = &mut self.limits {
                may_go[self.inputs[p] / *of] -= 1;
            }
            self.gone[p] = true;
            self.left -= 1;
            column.clear();
            column.extend((0..p).map(|i| self.inverse[i * size + p]));
            column.extend_from_slice(&self.inverse[p * size + p..(p + 1) * size]);
            for (c, &gone) in column.iter_mut().zip(&self.gone) {
                if gone {
                    *c = 0.0;
                }
            }
            self.downdate(&column, 1.0 / pivot, step);
            self.weights[p] = 0.0;
            if self.left * 4 < size * 3 {
                self.compact();
            }
        }
        trace
    }

    /// The position whose removal costs least; the first of equals.
    fn cheapest(&self) -> Option<usize> {
        let size = self.inputs.len();
        let mut best: Option<(usize, f64)> = None;
        for p in 0..size {
            let held = self
                .limits
                .as_ref()
                .is_some_and(|(may_go, of)| may_go[self.inputs[p] / of] == 0);
            if self.gone[p] || held {
                continue;
            }
            let loss = self.weights[p].powi(2) / self.inverse[p * size + p];
            if best.is_none_or(|(_, least)| loss < least) {
                best = Some((p, loss));
            }
        }
        best.map(|(p, _)| p)
    }

    /// H⁻¹ ← H⁻¹ − column·column'/pivot, w ← w − step·column
    fn downdate(&mut self, column: &[f64], scale: f64, step: f64) {
        let size = self.inputs.len();
        vectorised(
            #[inline(always)]
            || {
                for (w, c) in self.weights.iter_mut().zip(column) {
                    *w -= step * c;
                }
                for (i, row) in self.inverse.chunks_exact_mut(size).enumerate() {
                    if column[i] != 0.0 {
                        let factor = column[i] * scale;
                        for (h, c) in row[i..].iter_mut().zip(&column[i..]) {
                            *h -= factor * c;
                        }
                    }
                }
            },
        );
    }

    /// Drops what is gone.
    fn compact(&mut self) {
        let size = self.inputs.len();
        let stay: Vec<usize> = (0..size).filter(|&p| !self.gone[p]).collect();
        self.inverse = stay
            .iter()
            .flat_map(|&i| stay.iter().map(move |&j| (i, j)))
            .map(|(i, j)| self.inverse[i.min(j) * size + i.max(j)])
            .collect();
        self.inputs = stay.iter().map(|&p| self.inputs[p]).collect();
        self.weights = stay.iter().map(|&p| self.weights[p]).collect();
        self.gone = vec![false; stay.len()];
    }
}
