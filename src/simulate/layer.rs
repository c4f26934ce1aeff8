//! One layer on one profile.

use super::cost::{EnergyBreakdown, LayerCost, StoredBits};
use super::count::fit;
use super::engine::{self, ArrayRun, Found};
use super::error::SimulateError;
use super::memory::{Layout, MemoryRun};
use super::spatial::{self, Room, Spatial};
use super::work::{LayerWork, Mapping, Weights};
use super::{energy, memory};
use crate::compression::Mask;
use crate::hardware::{Engine, EngineKind, Profile};
use crate::units::{Overflow, add, product};
use std::borrow::Cow;

/// What makes one engine cheaper than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// Seconds.
    Latency,
    /// Picojoules; components that are not modelled count for nothing.
    Energy,
    /// Their product.
    EnergyDelay,
}

impl Pick {
    /// The cost by this measure.
    #[must_use]
    pub fn of(self, cost: &LayerCost) -> f64 {
        self.weigh(cost.seconds, &cost.energy)
    }

    pub(super) fn weigh(self, seconds: f64, energy: &EnergyBreakdown) -> f64 {
        match self {
            Self::Latency => seconds,
            Self::Energy => energy.total(),
            Self::EnergyDelay => energy.total() * seconds,
        }
    }
}

/// A layer on every engine of a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerOutcome {
    /// Place of the cheapest engine in the profile's list; for a layer that only moves, of the engine at whose clock it
    /// does.
    pub engine: usize,
    /// Its cost.
    pub cost: LayerCost,
    /// The cost of every engine in the profile's order, or why it cannot run the layer; none for a layer that only moves.
    pub all: Vec<Result<LayerCost, SimulateError>>,
}

/// The cheapest engine for a layer, and the costs of all. Of equals the first wins.
///
/// # Errors
/// A layer that is wrong in itself, or that no engine can run; if the profile has one engine, its error.
pub fn layer(work: &LayerWork, profile: &Profile, pick: Pick) -> Result<LayerOutcome, SimulateError> {
    layer_known(work, profile, pick, &Found::default())
}

/// [`layer`], where mappings that were found before need no search.
pub(super) fn layer_known(
    work: &LayerWork,
    profile: &Profile,
    pick: Pick,
    found: &Found,
) -> Result<LayerOutcome, SimulateError> {
    check(work)?;
    let all: Vec<_> = (0..profile.engines.len())
        .map(|e| layer_on_known(work, profile, e, found))
        .collect();
    if work.mapping.is_some_and(Mapping::is_pinned)
        && let Some(error) = all.iter().find_map(|cost| match cost {
            Err(error @ SimulateError::Mapping { .. }) => Some(error),
            _ => None,
        })
    {
        // what was asked for is wrong: no other engine stands in for it
        return Err(error.clone());
    }
    let mut best: Option<(usize, f64)> = None;
    for (i, cost) in all.iter().enumerate() {
        if let Ok(cost) = cost
            && best.is_none_or(|(_, least)| pick.of(cost) < least)
        {
            best = Some((i, pick.of(cost)));
        }
    }
    let Some((engine, _)) = best else {
        if let [Err(only)] = all.as_slice() {
            return Err(only.clone());
        }
        let reasons: Vec<String> = all
            .iter()
            .filter_map(|c| c.as_ref().err())
            .map(ToString::to_string)
            .collect();
        return Err(SimulateError::NoEngine {
            layer: work.name.into(),
            profile: profile.name.clone(),
            reasons: reasons.join("; "),
        });
    };
    Ok(LayerOutcome {
        engine,
        cost: all[engine].clone()?,
        all,
    })
}

/// The cost of a layer on one engine, memories included.
///
/// # Errors
/// See [`SimulateError`].
pub fn layer_on(work: &LayerWork, profile: &Profile, engine: usize) -> Result<LayerCost, SimulateError> {
    layer_on_known(work, profile, engine, &Found::default())
}

/// [`layer_on`], where mappings that were found before need no search.
pub(super) fn layer_on_known(
    work: &LayerWork,
    profile: &Profile,
    engine: usize,
    found: &Found,
) -> Result<LayerCost, SimulateError> {
    let unit = find(profile, engine)?;
    check(work)?;
    takes_mapping(work, unit)?;
    let layout = Layout::new(&profile.memories);
    let settled = settle(work, profile, &layout, unit, found)?;
    cost(work, profile, &layout, unit, &settled)
}

