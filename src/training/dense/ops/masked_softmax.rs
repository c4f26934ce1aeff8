//! Softmax of scaled scores over the keys that are not padding.

use super::{Given, Operator, Pass, vectorised};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// See the module. Inputs: scores, tokens of the keys.
pub(in crate::training::dense) struct MaskedSoftmax<T> {
    /// Elements of a row.
    pub(in crate::training::dense) keys: usize,
    /// Rows of a sample: heads times queries.
    pub(in crate::training::dense) rows: usize,
    /// What scores are multiplied by.
    pub(in crate::training::dense) scale: T,
}

impl<T: Float> Operator<T> for MaskedSoftmax<T> {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let (keys, scale) = (self.keys, self.scale);
        output
            .par_chunks_mut(self.rows * keys)
            .zip(inputs[0].par_chunks(self.rows * keys))
            .zip(inputs[1].par_chunks(keys))
            .for_each(|((output, input), tokens)| {
                for (output, input) in output.chunks_exact_mut(keys).zip(input.chunks_exact(keys)) {
                    row(input, tokens, scale, output);
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
        if let Some(d_tokens) = d_inputs[1].as_deref_mut() {
            d_tokens.fill(T::ZERO); // tokens are not continuous
        }
        let Some(d_input) = d_inputs[0].as_deref_mut() else {
            return;
        };
        let (keys, scale) = (self.keys, self.scale);
        let len = self.rows * keys;
        d_input
            .par_chunks_mut(len)
            .zip(given.output.par_chunks(len))
            .zip(given.d_output.par_chunks(len))
            .for_each(|((d, y), g)| {
                for ((d, y), g) in d
                    .chunks_exact_mut(keys)
                    .zip(y.chunks_exact(keys))
                    .zip(g.chunks_exact(keys))
                {
                    // masked outputs are zero, and with them their derivatives
                    let mean = y.iter().zip(g).fold(T::ZERO, |s, (&y, &g)| s + y * g);
                    for ((d, &y), &g) in d.iter_mut().zip(y).zip(g) {
                        *d = scale * y * (g - mean);
                    }
                }
            });
    }
}

/// One row; zeros when every key is padding.
fn row<T: Float>(input: &[T], tokens: &[T], scale: T, output: &mut [T]) {
    let live = |token: T| token != T::ZERO;
    let top = input
        .iter()
        .zip(tokens)
        .filter(|&(_, &t)| live(t))
        .fold(None, |top: Option<T>, (&x, _)| match top {
            Some(top) if x > top => Some(x),
            None => Some(x),
            _ => top,
        });
    let Some(top) = top else {
        output.fill(T::ZERO);
        return;
    };
    vectorised(
        #[inline(always)]
        || {
            for ((o, &x), &t) in output.iter_mut().zip(input).zip(tokens) {
                let power = ((x - top) * scale).plain_exp();
                *o = if live(t) { power } else { T::ZERO };
            }
            let inverse = T::ONE / output.iter().fold(T::ZERO, |sum, &o| sum + o);
            output.iter_mut().for_each(|o| *o = *o * inverse);
        },
    );
}
