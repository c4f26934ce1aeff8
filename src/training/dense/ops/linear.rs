//! `y = W x + b` on the last axis, for any number of leading axes.

use super::{Given, Operator, Pass, add_to, share, vectorised};
use crate::training::dense::float::Float;
use crate::training::dense::matmul::{Matrix, matmul};
use rayon::prelude::*;

/// Tasks that share the rows of a mini-batch, or the rows of the weight gradient.
const TASKS: usize = 4;

/// See the module.
pub(in crate::training::dense) struct Linear {
    /// Input features.
    pub(in crate::training::dense) features: usize,
    /// Output features.
    pub(in crate::training::dense) out_features: usize,
}

impl<T: Float> Operator<T> for Linear {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let (k, n) = (self.features, self.out_features);
        let (weight, bias) = (parameters[0], parameters.get(1).copied());
        let rows = share(output.len() / n, TASKS, 16);
        output
            .par_chunks_mut(rows * n)
            .zip(inputs[0].par_chunks(rows * k))
            .for_each(|(output, input)| {
                if let Some(bias) = bias {
                    output
                        .chunks_exact_mut(n)
                        .for_each(|row| row.copy_from_slice(bias));
                }
                let m = output.len() / n;
                matmul(
                    [m, k, n],
                    Matrix::rows(input, 0, k),
                    Matrix::transposed(weight, 0, k),
                    output,
                    (0, n),
                    bias.is_some(),
                );
            });
        Ok(())
    }

    fn backward(
        &mut self,
        _: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        d_parameters: &mut [&mut [T]],
    ) {
        let (k, n) = (self.features, self.out_features);
        let (input, d_output, weight) = (given.inputs[0], given.d_output, given.parameters[0]);
        let m = d_output.len() / n;
        if let Some(d_input) = d_inputs[0].as_deref_mut() {
            let rows = share(m, TASKS, 16);
            d_input
                .par_chunks_mut(rows * k)
                .zip(d_output.par_chunks(rows * n))
                .for_each(|(d_input, d_output)| {
                    let m = d_output.len() / n;
                    matmul(
                        [m, n, k],
                        Matrix::rows(d_output, 0, n),
                        Matrix::rows(weight, 0, k),
                        d_input,
                        (0, k),
                        false,
                    );
                });
        }
        // each task owns some rows of the gradient and sums over the whole batch: no partial sums
        let rows = share(n, TASKS, 16);
        d_parameters[0]
            .par_chunks_mut(rows * k)
            .enumerate()
            .for_each(|(i, d_weight)| {
                let d_cols = Matrix::transposed(d_output, i * rows, n);
                matmul(
                    [d_weight.len() / k, m, k],
                    d_cols,
                    Matrix::rows(input, 0, k),
                    d_weight,
                    (0, k),
                    false,
                );
            });
        if let Some(d_bias) = d_parameters.get_mut(1) {
            vectorised(
                #[inline(always)]
                || {
                    d_bias.fill(T::ZERO);
                    d_output.chunks_exact(n).for_each(|row| add_to(d_bias, row));
                },
            );
        }
    }
}
