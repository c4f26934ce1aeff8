//! `y = W x + b` on the last axis.

use super::{CHUNK, Context, Operator};
use crate::network::Shape;
use crate::training::dense::matmul::{Real, View, product};
use rayon::prelude::*;

pub(super) struct Linear {
    outputs: usize,
    inputs: usize,
    /// Rows of one sample: the product of the leading axes.
    rows: usize,
}

impl Linear {
    pub(super) fn new(outputs: usize, input: &Shape) -> Self {
        let inputs = input.0.last().copied().unwrap_or(1);
        Self {
            outputs,
            inputs,
            rows: input.elements() / inputs,
        }
    }
}

/// Output rows of the weight gradient that one thread takes at a time.
const ROWS: usize = 64;

impl<T: Real> Operator<T> for Linear {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        let (m, n) = (self.outputs, self.inputs);
        let weight = View::new(context.parameters[0], m, n);
        let chunk = 4 * CHUNK * self.rows;
        output
            .par_chunks_mut(m * chunk)
            .zip(context.inputs[0].par_chunks(n * chunk))
            .for_each(|(output, input)| {
                let rows = input.len() / n;
                product(output, View::new(input, rows, n), weight.t(), false);
                if let Some(bias) = context.parameters.get(1) {
                    for row in output.chunks_exact_mut(m) {
                        row.iter_mut().zip(*bias).for_each(|(v, &b)| *v += b);
                    }
                }
            });
    }

    fn backward(
        &mut self,
        context: &Context<'_, T>,
        _: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        parameters: &mut [Vec<T>],
    ) {
        let (m, n) = (self.outputs, self.inputs);
        let rows = context.samples * self.rows;
        let input = View::new(context.inputs[0], rows, n);
        parameters[0]
            .par_chunks_mut(ROWS * n)
            .enumerate()
            .for_each(|(block, dw)| {
                // rows of dW = columns of the gradient
                let (first, count) = (block * ROWS, dw.len() / n);
                let columns: Vec<T> = gradient
                    .chunks_exact(m)
                    .flat_map(|row| row[first..first + count].iter().copied())
                    .collect();
                product(dw, View::new(&columns, rows, count).t(), input, true);
            });
        if let Some(db) = parameters.get_mut(1) {
            for row in gradient.chunks_exact(m) {
                db.iter_mut().zip(row).for_each(|(b, &v)| *b += v);
            }
        }
        if let Some(dx) = &mut inputs[0] {
            let weight = View::new(context.parameters[0], m, n);
            let chunk = 4 * CHUNK * self.rows;
            dx.par_chunks_mut(n * chunk)
                .zip(gradient.par_chunks(m * chunk))
                .for_each(|(dx, dy)| {
                    product(dx, View::new(dy, dy.len() / m, m), weight, true);
                });
        }
    }
}
