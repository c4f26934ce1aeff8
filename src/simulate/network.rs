//! A whole network on one profile.

use super::cost::{EnergyBreakdown, StoredBits};
use super::engine::RowStationaryMapping;
use super::error::SimulateError;
use super::layer::{LayerOutcome, Pick, layer};
use super::work::{LayerWork, Weights};
use crate::compression::Target;
use crate::compression::precision::Precision;
use crate::hardware::{MemoryKind, Profile, TensorKind};
use crate::network::{Layer, LayerId, Network, Op};
use crate::units::{add, product};
use std::collections::BTreeSet;

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
    pub mapping: Option<RowStationaryMapping>,
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
    /// Whether its input is read from DRAM.
    pub input_from_dram: bool,
    /// Whether its output is written to DRAM.
    pub output_to_dram: bool,
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
    // tensors (by the layer that makes them) that live in DRAM
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

    let mut layers: Vec<Option<NetworkLayer>> = vec![None; multiplying.len()];
    let mut todo: BTreeSet<usize> = (0..multiplying.len()).collect();
    while let Some(i) = todo.pop_first() {
        let (id, sources) = (multiplying[i], &all_sources[i]);
        let at = network.layer(id);
        let Some(nest) = at.nest else { continue };
        let LayerSetting {
            weights,
            weight_bits,
            activation_density,
            mapping,
        } = setting(at);
        let output_density = readers(&multiplying, &all_sources, id)
            .map(|reader| setting(network.layer(reader)).activation_density)
            .reduce(f64::max)
            .unwrap_or(1.0);
        let work = LayerWork {
            name: &at.name,
            nest: nest.batch(batch),
            weights,
            weight_bits,
            activation_bits: profile.activation_bits,
            activation_density,
            input_elements: at
                .inputs
                .first()
                .map_or(0, |&input| network.layer(input).output.elements() as u64),
            output_elements: at.output.elements() as u64,
            input_from_dram: sources.iter().any(|s| in_dram.contains(s)),
            output_to_dram: in_dram.contains(&id),
            output_density,
            mapping,
        };
        match layer(&work, profile, pick) {
            Ok(outcome) => {
                let (input_from_dram, output_to_dram) = (work.input_from_dram, work.output_to_dram);
                layers[i] = Some(NetworkLayer {
                    name: at.name.clone(),
                    outcome,
                    input_from_dram,
                    output_to_dram,
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

/// The multiplying layers that read what a layer makes.
fn readers(multiplying: &[LayerId], sources: &[Vec<LayerId>], id: LayerId) -> impl Iterator<Item = LayerId> {
    let reads = multiplying.iter().zip(sources);
    reads
        .filter(move |(_, sources)| sources.contains(&id))
        .map(|(&reader, _)| reader)
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
    let mut total = NetworkCost {
        layers: Vec::new(),
        not_modelled,
        seconds: 0.0,
        cycles: 0,
        energy: EnergyBreakdown {
            decode: Some(0.0),
            register: Some(0.0),
            network: Some(0.0),
            leakage: Some(0.0),
            ..EnergyBreakdown::default()
        },
        stored: StoredBits::default(),
        macs: 0,
    };
    for layer in &layers {
        let cost = &layer.outcome.cost;
        let overflow = |_| SimulateError::Overflow {
            layer: layer.name.clone(),
        };
        total.seconds += cost.seconds;
        total.cycles = add(total.cycles, cost.cycles).map_err(overflow)?;
        total.macs = add(total.macs, cost.macs).map_err(overflow)?;
        total.stored.weights = add(total.stored.weights, cost.stored.weights).map_err(overflow)?;
        total.stored.indices = add(total.stored.indices, cost.stored.indices).map_err(overflow)?;
        let (sum, part) = (&mut total.energy, &cost.energy);
        let both = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        sum.mac += part.mac;
        sum.buffer += part.buffer;
        sum.dram += part.dram;
        sum.decode = both(sum.decode, part.decode);
        sum.register = both(sum.register, part.register);
        sum.network = both(sum.network, part.network);
        sum.leakage = both(sum.leakage, part.leakage);
    }
    total.layers = layers;
    Ok(total)
}
