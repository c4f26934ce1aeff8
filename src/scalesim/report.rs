//! Rows with SCALE-Sim's columns, their CSV form, and a table for people.

use super::calc::Access;
use super::config::Config;
use super::topology::Topology;
use super::traffic::{LayerRun, SramAccess, Words};
use crate::report::table::{Align, count, number, table};
use serde::Serialize;
use std::fmt::Write as _;

/// A row of `COMPUTE_REPORT.csv`. Cycles; percent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComputeRow {
    /// Position in the topology, from 0.
    pub layer_id: u64,
    /// Name in the topology; not a column of the CSV.
    pub layer: String,
    /// From the first DRAM read to the last DRAM write.
    pub cycles_incl_prefetch: i64,
    /// Cycles of the array.
    pub cycles: i64,
    /// Cycles in which the array waits for a memory.
    pub stall_cycles: i64,
    /// Multiplications over PEs × cycles.
    pub overall_utilisation_pct: f64,
    /// Portion of the PEs that hold work, mean over folds.
    pub mapping_efficiency_pct: f64,
    /// Portion of PE cycles with work while a fold runs, mean over folds.
    pub compute_utilisation_pct: f64,
}

/// A row of `BANDWIDTH_REPORT.csv`. Words a cycle: at an SRAM over all cycles, at DRAM from first to last access.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BandwidthRow {
    /// Position in the topology, from 0.
    pub layer_id: u64,
    /// Inputs read from SRAM.
    pub ifmap_sram: f64,
    /// Weights read from SRAM.
    pub filter_sram: f64,
    /// Index words read from SRAM, in sparse runs.
    pub filter_metadata_sram: Option<f64>,
    /// Outputs written to SRAM.
    pub ofmap_sram: f64,
    /// Inputs read from DRAM.
    pub ifmap_dram: f64,
    /// Weights read from DRAM.
    pub filter_dram: f64,
    /// Outputs written to DRAM.
    pub ofmap_dram: f64,
}

/// First and last cycle, and the words moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Moves {
    /// First cycle; below 0 for what is prefetched.
    pub start_cycle: i64,
    /// Last cycle.
    pub stop_cycle: i64,
    /// Words. With N:M weights SCALE-Sim counts inputs at SRAM M/N times, which may be a fraction.
    pub words: f64,
    #[serde(skip)]
    printed: Words,
}

/// A row of `DETAILED_ACCESS_REPORT.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccessRow {
    /// Position in the topology, from 0.
    pub layer_id: u64,
    /// Inputs, SRAM to array.
    pub sram_ifmap: Moves,
    /// Weights, SRAM to array.
    pub sram_filter: Moves,
    /// Outputs, array to SRAM.
    pub sram_ofmap: Moves,
    /// Inputs, DRAM to SRAM.
    pub dram_ifmap: Moves,
    /// Weights, DRAM to SRAM.
    pub dram_filter: Moves,
    /// Outputs, SRAM to DRAM.
    pub dram_ofmap: Moves,
}

/// A row of `SPARSE_REPORT.csv`. Words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SparseRow {
    /// Position in the topology, from 0.
    pub layer_id: u64,
    /// `csr`, `csc` or `ellpack_block`.
    pub representation: String,
    /// All weights.
    pub original_words: u64,
    /// Weights kept and their indices.
    pub new_words: f64,
    /// Indices alone.
    pub metadata_words: f64,
    /// Index words a cycle at the SRAM.
    pub metadata_sram: f64,
    #[serde(skip)]
    whole: bool,
}

/// The reports of a run, a row per layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reports {
    /// `COMPUTE_REPORT.csv`
    pub compute: Vec<ComputeRow>,
    /// `BANDWIDTH_REPORT.csv`
    pub bandwidth: Vec<BandwidthRow>,
    /// `DETAILED_ACCESS_REPORT.csv`
    pub access: Vec<AccessRow>,
    /// `SPARSE_REPORT.csv`; empty for dense runs.
    pub sparse: Vec<SparseRow>,
}

impl From<SramAccess> for Moves {
    fn from(at: SramAccess) -> Self {
        Self {
            start_cycle: at.start,
            stop_cycle: at.stop,
            words: at.words.value(),
            printed: at.words,
        }
    }
}

