//! 2-D convolution on channels-last maps: windows are copied into the rows of a matrix, which is multiplied by
//! the kernels.

use super::{Given, Operator, Pass, add_to, share, sum_parts, vectorised};
use crate::network::op::{Conv2d, Padding};
use crate::training::dense::float::Float;
use crate::training::dense::matmul::{Matrix, matmul};
use rayon::prelude::*;

/// Bytes of window rows that are built at a time: they stay in the second-level cache between the copy and the product.
const WINDOW_BYTES: usize = 1 << 19;

/// Tasks that share a mini-batch; each keeps its own weight gradient until all are added up in order.
const TASKS: usize = 8;

/// The sizes of a convolution on one sample, in the loop nest's letters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Input rows, columns, channels.
    pub(super) input: [usize; 3],
    /// Output rows, columns, channels.
    pub(super) output: [usize; 3],
    /// The operation.
    pub(super) conv: Conv2d,
}

impl Sizes {
    /// `input` and `output` are `[C, H, W]`.
    pub(super) fn new(conv: Conv2d, input: &[usize], output: &[usize]) -> Self {
        Self {
            input: [input[1], input[2], input[0]],
            output: [output[1], output[2], output[0]],
            conv,
        }
    }

    /// Elements of one input sample.
    pub(super) fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Elements of one output sample.
    pub(super) fn output_len(&self) -> usize {
        self.output.iter().product()
    }

    /// Kernel positions on one axis whose input index lies inside the map: a range of kernel indices.
    pub(super) fn taps(&self, axis: usize, out: usize) -> std::ops::Range<usize> {
        let c = &self.conv;
        let before = if axis == 0 { c.padding.top } else { c.padding.left };
        let at = out * c.stride[axis]; // input index of tap t is at + t·dilation − before
        let first = before.saturating_sub(at).div_ceil(c.dilation[axis]);
        let last = (self.input[axis] + before)
            .saturating_sub(at)
            .div_ceil(c.dilation[axis])
            .min(c.kernel[axis]);
        first.min(last)..last
    }

    /// The input index under a tap that [`Sizes::taps`] returned.
    pub(super) fn under(&self, axis: usize, out: usize, tap: usize) -> usize {
        let before = if axis == 0 {
            self.conv.padding.top
        } else {
            self.conv.padding.left
        };
        out * self.conv.stride[axis] + tap * self.conv.dilation[axis] - before
    }
}

/// See the module.
pub(in crate::training::dense) struct Conv<T> {
    sizes: Sizes,
    /// Kernels as `K × R × S × C/groups`, copied from `K × C/groups × R × S` before every step.
    kernels: Vec<T>,
    /// The gradient in the same order, summed over tasks.
    d_kernels: Vec<T>,
    /// Kernel and bias gradients of each task.
    parts: Vec<T>,
}

impl<T: Float> Conv<T> {
    /// `input` and `output` are `[C, H, W]`.
    pub(in crate::training::dense) fn new(conv: Conv2d, input: &[usize], output: &[usize]) -> Self {
        Self {
            sizes: Sizes::new(conv, input, output),
            kernels: Vec::new(),
            d_kernels: Vec::new(),
            parts: Vec::new(),
        }
    }
}

impl Sizes {
    fn group_channels(&self) -> [usize; 2] {
        [
            self.input[2] / self.conv.groups,
            self.output[2] / self.conv.groups,
        ]
    }

    /// Columns of the window matrix of one group.
    fn depth(&self) -> usize {
        self.conv.kernel[0] * self.conv.kernel[1] * self.group_channels()[0]
    }

    /// Whether the map itself is the window matrix.
    fn pointwise(&self) -> bool {
        let c = &self.conv;
        c.kernel == [1, 1] && c.stride == [1, 1] && c.padding == Padding::default() && c.groups == 1
    }

    /// Samples whose windows are built at a time.
    fn block<T>(&self) -> usize {
        let bytes = self.output[0] * self.output[1] * self.depth() * size_of::<T>();
        (WINDOW_BYTES / bytes.max(1)).max(1)
    }

