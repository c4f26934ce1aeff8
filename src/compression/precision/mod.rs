//! How a surviving weight is stored. One file per grid of levels; `Precision` below names them, [`Levels`] fits them.

mod codebook;
mod equal_interval;
mod grid;
mod interval_search;
mod joint;
mod levels;
mod power_of_two;
mod ternary;

pub use equal_interval::EqualInterval;
pub use joint::SparseLevels;
pub use levels::{Levels, LevelsError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many scales a layer's levels have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// One for the whole tensor.
    #[default]
    PerTensor,
    /// One for each output channel: a row of the GEMM matrix.
    PerChannel,
}

impl Scale {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_per_tensor(&self) -> bool {
        *self == Self::PerTensor
    }
}

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
        /// One interval q for the tensor, or one for each output channel.
        #[serde(default, skip_serializing_if = "Scale::is_per_tensor")]
        scale: Scale,
    },
    /// `bits` bits a weight: the levels ±α, ±2α, ±4α, … ±2^(2^(bits−1)−1)·α.
    PowerOfTwo {
        /// Bits of a code, 1 to 6.
        #[schemars(range(min = 1, max = 6))]
        bits: u8,
        /// One α for the tensor, or one for each output channel.
        #[serde(default, skip_serializing_if = "Scale::is_per_tensor")]
        scale: Scale,
    },
    /// One bit a weight: ±α.
    Binary {
        /// One α for the tensor, or one for each output channel.
        #[serde(default, skip_serializing_if = "Scale::is_per_tensor")]
        scale: Scale,
    },
    /// −α, 0 or α: small weights are pruned too, the others store their sign.
    Ternary {
        /// One α for the tensor, or one for each output channel.
        #[serde(default, skip_serializing_if = "Scale::is_per_tensor")]
        scale: Scale,
    },
    /// `bits` bits a weight: the number of its value in a table of at most 2^bits values.
    Codebook {
        /// Bits of a code, 1 to 8.
        #[schemars(range(min = 1, max = 8))]
        bits: u8,
    },
}

impl Precision {
    /// Equal-interval levels of `bits` bits with one interval for the tensor.
    #[must_use]
    pub const fn equal_interval(bits: u8) -> Self {
        Self::EqualInterval {
            bits,
            scale: Scale::PerTensor,
        }
    }

    /// Bits that one stored weight takes.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Float32 => 32,
            Self::EqualInterval { bits, .. } | Self::PowerOfTwo { bits, .. } | Self::Codebook { bits } => {
                u32::from(bits)
            }
            Self::Binary { .. } | Self::Ternary { .. } => 1,
        }
    }

    /// The most bits that a code of this kind may have; the least is 1. `None` where they cannot be chosen.
    #[must_use]
    pub fn most_bits(self) -> Option<u8> {
        match self {
            Self::Float32 | Self::Binary { .. } | Self::Ternary { .. } => None,
            Self::EqualInterval { .. } => Some(16),
            // 32 powers of two span nine decades
            Self::PowerOfTwo { .. } => Some(6),
            Self::Codebook { .. } => Some(8),
        }
    }

    /// Whether the bits lie in their range.
    #[must_use]
    pub fn has_valid_bits(self) -> bool {
        self.most_bits()
            .is_none_or(|most| (1..=u32::from(most)).contains(&self.bits()))
    }

    /// How many scales the levels have; `None` for precisions without.
    #[must_use]
    pub fn scale(self) -> Option<Scale> {
        match self {
            Self::Float32 | Self::Codebook { .. } => None,
            Self::EqualInterval { scale, .. }
            | Self::PowerOfTwo { scale, .. }
            | Self::Binary { scale }
            | Self::Ternary { scale } => Some(scale),
        }
    }
}
