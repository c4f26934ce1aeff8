//! The layers of a network one by one on a profile, by expectation.

use crate::compression::Recipe;
use crate::compression::precision::Precision;
use crate::hardware::Profile;
use crate::network::{Layer, Network, Workload};
use crate::simulate::{self, LayerCost, LayerWork, Pick, SimulateError, Weights};

/// The cost of every layer that multiplies, in the network's order, on the engine that is cheapest for it, its
/// non-zeros at random positions. A feature map stays on chip between two layers where it fits there, and passes
/// through DRAM where it does not.
pub(super) fn expected(workload: &Workload, profile: &Profile, recipe: &Recipe, batch: u64, pick: Pick) -> Result<Vec<LayerCost>, SimulateError> {
    let network = &workload.network;
    network
        .layers()
        .map(|(_, layer)| layer)
        .filter(|layer| layer.nest.is_some())
        .map(|layer| cost(workload, layer, profile, recipe, batch, pick))
        .collect()
}

fn cost(workload: &Workload, layer: &Layer, profile: &Profile, recipe: &Recipe, batch: u64, pick: Pick) -> Result<LayerCost, SimulateError> {
    let network = &workload.network;
    let Some(nest) = layer.nest else { return Err(SimulateError::Empty { layer: layer.name.clone(), dimension: "N" }) };
    let target = recipe.target(&layer.name);
    let weights = layer.weights();
    let density = if weights == 0 { 1.0 } else { target.kept(weights) as f64 / weights as f64 };
    let work = |spilled: bool| LayerWork {
        name: &layer.name,
        nest: nest.batch(batch),
        weights: Weights::Density(density),
        weight_bits: match target.precision {
            Precision::Float32 => profile.weight_bits,
            Precision::EqualInterval { bits } => u32::from(bits).min(profile.weight_bits),
        },
        activation_bits: profile.activation_bits,
        activation_density: workload.activation_density(layer),
        input_elements: layer.inputs.iter().map(|&id| network.layer(id).output.elements() as u64).sum(),
        output_elements: layer.output.elements() as u64,
        input_from_dram: spilled || reads_input(network, layer),
        output_to_dram: spilled || ends(network, layer),
    };
    match simulate::layer(&work(false), profile, pick) {
        Ok(outcome) => Ok(outcome.cost),
        // the maps do not stay on chip whole: they stream
        Err(SimulateError::Tile { .. } | SimulateError::NoEngine { .. }) => Ok(simulate::layer(&work(true), profile, pick)?.cost),
        Err(error) => Err(error),
    }
}

/// Whether a layer reads the network's input with nothing in between that multiplies.
fn reads_input(network: &Network, layer: &Layer) -> bool {
    layer.inputs.iter().any(|&id| {
        let before = network.layer(id);
        id == network.input() || (before.nest.is_none() && reads_input(network, before))
    })
}

/// Whether nothing that multiplies reads a layer's output.
fn ends(network: &Network, layer: &Layer) -> bool {
    let Some(id) = network.find(&layer.name) else { return true };
    network.readers(id).iter().all(|&reader| {
        let after = network.layer(reader);
        after.nest.is_none() && ends(network, after)
    })
}
