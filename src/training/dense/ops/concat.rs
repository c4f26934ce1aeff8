//! Concatenation along an axis.

use super::{Given, Operator, Pass};
use crate::training::dense::float::Float;

/// Every sample is `outer` stretches; stretch i of the output is stretch i of each input in turn.
pub(in crate::training::dense) struct Concat {
    /// Adjacent elements that each input gives in turn.
    pub(in crate::training::dense) stretches: Vec<usize>,
}

impl<T: Float> Operator<T> for Concat {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let total: usize = self.stretches.iter().sum();
        for (i, output) in output.chunks_exact_mut(total).enumerate() {
            let mut at = 0;
            for (input, &len) in inputs.iter().zip(&self.stretches) {
                output[at..at + len].copy_from_slice(&input[i * len..(i + 1) * len]);
                at += len;
            }
        }
        Ok(())
    }

    fn backward(
        &mut self,
        _: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        _: &mut [&mut [T]],
    ) {
        let total: usize = self.stretches.iter().sum();
        for (i, d_output) in given.d_output.chunks_exact(total).enumerate() {
            let mut at = 0;
            for (d_input, &len) in d_inputs.iter_mut().zip(&self.stretches) {
                if let Some(d_input) = d_input {
                    d_input[i * len..(i + 1) * len].copy_from_slice(&d_output[at..at + len]);
                }
                at += len;
            }
        }
    }
}
