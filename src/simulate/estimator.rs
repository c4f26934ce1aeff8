//! The totals of a network again and again: for searches and sweeps that ask thousands of times.

use super::cost::{EnergyBreakdown, StoredBits};
use super::engine::Found;
use super::error::SimulateError;
use super::fusion::Fusion;
use super::layer::{Figures, Pick, check, settled_figures};
use super::memory::Layout;
use super::network::{
    LayerSetting, NetworkCost, Surroundings, network_known, readers, residency, room, too_large, work_of,
};
use super::stored::{Tensors, stored_bits};
use super::work::{ActivationBits, LayerWork, Mapping, Weights};
use crate::hardware::Profile;
use crate::network::{Layer, LayerId, Network};
use crate::units::{Overflow, add};
use std::collections::HashMap;

/// What a network costs in all: [`NetworkCost`] without its layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Total {
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

impl Default for Total {
    /// Nothing yet.
    fn default() -> Self {
        Self {
            seconds: 0.0,
            cycles: 0,
            energy: EnergyBreakdown {
                decode: Some(0.0),
                register: Some(0.0),
                network: Some(0.0),
                activation: Some(0.0),
                leakage: Some(0.0),
                ..EnergyBreakdown::default()
            },
            stored: StoredBits::default(),
            macs: 0,
        }
    }
}

impl Total {
    pub(super) fn add(&mut self, layer: &Figures) -> Result<(), Overflow> {
        self.seconds += layer.seconds;
        self.cycles = add(self.cycles, layer.cycles)?;
        self.macs = add(self.macs, layer.macs)?;
        self.stored.weights = add(self.stored.weights, layer.stored.weights)?;
        self.stored.indices = add(self.stored.indices, layer.stored.indices)?;
        let (sum, part) = (&mut self.energy, &layer.energy);
        let both = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        sum.mac += part.mac;
        sum.buffer += part.buffer;
        sum.dram += part.dram;
        sum.decode = both(sum.decode, part.decode);
        sum.register = both(sum.register, part.register);
        sum.network = both(sum.network, part.network);
        sum.activation = both(sum.activation, part.activation);
        sum.leakage = both(sum.leakage, part.leakage);
        Ok(())
    }
}

impl From<&NetworkCost> for Total {
    fn from(cost: &NetworkCost) -> Self {
        Self {
            seconds: cost.seconds,
            cycles: cost.cycles,
            energy: cost.energy,
            stored: cost.stored,
            macs: cost.macs,
        }
    }
}

/// A layer that multiplies.
#[derive(Debug)]
struct Place<'a> {
    layer: &'a Layer,
    work: LayerWork<'a>,
    /// The layers that read what it makes, by their places.
    readers: Vec<usize>,
    /// The tensors that it reads and makes, by their places.
    tensors: [usize; 2],
    /// Layers of one kind have the same loops and features.
    kind: usize,
}

/// A tensor that may stay on chip.
#[derive(Debug)]
struct Held<'a> {
    layer: &'a Layer,
    /// The layers that multiply it, by their places.
    readers: Vec<usize>,
    /// Whether it leaves the network.
    leaves: bool,
    /// Whether it is too large to stay at the profile's width.
    too_large: bool,
}

impl Held<'_> {
    fn bits(&self, profile: &Profile, settings: &[LayerSetting<'_>]) -> u32 {
        let readers = self.readers.iter().map(|&at| settings[at].activation_bits);
        stored_bits(profile, self.leaves, readers)
    }
}

/// The figures of a layer at a setting, for the layers of its kind that follow.
struct Known<'s, 'a> {
    setting: &'s LayerSetting<'a>,
    output_density: f64,
    stored_bits: [u32; 2],
    figures: Figures,
}

/// A network on a profile, prepared: where features live and which layers are alike is found once, and so is how a layer
/// lies on an array that searches for it.
#[derive(Debug)]
pub struct Estimator<'a> {
    network: &'a Network,
    profile: &'a Profile,
    batch: u64,
    pick: Pick,
    layout: Layout,
    places: Vec<Place<'a>>,
    tensors: Vec<Held<'a>>,
    room: u64,
    kinds: usize,
    fusion: Fusion,
    found: Found,
}

