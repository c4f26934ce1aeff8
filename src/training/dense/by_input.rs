//! The derivative of a network's outputs by its inputs, parameters fixed.

use super::engine::Engine;
use crate::network::Network;
use crate::training::executor::Slopes;
use crate::training::{Parameters, TrainingError};

/// An engine of its own beside that which trains: it derives by the input, which training does not need.
pub(crate) struct ByInput {
    engine: Engine<f32>,
    /// Derivatives by the parameters, of which nobody asks.
    unused: Vec<Vec<f32>>,
}

impl std::fmt::Debug for ByInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByInput").finish_non_exhaustive()
    }
}

impl ByInput {
    /// # Errors
    /// [`TrainingError::Unsupported`] for a network with two inputs.
    pub(crate) fn new(network: &Network) -> Result<Self, TrainingError> {
        Ok(Self {
            engine: Engine::new(network, true, &[])?,
            unused: Vec::new(),
        })
    }

    /// What [`crate::training::Executor::input_gradient`] asks for, of parameters that suit the network.
    ///
    /// # Errors
    /// [`TrainingError::Batch`] for inputs of another size.
    pub(crate) fn run(
        &mut self,
        parameters: &Parameters,
        inputs: &[f32],
        samples: usize,
        slopes: &mut Slopes<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<(), TrainingError> {
        let want = samples * self.engine.input_len();
        if inputs.len() != want {
            let have = inputs.len();
            return Err(TrainingError::Batch {
                message: format!("{samples} samples need {want} input values, there are {have}"),
            });
        }
        let values: Vec<&[f32]> = parameters.list.iter().map(|p| p.values.as_slice()).collect();
        self.engine.revise();
        self.engine.forward(&values, inputs, samples, false, 0)?;
        let (outputs, d_outputs) = self.engine.output_and_gradient();
        slopes(outputs, d_outputs);
        if self.unused.is_empty() {
            self.unused = parameters.zeros();
        }
        self.engine.backward(&values, 0, &mut self.unused);
        gradient.clear();
        gradient.extend_from_slice(self.engine.input_gradient());
        Ok(())
    }
}
