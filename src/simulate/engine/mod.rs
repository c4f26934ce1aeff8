//! The engines. One file per engine; [`model`] is the only other place that names it.

mod bit_fusion;
mod bit_serial;
mod flexible;
mod slices;
mod structured;
mod systolic;

pub use slices::{Expectation, SliceEntries, expected, slice_entries};
pub use systolic::{Accesses, Folds, nm_products, row_wise_products};

use super::cost::{Causes, StoredBits};
use super::error::SimulateError;
use super::work::LayerWork;
use crate::compression::Mask;
use crate::hardware::EngineKind;

/// What one engine did for one layer, with every operand at hand: the array before the memories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayRun {
    /// Cycles of the engine's clock.
    pub cycles: u64,
    /// The same by cause; the stalls are zero.
    pub causes: Causes,
    /// Multiplications that were done.
    pub macs: u64,
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

    /// PEs of the array.
    fn pes(&self) -> u64;
}

/// The model of an engine.
pub(super) fn model(kind: &EngineKind) -> &dyn ArrayEngine {
    match kind {
        EngineKind::Systolic(engine) => engine,
        EngineKind::Slices(engine) => engine,
        EngineKind::Flexible(engine) => engine,
        EngineKind::Structured(engine) => engine,
        EngineKind::BitFusion(engine) => engine,
        EngineKind::BitSerial(engine) => engine,
    }
}
