//! A whole network on one profile.

use super::cost::{EnergyBreakdown, StoredBits};
use super::engine::Found;
use super::error::SimulateError;
use super::estimator::Total;
use super::fusion::{Fusion, Step, Steps, fuse, fuse_but, maker, origins};
use super::layer::{Figures, LayerOutcome, Pick, interval, layer_known, layer_on, layer_on_known};
use super::moving::moving;
use super::stored::{StoredWidths, Tensors};
use super::work::{ActivationBits, Fused, LayerWork, Mapping, Weights};
use crate::compression::Target;
use crate::compression::precision::Precision;
use crate::hardware::{MemoryKind, Profile, TensorKind};
use crate::network::{Layer, LayerId, Network};
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
    /// Bits at which its inputs are multiplied, and stored unless another layer reads them wider; `None` is the
    /// profile's width.
    pub activation_bits: Option<u32>,
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
            activation_bits: target.activation_bits.map(u32::from),
            mapping: None,
        }
    }
}

/// One layer of a [`NetworkCost`].
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkLayer {
    /// The layer's name.
    pub name: String,
    /// The layers that are fused behind it, in order.
    pub fused: Vec<String>,
    /// Its cost on the engine it takes, and on the others.
    pub outcome: LayerOutcome,
    /// Where its features come from and go to.
    pub around: Surroundings,
}

/// The cost of a network: its layers one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkCost {
    /// The layers that multiply and, unless fusion is ideal, those that are not fused, in order.
    pub layers: Vec<NetworkLayer>,
    /// Names of the layers that are left out (pooling, activations, …): not modelled.
    pub not_modelled: Vec<String>,
    /// Names of the layers that make no tensor of their own and so move nothing.
    pub free: Vec<String>,
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
    network_fused(network, profile, batch, pick, Fusion::Ideal, setting)
}

/// [`network`] with the layers that do not multiply run as `fusion` says.
///
/// Each step of [`super::fuse`] is a layer of the answer. What leaves a chain is stored instead of its first layer's
/// output, and the other operands of its adds are read, at the memories where they live. A layer on its own reads its
/// inputs and writes its output, and takes the time of the ports and the DRAM, at the clock of the profile's first
/// engine. What the arithmetic of both costs is not modelled. A chain that would move more DRAM bits than its layers
/// one by one, or has no room, is not fused: no mode moves more DRAM bits than [`Fusion::None`].
///
/// # Errors
/// As [`network`].
pub fn network_fused<'a>(
    network: &Network,
    profile: &Profile,
    batch: u64,
    pick: Pick,
    fusion: Fusion,
    setting: &dyn Fn(&Layer) -> LayerSetting<'a>,
) -> Result<NetworkCost, SimulateError> {
    network_known(network, profile, batch, pick, fusion, setting, &Found::default())
}

/// [`network_fused`], where mappings that were found before need no search.
pub(super) fn network_known<'a>(
    network: &Network,
    profile: &Profile,
    batch: u64,
    pick: Pick,
    fusion: Fusion,
    setting: &dyn Fn(&Layer) -> LayerSetting<'a>,
    found: &Found,
) -> Result<NetworkCost, SimulateError> {
    let job = Job {
        found,
        network,
        profile,
        batch,
        pick,
        setting,
    };
    let nothing = BTreeSet::new();
    if !matches!(fusion, Fusion::Elementwise | Fusion::Full) {
        let steps = fuse_but(network, fusion, &nothing);
        return job.run(&steps, fusion).map_err(|stopped| stopped.error);
    }
    let steps = fuse_but(network, Fusion::None, &nothing);
    let parts = job.run(&steps, Fusion::None).map_err(|stopped| stopped.error)?;
    let bits = parts.layers.iter().map(|layer| dram_bits(profile, layer));
    let parts: BTreeMap<LayerId, u128> = steps.steps.iter().map(|step| step.head).zip(bits).collect();
    let mut apart = nothing;
    loop {
        let steps = fuse_but(network, fusion, &apart);
        let chains = || steps.steps.iter().filter(|step| !step.fused.is_empty());
        match job.run(&steps, fusion) {
            Ok(cost) => {
                let bits: Vec<u128> = cost.layers.iter().map(|l| dram_bits(profile, l)).collect();
                let more = more_than_parts(&steps.steps, &bits, &parts);
                if more.is_empty() {
                    return Ok(cost);
                }
                apart.extend(more);
            }
            Err(stopped) => {
                if !lacks_room(&stopped.error) || !chains().any(|step| step.head == stopped.head) {
                    return Err(stopped.error);
                }
                apart.insert(stopped.head);
            }
        }
    }
}

