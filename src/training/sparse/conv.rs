//! Convolutions over the kept weights, with the pooling that follows fused in where its windows tile the map.

use super::lanes::{LANES, Lanes, vectorised};
use super::scratch::Scratch;
use super::slots::Slots;
use super::tile::{self, tiles};
use crate::network::op::{Padding, PoolKind};

/// A convolution as lists of kept weights.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    pub(super) slots: Slots,
    /// Channels, rows and columns of the input.
    pub(super) input: [usize; 3],
    pub(super) padding: Padding,
    pub(super) stride: [usize; 2],
    /// Channels, rows and columns computed: with a pooling, only those that it reads.
    pub(super) output: [usize; 3],
    /// Where each output channel's weights begin; one entry more than channels.
    pub(super) starts: Vec<usize>,
    /// For each kept weight, the element of the padded input that it meets at the first output.
    pub(super) offsets: Vec<u32>,
    /// Kept weights and their output channels, input channel by input channel.
    pub(super) by_input: Vec<(u32, u32)>,
    /// Output channels that some later weight reads.
    pub(super) live: Vec<bool>,
    /// Windows, rows and columns, that tile the output.
    pub(super) pool: Option<(PoolKind, [usize; 2])>,
}

impl Convolution {
    pub(super) fn padded(&self) -> [usize; 3] {
        let ([c, h, w], p) = (self.input, self.padding);
        [c, h + p.top + p.bottom, w + p.left + p.right]
    }

    /// Channels, rows and columns after the pooling.
    pub(super) fn pooled(&self) -> [usize; 3] {
        let [k, p, q] = self.output;
        let [r, s] = self.pool.map_or([1, 1], |(_, window)| window);
        [k, p / r, q / s]
    }

    fn is_padded(&self) -> bool {
        self.padding != Padding::default()
    }

