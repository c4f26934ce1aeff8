//! Equal-interval levels.

use super::interval_search;
use crate::compression::{ConstraintSet, Mask};
use rayon::prelude::*;

/// The levels ±q, ±2q, … ±2^(bits−1)·q (METHODS §0; ADMM-NN, arXiv 1812.11677, §3 and Fig. 3). Zero is not a
/// level: it means pruned. One bit leaves ±q, the binary case.
///
/// A value half way between two levels goes to the larger magnitude; zero and NaN count as level +1.
///
/// ```
/// use cosparse::compression::precision::EqualInterval;
/// let set = EqualInterval { bits: 3, interval: 0.5 };
/// assert_eq!([-2.1, 1.2, 0.0, 9.0].map(|v| set.level(v)), [-4, 2, 1, 4]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EqualInterval {
    /// Bits of a code, 1 to 16; values outside are taken as the nearest of these.
    pub bits: u8,
    /// The interval q, positive and finite.
    pub interval: f32,
}

/// Values per partial sum. The sums are added in order, so they do not depend on the number of threads.
const CHUNK: usize = 1 << 16;

impl EqualInterval {
    /// The interval that minimises the squared error over the survivors, to a part in 10⁶ of the root error
    /// (see `interval_search` for the bound). Values that are not finite take no part.
    ///
    /// Without survivors the interval is 1; when all are zero it is the smallest normal number, since then every
    /// smaller interval is better.
    ///
    /// # Panics
    /// When there is not one value per position of the support.
    #[must_use]
    pub fn fit(values: &[f32], support: &Mask, bits: u8) -> Self {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        let magnitudes = support
            .ones()
            .map(|i| values[i].abs())
            .filter(|v| v.is_finite())
            .collect();
        let fitted = Self { bits, interval: 1.0 };
        Self {
            interval: interval_search::best_interval(magnitudes, fitted.top()).map_or(1.0, storable),
            ..fitted
        }
    }

    /// The interval of least squared error with every survivor's level as it is now: q = ⟨v, l⟩ / ⟨l, l⟩. The
    /// interval stays when there is nothing to fit. Never raises the error.
    ///
    /// # Panics
    /// When there is not one value per position of the support.
    #[must_use]
    pub fn refit(self, values: &[f32], support: &Mask) -> Self {
        let (dot, norm) = self.over_survivors(values, support, |v, level| (v * level, level * level));
        let interval = if dot > 0.0 {
            storable(dot / norm)
        } else {
            self.interval
        };
        Self { interval, ..self }
    }

    /// Σ (v − level(v)·q)² over the finite survivors.
    ///
    /// # Panics
    /// When there is not one value per position of the support.
    #[must_use]
    pub fn squared_error(self, values: &[f32], support: &Mask) -> f64 {
        let q = f64::from(self.interval);
        self.over_survivors(values, support, |v, level| ((v - level * q).powi(2), 0.0))
            .0
    }

    /// Sums two terms of (|v|, |level|) over the finite survivors.
    fn over_survivors(
        self,
        values: &[f32],
        support: &Mask,
        term: impl Fn(f64, f64) -> (f64, f64) + Sync,
    ) -> (f64, f64) {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        let sum = |(a, b): (f64, f64), (c, d): (f64, f64)| (a + c, b + d);
        let chunk = |(values, words): (&[f32], &[u64])| {
            let blocks = values.chunks(64).zip(words);
            blocks.fold((0.0, 0.0), |acc, (block, &word)| {
                let alive = block
                    .iter()
                    .enumerate()
                    .filter(|(bit, v)| word >> bit & 1 == 1 && v.is_finite());
                alive.fold(acc, |acc, (_, &v)| {
                    sum(acc, term(f64::from(v.abs()), f64::from(self.magnitude_level(v))))
                })
            })
        };
        let parts: Vec<(f64, f64)> = values
            .par_chunks(CHUNK)
            .zip(support.words().par_chunks(CHUNK / 64))
            .map(chunk)
            .collect();
        parts.into_iter().fold((0.0, 0.0), sum)
    }

    /// The largest level, 2^(bits−1).
    #[must_use]
    pub fn top(self) -> u32 {
        1 << (self.bits.clamp(1, 16) - 1)
    }

    fn magnitude_level(self, value: f32) -> i32 {
        // two f32 divide in f64 without crossing a half: a quotient below 2^16 is either k + 1/2 exactly or
        // 2^-41 of itself away from it
        let steps = f64::from(value.abs()) / f64::from(self.interval);
        (steps + 0.5).max(1.0).min(f64::from(self.top())) as i32
    }