impl<'a> Estimator<'a> {
    /// Prepares a network for `batch` samples; every layer takes the engine that is cheapest by `pick`.
    #[must_use]
    pub fn new(network: &'a Network, profile: &'a Profile, batch: u64, pick: Pick) -> Self {
        let residency = residency(network, profile, batch);
        let mut places: Vec<Place<'a>> = Vec::with_capacity(residency.multiplying.len());
        let mut kinds = HashMap::new();
        let all_readers = readers(&residency.multiplying, &residency.all_sources);
        let order: HashMap<LayerId, usize> = residency.multiplying.iter().copied().zip(0..).collect();
        let room = room(profile);
        let (tensors, at) = tensors(network, profile, batch, room, &order);
        let dense = LayerSetting {
            weights: Weights::Density(1.0),
            weight_bits: profile.weight_bits,
            activation_density: 1.0,
            activation_bits: None,
            mapping: None,
        };
        for (i, &id) in residency.multiplying.iter().enumerate() {
            let layer = network.layer(id);
            let [input_from_dram, output_to_dram] = residency.dram(i);
            let around = Surroundings {
                input_from_dram,
                output_to_dram,
                output_density: 1.0,
                input_bits: profile.activation_bits,
                output_bits: profile.activation_bits,
                fused: None,
            };
            let Some(work) = work_of(network, layer, profile, batch, dense, around) else {
                continue;
            };
            let elements = [work.input_elements, work.output_elements];
            let next = kinds.len();
            let kind = *kinds
                .entry((work.nest, elements, [input_from_dram, output_to_dram]))
                .or_insert(next);
            let input = layer.inputs.first().copied().unwrap_or(id);
            places.push(Place {
                layer,
                work,
                readers: all_readers[i].iter().map(|reader| order[reader]).collect(),
                tensors: [at[&input], at[&id]],
                kind,
            });
        }
        Self {
            network,
            profile,
            batch,
            pick,
            layout: Layout::new(&profile.memories),
            places,
            tensors,
            room,
            kinds: kinds.len(),
            fusion: Fusion::Ideal,
            found: Found::default(),
        }
    }

    /// With the layers that do not multiply run as `fusion` says, instead of ideally: nothing is prepared for that, each
    /// total is the whole network's.
    #[must_use]
    pub fn fused(self, fusion: Fusion) -> Self {
        Self { fusion, ..self }
    }

    /// [`network_fused`](super::network_fused) at a setting of each layer, with the mappings that were found before.
    ///
    /// # Errors
    /// As [`network_fused`](super::network_fused).
    pub fn network(
        &self,
        setting: &dyn Fn(&Layer) -> LayerSetting<'a>,
    ) -> Result<NetworkCost, SimulateError> {
        network_known(
            self.network,
            self.profile,
            self.batch,
            self.pick,
            self.fusion,
            setting,
            &self.found,
        )
    }

