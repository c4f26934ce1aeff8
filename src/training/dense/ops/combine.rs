//! Operators that move or add values: addition, concatenation, flattening.

use super::{Context, Operator};
use crate::network::Shape;
use crate::training::dense::matmul::Real;

/// The sum of all inputs.
pub(super) struct Add;

impl<T: Real> Operator<T> for Add {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        output.copy_from_slice(context.inputs[0]);
        for input in &context.inputs[1..] {
            output.iter_mut().zip(*input).for_each(|(o, &v)| *o += v);
        }
    }

    fn backward(
        &mut self,
        _: &Context<'_, T>,
        _: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        _: &mut [Vec<T>],
    ) {
        for dx in inputs.iter_mut().flatten() {
            dx.iter_mut().zip(gradient).for_each(|(x, &d)| *x += d);
        }
    }
}

/// The same values under another shape.
pub(super) struct Same;

impl<T: Real> Operator<T> for Same {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        output.copy_from_slice(context.inputs[0]);
    }

    fn backward(
        &mut self,
        context: &Context<'_, T>,
        output: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        parameters: &mut [Vec<T>],
    ) {
        Add.backward(context, output, gradient, inputs, parameters);
    }
}

/// Concatenation along an axis.
pub(super) struct Concat {
    /// Elements of each input from the axis inwards.
    inner: Vec<usize>,
}

impl Concat {
    pub(super) fn new(axis: usize, inputs: &[&Shape]) -> Self {
        Self {
            inner: inputs.iter().map(|s| s.0[axis..].iter().product()).collect(),
        }
    }

    /// Calls `f(input, start in the input, start in the output, length)` for every contiguous run.
    fn runs(&self, total: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
        let row: usize = self.inner.iter().sum();
        for outer in 0..total.checked_div(row).unwrap_or(0) {
            let mut to = outer * row;
            for (i, &n) in self.inner.iter().enumerate() {
                f(i, outer * n, to, n);
                to += n;
            }
        }
    }
}

impl<T: Real> Operator<T> for Concat {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        self.runs(output.len(), |i, from, to, n| {
            output[to..to + n].copy_from_slice(&context.inputs[i][from..from + n])
        });
    }

    fn backward(
        &mut self,
        _: &Context<'_, T>,
        _: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        _: &mut [Vec<T>],
    ) {
        self.runs(gradient.len(), |i, from, to, n| {
            if let Some(dx) = &mut inputs[i] {
                dx[from..from + n]
                    .iter_mut()
                    .zip(&gradient[to..to + n])
                    .for_each(|(x, &d)| *x += d);
            }
        });
    }
}
