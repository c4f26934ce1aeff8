//! Convolution: im2col and one matrix product per sample and group.

use super::{CHUNK, Context, Operator};
use crate::network::{Shape, op};
use crate::training::dense::matmul::{Real, View, product};
use rayon::prelude::*;

pub(super) struct Conv {
    op: op::Conv2d,
    /// Input channels, rows, columns.
    input: [usize; 3],
    /// Output rows and columns.
    output: [usize; 2],
}

impl Conv {
    pub(super) fn new(op: op::Conv2d, input: &Shape, output: &Shape) -> Self {
        Self {
            op,
            input: [input.0[0], input.0[1], input.0[2]],
            output: [output.0[1], output.0[2]],
        }
    }

    fn group_channels(&self) -> usize {
        self.input[0] / self.op.groups
    }

    /// Rows of the im2col matrix: products per output.
    fn depth(&self) -> usize {
        self.group_channels() * self.op.kernel[0] * self.op.kernel[1]
    }

    fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Calls `f(row of the im2col matrix, output row, first output column, columns, input index, stride)` for every
    /// run of outputs that read inside the map.
    fn runs(&self, mut f: impl FnMut(usize, usize, usize, usize, usize, usize)) {
        let [_, h, w] = self.input;
        let ([kr, ks], [sy, sx], [dy, dx], pad) =
            (self.op.kernel, self.op.stride, self.op.dilation, self.op.padding);
        for c in 0..self.group_channels() {
            for r in 0..kr {
                for s in 0..ks {
                    let row = (c * kr + r) * ks + s;
                    // columns q with 0 <= q*sx + s*dx - left < w
                    let offset = s * dx;
                    let first = pad.left.saturating_sub(offset).div_ceil(sx);
                    let last = (w + pad.left)
                        .saturating_sub(offset)
                        .div_ceil(sx)
                        .min(self.output[1]);
                    if first >= last {
                        continue;
                    }
                    for p in 0..self.output[0] {
                        let y = p * sy + r * dy;
                        if y < pad.top || y >= h + pad.top {
                            continue;
                        }
                        let start = (c * h + y - pad.top) * w + first * sx + offset - pad.left;
                        f(row, p, first, last - first, start, sx);
                    }
                }
            }
        }
    }

    fn gather<T: Real>(&self, map: &[T], columns: &mut [T]) {
        let (q, n) = (self.output[1], self.positions());
        self.runs(|row, p, first, count, start, step| {
            let to = &mut columns[row * n + p * q + first..][..count];
            if step == 1 {
                to.copy_from_slice(&map[start..start + count]);
            } else {
                to.iter_mut()
                    .zip(map[start..].iter().step_by(step))
                    .for_each(|(t, &v)| *t = v);
            }
        });
    }

    fn scatter<T: Real>(&self, columns: &[T], map: &mut [T]) {
        let (q, n) = (self.output[1], self.positions());
        self.runs(|row, p, first, count, start, step| {
            let from = &columns[row * n + p * q + first..][..count];
            if step == 1 {
                map[start..start + count]
                    .iter_mut()
                    .zip(from)
                    .for_each(|(m, &v)| *m += v);
            } else {
                map[start..]
                    .iter_mut()
                    .step_by(step)
                    .zip(from)
                    .for_each(|(m, &v)| *m += v);
            }
        });
    }
}

impl<T: Real> Operator<T> for Conv {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        let (input, weight) = (context.inputs[0], context.parameters[0]);
        let ([c, h, w], n, depth, g) = (self.input, self.positions(), self.depth(), self.op.groups);
        let (k, per) = (self.op.out_channels, self.op.out_channels / g);
        let (inputs, outputs) = (c * h * w, k * n);
        output
            .par_chunks_mut(outputs * CHUNK)
            .zip(input.par_chunks(inputs * CHUNK))
            .for_each(|(output, input)| {
                let mut columns = vec![T::default(); depth * n];
                for (output, input) in output.chunks_exact_mut(outputs).zip(input.chunks_exact(inputs)) {
                    for group in 0..g {
                        self.gather(&input[group * (inputs / g)..][..inputs / g], &mut columns);
                        let weight = View::new(&weight[group * per * depth..][..per * depth], per, depth);
                        product(
                            &mut output[group * per * n..][..per * n],
                            weight,
                            View::new(&columns, depth, n),
                            false,
                        );
                    }
                    if let Some(bias) = context.parameters.get(1) {
                        for (row, &b) in output.chunks_exact_mut(n).zip(*bias) {
                            row.iter_mut().for_each(|v| *v += b);
                        }
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
        let (input, weight) = (context.inputs[0], context.parameters[0]);
        let ([c, h, w], n, depth, g) = (self.input, self.positions(), self.depth(), self.op.groups);
        let (k, per) = (self.op.out_channels, self.op.out_channels / g);
        let (in_size, out_size) = (c * h * w, k * n);
        let has_bias = context.parameters.len() > 1;
        let mut sink = inputs[0].take();
        let mut empty: Vec<T> = Vec::new();
        let into = sink.as_mut().unwrap_or(&mut empty);
        let chunks = context.samples.div_ceil(CHUNK);
        let mut parts: Vec<&mut [T]> = if into.is_empty() {
            (0..chunks).map(|_| <&mut [T]>::default()).collect()
        } else {
            into.chunks_mut(in_size * CHUNK).collect()
        };
        let sums: Vec<(Vec<T>, Vec<T>)> = parts
            .par_iter_mut()
            .zip(input.par_chunks(in_size * CHUNK))
            .zip(gradient.par_chunks(out_size * CHUNK))
            .map(|((into, input), gradient)| {
                let mut columns = vec![T::default(); depth * n];
                let mut back = vec![T::default(); if into.is_empty() { 0 } else { depth * n }];
                let mut dw = vec![T::default(); k * depth];
                let mut db = vec![T::default(); if has_bias { k } else { 0 }];
                for (i, (input, gradient)) in input
                    .chunks_exact(in_size)
                    .zip(gradient.chunks_exact(out_size))
                    .enumerate()
                {
                    for group in 0..g {
                        self.gather(&input[group * (in_size / g)..][..in_size / g], &mut columns);
                        let dy = View::new(&gradient[group * per * n..][..per * n], per, n);
                        product(
                            &mut dw[group * per * depth..][..per * depth],
                            dy,
                            View::new(&columns, depth, n).t(),
                            true,
                        );
                        if !into.is_empty() {
                            let weight = View::new(&weight[group * per * depth..][..per * depth], per, depth);
                            product(&mut back, weight.t(), dy, false);
                            self.scatter(
                                &back,
                                &mut into[i * in_size + group * (in_size / g)..][..in_size / g],
                            );
                        }
                    }
                    for (b, row) in db.iter_mut().zip(gradient.chunks_exact(n)) {
                        row.iter().for_each(|&v| *b += v);
                    }
                }
                (dw, db)
            })
            .collect();
        for (dw, db) in sums {
            parameters[0].iter_mut().zip(dw).for_each(|(g, v)| *g += v);
            if has_bias {
                parameters[1].iter_mut().zip(db).for_each(|(g, v)| *g += v);
            }
        }
        inputs[0] = sink;
    }
}