    /// The totals of [`network`](Self::network) at a setting of each layer: the same to the bit. Layers that are alike in
    /// loops, features and setting are computed once.
    ///
    /// # Errors
    /// As [`network`](Self::network).
    pub fn total(&self, setting: &dyn Fn(&Layer) -> LayerSetting<'a>) -> Result<Total, SimulateError> {
        if self.fusion != Fusion::Ideal {
            return Ok(Total::from(&self.network(setting)?));
        }
        let settings: Vec<LayerSetting<'a>> = self.places.iter().map(|place| setting(place.layer)).collect();
        // at the profile's width everything is stored as it was prepared
        let own = self.profile.activation_bits;
        let uniform = settings
            .iter()
            .all(|s| s.activation_bits.is_none_or(|bits| bits == own));
        if !uniform && self.moves(&settings) {
            return Ok(Total::from(&self.network(setting)?));
        }
        let mut known: Vec<Known<'_, 'a>> = Vec::with_capacity(self.kinds);
        // the place in `known` of the last layer of each kind
        let mut last: Vec<Option<usize>> = vec![None; self.kinds];
        let mut total = Total::default();
        for (place, setting_here) in self.places.iter().zip(&settings) {
            let output_density = place
                .readers
                .iter()
                .map(|&reader| settings[reader].activation_density)
                .reduce(f64::max)
                .unwrap_or(1.0);
            let stored_bits = if uniform {
                [own; 2]
            } else {
                place
                    .tensors
                    .map(|at| self.tensors[at].bits(self.profile, &settings))
            };
            let alike = last[place.kind].filter(|&at| {
                known[at].output_density == output_density
                    && known[at].stored_bits == stored_bits
                    && same(known[at].setting, setting_here)
            });
            let at = if let Some(at) = alike {
                at
            } else {
                let work = LayerWork {
                    weights: setting_here.weights,
                    weight_bits: setting_here.weight_bits,
                    activation_bits: ActivationBits::of(
                        self.profile,
                        setting_here.activation_bits.unwrap_or(own),
                        stored_bits,
                    ),
                    activation_density: setting_here.activation_density,
                    output_density,
                    mapping: setting_here.mapping,
                    ..place.work
                };
                let Some(figures) = self.cheapest(&work)? else {
                    // something must move to DRAM, or nothing can run it: the whole network says which
                    return Ok(Total::from(&self.network(setting)?));
                };
                last[place.kind] = Some(known.len());
                known.push(Known {
                    setting: setting_here,
                    output_density,
                    stored_bits,
                    figures,
                });
                known.len() - 1
            };
            total
                .add(&known[at].figures)
                .map_err(|_| SimulateError::Overflow {
                    layer: place.layer.name.clone(),
                })?;
        }
        Ok(total)
    }

    /// Whether some tensor fits on chip at these settings and not at the profile's width, or the other way round.
    fn moves(&self, settings: &[LayerSetting<'_>]) -> bool {
        self.tensors.iter().any(|tensor| {
            let bits = tensor.bits(self.profile, settings);
            too_large(tensor.layer, self.batch, bits, self.room) != tensor.too_large
        })
    }

    /// The figures of the cheapest engine, of equals the first; `None` if no engine can run the layer.
    fn cheapest(&self, work: &LayerWork) -> Result<Option<Figures>, SimulateError> {
        check(work)?;
        if work.mapping.is_some_and(Mapping::is_pinned) {
            return Ok(None); // a pinned mapping has errors of its own: the whole network says them
        }
        let mut best: Option<(f64, Figures)> = None;
        for unit in &self.profile.engines {
            if let Ok(figures) = settled_figures(work, self.profile, &self.layout, unit, &self.found) {
                let cost = self.pick.weigh(figures.seconds, &figures.energy);
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, figures));
                }
            }
        }
        Ok(best.map(|(_, figures)| figures))
    }
}

/// The tensors of a network, and the place of each by the layer that makes it.
fn tensors<'a>(
    network: &'a Network,
    profile: &Profile,
    batch: u64,
    room: u64,
    order: &HashMap<LayerId, usize>,
) -> (Vec<Held<'a>>, HashMap<LayerId, usize>) {
    let all = Tensors::of(network);
    let places = network.layers().map(|(id, _)| id).zip(0..).collect();
    let held = network.layers().map(|(id, layer)| {
        let tensor = all.get(id);
        Held {
            layer,
            readers: tensor.readers.iter().map(|reader| order[reader]).collect(),
            leaves: tensor.leaves,
            too_large: too_large(layer, batch, profile.activation_bits, room),
        }
    });
    (held.collect(), places)
}

fn same(a: &LayerSetting<'_>, b: &LayerSetting<'_>) -> bool {
    let weights = match (a.weights, b.weights) {
        (Weights::Density(a), Weights::Density(b)) => a == b,
        (Weights::Pattern(a), Weights::Pattern(b)) => std::ptr::eq(a, b),
        _ => false,
    };
    weights
        && a.weight_bits == b.weight_bits
        && a.activation_bits == b.activation_bits
        && a.activation_density == b.activation_density
        && a.mapping == b.mapping
}
