//! Few non-zeros and levels at once.

use super::Levels;
use crate::compression::{ConstraintSet, Mask};

/// The tensors with at most `keep` non-zeros, all of them on levels.
///
/// Keeping a weight v at its level r gains v² − (v − r)² over pruning it, whatever happens to the others; the exact
/// projection keeps the largest gains, as long as they are gains, and rounds. Equal gains go to the lower index; a NaN
/// ranks highest and stays. For float32 this is the projection onto the largest magnitudes.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseLevels {
    /// Non-zeros at most.
    pub keep: usize,
    /// The levels of those that stay.
    pub levels: Levels,
}

impl SparseLevels {
    /// Gain of keeping a value, NaN above all.
    fn gain(&self, row: usize, value: f32) -> f64 {
        if value.is_nan() {
            return f64::INFINITY;
        }
        let (v, level) = (f64::from(value), f64::from(self.levels.nearest(row, value)));
        if value.is_infinite() {
            return f64::MAX;
        }
        // v² − (v − r)², without the cancellation
        level * (2.0 * v - level)
    }
}

impl ConstraintSet for SparseLevels {
    /// The levels of those that the projection keeps, fitted to them anew.
    fn refitted(&self, values: &[f32], support: &Mask) -> Option<Box<dyn ConstraintSet>> {
        let kept = self.survivors(values, support);
        Some(Box::new(Self {
            keep: self.keep,
            levels: self.levels.refit(values, &kept),
        }))
    }

    fn describe(&self) -> String {
        format!("keep {}; {}", self.keep, self.levels.describe())
    }

    /// # Panics
    /// When there is not one value per position of the support.
    fn project(&self, values: &mut [f32], support: &Mask) {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        let cols = support.cols().max(1);
        let mut gains: Vec<(f64, usize)> = support
            .ones()
            .map(|i| (self.gain(i / cols, values[i]), i))
            .filter(|(gain, _)| *gain > 0.0)
            .collect();
        if gains.len() > self.keep {
            let order = |a: &(f64, usize), b: &(f64, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            gains.select_nth_unstable_by(self.keep, order);
            gains.truncate(self.keep);
        }
        let mut kept = Mask::empty(support.rows(), support.cols());
        for &(_, i) in &gains {
            kept.set(i, true);
        }
        self.levels.project(values, &kept);
    }
}
