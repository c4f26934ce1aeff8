//! `breakeven.csv`: the equal-area curve of every layer, and the table of it.

use super::layers::Subject;
use super::table::{self, Align, table};
use super::word::word;
use crate::hardware::Engine;
use crate::simulate::break_even::Curve;
use serde::Serialize;

/// One pruned portion of one layer on one pair of engines.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(
    missing_docs,
    reason = "the names are the documentation: each carries its unit, and ARCHITECTURE.md defines the terms"
)]
pub struct BreakEvenRow {
    pub run: String,
    pub profile: String,
    pub workload: String,
    pub layer: String,
    pub dense_engine: String,
    pub sparse_engine: String,
    pub encoding: String,
    pub pruned_portion: f64,
    /// Time of the dense engine over time of the sparse one; 0 where no sparse PE fits.
    pub speedup: f64,
    /// Smallest pruned portion at which the sparse engine is not slower; empty where there is none.
    pub crossing_pruned_portion: Option<f64>,
    pub dense_pes: u64,
    pub sparse_pes: u64,
    pub entries: u64,
    pub area_um2: f64,
    pub sparse_sram_um2: f64,
    pub dense_cycles: u64,
    /// Empty where no sparse PE fits.
    pub sparse_cycles: Option<u64>,
    pub dense_clock_mhz: f64,
    pub sparse_clock_mhz: f64,
    pub version: &'static str,
    pub workload_sha256: String,
    pub profile_sha256: String,
}

/// The rows of one layer's curve.
#[must_use]
pub fn break_even_rows(
    subject: &Subject<'_>,
    layer: &str,
    dense: &Engine,
    sparse: &Engine,
    curve: &Curve,
) -> Vec<BreakEvenRow> {
    let encoding = word(&sparse.kind.encoding());
    let row = |p: &crate::simulate::break_even::Point| BreakEvenRow {
        run: subject.run.into(),
        profile: subject.profile.name.clone(),
        workload: subject.workload.name.clone(),
        layer: layer.into(),
        dense_engine: dense.name.clone(),
        sparse_engine: sparse.name.clone(),
        encoding: encoding.clone(),
        pruned_portion: p.pruned_portion,
        speedup: p.speedup,
        crossing_pruned_portion: curve.crossing,
        dense_pes: p.dense_pes,
        sparse_pes: p.sparse_pes,
        entries: p.entries,
        area_um2: p.area_um2,
        sparse_sram_um2: p.sparse_sram_um2,
        dense_cycles: p.dense_cycles,
        sparse_cycles: p.sparse_cycles,
        dense_clock_mhz: p.dense_mhz,
        sparse_clock_mhz: p.sparse_mhz,
        version: env!("CARGO_PKG_VERSION"),
        workload_sha256: subject.workload.sha256.clone(),
        profile_sha256: subject.profile_input.sha256.clone(),
    };
    curve.points.iter().map(row).collect()
}

/// Layers down, pruned portions across, speedups in the cells; the rows of one profile and pair of engines.
#[must_use]
pub fn break_even_table(rows: &[&BreakEvenRow]) -> String {
    let mut lines: Vec<(String, Option<f64>, Vec<&BreakEvenRow>)> = Vec::new();
    for row in rows {
        match lines.last_mut() {
            Some((layer, _, points)) if *layer == row.layer => points.push(row),
            _ => lines.push((row.layer.clone(), row.crossing_pruned_portion, vec![row])),
        }
    }
    let portions: Vec<String> = lines.first().map_or_else(Vec::new, |(_, _, p)| {
        p.iter()
            .map(|r| format!("{:.0} %", 100.0 * r.pruned_portion))
            .collect()
    });
    let mut columns = vec![("layer", Align::Left), ("break-even %", Align::Right)];
    columns.extend(portions.iter().map(|p| (p.as_str(), Align::Right)));
    let line = |(layer, crossing, points): &(String, Option<f64>, Vec<&BreakEvenRow>)| {
        let mut cells = vec![
            layer.clone(),
            crossing.map_or_else(|| "never".into(), table::percent),
        ];
        cells.extend(points.iter().map(|p| format!("{:.2}", p.speedup)));
        cells
    };
    table(&columns, lines.iter().map(line))
}
