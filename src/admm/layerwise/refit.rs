//! The weights of least error on a fixed support: exactly by Cholesky, or by conjugate gradients.

use super::problem::Problem;
use super::product::{dot, vectorised};
use crate::compression::Mask;
use rayon::prelude::*;

/// How the refit's systems are solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// Cholesky where all systems together are affordable, conjugate gradients otherwise.
    Auto,
    /// A Cholesky factorisation of H on the support of each output.
    Cholesky,
    /// Conjugate gradients preconditioned by H's diagonal, with a step of its own for every output.
    Conjugate {
        /// Iterations at most; an output stops earlier when its gradient is 10⁻¹⁰ of its first.
        iterations: u32,
    },
}

/// Multiplications that Cholesky may take before conjugate gradients take over.
const AFFORDABLE: f64 = 2e10;

/// Iterations of [`Solver::Auto`]'s conjugate gradients: far more than the 25 that suffice to rank supports.
const THOROUGH: u32 = 120;

/// The weights of least E with zeros outside `support` (ALGORITHMS §1.2; ALPS, arXiv 2406.07831, §3.3), outputs ×
/// inputs. Conjugate gradients start from `from`, W0 where there is none.
///
/// # Panics
/// When the support or `from` are not of the problem's size.
#[must_use]
pub fn refit(problem: &Problem, support: &Mask, solver: Solver, from: Option<&[f64]>) -> Vec<f64> {
    assert_eq!(
        (support.rows(), support.cols()),
        (problem.outputs(), problem.inputs()),
        "a support of the layer's size"
    );
    match solver {
        Solver::Cholesky => cholesky_rows(problem, support),
        Solver::Conjugate { iterations } => conjugate(problem, support, iterations, from),
        Solver::Auto => {
            let cost: f64 = support
                .row_counts()
                .iter()
                .map(|&c| (c as f64).powi(3) / 3.0)
                .sum();
            if cost <= AFFORDABLE {
                cholesky_rows(problem, support)
            } else {
                conjugate(problem, support, THOROUGH, from)
            }
        }
    }
}

/// The positions of a row's support.
pub(super) fn kept(support: &Mask, row: usize) -> Vec<usize> {
    let n = support.cols();
    (0..n).filter(|i| support.get(row * n + i)).collect()
}

/// H[S, S] of a row, dense and row-major.
pub(super) fn restricted(h: &[f64], n: usize, kept: &[usize]) -> Vec<f64> {
    kept.iter()
        .flat_map(|&i| kept.iter().map(move |&j| h[i * n + j]))
        .collect()
}

fn cholesky_rows(problem: &Problem, support: &Mask) -> Vec<f64> {
    let n = problem.inputs();
    let mut weights = vec![0.0; problem.outputs() * n];
    weights.par_chunks_mut(n).enumerate().for_each(|(row, w)| {
        let kept = kept(support, row);
        let mut factor = restricted(&problem.gram(row).h, n, &kept);
        let mut x: Vec<f64> = kept.iter().map(|&i| problem.pull()[row * n + i]).collect();
        vectorised(
            #[inline(always)]
            || {
                factorise(&mut factor, kept.len());
                solve(&factor, &mut x);
            },
        );
        for (&i, x) in kept.iter().zip(x) {
            w[i] = x;
        }
    });
    weights
}

/// The lower Cholesky factor in place; what lies above the diagonal is left as it is. Damping keeps pivots
/// positive; one that rounding made smaller than 10⁻¹⁴ of its diagonal is lifted to that.
#[inline(always)]
pub(super) fn factorise(a: &mut [f64], n: usize) {
    for i in 0..n {
        let (above, row) = a.split_at_mut(i * n);
        for j in 0..i {
            let other = &above[j * n..=j * n + j];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] - dot(&row[..i], &row[..i]);
        row[i] = pivot.max(row[i] * 1e-14).max(f64::MIN_POSITIVE).sqrt();
    }
}

/// Solves L·L'·x = b in place.
#[inline(always)]
pub(super) fn solve(l: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in 0..n {
        let (done, rest) = x.split_at_mut(i);
        rest[0] = (rest[0] - dot(&l[i * n..i * n + i], done)) / l[i * n + i];
    }
    for i in (0..n).rev() {
        x[i] /= l[i * n + i];
        let value = x[i];
        for (x, l) in x[..i].iter_mut().zip(&l[i * n..]) {
            *x -= value * l;
        }
    }
}

/// Zero outside the support.
fn mask(support: &Mask, values: &mut [f64]) {
    for (block, &word) in values.chunks_mut(64).zip(support.words()) {
        if word != u64::MAX {
            for (bit, v) in block.iter_mut().enumerate() {
                if word >> bit & 1 == 0 {
                    *v = 0.0;
                }
            }
        }
    }
}

fn conjugate(problem: &Problem, support: &Mask, iterations: u32, from: Option<&[f64]>) -> Vec<f64> {
    let n = problem.inputs();
    let mut x = from.unwrap_or(problem.dense()).to_vec();
    assert_eq!(x.len(), support.len(), "a start of the layer's size");
    mask(support, &mut x);
    let mut r = problem.times_gram(&x);
    r.iter_mut().zip(problem.pull()).for_each(|(r, g)| *r = g - *r);
    mask(support, &mut r);
    let inverse: Vec<Vec<f64>> = problem
        .grams()
        .iter()
        .map(|g| (0..n).map(|i| 1.0 / g.h[i * n + i]).collect())
        .collect();
    let per_group = problem.rows_per_group();
    let precondition = |r: &[f64]| -> Vec<f64> {
        r.chunks_exact(n)
            .enumerate()
            .flat_map(|(row, r)| r.iter().zip(&inverse[row / per_group]).map(|(r, d)| r * d))
            .collect()
    };
    let mut z = precondition(&r);
    let mut p = z.clone();
    let rows = |a: &[f64], b: &[f64]| -> Vec<f64> {
        a.chunks_exact(n)
            .zip(b.chunks_exact(n))
            .map(|(a, b)| dot(a, b))
            .collect()
    };
    let mut rz = rows(&r, &z);
    let small: Vec<f64> = rz.iter().map(|v| v * 1e-20).collect();
    for _ in 0..iterations {
        if rz.iter().zip(&small).all(|(v, s)| v <= s) {
            break;
        }
        let hp = problem.times_gram(&p);
        let php = rows(&p, &hp);
        for row in 0..x.len() / n {
            let step = if rz[row] > small[row] && php[row] > 0.0 {
                rz[row] / php[row]
            } else {
                0.0
            };
            for i in row * n..(row + 1) * n {
                x[i] += step * p[i];
                r[i] -= step * hp[i];
            }
        }
        mask(support, &mut r);
        z = precondition(&r);
        let next = rows(&r, &z);
        for row in 0..x.len() / n {
            let b = if rz[row] > small[row] {
                next[row] / rz[row]
            } else {
                0.0
            };
            for i in row * n..(row + 1) * n {
                p[i] = z[i] + b * p[i];
            }
        }
        rz = next;
    }
    x
}
