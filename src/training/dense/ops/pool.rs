//! Max and average pooling on channels-last maps.

use super::{Given, Operator, Pass, add_to, share, vectorised};
use crate::network::op::{Pool, PoolKind};
use crate::training::dense::float::Float;
use rayon::prelude::*;
use std::ops::Range;

/// Tasks that share a mini-batch.
const TASKS: usize = 16;

/// See the module.
pub(in crate::training::dense) struct Pooling {
    pool: Pool,
    /// Input rows, columns, channels.
    input: [usize; 3],
    /// Output rows, columns, channels.
    output: [usize; 3],
    /// For every output of a max pool, the tap (kernel row · columns + kernel column) that won.
    winners: Vec<u32>,
}

/// The part of a window that lies inside the map.
struct Window {
    /// The first of its output's channels.
    at: usize,
    /// Kernel rows and columns.
    rows: Range<usize>,
    cols: Range<usize>,
    /// Where tap (0, 0) would stand in the map, as a position; it wraps below 0 when the tap lies over padding.
    origin: usize,
}

impl Pooling {
    /// `input` and `output` are `[C, H, W]`.
    pub(in crate::training::dense) fn new(pool: Pool, input: &[usize], output: &[usize]) -> Self {
        Self {
            pool,
            input: [input[1], input[2], input[0]],
            output: [output[1], output[2], output[0]],
            winners: Vec::new(),
        }
    }

    /// The windows of a sample, in the order of its outputs.
    #[inline(always)]
    fn windows(&self, mut visit: impl FnMut(&Window)) {
        let [h, w, c] = self.input;
        let [p, q, _] = self.output;
        let ([r, s], [down, right], pad) = (self.pool.kernel, self.pool.stride, self.pool.padding);
        for y in 0..p {
            for x in 0..q {
                visit(&Window {
                    at: (y * q + x) * c,
                    rows: pad.top.saturating_sub(y * down)..(h + pad.top - y * down).min(r),
                    cols: pad.left.saturating_sub(x * right)..(w + pad.left - x * right).min(s),
                    origin: (y * down)
                        .wrapping_sub(pad.top)
                        .wrapping_mul(w)
                        .wrapping_add((x * right).wrapping_sub(pad.left)),
                });
            }
        }
    }

    /// Calls `visit(tap, first of its channels in the map)` for a window's taps.
    #[inline(always)]
    fn taps(&self, window: &Window, mut visit: impl FnMut(u32, usize)) {
        for i in window.rows.clone() {
            for j in window.cols.clone() {
                let position = window.origin.wrapping_add(i * self.input[1] + j);
                visit((i * self.pool.kernel[1] + j) as u32, position * self.input[2]);
            }
        }
    }

    /// The largest value of every window, the first one where several are equal.
    #[inline(always)]
    fn max<T: Float>(&self, input: &[T], output: &mut [T], winners: &mut [u32]) {
        self.windows(
            #[inline(always)]
            |window| {
                let mut channel = 0;
                channel = self.max_of::<T, 16>(channel, window, input, output, winners);
                channel = self.max_of::<T, 8>(channel, window, input, output, winners);
                channel = self.max_of::<T, 4>(channel, window, input, output, winners);
                self.max_of::<T, 1>(channel, window, input, output, winners);
            },
        );
    }

    /// The largest values of a window from `channel` on, `N` channels at a time, which then stay in registers;
    /// returns the first channel that is left.
    #[inline(always)]
    fn max_of<T: Float, const N: usize>(
        &self,
        mut channel: usize,
        window: &Window,
        input: &[T],
        output: &mut [T],
        winners: &mut [u32],
    ) -> usize {
        while channel + N <= self.input[2] {
            let mut best = [T::ZERO; N];
            let mut win = [u32::MAX; N];
            self.taps(
                window,
                #[inline(always)]
                |tap, from| {
                    let values = &input[from + channel..][..N];
                    for i in 0..N {
                        // the first tap always counts; a value that is not a number must show in the loss
                        let better = win[i] == u32::MAX || values[i] > best[i] || values[i].is_nan();
                        best[i] = if better { values[i] } else { best[i] };
                        win[i] = if better { tap } else { win[i] };
                    }
                },
            );
            output[window.at + channel..][..N].copy_from_slice(&best);
            winners[window.at + channel..][..N].copy_from_slice(&win);
            channel += N;
        }
        channel
    }

    /// The mean of every window, positions over padding not counted.
    #[inline(always)]
    fn mean<T: Float>(&self, input: &[T], output: &mut [T]) {
        let c = self.input[2];
        self.windows(
            #[inline(always)]
            |window| {
                let out = &mut output[window.at..][..c];
                out.fill(T::ZERO);
                self.taps(
                    window,
                    #[inline(always)]
                    |_, from| add_to(out, &input[from..][..c]),
                );
                let scale = scale::<T>(window);
                out.iter_mut().for_each(|o| *o = *o * scale);
            },
        );
    }

