//! The simulator: what a layer costs on a profile. No I/O, no random state, nothing of training.
//!
//! Two models, one answer: `analytic` needs only a density, `cycle` takes the real mask and is exact. The tick
//! model that steps every PE every cycle lives beside the tests and is the law.

mod cost;
mod work;

pub use cost::{Causes, EnergyBreakdown, LayerCost, StoredBits, Traffic};
pub use work::{LayerWork, Weights};