/// The heads of chains that are better not fused: those that move more DRAM bits than their layers one by one. If the
/// network moves more although none of them does, as a chain had no room beside features that others find on chip,
/// those whose features are shared with a step that moves more; else all.
fn more_than_parts(steps: &[Step], bits: &[u128], parts: &BTreeMap<LayerId, u128>) -> Vec<LayerId> {
    let more: Vec<&Step> = steps
        .iter()
        .zip(bits)
        .filter(|(step, bits)| {
            let one_by_one = step.fused.iter().chain([&step.head]);
            **bits > one_by_one.filter_map(|id| parts.get(id)).sum()
        })
        .map(|(step, _)| step)
        .collect();
    let chains = || steps.iter().filter(|step| !step.fused.is_empty());
    let heads = |keep: &dyn Fn(&Step) -> bool| -> Vec<LayerId> {
        chains().filter(|step| keep(step)).map(|step| step.head).collect()
    };
    let own = heads(&|step| more.iter().any(|m| m.head == step.head));
    if !own.is_empty() || bits.iter().sum::<u128>() <= parts.values().sum() {
        return own;
    }
    let tensors = |step: &Step| -> BTreeSet<LayerId> { step.sources().chain([step.makes]).collect() };
    let shared = heads(&|step| more.iter().any(|m| !tensors(m).is_disjoint(&tensors(step))));
    if shared.is_empty() {
        heads(&|_| true)
    } else {
        shared
    }
}

/// Bits that a layer moves at the DRAM.
fn dram_bits(profile: &Profile, layer: &NetworkLayer) -> u128 {
    let dram = profile.memories.last().map(|m| m.name.as_str());
    let at = layer.outcome.cost.traffic.iter();
    at.filter(|t| Some(t.memory.as_str()) == dram)
        .map(|t| u128::from(t.read_bits) + u128::from(t.write_bits))
        .sum()
}

/// Whether a layer may run if its features lie elsewhere.
fn lacks_room(error: &SimulateError) -> bool {
    matches!(
        error,
        SimulateError::Tile { .. } | SimulateError::NoEngine { .. } | SimulateError::Mapping { .. }
    )
}

/// A network on a profile.
struct Job<'a, 'b> {
    found: &'b Found,
    network: &'b Network,
    profile: &'b Profile,
    batch: u64,
    pick: Pick,
    setting: &'b dyn Fn(&Layer) -> LayerSetting<'a>,
}

/// The step that cannot run, by its head, and why.
struct Stopped {
    head: LayerId,
    error: SimulateError,
}