    /// Calls `visit(window position, place in the map, elements)` for every adjacent run of one group's windows
    /// in one sample.
    #[inline(always)]
    fn runs(&self, group: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let [_, w, channels] = self.input;
        let [p, q, _] = self.output;
        let [c, _] = self.group_channels();
        let [_, s] = self.conv.kernel;
        let depth = self.depth();
        let adjacent = c == channels && self.conv.dilation[1] == 1;
        for y in 0..p {
            let rows = self.taps(0, y);
            for x in 0..q {
                let cols = self.taps(1, x);
                let at = (y * q + x) * depth;
                for r in rows.clone() {
                    let line = self.under(0, y, r) * w;
                    if adjacent {
                        if !cols.is_empty() {
                            let from = (line + self.under(1, x, cols.start)) * channels;
                            visit(at + (r * s + cols.start) * c, from, cols.len() * c);
                        }
                    } else {
                        for t in cols.clone() {
                            let from = (line + self.under(1, x, t)) * channels + group * c;
                            visit(at + (r * s + t) * c, from, c);
                        }
                    }
                }
            }
        }
    }

    /// Whether a window's runs are single values, so that windows are stored transposed: one row per tap, its values
    /// over output columns side by side.
    fn transposed(&self) -> bool {
        self.group_channels()[0] == 1
    }

    /// The window matrix of one group of `rows` output positions.
    fn windows<'a, T: Float>(&self, windows: &'a [T], rows: usize) -> Matrix<'a, T> {
        if self.transposed() {
            Matrix::transposed(windows, 0, rows)
        } else {
            Matrix::rows(windows, 0, self.depth())
        }
    }

    /// Copies the windows of one group of a block of samples; positions over padding are zero.
    fn gather<T: Float>(&self, group: usize, input: &[T], windows: &mut [T]) {
        if self.conv.padding != Padding::default() {
            windows.fill(T::ZERO);
        }
        let positions = self.output[0] * self.output[1];
        let maps = input.chunks_exact(self.input_len());
        if self.transposed() {
            let rows = maps.len() * positions;
            for (i, map) in maps.enumerate() {
                vectorised(
                    #[inline(always)]
                    || {
                        self.lines(
                            #[inline(always)]
                            |tap, row, x, from, step, count| {
                                let to = &mut windows[tap * rows + i * positions + row + x..][..count];
                                let from = &map[from + group..];
                                if step == 1 {
                                    to.copy_from_slice(&from[..count]);
                                } else {
                                    to.iter_mut()
                                        .zip(from.iter().step_by(step))
                                        .for_each(|(to, &v)| *to = v);
                                }
                            },
                        );
                    },
                );
            }
            return;
        }
        for (map, windows) in maps.zip(windows.chunks_exact_mut(positions * self.depth())) {
            vectorised(
                #[inline(always)]
                || {
                    self.runs(
                        group,
                        #[inline(always)]
                        |to, from, len| windows[to..to + len].copy_from_slice(&map[from..from + len]),
                    );
                },
            );
        }
    }

    /// Adds the windows of one group of a block of samples back to where they were copied from.
    fn scatter<T: Float>(&self, group: usize, windows: &[T], d_input: &mut [T]) {
        let positions = self.output[0] * self.output[1];
        let maps = d_input.chunks_exact_mut(self.input_len());
        if self.transposed() {
            let rows = maps.len() * positions;
            for (i, map) in maps.enumerate() {
                vectorised(
                    #[inline(always)]
                    || {
                        self.lines(
                            #[inline(always)]
                            |tap, row, x, to, step, count| {
                                let from = &windows[tap * rows + i * positions + row + x..][..count];
                                let to = &mut map[to + group..];
                                to.iter_mut()
                                    .step_by(step)
                                    .zip(from)
                                    .for_each(|(to, &v)| *to += v);
                            },
                        );
                    },
                );
            }
            return;
        }
        for (map, windows) in maps.zip(windows.chunks_exact(positions * self.depth())) {
            vectorised(
                #[inline(always)]
                || {
                    self.runs(
                        group,
                        #[inline(always)]
                        |at, to, len| add_to(&mut map[to..to + len], &windows[at..at + len]),
                    );
                },
            );
        }
    }

    /// Calls `visit(tap, first position of the row, first column, place in the map, step in the map, columns)` for
    /// every kernel tap and every output row that it meets: the columns whose input lies inside the map.
    #[inline(always)]
    fn lines(&self, mut visit: impl FnMut(usize, usize, usize, usize, usize, usize)) {
        let [_, w, channels] = self.input;
        let [p, q, _] = self.output;
        let c = &self.conv;
        for s in 0..c.kernel[1] {
            // output columns x with 0 <= x·stride + s·dilation − left < w
            let shift = s * c.dilation[1];
            let first = c.padding.left.saturating_sub(shift).div_ceil(c.stride[1]);
            let last = (w + c.padding.left)
                .saturating_sub(shift)
                .div_ceil(c.stride[1])
                .min(q);
            if first >= last {
                continue;
            }
            for y in 0..p {
                for r in self.taps(0, y) {
                    let from = (self.under(0, y, r) * w + self.under(1, first, s)) * channels;
                    visit(
                        r * c.kernel[1] + s,
                        y * q,
                        first,
                        from,
                        c.stride[1] * channels,
                        last - first,
                    );
                }
            }
        }
    }

    /// Copies kernels between `K × C × R × S` and `K × R × S × C`.
    fn reorder<T: Float>(&self, from: &[T], to: &mut [T], channels_last: bool) {
        let [c, _] = self.group_channels();
        let taps = self.conv.kernel[0] * self.conv.kernel[1];
        for (from, to) in from.chunks_exact(c * taps).zip(to.chunks_exact_mut(c * taps)) {
            for i in 0..c {
                for t in 0..taps {
                    if channels_last {
                        to[t * c + i] = from[i * taps + t];
                    } else {
                        to[i * taps + t] = from[t * c + i];
                    }
                }
            }
        }
    }
}

