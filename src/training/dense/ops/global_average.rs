//! The mean of each channel of a channels-last map.

use super::{Given, Operator, Pass, add_to, vectorised};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// See the module.
pub(in crate::training::dense) struct GlobalAverage {
    /// Rows times columns of the map.
    pub(in crate::training::dense) positions: usize,
    /// Channels.
    pub(in crate::training::dense) channels: usize,
}

impl<T: Float> Operator<T> for GlobalAverage {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let (c, len) = (self.channels, self.positions * self.channels);
        let scale = T::ONE / T::of(self.positions as f64);
        output
            .par_chunks_mut(c)
            .zip(inputs[0].par_chunks(len))
            .for_each(|(output, input)| {
                vectorised(
                    #[inline(always)]
                    || {
                        output.fill(T::ZERO);
                        input.chunks_exact(c).for_each(|row| add_to(output, row));
                        output.iter_mut().for_each(|o| *o = *o * scale);
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
        let Some(d_input) = d_inputs[0].as_deref_mut() else {
            return;
        };
        let (c, len) = (self.channels, self.positions * self.channels);
        let scale = T::ONE / T::of(self.positions as f64);
        d_input
            .par_chunks_mut(len)
            .zip(given.d_output.par_chunks(c))
            .for_each(|(d_input, d_output)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for row in d_input.chunks_exact_mut(c) {
                            row.iter_mut().zip(d_output).for_each(|(d, &g)| *d = g * scale);
                        }
                    },
                );
            });
    }
}