    /// The signed level of a value: never 0, magnitude at most 2^(bits−1).
    #[must_use]
    pub fn level(self, value: f32) -> i32 {
        let magnitude = self.magnitude_level(value);
        if value < 0.0 { -magnitude } else { magnitude }
    }

    /// The value of a level.
    #[must_use]
    pub fn value(self, level: i32) -> f32 {
        level as f32 * self.interval
    }

    /// The stored code of a value's level, `bits` bits wide: the sign above, magnitude − 1 below.
    #[must_use]
    pub fn code(self, value: f32) -> u32 {
        let level = self.level(value);
        let magnitude = level.unsigned_abs() - 1;
        if level < 0 {
            magnitude | self.top()
        } else {
            magnitude
        }
    }

    /// The value of a stored code; bits above the code's width are ignored.
    #[must_use]
    pub fn decode(self, code: u32) -> f32 {
        let level = ((code & (self.top() - 1)) + 1).cast_signed();
        self.value(if code & self.top() == 0 { level } else { -level })
    }
}

/// An interval as stored: positive and finite.
fn storable(interval: f64) -> f32 {
    (interval as f32).clamp(f32::MIN_POSITIVE, f32::MAX)
}

impl ConstraintSet for EqualInterval {
    fn refitted(&self, values: &[f32], support: &Mask) -> Option<Box<dyn ConstraintSet>> {
        Some(Box::new((*self).refit(values, support)))
    }

    fn describe(&self) -> String {
        format!("equal-interval, {} bit, q = {}", self.bits, self.interval)
    }

    /// A NaN of the support stays NaN: a diverged weight must not turn into a plausible level.
    ///
    /// # Panics
    /// When there is not one value per position of the support.
    fn project(&self, values: &mut [f32], support: &Mask) {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        let chunk = |(values, words): (&mut [f32], &[u64])| {
            for (block, &word) in values.chunks_mut(64).zip(words) {
                for (bit, v) in block.iter_mut().enumerate() {
                    if word >> bit & 1 == 0 {
                        *v = 0.0;
                    } else if !v.is_nan() {
                        *v = self.value(self.level(*v));
                    }
                }
            }
        };
        values
            .par_chunks_mut(CHUNK)
            .zip(support.words().par_chunks(CHUNK / 64))
            .for_each(chunk);
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // the values compared are copied or exact, never computed
mod tests {
    use super::*;

    #[test]
    fn codes_cover_every_level_once() {
        for bits in 1..=6u8 {
            let set = EqualInterval { bits, interval: 0.25 };
            let mut levels: Vec<i32> = (0..1 << bits).map(|code| set.level(set.decode(code))).collect();
            assert!((0..1u32 << bits).all(|code| set.code(set.decode(code)) == code));
            levels.sort_unstable();
            let top = set.top().cast_signed();
            assert_eq!(levels, (-top..=top).filter(|&l| l != 0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_bit_fits_the_mean_magnitude() {
        let values = [1.0, -2.0, 4.0, 100.0, -1.0];
        let mut support = Mask::full(1, 5);
        support.set(3, false);
        assert_eq!(EqualInterval::fit(&values, &support, 1).interval, 2.0);
    }

    #[test]
    fn nothing_to_fit_gives_a_usable_interval() {
        let values = [0.0, f32::NAN, f32::INFINITY, -0.0];
        let full = Mask::full(2, 2);
        assert_eq!(EqualInterval::fit(&values, &full, 4).interval, f32::MIN_POSITIVE);
        assert_eq!(EqualInterval::fit(&values, &Mask::empty(2, 2), 4).interval, 1.0);
        let set = EqualInterval {
            bits: 4,
            interval: 0.5,
        };
        assert_eq!(set.refit(&values, &full), set);
        let mut projected = values;
        set.project(&mut projected, &full);
        assert!(projected[1].is_nan());
        assert_eq!([projected[0], projected[2], projected[3]], [0.5, 4.0, 0.5]);
    }

    #[test]
    fn half_way_goes_to_the_larger_magnitude() {
        let set = EqualInterval {
            bits: 3,
            interval: 0.1,
        };
        let half = 1.5f64 * f64::from(0.1f32);
        let below = (half as f32).next_down();
        assert_eq!(
            EqualInterval {
                bits: 3,
                interval: 0.5
            }
            .level(-0.75),
            -2
        );
        assert_eq!(set.level(below), 1);
    }
}
