//! A whole network on one profile.

use super::cost::{EnergyBreakdown, StoredBits};
use super::engine::Found;
use super::error::SimulateError;
use super::estimator::Total;
use super::layer::{Figures, LayerOutcome, Pick, interval, layer_known, layer_on, layer_on_known};
use super::work::{LayerWork, Mapping, Weights};
use crate::compression::Target;
use crate::compression::precision::Precision;
use crate::hardware::{MemoryKind, Profile, TensorKind};
use crate::network::{Layer, LayerId, Network, Op};
use crate::units::product;
use std::collections::{BTreeMap, BTreeSet};

/// What a layer's weights and inputs are.
#[derive(Debug, Clone, Copy)]
pub struct LayerSetting<'a> {
    /// Its weights; `Density(1.0)` for a product of activations.
    pub weights: Weights<'a>,
    /// Bits of a stored weight.
    pub weight_bits: u32,
    /// Portion of its inputs that are not zero, in (0, 1].
    pub activation_density: f64,
    /// The mapping to run, see [`LayerWork::mapping`].
    pub mapping: Option<Mapping>,
}

impl LayerSetting<'_> {
    /// A target of which no mask is known yet, with no zeros among the inputs. Weights that are not quantised
    /// take the profile's width.
    #[must_use]
    pub fn of_target(target: &Target, profile: &Profile) -> Self {
        let weight_bits = if target.precision == Precision::Float32 {
            profile.weight_bits
        } else {
            target.precision.bits()
        };
        Self {
            weights: Weights::Density(target.density),
            weight_bits,
            activation_density: 1.0,
            mapping: None,
        }
    }
}

/// One layer of a [`NetworkCost`].
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkLayer {
    /// The layer's name.
    pub name: String,
    /// Its cost on the engine it takes, and on the others.
    pub outcome: LayerOutcome,
    /// Where its features come from and go to.
    pub around: Surroundings,
}

/// The cost of a network: its layers one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkCost {
    /// The layers that multiply, in order.
    pub layers: Vec<NetworkLayer>,
    /// Names of the layers that do not (pooling, activations, …): not modelled.
    pub not_modelled: Vec<String>,
    /// Time of the batch.
    pub seconds: f64,
    /// Cycles, each of its engine's clock.
    pub cycles: u64,
    /// Energy of the batch in pJ; a component is `None` unless every layer has it.
    pub energy: EnergyBreakdown,
    /// Stored weight bits, each layer in its engine's encoding.
    pub stored: StoredBits,
    /// Multiplications that were done.
    pub macs: u64,
}

/// The network's layers that multiply, one after another on `batch` samples, each on its cheapest engine.
///
/// The network's input is read from DRAM and its output written there. What lies between stays on chip if,
/// for the whole batch, it takes at most half of the largest buffer for outputs and of the largest for inputs,
/// and if the layers that write and read it can be tiled beside it; otherwise it goes through DRAM. Layers
/// that do not multiply cost nothing here and pass their input's place on. The second operand of a product of
/// activations is read like weights.
///
/// # Errors
/// The first layer that cannot be simulated, see [`SimulateError`].
pub fn network<'a>(
    network: &Network,
    profile: &Profile,
    batch: u64,
    pick: Pick,
    setting: &dyn Fn(&Layer) -> LayerSetting<'a>,
) -> Result<NetworkCost, SimulateError> {
    network_known(network, profile, batch, pick, setting, &Found::default())
}

