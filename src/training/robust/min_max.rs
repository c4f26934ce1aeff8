//! Min-max training: the weights of the domains rise with their losses while the network learns from the weighted sum.

use super::evaluate::{RobustAccuracy, robust_accuracy, seed_of};
use super::form::{Domain, Effort, Robustness};
use super::pixels::Pixels;
use super::simplex::DomainWeights;
use crate::training::data::Samples;
use crate::training::{Aim, Executor, Measured, Step, TrainingError};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// min over the network W, max over w in the simplex, of Σ wᵢFᵢ(W) − γ/2·‖w − 1/K‖² (arXiv 1906.03563; METHODS §9, with W
/// in the place of the perturbation): Fᵢ is the loss of the mini-batch in domain i. After each step of W the weights take
/// one step up, from the losses that the next mini-batch shows.
///
/// A step costs, for every domain, its attack and one pass forward and backward.
#[derive(Debug)]
pub struct MinMax {
    domains: Vec<Domain>,
    /// Those that are trained on.
    trained: Vec<Domain>,
    pixels: Pixels,
    shape: Vec<usize>,
    start: DomainWeights,
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    weights: DomainWeights,
    /// Whether no mini-batch has been seen.
    fresh: bool,
    gradients: Vec<Vec<Vec<f32>>>,
    /// Sums of the domains' losses over the steps of this period.
    losses: Vec<f64>,
    steps: u64,
    accuracies: Option<Vec<f64>>,
}

/// A domain over some steps of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainPeriod {
    /// The domain.
    pub domain: String,
    /// Its weight in the end.
    pub weight: f64,
    /// Its mean loss over the steps.
    pub loss: f64,
    /// Its accuracy on validation samples, if it was measured.
    pub accuracy: Option<f64>,
}

impl MinMax {
    /// Training on the domains of a file, on samples of a shape that `pixels` scales. The seed draws what is measured;
    /// training draws by the seed of each step.
    #[must_use]
    pub fn new(robustness: &Robustness, pixels: Pixels, shape: &[usize], seed: u64) -> Self {
        let trained: Vec<Domain> = robustness.domain.iter().filter(|d| d.train).cloned().collect();
        let start = DomainWeights::uniform(trained.len(), robustness.gamma, robustness.step);
        let state = State {
            weights: start.clone(),
            fresh: true,
            gradients: vec![Vec::new(); trained.len()],
            losses: vec![0.0; trained.len()],
            steps: 0,
            accuracies: None,
        };
        Self {
            domains: robustness.domain.clone(),
            trained,
            pixels,
            shape: shape.to_vec(),
            start,
            seed,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Equal weights again, and nothing seen: what a run begins with.
    pub fn reset(&self) {
        let mut state = self.state();
        state.weights = self.start.clone();
        state.fresh = true;
        state.losses.fill(0.0);
        state.steps = 0;
        state.accuracies = None;
    }

    /// Measures a network in all domains, those included that are not trained on, under attacks of as many steps as the file
    /// says for the last measurement.
    ///
    /// # Errors
    /// As [`robust_accuracy`].
    pub fn test(
        &self,
        executor: &mut dyn Executor,
        samples: &Samples,
        batch: usize,
    ) -> Result<RobustAccuracy, TrainingError> {
        let how = (batch, self.seed, Effort::Test);
        robust_accuracy(executor, samples, &self.domains, &self.pixels, how)
    }

    /// All domains, in the order of the file.
    #[must_use]
    pub fn domains(&self) -> &[Domain] {
        &self.domains
    }

    /// The weights of the domains as they are.
    #[must_use]
    pub fn weights(&self) -> Vec<f64> {
        self.state().weights.values().to_vec()
    }

    /// Ends a period, such as an epoch: weights, mean losses and the accuracies last measured in it.
    #[must_use]
    pub fn end_period(&self) -> Vec<DomainPeriod> {
        let mut state = self.state();
        let accuracies = state.accuracies.take();
        let steps = state.steps.max(1) as f64;
        let rows = self
            .trained
            .iter()
            .enumerate()
            .map(|(i, domain)| DomainPeriod {
                domain: domain.name.clone(),
                weight: state.weights.values()[i],
                loss: state.losses[i] / steps,
                accuracy: accuracies.as_ref().map(|a| a[i]),
            })
            .collect();
        state.losses.fill(0.0);
        state.steps = 0;
        rows
    }
}

impl Aim for MinMax {
    fn gradients(
        &self,
        executor: &mut dyn Executor,
        step: &Step<'_>,
        gradients: &mut [Vec<f32>],
    ) -> Result<f32, TrainingError> {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut losses = Vec::with_capacity(self.trained.len());
        for (i, (domain, own)) in self.trained.iter().zip(&mut state.gradients).enumerate() {
            let inputs = domain.inputs(
                executor,
                (&self.pixels, &self.shape),
                (step.inputs, step.labels),
                seed_of(step.seed, i),
                Effort::Train,
            )?;
            own.resize(gradients.len(), Vec::new());
            for (own, g) in own.iter_mut().zip(gradients.iter()) {
                own.resize(g.len(), 0.0);
            }
            let step = Step {
                inputs: &inputs,
                ..*step
            };
            losses.push(f64::from(executor.gradients(&step, own)?));
        }
        if !state.fresh {
            state.weights.ascend(&losses);
        }
        state.fresh = false;
        for g in gradients.iter_mut() {
            g.fill(0.0);
        }
        let mut sum = 0.0;
        let weighted = state.weights.values().iter().zip(&losses).zip(&state.gradients);
        for ((&weight, loss), own) in weighted.filter(|((weight, _), _)| **weight > 0.0) {
            sum += weight * loss;
            for (g, own) in gradients.iter_mut().zip(own) {
                g.resize(own.len(), 0.0);
                g.iter_mut().zip(own).for_each(|(g, &o)| *g += weight as f32 * o);
            }
        }
        state.losses.iter_mut().zip(&losses).for_each(|(s, l)| *s += l);
        state.steps += 1;
        Ok(sum as f32)
    }

    /// Accuracy and loss of the domain that is worst in each, on attacks of as many steps as in training.
    fn measure(
        &self,
        executor: &mut dyn Executor,
        samples: &Samples,
        batch: usize,
    ) -> Result<Measured, TrainingError> {
        let how = (batch, self.seed, Effort::Validate);
        let measured = robust_accuracy(executor, samples, &self.trained, &self.pixels, how)?;
        let accuracies = measured.domains.iter().map(|d| d.accuracy).collect();
        self.state().accuracies = Some(accuracies);
        Ok(Measured {
            accuracy: measured.worst,
            loss: measured.domains.iter().map(|d| d.loss).fold(0.0, f64::max),
        })
    }
}
