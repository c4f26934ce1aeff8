//! The product of two activations, matrix by matrix.

use super::{Given, Operator, Pass};
use crate::training::dense::float::Float;
use crate::training::dense::matmul::{Matrix, matmul};
use rayon::prelude::*;

/// `m×k` by `k×n` (by the transpose of `n×k` when `transpose_b`) for every leading index of every sample.
pub(in crate::training::dense) struct Product {
    /// m, k, n.
    pub(in crate::training::dense) sizes: [usize; 3],
    /// Whether the second factor is stored transposed.
    pub(in crate::training::dense) transpose_b: bool,
}

impl<T: Float> Operator<T> for Product {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let [m, k, n] = self.sizes;
        output
            .par_chunks_mut(m * n)
            .zip(inputs[0].par_chunks(m * k))
            .zip(inputs[1].par_chunks(k * n))
            .for_each(|((output, a), b)| {
                let b = if self.transpose_b {
                    Matrix::transposed(b, 0, k)
                } else {
                    Matrix::rows(b, 0, n)
                };
                matmul([m, k, n], Matrix::rows(a, 0, k), b, output, (0, n), false);
            });
        Ok(())
    }

    fn backward(
        &mut self,
        _: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        _: &mut [&mut [T]],
    ) {
        let [m, k, n] = self.sizes;
        if let Some(d_a) = d_inputs[0].as_deref_mut() {
            let factors = given
                .d_output
                .par_chunks(m * n)
                .zip(given.inputs[1].par_chunks(k * n));
            d_a.par_chunks_mut(m * k).zip(factors).for_each(|(d_a, (g, b))| {
                let b = if self.transpose_b {
                    Matrix::rows(b, 0, k)
                } else {
                    Matrix::transposed(b, 0, n)
                };
                matmul([m, n, k], Matrix::rows(g, 0, n), b, d_a, (0, k), false);
            });
        }
        if let Some(d_b) = d_inputs[1].as_deref_mut() {
            let factors = given
                .d_output
                .par_chunks(m * n)
                .zip(given.inputs[0].par_chunks(m * k));
            d_b.par_chunks_mut(k * n).zip(factors).for_each(|(d_b, (g, a))| {
                if self.transpose_b {
                    matmul(
                        [n, m, k],
                        Matrix::transposed(g, 0, n),
                        Matrix::rows(a, 0, k),
                        d_b,
                        (0, k),
                        false,
                    );
                } else {
                    matmul(
                        [k, m, n],
                        Matrix::transposed(a, 0, k),
                        Matrix::rows(g, 0, n),
                        d_b,
                        (0, n),
                        false,
                    );
                }
            });
        }
    }
}
