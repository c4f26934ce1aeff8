//! Convolution with one kernel per channel, on channels-last maps: no windows are copied, and the loops run over
//! channels.

use super::conv::Sizes;
use super::{Given, Operator, Pass, add_to, share, sum_parts, vectorised};
use crate::network::op::Conv2d;
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// Tasks that share a mini-batch; their kernel gradients are added in order.
const TASKS: usize = 8;

/// See the module.
pub(in crate::training::dense) struct Depthwise<T> {
    sizes: Sizes,
    /// Kernels as `R × S × K`.
    kernels: Vec<T>,
    /// Kernel and bias gradients of each task, and their sum.
    parts: Vec<T>,
    sum: Vec<T>,
}

impl<T: Float> Depthwise<T> {
    /// `input` and `output` are `[C, H, W]` with equal C, which is also the number of groups.
    pub(in crate::training::dense) fn new(conv: Conv2d, input: &[usize], output: &[usize]) -> Self {
        Self {
            sizes: Sizes::new(conv, input, output),
            kernels: Vec::new(),
            parts: Vec::new(),
            sum: Vec::new(),
        }
    }
}

impl Sizes {
    /// Calls `visit(output position, tap, input position)` for every tap of every window inside one sample.
    #[inline(always)]
    fn taps_of_all(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let [p, q, _] = self.output;
        for y in 0..p {
            for x in 0..q {
                let cols = self.taps(1, x);
                for r in self.taps(0, y) {
                    for s in cols.clone() {
                        let from = self.under(0, y, r) * self.input[1] + self.under(1, x, s);
                        visit(y * q + x, r * self.conv.kernel[1] + s, from);
                    }
                }
            }
        }
    }
}

/// `sum[i] += a[i]·b[i]`
#[inline(always)]
fn add_product<T: Float>(sum: &mut [T], a: &[T], b: &[T]) {
    for ((s, &a), &b) in sum.iter_mut().zip(a).zip(b) {
        *s += a * b;
    }
}

fn transpose<T: Float>(from: &[T], to: &mut [T], rows: usize, cols: usize) {
    for i in 0..rows {
        for j in 0..cols {
            to[j * rows + i] = from[i * cols + j];
        }
    }
}

impl<T: Float> Operator<T> for Depthwise<T> {
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let sizes = self.sizes;
        let c = sizes.output[2];
        self.kernels.resize(parameters[0].len(), T::ZERO);
        transpose(parameters[0], &mut self.kernels, c, parameters[0].len() / c);
        let (in_len, out_len) = (sizes.input_len(), sizes.output_len());
        let kernels = &self.kernels;
        let _ = pass;
        output
            .par_chunks_mut(out_len)
            .zip(inputs[0].par_chunks(in_len))
            .for_each(|(output, input)| {
                match parameters.get(1) {
                    Some(bias) => output
                        .chunks_exact_mut(c)
                        .for_each(|row| row.copy_from_slice(bias)),
                    None => output.fill(T::ZERO),
                }
                vectorised(
                    #[inline(always)]
                    || {
                        sizes.taps_of_all(
                            #[inline(always)]
                            |at, tap, from| {
                                add_product(
                                    &mut output[at * c..][..c],
                                    &input[from * c..][..c],
                                    &kernels[tap * c..][..c],
                                );
                            },
                        );
                    },
                );
            });
        Ok(())
    }

    fn backward(
        &mut self,
        pass: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        d_parameters: &mut [&mut [T]],
    ) {
        let sizes = self.sizes;
        let c = sizes.output[2];
        let (in_len, out_len) = (sizes.input_len(), sizes.output_len());
        let kernels = &self.kernels;
        if let Some(d_input) = d_inputs[0].as_deref_mut() {
            d_input
                .par_chunks_mut(in_len)
                .zip(given.d_output.par_chunks(out_len))
                .for_each(|(d_input, d_output)| {
                    d_input.fill(T::ZERO);
                    vectorised(
                        #[inline(always)]
                        || {
                            sizes.taps_of_all(
                                #[inline(always)]
                                |at, tap, to| {
                                    add_product(
                                        &mut d_input[to * c..][..c],
                                        &d_output[at * c..][..c],
                                        &kernels[tap * c..][..c],
                                    );
                                },
                            );
                        },
                    );
                });
        }
        let chunk = share(pass.samples, TASKS, 1);
        let len = kernels.len() + c;
        self.parts.resize(pass.samples.div_ceil(chunk) * len, T::ZERO);
        let data = given.inputs[0]
            .par_chunks(chunk * in_len)
            .zip(given.d_output.par_chunks(chunk * out_len));
        self.parts
            .par_chunks_mut(len)
            .zip(data)
            .for_each(|(part, (input, d_output))| {
                part.fill(T::ZERO);
                let (d_kernels, d_bias) = part.split_at_mut(len - c);
                for (input, d_output) in input.chunks_exact(in_len).zip(d_output.chunks_exact(out_len)) {
                    vectorised(
                        #[inline(always)]
                        || {
                            sizes.taps_of_all(
                                #[inline(always)]
                                |at, tap, from| {
                                    add_product(
                                        &mut d_kernels[tap * c..][..c],
                                        &d_output[at * c..][..c],
                                        &input[from * c..][..c],
                                    );
                                },
                            );
                            d_output.chunks_exact(c).for_each(|row| add_to(d_bias, row));
                        },
                    );
                }
            });
        self.sum.resize(len, T::ZERO);
        sum_parts(&mut self.sum, &self.parts);
        let (d_kernels, d_bias) = self.sum.split_at(len - c);
        transpose(d_kernels, d_parameters[0], d_kernels.len() / c, c);
        if let Some(d) = d_parameters.get_mut(1) {
            d.copy_from_slice(d_bias);
        }
    }
}
