//! Schedules of the solver.

use crate::training::{FitOptions, Loss};

/// One ADMM run.
#[derive(Debug, Clone, PartialEq)]
pub struct AdmmOptions {
    /// Iterations (W, Z, U steps).
    pub iterations: u32,
    /// The W-step: epochs, optimiser, learning rates of one iteration.
    pub w_step: FitOptions,
    /// ρ of the first iteration.
    pub rho: f32,
    /// Factor on ρ after each iteration; U is divided by it, so that ρU, the multiplier, stays.
    pub rho_growth: f32,
    /// ρ never exceeds this.
    pub rho_max: f32,
}

impl AdmmOptions {
    /// The portion of all epochs that ADMM takes when retraining follows: what progress is measured in.
    pub(super) fn share(&self, retrain: &FitOptions) -> f64 {
        let epochs = f64::from(self.iterations) * self.w_step.epochs;
        let total = epochs + retrain.epochs;
        if total > 0.0 { epochs / total } else { 1.0 }
    }
}

/// ADMM onto sparsity sets, then masked retraining.
#[derive(Debug, Clone, PartialEq)]
pub struct PruneOptions {
    /// The ADMM run.
    pub admm: AdmmOptions,
    /// Training of the survivors; no epochs means none.
    pub retrain: FitOptions,
}

/// ADMM onto levels, then training of what is not on levels (biases).
#[derive(Debug, Clone, PartialEq)]
pub struct QuantiseOptions {
    /// The ADMM run.
    pub admm: AdmmOptions,
    /// Training of the biases with the levels frozen.
    pub retrain: FitOptions,
}

impl AdmmOptions {
    /// The same schedule with another loss.
    #[must_use]
    pub fn with_loss(mut self, loss: Loss) -> Self {
        self.w_step.loss = loss;
        self
    }
}
