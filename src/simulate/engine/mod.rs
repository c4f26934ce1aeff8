//! The engines. One file per engine; [`model`] is the only other place that names it.

mod bit_fusion;
mod bit_serial;
mod diagonal;
mod dot_product;
mod flexible;
mod row_stationary;
mod scatter;
mod slices;
mod structured;
mod systolic;

pub(super) use row_stationary::Found;
pub use row_stationary::{LoopForm, RowStationaryMapping};
pub use slices::{SliceEntries, slice_entries};
pub use systolic::{Accesses, Folds, nm_products, row_wise_products};

use super::cost::{Causes, StoredBits};
use super::error::SimulateError;
use super::spatial::{Room, Spatial};
use super::work::{LayerWork, Mapping};
use crate::compression::Mask;
use crate::hardware::EngineKind;

/// What one engine did for one layer, with every operand at hand: the array before the memories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArrayRun {
    /// Cycles of the engine's clock.
    pub cycles: u64,
    /// The same by cause; the stalls are zero.
    pub causes: Causes,
    /// Multiplications that were done, gated ones included.
    pub macs: u64,
    /// Multiplications by a zero input that only read that input's register.
    pub gated: u64,
    /// Entries (weights and fillers) that went through an index decoder.
    pub decoded: u64,
    /// Words that moved one hop through the array.
    pub hops: u64,
    /// Stored weight bits in the engine's encoding.
    pub stored: StoredBits,
    /// Bits between the array and its innermost memories.
    pub bits: ArrayBits,
    /// Multiplications the engine can start per cycle.
    pub peak: u64,
    /// What of the layer shares the array at once.
    pub spatial: Spatial,
    /// How the layer lies on the array, from engines that choose.
    pub mapping: Option<Box<LoopForm>>,
    /// What moves between the on-chip memories and DRAM, from engines whose mapping sets it; otherwise the memories
    /// choose tiles.
    pub transfers: Option<Box<Transfers>>,
}

/// What an engine's mapping moves between the on-chip memories and DRAM. Lists are by tensor: weights, indices,
/// inputs, outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfers {
    /// Steps that work and transfers are spread over evenly.
    pub steps: u64,
    /// Bits written into buffers.
    pub loads: [u64; 4],
    /// Bits read from buffers on their way out.
    pub stores: [u64; 4],
    /// Bits read from DRAM: fewer than `loads` where they are compressed there.
    pub dram_loads: [u64; 4],
    /// Bits written to DRAM.
    pub dram_stores: [u64; 4],
    /// Whether a tensor moves while the array works.
    pub overlaps: [bool; 4],
}

/// Bits that cross the array's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArrayBits {
    /// Weight values read.
    pub weights: u64,
    /// Indices read.
    pub indices: u64,
    /// Input features read.
    pub inputs: u64,
    /// Outputs and partial sums written.
    pub outputs_written: u64,
    /// Partial sums read back.
    pub outputs_read: u64,
}

impl ArrayBits {
    /// All of them.
    pub(super) fn total(&self) -> u128 {
        let Self {
            weights,
            indices,
            inputs,
            outputs_written,
            outputs_read,
        } = *self;
        [weights, indices, inputs, outputs_written, outputs_read]
            .map(u128::from)
            .iter()
            .sum()
    }
}

/// One way an array runs a layer.
pub(super) trait ArrayEngine {
    /// Runs a checked layer on the array. `activations` is the real pattern of active inputs, of a checked shape
    /// (see [`super::array`]); engines that do not skip zero inputs leave it aside. `name` is the engine's, for errors.
    fn run(
        &self,
        work: &LayerWork,
        activations: Option<&Mask>,
        name: &str,
    ) -> Result<ArrayRun, SimulateError>;

    /// The splits of the array that its data paths allow for a layer.
    fn room(&self, work: &LayerWork) -> Room {
        let _ = work;
        Room::NONE
    }

    /// Whether it has splits for some layers.
    fn splits(&self) -> bool {
        false
    }

    /// Mappings of a batch that may suit the memories better than the one it chooses for the array; none of a sample.
    fn others(&self, work: &LayerWork) -> Vec<Mapping> {
        let _ = work;
        Vec::new()
    }

    /// The same run, where mappings that the engine has searched for before need no search. Engines that do not search
    /// leave them aside.
    fn run_known(&self, work: &LayerWork, name: &str, found: &Found) -> Result<ArrayRun, SimulateError> {
        let _ = found;
        self.run(work, None, name)
    }

    /// The runs at both ends of the interval in which the cycles of a uniformly random mask lie with probability
    /// `level`, the work's density being known; `None` where nothing is random or no such interval is stated.
    fn interval(
        &self,
        work: &LayerWork,
        level: f64,
        name: &str,
    ) -> Result<Option<[ArrayRun; 2]>, SimulateError> {
        let _ = (work, level, name);
        Ok(None)
    }

    /// Whether narrower activations take fewer cycles, and wider ones than the profile's more: units that compose
    /// their operands, or take activations bit by bit. Others multiply at the profile's width, and narrower
    /// activations save energy and traffic alone.
    fn follows_activation_width(&self) -> bool {
        false
    }

    /// PEs of the array.
    fn pes(&self) -> u64;

    /// How `array`'s cycles come about, in steps: a formula and the same with its numbers.
    fn formula(&self, work: &LayerWork, array: &ArrayRun) -> Vec<String> {
        let _ = work;
        let parts: Vec<String> = array
            .causes
            .parts()
            .iter()
            .filter(|(_, cycles)| *cycles > 0)
            .map(|(name, cycles)| format!("{cycles} {name}"))
            .collect();
        vec![format!("array cycles = {} = {}", parts.join(" + "), array.cycles)]
    }
}

/// Whether an engine's cycles follow the width of activations, so that it also takes those that are wider than its
/// profile's. Others multiply at the profile's width whatever a layer's is.
#[must_use]
pub fn follows_activation_width(kind: &EngineKind) -> bool {
    model(kind).follows_activation_width()
}

/// The model of an engine.
pub(super) fn model(kind: &EngineKind) -> &dyn ArrayEngine {
    match kind {
        EngineKind::Systolic(engine) => engine,
        EngineKind::Slices(engine) => engine,
        EngineKind::RowStationary(engine) => engine,
        EngineKind::DotProduct(engine) => engine,
        EngineKind::Flexible(engine) => engine,
        EngineKind::Structured(engine) => engine,
        EngineKind::BitFusion(engine) => engine,
        EngineKind::BitSerial(engine) => engine,
        EngineKind::Scatter(engine) => engine,
    }
}
