//! Products of double-precision matrices held row by row, on every core.

use crate::training::{Matrix, matmul};
use rayon::prelude::*;

/// Blocks of rows that share a product: a fixed number, so that threads never change a sum.
const TASKS: usize = 8;

/// Rows that a block has at least: fewer do not pay for packing the right factor.
const LEAST_ROWS: usize = 24;

/// Rows of one block when `rows` are shared out.
fn block(rows: usize) -> usize {
    rows.div_ceil(TASKS).max(LEAST_ROWS)
}

/// `a · b` for `a` of m×k and `b` of k×n.
pub(super) fn product([m, k, n]: [usize; 3], a: &[f64], b: &[f64], out: &mut [f64]) {
    let rows = block(m);
    out.par_chunks_mut(rows * n.max(1))
        .zip(a.par_chunks(rows * k.max(1)))
        .for_each(|(out, a)| {
            let m = out.len() / n.max(1);
            matmul(
                [m, k, n],
                Matrix::rows(a, 0, k),
                Matrix::rows(b, 0, n),
                out,
                (0, n),
                false,
            );
        });
}

/// `a · bᵀ` for `a` of m×k and `b` of n×k.
pub(super) fn product_transposed([m, k, n]: [usize; 3], a: &[f64], b: &[f64], out: &mut [f64]) {
    let rows = block(m);
    out.par_chunks_mut(rows * n.max(1))
        .zip(a.par_chunks(rows * k.max(1)))
        .for_each(|(out, a)| {
            let m = out.len() / n.max(1);
            matmul(
                [m, k, n],
                Matrix::rows(a, 0, k),
                Matrix::transposed(b, 0, k),
                out,
                (0, n),
                false,
            );
        });
}

/// `sum += aᵀ · b` for `a` and `b` of `samples` × n each; only what lies right of the diagonal, block by block,
/// when `upper` (the rest is left as it is).
pub(super) fn add_outer([samples, n]: [usize; 2], a: &[f64], b: &[f64], sum: &mut [f64], upper: bool) {
    let rows = block(n);
    sum.par_chunks_mut(rows * n.max(1))
        .enumerate()
        .for_each(|(i, sum)| {
            let (from, m) = (i * rows, sum.len() / n.max(1));
            let first = if upper { from } else { 0 };
            matmul(
                [m, samples, n - first],
                Matrix::transposed(a, from, n),
                Matrix::rows(b, first, n),
                sum,
                (first, n),
                true,
            );
        });
}

/// The scalar product, in sixteen partial sums so that it runs on vectors; their order is fixed.
#[inline(always)]
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a_blocks
        .remainder()
        .iter()
        .zip(b_blocks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Runs a loop compiled for the widest vector instructions of this machine.
#[inline(always)]
pub(super) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, cols: usize, seed: usize) -> Vec<f64> {
        (0..rows * cols)
            .map(|i| ((i * 7 + seed) % 13) as f64 - 6.0)
            .collect()
    }

    fn naive(m: usize, n: usize, term: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        (0..m * n).map(|i| term(i / n, i % n)).collect()
    }

    #[test]
    fn products_equal_the_triple_loop() {
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [61, 7, 30], [200, 3, 9]] {
            let (a, b, c) = (matrix(m, k, 1), matrix(k, n, 2), matrix(n, k, 3));
            let mut out = vec![f64::NAN; m * n];
            product([m, k, n], &a, &b, &mut out);
            assert_eq!(
                out,
                naive(m, n, |i, j| (0..k).map(|x| a[i * k + x] * b[x * n + j]).sum())
            );
            product_transposed([m, k, n], &a, &c, &mut out);
            assert_eq!(
                out,
                naive(m, n, |i, j| (0..k).map(|x| a[i * k + x] * c[j * k + x]).sum())
            );
        }
    }

    #[test]
    fn outer_products_add_up() {
        let (samples, n) = (11, 50);
        let (a, b) = (matrix(samples, n, 1), matrix(samples, n, 5));
        let mut sum = vec![1.0; n * n];
        add_outer([samples, n], &a, &b, &mut sum, false);
        let want = naive(n, n, |i, j| {
            1.0 + (0..samples).map(|s| a[s * n + i] * b[s * n + j]).sum::<f64>()
        });
        assert_eq!(sum, want);
        let mut sum = vec![0.0; n * n];
        add_outer([samples, n], &a, &a, &mut sum, true);
        for i in 0..n {
            for j in i..n {
                let want: f64 = (0..samples).map(|s| a[s * n + i] * a[s * n + j]).sum();
                assert_eq!(sum[i * n + j], want, "{i}, {j}");
            }
        }
    }

    #[test]
    fn dot_takes_every_element() {
        for n in [0, 1, 15, 16, 17, 40] {
            let (a, b) = (matrix(1, n, 1), matrix(1, n, 4));
            assert_eq!(dot(&a, &b), a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>());
        }
    }
}
