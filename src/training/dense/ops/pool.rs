//! Pooling.

use super::{CHUNK, Context, Operator};
use crate::network::{
    Shape,
    op::{self, PoolKind},
};
use crate::training::dense::matmul::Real;
use rayon::prelude::*;
use std::ops::Range;

pub(super) struct Pool {
    op: op::Pool,
    input: [usize; 3],
    output: [usize; 2],
    /// Position of each maximum inside its channel's map, samples × outputs.
    winners: Vec<u32>,
}

impl Pool {
    pub(super) fn new(op: op::Pool, input: &Shape, output: &Shape) -> Self {
        Self {
            op,
            input: [input.0[0], input.0[1], input.0[2]],
            output: [output.0[1], output.0[2]],
            winners: Vec::new(),
        }
    }
}

/// The part of a window along one axis that lies inside the map.
fn inside(position: usize, stride: usize, kernel: usize, pad: usize, size: usize) -> Range<usize> {
    let start = position * stride;
    start.saturating_sub(pad).min(size)..(start + kernel).saturating_sub(pad).min(size)
}

impl<T: Real> Operator<T> for Pool {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        let ([c, h, w], [rows, cols], op) = (self.input, self.output, self.op);
        self.winners
            .resize(if op.kind == PoolKind::Max { output.len() } else { 0 }, 0);
        let size = c * rows * cols * CHUNK;
        let mut none: Vec<&mut [u32]> = Vec::new();
        let mut winners: Vec<&mut [u32]> = if self.winners.is_empty() {
            none.resize_with(context.samples.div_ceil(CHUNK), <&mut [u32]>::default);
            none
        } else {
            self.winners.chunks_mut(size).collect()
        };
        output
            .par_chunks_mut(size)
            .zip(context.inputs[0].par_chunks(c * h * w * CHUNK))
            .zip(winners.par_iter_mut())
            .for_each(|((output, input), winners)| {
                for (m, (map, out)) in input
                    .chunks_exact(h * w)
                    .zip(output.chunks_exact_mut(rows * cols))
                    .enumerate()
                {
                    for p in 0..rows {
                        let ys = inside(p, op.stride[0], op.kernel[0], op.padding.top, h);
                        for q in 0..cols {
                            let xs = inside(q, op.stride[1], op.kernel[1], op.padding.left, w);
                            let o = p * cols + q;
                            match op.kind {
                                PoolKind::Max => {
                                    let mut at = ys.start * w + xs.start;
                                    let mut best = map[at];
                                    for y in ys.clone() {
                                        for (i, &v) in
                                            map[y * w + xs.start..y * w + xs.end].iter().enumerate()
                                        {
                                            if v > best {
                                                (best, at) = (v, y * w + xs.start + i);
                                            }
                                        }
                                    }
                                    out[o] = best;
                                    winners[m * rows * cols + o] = at as u32;
                                }
                                PoolKind::Average => {
                                    let mut sum = T::default();
                                    for y in ys.clone() {
                                        map[y * w + xs.start..y * w + xs.end]
                                            .iter()
                                            .for_each(|&v| sum += v);
                                    }
                                    out[o] = sum / T::of((ys.len() * xs.len()) as f64);
                                }
                            }
                        }
                    }
                }
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
        let Some(dx) = &mut inputs[0] else { return };
        let ([_, h, w], [rows, cols], op) = (self.input, self.output, self.op);
        let n = rows * cols;
        let winners = &self.winners;
        dx.par_chunks_mut(h * w * CHUNK)
            .zip(gradient.par_chunks(n * CHUNK))
            .enumerate()
            .for_each(|(chunk, (dx, dy))| {
                for (m, (dx, dy)) in dx.chunks_exact_mut(h * w).zip(dy.chunks_exact(n)).enumerate() {
                    match op.kind {
                        PoolKind::Max => {
                            let at = &winners[(chunk * CHUNK + m) * n..][..n];
                            dy.iter().zip(at).for_each(|(&d, &at)| dx[at as usize] += d);
                        }
                        PoolKind::Average => {
                            for p in 0..rows {
                                let ys = inside(p, op.stride[0], op.kernel[0], op.padding.top, h);
                                for q in 0..cols {
                                    let xs = inside(q, op.stride[1], op.kernel[1], op.padding.left, w);
                                    let d = dy[p * cols + q] / T::of((ys.len() * xs.len()) as f64);
                                    for y in ys.clone() {
                                        dx[y * w + xs.start..y * w + xs.end]
                                            .iter_mut()
                                            .for_each(|v| *v += d);
                                    }
                                }
                            }
                        }
                    }
                }
            });
    }
}

/// The mean of each channel.
pub(super) struct GlobalAverage {
    positions: usize,
}

impl GlobalAverage {
    pub(super) fn new(input: &Shape) -> Self {
        Self {
            positions: input.0[1] * input.0[2],
        }
    }
}

impl<T: Real> Operator<T> for GlobalAverage {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        let scale = T::ONE / T::of(self.positions as f64);
        for (o, map) in output
            .iter_mut()
            .zip(context.inputs[0].chunks_exact(self.positions))
        {
            let mut sum = T::default();
            map.iter().for_each(|&v| sum += v);
            *o = sum * scale;
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
        let Some(dx) = &mut inputs[0] else { return };
        let scale = T::ONE / T::of(self.positions as f64);
        for (map, &d) in dx.chunks_exact_mut(self.positions).zip(gradient) {
            map.iter_mut().for_each(|v| *v += d * scale);
        }
    }
}
