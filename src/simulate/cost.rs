//! What a layer costs, broken down so that the parts sum to the whole.

use super::engine::LoopForm;
use crate::hardware::TensorKind;
use crate::units::{Overflow, add};

/// Cycles by cause; they sum to the total exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Causes {
    /// Useful multiplications at the engine's full rate.
    pub compute: u64,
    /// Pipeline fill and drain.
    pub fill_drain: u64,
    /// Index decode and fillers.
    pub decode: u64,
    /// Waiting for the slowest PE.
    pub imbalance: u64,
    /// Lanes or PEs without work (edges of folds, rows that do not divide).
    pub unused: u64,
    /// Waiting for the port that brings features or partial sums.
    pub feature_port: u64,
    /// Waiting for weights from memory.
    pub stall_weights: u64,
    /// Waiting for indices from memory.
    pub stall_indices: u64,
    /// Waiting for input features.
    pub stall_inputs: u64,
    /// Waiting for outputs to leave.
    pub stall_outputs: u64,
}

impl Causes {
    /// The sum of all causes.
    ///
    /// # Errors
    /// On overflow.
    pub fn total(&self) -> Result<u64, Overflow> {
        self.parts()
            .iter()
            .try_fold(0, |sum, &(_, cycles)| add(sum, cycles))
    }

    /// Each cause with its name, in a fixed order.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u64); 10] {
        [
            ("compute", self.compute),
            ("fill_drain", self.fill_drain),
            ("decode", self.decode),
            ("imbalance", self.imbalance),
            ("unused", self.unused),
            ("feature_port", self.feature_port),
            ("stall_weights", self.stall_weights),
            ("stall_indices", self.stall_indices),
            ("stall_inputs", self.stall_inputs),
            ("stall_outputs", self.stall_outputs),
        ]
    }
}

/// Bits moved at one memory for one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// The memory's name.
    pub memory: String,
    /// The tensor.
    pub tensor: TensorKind,
    /// Bits read.
    pub read_bits: u64,
    /// Bits written.
    pub write_bits: u64,
}

/// What a layer makes of the DRAM's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowUse {
    /// Rows opened.
    pub activations: u64,
    /// Bits of a row.
    pub row_bits: u64,
    /// Bits moved, all tensors, reads and writes.
    pub moved_bits: u64,
}

impl RowUse {
    /// Bits moved over the bits of all rows opened, in (0, 1]; `None` if nothing moves.
    #[must_use]
    pub fn efficiency(&self) -> Option<f64> {
        let opened = self.activations as f64 * self.row_bits as f64;
        (self.activations > 0).then(|| self.moved_bits as f64 / opened)
    }
}

/// Energy by component in pJ; `None` is "not modelled".
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EnergyBreakdown {
    /// Multiply-accumulates.
    pub mac: f64,
    /// Index decoding.
    pub decode: Option<f64>,
    /// Registers.
    pub register: Option<f64>,
    /// The array's network.
    pub network: Option<f64>,
    /// On-chip buffers.
    pub buffer: f64,
    /// DRAM, by the bit.
    pub dram: f64,
    /// Opening rows of the DRAM; `None` where the profile has it in the energy of a bit.
    pub activation: Option<f64>,
    /// Leakage over the layer's time.
    pub leakage: Option<f64>,
}

/// Stored bits of a layer's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredBits {
    /// Weight values, fillers included.
    pub weights: u64,
    /// Indices.
    pub indices: u64,
}

/// The cost of one layer on one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerCost {
    /// The engine.
    pub engine: String,
    /// Cycles of the engine's clock.
    pub cycles: u64,
    /// The same by cause.
    pub causes: Causes,
    /// Time in seconds.
    pub seconds: f64,
    /// Energy.
    pub energy: EnergyBreakdown,
    /// Bits moved.
    pub traffic: Vec<Traffic>,
    /// Rows of the DRAM, if the profile has them.
    pub rows: Option<RowUse>,
    /// Stored weight bits in the engine's encoding.
    pub stored: StoredBits,
    /// Multiplications that were done.
    pub macs: u64,
    /// Useful multiplications over the engine's peak in the layer's time.
    pub utilisation: f64,
    /// How the layer lies on the array, from engines that choose.
    pub mapping: Option<LoopForm>,
}
