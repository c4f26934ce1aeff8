//! Max and average pooling on channels-last maps.

use super::{Given, Operator, Pass, add_to, share, vectorised};
use crate::network::op::{Pool, PoolKind};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// Tasks that share a mini-batch.
const TASKS: usize = 16;

/// See the module.
pub(in crate::training::dense) struct Pooling {
    pool: Pool,
    input: [usize; 3],
    output: [usize; 3],
    /// For every output of a max pool, the tap (kernel row · columns + kernel column) that won.
    winners: Vec<u32>,
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

    /// Calls `visit(output position, taps inside the map, [(tap, input position)])` for every window of a sample.
    #[inline(always)]
    fn windows(&self, mut visit: impl FnMut(usize, usize, &mut dyn Iterator<Item = (usize, usize)>)) {
        let [h, w, _] = self.input;
        let [p, q, _] = self.output;
        let ([r, s], [down, right], pad) = (self.pool.kernel, self.pool.stride, self.pool.padding);
        for y in 0..p {
            let rows = pad.top.saturating_sub(y * down)..(h + pad.top - y * down).min(r);
            for x in 0..q {
                let cols = pad.left.saturating_sub(x * right)..(w + pad.left - x * right).min(s);
                let count = rows.len() * cols.len();
                let mut taps = rows.clone().flat_map(|i| {
                    cols.clone()
                        .map(move |j| (i * s + j, (y * down + i - pad.top) * w + x * right + j - pad.left))
                });
                visit(y * q + x, count, &mut taps);
            }
        }
    }
}

impl<T: Float> Operator<T> for Pooling {
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        _: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let c = self.input[2];
        let (in_len, out_len) = (
            self.input.iter().product::<usize>(),
            self.output.iter().product::<usize>(),
        );
        let chunk = share(pass.samples, TASKS, 1);
        let mut winners = std::mem::take(&mut self.winners);
        winners.resize(output.len(), 0);
        let this = &*self;
        let tasks = output
            .par_chunks_mut(chunk * out_len)
            .zip(inputs[0].par_chunks(chunk * in_len));
        tasks
            .zip(winners.par_chunks_mut(chunk * out_len))
            .for_each(|((output, input), winners)| {
                let samples = output
                    .chunks_exact_mut(out_len)
                    .zip(input.chunks_exact(in_len))
                    .zip(winners.chunks_exact_mut(out_len));
                for ((output, input), winners) in samples {
                    vectorised(|| match this.pool.kind {
                        PoolKind::Max => this.max(input, output, winners),
                        PoolKind::Average => this.windows(|at, count, taps| {
                            let out = &mut output[at * c..][..c];
                            out.fill(T::ZERO);
                            taps.for_each(|(_, from)| add_to(out, &input[from * c..][..c]));
                            let scale = T::ONE / T::of(count as f64);
                            out.iter_mut().for_each(|o| *o = *o * scale);
                        }),
                    });
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
        let c = self.input[2];
        let (in_len, out_len) = (
            self.input.iter().product::<usize>(),
            self.output.iter().product::<usize>(),
        );
        let chunk = share(pass.samples, TASKS, 1);
        let this = &*self;
        let tasks = d_input
            .par_chunks_mut(chunk * in_len)
            .zip(given.d_output.par_chunks(chunk * out_len));
        tasks
            .zip(self.winners.par_chunks(chunk * out_len))
            .for_each(|((d_input, d_output), winners)| {
                let samples = d_input
                    .chunks_exact_mut(in_len)
                    .zip(d_output.chunks_exact(out_len))
                    .zip(winners.chunks_exact(out_len));
                for ((d_input, d_output), winners) in samples {
                    d_input.fill(T::ZERO);
                    vectorised(|| {
                        this.windows(|at, count, taps| {
                            let g = &d_output[at * c..][..c];
                            let win = &winners[at * c..][..c];
                            let scale = T::ONE / T::of(count as f64);
                            for (tap, to) in taps {
                                let d = &mut d_input[to * c..][..c];
                                match this.pool.kind {
                                    PoolKind::Max => {
                                        for ((d, &g), &win) in d.iter_mut().zip(g).zip(win) {
                                            *d += if win == tap as u32 { g } else { T::ZERO };
                                        }
                                    }
                                    PoolKind::Average => {
                                        for (d, &g) in d.iter_mut().zip(g) {
                                            *d += g * scale;
                                        }
                                    }
                                }
                            }
                        })
                    });
                }
            });
    }
}

impl Pooling {
    /// The largest value of every window, the first one where several are equal.
    #[inline(always)]
    fn max<T: Float>(&self, input: &[T], output: &mut [T], winners: &mut [u32]) {
        let c = self.input[2];
        self.windows(|at, _, taps| {
            let out = &mut output[at * c..][..c];
            let win = &mut winners[at * c..][..c];
            if let Some((tap, from)) = taps.next() {
                out.copy_from_slice(&input[from * c..][..c]);
                win.fill(tap as u32);
            }
            for (tap, from) in taps {
                for ((o, win), &x) in out.iter_mut().zip(win.iter_mut()).zip(&input[from * c..][..c]) {
                    let better = x > *o || x.is_nan(); // a value that is not a number must show in the loss
                    *o = if better { x } else { *o };
                    *win = if better { tap as u32 } else { *win };
                }
            }
        });
    }
}
