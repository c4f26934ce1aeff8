//! The break-even pruned portion of a layer: the smallest portion p at which the sparse engine, on the area of
//! the dense one, is not slower (ADMM-NN, arXiv 1812.11677, §5).
//!
//! The dense engine's PEs and the SRAM of its weights set the area cap A. At each p the sparse engine's SRAM
//! (entries, each a weight, and their indices, as one PE would hold them) is taken off, and as many sparse PEs as fit get the rest. Features and
//! biases take the same area on both sides and cancel. Each side runs at its own clock; times are of the
//! arrays, with every operand at hand.

use super::engine::ArrayEngine as _;
use super::engine::{self, ArrayRun};
use super::error::SimulateError;
use super::layer::check;
use super::work::{LayerWork, Weights};
use crate::compression::Mask;
use crate::compression::encoding::Encoding;
use crate::hardware::{Engine, EngineKind, Partition, Profile, Slices};
use crate::units::add;

/// Which engines of a profile are compared, as places in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The dense engine.
    pub dense: usize,
    /// The sparse engine: slices with an index. Its PE count is not used; the area sets it.
    pub sparse: usize,
}

/// One pruned portion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Portion of the weights that are zero, in [0, 1).
    pub pruned_portion: f64,
    /// Time of the dense engine over time of the sparse one; 0 where no sparse PE fits.
    pub speedup: f64,
    /// PEs of the dense engine.
    pub dense_pes: u64,
    /// Sparse PEs that fit.
    pub sparse_pes: u64,
    /// Entries the sparse engine stores, fillers included.
    pub entries: u64,
    /// The area cap in µm²: dense PEs and dense weights.
    pub area_um2: f64,
    /// Area of the sparse weights and indices in µm².
    pub sparse_sram_um2: f64,
    /// Cycles of the dense engine's clock.
    pub dense_cycles: u64,
    /// Cycles of the sparse engine's clock, rounded up; `None` where no sparse PE fits.
    pub sparse_cycles: Option<u64>,
    /// Clock of the dense engine in MHz.
    pub dense_mhz: f64,
    /// Clock of the sparse engine in MHz.
    pub sparse_mhz: f64,
}

/// The curve of a layer on a pair of engines.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The portions asked for.
    pub points: Vec<Point>,
    /// The smallest pruned portion with a speedup of at least 1, or `None` if there is none.
    pub crossing: Option<f64>,
}

/// The curve at uniformly random positions, by expectations. The layer's own weights are not looked at.
///
/// # Errors
/// Areas missing from the profile, engines that are not a dense one and slices with an index, or counts that
/// overflow.
pub fn curve(
    work: &LayerWork,
    profile: &Profile,
    pair: Pair,
    pruned: &[f64],
) -> Result<Curve, SimulateError> {
    let comparison = Comparison::new(work, profile, pair)?;
    let points = pruned
        .iter()
        .map(|&p| comparison.expected_point(p))
        .collect::<Result<_, _>>()?;
    Ok(Curve {
        points,
        crossing: comparison.crossing()?,
    })
}

/// The point of a real mask, by exact counts: one index chain per PE for the time, and for the area the
/// entries of one single chain, which are never fewer.
///
/// # Errors
/// As [`curve`], or a mask of another shape than the layer's weights.
pub fn point_of_mask(
    work: &LayerWork,
    profile: &Profile,
    pair: Pair,
    mask: &Mask,
) -> Result<Point, SimulateError> {
    let work = LayerWork {
        weights: Weights::Pattern(mask),
        ..*work
    };
    Comparison::new(&work, profile, pair)?.point(1.0 - mask.density(), &work)
}

struct Comparison<'a> {
    work: LayerWork<'a>,
    sparse: &'a Slices,
    unit: &'a Engine,
    dense: ArrayRun,
    dense_pes: u64,
    /// µm²: the cap, one sparse PE, one SRAM bit.
    cap: f64,
    pe_area: f64,
    bit_area: f64,
    clocks: (f64, f64),
}

