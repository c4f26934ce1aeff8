//! 2-D convolution that multiplies windows where they stand in a padded, channels-last map, with the live weights alone.
//!
//! No window is copied. Each output, and each derivative, is one chain of multiply-adds whose order does not depend on
//! how positions are shared out, so that all threads may share one sample.

mod geometry;
mod part;

use super::conv::Sizes;
use super::{Given, Operator, Pass, add_to, share, sum_parts, vectorised};
use crate::network::op::Conv2d;
use crate::training::dense::float::Float;
use crate::training::dense::live::Live;
use crate::training::dense::tile::{BLOCK, Factors};
use geometry::{Backward, Windows};
use part::Part;
use rayon::prelude::*;

/// Tasks that share a mini-batch; each keeps its own weight gradient until all are added up in order.
const TASKS: usize = 8;

/// Parts of a sample where there are fewer samples than tasks.
const BANDS: usize = 4;

/// Multiplications of a sample below which it is not shared.
const BAND_LEAST: usize = 1 << 18;

/// Positions whose products are added up before the weight gradient is touched; inputs and derivatives stay in the cache.
const POSITIONS: usize = 256;

/// See the module.
pub(in crate::training::dense) struct Direct<T> {
    sizes: Sizes,
    windows: Windows,
    backward: Backward,
    parts: Vec<Part<T>>,
    /// Whether some output channel, or the derivative by some input, has no weights.
    gaps: [bool; 2],
    /// The values that the kernels were packed from.
    revision: Option<u64>,
    /// Weight and bias gradients of each task, and the sum of the former.
    partial: Vec<T>,
    d_kernels: Vec<T>,
}

impl<T: Float> Direct<T> {
    /// `input` and `output` are `[C, H, W]`.
    pub(in crate::training::dense) fn new(
        conv: Conv2d,
        input: &[usize],
        output: &[usize],
        live: &Live,
    ) -> Self {
        let sizes = Sizes::new(conv, input, output);
        let (windows, backward) = (Windows::new(&sizes), Backward::new(&sizes));
        let groups = live.groups.iter().enumerate();
        let parts: Vec<Part<T>> = groups
            .map(|(g, live)| Part::new(&sizes, g, live, &windows, &backward))
            .collect();
        let rows: usize = parts.iter().map(|p| p.rows.len()).sum();
        let unreached = |p: &Part<T>| p.backward.iter().any(|k| k.offsets.is_empty());
        Self {
            gaps: [rows < sizes.output[2], parts.iter().any(unreached)],
            sizes,
            windows,
            backward,
            parts,
            revision: None,
            partial: Vec::new(),
            d_kernels: Vec::new(),
        }
    }

    /// Whether a convolution fills the blocks of the product well enough to be faster than by copied windows.
    pub(in crate::training::dense) fn suits(conv: &Conv2d) -> bool {
        let rows = conv.out_channels / conv.groups;
        4 * rows.next_multiple_of(BLOCK) <= 5 * rows
    }

    /// Some output rows of one sample, from row `first` on.
    fn band(&self, pass: &Pass<'_, T>, map: &[T], first: usize, bias: Option<&[T]>, output: &mut [T]) {
        let [_, q, k] = self.sizes.output;
        let count = output.len() / (q * k);
        let [from, span] = Windows::rows(&self.sizes, first, count);
        let frame = &self.windows.frame;
        if frame.bare() {
            self.multiply(&map[frame.elements(from)..], count * q, bias, output);
        } else {
            pass.scratch.with(frame.elements(span), |padded| {
                frame.copy(map, from, padded);
                self.multiply(padded, count * q, bias, output);
            });
        }
    }

    /// The first so many output positions of a padded map.
    fn multiply(&self, padded: &[T], positions: usize, bias: Option<&[T]>, output: &mut [T]) {
        let width = self.sizes.output[2];
        if self.gaps[0] {
            match bias {
                Some(bias) => output
                    .chunks_exact_mut(width)
                    .for_each(|row| row.copy_from_slice(bias)),
                None => output.fill(T::ZERO),
            }
        }
        for part in &self.parts {
            for b in 0..part.rows.len().div_ceil(BLOCK) {
                let rows = part.block_rows(b);
                let mut shift = [T::ZERO; BLOCK];
                if let Some(bias) = bias {
                    rows.iter()
                        .zip(&mut shift)
                        .for_each(|(&row, s)| *s = bias[row as usize]);
                }
                let first = rows[0] as usize;
                let adjacent = rows.len() == BLOCK && rows[BLOCK - 1] as usize == first + BLOCK - 1;
                let factors = Factors {
                    data: padded,
                    rows: &self.windows.positions[..positions],
                    columns: &part.forward.offsets,
                    reach: part.forward.reach,
                    right: part.forward.block(b),
                    stride: BLOCK,
                };
                factors.multiply(
                    #[inline(always)]
                    |m, sums| {
                        let output = &mut output[m * width..][..width];
                        if adjacent {
                            let output = &mut output[first..first + BLOCK];
                            for l in 0..BLOCK {
                                output[l] = sums[l] + shift[l];
                            }
                        } else {
                            for (l, &row) in rows.iter().enumerate() {
                                output[row as usize] = sums[l] + shift[l];
                            }
                        }
                    },
                );
            }
        }
    }

