//! The checked form of a profile. Values of these types come from [`super`]'s reader and hold what it checked:
//! no count is zero, an engine and a DRAM exist, names are unique.

use super::engine::EngineKind;
use super::resources::Multiplier;
use crate::units::{Area, Capacity, Energy, Frequency, Power};
use schemars::JsonSchema;
use serde::Deserialize;

/// A figure with the place it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced<T> {
    /// The figure.
    pub value: T,
    /// Paper and table, datasheet, or "assumed" / "fitted" with the reason.
    pub source: String,
}

/// One accelerator.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The profile's name, as `eyeriss-65nm`.
    pub name: String,
    /// What it stands for, in a sentence.
    pub description: String,
    /// Technology node in nm.
    pub technology_nm: Sourced<u32>,
    /// Bits of an activation and of a partial sum.
    pub activation_bits: u32,
    /// Bits of an accumulator.
    pub accumulator_bits: u32,
    /// Bits of a weight that is not quantised, as the engines take it.
    pub weight_bits: u32,
    /// The ways this accelerator can run a layer; a layer takes the cheapest.
    pub engines: Vec<Engine>,
    /// Memories from the PE outwards; the last one is the DRAM and holds everything.
    pub memories: Vec<Memory>,
    /// Joules per action.
    pub energy: EnergyTable,
    /// Silicon, if modelled.
    pub area: Option<SiliconArea>,
    /// The part, if this is an FPGA.
    pub fpga: Option<Fpga>,
}

/// One way an array runs a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    /// Unique in the profile.
    pub name: String,
    /// Its clock.
    pub clock: Sourced<Frequency>,
    /// Area of one PE with its registers, its decoder and its share of the array.
    pub pe_area: Option<Sourced<Area>>,
    /// What it is.
    pub kind: EngineKind,
}

/// What a memory may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorKind {
    /// Weight values.
    Weights,
    /// Indices, bitmaps, pointers.
    Indices,
    /// Input features.
    Inputs,
    /// Output features and partial sums.
    Outputs,
}

/// A level of the memory hierarchy.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Unique in the profile.
    pub name: String,
    /// On chip or off.
    pub kind: MemoryKind,
    /// Bits its port moves per cycle of the engine's clock.
    pub bits_per_cycle: Sourced<u64>,
    /// What it may hold.
    pub holds: Vec<TensorKind>,
    /// Rows and banks of a DRAM, if modelled.
    pub rows: Option<DramRows>,
    /// How the two sides of a buffer share its ports; `None`: transfers on the outer side take no time here.
    pub ports: Option<Ports>,
    /// What it is made of on an FPGA; elsewhere without meaning.
    pub fpga_memory: FpgaMemory,
    /// Energy to read one bit.
    pub read_per_bit: Sourced<Energy>,
    /// Energy to write one bit.
    pub write_per_bit: Sourced<Energy>,
}

/// What a buffer is made of on an FPGA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FpgaMemory {
    /// Block RAM.
    #[default]
    Bram,
    /// `UltraRAM`, 4096 words of 72 bits a block.
    Uram,
    /// Look-up tables.
    Lutram,
    /// Whichever takes the least portion of the part.
    Auto,
}

/// On chip or off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MemoryKind {
    /// SRAM of a capacity; double-buffered means half of it is loaded while the other half is used.
    Buffer {
        /// Bits in all.
        capacity: Capacity,
        /// Whether loads overlap compute.
        double_buffered: bool,
    },
    /// Unlimited; moved in whole bursts.
    Dram {
        /// Bits of a burst.
        burst_bits: u64,
    },
}

/// Rows and banks of a DRAM.
#[derive(Debug, Clone, PartialEq)]
pub struct DramRows {
    /// Bytes of a row; a power of two, and whole bursts.
    pub row_bytes: u64,
    /// Banks, each with one open row; consecutive rows lie in consecutive banks.
    pub banks: u64,
    /// Cycles to close a row and open another (tRP + tRCD), in the clock of the memory's port.
    pub row_miss_cycles: u64,
    /// Energy to open a row; `None`: it is in the energy of a bit.
    pub activate_energy: Option<Sourced<Energy>>,
}

/// Ports of a buffer. One side is the array's, or that of the next memory on the way to it; the other is the DRAM's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// One port for both sides, in each of so many banks.
    Shared {
        /// Banks; never zero.
        banks: u64,
    },
    /// A port for each side.
    Separate,
}

/// Joules per action; what is `None` is reported as "not modelled".
#[derive(Debug, Clone, PartialEq)]
pub struct EnergyTable {
    /// A multiply-accumulate.
    pub mac: Sourced<MacEnergy>,
    /// Decoding one entry (weight or filler) of a sparse stream.
    pub decode_per_entry: Option<Sourced<Energy>>,
    /// Register traffic of one multiply-accumulate (operands and partial sum).
    pub register_per_mac: Option<Sourced<Energy>>,
    /// Moving one word one hop through the array.
    pub hop_per_word: Option<Sourced<Energy>>,
    /// Leakage of the whole chip.
    pub leakage: Option<Sourced<Power>>,
}

/// Energy of a multiply-accumulate at a reference width; other widths scale with the product of the operand
/// widths for the multiplier and linearly for the adder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MacEnergy {
    /// Operand width of the reference.
    pub bits: u32,
    /// Multiplication at that width.
    pub multiply: Energy,
    /// Accumulation.
    pub accumulate: Energy,
}

/// Silicon area that is not in the PEs.
#[derive(Debug, Clone, PartialEq)]
pub struct SiliconArea {
    /// Macro area of an SRAM bit.
    pub sram_per_bit: Sourced<Area>,
}

/// Resources of an FPGA part.
#[derive(Debug, Clone, PartialEq)]
pub struct Fpga {
    /// The part, as `xc7z020`.
    pub part: Sourced<String>,
    /// DSP slices.
    pub dsp: u64,
    /// Look-up tables.
    pub lut: u64,
    /// Flip-flops.
    pub ff: u64,
    /// Block RAM in 18-kbit halves.
    pub bram18: u64,
    /// `UltraRAM` blocks.
    pub uram: u64,
    /// Whether several narrow products may share a DSP slice.
    pub dsp_packing: bool,
    /// What multiplies in the PEs.
    pub multiplier: Multiplier,
}
