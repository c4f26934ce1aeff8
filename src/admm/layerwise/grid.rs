//! The levels of one output.

/// `scale`·k for whole k: with `zero`, |k| ≤ 2^(bits−1) − 1 (ALGORITHMS §3); without, 1 ≤ |k| ≤ 2^(bits−1), the codes
/// of [`crate::compression::precision::EqualInterval`], where zero means pruned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Bits of a code, 1 to 16; values outside are taken as the nearest of these.
    pub bits: u8,
    /// The distance of two levels.
    pub scale: f64,
    /// Whether 0 is a level.
    pub zero: bool,
}

/// Scales that the search tries, from 0.3 to 1 of the largest weight over the largest level.
const SCALES: usize = 29;

impl Grid {
    /// The largest k.
    #[must_use]
    pub fn top(self) -> f64 {
        let half = f64::from(1u32 << (self.bits.clamp(1, 16) - 1));
        if self.zero { (half - 1.0).max(1.0) } else { half }
    }

    /// The k of the nearest level; halves go to the larger magnitude.
    #[must_use]
    pub fn code(self, value: f64) -> f64 {
        let least = if self.zero { 0.0 } else { 1.0 };
        let magnitude = (value.abs() / self.scale + 0.5).floor().clamp(least, self.top());
        if value < 0.0 { -magnitude } else { magnitude }
    }

    /// The nearest level.
    #[must_use]
    pub fn round(self, value: f64) -> f64 {
        self.code(value) * self.scale
    }

    /// The grid of least squared error among 29 scales. 1 where there is nothing but zeros.
    #[must_use]
    pub fn fit(values: &(impl Iterator<Item = f64> + Clone), bits: u8, zero: bool) -> Self {
        let mut grid = Self {
            bits,
            scale: 1.0,
            zero,
        };
        let largest = values.clone().fold(0.0f64, |top, v| top.max(v.abs()));
        if largest <= 0.0 {
            return grid;
        }
        let mut least = f64::INFINITY;
        let mut scale = largest / grid.top();
        for i in 0..SCALES {
            // stored as f32: the levels are those that a file can hold
            grid.scale = storable((0.3 + 0.7 * i as f64 / (SCALES - 1) as f64) * largest / grid.top());
            let error: f64 = values.clone().map(|v| (v - grid.round(v)).powi(2)).sum();
            if error < least {
                (least, scale) = (error, grid.scale);
            }
        }
        Self { scale, ..grid }
    }
}

/// The nearest scale that is a positive number in single precision.
pub(super) fn storable(scale: f64) -> f64 {
    f64::from((scale as f32).clamp(f32::MIN_POSITIVE, f32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_hand() {
        let with = Grid {
            bits: 3,
            scale: 0.5,
            zero: true,
        };
        assert_eq!(
            [-9.0, -0.75, -0.2, 0.25, 0.7].map(|v| with.code(v)),
            [-3.0, -2.0, 0.0, 1.0, 1.0]
        );
        let without = Grid { zero: false, ..with };
        assert_eq!(
            [-9.0, -0.2, 0.0, 0.8].map(|v| without.code(v)),
            [-4.0, -1.0, 1.0, 2.0]
        );
    }

    #[test]
    fn exact_levels_are_found() {
        let values = [0.75, -0.5, 0.25, 0.0];
        let grid = Grid::fit(&values.iter().copied(), 3, true);
        assert_eq!(values.map(|v| grid.round(v)), values);
        assert_eq!(Grid::fit(&[0.0].iter().copied(), 3, true).scale, 1.0);
    }
}
