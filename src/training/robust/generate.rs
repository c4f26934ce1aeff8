//! Min-max generation of attacks: one perturbation against several models, or one against several samples.

use super::attack::Attack;
use super::attack_loss::margin;
use super::pixels::Pixels;
use super::random::Random;
use super::simplex::DomainWeights;
use crate::training::{Executor, TrainingError};
use rayon::prelude::*;

/// min over δ, max over w in the simplex, of Σ wᵢFᵢ(δ) − γ/2·‖w − 1/K‖² by alternating one projected step each
/// (arXiv 1906.03563; METHODS §9). Fᵢ is minus the attack's loss in domain i, so that weight goes to the domain that is
/// hardest to attack. A step of δ follows the steepest way for the attack's norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinMaxAttack {
    /// Ball, steps and loss. The start is a small Gaussian one where it is random, as in the paper, and zero otherwise.
    pub attack: Attack,
    /// Pull of the weights to equal ones.
    pub gamma: f64,
    /// Step of the weights, 1/β.
    pub weight_step: f64,
}

/// What several models make of the same perturbed samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// The perturbed inputs.
    pub inputs: Vec<f32>,
    /// The weights of the models, for every sample.
    pub weights: Vec<Vec<f64>>,
    /// For every sample, which models are wrong.
    pub fooled: Vec<Vec<bool>>,
}

/// One perturbation for several samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Universal {
    /// The change of pixels, before pixels are cut to [0, 1].
    pub delta: Vec<f32>,
    /// The weights of the samples.
    pub weights: Vec<f64>,
    /// Which samples the network gets wrong.
    pub fooled: Vec<bool>,
}

/// The standard deviation of the start: small beside any radius in use.
const START: f32 = 1e-3;

impl MinMaxAttack {
    /// A perturbation for each sample that shall fool all models: the domains are models, and every sample has weights of
    /// its own.
    ///
    /// # Errors
    /// As [`Attack::run`].
    pub fn against_models(
        &self,
        models: &mut [&mut dyn Executor],
        pixels: &Pixels,
        (inputs, labels): (&[f32], &[u32]),
        seed: u64,
    ) -> Result<Ensemble, TrainingError> {
        let samples = labels.len();
        let start = pixels.of(inputs);
        let n = (start.len() / samples.max(1)).max(1);
        let mut delta = self.start(start.len(), seed);
        let mut weights = vec![DomainWeights::uniform(models.len(), self.gamma, self.weight_step); samples];
        let place = |delta: &[f32]| -> Vec<f32> {
            let moved: Vec<f32> = start
                .iter()
                .zip(delta)
                .map(|(x, d)| (x + d).clamp(0.0, 1.0))
                .collect();
            pixels.inputs(&moved)
        };
        for step in 0..self.attack.steps {
            let at = place(&delta);
            let mut slopes = Vec::with_capacity(models.len());
            let mut losses = Vec::with_capacity(models.len());
            for model in models.iter_mut() {
                let (mut gradient, mut loss) = (Vec::new(), Vec::new());
                let mut of = |outputs: &[f32], slopes: &mut [f32]| {
                    loss = self.attack.loss.of(outputs, labels, |_| 1.0, slopes);
                };
                model.input_gradient(&at, samples, &mut of, &mut gradient)?;
                pixels.slopes(&mut gradient);
                slopes.push(gradient);
                losses.push(loss);
            }
            if step > 0 {
                ascend(&mut weights, &losses);
            }
            delta
                .par_chunks_mut(n)
                .zip(start.par_chunks(n))
                .zip(&weights)
                .enumerate()
                .for_each(|(i, ((delta, start), weights))| {
                    let mut sum = vec![0.0; delta.len()];
                    for (&w, slopes) in weights.values().iter().zip(&slopes) {
                        let own = &slopes[i * n..][..delta.len()];
                        sum.iter_mut().zip(own).for_each(|(s, &g)| *s += w as f32 * g);
                    }
                    self.attack.ascend(delta, &sum, start);
                });
        }
        let inputs = place(&delta);
        let mut fooled = vec![Vec::with_capacity(models.len()); samples];
        let mut losses = Vec::with_capacity(models.len());
        for model in models.iter_mut() {
            let outputs = model.infer(&inputs, samples)?;
            losses.push(self.losses(&outputs, labels));
            for (fooled, wrong) in fooled.iter_mut().zip(wrong(&outputs, labels)) {
                fooled.push(wrong);
            }
        }
        ascend(&mut weights, &losses);
        Ok(Ensemble {
            inputs,
            weights: weights.iter().map(|w| w.values().to_vec()).collect(),
            fooled,
        })
    }

