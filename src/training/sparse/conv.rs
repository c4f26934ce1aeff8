//! Convolutions over the kept weights, with the pooling that follows fused in where its windows tile the map.

use super::lanes::{LANES, Lanes, parts, plus, scaled, sum, vectors, vectors_mut};
use super::scratch::Scratch;
use super::slots::Slots;
use super::tile::{self, tiles};
use crate::network::op::{Padding, PoolKind};
use pulp::{Arch, Simd, WithSimd};

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

    /// The element of a channel of the padded input at which an output row begins.
    #[inline(always)]
    fn row_start(&self, row: usize) -> usize {
        row * self.stride[0] * self.padded()[2]
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
        Arch::new().dispatch(Forward {
            conv: self,
            values,
            input,
            scratch,
        });
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
        let (sums, biases) = self.slots.split(partial);
        let [_, pp, pq] = self.pooled();
        for (at, b) in biases.iter_mut().enumerate() {
            let c = self.slots.bias_at(at);
            // pooling only moves or shares derivatives, so their sum is that before it
            let plane = &scratch.gradient[c * pp * pq..(c + 1) * pp * pq];
            *b = sum(&plane.iter().fold([0.0; LANES], plus));
        }
        match input_gradient {
            Some(to) => Arch::new().dispatch(Both {
                conv: self,
                values,
                input,
                scratch,
                to,
                sums,
            }),
            None => Arch::new().dispatch(WeightsOnly {
                conv: self,
                input,
                scratch,
                to: sums,
            }),
        }
    }
}

struct Forward<'a> {
    conv: &'a Convolution,
    values: &'a [f32],
    input: &'a [Lanes],
    scratch: &'a mut Scratch,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            conv,
            values,
            input,
            scratch,
        } = self;
        let Scratch {
            output,
            padded,
            unpooled,
            winners,
            ..
        } = scratch;
        let x: &[Lanes] = if conv.is_padded() {
            // the border stays zero from the start
            conv.inside(
                #[inline(always)]
                |map, inside| padded[inside].copy_from_slice(&input[map]),
            );
            padded
        } else {
            input
        };
        let ([k, p, q], [_, pp, pq]) = (conv.output, conv.pooled());
        let weights = conv.slots.weights(values);
        let rows = p / pp;
        for band in 0..pp {
            for c in (0..k).filter(|&c| conv.live[c]) {
                let bias = conv.slots.bias(values, c);
                let kept = conv.starts[c]..conv.starts[c + 1];
                let (offsets, weights) = (&conv.offsets[kept.clone()], &weights[kept]);
                let at = (c * pp + band) * pq;
                for r in 0..rows {
                    let to = if conv.pool.is_some() {
                        &mut unpooled[r * q..]
                    } else {
                        &mut output[at..]
                    };
                    let x = &x[conv.row_start(band * rows + r)..];
                    row(
                        simd,
                        vectors::<S>(x),
                        conv.stride[1],
                        offsets,
                        weights,
                        bias,
                        vectors_mut::<S>(&mut to[..q]),
                    );
                }
                if let Some((kind, window)) = conv.pool {
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
    }
}

/// One row of outputs.
#[inline(always)]
fn row<S: Simd>(
    simd: S,
    x: &[S::f32s],
    stride: usize,
    offsets: &[u32],
    weights: &[f32],
    bias: f32,
    out: &mut [S::f32s],
) {
    let parts = parts::<S>();
    for part in 0..parts {
        let x = &x[part..];
        if stride == 1 {
            tiles!(out.len() / parts, |q, T| {
                let (x, out) = (&x[q * parts..], &mut out[part + q * parts..]);
                tile::forward::<S, T>(simd, x, parts, offsets, weights, bias, out, parts);
            });
        } else {
            let step = stride * parts;
            tiles!(out.len() / parts, |q, T| {
                let (x, out) = (&x[q * step..], &mut out[part + q * parts..]);
                tile::forward::<S, T>(simd, x, step, offsets, weights, bias, out, parts);
            });
        }
    }
}

/// Output channel by output channel, band by band: the band of the input stays in the first cache.
struct WeightsOnly<'a> {
    conv: &'a Convolution,
    input: &'a [Lanes],
    scratch: &'a mut Scratch,
    to: &'a mut [f32],
}

