//! Linear layers over the kept weights, in the order of the weight matrix.

use super::lanes::{Lanes, vectorised};
use super::slots::Slots;

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
        vectorised(
            #[inline(always)]
            || {
                let weights = self.slots.weights(values);
                for (o, out) in output.iter_mut().enumerate() {
                    let mut sum = Lanes::splat(self.slots.bias(values, o));
                    let range = self.starts[o]..self.starts[o + 1];
                    for (&i, &w) in self.inputs[range.clone()].iter().zip(&weights[range]) {
                        sum = sum.plus(input[i as usize].times(Lanes::splat(w)));
                    }
                    *out = sum;
                }
            },
        );
    }

    pub(super) fn backward(
        &self,
        values: &[f32],
        input: &[Lanes],
        gradient: &[Lanes],
        input_gradient: Option<&mut [Lanes]>,
        partial: &mut [f32],
    ) {
        vectorised(
            #[inline(always)]
            || {
                let weights = self.slots.weights(values);
                let (sums, biases) = self.slots.split(partial);
                for (o, b) in biases.iter_mut().enumerate() {
                    *b = gradient[self.slots.bias_at(o)].sum();
                }
                for (o, g) in gradient.iter().enumerate() {
                    let range = self.starts[o]..self.starts[o + 1];
                    for (&i, s) in self.inputs[range.clone()].iter().zip(&mut sums[range]) {
                        *s = input[i as usize].times(*g).sum();
                    }
                }
                if let Some(input_gradient) = input_gradient {
                    input_gradient.fill(Lanes::ZERO);
                    for (o, g) in gradient.iter().enumerate() {
                        let range = self.starts[o]..self.starts[o + 1];
                        for (&i, &w) in self.inputs[range.clone()].iter().zip(&weights[range]) {
                            let d = &mut input_gradient[i as usize];
                            *d = d.plus(g.times(Lanes::splat(w)));
                        }
                    }
                }
            },
        );
    }
}
