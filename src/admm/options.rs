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
    pub(super) fn share(&self, retrain: &Retrain) -> f64 {
        retrain.share_after(f64::from(self.iterations) * self.w_step.epochs)
    }
}

/// Training after a cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retrain {
    /// The training; no epochs means none.
    pub fit: FitOptions,
    /// The last portion of the steps whose weights are averaged into the result, 0 to 1; 0 takes the last weights.
    pub average: f32,
}

impl Retrain {
    /// The portion of all epochs that what goes before takes: what progress is measured in.
    pub(super) fn share_after(&self, epochs: f64) -> f64 {
        let total = epochs + self.fit.epochs;
        if total > 0.0 { epochs / total } else { 1.0 }
    }
}

impl From<FitOptions> for Retrain {
    fn from(fit: FitOptions) -> Self {
        Self { fit, average: 0.0 }
    }
}

/// ADMM onto sparsity sets, then masked retraining.
#[derive(Debug, Clone, PartialEq)]
pub struct PruneOptions {
    /// The ADMM run.
    pub admm: AdmmOptions,
    /// Training of the survivors.
    pub retrain: Retrain,
}

/// How weights go onto their levels after ADMM.
#[derive(Debug, Clone, PartialEq)]
pub enum Snapping {
    /// All at once.
    AtOnce,
    /// In steps: those nearest to a level are put on it and frozen, the others train on, until at the end all that are
    /// left are put on levels (METHODS §4; arXiv 1811.01907).
    Incremental {
        /// The portion of the survivors on levels after each step, ascending, each in (0, 1].
        portions: Vec<f64>,
        /// Training of the others after each step.
        train: FitOptions,
    },
}

/// ADMM onto levels, then training of what is not on levels (biases).
#[derive(Debug, Clone, PartialEq)]
pub struct QuantiseOptions {
    /// The ADMM run.
    pub admm: AdmmOptions,
    /// Training through the levels after it, if any: forward and backward with weights on levels, updates on the values
    /// behind them.
    pub through: Option<FitOptions>,
    /// How weights go onto their levels after it.
    pub snapping: Snapping,
    /// Training of the biases, and of the entries of codebooks, with the levels frozen.
    pub retrain: Retrain,
}

impl QuantiseOptions {
    /// The portions of all epochs that ADMM, training through levels, snapping in steps and retraining take.
    pub(super) fn shares(&self) -> [f64; 4] {
        let snapping = match &self.snapping {
            Snapping::AtOnce => 0.0,
            Snapping::Incremental { portions, train } => portions.len() as f64 * train.epochs,
        };
        let epochs = [
            f64::from(self.admm.iterations) * self.admm.w_step.epochs,
            self.through.map_or(0.0, |t| t.epochs),
            snapping,
            self.retrain.fit.epochs,
        ];
        let total: f64 = epochs.iter().sum();
        if total > 0.0 {
            epochs.map(|e| e / total)
        } else {
            [1.0, 0.0, 0.0, 0.0]
        }
    }
}

impl AdmmOptions {
    /// The same schedule with another loss.
    #[must_use]
    pub fn with_loss(mut self, loss: Loss) -> Self {
        self.w_step.loss = loss;
        self
    }
}