impl<T: Float> Operator<T> for Conv<T> {
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let sizes = self.sizes;
        self.kernels.resize(parameters[0].len(), T::ZERO);
        sizes.reorder(parameters[0], &mut self.kernels, true);
        let (kernels, bias) = (&self.kernels, parameters.get(1).copied());
        let (in_len, out_len) = (sizes.input_len(), sizes.output_len());
        let chunk = share(pass.samples, TASKS, 1);
        output
            .par_chunks_mut(chunk * out_len)
            .zip(inputs[0].par_chunks(chunk * in_len))
            .for_each(|(output, input)| {
                let block = sizes.block::<T>();
                for (output, input) in output
                    .chunks_mut(block * out_len)
                    .zip(input.chunks(block * in_len))
                {
                    sizes.forward(pass, input, kernels, bias, output);
                }
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
        let (weights, biases) = (self.kernels.len(), d_parameters.get(1).map_or(0, |b| b.len()));
        let (in_len, out_len) = (sizes.input_len(), sizes.output_len());
        let chunk = share(pass.samples, TASKS, 1);
        let tasks = pass.samples.div_ceil(chunk);
        self.parts.resize(tasks * (weights + biases), T::ZERO);
        let (weight_parts, bias_parts) = self.parts.split_at_mut(tasks * weights);
        let d_input: Vec<Option<&mut [T]>> = match d_inputs[0].as_deref_mut() {
            Some(d) => d.chunks_mut(chunk * in_len).map(Some).collect(),
            None => (0..tasks).map(|_| None).collect(),
        };
        let bias_parts: Vec<&mut [T]> = if biases == 0 {
            (0..tasks).map(|_| &mut [][..]).collect()
        } else {
            bias_parts.chunks_mut(biases).collect()
        };
        let kernels = &self.kernels;
        d_input
            .into_par_iter()
            .zip(given.inputs[0].par_chunks(chunk * in_len))
            .zip(given.d_output.par_chunks(chunk * out_len))
            .zip(weight_parts.par_chunks_mut(weights).zip(bias_parts))
            .for_each(|(((mut d_input, input), d_output), (d_kernels, d_bias))| {
                if !d_bias.is_empty() {
                    vectorised(
                        #[inline(always)]
                        || {
                            d_bias.fill(T::ZERO);
                            d_output
                                .chunks_exact(d_bias.len())
                                .for_each(|row| add_to(d_bias, row));
                        },
                    );
                }
                let block = sizes.block::<T>();
                for (i, (input, d_output)) in input
                    .chunks(block * in_len)
                    .zip(d_output.chunks(block * out_len))
                    .enumerate()
                {
                    let d_input = d_input
                        .as_deref_mut()
                        .map(|d| &mut d[i * block * in_len..][..input.len()]);
                    sizes.backward(pass, input, d_output, kernels, d_input, d_kernels, i > 0);
                }
            });
        self.d_kernels.resize(weights, T::ZERO);
        sum_parts(&mut self.d_kernels, weight_parts);
        sizes.reorder(&self.d_kernels, d_parameters[0], false);
        if let Some(d_bias) = d_parameters.get_mut(1) {
            d_bias.fill(T::ZERO);
            for part in self.parts[tasks * weights..].chunks_exact(biases) {
                add_to(d_bias, part);
            }
        }
    }
}

impl Sizes {
    /// A block of samples forward.
    fn forward<T: Float>(
        &self,
        pass: &Pass<'_, T>,
        input: &[T],
        kernels: &[T],
        bias: Option<&[T]>,
        output: &mut [T],
    ) {
        let [_, k] = self.group_channels();
        let (depth, width) = (self.depth(), self.output[2]);
        let rows = output.len() / width;
        if let Some(bias) = bias {
            output
                .chunks_exact_mut(width)
                .for_each(|row| row.copy_from_slice(bias));
        }
        let mut product = |group: usize, windows: Matrix<'_, T>| {
            let kernels = Matrix::transposed(kernels, group * k * depth, depth);
            matmul(
                [rows, depth, k],
                windows,
                kernels,
                output,
                (group * k, width),
                bias.is_some(),
            );
        };
        if self.pointwise() {
            product(0, Matrix::rows(input, 0, depth));
            return;
        }
        pass.scratch.with(rows * depth, |windows| {
            for group in 0..self.conv.groups {
                self.gather(group, input, windows);
                product(group, self.windows(windows, rows));
            }
        });
    }