/// The array alone, every operand at hand: what published array times stand for. `activations`, with a real
/// weight pattern and an engine that skips zero inputs, is the real pattern of active inputs: one row of
/// `groups · products` bits per output position, or one row for all; without it the layer's activation density
/// is spread evenly.
///
/// # Errors
/// See [`SimulateError`].
pub fn array(
    work: &LayerWork,
    profile: &Profile,
    engine: usize,
    activations: Option<&Mask>,
) -> Result<ArrayRun, SimulateError> {
    let unit = find(profile, engine)?;
    check(work)?;
    if let Some(pattern) = activations {
        let gemm = work.nest.gemm();
        let (rows, cols) = (pattern.rows() as u64, pattern.cols() as u64);
        let want_cols = gemm.groups * gemm.k;
        if cols != want_cols || (rows != 1 && rows != gemm.m) {
            return Err(SimulateError::ActivationShape {
                layer: work.name.into(),
                rows,
                cols,
                want_rows: gemm.m,
                want_cols,
            });
        }
    }
    takes_mapping(work, unit)?;
    engine::model(&unit.kind).run(work, activations, &unit.name)
}

/// Refuses a layer with a mapping on an engine that takes another kind, or with a split that does not fit it.
fn takes_mapping(work: &LayerWork, unit: &Engine) -> Result<(), SimulateError> {
    let model = engine::model(&unit.kind);
    let row_stationary = matches!(unit.kind, EngineKind::RowStationary(_));
    let message = match work.mapping {
        Some(Mapping::RowStationary(_)) if !row_stationary => {
            "takes tiles (`channels`, `rows`, `order`) but no row-stationary mapping; pin its tiles, or leave the layer out of the mapping file"
        }
        Some(Mapping::Spatial(split, _)) if model.splits() => {
            return model.room(work).check(split, work, &unit.name);
        }
        Some(Mapping::Spatial(split, _)) if split != Spatial::ONE => {
            "has no spatial split (`groups`, `positions`, `kernel-columns`); leave those out, or leave the layer out of the mapping file"
        }
        Some(Mapping::Tiled(_) | Mapping::Spatial(_, Some(_))) if row_stationary => {
            "takes a row-stationary mapping (`m` to `t`) but no tiles; pin its mapping, or leave the layer out of the mapping file"
        }
        _ => return Ok(()),
    };
    Err(SimulateError::Unsupported {
        layer: work.name.into(),
        engine: unit.name.clone(),
        message,
    })
}

/// The interval of cycles in which a uniformly random mask of the work's density lies with probability `level`
/// (0 to 1, as 0.95), memories included: what [`layer_on`] says of a density, give or take chance. `None` where
/// nothing is random (dense engines, real masks) or no interval is stated (flexible and scatter engines).
///
/// # Errors
/// See [`SimulateError`].
pub fn interval(
    work: &LayerWork,
    profile: &Profile,
    engine: usize,
    level: f64,
) -> Result<Option<(u64, u64)>, SimulateError> {
    let unit = find(profile, engine)?;
    check(work)?;
    takes_mapping(work, unit)?;
    let Some(ends) = engine::model(&unit.kind).interval(work, level, &unit.name)? else {
        return Ok(None);
    };
    let cycles = |array: &ArrayRun| finish(work, profile, unit, array).map(|cost| cost.cycles);
    Ok(Some((cycles(&ends[0])?, cycles(&ends[1])?)))
}

/// [`interval`] of the array alone, every operand at hand.
///
/// # Errors
/// See [`SimulateError`].
pub fn array_interval(
    work: &LayerWork,
    profile: &Profile,
    engine: usize,
    level: f64,
) -> Result<Option<(u64, u64)>, SimulateError> {
    let unit = find(profile, engine)?;
    check(work)?;
    takes_mapping(work, unit)?;
    let ends = engine::model(&unit.kind).interval(work, level, &unit.name)?;
    Ok(ends.map(|[low, high]| (low.cycles, high.cycles)))
}

pub(super) fn find(profile: &Profile, engine: usize) -> Result<&Engine, SimulateError> {
    let unknown = || SimulateError::UnknownEngine {
        profile: profile.name.clone(),
        engines: profile.engines.len(),
        index: engine,
    };
    profile.engines.get(engine).ok_or_else(unknown)
}