    /// Elements of all parts' weight gradients.
    fn gradient_len(&self) -> usize {
        self.parts.iter().map(|p| p.columns.len() * p.width()).sum()
    }

    /// Adds a sample's share to the weight gradient.
    fn d_weights(&self, padded: &[T], d_output: &[T], spare: &mut [T], d_kernels: &mut [T]) {
        let outputs = self.sizes.output[2];
        let positions = &self.windows.positions;
        let mut rest = d_kernels;
        for part in &self.parts {
            let width = part.width();
            let (gradient, others) = rest.split_at_mut(part.columns.len() * width);
            rest = others;
            if part.rows.is_empty() {
                continue;
            }
            let (right, stride): (&[T], usize) = if let Some(first) = part.in_place(outputs) {
                (&d_output[first..], outputs)
            } else {
                let gathered = &mut spare[..positions.len() * width];
                gather(d_output, outputs, &part.rows, width, gathered);
                (gathered, width)
            };
            for (i, positions) in positions.chunks(POSITIONS).enumerate() {
                for b in 0..width / BLOCK {
                    let factors = Factors {
                        data: padded,
                        rows: &part.forward.offsets,
                        columns: positions,
                        reach: positions[positions.len() - 1] as usize,
                        right: &right[i * POSITIONS * stride + b * BLOCK..],
                        stride,
                    };
                    factors.multiply(
                        #[inline(always)]
                        |m, sums| add_to(&mut gradient[m * width + b * BLOCK..][..BLOCK], sums),
                    );
                }
            }
        }
    }

    /// A sample's derivative by the input, from that by the output in its frame.
    fn d_input(&self, padded: &[T], d_input: &mut [T]) {
        if self.gaps[1] {
            d_input.fill(T::ZERO);
        }
        for part in &self.parts {
            let [first, channels] = part.channels;
            for (phase, kernels) in self.backward.phases.iter().zip(&part.backward) {
                if kernels.offsets.is_empty() {
                    continue;
                }
                for b in 0..channels.div_ceil(BLOCK) {
                    let (from, count) = (first + b * BLOCK, (channels - b * BLOCK).min(BLOCK));
                    let factors = Factors {
                        data: padded,
                        rows: &phase.positions,
                        columns: &kernels.offsets,
                        reach: kernels.reach,
                        right: kernels.block(b),
                        stride: BLOCK,
                    };
                    factors.multiply(
                        #[inline(always)]
                        |m, sums| {
                            let to = &mut d_input[phase.to[m] as usize + from..];
                            if count == BLOCK {
                                to[..BLOCK].copy_from_slice(sums);
                            } else {
                                to[..count].copy_from_slice(&sums[..count]);
                            }
                        },
                    );
                }
            }
        }
    }

    /// A task's samples backward; the weight gradient is overwritten.
    fn share_backward(
        &self,
        pass: &Pass<'_, T>,
        input: &[T],
        d_output: &[T],
        mut d_input: Option<&mut [T]>,
        d_kernels: &mut [T],
    ) {
        let (forward, backward) = (&self.windows.frame, &self.backward.frame);
        let own = |bare: bool, len: usize| if bare { 0 } else { len };
        let windows = own(forward.bare(), forward.elements(forward.rows()));
        let slopes = own(backward.bare(), backward.elements(backward.rows()));
        let widest = self.parts.iter().map(Part::width).max().unwrap_or(0);
        let gathered = self.windows.positions.len() * widest;
        d_kernels.fill(T::ZERO);
        let (in_len, out_len) = (self.sizes.input_len(), self.sizes.output_len());
        pass.scratch.with(windows + slopes + gathered, |scratch| {
            let (windows, rest) = scratch.split_at_mut(windows);
            let (slopes, spare) = rest.split_at_mut(slopes);
            let samples = input.chunks_exact(in_len).zip(d_output.chunks_exact(out_len));
            for (i, (map, d_output)) in samples.enumerate() {
                let map = if forward.bare() {
                    map
                } else {
                    forward.copy(map, 0, windows);
                    &*windows
                };
                self.d_weights(map, d_output, spare, d_kernels);
                let Some(d_input) = d_input.as_deref_mut() else {
                    continue;
                };
                let d_output = if backward.bare() {
                    d_output
                } else {
                    backward.copy(d_output, 0, slopes);
                    &*slopes
                };
                self.d_input(d_output, &mut d_input[i * in_len..][..in_len]);
            }
        });
    }
}

