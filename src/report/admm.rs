//! `admm.csv`: residuals, ρ and the accuracy at the cut, per iteration and layer.

use super::error::ReportError;
use super::word::word;
use crate::admm::Record;
use serde::Serialize;

/// One layer at the end of one ADMM iteration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdmmRow {
    /// The run.
    pub run: String,
    /// The step of the run, as `size-3`.
    pub step: String,
    /// `prune` or `levels`.
    pub phase: String,
    /// Iteration, from 1.
    pub iteration: u32,
    /// The layer.
    pub layer: String,
    /// The layer's set.
    pub set: String,
    /// Penalty ρ.
    pub rho: f64,
    /// ‖W − Z‖ (primal residual).
    pub primal_residual: f64,
    /// ρ·‖Z − Z₋₁‖ (dual residual).
    pub dual_residual: f64,
    /// Non-zeros of Z.
    pub kept: u64,
    /// Validation accuracy with W projected onto its sets and not retrained, in per cent.
    pub accuracy_at_cut_pct: f64,
}

/// The rows of a run's records, in their order.
///
/// # Errors
/// [`ReportError::NotFinite`] for a residual that is not a number: it has no place in a report.
pub fn admm_rows(run: &str, records: &[Record]) -> Result<Vec<AdmmRow>, ReportError> {
    let row = |r: &Record| {
        if ![r.rho, r.primal, r.dual, r.accuracy_at_cut_pct]
            .iter()
            .all(|v| v.is_finite())
        {
            return Err(ReportError::NotFinite {
                what: format!(
                    "step `{}`, iteration {}, layer `{}`",
                    r.step, r.iteration, r.layer
                ),
            });
        }
        Ok(AdmmRow {
            run: run.into(),
            step: r.step.clone(),
            phase: word(&r.phase),
            iteration: r.iteration,
            layer: r.layer.clone(),
            set: r.set.clone(),
            rho: r.rho,
            primal_residual: r.primal,
            dual_residual: r.dual,
            kept: r.kept as u64,
            accuracy_at_cut_pct: r.accuracy_at_cut_pct,
        })
    };
    records.iter().map(row).collect()
}