/// [`network()`], where mappings that were found before need no search.
pub(super) fn network_known<'a>(
    network: &Network,
    profile: &Profile,
    batch: u64,
    pick: Pick,
    setting: &dyn Fn(&Layer) -> LayerSetting<'a>,
    found: &Found,
) -> Result<NetworkCost, SimulateError> {
    let Residency {
        multiplying,
        all_sources,
        mut in_dram,
    } = residency(network, profile, batch);

    let all_readers = readers(&multiplying, &all_sources);
    let mut searched: Vec<(LayerWork<'_>, LayerOutcome)> = Vec::new();
    let mut layers: Vec<Option<NetworkLayer>> = vec![None; multiplying.len()];
    let mut todo: BTreeSet<usize> = (0..multiplying.len()).collect();
    while let Some(i) = todo.pop_first() {
        let (id, sources) = (multiplying[i], &all_sources[i]);
        let at = network.layer(id);
        let around = Surroundings {
            input_from_dram: sources.iter().any(|s| in_dram.contains(s)),
            output_to_dram: in_dram.contains(&id),
            output_density: all_readers[i]
                .iter()
                .map(|&reader| setting(network.layer(reader)).activation_density)
                .reduce(f64::max)
                .unwrap_or(1.0),
        };
        let Some(work) = work_of(network, at, profile, batch, setting(at), around) else {
            continue;
        };
        let known = searched.iter().find(|(before, _)| alike(before, &work));
        let outcome = match known {
            Some((_, outcome)) => Ok(renamed(outcome, &work, profile, found)),
            None => layer_known(&work, profile, pick, found),
        };
        match outcome {
            Ok(outcome) => {
                if known.is_none() && matches!(work.mapping, Some(Mapping::Searched(_))) {
                    searched.push((work, outcome.clone()));
                }
                layers[i] = Some(NetworkLayer {
                    name: at.name.clone(),
                    outcome,
                    around,
                });
            }
            Err(error) => {
                // no room beside what stays on chip: move this layer's features to DRAM, and see who shares them
                let moved: Vec<LayerId> = sources
                    .iter()
                    .copied()
                    .chain([id])
                    .filter(|t| in_dram.insert(*t))
                    .collect();
                if moved.is_empty()
                    || !matches!(
                        error,
                        SimulateError::Tile { .. }
                            | SimulateError::NoEngine { .. }
                            | SimulateError::Mapping { .. }
                    )
                {
                    return Err(error);
                }
                todo.insert(i);
                let touched = |j: &usize| {
                    moved.contains(&multiplying[*j]) || all_sources[*j].iter().any(|s| moved.contains(s))
                };
                todo.extend((0..multiplying.len()).filter(touched));
            }
        }
    }
    let not_modelled = network
        .layers()
        .filter(|(_, l)| l.nest.is_none() && l.op != Op::Input)
        .map(|(_, l)| l.name.clone())
        .collect();
    sum(layers.into_iter().flatten().collect(), not_modelled)
}

/// Whether two layers are the same but for their names.
fn alike(a: &LayerWork, b: &LayerWork) -> bool {
    let weights = match (a.weights, b.weights) {
        (Weights::Density(a), Weights::Density(b)) => a == b,
        (Weights::Pattern(a), Weights::Pattern(b)) => std::ptr::eq(a, b),
        _ => false,
    };
    weights
        && (a.nest, a.weight_bits, a.activation_bits) == (b.nest, b.weight_bits, b.activation_bits)
        && (a.activation_density, a.output_density) == (b.activation_density, b.output_density)
        && (a.input_elements, a.output_elements) == (b.input_elements, b.output_elements)
        && (a.input_from_dram, a.output_to_dram) == (b.input_from_dram, b.output_to_dram)
        && a.mapping == b.mapping
}

/// The outcome of a layer like this one; what an engine refused it says again, with this layer's name.
fn renamed(outcome: &LayerOutcome, work: &LayerWork, profile: &Profile, found: &Found) -> LayerOutcome {
    let mut outcome = outcome.clone();
    for (engine, cost) in outcome.all.iter_mut().enumerate() {
        if cost.is_err() {
            *cost = layer_on_known(work, profile, engine, found);
        }
    }
    outcome
}

/// For each multiplying layer, those that read what it makes.
pub(super) fn readers(multiplying: &[LayerId], sources: &[Vec<LayerId>]) -> Vec<Vec<LayerId>> {
    let places: BTreeMap<LayerId, usize> = multiplying.iter().copied().zip(0..).collect();
    let mut readers = vec![Vec::new(); multiplying.len()];
    for (&reader, sources) in multiplying.iter().zip(sources) {
        for place in sources.iter().filter_map(|source| places.get(source)) {
            readers[*place].push(reader);
        }
    }
    readers
}

/// Where the features of a network live, before any layer has been tried.
pub(super) struct Residency {
    /// The layers that multiply, in order.
    pub(super) multiplying: Vec<LayerId>,
    /// What each of them reads.
    pub(super) all_sources: Vec<Vec<LayerId>>,
    /// The tensors, by the layer that makes them, that live in DRAM.
    pub(super) in_dram: BTreeSet<LayerId>,
}

impl Residency {
    /// Whether the input of the i-th multiplying layer comes from DRAM, and whether its output goes there.
    pub(super) fn dram(&self, i: usize) -> [bool; 2] {
        [
            self.all_sources[i].iter().any(|s| self.in_dram.contains(s)),
            self.in_dram.contains(&self.multiplying[i]),
        ]
    }
}

/// What is too large to stay on chip goes to DRAM, as the network's own input and output do.
pub(super) fn residency(network: &Network, profile: &Profile, batch: u64) -> Residency {
    let multiplying: Vec<LayerId> = network
        .layers()
        .filter(|(_, l)| l.nest.is_some())
        .map(|(id, _)| id)
        .collect();
    let all_sources: Vec<Vec<LayerId>> = multiplying.iter().map(|&id| sources(network, id)).collect();
    let room = [TensorKind::Inputs, TensorKind::Outputs]
        .map(|t| largest_buffer(profile, t) / 2)
        .into_iter()
        .min()
        .unwrap_or(0);
    let mut in_dram = BTreeSet::from([network.input()]);
    in_dram.extend(origins(network, network.output()));
    for (id, layer) in network.layers() {
        let size = product(&[
            batch,
            layer.output.elements() as u64,
            u64::from(profile.activation_bits),
        ]);
        if size.is_ok_and(|bits| bits <= room) {
            continue;
        }
        in_dram.extend(origins(network, id));
    }
    Residency {
        multiplying,
        all_sources,
        in_dram,
    }
}

/// What a layer's neighbours decide of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surroundings {
    /// Whether its input comes from DRAM.
    pub input_from_dram: bool,
    /// Whether its output goes there.
    pub output_to_dram: bool,
    /// The portion of its outputs that are not zero, as the layers that read them see it.
    pub output_density: f64,
}

