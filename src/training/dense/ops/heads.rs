//! Heads of an attention: side by side in the features of a token, or matrices of their own.

use super::{Given, Operator, Pass};
use crate::training::dense::float::Float;
use rayon::prelude::*;

#[allow(
    clippy::struct_field_names,
    reason = "heads of the attention, as the field calls them"
)]
/// Moves rows of one head between `tokens × heads × features` and `heads × tokens × features`.
pub(in crate::training::dense) struct Heads {
    /// Tokens of a sample.
    pub(in crate::training::dense) tokens: usize,
    /// Heads.
    pub(in crate::training::dense) heads: usize,
    /// Features of one head.
    pub(in crate::training::dense) features: usize,
    /// From side by side to matrices of their own, or back.
    pub(in crate::training::dense) split: bool,
}

impl Heads {
    fn go<T: Float>(&self, split: bool, from: &[T], to: &mut [T]) {
        let (outer, inner) = if split {
            (self.heads, self.tokens)
        } else {
            (self.tokens, self.heads)
        };
        let d = self.features;
        let len = outer * inner * d;
        to.par_chunks_mut(len)
            .zip(from.par_chunks(len))
            .for_each(|(to, from)| {
                for (i, to) in to.chunks_exact_mut(inner * d).enumerate() {
                    for (j, to) in to.chunks_exact_mut(d).enumerate() {
                        to.copy_from_slice(&from[(j * outer + i) * d..][..d]);
                    }
                }
            });
    }
}

impl<T: Float> Operator<T> for Heads {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        self.go(self.split, inputs[0], output);
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
            self.go(!self.split, given.d_output, d_input);
        }
    }
}