impl WithSimd for WeightsOnly<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            conv,
            input,
            scratch,
            to,
        } = self;
        let Scratch {
            gradient,
            padded,
            unpooled,
            winners,
            sums,
            ..
        } = scratch;
        let x: &[Lanes] = if conv.is_padded() { padded } else { input };
        let ([k, p, q], [_, pp, pq]) = (conv.output, conv.pooled());
        let (rows, parts) = (p / pp, parts::<S>());
        sums.fill([0.0; LANES]);
        for band in 0..pp {
            for c in 0..k {
                let kept = conv.starts[c]..conv.starts[c + 1];
                if kept.is_empty() {
                    continue;
                }
                let at = (c * pp + band) * pq;
                let d: &[Lanes] = if let Some((kind, window)) = conv.pool {
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
                let (offsets, sums) = (&conv.offsets[kept.clone()], vectors_mut::<S>(&mut sums[kept]));
                for r in 0..rows {
                    let d = vectors::<S>(&d[r * q..(r + 1) * q]);
                    let x = vectors::<S>(&x[conv.row_start(band * rows + r)..]);
                    for part in 0..parts {
                        let (x, d, sums) = (&x[part..], &d[part..], &mut sums[part..]);
                        if conv.stride[1] == 1 {
                            tiles!(q, |at, T| {
                                let (x, d) = (&x[at * parts..], &d[at * parts..]);
                                tile::weight_gradients::<S, T>(simd, x, parts, offsets, d, sums, parts);
                            });
                        } else {
                            let step = conv.stride[1] * parts;
                            tiles!(q, |at, T| {
                                let (x, d) = (&x[at * step..], &d[at * parts..]);
                                tile::weight_gradients::<S, T>(simd, x, step, offsets, d, sums, parts);
                            });
                        }
                    }
                }
            }
        }
        for (t, s) in to.iter_mut().zip(sums.iter()) {
            *t = sum(s);
        }
    }
}

/// Input channel by input channel: its map and the derivative by it stay in the first cache.
struct Both<'a> {
    conv: &'a Convolution,
    values: &'a [f32],
    input: &'a [Lanes],
    scratch: &'a mut Scratch,
    to: &'a mut [Lanes],
    sums: &'a mut [f32],
}

impl WithSimd for Both<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            conv,
            values,
            input,
            scratch,
            to,
            sums,
        } = self;
        let Scratch {
            gradient,
            padded,
            padded_gradient,
            unpooled,
            winners,
            ..
        } = scratch;
        let ([k, p, q], [_, pp, pq]) = (conv.output, conv.pooled());
        let d: &[Lanes] = if let Some((kind, window)) = conv.pool {
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
        let weights = conv.slots.weights(values);
        let border = conv.is_padded();
        let x: &[Lanes] = if border { padded } else { input };
        let dx: &mut [Lanes] = if border { padded_gradient } else { &mut *to };
        dx.fill([0.0; LANES]);
        let (x, dx, d) = (vectors::<S>(x), vectors_mut::<S>(dx), vectors::<S>(d));
        let (parts, stride) = (parts::<S>(), conv.stride[1]);
        let (row, next_row) = (q * parts, conv.row_start(1) * parts);
        for &(slot, c) in &conv.by_input {
            let (slot, c) = (slot as usize, c as usize);
            let (w, offset) = (simd.splat_f32s(weights[slot]), conv.offsets[slot] as usize);
            let mut lanes = [0.0; LANES];
            for part in 0..parts {
                let mut total = simd.splat_f32s(0.0);
                let mut start = offset * parts + part;
                for d in d[c * p * row..(c + 1) * p * row].chunks_exact(row) {
                    let d = &d[part..];
                    if stride == 1 {
                        tiles!(q, |at, T| {
                            let (d, at) = (&d[at * parts..], start + at * parts);
                            let s = tile::both_gradients::<S, T>(simd, x, dx, at, parts, d, w, parts);
                            total = simd.add_f32s(total, s);
                        });
                    } else {
                        let step = stride * parts;
                        tiles!(q, |at, T| {
                            let (d, at) = (&d[at * parts..], start + at * step);
                            let s = tile::both_gradients::<S, T>(simd, x, dx, at, step, d, w, parts);
                            total = simd.add_f32s(total, s);
                        });
                    }
                    start += next_row;
                }
                S::as_mut_simd_f32s(&mut lanes).0[part] = total;
            }
            sums[slot] = sum(&lanes);
        }
        if border {
            conv.inside(
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
                        let wins = v[l] > best[l];
                        best[l] = if wins { v[l] } else { best[l] };
                        place[l] = if wins { j as u32 } else { place[l] };
                    }
                }
                PoolKind::Average => best = plus(best, &v),
            }
        }
        *out = if kind == PoolKind::Max {
            best
        } else {
            scaled(best, 1.0 / (r * s) as f32)
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
        let share = scaled(*g, 1.0 / (r * s) as f32);
        for j in 0..r * s {
            let d = &mut band[(j / s) * width + q * s + j % s];
            *d = share;
            if kind == PoolKind::Max {
                for l in 0..LANES {
                    d[l] = if winner[l] == j as u32 { g[l] } else { 0.0 };
                }
            }
        }
    }
}
