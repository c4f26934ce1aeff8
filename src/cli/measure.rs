//! What the engines of an accelerator are compared by.

use crate::simulate::Pick;
use clap::ValueEnum;

/// A measure on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Measure {
    /// Time
    Latency,
    /// Energy
    Energy,
    /// Energy times time
    Edp,
}

impl Measure {
    pub(super) fn pick(self) -> Pick {
        match self {
            Self::Latency => Pick::Latency,
            Self::Energy => Pick::Energy,
            Self::Edp => Pick::EnergyDelay,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Energy => "energy",
            Self::Edp => "edp",
        }
    }
}