/// Refuses a layer whose loops are empty or overflow, or whose weights do not fit them.
pub(super) fn check(work: &LayerWork) -> Result<(), SimulateError> {
    let layer = || work.name.to_owned();
    let n = &work.nest;
    let loops = [
        ("N", n.n),
        ("G", n.g),
        ("K", n.k),
        ("C", n.c),
        ("P", n.p),
        ("Q", n.q),
        ("R", n.r),
        ("S", n.s),
    ];
    if let Some(&(dimension, _)) = loops.iter().find(|(_, extent)| *extent == 0) {
        return Err(SimulateError::Empty {
            layer: layer(),
            dimension,
        });
    }
    product(&loops.map(|(_, extent)| extent)).map_err(SimulateError::overflow(work))?;
    let want = (n.g * n.k, n.c * n.r * n.s);
    match work.weights {
        Weights::Pattern(mask) if (mask.rows() as u64, mask.cols() as u64) != want => {
            Err(SimulateError::MaskShape {
                layer: layer(),
                rows: mask.rows() as u64,
                cols: mask.cols() as u64,
                want_rows: want.0,
                want_cols: want.1,
            })
        }
        Weights::Density(density) if !(density > 0.0 && density <= 1.0) => Err(SimulateError::Density {
            layer: layer(),
            what: "weight",
            density,
        }),
        _ if !(work.activation_density > 0.0 && work.activation_density <= 1.0) => {
            Err(SimulateError::Density {
                layer: layer(),
                what: "activation",
                density: work.activation_density,
            })
        }
        _ => Ok(()),
    }
}

/// What a layer costs, without a name in it: nothing is allocated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) cycles: u64,
    pub(super) seconds: f64,
    pub(super) energy: EnergyBreakdown,
    pub(super) stored: StoredBits,
    pub(super) macs: u64,
}

/// Memories, energy and time around an array's run.
#[inline]
pub(super) fn figures(
    work: &LayerWork,
    profile: &Profile,
    layout: &Layout,
    unit: &Engine,
    array: &ArrayRun,
) -> Result<(Figures, MemoryRun), SimulateError> {
    let array = &*with_fused(work, array).map_err(SimulateError::overflow(work))?;
    let time = |memory: &MemoryRun| memory.cycles as f64 / (unit.clock.value.value() * 1e6);
    let widths = (work.weight_bits, work.activation_bits.operand);
    let spent = |memory: &MemoryRun| energy::energy(profile, layout, widths, array, memory, time(memory));
    let mut memory = memory::run(work, array, &profile.memories, layout, &unit.name)?;
    if let Some(Mapping::Searched(pick)) = work.mapping {
        memory = memory::best(work, array, &profile.memories, layout, memory, |run| {
            Ok(pick.weigh(time(run), &spent(run)?))
        })?;
    }
    let seconds = time(&memory);
    let energy = spent(&memory).map_err(SimulateError::overflow(work))?;
    debug_assert_eq!(
        memory.causes.total(),
        Ok(memory.cycles),
        "causes sum to the total"
    );
    let figures = Figures {
        cycles: memory.cycles,
        seconds,
        energy,
        stored: array.stored,
        macs: array.macs,
    };
    Ok((figures, memory))
}

/// A layer on an engine in the split and the tiles that it takes.
pub(super) struct Settled {
    pub(super) array: ArrayRun,
    pub(super) figures: Figures,
    memory: MemoryRun,
}

/// The array's run with the memories around it: in the split that is pinned; in the best of all by the measure that is
/// searched for; or in as many groups at once as take the fewest cycles, of equals the fewest, among those of which no
/// fewer are as fast on the array and move as few bits at its edge. One group after another is always among them.
pub(super) fn settle(
    work: &LayerWork,
    profile: &Profile,
    layout: &Layout,
    unit: &Engine,
    found: &Found,
) -> Result<Settled, SimulateError> {
    if let Some(array) = only_run(work, profile, unit, found)? {
        return around(work, profile, layout, unit, array);
    }
    choose(work, profile, layout, unit, found)
}

