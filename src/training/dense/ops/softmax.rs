//! Softmax over the last axis.

use super::{Given, Operator, Pass, share};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// Tasks that share the rows of a mini-batch.
const TASKS: usize = 16;

/// Over rows of this many elements.
pub(in crate::training::dense) struct Softmax(pub(in crate::training::dense) usize);

impl<T: Float> Operator<T> for Softmax {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let chunk = share(output.len() / self.0, TASKS, 1) * self.0;
        output
            .par_chunks_mut(chunk)
            .zip(inputs[0].par_chunks(chunk))
            .for_each(|(output, input)| {
                for (output, input) in output.chunks_exact_mut(self.0).zip(input.chunks_exact(self.0)) {
                    let top = input.iter().fold(input[0], |a, &b| if b > a { b } else { a });
                    let mut sum = T::ZERO;
                    for (o, &x) in output.iter_mut().zip(input) {
                        *o = (x - top).exp();
                        sum += *o;
                    }
                    output.iter_mut().for_each(|o| *o = *o / sum);
                }
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
        let chunk = share(d_input.len() / self.0, TASKS, 1) * self.0;
        d_input
            .par_chunks_mut(chunk)
            .zip(given.output.par_chunks(chunk))
            .zip(given.d_output.par_chunks(chunk))
            .for_each(|((d, y), g)| {
                for ((d, y), g) in d
                    .chunks_exact_mut(self.0)
                    .zip(y.chunks_exact(self.0))
                    .zip(g.chunks_exact(self.0))
                {
                    let mean = y.iter().zip(g).fold(T::ZERO, |s, (&y, &g)| s + y * g);
                    for ((d, &y), &g) in d.iter_mut().zip(y).zip(g) {
                        *d = y * (g - mean);
                    }
                }
            });
    }
}
