//! Element-wise functions.

use super::{BLOCK, Given, Operator, Pass, vectorised};
use crate::network::op::Activation;
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// See the module.
pub(in crate::training::dense) struct Activate(pub(in crate::training::dense) Activation);

/// Applies `f` to every element.
fn map<T: Float>(input: &[T], output: &mut [T], f: impl Fn(T) -> T + Sync) {
    output
        .par_chunks_mut(BLOCK)
        .zip(input.par_chunks(BLOCK))
        .for_each(|(output, input)| {
            vectorised(
                #[inline(always)]
                || {
                    for (o, &x) in output.iter_mut().zip(input) {
                        *o = f(x);
                    }
                },
            );
        });
}

/// `d_input = d_output · f(x)` where x is the input or the output, whichever the derivative is simpler in.
fn chain<T: Float>(x: &[T], d_output: &[T], d_input: &mut [T], f: impl Fn(T) -> T + Sync) {
    d_input
        .par_chunks_mut(BLOCK)
        .zip(x.par_chunks(BLOCK))
        .zip(d_output.par_chunks(BLOCK))
        .for_each(|((d_input, x), d_output)| {
            vectorised(
                #[inline(always)]
                || {
                    for ((d, &x), &g) in d_input.iter_mut().zip(x).zip(d_output) {
                        *d = g * f(x);
                    }
                },
            );
        });
}

fn sigmoid<T: Float>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

impl<T: Float> Operator<T> for Activate {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let x = inputs[0];
        // comparisons are written so that a value that is not a number stays one
        match self.0 {
            Activation::Relu => map(
                x,
                output,
                #[inline(always)]
                |x| if x < T::ZERO { T::ZERO } else { x },
            ),
            Activation::Relu6 => {
                let six = T::of(6.0);
                map(
                    x,
                    output,
                    #[inline(always)]
                    move |x| {
                        if x < T::ZERO {
                            T::ZERO
                        } else if x > six {
                            six
                        } else {
                            x
                        }
                    },
                );
            }
            Activation::Gelu => map(
                x,
                output,
                #[inline(always)]
                |x| x * x.normal()[0],
            ),
            Activation::Silu => map(x, output, |x| x * sigmoid(x)),
            Activation::Sigmoid => map(x, output, sigmoid),
            Activation::Tanh => map(x, output, T::tanh),
        }
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
        let (x, y, g) = (given.inputs[0], given.output, given.d_output);
        match self.0 {
            Activation::Relu => chain(
                y,
                g,
                d_input,
                #[inline(always)]
                |y| if y > T::ZERO { T::ONE } else { T::ZERO },
            ),
            Activation::Relu6 => {
                let six = T::of(6.0);
                chain(
                    x,
                    g,
                    d_input,
                    #[inline(always)]
                    move |x| if x > T::ZERO && x < six { T::ONE } else { T::ZERO },
                );
            }
            Activation::Gelu => chain(
                x,
                g,
                d_input,
                #[inline(always)]
                |x| {
                    let [distribution, density] = x.normal();
                    distribution + x * density
                },
            ),
            Activation::Silu => chain(x, g, d_input, |x| {
                let s = sigmoid(x);
                s * (T::ONE + x * (T::ONE - s))
            }),
            Activation::Sigmoid => chain(y, g, d_input, |y| y * (T::ONE - y)),
            Activation::Tanh => chain(y, g, d_input, |y| T::ONE - y * y),
        }
    }
}
