//! A recipe with its realised masks, levels, accuracy and costs.

use crate::compression::Recipe;
use crate::network::Network;
use crate::simulate::NetworkCost;
use crate::training::data::Samples;
use crate::training::{Parameters, TrainingError, evaluate, executor_for};

/// A candidate.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// `dense`, or the objective it was chosen for.
    pub name: String,
    /// The targets it realises.
    pub recipe: Recipe,
    /// Its parameters; pruned weights are zero, quantised ones exact multiples of their interval.
    pub parameters: Parameters,
    /// The interval q per weight parameter; empty when nothing is quantised.
    pub intervals: Vec<f32>,
    /// Accuracy on the validation samples, 0 to 1: what choices were made on.
    pub validation: f64,
    /// Accuracy on the test samples, 0 to 1: read once, after all choices.
    pub test: f64,
    /// Its cost on each profile, in the order of the request.
    pub costs: Vec<NetworkCost>,
}

impl Candidate {
    /// Non-zero weights.
    #[must_use]
    pub fn weights_kept(&self) -> usize {
        self.parameters.weights().map(|p| p.values.iter().filter(|&&v| v != 0.0).count()).sum()
    }

    /// All weights, zero or not.
    #[must_use]
    pub fn weights_total(&self) -> usize {
        self.parameters.weights().map(|p| p.values.len()).sum()
    }

    /// Bits of a surviving weight, averaged over survivors; indices not counted.
    #[must_use]
    pub fn bits_per_weight(&self) -> f64 {
        let bits: f64 = self
            .parameters
            .weights()
            .map(|p| p.values.iter().filter(|&&v| v != 0.0).count() as f64 * f64::from(self.recipe.target(&p.layer).precision.bits()))
            .sum();
        bits / self.weights_kept().max(1) as f64
    }
}

/// Accuracy on samples.
pub(super) fn measure(network: &Network, parameters: &Parameters, samples: &Samples) -> Result<f64, TrainingError> {
    evaluate(&mut *executor_for(network, parameters.clone())?, samples)
}