impl<'a> Comparison<'a> {
    fn new(work: &LayerWork<'a>, profile: &'a Profile, pair: Pair) -> Result<Self, SimulateError> {
        check(work)?;
        let find = |index: usize| {
            let unknown = || SimulateError::UnknownEngine {
                profile: profile.name.clone(),
                engines: profile.engines.len(),
                index,
            };
            profile.engines.get(index).ok_or_else(unknown)
        };
        let (dense_unit, unit) = (find(pair.dense)?, find(pair.sparse)?);
        let refuse = |engine: &Engine, message| SimulateError::Unsupported {
            layer: work.name.into(),
            engine: engine.name.clone(),
            message,
        };
        let EngineKind::Slices(sparse) = &unit.kind else {
            return Err(refuse(
                unit,
                "is no sparse engine; a break-even curve needs `slices` with an index",
            ));
        };
        if sparse.index.is_none_or(|index| index == Encoding::Dense) {
            return Err(refuse(
                unit,
                "has no index; a break-even curve needs `slices` with one",
            ));
        }
        if let EngineKind::Slices(Slices {
            index: Some(index), ..
        }) = &dense_unit.kind
            && *index != Encoding::Dense
        {
            return Err(refuse(
                dense_unit,
                "has an index; compare with an engine that has none",
            ));
        }
        let missing = |what: String| SimulateError::MissingArea {
            profile: profile.name.clone(),
            what,
        };
        let pe = |unit: &Engine| {
            unit.pe_area
                .as_ref()
                .map(|a| a.value.value())
                .ok_or_else(|| missing(format!("`pe-area` of engine `{}`", unit.name)))
        };
        let bit_area = profile
            .area
            .as_ref()
            .map(|a| a.sram_per_bit.value.value())
            .ok_or_else(|| missing("area of an SRAM bit".into()))?;
        let model = engine::model(&dense_unit.kind);
        let whole = LayerWork {
            weights: Weights::Density(1.0),
            ..*work
        };
        let dense = model.run(&whole, None, &dense_unit.name)?;
        let cap = model.pes() as f64 * pe(dense_unit)?
            + work.nest.weights() as f64 * f64::from(work.weight_bits) * bit_area;
        Ok(Self {
            work: *work,
            sparse,
            unit,
            dense,
            dense_pes: model.pes(),
            cap,
            pe_area: pe(unit)?,
            bit_area,
            clocks: (dense_unit.clock.value.value(), unit.clock.value.value()),
        })
    }

    /// Entries of a layer that one PE holds, the area of what it stores, and the PEs that fit beside it.
    fn fit(&self, work: &LayerWork) -> Result<(u64, f64, u64), SimulateError> {
        let one = Slices {
            partition: Partition::Contiguous,
            accumulators: None,
            ..self.engine(1)
        };
        let stored = one.run(work, None, &self.unit.name)?.stored;
        let bits = add(stored.weights, stored.indices).map_err(SimulateError::overflow(work))?;
        let sram = bits as f64 * self.bit_area;
        let pes = ((self.cap - sram) / self.pe_area).floor();
        let entries = stored.weights / u64::from(work.weight_bits.max(1));
        Ok((entries, sram, if pes > 0.0 { pes as u64 } else { 0 }))
    }

    fn engine(&self, pes: u64) -> Slices {
        Slices {
            pes: u32::try_from(pes).unwrap_or(u32::MAX),
            ..self.sparse.clone()
        }
    }

    fn point(&self, pruned: f64, work: &LayerWork) -> Result<Point, SimulateError> {
        let (entries, sram, pes) = self.fit(work)?;
        let sparse_cycles = if pes == 0 {
            None
        } else {
            Some(self.engine(pes).run(work, None, &self.unit.name)?.cycles)
        };
        let (dense_mhz, sparse_mhz) = self.clocks;
        let dense_time = self.dense.cycles as f64 / dense_mhz;
        Ok(Point {
            pruned_portion: pruned,
            speedup: sparse_cycles.map_or(0.0, |cycles| dense_time / (cycles as f64 / sparse_mhz)),
            dense_pes: self.dense_pes,
            sparse_pes: pes,
            entries,
            area_um2: self.cap,
            sparse_sram_um2: sram,
            dense_cycles: self.dense.cycles,
            sparse_cycles,
            dense_mhz,
            sparse_mhz,
        })
    }

    fn expected_point(&self, pruned: f64) -> Result<Point, SimulateError> {
        if !(0.0..1.0).contains(&pruned) {
            return Err(SimulateError::Density {
                layer: self.work.name.into(),
                what: "weight",
                density: 1.0 - pruned,
            });
        }
        let work = LayerWork {
            weights: Weights::Density(1.0 - pruned),
            ..self.work
        };
        self.point(pruned, &work)
    }

    /// The smallest portion with a speedup of at least 1: the first of 256 equal steps that has it, then
    /// bisection. The PE count is a whole number, so the curve has steps of its own; they are far finer.
    fn crossing(&self) -> Result<Option<f64>, SimulateError> {
        const STEPS: u32 = 256;
        let wins = |p: f64| self.expected_point(p).map(|point| point.speedup >= 1.0);
        for step in 0..STEPS {
            let mut high = f64::from(step) / f64::from(STEPS);
            if !wins(high)? {
                continue;
            }
            let mut low = f64::from(step.max(1) - 1) / f64::from(STEPS);
            if step == 0 {
                return Ok(Some(0.0));
            }
            for _ in 0..30 {
                let middle = f64::midpoint(low, high);
                if wins(middle)? {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            return Ok(Some(high));
        }
        Ok(None)
    }
}
