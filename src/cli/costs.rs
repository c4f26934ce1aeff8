//! A network at a recipe on a profile, by expectation or on masks.

use super::activations::{self, Known};
use super::failure::Failure;
use super::mapping;
use super::request::Given;
use crate::compression::{Mask, Recipe, Target};
use crate::hardware::Profile;
use crate::network::{Layer, Network, Workload};
use crate::simulate::{
    self, Fusion, LayerExpectation, LayerSetting, Mapping, Mappings, NetworkCost, NetworkLayer, Pick,
    SimulateError, Weights,
};
use std::collections::BTreeMap;

/// Where mappings come from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mapped<'a> {
    /// A file's, which go first.
    pub(super) mappings: Option<&'a Given<Mappings>>,
    /// Whether tilings are searched.
    pub(super) search: bool,
    /// Masks by layer, instead of random positions by expectation.
    pub(super) masks: Option<&'a Masks>,
    /// How many activations are zero, instead of what the workload says.
    pub(super) activations: Option<Known<'a>>,
    /// How layers that do not multiply are run.
    pub(super) fusion: Fusion,
}

/// Masks by layer name.
pub(super) type Masks = BTreeMap<String, Mask>;

impl Mapped<'_> {
    fn of(&self, pick: Pick, layer: &str) -> Option<Mapping> {
        self.mappings
            .and_then(|m| m.value.layers.get(layer).copied())
            .or(self.search.then_some(Mapping::Searched(pick)))
    }
}

/// The cost of every layer that multiplies, each on the engine that is cheapest for it, its non-zeros on its mask or at
/// random positions.
pub(super) fn expected(
    workload: &Given<Workload>,
    profile: &Given<Profile>,
    recipe: &Recipe,
    batch: u64,
    pick: Pick,
    mapped: &Mapped<'_>,
) -> Result<NetworkCost, Failure> {
    let setting = |layer: &Layer| {
        let setting = setting(workload, profile, recipe, (mapped, pick), layer);
        match mapped.masks.and_then(|masks| masks.get(&layer.name)) {
            Some(mask) => LayerSetting {
                weights: Weights::Pattern(mask),
                ..setting
            },
            None => setting,
        }
    };
    let (network, on) = (&workload.value.network, &profile.value);
    simulate::network_fused(network, on, batch, pick, mapped.fusion, &setting)
        .map_err(|error| failure(&error, workload, profile, mapped))
}

/// A layer that cannot be run, at its place in the mapping file or the profile.
fn failure(
    error: &SimulateError,
    workload: &Given<Workload>,
    profile: &Given<Profile>,
    mapped: &Mapped<'_>,
) -> Failure {
    let (layer, key) = match error {
        SimulateError::Mapping { layer, key, .. } => (layer, *key),
        SimulateError::Unsupported { layer, .. } | SimulateError::NoEngine { layer, .. } => (layer, ""),
        _ => return Failure::simulate(error, &workload.input.given, &profile.source, &profile.value),
    };
    match mapped.mappings.filter(|m| m.value.layers.contains_key(layer)) {
        Some(given) => mapping::failure(given, error, layer, key, &profile.value.name),
        None => Failure::simulate(error, &workload.input.given, &profile.source, &profile.value),
    }
}

/// The probability of the interval in which uniformly random masks lie.
const LEVEL: f64 = 0.95;

/// What random positions of the same density would cost, for a layer that was simulated on its mask; `None` for a
/// layer without one.
pub(super) fn at_random(
    workload: &Given<Workload>,
    profile: &Given<Profile>,
    recipe: &Recipe,
    (batch, pick): (u64, Pick),
    mapped: &Mapped<'_>,
    simulated: &NetworkLayer,
) -> Result<Option<LayerExpectation>, Failure> {
    let network = &workload.value.network;
    let mask = mapped.masks.and_then(|masks| masks.get(&simulated.name));
    let layer = network.find(&simulated.name).map(|id| network.layer(id));
    let (Some(mask), Some(layer)) = (mask, layer) else {
        return Ok(None);
    };
    let setting = LayerSetting {
        // densities are above 0: a mask without non-zeros is set beside a single one
        weights: Weights::Density(mask.density().max(1.0 / mask.len().max(1) as f64)),
        ..setting(workload, profile, recipe, (mapped, pick), layer)
    };
    simulate::expect_layer(network, simulated, setting, &profile.value, batch, LEVEL)
        .map_err(|error| failure(&error, workload, profile, mapped))
}

/// A layer at a recipe: its non-zeros at random positions, the zeros of its inputs as they were chosen or the workload knows them.
pub(super) fn setting(
    workload: &Given<Workload>,
    profile: &Given<Profile>,
    recipe: &Recipe,
    (mapped, pick): (&Mapped<'_>, Pick),
    layer: &Layer,
) -> LayerSetting<'static> {
    let target = recipe.target(&layer.name);
    LayerSetting {
        weights: Weights::Density(density(layer, &target)),
        activation_density: activations::density(&workload.value, mapped.activations, layer).0,
        mapping: mapped.of(pick, &layer.name),
        ..LayerSetting::of_target(&target, &profile.value)
    }
}

/// Bits of a layer's stored weights at a recipe.
pub(super) fn weight_bits(recipe: &Recipe, profile: &Profile, layer: &Layer) -> u32 {
    LayerSetting::of_target(&recipe.target(&layer.name), profile).weight_bits
}

/// Bits at which a layer's inputs are multiplied at a recipe.
pub(super) fn activation_bits(recipe: &Recipe, profile: &Profile, layer: &Layer) -> u32 {
    let target = recipe.target(&layer.name);
    target.activation_bits.map_or(profile.activation_bits, u32::from)
}

/// The layers of a network's cost with what was simulated of them, in its order.
pub(super) fn by_layer<'a>(
    network: &'a Network,
    total: &'a NetworkCost,
) -> impl Iterator<Item = (&'a Layer, &'a NetworkLayer)> {
    total.layers.iter().filter_map(|priced| {
        let id = network.find(&priced.name)?;
        Some((network.layer(id), priced))
    })
}

/// The portion of a layer's weights that a target keeps, to the weight; 1 for a product of activations.
pub(super) fn density(layer: &Layer, target: &Target) -> f64 {
    match layer.weights() {
        0 => 1.0,
        weights => target.kept(weights) as f64 / weights as f64,
    }
}
