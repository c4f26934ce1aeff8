//! Rows of a table picked by tokens.

use super::{Context, Operator};
use crate::training::dense::matmul::Real;

pub(super) struct Embedding {
    vocabulary: usize,
    features: usize,
}

impl Embedding {
    pub(super) fn new(vocabulary: usize, features: usize) -> Self {
        Self { vocabulary, features }
    }

    /// The row of a token: rounded to a whole number, held inside the table.
    fn row<T: Real>(&self, token: T) -> usize {
        (token.wide().round().max(0.0) as usize).min(self.vocabulary - 1) * self.features
    }
}

impl<T: Real> Operator<T> for Embedding {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        for (out, &token) in output.chunks_exact_mut(self.features).zip(context.inputs[0]) {
            out.copy_from_slice(&context.parameters[0][self.row(token)..][..self.features]);
        }
    }

    fn backward(
        &mut self,
        context: &Context<'_, T>,
        _: &[T],
        gradient: &[T],
        _: &mut [Option<Vec<T>>],
        parameters: &mut [Vec<T>],
    ) {
        for (d, &token) in gradient.chunks_exact(self.features).zip(context.inputs[0]) {
            parameters[0][self.row(token)..][..self.features]
                .iter_mut()
                .zip(d)
                .for_each(|(g, &d)| *g += d);
        }
    }
}