    /// Whether every position of the map lies in exactly one window.
    fn tiled(&self) -> bool {
        let [h, w, _] = self.input;
        let [p, q, _] = self.output;
        let [r, s] = self.pool.kernel;
        self.pool.stride == [r, s] && [p * r, q * s] == [h, w]
    }

    /// Gives every output's derivative to the input that won, or shares it out: added up, or written where windows
    /// are `TILED`.
    #[inline(always)]
    fn spread<T: Float, const TILED: bool>(&self, d_output: &[T], winners: &[u32], d_input: &mut [T]) {
        self.windows(
            #[inline(always)]
            |window| {
                let mut channel = 0;
                channel = self.spread_of::<T, TILED, 16>(channel, window, d_output, winners, d_input);
                channel = self.spread_of::<T, TILED, 8>(channel, window, d_output, winners, d_input);
                channel = self.spread_of::<T, TILED, 4>(channel, window, d_output, winners, d_input);
                self.spread_of::<T, TILED, 1>(channel, window, d_output, winners, d_input);
            },
        );
    }

    /// As [`Pooling::max_of`], for derivatives.
    #[inline(always)]
    fn spread_of<T: Float, const TILED: bool, const N: usize>(
        &self,
        mut channel: usize,
        window: &Window,
        d_output: &[T],
        winners: &[u32],
        d_input: &mut [T],
    ) -> usize {
        let scale = scale::<T>(window);
        while channel + N <= self.input[2] {
            let (mut g, mut win) = ([T::ZERO; N], [0; N]);
            g.copy_from_slice(&d_output[window.at + channel..][..N]);
            win.copy_from_slice(&winners[window.at + channel..][..N]);
            self.taps(
                window,
                #[inline(always)]
                |tap, to| {
                    let d = &mut d_input[to + channel..][..N];
                    for i in 0..N {
                        let share = match self.pool.kind {
                            PoolKind::Max if win[i] == tap => g[i],
                            PoolKind::Max => T::ZERO,
                            PoolKind::Average => g[i] * scale,
                        };
                        d[i] = if TILED { share } else { d[i] + share };
                    }
                },
            );
            channel += N;
        }
        channel
    }
}

/// One over the taps of a window that lie inside the map.
#[inline(always)]
fn scale<T: Float>(window: &Window) -> T {
    T::ONE / T::of((window.rows.len() * window.cols.len()) as f64)
}

impl<T: Float> Operator<T> for Pooling {
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let [i, o] = [self.input, self.output].map(|s| s.iter().product::<usize>());
        let chunk = share(pass.samples, TASKS, 1);
        let mut winners = std::mem::take(&mut self.winners);
        winners.resize(output.len(), 0);
        let this = &*self;
        let tasks = output
            .par_chunks_mut(chunk * o)
            .zip(inputs[0].par_chunks(chunk * i));
        tasks
            .zip(winners.par_chunks_mut(chunk * o))
            .for_each(|((output, input), winners)| {
                let samples = output
                    .chunks_exact_mut(o)
                    .zip(input.chunks_exact(i))
                    .zip(winners.chunks_exact_mut(o));
                for ((output, input), winners) in samples {
                    vectorised(
                        #[inline(always)]
                        || match this.pool.kind {
                            PoolKind::Max => this.max(input, output, winners),
                            PoolKind::Average => this.mean(input, output),
                        },
                    );
                }
            });
        self.winners = winners;
        Ok(())
    }

    fn backward(
        &mut self,
        pass: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        _: &mut [&mut [T]],
    ) {
        let Some(d_input) = d_inputs[0].as_deref_mut() else {
            return;
        };
        let [i, o] = [self.input, self.output].map(|s| s.iter().product::<usize>());
        let chunk = share(pass.samples, TASKS, 1);
        let this = &*self;
        let tasks = d_input
            .par_chunks_mut(chunk * i)
            .zip(given.d_output.par_chunks(chunk * o));
        tasks
            .zip(self.winners.par_chunks(chunk * o))
            .for_each(|((d_input, d_output), winners)| {
                let samples = d_input
                    .chunks_exact_mut(i)
                    .zip(d_output.chunks_exact(o))
                    .zip(winners.chunks_exact(o));
                for ((d_input, d_output), winners) in samples {
                    if this.tiled() {
                        vectorised(
                            #[inline(always)]
                            || this.spread::<T, true>(d_output, winners, d_input),
                        );
                    } else {
                        d_input.fill(T::ZERO);
                        vectorised(
                            #[inline(always)]
                            || this.spread::<T, false>(d_output, winners, d_input),
                        );
                    }
                }
            });
    }
}