/// The figures of [`settle`] alone: less to hand on, for those who ask thousands of times.
pub(super) fn settled_figures(
    work: &LayerWork,
    profile: &Profile,
    layout: &Layout,
    unit: &Engine,
    found: &Found,
) -> Result<Figures, SimulateError> {
    match only_run(work, profile, unit, found)? {
        Some(array) => Ok(figures(work, profile, layout, unit, &array)?.0),
        None => Ok(choose(work, profile, layout, unit, found)?.figures),
    }
}

/// The run of a layer that lies on the array in one way only; `None` where there is a choice.
fn only_run(
    work: &LayerWork,
    profile: &Profile,
    unit: &Engine,
    found: &Found,
) -> Result<Option<ArrayRun>, SimulateError> {
    let model = engine::model(&unit.kind);
    if work.activation_bits.operand > profile.activation_bits && !model.follows_activation_width() {
        return Err(SimulateError::Unsupported {
            layer: work.name.into(),
            engine: unit.name.clone(),
            message: "multiplies activations no wider than the profile's `activation-bits`; lower the layer's `activation-bits`",
        });
    }
    let room = model.room(work);
    let one = if room == Room::NONE || work.mapping.and_then(Mapping::spatial).is_some() {
        work.nest.n == 1 // engines propose other mappings for batches
    } else {
        spatial::most_groups(room, work) == 1 && !matches!(work.mapping, Some(Mapping::Searched(_)))
    };
    Ok(if one {
        Some(model.run_known(work, &unit.name, found)?)
    } else {
        None
    })
}

/// An array's run with the memories around it.
fn around(
    work: &LayerWork,
    profile: &Profile,
    layout: &Layout,
    unit: &Engine,
    array: ArrayRun,
) -> Result<Settled, SimulateError> {
    let (figures, memory) = figures(work, profile, layout, unit, &array)?;
    Ok(Settled {
        array,
        figures,
        memory,
    })
}

/// The best of several ways, see [`settle`].
fn choose(
    work: &LayerWork,
    profile: &Profile,
    layout: &Layout,
    unit: &Engine,
    found: &Found,
) -> Result<Settled, SimulateError> {
    let model = engine::model(&unit.kind);
    let around = |array: ArrayRun| around(work, profile, layout, unit, array);
    let split = |split: Spatial| {
        let tiling = work.mapping.and_then(Mapping::tiling);
        let mapping = Some(Mapping::Spatial(split, tiling));
        model.run(&LayerWork { mapping, ..*work }, None, &unit.name)
    };
    let room = model.room(work);
    if work.mapping.and_then(Mapping::spatial).is_some() || room == Room::NONE {
        let mut settled = around(model.run_known(work, &unit.name, found)?)?;
        // of the mappings that the engine proposes besides, the one that takes the fewest cycles
        for mapping in model.others(work) {
            let mapping = Some(mapping);
            let other = model.run(&LayerWork { mapping, ..*work }, None, &unit.name);
            if let Ok(other) = other.and_then(around)
                && other.figures.cycles < settled.figures.cycles
            {
                settled = other;
            }
        }
        return Ok(settled);
    }
    let most_groups = spatial::most_groups(room, work);
    let alone = split(Spatial::ONE)?;
    let mut front = vec![(alone.cycles, alone.bits.total(), 1)];
    let mut settled = around(alone);
    for groups in 2..=most_groups {
        // a count that overflows is no candidate
        let Ok(array) = split(Spatial::groups(groups)) else {
            continue;
        };
        let (cycles, bits) = (array.cycles, array.bits.total());
        if front.iter().all(|&(c, b, _)| cycles < c || bits < b) {
            front.push((cycles, bits, groups));
        }
    }
    front.sort_unstable_by_key(|&(cycles, _, groups)| (cycles, groups));
    for (cycles, _, groups) in front {
        if groups == 1 || settled.as_ref().is_ok_and(|s| cycles > s.figures.cycles) {
            continue;
        }
        // the larger tiles that groups at once need may not fit, or load more
        let Ok(found) = split(Spatial::groups(groups)).and_then(around) else {
            continue;
        };
        let rank = |s: &Settled| (s.figures.cycles, s.array.spatial.groups);
        if settled.as_ref().map_or(true, |s| rank(&found) < rank(s)) {
            settled = Ok(found);
        }
    }
    let (Some(Mapping::Searched(pick)), Ok(first)) = (work.mapping, &settled) else {
        return settled;
    };
    let mut least = pick.weigh(first.figures.seconds, &first.figures.energy);
    let first = first.array.spatial;
    let widths = (work.weight_bits, work.activation_bits.operand);
    let mut candidates: Vec<(f64, Spatial)> = Vec::new();
    for other in room.all().filter(|other| *other != first) {
        // a count that overflows is no candidate
        let Ok(array) = split(other) else { continue };
        let Ok(array) = with_fused(work, &array) else {
            continue;
        };
        let Ok(memory) = memory::least(work, &array, layout) else {
            continue;
        };
        let time = memory.cycles as f64 / (unit.clock.value.value() * 1e6);
        let Ok(spent) = energy::energy(profile, layout, widths, &array, &memory, time) else {
            continue;
        };
        let bound = pick.weigh(time, &spent);
        if !memory::beyond(bound, least) {
            candidates.push((bound, other));
        }
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0)); // stable: equals keep their order
    for (bound, other) in candidates {
        if memory::beyond(bound, least) {
            break;
        }
        // a split whose tiles do not fit is no candidate
        let Ok(found) = split(other).and_then(around) else {
            continue;
        };
        let cost = pick.weigh(found.figures.seconds, &found.figures.energy);
        if cost < least {
            least = cost;
            settled = Ok(found);
        }
    }
    settled
}

