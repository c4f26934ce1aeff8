//! One line of `admm.csv`.

use serde::{Deserialize, Serialize};

/// What a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Sparsity sets.
    Prune,
    /// Precision sets on the survivors.
    Levels,
    /// A reweighted penalty on groups.
    Reweight,
    /// A penalty that rises on the groups over the budget.
    Dynamic,
}

/// One layer at the end of one ADMM iteration, or of one round of a penalty: there Z is the weights with the groups cut
/// away that would leave now, and ρ the penalty's parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The step of the run, as `size-3`.
    pub step: String,
    /// Sparsity or levels.
    pub phase: Phase,
    /// Iteration, from 1.
    pub iteration: u32,
    /// The layer.
    pub layer: String,
    /// The layer's set.
    pub set: String,
    /// Penalty ρ of this iteration.
    pub rho: f64,
    /// ‖W − Z‖ after the iteration's Z-step (primal residual).
    pub primal: f64,
    /// `ρ·‖Z − Z_prev‖` (dual residual).
    pub dual: f64,
    /// Non-zeros of Z.
    pub kept: usize,
    /// Validation accuracy with W projected onto the sets, not retrained, in per cent.
    pub accuracy_at_cut_pct: f64,
}
