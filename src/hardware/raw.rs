//! The form of a profile file: what may stand in the TOML, before the fields are checked against each other.
//!
//! Quantities stay strings here and are read by [`super::read`], so that every wrong unit of a file is reported
//! at once. A table that gives a physical constant, and a table that gives structural numbers only, both have a
//! `source`.

use super::FpgaMemory;
use super::engine::RawEngine;
use crate::units::{Area, Capacity, Energy, Power};
use schemars::JsonSchema;
use serde::Deserialize;
use std::marker::PhantomData;
use toml::Spanned;

/// One accelerator: its engines, its memories from the PE outwards, and the energy of its actions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "Hardware profile")]
pub(crate) struct RawProfile {
    /// The profile's name in lower case with hyphens, as `eyeriss-65nm`.
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub(crate) name: Spanned<String>,
    /// What it stands for, in a sentence.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) description: Spanned<String>,
    /// Technology node in nm.
    pub(crate) technology_nm: RawCount,
    /// Widths of words.
    pub(crate) widths: RawWidths,
    /// The ways this accelerator can run a layer; a layer takes the cheapest.
    #[schemars(with = "Vec<RawEngine>", length(min = 1))]
    pub(crate) engines: Vec<Spanned<RawEngine>>,
    /// Memories from the PE outwards; the last one is the DRAM.
    #[schemars(with = "Vec<RawMemory>", length(min = 1))]
    pub(crate) memories: Vec<Spanned<RawMemory>>,
    /// Energy per action; an action that is left out is reported as "not modelled".
    pub(crate) energy: RawEnergy,
    /// Silicon area that is not in the PEs.
    pub(crate) area: Option<RawArea>,
    /// Resources of the part, if this is an FPGA.
    pub(crate) fpga: Option<RawFpga>,
}

/// A quantity with its unit and the place it comes from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, bound(deserialize = ""))]
#[schemars(rename = "Sourced{T}")]
pub(crate) struct RawSourced<T> {
    /// The quantity.
    #[schemars(with = "T")]
    pub(crate) value: Spanned<String>,
    /// Paper and table, datasheet, or `assumed: …` / `fitted: …` with the reason.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) kind: PhantomData<T>,
}