/// What a network asks of an array for one layer; `None` for a layer that does not multiply.
#[must_use]
pub fn work_of<'a>(
    network: &Network,
    layer: &'a Layer,
    profile: &Profile,
    batch: u64,
    setting: LayerSetting<'a>,
    around: Surroundings,
) -> Option<LayerWork<'a>> {
    Some(LayerWork {
        name: &layer.name,
        nest: layer.nest?.batch(batch),
        weights: setting.weights,
        weight_bits: setting.weight_bits,
        activation_bits: profile.activation_bits,
        activation_density: setting.activation_density,
        input_elements: layer
            .inputs
            .first()
            .map_or(0, |&input| network.layer(input).output.elements() as u64),
        output_elements: layer.output.elements() as u64,
        input_from_dram: around.input_from_dram,
        output_to_dram: around.output_to_dram,
        output_density: around.output_density,
        mapping: setting.mapping,
    })
}

/// What to expect of a layer whose non-zeros stand at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerExpectation {
    /// Cycles.
    pub cycles: u64,
    /// The interval that holds them with the probability asked for, where one is stated, see [`interval`].
    pub interval: Option<(u64, u64)>,
}

/// What to expect of a simulated layer with another setting, on the engine that it took and with its features where
/// they were; `None` for a layer that does not multiply. So a real mask is compared with random ones of its density.
///
/// # Errors
/// See [`SimulateError`].
pub fn expect_layer(
    network: &Network,
    simulated: &NetworkLayer,
    setting: LayerSetting<'_>,
    profile: &Profile,
    batch: u64,
    level: f64,
) -> Result<Option<LayerExpectation>, SimulateError> {
    let layer = network.find(&simulated.name).map(|id| network.layer(id));
    let work = layer.and_then(|l| work_of(network, l, profile, batch, setting, simulated.around));
    let Some(work) = work else { return Ok(None) };
    let engine = simulated.outcome.engine;
    Ok(Some(LayerExpectation {
        cycles: layer_on(&work, profile, engine)?.cycles,
        interval: interval(&work, profile, engine, level)?,
    }))
}

/// The tensors that a layer reads: of the multiplying layers and of the network's input, seen through the
/// layers between.
fn sources(network: &Network, id: LayerId) -> Vec<LayerId> {
    let mut found = BTreeSet::new();
    for &input in &network.layer(id).inputs {
        found.extend(origins(network, input));
    }
    found.into_iter().collect()
}

/// The multiplying layers, or the network's input, that a layer's output comes from.
fn origins(network: &Network, id: LayerId) -> Vec<LayerId> {
    let (mut found, mut seen, mut stack) = (BTreeSet::new(), BTreeSet::new(), vec![id]);
    while let Some(at) = stack.pop() {
        if !seen.insert(at) {
            continue;
        }
        let layer = network.layer(at);
        if layer.nest.is_some() || layer.op == Op::Input {
            found.insert(at);
        } else {
            stack.extend(&layer.inputs);
        }
    }
    found.into_iter().collect()
}

fn largest_buffer(profile: &Profile, tensor: TensorKind) -> u64 {
    let bits = profile
        .memories
        .iter()
        .filter(|m| m.holds.contains(&tensor))
        .map(|m| match m.kind {
            MemoryKind::Buffer { capacity, .. } => capacity.bits(),
            MemoryKind::Dram { .. } => 0,
        });
    bits.max().unwrap_or(0)
}

fn sum(layers: Vec<NetworkLayer>, not_modelled: Vec<String>) -> Result<NetworkCost, SimulateError> {
    let mut total = Total::default();
    for layer in &layers {
        let cost = &layer.outcome.cost;
        let figures = Figures {
            cycles: cost.cycles,
            seconds: cost.seconds,
            energy: cost.energy,
            stored: cost.stored,
            macs: cost.macs,
        };
        total.add(&figures).map_err(|_| SimulateError::Overflow {
            layer: layer.name.clone(),
        })?;
    }
    Ok(NetworkCost {
        layers,
        not_modelled,
        seconds: total.seconds,
        cycles: total.cycles,
        energy: total.energy,
        stored: total.stored,
        macs: total.macs,
    })
}
