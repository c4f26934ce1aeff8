//! The dense executor: the whole mini-batch, layer by layer, every weight.
//!
//! Convolutions are im2col and a matrix product per sample. Work is cut into fixed chunks of samples (or of output
//! rows), each computed by one thread; partial sums over chunks are added in chunk order, so the bits do not depend
//! on the number of threads.

mod graph;
mod matmul;
mod ops;

pub use graph::Graph;
pub use matmul::Real;

use super::executor::{Executor, Step, TrainingError};
use super::loss::loss_and_gradient;
use super::parameters::{Parameters, Role};
use crate::network::Network;

/// Runs any network of this crate.
#[derive(Debug)]
pub struct DenseExecutor {
    graph: Graph<f32>,
    parameters: Parameters,
    logits_gradient: Vec<f32>,
}

impl DenseExecutor {
    /// An executor of a network with its parameters.
    ///
    /// # Errors
    /// When the parameters are not those of the network.
    pub fn new(network: &Network, parameters: Parameters) -> Result<Self, TrainingError> {
        parameters.check(network)?;
        Ok(Self {
            graph: Graph::new(network),
            parameters,
            logits_gradient: Vec::new(),
        })
    }
}

fn slices(parameters: &Parameters) -> Vec<&[f32]> {
    parameters.list.iter().map(|p| p.values.as_slice()).collect()
}

impl Executor for DenseExecutor {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn gradients(&mut self, step: &Step<'_>, gradients: &mut [Vec<f32>]) -> Result<f32, TrainingError> {
        let samples = step.labels.len();
        let values = slices(&self.parameters);
        let logits = self.graph.forward(&values, step.inputs, samples, Some(step.seed));
        self.logits_gradient.resize(logits.len(), 0.0);
        let sum = loss_and_gradient(
            step.loss,
            logits,
            step.labels,
            step.teacher,
            samples,
            &mut self.logits_gradient,
        );
        self.graph.backward(&values, &self.logits_gradient, gradients);
        for (p, g) in self.parameters.list.iter().zip(gradients.iter_mut()) {
            if let Some(mask) = &p.support {
                for (w, &word) in mask
                    .words()
                    .iter()
                    .enumerate()
                    .filter(|(_, word)| **word != u64::MAX)
                {
                    for i in 0..64.min(g.len() - w * 64) {
                        if word >> i & 1 == 0 {
                            g[w * 64 + i] = 0.0;
                        }
                    }
                }
            }
        }
        for (index, values) in self.graph.statistics() {
            debug_assert_eq!(self.parameters.list[index].role, Role::Statistic);
            for (old, new) in self.parameters.list[index].values.iter_mut().zip(values) {
                *old = 0.9 * *old + 0.1 * new;
            }
        }
        Ok((sum / samples as f64) as f32)
    }

    fn infer(&mut self, inputs: &[f32], samples: usize) -> Result<Vec<f32>, TrainingError> {
        let values = slices(&self.parameters);
        Ok(self.graph.forward(&values, inputs, samples, None).to_vec())
    }
}
