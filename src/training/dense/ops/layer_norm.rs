//! Layer normalisation over the last axis.

use super::{Given, Operator, Pass, share, sum_parts, vectorised};
use crate::training::dense::float::Float;
use rayon::prelude::*;

/// Tasks that share the rows of a mini-batch; their sums are added in order.
const TASKS: usize = 16;

/// See the module. Parameters: gain, shift.
pub(in crate::training::dense) struct LayerNorm<T> {
    features: usize,
    eps: T,
    /// Mean and 1/σ of every row.
    rows: Vec<[T; 2]>,
    parts: Vec<T>,
}

impl<T: Float> LayerNorm<T> {
    /// Normalises rows of `features` elements.
    pub(in crate::training::dense) fn new(features: usize, eps: f32) -> Self {
        Self {
            features,
            eps: T::of(f64::from(eps)),
            rows: Vec::new(),
            parts: Vec::new(),
        }
    }
}

/// Partial sums side by side.
const LANES: usize = 16;

/// Σ term(a, b, c) over three rows of the same length, in an order of its own that vectors can follow.
#[inline(always)]
fn sum<T: Float>([a, b, c]: [&[T]; 3], term: impl Fn(T, T, T) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let ((a, a_rest), (b, b_rest), (c, c_rest)) = (a.as_chunks(), b.as_chunks(), c.as_chunks());
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        let (a, b, c): (&[T; LANES], &[T; LANES], &[T; LANES]) = (a, b, c);
        for l in 0..LANES {
            lanes[l] += term(a[l], b[l], c[l]);
        }
    }
    for (lane, ((&a, &b), &c)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest).zip(c_rest)) {
        *lane += term(a, b, c);
    }
    lanes.into_iter().fold(T::ZERO, |sum, lane| sum + lane)
}

impl<T: Float> Operator<T> for LayerNorm<T> {
    fn forward(
        &mut self,
        _: &Pass<'_, T>,
        inputs: &[&[T]],
        parameters: &[&[T]],
        output: &mut [T],
    ) -> Result<(), String> {
        let (c, eps) = (self.features, self.eps);
        let count = T::of(c as f64);
        let (gain, shift) = (parameters[0], parameters[1]);
        self.rows.resize(output.len() / c, [T::ZERO; 2]);
        let chunk = share(output.len() / c, TASKS, 1);
        let tasks = output
            .par_chunks_mut(chunk * c)
            .zip(inputs[0].par_chunks(chunk * c))
            .zip(self.rows.par_chunks_mut(chunk));
        tasks.for_each(|((output, input), rows)| {
            vectorised(
                #[inline(always)]
                || {
                    for ((output, x), row) in output.chunks_exact_mut(c).zip(input.chunks_exact(c)).zip(rows)
                    {
                        let mean = sum(
                            [x; 3],
                            #[inline(always)]
                            |x, _, _| x,
                        ) / count;
                        let variance = sum(
                            [x; 3],
                            #[inline(always)]
                            |x, _, _| (x - mean) * (x - mean),
                        ) / count;
                        let inverse = T::ONE / (variance + eps).sqrt();
                        *row = [mean, inverse];
                        for (((o, &x), &g), &b) in output.iter_mut().zip(x).zip(gain).zip(shift) {
                            *o = (x - mean) * inverse * g + b;
                        }
                    }
                },
            );
        });
        Ok(())
    }

    fn backward(
        &mut self,
        _: &Pass<'_, T>,
        given: &Given<'_, T>,
        d_inputs: &mut [Option<&mut [T]>],
        d_parameters: &mut [&mut [T]],
    ) {
        let c = self.features;
        let count = T::of(c as f64);
        let gain = given.parameters[0];
        let chunk = share(self.rows.len(), TASKS, 1);
        let tasks = self.rows.len().div_ceil(chunk);
        // Σ g·x̂ and Σ g of each task, side by side
        self.parts.resize(tasks * 2 * c, T::ZERO);
        let data = given.inputs[0]
            .par_chunks(chunk * c)
            .zip(given.d_output.par_chunks(chunk * c))
            .zip(self.rows.par_chunks(chunk));
        data.clone()
            .zip(self.parts.par_chunks_mut(2 * c))
            .for_each(|(((x, g), rows), part)| {
                part.fill(T::ZERO);
                let (d_gain, d_shift) = part.split_at_mut(c);
                vectorised(
                    #[inline(always)]
                    || {
                        for ((x, g), &[mean, inverse]) in x.chunks_exact(c).zip(g.chunks_exact(c)).zip(rows) {
                            super::add_to(d_shift, g);
                            for ((d, &x), &g) in d_gain.iter_mut().zip(x).zip(g) {
                                *d += g * (x - mean) * inverse;
                            }
                        }
                    },
                );
            });
        let mut sums = vec![T::ZERO; 2 * c];
        sum_parts(&mut sums, &self.parts);
        d_parameters[0].copy_from_slice(&sums[..c]);
        d_parameters[1].copy_from_slice(&sums[c..]);
        let Some(d_input) = d_inputs[0].as_deref_mut() else {
            return;
        };
        data.zip(d_input.par_chunks_mut(chunk * c))
            .for_each(|(((x, g), rows), d)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for (((x, g), &[mean, inverse]), d) in x
                            .chunks_exact(c)
                            .zip(g.chunks_exact(c))
                            .zip(rows)
                            .zip(d.chunks_exact_mut(c))
                        {
                            let plain = sum(
                                [g, gain, x],
                                #[inline(always)]
                                |g, w, _| g * w,
                            ) / count;
                            let along = sum(
                                [g, gain, x],
                                #[inline(always)]
                                |g, w, x| g * w * (x - mean) * inverse,
                            ) / count;
                            for (((d, &x), &g), &w) in d.iter_mut().zip(x).zip(g).zip(gain) {
                                *d = inverse * (g * w - plain - (x - mean) * inverse * along);
                            }
                        }
                    },
                );
            });
    }
}
