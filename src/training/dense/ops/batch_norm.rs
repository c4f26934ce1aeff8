//! Batch normalisation over channels that stand last: batch statistics while training, running ones otherwise.

use super::{Given, Operator, Pass, share, sum_parts, vectorised};
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

/// Sums `term(sum, row index range)` over fixed shares of `rows`, in order.
fn sum_rows<T: Float>(
    rows: usize,
    sum: &mut [T],
    parts: &mut Vec<T>,
    term: impl Fn(&mut [T], std::ops::Range<usize>) + Sync,
) {
    let chunk = share(rows, TASKS, 1);
    parts.resize(rows.div_ceil(chunk) * sum.len(), T::ZERO);
    parts.par_chunks_mut(sum.len()).enumerate().for_each(|(i, part)| {
        part.fill(T::ZERO);
        vectorised(
            #[inline(always)]
            || term(part, i * chunk..((i + 1) * chunk).min(rows)),
        );
    });
    sum_parts(sum, parts);
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
            sum_rows(rows, &mut self.mean, &mut self.parts, |sum, rows| {
                for row in x[rows.start * c..rows.end * c].chunks_exact(c) {
                    super::add_to(sum, row);
                }
            });
            self.mean.iter_mut().for_each(|m| *m = *m / count);
            let mean = &self.mean;
            sum_rows(rows, &mut self.variance, &mut self.parts, |sum, rows| {
                for row in x[rows.start * c..rows.end * c].chunks_exact(c) {
                    for ((s, &x), &m) in sum.iter_mut().zip(row).zip(mean) {
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
        let chunk = share(rows, TASKS, 1) * c;
        output
            .par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk))
            .for_each(|(output, x)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for (output, x) in output.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
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
        // Σ g and Σ g·x̂, side by side
        let mut sums = vec![T::ZERO; 2 * c];
        sum_rows(rows, &mut sums, &mut self.parts, |sum, rows| {
            let (plain, weighted) = sum.split_at_mut(c);
            for (x, g) in x[rows.start * c..rows.end * c]
                .chunks_exact(c)
                .zip(g[rows.start * c..rows.end * c].chunks_exact(c))
            {
                super::add_to(plain, g);
                for (((s, &x), &g), &m) in weighted.iter_mut().zip(x).zip(g).zip(mean) {
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
        let chunk = share(rows, TASKS, 1) * c;
        d_input
            .par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk))
            .zip(g.par_chunks(chunk))
            .for_each(|((d, x), g)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for ((d, x), g) in d
                            .chunks_exact_mut(c)
                            .zip(x.chunks_exact(c))
                            .zip(g.chunks_exact(c))
                        {
                            for (j, d) in d.iter_mut().enumerate() {
                                *d = a[j] * g[j] + b[j] * x[j] + k[j];
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
