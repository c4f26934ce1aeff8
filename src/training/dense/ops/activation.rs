//! Element-wise functions.

use super::{CHUNK, Context, Operator};
use crate::network::op;
use crate::training::dense::matmul::Real;
use rayon::prelude::*;
use statrs::function::erf::erf;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

pub(super) struct Activation(pub(super) op::Activation);

fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

/// Φ(x), the normal distribution function.
fn phi<T: Real>(x: T) -> T {
    T::of(0.5 * (1.0 + erf(x.wide() * FRAC_1_SQRT_2)))
}

impl Activation {
    fn value<T: Real>(&self, x: T) -> T {
        let zero = T::default();
        match self.0 {
            op::Activation::Relu => {
                if x > zero {
                    x
                } else {
                    zero
                }
            }
            op::Activation::Relu6 => {
                if x > T::of(6.0) {
                    T::of(6.0)
                } else if x > zero {
                    x
                } else {
                    zero
                }
            }
            op::Activation::Gelu => x * phi(x),
            op::Activation::Silu => x * sigmoid(x),
            op::Activation::Sigmoid => sigmoid(x),
            op::Activation::Tanh => x.tanh(),
        }
    }

    /// The derivative at x, where the value is y.
    fn slope<T: Real>(&self, x: T, y: T) -> T {
        let (zero, one) = (T::default(), T::ONE);
        match self.0 {
            op::Activation::Relu => {
                if x > zero {
                    one
                } else {
                    zero
                }
            }
            op::Activation::Relu6 => {
                if x > zero && x < T::of(6.0) {
                    one
                } else {
                    zero
                }
            }
            op::Activation::Gelu => {
                phi(x) + x * T::of((-0.5 * x.wide() * x.wide()).exp() / (2.0 * PI).sqrt())
            }
            op::Activation::Silu => {
                let s = sigmoid(x);
                s * (one + x * (one - s))
            }
            op::Activation::Sigmoid => y * (one - y),
            op::Activation::Tanh => one - y * y,
        }
    }
}

impl<T: Real> Operator<T> for Activation {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        let chunk = (output.len() / context.samples.max(1) * CHUNK).max(1);
        output
            .par_chunks_mut(chunk)
            .zip(context.inputs[0].par_chunks(chunk))
            .for_each(|(output, input)| {
                output
                    .iter_mut()
                    .zip(input)
                    .for_each(|(o, &x)| *o = self.value(x));
            });
    }

    fn backward(
        &mut self,
        context: &Context<'_, T>,
        output: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        _: &mut [Vec<T>],
    ) {
        let Some(dx) = &mut inputs[0] else { return };
        for (((dx, &x), &y), &d) in dx.iter_mut().zip(context.inputs[0]).zip(output).zip(gradient) {
            *dx += d * self.slope(x, y);
        }
    }
}