    /// A block of samples backward; the kernel gradient is overwritten, or added to when `accumulate`.
    #[allow(clippy::too_many_arguments)] // the operands of one kernel, each used once
    fn backward<T: Float>(
        &self,
        pass: &Pass<'_, T>,
        input: &[T],
        d_output: &[T],
        kernels: &[T],
        mut d_input: Option<&mut [T]>,
        d_kernels: &mut [T],
        accumulate: bool,
    ) {
        let [_, k] = self.group_channels();
        let (depth, width) = (self.depth(), self.output[2]);
        let rows = d_output.len() / width;
        if self.pointwise() {
            let d_cols = Matrix::transposed(d_output, 0, width);
            matmul(
                [k, rows, depth],
                d_cols,
                Matrix::rows(input, 0, depth),
                d_kernels,
                (0, depth),
                accumulate,
            );
            if let Some(d) = d_input {
                let d_rows = Matrix::rows(d_output, 0, width);
                matmul(
                    [rows, k, depth],
                    d_rows,
                    Matrix::rows(kernels, 0, depth),
                    d,
                    (0, depth),
                    false,
                );
            }
            return;
        }
        if let Some(d) = d_input.as_deref_mut() {
            d.fill(T::ZERO);
        }
        pass.scratch.with(rows * depth, |windows| {
            for group in 0..self.conv.groups {
                self.gather(group, input, windows);
                let first = group * k * depth;
                let d_rows = Matrix::rows(d_output, group * k, width);
                let d_cols = Matrix::transposed(d_output, group * k, width);
                matmul(
                    [k, rows, depth],
                    d_cols,
                    self.windows(windows, rows),
                    d_kernels,
                    (first, depth),
                    accumulate,
                );
                let Some(d) = d_input.as_deref_mut() else { continue };
                if self.transposed() {
                    let kernels = Matrix::transposed(kernels, first, depth);
                    matmul([depth, k, rows], kernels, d_cols, windows, (0, rows), false);
                } else {
                    let kernels = Matrix::rows(kernels, first, depth);
                    matmul([rows, k, depth], d_rows, kernels, windows, (0, depth), false);
                }
                self.scatter(group, windows, d);
            }
        });
    }
}