/// Copies the chosen channels of every position side by side, zeros behind them.
fn gather<T: Float>(values: &[T], channels: usize, chosen: &[u32], width: usize, to: &mut [T]) {
    for (from, to) in values.chunks_exact(channels).zip(to.chunks_exact_mut(width)) {
        let (kept, zeros) = to.split_at_mut(chosen.len());
        kept.iter_mut()
            .zip(chosen)
            .for_each(|(to, &c)| *to = from[c as usize]);
        zeros.fill(T::ZERO);
    }
}

impl<T: Float> Operator<T> for Direct<T> {
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        if self.revision != Some(pass.revision) {
            self.parts
                .iter_mut()
                .for_each(|part| part.pack_forward(parameters[0]));
            self.revision = Some(pass.revision);
        }
        let this = &*self;
        let bias = parameters.get(1).copied();
        let [p, q, k] = this.sizes.output;
        let products: usize = this.parts.iter().map(|p| p.rows.len() * p.columns.len()).sum();
        let bands = if pass.samples < TASKS && p * q * products >= BAND_LEAST {
            BANDS
        } else {
            1
        };
        let rows = p.div_ceil(bands);
        output
            .par_chunks_mut(this.sizes.output_len())
            .zip(inputs[0].par_chunks(this.sizes.input_len()))
            .for_each(|(output, map)| {
                let bands = output.par_chunks_mut(rows * q * k).enumerate();
                bands.for_each(|(i, output)| this.band(pass, map, i * rows, bias, output));
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
        if d_inputs[0].is_some() {
            self.parts
                .iter_mut()
                .for_each(|part| part.pack_backward(given.parameters[0]));
        }
        let biases = d_parameters.get(1).map_or(0, |b| b.len());
        let weights = self.gradient_len();
        let (in_len, out_len) = (self.sizes.input_len(), self.sizes.output_len());
        let chunk = share(pass.samples, TASKS, 1);
        let tasks = pass.samples.div_ceil(chunk);
        let each = weights + biases;
        let mut partial = std::mem::take(&mut self.partial);
        partial.resize(tasks * each, T::ZERO);
        let d_input: Vec<Option<&mut [T]>> = match d_inputs[0].as_deref_mut() {
            Some(d) => d.chunks_mut(chunk * in_len).map(Some).collect(),
            None => (0..tasks).map(|_| None).collect(),
        };
        let partials: Vec<&mut [T]> = if each == 0 {
            (0..tasks).map(|_| &mut [][..]).collect()
        } else {
            partial.chunks_mut(each).collect()
        };
        let this = &*self;
        d_input
            .into_par_iter()
            .zip(given.inputs[0].par_chunks(chunk * in_len))
            .zip(given.d_output.par_chunks(chunk * out_len))
            .zip(partials)
            .for_each(|(((d_input, input), d_output), partial)| {
                let (d_kernels, d_bias) = partial.split_at_mut(weights);
                if !d_bias.is_empty() {
                    vectorised(
                        #[inline(always)]
                        || {
                            d_bias.fill(T::ZERO);
                            let rows = d_output.chunks_exact(d_bias.len());
                            rows.for_each(|row| add_to(d_bias, row));
                        },
                    );
                }
                this.share_backward(pass, input, d_output, d_input, d_kernels);
            });
        let mut sum = std::mem::take(&mut self.d_kernels);
        sum.resize(each, T::ZERO);
        if each > 0 {
            sum_parts(&mut sum, &partial);
        }
        d_parameters[0].fill(T::ZERO);
        let mut rest = &sum[..];
        for part in &self.parts {
            let (gradient, others) = rest.split_at(part.columns.len() * part.width());
            part.spread(gradient, d_parameters[0]);
            rest = others;
        }
        if let Some(d_bias) = d_parameters.get_mut(1) {
            d_bias.copy_from_slice(rest);
        }
        (self.partial, self.d_kernels) = (partial, sum);
    }
}
