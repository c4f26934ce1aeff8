//! The SCALE-Sim front door: reads a configuration and a topology of SCALE-Sim v3, runs every layer on the systolic
//! array and its double-buffered SRAMs, and writes reports with SCALE-Sim's columns.
//!
//! | step | module |
//! |---|---|
//! | the cfg file (INI) | `config` |
//! | the topology CSV: convolutions, matrix products, N:M | `topology` |
//! | how a layer falls onto the array, and which words move in which cycle | `tiling`, `streams` |
//! | sparse weights: products left, index words | `sparsity` |
//! | `InterfaceBandwidth : CALC`: DRAM traffic without stalls | `calc`, run by run in `runs` |
//! | `InterfaceBandwidth : USER`: DRAM traffic and stalls | `replay`; the corrected read buffer in `halves` |
//! | the write buffer of both | `writes` |
//! | counts and cycles of a layer | `traffic` |
//! | rows, CSV, table | `report` |
//!
//! [`Mode::Compatible`] gives the numbers of SCALE-Sim v3.0.0 with its known faults, byte for byte.
//! [`Mode::Corrected`] leaves the faults out; ARCHITECTURE.md lists each with what stands in its place.
//!
//! Counts are words and cycles. Cycles before 0 are prefetches.

#![allow(
    clippy::cast_possible_wrap,
    reason = "cycles before 0 need a sign; `Tiling::new` keeps cycles and words far below 2^63"
)]

mod calc;
mod config;
mod error;
mod halves;
mod ini;
mod replay;
mod report;
mod runs;
mod sparsity;
mod streams;
mod tiling;
mod topology;
mod traffic;
mod writes;

pub use config::{Banks, Config, Interface, SparseFormat, SparseWeights};
pub use error::ScaleSimError;
pub use report::{AccessRow, BandwidthRow, ComputeRow, Moves, Reports, SparseRow, scalesim_table};
pub use topology::{Layer, Topology};

use rayon::prelude::*;

/// Whether the known faults of SCALE-Sim v3.0.0 are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Faults left out.
    Corrected,
    /// Every number as SCALE-Sim v3.0.0 prints it, for comparison.
    Compatible,
}

/// Runs every layer of a topology on a configuration.
///
/// # Errors
/// [`ScaleSimError`] naming the layer: counts past 2^64 - 1, more words than a replay may hold, settings that SCALE-Sim
/// itself cannot run.
pub fn run(config: &Config, topology: &Topology, mode: Mode) -> Result<Reports, ScaleSimError> {
    let runs: Vec<traffic::LayerRun> = topology
        .layers
        .par_iter()
        .map(|layer| traffic::layer(config, layer, mode))
        .collect::<Result<_, _>>()?;
    Ok(Reports::new(config, topology, &runs))
}