impl From<Access> for Moves {
    fn from(at: Access) -> Self {
        Self {
            start_cycle: at.start,
            stop_cycle: at.stop,
            words: at.words as f64,
            printed: Words::Whole(at.words),
        }
    }
}

impl Moves {
    /// Words a cycle from first to last access.
    fn rate(&self) -> f64 {
        self.words / (self.stop_cycle - self.start_cycle + 1) as f64
    }
}

impl Reports {
    pub(super) fn new(config: &Config, topology: &Topology, runs: &[LayerRun]) -> Self {
        let mut reports = Self {
            compute: Vec::with_capacity(runs.len()),
            bandwidth: Vec::with_capacity(runs.len()),
            access: Vec::with_capacity(runs.len()),
            sparse: Vec::new(),
        };
        for (layer_id, (run, layer)) in (0..).zip(runs.iter().zip(&topology.layers)) {
            let total = run.total_cycles as f64;
            let [sram_ifmap, sram_filter, sram_ofmap] = run.sram.map(Moves::from);
            let [dram_ifmap, dram_filter, dram_ofmap] = run.dram.map(Moves::from);
            let metadata_sram = run.metadata_reads.map(|words| words / total);
            reports.compute.push(ComputeRow {
                layer_id,
                layer: layer.name.clone(),
                cycles_incl_prefetch: run.overall_cycles,
                cycles: run.total_cycles,
                stall_cycles: run.stall_cycles,
                overall_utilisation_pct: run.overall_utilisation,
                mapping_efficiency_pct: run.mapping_efficiency,
                compute_utilisation_pct: run.compute_utilisation,
            });
            reports.bandwidth.push(BandwidthRow {
                layer_id,
                ifmap_sram: sram_ifmap.words / total,
                filter_sram: sram_filter.words / total,
                filter_metadata_sram: metadata_sram,
                ofmap_sram: sram_ofmap.words / total,
                ifmap_dram: dram_ifmap.rate(),
                filter_dram: dram_filter.rate(),
                ofmap_dram: dram_ofmap.rate(),
            });
            if let (Some(sparse), Some(storage), Some(metadata_sram)) =
                (config.sparse, run.storage, metadata_sram)
            {
                reports.sparse.push(SparseRow {
                    layer_id,
                    representation: sparse.format.word().into(),
                    original_words: storage.original,
                    new_words: storage.new,
                    metadata_words: storage.metadata,
                    metadata_sram,
                    whole: storage.whole,
                });
            }
            reports.access.push(AccessRow {
                layer_id,
                sram_ifmap,
                sram_filter,
                sram_ofmap,
                dram_ifmap,
                dram_filter,
                dram_ofmap,
            });
        }
        reports
    }

