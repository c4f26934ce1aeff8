//! `summary.csv`: one line per candidate and profile, and the table that sets candidates side by side.

use super::error::ReportError;
use super::layers::{LayerRow, Subject};
use super::table::{self, Align, table};
use crate::units::{Overflow, add};
use serde::Serialize;

/// One line of `summary.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(
    missing_docs,
    reason = "the names are the documentation: each carries its unit, and ARCHITECTURE.md defines the terms"
)]
pub struct SummaryRow {
    pub run: String,
    pub profile: String,
    pub workload: String,
    pub candidate: String,
    pub batch: u64,
    pub weights: u64,
    pub kept: u64,
    pub weights_ratio: f64,
    pub bits_per_weight: Option<f64>,
    /// Weights and indices as the chosen engines hold them.
    pub stored_bits: u64,
    /// Size of the packed model's files; empty where no model was written.
    pub model_bytes: Option<u64>,
    pub macs: u64,
    pub macs_left: u64,
    pub cycles: u64,
    pub seconds: f64,
    pub energy_pj: f64,
    pub edp_pj_s: f64,
    pub not_modelled: String,
    pub accuracy_validation_pct: Option<f64>,
    pub accuracy_test_pct: Option<f64>,
    /// Percentage points of test accuracy below the run's dense candidate.
    pub drop_points: Option<f64>,
    pub accuracy_source: &'static str,
    pub seed: Option<u64>,
    pub version: &'static str,
    pub workload_sha256: String,
    pub profile_sha256: String,
}

/// The summary of one candidate on one profile from its layers' rows.
///
/// `bits_per_weight` is the mean width of a surviving weight, indices not counted; `dense_test_pct` the test
/// accuracy of the dense candidate.
///
/// # Errors
/// [`ReportError::Overflow`] when a column's sum does not fit.
pub fn summarise(
    subject: &Subject<'_>,
    rows: &[&LayerRow],
    bits_per_weight: Option<f64>,
    model_bytes: Option<u64>,
    dense_test_pct: Option<f64>,
) -> Result<SummaryRow, ReportError> {
    let sum = |column: &'static str, value: fn(&LayerRow) -> u64| {
        rows.iter()
            .try_fold(0, |total, row| add(total, value(row)))
            .map_err(|Overflow| ReportError::Overflow { column })
    };
    let (weights, kept) = (sum("weights", |r| r.weights)?, sum("kept", |r| r.kept)?);
    let seconds: f64 = rows.iter().map(|r| r.seconds).sum();
    let energy_pj: f64 = rows.iter().map(|r| r.energy_pj).sum();
    let test = subject.accuracy.test_pct();
    Ok(SummaryRow {
        run: subject.run.into(),
        profile: subject.profile.name.clone(),
        workload: subject.workload.name.clone(),
        candidate: subject.candidate.into(),
        batch: subject.batch,
        weights,
        kept,
        weights_ratio: weights as f64 / kept.max(1) as f64,
        bits_per_weight,
        stored_bits: add(
            sum("stored_weights_bits", |r| r.stored_weights_bits)?,
            sum("stored_indices_bits", |r| r.stored_indices_bits)?,
        )
        .map_err(|Overflow| ReportError::Overflow {
            column: "stored_bits",
        })?,
        model_bytes,
        macs: sum("macs", |r| r.macs)?,
        macs_left: sum("macs_left", |r| r.macs_left)?,
        cycles: sum("cycles", |r| r.cycles)?,
        seconds,
        energy_pj,
        edp_pj_s: energy_pj * seconds,
        not_modelled: missing(rows),
        accuracy_validation_pct: subject.accuracy.validation_pct(),
        accuracy_test_pct: test,
        drop_points: dense_test_pct.zip(test).map(|(dense, test)| dense - test),
        accuracy_source: subject.accuracy.source(),
        seed: subject.seed,
        version: env!("CARGO_PKG_VERSION"),
        workload_sha256: subject.workload.sha256.clone(),
        profile_sha256: subject.profile_input.sha256.clone(),
    })
}

/// Every energy component that some layer lacks, in order of first appearance.
fn missing(rows: &[&LayerRow]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in rows
        .iter()
        .flat_map(|r| r.not_modelled.split('+'))
        .filter(|n| !n.is_empty())
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join("+")
}

/// Candidates side by side on one profile.
#[must_use]
pub fn summary_table(rows: &[&SummaryRow]) -> String {
    let measured = rows.iter().any(|r| r.accuracy_test_pct.is_some());
    let mut columns = vec![
        ("candidate", Align::Left),
        ("weights", Align::Right),
        ("ratio", Align::Right),
        ("bits/w", Align::Right),
        ("KiB", Align::Right),
        ("MMACs", Align::Right),
        ("cycles", Align::Right),
        ("time us", Align::Right),
        ("energy uJ", Align::Right),
    ];
    if measured {
        columns.extend([("test %", Align::Right), ("drop", Align::Right)]);
    }
    let line = |r: &&SummaryRow| {
        let optional =
            |v: Option<f64>, digits: usize| v.map_or_else(|| "-".into(), |v| format!("{v:.digits$}"));
        let stored = r
            .model_bytes
            .map_or(r.stored_bits as f64 / 8192.0, |bytes| bytes as f64 / 1024.0);
        let mut cells = vec![
            r.candidate.clone(),
            table::count(r.kept),
            format!("{:.1}x", r.weights_ratio),
            optional(r.bits_per_weight, 2),
            table::number(stored),
            table::number(1e-6 * r.macs_left as f64),
            table::count(r.cycles),
            table::number(1e6 * r.seconds),
            table::number(1e-6 * r.energy_pj),
        ];
        if measured {
            cells.extend([optional(r.accuracy_test_pct, 2), optional(r.drop_points, 2)]);
        }
        cells
    };
    table(&columns, rows.iter().map(line))
}
