//! One layer on one profile.

use super::cost::{Causes, EnergyBreakdown, LayerCost, StoredBits};
use super::engine::{self, ArrayRun};
use super::error::SimulateError;
use super::memory::{Layout, MemoryRun};
use super::work::{LayerWork, Mapping, Weights};
use super::{energy, memory};
use crate::compression::Mask;
use crate::hardware::{Engine, EngineKind, Profile};
use crate::units::product;

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
    /// Place of the cheapest engine in the profile's list.
    pub engine: usize,
    /// Its cost.
    pub cost: LayerCost,
    /// The cost of every engine in the profile's order, or why it cannot run the layer.
    pub all: Vec<Result<LayerCost, SimulateError>>,
}

/// The cheapest engine for a layer, and the costs of all. Of equals the first wins.
///
/// # Errors
/// A layer that is wrong in itself, or that no engine can run; if the profile has one engine, its error.
pub fn layer(work: &LayerWork, profile: &Profile, pick: Pick) -> Result<LayerOutcome, SimulateError> {
    check(work)?;
    let all: Vec<_> = (0..profile.engines.len())
        .map(|e| layer_on(work, profile, e))
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
    let unit = find(profile, engine)?;
    check(work)?;
    takes_mapping(work, unit)?;
    finish(
        work,
        profile,
        unit,
        &engine::model(&unit.kind).run(work, None, &unit.name)?,
    )
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

/// Refuses a layer with a mapping on an engine that takes another kind.
fn takes_mapping(work: &LayerWork, unit: &Engine) -> Result<(), SimulateError> {
    let row_stationary = matches!(unit.kind, EngineKind::RowStationary(_));
    let message = match work.mapping {
        Some(Mapping::RowStationary(_)) if !row_stationary => {
            "takes tiles (`channels`, `rows`, `order`) but no row-stationary mapping; pin its tiles, or leave the layer out of the mapping file"
        }
        Some(Mapping::Tiled(_)) if row_stationary => {
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

fn find(profile: &Profile, engine: usize) -> Result<&Engine, SimulateError> {
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
    pub(super) causes: Causes,
    pub(super) seconds: f64,
    pub(super) energy: EnergyBreakdown,
    pub(super) stored: StoredBits,
    pub(super) macs: u64,
}

/// Memories, energy and time around an array's run.
pub(super) fn figures(
    work: &LayerWork,
    profile: &Profile,
    layout: &Layout,
    unit: &Engine,
    array: &ArrayRun,
) -> Result<(Figures, MemoryRun), SimulateError> {
    let time = |memory: &MemoryRun| memory.cycles as f64 / (unit.clock.value.value() * 1e6);
    let widths = (work.weight_bits, work.activation_bits);
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
        causes: memory.causes,
        seconds,
        energy,
        stored: array.stored,
        macs: array.macs,
    };
    Ok((figures, memory))
}

fn finish(
    work: &LayerWork,
    profile: &Profile,
    unit: &Engine,
    array: &ArrayRun,
) -> Result<LayerCost, SimulateError> {
    let layout = Layout::new(&profile.memories);
    let (figures, memory) = figures(work, profile, &layout, unit, array)?;
    let start = array.peak as f64 * figures.cycles as f64;
    Ok(LayerCost {
        engine: unit.name.clone(),
        cycles: figures.cycles,
        causes: figures.causes,
        seconds: figures.seconds,
        energy: figures.energy,
        traffic: layout
            .traffic(&profile.memories, array, &memory)
            .map_err(SimulateError::overflow(work))?,
        stored: figures.stored,
        macs: figures.macs,
        utilisation: if start > 0.0 {
            array.macs as f64 / start
        } else {
            0.0
        },
        mapping: match &array.mapping {
            Some(form) => Some(form.clone()),
            None => memory.form(work, array).map_err(SimulateError::overflow(work))?,
        },
    })
}