    /// The CSV files: name and text, with SCALE-Sim's headers, commas and number forms.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, String)> {
        let mut files = vec![
            ("COMPUTE_REPORT.csv", self.compute_csv()),
            ("BANDWIDTH_REPORT.csv", self.bandwidth_csv()),
            ("DETAILED_ACCESS_REPORT.csv", self.access_csv()),
        ];
        if !self.sparse.is_empty() {
            files.push(("SPARSE_REPORT.csv", self.sparse_csv()));
        }
        files
    }

    fn compute_csv(&self) -> String {
        let header = "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %, Compute Util %,";
        csv(header, &self.compute, |row| {
            vec![
                row.layer_id.to_string(),
                row.cycles_incl_prefetch.to_string(),
                row.cycles.to_string(),
                row.stall_cycles.to_string(),
                float(row.overall_utilisation_pct),
                float(row.mapping_efficiency_pct),
                float(row.compute_utilisation_pct),
            ]
        })
    }

    fn bandwidth_csv(&self) -> String {
        let metadata = if self.sparse.is_empty() {
            ""
        } else {
            " Avg FILTER Metadata SRAM BW,"
        };
        let header = format!(
            "LayerID, Avg IFMAP SRAM BW, Avg FILTER SRAM BW,{metadata} Avg OFMAP SRAM BW, Avg IFMAP DRAM BW, Avg FILTER DRAM BW, Avg OFMAP DRAM BW,"
        );
        csv(&header, &self.bandwidth, |row| {
            let mut cells = vec![
                row.layer_id.to_string(),
                float(row.ifmap_sram),
                float(row.filter_sram),
            ];
            cells.extend(row.filter_metadata_sram.map(float));
            cells.extend([row.ofmap_sram, row.ifmap_dram, row.filter_dram, row.ofmap_dram].map(float));
            cells
        })
    }

    fn access_csv(&self) -> String {
        let mut header = String::from("LayerID,");
        for memory in ["SRAM", "DRAM"] {
            for (operand, moves) in [("IFMAP", "Reads"), ("Filter", "Reads"), ("OFMAP", "Writes")] {
                let _ = write!(
                    header,
                    " {memory} {operand} Start Cycle, {memory} {operand} Stop Cycle, {memory} {operand} {moves},"
                );
            }
        }
        csv(&header, &self.access, |row| {
            let moves = [
                row.sram_ifmap,
                row.sram_filter,
                row.sram_ofmap,
                row.dram_ifmap,
                row.dram_filter,
                row.dram_ofmap,
            ];
            let mut cells = vec![row.layer_id.to_string()];
            for at in moves {
                cells.push(format!("{}.0", at.start_cycle));
                cells.push(format!("{}.0", at.stop_cycle));
                cells.push(match at.printed {
                    Words::Whole(words) => words.to_string(),
                    Words::Portion(words) => float(words),
                });
            }
            cells
        })
    }

    fn sparse_csv(&self) -> String {
        let header = "LayerID, Sparsity Representation, Original Filter Storage, New Storage (Filter+Metadata), Filter Metadata Storage, Avg FILTER Metadata SRAM BW, ";
        csv(header, &self.sparse, |row| {
            let words = |words: f64| {
                if row.whole {
                    format!("{words:.0}")
                } else {
                    float(words)
                }
            };
            vec![
                row.layer_id.to_string(),
                row.representation.clone(),
                row.original_words.to_string(),
                words(row.new_words),
                words(row.metadata_words),
                float(row.metadata_sram),
            ]
        })
    }
}

/// A header and a line per row, each cell with a comma after it.
fn csv<T>(header: &str, rows: &[T], cells: impl Fn(&T) -> Vec<String>) -> String {
    let mut text = format!("{header}\n");
    for row in rows {
        let _ = writeln!(text, "{},", cells(row).join(", "));
    }
    text
}

/// A number as SCALE-Sim prints it: the shortest digits that read back to it, an exponent of two digits at least
/// below 10^-4 and from 10^16 on.
fn float(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// The layers of a run as a table: cycles and use of the array, and the words at DRAM.
#[must_use]
pub fn scalesim_table(reports: &Reports) -> String {
    let columns = [
        ("layer", Align::Left),
        ("cycles", Align::Right),
        ("stalls", Align::Right),
        ("use %", Align::Right),
        ("mapped %", Align::Right),
        ("DRAM in", Align::Right),
        ("DRAM weights", Align::Right),
        ("DRAM out", Align::Right),
        ("words/cycle in", Align::Right),
    ];
    let whole = |n: i64| u64::try_from(n).map_or_else(|_| n.to_string(), count);
    let words = |at: &Moves| match at.printed {
        Words::Whole(words) => count(words),
        Words::Portion(words) => number(words),
    };
    let rows = reports
        .compute
        .iter()
        .zip(&reports.access)
        .zip(&reports.bandwidth)
        .map(|((compute, access), bandwidth)| {
            vec![
                compute.layer.clone(),
                whole(compute.cycles),
                whole(compute.stall_cycles),
                format!("{:.1}", compute.overall_utilisation_pct),
                format!("{:.1}", compute.mapping_efficiency_pct),
                words(&access.dram_ifmap),
                words(&access.dram_filter),
                words(&access.dram_ofmap),
                number(bandwidth.ifmap_dram + bandwidth.filter_dram),
            ]
        });
    table(&columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_scale_sim_prints_them() {
        assert_eq!(float(10.0), "10.0");
        assert_eq!(float(38.400_000_000_000_02), "38.40000000000002");
        assert_eq!(float(0.000_05), "5e-05");
        assert_eq!(float(0.000_123), "0.000123");
        assert_eq!(float(1.5e16), "1.5e+16");
    }
}
