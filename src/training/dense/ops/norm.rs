//! Batch and layer normalisation.

use super::{Context, Operator};
use crate::network::Shape;
use crate::training::dense::matmul::Real;
use rayon::prelude::*;

/// Per channel over samples and positions. Parameters: gain, shift, running mean, running variance.
pub(super) struct BatchNorm<T> {
    eps: f64,
    channels: usize,
    positions: usize,
    mean: Vec<T>,
    /// Biased variance of the batch.
    variance: Vec<T>,
    /// The unbiased variance, which the running statistic takes (as in PyTorch).
    unbiased: Vec<T>,
    trained: bool,
}

impl<T: Real> BatchNorm<T> {
    pub(super) fn new(eps: f32, input: &Shape) -> Self {
        let channels = input.0[0];
        let zeros = vec![T::default(); channels];
        let positions = input.elements() / channels;
        Self {
            eps: f64::from(eps),
            channels,
            positions,
            mean: zeros.clone(),
            variance: zeros.clone(),
            unbiased: zeros,
            trained: false,
        }
    }

    /// The runs of one channel in every sample.
    fn runs<'a>(&self, values: &'a [T], channel: usize) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let (n, p) = (self.channels * self.positions, self.positions);
        values
            .chunks_exact(n)
            .map(move |sample| &sample[channel * p..(channel + 1) * p])
    }

    fn inverse(&self, variance: T) -> T {
        T::ONE / (variance + T::of(self.eps)).sqrt()
    }
}

