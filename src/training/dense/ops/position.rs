//! A trained row added to every position.

use super::{Given, Operator, Pass, add_to, vectorised};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// See the module. Parameter: the table, as large as a sample.
pub(in crate::training::dense) struct Position {
    /// Elements of a sample.
    pub(in crate::training::dense) elements: usize,
}

impl<T: Float> Operator<T> for Position {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        output
            .par_chunks_mut(self.elements)
            .zip(inputs[0].par_chunks(self.elements))
            .for_each(|(output, input)| {
                output.copy_from_slice(input);
                vectorised(
                    #[inline(always)]
                    || add_to(output, parameters[0]),
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
        if let Some(d_input) = d_inputs[0].as_deref_mut() {
            d_input.copy_from_slice(given.d_output);
        }
        let d_table = &mut d_parameters[0];
        vectorised(
            #[inline(always)]
            || {
                d_table.fill(T::ZERO);
                given
                    .d_output
                    .chunks_exact(self.elements)
                    .for_each(|sample| add_to(d_table, sample));
            },
        );
    }
}
