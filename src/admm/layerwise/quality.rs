//! How long the layer-wise solver looks.

use serde::{Deserialize, Serialize};

/// How fast ρ grows: slower finds better supports (ALGORITHMS §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// About 20 iterations: for large layers and first looks.
    Fast,
    /// The published schedule (ALPS, arXiv 2406.07831, §3.2), then exchanges of single weights where they are cheap.
    #[default]
    Default,
    /// About 200 iterations, then exchanges of single weights until none helps.
    Slow,
}

/// A schedule of ρ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RhoSchedule {
    /// ρ of the first iteration, in units of H's diagonal, which is scaled to 1.
    pub rho: f64,
    /// Factor on ρ after a check at which at least a tenth, at least 0.5 % and at least one of the kept weights moved.
    pub growth: [f64; 3],
    /// Iterations at most.
    pub iterations: u32,
    /// Restarts with a fifth of ρ when no weight moves at first.
    pub restarts: u32,
    /// Multiplications that exchanges of single weights may take afterwards.
    pub exchange: f64,
}

impl Quality {
    /// The schedule.
    #[must_use]
    pub fn schedule(self) -> RhoSchedule {
        let (rho, growth, exchange) = match self {
            Self::Fast => (0.3, [2.0, 1.6, 1.3], 0.0),
            Self::Default => (0.1, [1.3, 1.2, 1.1], 5e7),
            Self::Slow => (0.005, [1.10, 1.05, 1.03], 2e10),
        };
        RhoSchedule {
            rho,
            growth,
            iterations: 300,
            restarts: 6,
            exchange,
        }
    }
}