/// The run with what is fused behind the layer: of the finished outputs what leaves the chain is written, and the
/// other operands of adds are read. Partial sums stay as they are.
fn with_fused<'a>(work: &LayerWork, array: &'a ArrayRun) -> Result<Cow<'a, ArrayRun>, Overflow> {
    let Some(fused) = work.fused else {
        return Ok(Cow::Borrowed(array));
    };
    let nest = &work.nest;
    let bits = |elements: u64| product(&[nest.n, elements, fused.added_bits.into()]);
    let mut run = array.clone();
    let made = product(&[nest.g, nest.k, nest.p, nest.q])?;
    let finished = u128::from(array.bits.outputs_written.saturating_sub(array.bits.outputs_read));
    let leaves = finished.checked_mul(fused.leaves.into()).ok_or(Overflow)?;
    run.bits.outputs_written = add(array.bits.outputs_read, fit(leaves.div_ceil(made.into()))?)?;
    let from_dram = bits(fused.added_from_dram)?;
    let added = add(from_dram, bits(fused.added_on_chip)?)?;
    run.bits.inputs = add(run.bits.inputs, added)?;
    if let Some(transfers) = &mut run.transfers {
        transfers.loads[2] = add(transfers.loads[2], from_dram)?;
        transfers.dram_loads[2] = add(transfers.dram_loads[2], from_dram)?;
    }
    Ok(Cow::Owned(run))
}

pub(super) fn finish(
    work: &LayerWork,
    profile: &Profile,
    unit: &Engine,
    array: &ArrayRun,
) -> Result<LayerCost, SimulateError> {
    let layout = Layout::new(&profile.memories);
    let (figures, memory) = figures(work, profile, &layout, unit, array)?;
    let settled = Settled {
        array: array.clone(),
        figures,
        memory,
    };
    cost(work, profile, &layout, unit, &settled)
}

fn cost(
    work: &LayerWork,
    profile: &Profile,
    layout: &Layout,
    unit: &Engine,
    settled: &Settled,
) -> Result<LayerCost, SimulateError> {
    let Settled {
        array,
        figures,
        memory,
    } = settled;
    let array = &*with_fused(work, array).map_err(SimulateError::overflow(work))?;
    let start = array.peak as f64 * figures.cycles as f64;
    Ok(LayerCost {
        engine: unit.name.clone(),
        cycles: figures.cycles,
        causes: memory.causes,
        seconds: figures.seconds,
        energy: figures.energy,
        traffic: layout
            .traffic(&profile.memories, array, memory)
            .map_err(SimulateError::overflow(work))?,
        rows: layout
            .row_use(&profile.memories, array, memory)
            .map_err(SimulateError::overflow(work))?,
        stored: figures.stored,
        macs: figures.macs,
        utilisation: if start > 0.0 {
            array.macs as f64 / start
        } else {
            0.0
        },
        mapping: match array.mapping.as_deref() {
            Some(form) => Some(form.clone()),
            None => memory.form(work, array).map_err(SimulateError::overflow(work))?,
        },
    })
}