impl<T: Real> Operator<T> for BatchNorm<T> {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        let input = context.inputs[0];
        self.trained = context.seed.is_some();
        if self.trained {
            let count = context.samples * self.positions;
            let this = &*self;
            let moments: Vec<[f64; 2]> = (0..self.channels)
                .into_par_iter()
                .map(|c| {
                    let sum: f64 = this.runs(input, c).flatten().map(|v| v.wide()).sum();
                    let mean = sum / count as f64;
                    let square: f64 = this
                        .runs(input, c)
                        .flatten()
                        .map(|v| (v.wide() - mean).powi(2))
                        .sum();
                    [mean, square]
                })
                .collect();
            for (c, [mean, square]) in moments.into_iter().enumerate() {
                self.mean[c] = T::of(mean);
                self.variance[c] = T::of(square / count as f64);
                self.unbiased[c] = T::of(square / count.saturating_sub(1).max(1) as f64);
            }
        } else {
            self.mean.copy_from_slice(context.parameters[2]);
            self.variance.copy_from_slice(context.parameters[3]);
        }
        let (n, p) = (self.channels * self.positions, self.positions);
        output
            .par_chunks_mut(n)
            .zip(input.par_chunks(n))
            .for_each(|(output, input)| {
                for (c, (out, run)) in output.chunks_exact_mut(p).zip(input.chunks_exact(p)).enumerate() {
                    let scale = context.parameters[0][c] * self.inverse(self.variance[c]);
                    let (mean, shift) = (self.mean[c], context.parameters[1][c]);
                    out.iter_mut()
                        .zip(run)
                        .for_each(|(o, &x)| *o = (x - mean) * scale + shift);
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
        let input = context.inputs[0];
        let count = (context.samples * self.positions) as f64;
        let this = &*self;
        let sums: Vec<[f64; 2]> = (0..self.channels)
            .into_par_iter()
            .map(|c| {
                let (mean, inverse) = (this.mean[c].wide(), this.inverse(this.variance[c]).wide());
                let pairs = this
                    .runs(input, c)
                    .flatten()
                    .zip(this.runs(gradient, c).flatten());
                pairs.fold([0.0, 0.0], |[shift, gain], (x, d)| {
                    [shift + d.wide(), gain + d.wide() * (x.wide() - mean) * inverse]
                })
            })
            .collect();
        for (c, [shift, gain]) in sums.iter().enumerate() {
            parameters[0][c] += T::of(*gain);
            parameters[1][c] += T::of(*shift);
        }
        let Some(dx) = &mut inputs[0] else { return };
        let (n, p) = (self.channels * self.positions, self.positions);
        dx.par_chunks_mut(n)
            .zip(input.par_chunks(n))
            .zip(gradient.par_chunks(n))
            .for_each(|((dx, x), d)| {
                for (c, ((dx, x), d)) in dx
                    .chunks_exact_mut(p)
                    .zip(x.chunks_exact(p))
                    .zip(d.chunks_exact(p))
                    .enumerate()
                {
                    let inverse = this.inverse(this.variance[c]);
                    let scale = context.parameters[0][c] * inverse;
                    // in evaluation mode the statistics are constants
                    let [mean_d, mean_dx] = if this.trained {
                        sums[c].map(|s| T::of(s / count))
                    } else {
                        [T::default(); 2]
                    };
                    for ((dx, &x), &d) in dx.iter_mut().zip(x).zip(d) {
                        *dx += scale * (d - mean_d - (x - this.mean[c]) * inverse * mean_dx);
                    }
                }
            });
    }

    fn statistics(&self) -> Option<[&[T]; 2]> {
        self.trained
            .then_some([self.mean.as_slice(), self.unbiased.as_slice()])
    }
}

/// Over the last axis. Parameters: gain, shift.
pub(super) struct LayerNorm {
    eps: f64,
    width: usize,
}

impl LayerNorm {
    pub(super) fn new(eps: f32, input: &Shape) -> Self {
        Self {
            eps: f64::from(eps),
            width: input.0.last().copied().unwrap_or(1),
        }
    }

    /// Mean and 1/√(variance + ε) of a row.
    fn moments<T: Real>(&self, row: &[T]) -> [f64; 2] {
        let n = row.len() as f64;
        let mean = row.iter().map(|v| v.wide()).sum::<f64>() / n;
        let variance = row.iter().map(|v| (v.wide() - mean).powi(2)).sum::<f64>() / n;
        [mean, 1.0 / (variance + self.eps).sqrt()]
    }
}

impl<T: Real> Operator<T> for LayerNorm {
    fn forward(&mut self, context: &Context<'_, T>, output: &mut [T]) {
        let [gain, shift] = [context.parameters[0], context.parameters[1]];
        for (out, row) in output
            .chunks_exact_mut(self.width)
            .zip(context.inputs[0].chunks_exact(self.width))
        {
            let [mean, inverse] = self.moments(row);
            for (((o, &x), &g), &b) in out.iter_mut().zip(row).zip(gain).zip(shift) {
                *o = T::of((x.wide() - mean) * inverse) * g + b;
            }
        }
    }

    fn backward(
        &mut self,
        context: &Context<'_, T>,
        _: &[T],
        gradient: &[T],
        inputs: &mut [Option<Vec<T>>],
        parameters: &mut [Vec<T>],
    ) {
        let gain = context.parameters[0];
        let n = self.width as f64;
        for (i, (row, d)) in context.inputs[0]
            .chunks_exact(self.width)
            .zip(gradient.chunks_exact(self.width))
            .enumerate()
        {
            let [mean, inverse] = self.moments(row);
            let (mut sum, mut dot) = (0.0, 0.0);
            for (k, (&x, &d)) in row.iter().zip(d).enumerate() {
                let normal = (x.wide() - mean) * inverse;
                parameters[0][k] += T::of(d.wide() * normal);
                parameters[1][k] += d;
                sum += d.wide() * gain[k].wide();
                dot += d.wide() * gain[k].wide() * normal;
            }
            if let Some(dx) = &mut inputs[0] {
                for (k, dx) in dx[i * self.width..(i + 1) * self.width].iter_mut().enumerate() {
                    let normal = (row[k].wide() - mean) * inverse;
                    *dx += T::of(inverse * (d[k].wide() * gain[k].wide() - sum / n - normal * dot / n));
                }
            }
        }
    }
}
