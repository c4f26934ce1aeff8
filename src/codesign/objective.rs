//! What is minimised.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a recipe is chosen for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Stored bits of weights and indices, each layer in its smallest encoding.
    Size,
    /// Multiply-accumulates that are left.
    Computation,
    /// Simulated energy.
    Energy,
    /// Simulated time.
    Latency,
    /// Energy times time.
    Edp,
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Computation => "computation",
            Self::Energy => "energy",
            Self::Latency => "latency",
            Self::Edp => "edp",
        })
    }
}
