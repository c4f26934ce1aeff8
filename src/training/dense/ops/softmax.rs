//! Softmax over the last axis.

use super::{Context, Operator};
use crate::network::Shape;
use crate::training::dense::matmul::Real;

pub(super) struct Softmax {
    width: usize,
}

impl Softmax {
    pub(super) fn new(input: &Shape) -> Self {
        Self {
            width: input.0.last().copied().unwrap_or(1),
        }
    }
}

impl<T: Real> Operator<T> for Softmax {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        for (out, row) in output
            .chunks_exact_mut(self.width)
            .zip(context.inputs[0].chunks_exact(self.width))
        {
            let top = row.iter().copied().fold(row[0], |a, b| if b > a { b } else { a });
            let mut sum = T::default();
            for (o, &x) in out.iter_mut().zip(row) {
                *o = (x - top).exp();
                sum += *o;
            }
            out.iter_mut().for_each(|o| *o = *o / sum);
        }
    }

    fn backward(
        &mut self,
        _: &Context<'_, T>,
        output: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        _: &mut [Vec<T>],
    ) {
        let Some(dx) = &mut inputs[0] else { return };
        for ((dx, y), d) in dx
            .chunks_exact_mut(self.width)
            .zip(output.chunks_exact(self.width))
            .zip(gradient.chunks_exact(self.width))
        {
            let mut dot = T::default();
            y.iter().zip(d).for_each(|(&y, &d)| dot += y * d);
            for ((x, &y), &d) in dx.iter_mut().zip(y).zip(d) {
                *x += y * (d - dot);
            }
        }
    }
}