    /// Copies between the map and its inside of the padded map, row by row: `copy(map, padded)`.
    #[inline(always)]
    fn inside(&self, mut copy: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>)) {
        let ([c, h, w], [_, ph, pw]) = (self.input, self.padded());
        for row in 0..c * h {
            let start = ((row / h) * ph + row % h + self.padding.top) * pw + self.padding.left;
            copy(row * w..(row + 1) * w, start..start + w);
        }
    }

    pub(super) fn forward(&self, values: &[f32], input: &[Lanes], scratch: &mut Scratch) {
        vectorised(
            #[inline(always)]
            || {
                let Scratch {
                    output,
                    padded,
                    unpooled,
                    winners,
                    ..
                } = scratch;
                let x: &[Lanes] = if self.is_padded() {
                    // the border stays zero from the start
                    self.inside(
                        #[inline(always)]
                        |map, inside| padded[inside].copy_from_slice(&input[map]),
                    );
                    padded
                } else {
                    input
                };
                let ([k, p, q], [_, pp, pq]) = (self.output, self.pooled());
                let weights = self.slots.weights(values);
                let rows = p / pp;
                for band in 0..pp {
                    for c in (0..k).filter(|&c| self.live[c]) {
                        let bias = self.slots.bias(values, c);
                        let kept = self.starts[c]..self.starts[c + 1];
                        let at = (c * pp + band) * pq;
                        for r in 0..rows {
                            let to = if self.pool.is_some() {
                                &mut unpooled[r * q..]
                            } else {
                                &mut output[at..]
                            };
                            let (offsets, weights) = (&self.offsets[kept.clone()], &weights[kept.clone()]);
                            self.row(x, band * rows + r, offsets, weights, bias, &mut to[..q]);
                        }
                        if let Some((kind, window)) = self.pool {
                            let to = at..at + pq;
                            pool(
                                kind,
                                window,
                                &unpooled[..rows * q],
                                &mut output[to.clone()],
                                &mut winners[to],
                            );
                        }
                    }
                }
            },
        );
    }

    #[inline(always)]
    fn row(&self, x: &[Lanes], p: usize, offsets: &[u32], weights: &[f32], bias: f32, out: &mut [Lanes]) {
        let (start, step) = (p * self.stride[0] * self.padded()[2], self.stride[1]);
        if step == 1 {
            tiles!(out.len(), |at, T| {
                let run = tile::forward::<T>(x, start + at, 1, offsets, weights, bias);
                out[at..at + T].copy_from_slice(&run);
            });
        } else {
            tiles!(out.len(), |at, T| {
                let run = tile::forward::<T>(x, start + at * step, step, offsets, weights, bias);
                out[at..at + T].copy_from_slice(&run);
            });
        }
    }

    /// The derivatives by the kept values, and by the input unless nobody wants it.
    pub(super) fn backward(
        &self,
        values: &[f32],
        input: &[Lanes],
        scratch: &mut Scratch,
        input_gradient: Option<&mut [Lanes]>,
        partial: &mut [f32],
    ) {
        vectorised(
            #[inline(always)]
            || {
                let (sums, biases) = self.slots.split(partial);
                let [_, pp, pq] = self.pooled();
                for (at, b) in biases.iter_mut().enumerate() {
                    let c = self.slots.bias_at(at);
                    // pooling only moves or shares derivatives, so their sum is that before it
                    let plane = &scratch.gradient[c * pp * pq..(c + 1) * pp * pq];
                    *b = plane
                        .iter()
                        .fold(
                            Lanes::ZERO,
                            #[inline(always)]
                            |sum, &g| sum.plus(g),
                        )
                        .sum();
                }
                match input_gradient {
                    Some(to) => self.both(values, input, scratch, to, sums),
                    None => self.weights_only(input, scratch, sums),
                }
            },
        );
    }

    /// Output channel by output channel, band by band: the band of the input stays in the first cache.
    #[inline(always)]
    fn weights_only(&self, input: &[Lanes], scratch: &mut Scratch, to: &mut [f32]) {
        let Scratch {
            gradient,
            padded,
            unpooled,
            winners,
            sums,
            ..
        } = scratch;
        let x: &[Lanes] = if self.is_padded() { padded } else { input };
        let ([k, p, q], [_, pp, pq]) = (self.output, self.pooled());
        let (rows, width, step) = (p / pp, self.padded()[2], self.stride[1]);
        sums.fill(Lanes::ZERO);
        for band in 0..pp {
            for c in 0..k {
                let kept = self.starts[c]..self.starts[c + 1];
                if kept.is_empty() {
                    continue;
                }
                let at = (c * pp + band) * pq;
                let d: &[Lanes] = if let Some((kind, window)) = self.pool {
                    unpool(
                        kind,
                        window,
                        &gradient[at..at + pq],
                        &winners[at..at + pq],
                        unpooled,
                        q,
                    );
                    &unpooled[..rows * q]
                } else {
                    &gradient[at..at + q]
                };
                for r in 0..rows {
                    let (d, start) = (&d[r * q..(r + 1) * q], (band * rows + r) * self.stride[0] * width);
                    let (offsets, sums) = (&self.offsets[kept.clone()], &mut sums[kept.clone()]);
                    if step == 1 {
                        tiles!(q, |at, T| {
                            tile::weight_gradients::<T>(x, start + at, 1, offsets, &d[at..], sums);
                        });
                    } else {
                        tiles!(q, |at, T| {
                            tile::weight_gradients::<T>(x, start + at * step, step, offsets, &d[at..], sums);
                        });
                    }
                }
            }
        }
        for (t, s) in to.iter_mut().zip(sums) {
            *t = s.sum();
        }
    }

    /// Input channel by input channel: its map and the derivative by it stay in the first cache.
    #[inline(always)]
    fn both(
        &self,
        values: &[f32],
        input: &[Lanes],
        scratch: &mut Scratch,
        to: &mut [Lanes],
        sums: &mut [f32],
    ) {
        let Scratch {
            gradient,
            padded,
            padded_gradient,
            unpooled,
            winners,
            ..
        } = scratch;
        let ([k, p, q], [_, pp, pq]) = (self.output, self.pooled());
        let d: &[Lanes] = if let Some((kind, window)) = self.pool {
            let rows = p / pp;
            for band in 0..k * pp {
                let from = band * pq..(band + 1) * pq;
                let unpooled = &mut unpooled[band * rows * q..];
                unpool(kind, window, &gradient[from.clone()], &winners[from], unpooled, q);
            }
            unpooled
        } else {
            gradient
        };
        let weights = self.slots.weights(values);
        let padded_input = self.is_padded();
        let x: &[Lanes] = if padded_input { padded } else { input };
        let dx: &mut [Lanes] = if padded_input { padded_gradient } else { &mut *to };
        dx.fill(Lanes::ZERO);
        let (width, step) = (self.padded()[2], self.stride[1]);
        for &(slot, c) in &self.by_input {
            let (slot, c) = (slot as usize, c as usize);
            let (w, offset) = (weights[slot], self.offsets[slot] as usize);
            let mut sum = Lanes::ZERO;
            for r in 0..p {
                let d = &d[(c * p + r) * q..(c * p + r + 1) * q];
                let start = offset + r * self.stride[0] * width;
                if step == 1 {
                    tiles!(q, |at, T| {
                        sum = sum.plus(tile::both_gradients::<T>(x, dx, start + at, 1, &d[at..], w));
                    });
                } else {
                    tiles!(q, |at, T| {
                        sum = sum.plus(tile::both_gradients::<T>(
                            x,
                            dx,
                            start + at * step,
                            step,
                            &d[at..],
                            w,
                        ));
                    });
                }
            }
            sums[slot] = sum.sum();
        }
        if padded_input {
            self.inside(
                #[inline(always)]
                |map, inside| to[map].copy_from_slice(&padded_gradient[inside]),
            );
        }
    }
}

