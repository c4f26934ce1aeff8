//! The layer-wise solver: ADMM onto a set of supports, on the eigendecomposition of H.

use super::problem::{Gram, Problem};
use super::product::{Matrix, product, product_of_few};
use super::quality::RhoSchedule;
use super::refit::{Solver, refit};
use super::solution::Solution;
use crate::compression::{ConstraintSet, Mask};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Iterations between two looks at the support.
const EVERY: u32 = 3;

/// Checks between two trial refits of the support.
const TRIALS: u32 = 5;

/// Iterations without a better support after which the solver stops.
const PATIENCE: u32 = 60;

/// Values for one that is not zero, from which on zeros are left out of a product.
const FEW: usize = 6;

/// ρ never exceeds this.
const RHO_MAX: f64 = 1e6;

/// What the solver saw at one check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Check {
    /// The iteration, from 1; counted anew after a restart.
    pub iteration: u32,
    /// ρ
    pub rho: f64,
    /// ‖W − D‖ in scaled weights.
    pub primal: f64,
    /// ρ·‖D − `D_prev`‖
    pub dual: f64,
    /// Positions of the support that changed since the check before.
    pub moved: usize,
    /// E(D) less E of the unconstrained optimum, before any refit.
    pub excess: f64,
}

/// H scaled to a diagonal of ones, as Q·diag(values)·Q'.
struct Spectrum {
    scale: Vec<f64>,
    /// Eigenvectors, one a row.
    vectors: Vec<f64>,
    /// Eigenvectors, one a column.
    columns: Vec<f64>,
    values: Vec<f64>,
}

impl Spectrum {
    fn new(gram: &Gram) -> Self {
        let scale = gram.norms();
        let n = scale.len();
        let scaled = DMatrix::from_fn(n, n, |i, j| gram.h[i * n + j] / (scale[i] * scale[j]));
        let eigen = scaled.symmetric_eigen();
        // column after column of Q is row after row of Q'
        Self {
            scale,
            vectors: eigen.eigenvectors.as_slice().to_vec(),
            columns: eigen.eigenvectors.transpose().as_slice().to_vec(),
            // H is positive definite: what rounding took below zero was next to it
            values: eigen.eigenvalues.iter().map(|v| v.max(1e-12)).collect(),
        }
    }
}

/// The iteration's matrices, all outputs × inputs in scaled weights; those in the eigenbasis end in `_q`.
struct State<'a> {
    problem: &'a Problem,
    spectra: &'a [Spectrum],
    set: &'a dyn ConstraintSet,
    pull_q: &'a [f64],
    rho: f64,
    d: Vec<f64>,
    d_q: Vec<f64>,
    u_q: Vec<f64>,
    support: Mask,
    primal: f64,
    dual: f64,
}

impl State<'_> {
    fn groups(&self) -> impl Iterator<Item = (std::ops::Range<usize>, &Spectrum)> {
        let len = self.problem.rows_per_group() * self.problem.inputs();
        let spectra = self.spectra.iter().enumerate();
        spectra.map(move |(g, s)| (g * len..(g + 1) * len, s))
    }

    fn change_basis(&self, values: &[f64], into: bool) -> Vec<f64> {
        let n = self.problem.inputs();
        let sizes = [self.problem.rows_per_group(), n, n];
        let mut out = vec![0.0; values.len()];
        for (range, s) in self.groups() {
            // both are the same product: rows of eigenvectors lie as columns of their transpose
            let basis = if into { &s.columns } else { &s.vectors };
            let (values, out) = (&values[range.clone()], &mut out[range]);
            if into && values.iter().filter(|v| **v != 0.0).count() * FEW <= values.len() {
                product_of_few([n, n], values, basis, out);
            } else {
                product(sizes, values, Matrix::rows(basis, 0, n), out);
            }
        }
        out
    }

    /// One W, D and U step.
    fn step(&mut self) {
        let (n, rho) = (self.problem.inputs(), self.rho);
        let mut w_q = vec![0.0; self.d.len()];
        for (range, s) in self.groups() {
            for i in range.clone() {
                let right = self.pull_q[i] + rho * (self.d_q[i] - self.u_q[i]);
                w_q[i] = right / (s.values[(i - range.start) % n] + rho);
            }
        }
        self.u_q.iter_mut().zip(&w_q).for_each(|(u, w)| *u += w);
        let mut d = self.change_basis(&self.u_q, false);
        self.support = self.problem.project(self.set, &d);
        keep(&self.support, &mut d);
        self.dual = rho * distance(&d, &self.d);
        self.d = d;
        self.d_q = self.change_basis(&self.d, true);
        self.primal = distance(&w_q, &self.d_q); // the basis is orthogonal
        self.u_q.iter_mut().zip(&self.d_q).for_each(|(u, d)| *u -= d);
    }

    fn excess(&self) -> f64 {
        let n = self.problem.inputs();
        let mut sum = 0.0;
        for (range, s) in self.groups() {
            for i in range.clone() {
                let value = s.values[(i - range.start) % n];
                sum += 0.5 * value * (self.d_q[i] - self.pull_q[i] / value).powi(2);
            }
        }
        sum
    }

    fn raise(&mut self, factor: f64) {
        let next = (self.rho * factor).min(RHO_MAX);
        let down = self.rho / next;
        self.u_q.iter_mut().for_each(|u| *u *= down);
        self.rho = next;
    }
}

