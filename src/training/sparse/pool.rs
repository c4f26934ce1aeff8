//! Pooling on its own, for windows that overlap, hang over an edge or do not follow a convolution.

use super::lanes::{LANES, Lanes, plus, scaled, vectorised};
use super::scratch::Scratch;
use crate::network::op::{Pool, PoolKind};

/// A pooling of `[C, H, W]` maps.
#[derive(Debug, Clone)]
pub(super) struct Pooling {
    pub(super) pool: Pool,
    pub(super) input: [usize; 3],
    pub(super) output: [usize; 3],
}

impl Pooling {
    /// The rows (or columns) of the map that window `at` covers along one axis.
    #[inline(always)]
    fn window(at: usize, kernel: usize, stride: usize, before: usize, size: usize) -> std::ops::Range<usize> {
        let start = at * stride;
        start.saturating_sub(before).min(size)..(start + kernel).saturating_sub(before).min(size)
    }

    /// Calls `visit(output position, rows, columns, first element of the channel)` for every window.
    #[inline(always)]
    fn windows(&self, mut visit: impl FnMut(usize, std::ops::Range<usize>, std::ops::Range<usize>, usize)) {
        let ([_, h, w], [channels, rows, cols]) = (self.input, self.output);
        let Pool {
            kernel,
            stride,
            padding,
            ..
        } = self.pool;
        for c in 0..channels {
            for p in 0..rows {
                for q in 0..cols {
                    let r = Self::window(p, kernel[0], stride[0], padding.top, h);
                    let s = Self::window(q, kernel[1], stride[1], padding.left, w);
                    visit((c * rows + p) * cols + q, r, s, c * h * w);
                }
            }
        }
    }

    pub(super) fn forward(&self, input: &[Lanes], scratch: &mut Scratch) {
        let (width, Scratch { output, winners, .. }) = (self.input[2], scratch);
        vectorised(
            #[inline(always)]
            || match self.pool.kind {
                PoolKind::Max => self.windows(
                    #[inline(always)]
                    |at, rows, cols, first| {
                        let (mut best, mut winner) = ([f32::NEG_INFINITY; LANES], [u32::MAX; LANES]);
                        for r in rows {
                            for s in cols.clone() {
                                let here = first + r * width + s;
                                for l in 0..LANES {
                                    let x = input[here][l];
                                    // the first of equals; of a window that is not a number, its first
                                    let wins = x > best[l] || winner[l] == u32::MAX;
                                    best[l] = if wins { x } else { best[l] };
                                    winner[l] = if wins { here as u32 } else { winner[l] };
                                }
                            }
                        }
                        output[at] = best;
                        winners[at] = winner;
                    },
                ),
                PoolKind::Average => self.windows(
                    #[inline(always)]
                    |at, rows, cols, first| {
                        let share = 1.0 / (rows.len() * cols.len()) as f32;
                        let mut sum = [0.0; LANES];
                        for r in rows {
                            for s in cols.clone() {
                                sum = plus(sum, &input[first + r * width + s]);
                            }
                        }
                        output[at] = scaled(sum, share);
                    },
                ),
            },
        );
    }

    pub(super) fn backward(&self, scratch: &Scratch, to: &mut [Lanes]) {
        let (
            width,
            Scratch {
                gradient, winners, ..
            },
        ) = (self.input[2], scratch);
        vectorised(
            #[inline(always)]
            || {
                to.fill([0.0; LANES]);
                match self.pool.kind {
                    PoolKind::Max => {
                        for (winner, g) in winners.iter().zip(gradient.iter()) {
                            for l in 0..LANES {
                                to[winner[l] as usize][l] += g[l];
                            }
                        }
                    }
                    PoolKind::Average => self.windows(
                        #[inline(always)]
                        |at, rows, cols, first| {
                            let share = scaled(gradient[at], 1.0 / (rows.len() * cols.len()) as f32);
                            for r in rows {
                                for s in cols.clone() {
                                    let d = &mut to[first + r * width + s];
                                    *d = plus(*d, &share);
                                }
                            }
                        },
                    ),
                }
            },
        );
    }
}