/// One row of pooled outputs from a band of rows, and which position of each window won.
#[inline(always)]
fn pool(kind: PoolKind, [r, s]: [usize; 2], band: &[Lanes], out: &mut [Lanes], winners: &mut [[u32; LANES]]) {
    let width = out.len() * s;
    for (q, (out, winner)) in out.iter_mut().zip(winners).enumerate() {
        let mut best = band[q * s];
        let mut place = [0u32; LANES];
        for j in 1..r * s {
            let v = band[(j / s) * width + q * s + j % s];
            match kind {
                PoolKind::Max => {
                    for l in 0..LANES {
                        let wins = v.0[l] > best.0[l];
                        best.0[l] = if wins { v.0[l] } else { best.0[l] };
                        place[l] = if wins { j as u32 } else { place[l] };
                    }
                }
                PoolKind::Average => best = best.plus(v),
            }
        }
        *out = if kind == PoolKind::Max {
            best
        } else {
            best.times(Lanes::splat(1.0 / (r * s) as f32))
        };
        *winner = place;
    }
}

/// The derivative by a band of rows of `width` from that by one row of pooled outputs.
#[inline(always)]
fn unpool(
    kind: PoolKind,
    [r, s]: [usize; 2],
    gradient: &[Lanes],
    winners: &[[u32; LANES]],
    band: &mut [Lanes],
    width: usize,
) {
    for (q, (g, winner)) in gradient.iter().zip(winners).enumerate() {
        let share = g.times(Lanes::splat(1.0 / (r * s) as f32));
        for j in 0..r * s {
            let d = &mut band[(j / s) * width + q * s + j % s];
            *d = share;
            if kind == PoolKind::Max {
                for l in 0..LANES {
                    d.0[l] = if winner[l] == j as u32 { g.0[l] } else { 0.0 };
                }
            }
        }
    }
}
