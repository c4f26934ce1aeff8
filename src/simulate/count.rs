//! Exact arithmetic on counts: wide inside, checked on the way out.

use crate::units::Overflow;

/// A wide count as `u64`, or [`Overflow`].
pub(super) fn fit(wide: u128) -> Result<u64, Overflow> {
    u64::try_from(wide).map_err(|_| Overflow)
}

/// An expected count, rounded up, or [`Overflow`] past 2^63.
pub(super) fn round_up(expected: f64) -> Result<u64, Overflow> {
    let up = expected.ceil();
    if (0.0..9.2e18).contains(&up) {
        Ok(up as u64)
    } else {
        Err(Overflow)
    }
}

/// A portion in [0, 1] as a multiple of 2^-32, so that counts taken from it are the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion(u64);

impl Portion {
    /// The nearest multiple of 2^-32, and at least one of them for a portion above zero.
    pub(super) fn new(value: f64) -> Self {
        let scaled = (value * 4_294_967_296.0).round() as u64;
        Self(scaled.clamp(u64::from(value > 0.0), 1 << 32))
    }

    /// `floor(count * portion)` of a count below 2^95.
    pub(super) fn of(self, count: u128) -> u128 {
        (count * u128::from(self.0)) >> 32
    }

    /// `ceil(count * portion)` of a count below 2^95: elements alive in the evenly spread pattern.
    pub(super) fn of_up(self, count: u128) -> u128 {
        (count * u128::from(self.0)).div_ceil(1 << 32)
    }

    /// Whether element `index` is alive in the evenly spread pattern of this portion: element 0 is, and of the
    /// first n elements `ceil(n * portion)` are.
    pub(super) fn alive(self, index: u64) -> bool {
        let before = u128::from(index) * u128::from(self.0);
        (before + u128::from(self.0)).div_ceil(1 << 32) > before.div_ceil(1 << 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_spread_thirds() {
        let third = Portion::new(1.0 / 3.0);
        let alive: Vec<u64> = (0..9).filter(|&i| third.alive(i)).collect();
        // ceil(n/3) of the first n: 1 of 1, 1 of 3, 2 of 4
        assert_eq!(alive, [0, 3, 6]);
        assert!((0..100).all(|i| Portion::new(1.0).alive(i)));
        assert!((0..100).all(|i| !Portion::new(0.0).alive(i)));
    }

    #[test]
    fn rounding_refuses_what_is_no_count() {
        assert_eq!(round_up(2.1), Ok(3));
        assert!(round_up(f64::NAN).is_err() && round_up(1e19).is_err() && round_up(-2.0).is_err());
    }
}
