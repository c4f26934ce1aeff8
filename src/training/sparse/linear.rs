//! Linear layers over the kept weights, in the order of the weight matrix.

use super::lanes::{LANES, Lanes, parts, sum, vectorised, vectors, vectors_mut};
use super::slots::Slots;
use pulp::{Arch, Simd, WithSimd};

/// `y = W x + b` with W as one list of (input, weight) per output.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    pub(super) slots: Slots,
    /// Where each output's weights begin; one entry more than outputs.
    pub(super) starts: Vec<usize>,
    /// The input of each kept weight.
    pub(super) inputs: Vec<u32>,
}

impl Linear {
    pub(super) fn forward(&self, values: &[f32], input: &[Lanes], output: &mut [Lanes]) {
        Arch::new().dispatch(Forward {
            linear: self,
            values,
            input,
            output,
        });
    }

    pub(super) fn backward(
        &self,
        values: &[f32],
        input: &[Lanes],
        gradient: &[Lanes],
        input_gradient: Option<&mut [Lanes]>,
        partial: &mut [f32],
    ) {
        let (sums, biases) = self.slots.split(partial);
        for (at, b) in biases.iter_mut().enumerate() {
            *b = sum(&gradient[self.slots.bias_at(at)]);
        }
        vectorised(
            #[inline(always)]
            || {
                for (o, g) in gradient.iter().enumerate() {
                    let range = self.starts[o]..self.starts[o + 1];
                    for (&i, s) in self.inputs[range.clone()].iter().zip(&mut sums[range]) {
                        *s = dot(&input[i as usize], g);
                    }
                }
            },
        );
        if let Some(to) = input_gradient {
            Arch::new().dispatch(ByInput {
                linear: self,
                values,
                gradient,
                to,
            });
        }
    }
}

/// The sum over the samples of a product.
#[inline(always)]
fn dot(x: &Lanes, g: &Lanes) -> f32 {
    let mut product = [0.0; LANES];
    for l in 0..LANES {
        product[l] = x[l] * g[l];
    }
    sum(&product)
}

struct Forward<'a> {
    linear: &'a Linear,
    values: &'a [f32],
    input: &'a [Lanes],
    output: &'a mut [Lanes],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            linear,
            values,
            input,
            output,
        } = self;
        let (weights, parts) = (linear.slots.weights(values), parts::<S>());
        let (x, y) = (vectors::<S>(input), vectors_mut::<S>(output));
        for o in 0..y.len() / parts {
            let range = linear.starts[o]..linear.starts[o + 1];
            let (inputs, weights) = (&linear.inputs[range.clone()], &weights[range]);
            for part in 0..parts {
                let mut sum = simd.splat_f32s(linear.slots.bias(values, o));
                for (&i, &w) in inputs.iter().zip(weights) {
                    let product = simd.mul_f32s(x[i as usize * parts + part], simd.splat_f32s(w));
                    sum = simd.add_f32s(sum, product);
                }
                y[o * parts + part] = sum;
            }
        }
    }
}

/// The derivative by the input.
struct ByInput<'a> {
    linear: &'a Linear,
    values: &'a [f32],
    gradient: &'a [Lanes],
    to: &'a mut [Lanes],
}

impl WithSimd for ByInput<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            linear,
            values,
            gradient,
            to,
        } = self;
        let (weights, parts) = (linear.slots.weights(values), parts::<S>());
        to.fill([0.0; LANES]);
        let (d, dx) = (vectors::<S>(gradient), vectors_mut::<S>(to));
        for o in 0..gradient.len() {
            let range = linear.starts[o]..linear.starts[o + 1];
            for (&i, &w) in linear.inputs[range.clone()].iter().zip(&weights[range]) {
                let w = simd.splat_f32s(w);
                for part in 0..parts {
                    let at = i as usize * parts + part;
                    dx[at] = simd.add_f32s(dx[at], simd.mul_f32s(d[o * parts + part], w));
                }
            }
        }
    }
}
