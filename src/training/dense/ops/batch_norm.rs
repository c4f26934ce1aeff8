//! Batch normalisation over channels that stand last: batch statistics while training, running ones otherwise.

use super::{Given, Operator, Pass, share, vectorised};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// Tasks that share the rows of a mini-batch; their sums are added in order.
const TASKS: usize = 16;

/// See the module. Parameters: gain, shift, running mean, running variance.
pub(in crate::training::dense) struct BatchNorm<T> {
    channels: usize,
    eps: T,
    mean: Vec<T>,
    /// Biased, as it normalises.
    variance: Vec<T>,
    /// Unbiased, as running statistics hold it.
    unbiased: Vec<T>,
    parts: Vec<T>,
}

impl<T: Float> BatchNorm<T> {
    /// Normalises each of `channels` channels.
    pub(in crate::training::dense) fn new(channels: usize, eps: f32) -> Self {
        let zeros = || vec![T::ZERO; channels];
        Self {
            channels,
            eps: T::of(f64::from(eps)),
            mean: zeros(),
            variance: zeros(),
            unbiased: zeros(),
            parts: Vec::new(),
        }
    }

    fn scales(&self, variance: &[T]) -> Vec<T> {
        variance.iter().map(|&v| T::ONE / (v + self.eps).sqrt()).collect()
    }
}

/// Elements of a stretch: whole rows, enough of them that loops over few channels are long.
fn stretch(channels: usize) -> usize {
    channels * 256usize.div_ceil(channels)
}

/// One value a channel, repeated over a stretch.
fn repeated<T: Float>(values: &[T]) -> Vec<T> {
    values
        .iter()
        .copied()
        .cycle()
        .take(stretch(values.len()))
        .collect()
}

/// Sums over fixed shares of the rows, in order: `term(sums, elements)` adds a share's elements, one stretch above
/// another, to as many stretches as `sums` has channels' sums.
fn sum_rows<T: Float>(
    [rows, channels]: [usize; 2],
    sums: &mut [T],
    parts: &mut Vec<T>,
    term: impl Fn(&mut [T], std::ops::Range<usize>) + Sync,
) {
    let chunk = share(rows, TASKS, 1);
    let len = sums.len() / channels * stretch(channels);
    parts.resize(rows.div_ceil(chunk) * len, T::ZERO);
    parts.par_chunks_mut(len).enumerate().for_each(|(i, part)| {
        part.fill(T::ZERO);
        vectorised(
            #[inline(always)]
            || {
                term(part, i * chunk * channels..((i + 1) * chunk).min(rows) * channels);
            },
        );
    });
    sums.fill(T::ZERO);
    for part in parts.chunks_exact(len) {
        let stretches = part.chunks_exact(stretch(channels));
        for (sums, stretch) in sums.chunks_exact_mut(channels).zip(stretches) {
            stretch
                .chunks_exact(channels)
                .for_each(|row| super::add_to(sums, row));
        }
    }
}

