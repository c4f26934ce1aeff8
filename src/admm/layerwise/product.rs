//! Products of double-precision matrices held row by row, on every core.

pub(super) use crate::training::Matrix;
use crate::training::matmul;
use rayon::prelude::*;

/// Blocks of rows that share a product: a fixed number, so that threads never change a sum.
const TASKS: usize = 8;

/// Rows that a block has at least: fewer do not pay for packing the right factor.
const LEAST_ROWS: usize = 24;

/// Rows of one block when `rows` are shared out.
fn block(rows: usize) -> usize {
    rows.div_ceil(TASKS).max(LEAST_ROWS)
}

/// `a · b` for `a` of m×k, row by row, and `b` of k×n, plain or transposed.
pub(super) fn product([m, k, n]: [usize; 3], a: &[f64], b: Matrix<'_, f64>, out: &mut [f64]) {
    let rows = block(m);
    out.par_chunks_mut(rows * n.max(1))
        .zip(a.par_chunks(rows * k.max(1)))
        .for_each(|(out, a)| {
            let m = out.len() / n.max(1);
            matmul([m, k, n], Matrix::rows(a, 0, k), b, out, (0, n), false);
        });
}

/// `a · b` for `a` of m×k that is mostly zero and `b` of k×n, both row by row.
pub(super) fn product_of_few([k, n]: [usize; 2], a: &[f64], b: &[f64], out: &mut [f64]) {
    out.par_chunks_mut(LEAST_ROWS * n.max(1))
        .zip(a.par_chunks(LEAST_ROWS * k.max(1)))
        .for_each(|(out, a)| {
            let mut few: Vec<(f64, &[f64])> = Vec::new();
            for (out, a) in out.chunks_exact_mut(n.max(1)).zip(a.chunks_exact(k.max(1))) {
                few.clear();
                let rows = a.iter().zip(b.chunks_exact(n.max(1)));
                few.extend(rows.filter(|(a, _)| **a != 0.0).map(|(&a, b)| (a, b)));
                out.fill(0.0);
                vectorised(
                    #[inline(always)]
                    || add_rows(&few, out),
                );
            }
        });
}

/// Adds multiples of rows, four at a time.
#[inline(always)]
fn add_rows(rows: &[(f64, &[f64])], out: &mut [f64]) {
    let fours = rows.chunks_exact(4);
    for &(factor, row) in fours.remainder() {
        out.iter_mut().zip(row).for_each(|(o, b)| *o += factor * b);
    }
    for four in fours {
        let (rest, last) = (four[0].1.iter().zip(four[1].1), four[2].1.iter().zip(four[3].1));
        for (o, ((b0, b1), (b2, b3))) in out.iter_mut().zip(rest.zip(last)) {
            *o += four[0].0 * b0 + four[1].0 * b1 + (four[2].0 * b2 + four[3].0 * b3);
        }
    }
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
            product([m, k, n], &a, Matrix::rows(&b, 0, n), &mut out);
            assert_eq!(
                out,
                naive(m, n, |i, j| (0..k).map(|x| a[i * k + x] * b[x * n + j]).sum())
            );
            product([m, k, n], &a, Matrix::transposed(&c, 0, k), &mut out);
            assert_eq!(
                out,
                naive(m, n, |i, j| (0..k).map(|x| a[i * k + x] * c[j * k + x]).sum())
            );
        }
    }

    #[test]
    fn products_of_few_equal_those_of_all() {
        let [m, k, n] = [50, 31, 17];
        let mut a = matrix(m, k, 1);
        for (i, a) in a.iter_mut().enumerate() {
            if i % 5 != 0 && i < 40 * k {
                *a = 0.0;
            }
        }
        let b = matrix(k, n, 2);
        let (mut few, mut all) = (vec![f64::NAN; m * n], vec![0.0; m * n]);
        product_of_few([k, n], &a, &b, &mut few);
        product([m, k, n], &a, Matrix::rows(&b, 0, n), &mut all);
        assert_eq!(few, all);
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
