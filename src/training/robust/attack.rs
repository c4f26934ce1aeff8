//! Attacks by projected gradient ascent on the pixels.

use super::attack_loss::{AttackLoss, margin};
use super::ball::Norm;
use super::pixels::Pixels;
use super::random::Random;
use crate::training::{Executor, TrainingError};
use rayon::prelude::*;

/// Projected gradient ascent (PGD: Madry et al., ICLR 2018, arXiv 1706.06083): each step moves the perturbation the way
/// that raises the loss fastest for its size, then back into the ball and the box of pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attack {
    /// How the size of a perturbation is measured.
    pub norm: Norm,
    /// The largest size, in pixels of 0 to 1.
    pub radius: f32,
    /// The size of a step.
    pub step_size: f32,
    /// Steps; 0 leaves the start.
    pub steps: u32,
    /// Whether to start at a random place of the ball, or at the sample itself.
    pub random_start: bool,
    /// What is raised.
    pub loss: AttackLoss,
}

/// Which of the places that an attack comes by it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The last one: for training.
    Last,
    /// Of every sample the one at which the network is furthest from its label, the sample itself included: a network that
    /// is wrong anywhere on the way is wrong. One pass more, or two with a random start.
    Worst,
}

/// Pixels of the l1 step that move at once: the steepest way is one alone, which takes too many steps.
const STEEPEST: f64 = 0.01;

impl Attack {
    /// The fast gradient sign method (FGSM: Goodfellow et al., ICLR 2015, arXiv 1412.6572): one step of the whole radius.
    #[must_use]
    pub fn fgsm(norm: Norm, radius: f32) -> Self {
        Self {
            norm,
            radius,
            step_size: radius,
            steps: 1,
            random_start: false,
            loss: AttackLoss::CrossEntropy,
        }
    }

    /// The inputs of an attack on `executor` at these inputs, which `pixels` scales. The same seed gives the same bits.
    ///
    /// # Errors
    /// When the network cannot be run or derived by its input, or inputs and labels do not fit.
    pub fn run(
        &self,
        executor: &mut dyn Executor,
        pixels: &Pixels,
        inputs: &[f32],
        labels: &[u32],
        seed: u64,
        keep: Keep,
    ) -> Result<Vec<f32>, TrainingError> {
        let samples = labels.len();
        let start = pixels.of(inputs);
        let n = start.len() / samples.max(1);
        let mut delta = vec![0.0; start.len()];
        if self.random_start {
            self.scatter(&mut delta, &start, n, seed);
        }
        let mut worst = (keep == Keep::Worst).then(|| Worst {
            margins: vec![f32::NEG_INFINITY; samples],
            inputs: inputs.to_vec(),
        });
        if let Some(worst) = worst.as_mut().filter(|_| self.random_start || self.steps == 0) {
            worst.see(&executor.infer(inputs, samples)?, labels, inputs);
        }
        let mut gradient = Vec::new();
        let mut moved = vec![0.0; start.len()];
        let place = |delta: &[f32], moved: &mut [f32]| {
            for ((m, &x), &d) in moved.iter_mut().zip(&start).zip(delta) {
                *m = (x + d).clamp(0.0, 1.0);
            }
            pixels.inputs(moved)
        };
        for step in 0..self.steps {
            let at = if step == 0 && !self.random_start {
                inputs.to_vec()
            } else {
                place(&delta, &mut moved)
            };
            executor.input_gradient(
                &at,
                samples,
                &mut |outputs, slopes| {
                    self.loss.of(outputs, labels, |_| 1.0, slopes);
                    if let Some(worst) = &mut worst {
                        worst.see(outputs, labels, &at);
                    }
                },
                &mut gradient,
            )?;
            pixels.slopes(&mut gradient);
            delta
                .par_chunks_mut(n.max(1))
                .zip(gradient.par_chunks(n.max(1)))
                .zip(start.par_chunks(n.max(1)))
                .for_each(|((delta, gradient), start)| self.ascend(delta, gradient, start));
        }
        if self.steps == 0 && !self.random_start {
            return Ok(inputs.to_vec());
        }
        let end = place(&delta, &mut moved);
        let Some(mut worst) = worst else { return Ok(end) };
        worst.see(&executor.infer(&end, samples)?, labels, &end);
        Ok(worst.inputs)
    }

    /// One step of one sample's perturbation, back into the ball and the box.
    pub(super) fn ascend(&self, delta: &mut [f32], gradient: &[f32], start: &[f32]) {
        self.climb(delta, gradient, |i, d| start[i] + d);
        self.norm.project(delta, start, self.radius);
    }

    /// The step alone; `pixel` says where a pixel stands for its change.
    pub(super) fn climb(&self, delta: &mut [f32], gradient: &[f32], pixel: impl Fn(usize, f32) -> f32) {
        match self.norm {
            Norm::Linf => {
                for (d, &g) in delta.iter_mut().zip(gradient) {
                    if g != 0.0 {
                        *d += self.step_size * g.signum();
                    }
                }
            }
            Norm::L2 => {
                let length = Norm::L2.of(gradient);
                if length > 0.0 {
                    let scale = (f64::from(self.step_size) / length) as f32;
                    delta.iter_mut().zip(gradient).for_each(|(d, &g)| *d += scale * g);
                }
            }
            Norm::L1 => {
                // pixels that can still move the way they should, the steepest first
                let mut order: Vec<usize> = (0..delta.len())
                    .filter(|&i| {
                        let to = pixel(i, delta[i]);
                        if gradient[i] > 0.0 {
                            to < 1.0
                        } else {
                            gradient[i] < 0.0 && to > 0.0
                        }
                    })
                    .collect();
                let count = ((STEEPEST * delta.len() as f64).ceil() as usize).min(order.len());
                order.sort_by(|&a, &b| gradient[b].abs().total_cmp(&gradient[a].abs()));
                for &i in &order[..count] {
                    delta[i] += self.step_size / count as f32 * gradient[i].signum();
                }
            }
        }
    }

    /// Random places of the ball, cut by the box.
    fn scatter(&self, delta: &mut [f32], start: &[f32], n: usize, seed: u64) {
        let mut random = Random::new(seed, 0);
        for (delta, start) in delta.chunks_mut(n.max(1)).zip(start.chunks(n.max(1))) {
            if self.norm == Norm::Linf {
                delta.fill_with(|| self.radius * random.symmetric());
            } else {
                delta.fill_with(|| random.normal());
                let scale =
                    f64::from(self.radius) * random.unit() / self.norm.of(delta).max(f64::MIN_POSITIVE);
                for d in delta.iter_mut() {
                    *d *= scale as f32;
                }
            }
            self.norm.project(delta, start, self.radius);
        }
    }
}

/// The worst place of every sample so far.
struct Worst {
    margins: Vec<f32>,
    inputs: Vec<f32>,
}

impl Worst {
    fn see(&mut self, outputs: &[f32], labels: &[u32], inputs: &[f32]) {
        let classes = outputs.len() / labels.len().max(1);
        let n = inputs.len() / labels.len().max(1);
        for (i, (z, &label)) in outputs.chunks(classes.max(1)).zip(labels).enumerate() {
            let margin = margin(z, label).0;
            if margin > self.margins[i] {
                self.margins[i] = margin;
                self.inputs[i * n..(i + 1) * n].copy_from_slice(&inputs[i * n..(i + 1) * n]);
            }
        }
    }
}