impl Job<'_, '_> {
    /// The steps one after another.
    fn run(&self, steps: &Steps, fusion: Fusion) -> Result<NetworkCost, Box<Stopped>> {
        let network = self.network;
        let widths = Tensors::of(network).bits(network, self.profile, self.setting);
        let Residency {
            multiplying,
            all_sources,
            mut in_dram,
        } = residency_of(network, self.profile, self.batch, steps, fusion, &|id| {
            widths.of(id)
        });
        let density = |id| (self.setting)(network.layer(id)).activation_density;
        let mut all_readers: BTreeMap<LayerId, Vec<LayerId>> = BTreeMap::new();
        for (&reader, sources) in multiplying.iter().zip(&all_sources) {
            for &source in sources {
                all_readers.entry(source).or_default().push(reader);
            }
        }
        let mut searched: Vec<(LayerWork<'_>, LayerOutcome)> = Vec::new();
        let mut layers: Vec<Option<NetworkLayer>> = vec![None; steps.steps.len()];
        let mut todo: BTreeSet<usize> = (0..steps.steps.len()).collect();
        while let Some(i) = todo.pop_first() {
            let step = &steps.steps[i];
            let at = network.layer(step.head);
            let around = Surroundings {
                input_from_dram: step.reads.iter().any(|s| in_dram.contains(s)),
                output_to_dram: in_dram.contains(&step.makes),
                output_density: all_readers
                    .get(&step.head)
                    .into_iter()
                    .flatten()
                    .map(|&reader| density(reader))
                    .reduce(f64::max)
                    .unwrap_or(1.0),
                input_bits: at
                    .inputs
                    .first()
                    .map_or(self.profile.activation_bits, |&id| widths.of(id)),
                output_bits: widths.of(step.makes),
                fused: (!step.fused.is_empty()).then(|| behind(network, step, &in_dram, &widths)),
            };
            let work = work_of(network, at, self.profile, self.batch, (self.setting)(at), around);
            let mut known = None;
            let outcome = match &work {
                Some(work) => {
                    known = searched.iter().find(|(before, _)| alike(before, work));
                    match known {
                        Some((_, outcome)) => Ok(renamed(outcome, work, self.profile, self.found)),
                        None => layer_known(work, self.profile, self.pick, self.found),
                    }
                }
                None => moving(network, self.profile, self.batch, step, &in_dram, &widths),
            };
            match outcome {
                Ok(outcome) => {
                    let search = |w: &LayerWork| matches!(w.mapping, Some(Mapping::Searched(_)));
                    if let Some(work) = work.filter(|w| known.is_none() && search(w)) {
                        searched.push((work, outcome.clone()));
                    }
                    layers[i] = Some(NetworkLayer {
                        name: at.name.clone(),
                        fused: names(network, &step.fused),
                        outcome,
                        around,
                    });
                }
                Err(error) => {
                    // no room beside what stays on chip: move this step's features to DRAM, and see who shares them
                    let moved: Vec<LayerId> = step
                        .sources()
                        .chain([step.makes])
                        .filter(|t| in_dram.insert(*t))
                        .collect();
                    if moved.is_empty() || !lacks_room(&error) {
                        let head = step.head;
                        return Err(Box::new(Stopped { head, error }));
                    }
                    todo.insert(i);
                    let touched = |j: &usize| {
                        let step = &steps.steps[*j];
                        moved.contains(&step.makes) || step.sources().any(|s| moved.contains(&s))
                    };
                    todo.extend((0..steps.steps.len()).filter(touched));
                }
            }
        }
        let layers = layers.into_iter().flatten().collect();
        let named = |ids: &[LayerId]| names(network, ids);
        sum(layers, named(&steps.left_out), named(&steps.free)).map_err(|error| {
            let head = network.output();
            Box::new(Stopped { head, error })
        })
    }
}

/// What is fused behind a step's head.
fn behind(network: &Network, step: &Step, in_dram: &BTreeSet<LayerId>, widths: &StoredWidths) -> Fused {
    let elements = |id: LayerId| network.layer(id).output.elements() as u64;
    let mut fused = Fused {
        leaves: elements(step.makes),
        added_from_dram: 0,
        added_on_chip: 0,
        added_bits: step.added.iter().map(|&id| widths.of(id)).max().unwrap_or(1),
    };
    for &operand in &step.added {
        if in_dram.contains(&operand) {
            fused.added_from_dram += elements(operand);
        } else {
            fused.added_on_chip += elements(operand);
        }
    }
    fused
}

fn names(network: &Network, ids: &[LayerId]) -> Vec<String> {
    ids.iter().map(|&id| network.layer(id).name.clone()).collect()
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
        && (a.mapping, a.fused) == (b.mapping, b.fused)
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

/// The bits that features between layers may take on chip.
pub(super) fn room(profile: &Profile) -> u64 {
    [TensorKind::Inputs, TensorKind::Outputs]
        .map(|t| largest_buffer(profile, t) / 2)
        .into_iter()
        .min()
        .unwrap_or(0)
}

/// Whether what a layer makes, for a batch, takes more than that.
pub(super) fn too_large(layer: &Layer, batch: u64, bits: u32, room: u64) -> bool {
    let size = product(&[batch, layer.output.elements() as u64, bits.into()]);
    !size.is_ok_and(|bits| bits <= room)
}

/// What is too large to stay on chip goes to DRAM, as the network's own input and output do.
pub(super) fn residency(network: &Network, profile: &Profile, batch: u64) -> Residency {
    let bits = |_| profile.activation_bits;
    residency_of(
        network,
        profile,
        batch,
        &fuse(network, Fusion::Ideal),
        Fusion::Ideal,
        &bits,
    )
}

/// [`residency`] of the tensors that steps make, at the bits of an element of each.
fn residency_of(
    network: &Network,
    profile: &Profile,
    batch: u64,
    steps: &Steps,
    fusion: Fusion,
    bits: &dyn Fn(LayerId) -> u32,
) -> Residency {
    let multiplying: Vec<LayerId> = network
        .layers()
        .filter(|(_, l)| l.nest.is_some())
        .map(|(id, _)| id)
        .collect();
    let all_sources: Vec<Vec<LayerId>> = multiplying.iter().map(|&id| sources(network, id)).collect();
    let room = room(profile);
    let too_large = |id: &LayerId| too_large(network.layer(*id), batch, bits(*id), room);
    let mut in_dram = BTreeSet::from([network.input()]);
    if fusion == Fusion::Ideal {
        in_dram.extend(origins(network, network.output()));
        for (id, _) in network.layers().filter(|(id, _)| too_large(id)) {
            in_dram.extend(origins(network, id));
        }
    } else {
        in_dram.insert(maker(network, network.output()));
        in_dram.extend(steps.steps.iter().map(|step| step.makes).filter(too_large));
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
    /// Bits of an input in the memories: the widest that any of its readers multiplies.
    pub input_bits: u32,
    /// Bits of an output in the memories.
    pub output_bits: u32,
    /// What is fused behind it.
    pub fused: Option<Fused>,
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
        activation_bits: ActivationBits::of(
            profile,
            setting.activation_bits.unwrap_or(profile.activation_bits),
            [around.input_bits, around.output_bits],
        ),
        activation_density: setting.activation_density,
        input_elements: layer
            .inputs
            .first()
            .map_or(0, |&input| network.layer(input).output.elements() as u64),
        output_elements: around
            .fused
            .map_or(layer.output.elements() as u64, |fused| fused.leaves),
        input_from_dram: around.input_from_dram,
        output_to_dram: around.output_to_dram,
        output_density: around.output_density,
        mapping: setting.mapping,
        fused: around.fused,
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

fn sum(
    layers: Vec<NetworkLayer>,
    not_modelled: Vec<String>,
    free: Vec<String>,
) -> Result<NetworkCost, SimulateError> {
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
        free,
        seconds: total.seconds,
        cycles: total.cycles,
        energy: total.energy,
        stored: total.stored,
        macs: total.macs,
    })
}
