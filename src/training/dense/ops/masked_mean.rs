//! The mean of each feature over the tokens that are not padding.

use super::{Given, Operator, Pass, add_to, vectorised};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// See the module. Inputs: rows of features, tokens.
pub(in crate::training::dense) struct MaskedMean {
    /// Features of a token.
    pub(in crate::training::dense) features: usize,
}

/// One over the number of tokens that are not padding; `None` when all are.
fn share_of<T: Float>(tokens: &[T]) -> Option<T> {
    let live = tokens.iter().filter(|&&t| t != T::ZERO).count();
    (live > 0).then(|| T::ONE / T::of(live as f64))
}

impl<T: Float> Operator<T> for MaskedMean {
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let c = self.features;
        let tokens = inputs[1].len() / pass.samples.max(1);
        output
            .par_chunks_mut(c)
            .zip(inputs[0].par_chunks(tokens * c))
            .zip(inputs[1].par_chunks(tokens))
            .for_each(|((output, input), tokens)| {
                output.fill(T::ZERO);
                let Some(share) = share_of(tokens) else { return };
                vectorised(
                    #[inline(always)]
                    || {
                        for (row, &token) in input.chunks_exact(c).zip(tokens) {
                            if token != T::ZERO {
                                add_to(output, row);
                            }
                        }
                        output.iter_mut().for_each(|o| *o = *o * share);
                    },
                );
            });
        Ok(())
    }

    fn backward(
        &mut self,
        pass: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        _: &mut [&mut [T]],
    ) {
        if let Some(d_tokens) = d_inputs[1].as_deref_mut() {
            d_tokens.fill(T::ZERO); // tokens are not continuous
        }
        let Some(d_input) = d_inputs[0].as_deref_mut() else {
            return;
        };
        let c = self.features;
        let tokens = given.inputs[1].len() / pass.samples.max(1);
        d_input
            .par_chunks_mut(tokens * c)
            .zip(given.d_output.par_chunks(c))
            .zip(given.inputs[1].par_chunks(tokens))
            .for_each(|((d_input, d_output), tokens)| {
                let share = share_of(tokens).unwrap_or(T::ZERO);
                for (d, &token) in d_input.chunks_exact_mut(c).zip(tokens) {
                    if token == T::ZERO {
                        d.fill(T::ZERO);
                    } else {
                        d.iter_mut().zip(d_output).for_each(|(d, &g)| *d = g * share);
                    }
                }
            });
    }
}
