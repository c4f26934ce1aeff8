//! How many of each layer's input activations are zero: counted while the network runs on samples.

use super::data::Samples;
use super::dense::DenseExecutor;
use super::executor::TrainingError;
use super::fit::elements_of;
use super::parameters::Parameters;
use crate::network::Network;
use rayon::prelude::*;

/// Samples that run at a time, so that memory does not grow with the data.
const BATCH: usize = 64;

/// Values that one task counts.
const BLOCK: usize = 1 << 16;

/// The inputs of a layer that multiplies, all samples together. Padding is no input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerActivity {
    /// The layer.
    pub layer: String,
    /// Input elements.
    pub elements: u64,
    /// Those that are zero exactly, of either sign.
    pub zeros: u64,
}

/// Runs a network in evaluation mode on all of `samples` and counts the zeros among the inputs of every layer that
/// multiplies, in the network's order; of a product of activations among those of its first operand. Counts are
/// integers, the same on any number of threads.
///
/// # Errors
/// When the parameters or the samples do not fit the network, or there are no samples.
pub fn input_activity(
    network: &Network,
    parameters: Parameters,
    samples: &Samples,
) -> Result<Vec<LayerActivity>, TrainingError> {
    let mut executor = DenseExecutor::new(network, parameters)?;
    let elements = elements_of(samples, BATCH)?;
    let mut all: Vec<LayerActivity> = Vec::new();
    for inputs in samples.inputs.chunks(BATCH * elements) {
        executor.run(inputs, inputs.len() / elements)?;
        for (i, (layer, values)) in executor.operands().enumerate() {
            if i == all.len() {
                all.push(LayerActivity {
                    layer: layer.into(),
                    elements: 0,
                    zeros: 0,
                });
            }
            all[i].elements += values.len() as u64;
            all[i].zeros += zeros(values);
        }
    }
    Ok(all)
}

fn zeros(values: &[f32]) -> u64 {
    let count = |block: &[f32]| block.iter().filter(|&&v| v == 0.0).count() as u64;
    values.par_chunks(BLOCK).map(count).sum()
}
