//! A layer where it stands in its network: what it reads, what reads it, and where those tensors lie.

use super::error::SimulateError;
use super::layer::{LayerOutcome, Pick, layer as cheapest};
use super::work::{LayerWork, Weights};
use crate::hardware::Profile;
use crate::network::{Layer, Network};

/// What is known of a layer beside its place: its weights and its inputs.
#[derive(Debug, Clone, Copy)]
pub struct LayerState<'a> {
    /// The weights; `Density(1.0)` for a product of activations.
    pub weights: Weights<'a>,
    /// Bits of a stored weight.
    pub weight_bits: u32,
    /// Portion of input activations that are not zero.
    pub activation_density: f64,
}

/// The cost of a network's layer on a profile. A feature map stays on chip between two layers where it fits there, and
/// passes through DRAM where it does not; the network's input comes from DRAM and its output goes there.
/// `None` for layers that do not multiply: they are not modelled.
///
/// # Errors
/// When no engine of the profile can run the layer even with its maps in DRAM.
pub fn network_layer(
    network: &Network,
    layer: &Layer,
    profile: &Profile,
    state: LayerState<'_>,
    batch: u64,
    pick: Pick,
) -> Result<Option<LayerOutcome>, SimulateError> {
    let Some(nest) = layer.nest else { return Ok(None) };
    let work = |spilled: bool| LayerWork {
        name: &layer.name,
        nest: nest.batch(batch),
        weights: state.weights,
        weight_bits: state.weight_bits,
        activation_bits: profile.activation_bits,
        activation_density: state.activation_density,
        input_elements: layer
            .inputs
            .iter()
            .map(|&id| network.layer(id).output.elements() as u64)
            .sum(),
        output_elements: layer.output.elements() as u64,
        input_from_dram: spilled || reads_input(network, layer),
        output_to_dram: spilled || ends(network, layer),
    };
    match cheapest(&work(false), profile, pick) {
        Ok(outcome) => Ok(Some(outcome)),
        // the maps do not stay on chip whole: they stream
        Err(SimulateError::Tile { .. } | SimulateError::NoEngine { .. }) => {
            cheapest(&work(true), profile, pick).map(Some)
        }
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
    let Some(id) = network.find(&layer.name) else {
        return true;
    };
    network.readers(id).iter().all(|&reader| {
        let after = network.layer(reader);
        after.nest.is_none() && ends(network, after)
    })
}