fn keep(support: &Mask, values: &mut [f64]) {
    for (i, v) in values.iter_mut().enumerate() {
        if !support.get(i) {
            *v = 0.0;
        }
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn hash(mask: &Mask) -> u64 {
    let mut hasher = DefaultHasher::new();
    mask.hash(&mut hasher);
    hasher.finish()
}

/// The support of least error that was seen, by a trial refit.
struct Best {
    support: Mask,
    objective: f64,
    iteration: u32,
}

/// Minimises E over the points of `set` (ALGORITHMS §1; ALPS, arXiv 2406.07831): ADMM with ρ that grows as fast as
/// the support settles, then the weights of least error on the support. Returns the solution and what each check saw.
///
/// H is scaled to a diagonal of ones, in which the magnitude of a weight is Wanda's score. The answer may be worse
/// than magnitude and refit; [`super::solve`] returns the better.
#[must_use]
pub fn alps(problem: &Problem, set: &dyn ConstraintSet, schedule: &RhoSchedule) -> (Solution, Vec<Check>) {
    let n = problem.inputs();
    let spectra: Vec<Spectrum> = problem.grams().par_iter().map(Spectrum::new).collect();
    let scale = |row: usize| &spectra[row / problem.rows_per_group()].scale;
    let start: Vec<f64> = (0..problem.dense().len())
        .map(|i| problem.dense()[i] * scale(i / n)[i % n])
        .collect();
    let pull: Vec<f64> = (0..start.len())
        .map(|i| problem.pull()[i] / scale(i / n)[i % n])
        .collect();
    let mut checks = Vec::new();
    let mut best: Option<Best> = None;
    let mut state = State {
        problem,
        spectra: &spectra,
        set,
        pull_q: &[],
        rho: schedule.rho,
        d: Vec::new(),
        d_q: Vec::new(),
        u_q: vec![0.0; start.len()],
        support: problem.project(set, &start),
        primal: 0.0,
        dual: 0.0,
    };
    let pull_q = state.change_basis(&pull, true);
    state.pull_q = &pull_q;
    let first = state.support.clone();
    let mut rho = schedule.rho;
    for _ in 0..=schedule.restarts {
        state.rho = rho;
        state.support = first.clone();
        state.d.clone_from(&start);
        keep(&state.support, &mut state.d);
        state.d_q = state.change_basis(&state.d, true);
        state.u_q.fill(0.0);
        let frozen = iterate(&mut state, schedule, &mut best, &mut checks);
        if !frozen {
            break;
        }
        rho /= 5.0; // too large a ρ held the first support
    }
    trial(problem, &state.support, schedule.iterations, &mut best);
    let support = best.map_or(first, |b| b.support);
    (Solution::refitted(problem, support), checks)
}

/// Runs until the support rests. Says whether it never moved.
fn iterate(
    state: &mut State<'_>,
    schedule: &RhoSchedule,
    best: &mut Option<Best>,
    checks: &mut Vec<Check>,
) -> bool {
    let mut before = state.support.clone();
    let mut seen = vec![hash(&before)];
    for iteration in 1..=schedule.iterations {
        state.step();
        if iteration % EVERY != 0 {
            continue;
        }
        let moved = state.support.distance(&before);
        checks.push(Check {
            iteration,
            rho: state.rho,
            primal: state.primal,
            dual: state.dual,
            moved,
            excess: state.excess(),
        });
        if moved == 0 {
            return iteration == EVERY;
        }
        before.clone_from(&state.support);
        let kept = before.count() as f64;
        if (iteration / EVERY).is_multiple_of(TRIALS) && (moved as f64) < 0.1 * kept {
            trial(state.problem, &before, iteration, best);
            if best.as_ref().is_some_and(|b| b.iteration + PATIENCE <= iteration) {
                return false;
            }
        }
        let hash = hash(&before);
        let growth = if moved as f64 >= 0.1 * kept {
            schedule.growth[0]
        } else if moved as f64 >= 0.005 * kept {
            schedule.growth[1]
        } else {
            schedule.growth[2]
        };
        // a support that comes back would come back again
        state.raise(if seen.contains(&hash) {
            growth.max(1.3)
        } else {
            growth
        });
        seen.push(hash);
    }
    false
}

/// Holds a support against the best so far, by three steps of conjugate gradients.
fn trial(problem: &Problem, support: &Mask, iteration: u32, best: &mut Option<Best>) {
    if best.as_ref().is_some_and(|b| b.support == *support) {
        return;
    }
    let weights = refit(problem, support, Solver::Conjugate { iterations: 3 }, None);
    let objective = problem.objective(&weights);
    if best.as_ref().is_none_or(|b| objective < b.objective) {
        *best = Some(Best {
            support: support.clone(),
            objective,
            iteration,
        });
    }
}
