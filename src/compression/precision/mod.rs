//! How a surviving weight is stored. One file per precision; the list below is the only other place that
//! names it.

mod equal_interval;
mod interval_search;

pub use equal_interval::EqualInterval;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The precisions of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floating point.
    Float32,
    /// `bits` bits a weight: the levels ±q, ±2q, … ±2^(bits−1)·q; zero is not a level, it means pruned.
    EqualInterval {
        /// Bits of a code, 1 to 16.
        #[schemars(range(min = 1, max = 16))]
        bits: u8,
    },
}

impl Precision {
    /// Bits that one stored weight takes.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Float32 => 32,
            Self::EqualInterval { bits } => u32::from(bits),
        }
    }
}