/// A count with the place it comes from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SourcedCount")]
pub(crate) struct RawCount {
    /// The count.
    #[schemars(with = "u64", range(min = 1))]
    pub(crate) value: Spanned<u64>,
    /// Paper and table, datasheet, or `assumed: …` / `fitted: …` with the reason.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// A name with the place it comes from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SourcedName")]
pub(crate) struct RawName {
    /// The name.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) value: Spanned<String>,
    /// Where it stands.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// Widths of words in bits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Widths")]
pub(crate) struct RawWidths {
    /// Bits of a weight that is not quantised, as the engines take it.
    #[schemars(with = "u32", range(min = 1, max = 64))]
    pub(crate) weight_bits: Spanned<u64>,
    /// Bits of an activation.
    #[schemars(with = "u32", range(min = 1, max = 64))]
    pub(crate) activation_bits: Spanned<u64>,
    /// Bits of an accumulator.
    #[schemars(with = "u32", range(min = 1, max = 64))]
    pub(crate) accumulator_bits: Spanned<u64>,
    /// Where these widths come from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// What a memory may hold.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Tensor")]
pub(crate) enum RawTensor {
    /// Weight values.
    Weights,
    /// Indices, bitmaps, pointers.
    Indices,
    /// Input features.
    Inputs,
    /// Output features and partial sums.
    Outputs,
}

/// A level of the memory hierarchy: exactly one of `buffer` and `dram`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Memory")]
pub(crate) struct RawMemory {
    /// Unique in the profile.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) name: Spanned<String>,
    /// Bits its port moves per cycle of the engine's clock.
    pub(crate) bits_per_cycle: RawCount,
    /// Energy to read one bit.
    pub(crate) read_per_bit: RawSourced<Energy>,
    /// Energy to write one bit.
    pub(crate) write_per_bit: RawSourced<Energy>,
    /// An on-chip SRAM.
    pub(crate) buffer: Option<RawBuffer>,
    /// The DRAM: unlimited, holds every tensor.
    pub(crate) dram: Option<RawDram>,
}

/// An on-chip SRAM.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Buffer")]
pub(crate) struct RawBuffer {
    /// Bits in all, both halves together.
    #[schemars(with = "Capacity")]
    pub(crate) capacity: Spanned<String>,
    /// Whether half of it is loaded while the other half is used.
    pub(crate) double_buffered: bool,
    /// What it may hold.
    #[schemars(with = "Vec<RawTensor>", length(min = 1))]
    pub(crate) holds: Spanned<Vec<Spanned<RawTensor>>>,
    /// 1: the array's side and the outer side share one port. 2: each side has a port of `bits-per-cycle`. Without the
    /// key transfers on the outer side take no time here.
    #[schemars(with = "Option<u64>", range(min = 1, max = 2))]
    pub(crate) ports: Option<Spanned<u64>>,
    /// Banks of a memory with one port, each with a port of its own: a fill waits only where the array reads the same
    /// bank. One without the key.
    #[schemars(with = "Option<u64>", range(min = 1))]
    pub(crate) banks: Option<Spanned<u64>>,
    /// What it is made of on an FPGA; block RAM without the key.
    #[schemars(with = "Option<FpgaMemory>")]
    pub(crate) fpga_memory: Option<Spanned<FpgaMemory>>,
    /// Where size and contents come from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// The DRAM.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Dram")]
pub(crate) struct RawDram {
    /// Bits of a burst.
    #[schemars(with = "u64", range(min = 1))]
    pub(crate) burst_bits: Spanned<u64>,
    /// Rows and banks; without the table, opening a row takes no time.
    pub(crate) rows: Option<RawRows>,
    /// Where the burst comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// Rows and banks of the DRAM.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "DramRows")]
pub(crate) struct RawRows {
    /// Bytes of a row (page) of all chips together, a power of two and whole bursts.
    #[schemars(with = "u64", range(min = 1, max = 1_048_576))]
    pub(crate) row_bytes: Spanned<u64>,
    /// Banks, each with one open row; consecutive rows lie in consecutive banks.
    #[schemars(with = "u64", range(min = 1, max = 65_536))]
    pub(crate) banks: Spanned<u64>,
    /// Cycles to close a row and open another (tRP + tRCD), in the clock of `bits-per-cycle`.
    #[schemars(with = "u64", range(min = 1, max = 65_536))]
    pub(crate) row_miss_cycles: Spanned<u64>,
    /// Energy to open (and close) a row; without it, it is taken to be in the energy of a bit.
    pub(crate) activate_energy: Option<RawSourced<Energy>>,
    /// Where rows, banks and cycles come from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// Energy per action.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "EnergyTable")]
pub(crate) struct RawEnergy {
    /// A multiply-accumulate.
    pub(crate) mac: RawMac,
    /// Decoding one entry (weight or filler) of a sparse stream.
    pub(crate) decode_per_entry: Option<RawSourced<Energy>>,
    /// Register traffic of one multiply-accumulate.
    pub(crate) register_per_mac: Option<RawSourced<Energy>>,
    /// Moving one word one hop through the array.
    pub(crate) hop_per_word: Option<RawSourced<Energy>>,
    /// Leakage (and, where the source says so, the clock tree) of the whole chip.
    pub(crate) leakage: Option<RawSourced<Power>>,
}

/// Energy of a multiply-accumulate at a reference width.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Mac")]
pub(crate) struct RawMac {
    /// Operand width of the reference.
    #[schemars(with = "u32", range(min = 1, max = 64))]
    pub(crate) bits: Spanned<u64>,
    /// Multiplication at that width.
    #[schemars(with = "Energy")]
    pub(crate) multiply: Spanned<String>,
    /// Accumulation.
    #[schemars(with = "Energy")]
    pub(crate) accumulate: Spanned<String>,
    /// Where both energies come from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// Silicon area that is not in the PEs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Silicon")]
pub(crate) struct RawArea {
    /// Macro area of an SRAM bit.
    pub(crate) sram_per_bit: RawSourced<Area>,
}

/// Resources of an FPGA part.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Fpga")]
pub(crate) struct RawFpga {
    /// The part, as `xc7z020`.
    pub(crate) part: RawName,
    /// DSP slices.
    pub(crate) dsp: u64,
    /// Look-up tables.
    #[schemars(with = "u64", range(min = 1))]
    pub(crate) lut: Spanned<u64>,
    /// Flip-flops.
    #[schemars(with = "u64", range(min = 1))]
    pub(crate) ff: Spanned<u64>,
    /// Block RAM in 18-kbit halves.
    pub(crate) bram18: u64,
    /// `UltraRAM` blocks.
    pub(crate) uram: u64,
    /// Whether several narrow products that share operands may share a DSP slice; not without the key.
    pub(crate) dsp_packing: Option<bool>,
    /// What multiplies in the PEs; DSP slices without the key, where operands are wide enough to earn one.
    pub(crate) multiplier: Option<RawMultiplier>,
    /// Where the counts come from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// What multiplies in the PEs of an FPGA.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Multiplier")]
pub(crate) enum RawMultiplier {
    /// DSP slices, where operands are wide enough to earn one.
    Dsp,
    /// Look-up tables only.
    Lut,
    /// Shifters: all weights are signed powers of two.
    Shift,
}
