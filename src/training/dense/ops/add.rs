//! The element-wise sum of two or more tensors.

use super::{BLOCK, Given, Operator, Pass, add_to, vectorised};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// See the module.
pub(in crate::training::dense) struct Add;

impl<T: Float> Operator<T> for Add {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        output.par_chunks_mut(BLOCK).enumerate().for_each(|(i, output)| {
            let part = |input: &'_ [T]| i * BLOCK..(i * BLOCK + output.len()).min(input.len());
            let ranges: Vec<_> = inputs.iter().map(|input| part(input)).collect();
            output.copy_from_slice(&inputs[0][ranges[0].clone()]);
            vectorised(
                #[inline(always)]
                || {
                    for (input, range) in inputs.iter().zip(&ranges).skip(1) {
                        add_to(output, &input[range.clone()]);
                    }
                },
            );
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
        for d_input in d_inputs.iter_mut().flatten() {
            d_input.copy_from_slice(given.d_output);
        }
    }
}
