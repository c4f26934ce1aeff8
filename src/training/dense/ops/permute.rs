//! Moves the first axis of every sample to the end, or back: `C × H × W` and `H × W × C`.

use super::{BLOCK, Given, Operator, Pass};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// Transposes each sample, a matrix of `rows × cols`.
pub(in crate::training::dense) struct Permute {
    /// Rows of a sample before.
    pub(in crate::training::dense) rows: usize,
    /// Columns of a sample before.
    pub(in crate::training::dense) cols: usize,
}

fn transpose<T: Float>(from: &[T], to: &mut [T], rows: usize, cols: usize) {
    let len = rows * cols;
    let chunk = BLOCK.div_ceil(len) * len;
    to.par_chunks_mut(chunk)
        .zip(from.par_chunks(chunk))
        .for_each(|(to, from)| {
            for (to, from) in to.chunks_exact_mut(len).zip(from.chunks_exact(len)) {
                for (j, column) in to.chunks_exact_mut(rows).enumerate() {
                    for (i, value) in column.iter_mut().enumerate() {
                        *value = from[i * cols + j];
                    }
                }
            }
        });
}

impl<T: Float> Operator<T> for Permute {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        transpose(inputs[0], output, self.rows, self.cols);
        Ok(())
    }

    fn backward(
        &mut self,
        _: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        _: &mut [&mut [T]],
    ) {
        if let Some(d_input) = d_inputs[0].as_deref_mut() {
            transpose(given.d_output, d_input, self.cols, self.rows);
        }
    }
}
