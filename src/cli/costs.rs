//! A network at a recipe on a profile, by expectation.

use super::failure::Failure;
use super::request::Given;
use crate::compression::precision::Precision;
use crate::compression::{Recipe, Target};
use crate::hardware::Profile;
use crate::network::{Layer, Workload};
use crate::simulate::{LayerCost, LayerState, Pick, Weights, network_layer};

/// Every layer that multiplies, in the network's order, with its cost on the engine that is cheapest for it, its
/// non-zeros at random positions.
pub(super) fn expected<'w>(
    workload: &'w Given<Workload>,
    profile: &Given<Profile>,
    recipe: &Recipe,
    batch: u64,
    pick: Pick,
) -> Result<Vec<(&'w Layer, LayerCost)>, Failure> {
    let network = &workload.value.network;
    let mut costs = Vec::new();
    for (_, layer) in network.layers() {
        let target = recipe.target(&layer.name);
        let state = LayerState {
            weights: Weights::Density(density(layer, &target)),
            weight_bits: match target.precision {
                // the engine takes what is not quantised at its own width
                Precision::Float32 => profile.value.weight_bits,
                quantised @ Precision::EqualInterval { .. } => {
                    quantised.bits().min(profile.value.weight_bits)
                }
            },
            activation_density: workload.value.activation_density(layer),
        };
        let outcome = network_layer(network, layer, &profile.value, state, batch, pick).map_err(|error| {
            Failure::simulate(&error, &workload.input.given, &profile.source, &profile.value)
        })?;
        costs.extend(outcome.map(|outcome| (layer, outcome.cost)));
    }
    Ok(costs)
}

/// The portion of a layer's weights that a target keeps, to the weight; 1 for a product of activations.
fn density(layer: &Layer, target: &Target) -> f64 {
    match layer.weights() {
        0 => 1.0,
        weights => target.kept(weights) as f64 / weights as f64,
    }
}