impl<T: Float> Operator<T> for BatchNorm<T> {
    fn forward(
        &mut self,
        pass: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let (x, c) = (inputs[0], self.channels);
        let rows = x.len() / c;
        if pass.training {
            let count = T::of(rows as f64);
            sum_rows([rows, c], &mut self.mean, &mut self.parts, |sum, range| {
                x[range]
                    .chunks(sum.len())
                    .for_each(|stretch| super::add_to(sum, stretch));
            });
            self.mean.iter_mut().for_each(|m| *m = *m / count);
            let mean = repeated(&self.mean);
            sum_rows([rows, c], &mut self.variance, &mut self.parts, |sum, range| {
                for stretch in x[range].chunks(sum.len()) {
                    for ((s, &x), &m) in sum.iter_mut().zip(stretch).zip(&mean) {
                        *s += (x - m) * (x - m);
                    }
                }
            });
            let spare = T::of(rows.saturating_sub(1).max(1) as f64);
            for (v, u) in self.variance.iter_mut().zip(&mut self.unbiased) {
                *u = *v / spare;
                *v = *v / count;
            }
        }
        let (mean, variance) = if pass.training {
            (&self.mean[..], &self.variance[..])
        } else {
            (parameters[2], parameters[3])
        };
        let scale: Vec<T> = self
            .scales(variance)
            .iter()
            .zip(parameters[0])
            .map(|(&s, &g)| s * g)
            .collect();
        let shift: Vec<T> = scale
            .iter()
            .zip(mean)
            .zip(parameters[1])
            .map(|((&s, &m), &b)| b - s * m)
            .collect();
        let (scale, shift) = (repeated(&scale), repeated(&shift));
        let chunk = share(rows, TASKS, 1) * c;
        output
            .par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk))
            .for_each(|(output, x)| {
                vectorised(
                    #[inline(always)]
                    || {
                        let len = scale.len();
                        for (output, x) in output.chunks_mut(len).zip(x.chunks(len)) {
                            for (((o, &x), &s), &b) in output.iter_mut().zip(x).zip(&scale).zip(&shift) {
                                *o = x * s + b;
                            }
                        }
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
        let (x, g, c) = (given.inputs[0], given.d_output, self.channels);
        let rows = x.len() / c;
        let (mean, variance) = if pass.training {
            (&self.mean[..], &self.variance[..])
        } else {
            (given.parameters[2], given.parameters[3])
        };
        let inverse = self.scales(variance);
        let wide = repeated(mean);
        // Σ g and Σ g·x̂, side by side
        let mut sums = vec![T::ZERO; 2 * c];
        sum_rows([rows, c], &mut sums, &mut self.parts, |sum, range| {
            let len = wide.len();
            let (plain, weighted) = sum.split_at_mut(len);
            for (x, g) in x[range.clone()].chunks(len).zip(g[range].chunks(len)) {
                super::add_to(plain, g);
                for (((s, &x), &g), &m) in weighted.iter_mut().zip(x).zip(g).zip(&wide) {
                    *s += g * (x - m);
                }
            }
        });
        let (d_shift, d_gain) = sums.split_at_mut(c);
        d_gain.iter_mut().zip(&inverse).for_each(|(d, &i)| *d = *d * i);
        d_parameters[0].copy_from_slice(d_gain);
        d_parameters[1].copy_from_slice(d_shift);
        d_parameters[2..].iter_mut().for_each(|d| d.fill(T::ZERO));
        let Some(d_input) = d_inputs[0].as_deref_mut() else {
            return;
        };
        // dx = gain/σ · (g − Σg/m − x̂·Σ(g·x̂)/m) = a·g + b·x + k; running statistics do not follow x, as if m were infinite
        let count = T::of(if pass.training { rows as f64 } else { f64::INFINITY });
        let a: Vec<T> = inverse
            .iter()
            .zip(given.parameters[0])
            .map(|(&i, &g)| i * g)
            .collect();
        let b: Vec<T> = (0..c).map(|j| -(a[j] * inverse[j] * d_gain[j] / count)).collect();
        let k: Vec<T> = (0..c)
            .map(|j| -(a[j] * d_shift[j] / count) - b[j] * mean[j])
            .collect();
        let [a, b, k] = [a, b, k].map(|v| repeated(&v));
        let chunk = share(rows, TASKS, 1) * c;
        d_input
            .par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk))
            .zip(g.par_chunks(chunk))
            .for_each(|((d, x), g)| {
                vectorised(
                    #[inline(always)]
                    || {
                        let len = a.len();
                        for ((d, x), g) in d.chunks_mut(len).zip(x.chunks(len)).zip(g.chunks(len)) {
                            let factors = a.iter().zip(&b).zip(&k);
                            for (((d, &x), &g), ((&a, &b), &k)) in d.iter_mut().zip(x).zip(g).zip(factors) {
                                *d = a * g + b * x + k;
                            }
                        }
                    },
                );
            });
    }

    fn batch_statistics(&self) -> Option<[&[T]; 2]> {
        Some([&self.mean, &self.unbiased])
    }
}
