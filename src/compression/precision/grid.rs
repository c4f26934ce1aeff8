//! A row of levels that are multiples of one scale: what equal-interval, power-of-two, binary and ternary share.

use super::equal_interval::EqualInterval;
use super::{interval_search, power_of_two, ternary};
use crate::compression::precision::Precision;

/// Levels ±s·m₀, ±s·m₁, … with fixed multiples m and a scale s to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grid {
    /// Multiples 1, 2, 3, … 2^(bits−1).
    Linear { bits: u8 },
    /// Multiples 1, 2, 4, … 2^(2^(bits−1)−1).
    PowerOfTwo { bits: u8 },
    /// The multiple 1, and zero.
    Ternary,
}

impl Grid {
    /// The grid of a precision, if it has one.
    pub(super) fn of(precision: Precision) -> Option<Self> {
        match precision {
            Precision::Float32 | Precision::Codebook { .. } => None,
            Precision::EqualInterval { bits, .. } => Some(Self::Linear {
                bits: bits.clamp(1, 16),
            }),
            Precision::PowerOfTwo { bits, .. } => Some(Self::PowerOfTwo {
                bits: bits.clamp(1, 6),
            }),
            Precision::Binary { .. } => Some(Self::Linear { bits: 1 }),
            Precision::Ternary { .. } => Some(Self::Ternary),
        }
    }

    /// Magnitudes beside zero; also the sign's bit in a code.
    pub(super) fn magnitudes(self) -> u32 {
        match self {
            Self::Linear { bits } | Self::PowerOfTwo { bits } => 1 << (bits - 1),
            Self::Ternary => 1,
        }
    }

    /// The multiple of a magnitude, counted from 0.
    pub(super) fn multiple(self, index: u32) -> f32 {
        match self {
            Self::Linear { .. } => (index + 1) as f32,
            Self::PowerOfTwo { .. } => (1u64 << index) as f32,
            Self::Ternary => 1.0,
        }
    }

    /// The magnitude nearest to a value at a scale; the larger of two as near; `None` for zero.
    pub(super) fn nearest(self, value: f32, scale: f32) -> Option<u32> {
        match self {
            Self::Linear { bits } => {
                let levels = EqualInterval {
                    bits,
                    interval: scale,
                };
                Some(levels.level(value).unsigned_abs() - 1)
            }
            Self::PowerOfTwo { .. } => {
                let steps = f64::from(value.abs()) / f64::from(scale);
                Some(power_of_two::nearest(steps).min(self.magnitudes() - 1))
            }
            // NaN counts as a level, as it does elsewhere
            Self::Ternary => {
                let small = f64::from(value.abs()) < 0.5 * f64::from(scale);
                (!small).then_some(0)
            }
        }
    }

    /// The scale of least squared error for magnitudes that are finite and not negative; `None` without any.
    pub(super) fn fit(self, magnitudes: Vec<f32>) -> Option<f64> {
        match self {
            Self::Linear { .. } => interval_search::best_interval(magnitudes, self.magnitudes()),
            Self::PowerOfTwo { .. } => power_of_two::best_scale(magnitudes, self.magnitudes()),
            Self::Ternary => ternary::best_scale(magnitudes),
        }
    }
}