    /// One perturbation that shall fool the network on all samples: the domains are samples. Pixels are cut to [0, 1]
    /// sample by sample, and the perturbation itself is held in the ball alone.
    ///
    /// # Errors
    /// As [`Attack::run`].
    pub fn against_samples(
        &self,
        executor: &mut dyn Executor,
        pixels: &Pixels,
        (inputs, labels): (&[f32], &[u32]),
        seed: u64,
    ) -> Result<Universal, TrainingError> {
        let samples = labels.len();
        let start = pixels.of(inputs);
        let n = (start.len() / samples.max(1)).max(1);
        let mut delta = self.start(n, seed);
        let mut weights = DomainWeights::uniform(samples, self.gamma, self.weight_step);
        let place = |delta: &[f32]| -> Vec<f32> {
            let moved: Vec<f32> = start
                .iter()
                .zip(delta.iter().cycle())
                .map(|(x, d)| (x + d).clamp(0.0, 1.0))
                .collect();
            pixels.inputs(&moved)
        };
        let mut gradient = Vec::new();
        for step in 0..self.attack.steps {
            let at = place(&delta);
            let mut of = |outputs: &[f32], slopes: &mut [f32]| {
                let losses = self.attack.loss.of(outputs, labels, |_| 1.0, slopes);
                if step > 0 {
                    weights.ascend(&losses.iter().map(|&l| -f64::from(l)).collect::<Vec<_>>());
                }
                let classes = (outputs.len() / samples.max(1)).max(1);
                for (slopes, &w) in slopes.chunks_mut(classes).zip(weights.values()) {
                    for s in slopes.iter_mut() {
                        *s *= w as f32;
                    }
                }
            };
            executor.input_gradient(&at, samples, &mut of, &mut gradient)?;
            pixels.slopes(&mut gradient);
            let mut sum = vec![0.0; n];
            for own in gradient.chunks(n) {
                sum.iter_mut().zip(own).for_each(|(s, &g)| *s += g);
            }
            // a change of −1 to 1 as a pixel of 0 to 1
            self.attack.climb(&mut delta, &sum, |_, d| 0.5 + 0.5 * d);
            self.attack.norm.project_onto_ball(&mut delta, self.attack.radius);
        }
        let outputs = executor.infer(&place(&delta), samples)?;
        let losses = self.losses(&outputs, labels);
        weights.ascend(&losses.iter().map(|&l| -f64::from(l)).collect::<Vec<_>>());
        Ok(Universal {
            delta,
            weights: weights.values().to_vec(),
            fooled: wrong(&outputs, labels).collect(),
        })
    }

    fn start(&self, len: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed, 0);
        let draw = || {
            if self.attack.random_start {
                START * random.normal()
            } else {
                0.0
            }
        };
        std::iter::repeat_with(draw).take(len).collect()
    }

    fn losses(&self, outputs: &[f32], labels: &[u32]) -> Vec<f32> {
        self.attack
            .loss
            .of(outputs, labels, |_| 1.0, &mut vec![0.0; outputs.len()])
    }
}

/// One step of every sample's weights, from the losses of every model.
fn ascend(weights: &mut [DomainWeights], losses: &[Vec<f32>]) {
    for (i, weights) in weights.iter_mut().enumerate() {
        let own: Vec<f64> = losses.iter().map(|l| -f64::from(l[i])).collect();
        weights.ascend(&own);
    }
}

fn wrong<'a>(outputs: &'a [f32], labels: &'a [u32]) -> impl Iterator<Item = bool> + 'a {
    let classes = (outputs.len() / labels.len().max(1)).max(1);
    outputs
        .chunks(classes)
        .zip(labels)
        .map(|(z, &l)| margin(z, l).0 > 0.0)
}
