//! Kernel patterns: every kernel keeps its weights at the positions of one of a few patterns.

use super::TensorShape;
use super::groups::{heaviest, whole_groups};
use super::unstructured::magnitude;
use crate::compression::{ConstraintSet, Mask};
use std::collections::BTreeMap;

/// Positions of the largest kernel that patterns are found for.
pub(super) const MOST_POSITIONS: usize = 128;

/// The tensors whose kernels are each zero outside one pattern of a library, and of which at most `kernels` are not
/// zero at all (connectivity). Patterns have `entries` positions: 4 of a 3 × 3 kernel, as `PatDNN` chooses them
/// (Niu et al., ASPLOS 2020, arXiv 2001.00138).
///
/// The projection gives each kernel the pattern that holds most of its sum of squares, then keeps the kernels that hold
/// most; of equals the pattern that stands first in the library, and the kernel of lower index.
///
/// An empty library is fitted to the values before they are projected: the `library` patterns that most kernels would
/// choose freely; of equals those that hold more, then those of earlier positions. ADMM fits it once and keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The tensor.
    pub shape: TensorShape,
    /// Positions of a pattern, at least 1.
    pub entries: usize,
    /// Patterns of a library that is fitted, at least 1.
    pub library: usize,
    /// Patterns as bits of kernel positions, the first position lowest; empty while not fitted.
    pub patterns: Vec<u128>,
    /// Kernels at most.
    pub kernels: usize,
}

impl Pattern {
    /// A library to be fitted, and as many kernels as fit into `keep` weights, at least one.
    #[must_use]
    pub fn of(shape: TensorShape, entries: usize, library: usize, keep: usize) -> Self {
        let entries = entries.clamp(1, shape.kernel_positions().clamp(1, MOST_POSITIONS));
        Self {
            shape,
            entries,
            library: library.max(1),
            patterns: Vec::new(),
            kernels: whole_groups(keep, entries, shape.filters * shape.channels),
        }
    }

    /// The same set with its library fitted to the values.
    #[must_use]
    pub fn fitted(&self, values: &[f32], support: &Mask) -> Self {
        let positions = self.shape.kernel_positions();
        let mut found: BTreeMap<u128, (usize, f64)> = BTreeMap::new();
        let mut order: Vec<usize> = Vec::with_capacity(positions);
        for start in (0..values.len()).step_by(positions.max(1)) {
            order.clear();
            order.extend((0..positions.min(MOST_POSITIONS)).filter(|&p| support.get(start + p)));
            if order.iter().all(|&p| values[start + p] == 0.0) {
                continue;
            }
            let size = |p: usize| magnitude(values[start + p]);
            order.sort_unstable_by(|&a, &b| size(b).cmp(&size(a)).then(a.cmp(&b)));
            order.truncate(self.entries);
            let bits = order.iter().fold(0, |bits, &p| bits | 1u128 << p);
            let (count, held) = found.entry(bits).or_default();
            *count += 1;
            *held += order
                .iter()
                .map(|&p| f64::from(values[start + p]).powi(2))
                .sum::<f64>();
        }
        let mut ranked: Vec<(u128, (usize, f64))> = found.into_iter().collect();
        ranked.sort_by(|(a, (a_count, a_held)), (b, (b_count, b_held))| {
            let by_use = b_count.cmp(a_count).then(b_held.total_cmp(a_held));
            by_use.then(a.cmp(b))
        });
        Self {
            patterns: ranked
                .into_iter()
                .take(self.library)
                .map(|(bits, _)| bits)
                .collect(),
            ..self.clone()
        }
    }
}

/// The positions of a pattern.
fn positions_of(pattern: u128, positions: usize) -> impl Iterator<Item = usize> {
    (0..positions.min(MOST_POSITIONS)).filter(move |p| pattern >> p & 1 == 1)
}

impl ConstraintSet for Pattern {
    fn describe(&self) -> String {
        let patterns = if self.patterns.is_empty() {
            self.library
        } else {
            self.patterns.len()
        };
        format!(
            "{patterns} patterns of {}, keep {} kernels",
            self.entries, self.kernels
        )
    }

    /// # Panics
    /// When the support has not the positions of the tensor, or not one per value.
    fn project(&self, values: &mut [f32], support: &Mask) {
        self.survivors(values, support).apply(values);
    }

    fn survivors(&self, values: &[f32], support: &Mask) -> Mask {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        assert_eq!(values.len(), self.shape.weights(), "the tensor of the set");
        if self.patterns.is_empty() {
            let fitted = self.fitted(values, support);
            return if fitted.patterns.is_empty() {
                Mask::empty(support.rows(), support.cols())
            } else {
                fitted.survivors(values, support)
            };
        }
        let positions = self.shape.kernel_positions();
        let kernels = self.shape.filters * self.shape.channels;
        let mut choices = Vec::with_capacity(kernels);
        let mut held = Vec::with_capacity(kernels);
        for kernel in 0..kernels {
            let square = |p: usize| {
                let i = kernel * positions + p;
                if support.get(i) {
                    f64::from(values[i]).powi(2)
                } else {
                    0.0
                }
            };
            let mut best = (0, 0.0f64);
            for (choice, &pattern) in self.patterns.iter().enumerate() {
                let sum: f64 = positions_of(pattern, positions).map(square).sum();
                if sum.abs().total_cmp(&best.1).is_gt() {
                    best = (choice, sum.abs());
                }
            }
            choices.push(self.patterns[best.0]);
            held.push(best.1);
        }
        let stays = heaviest(&held, self.kernels);
        let mut left = Mask::empty(support.rows(), support.cols());
        for kernel in (0..kernels).filter(|&k| stays[k]) {
            for p in positions_of(choices[kernel], positions) {
                let i = kernel * positions + p;
                if support.get(i) {
                    left.set(i, true);
                }
            }
        }
        left
    }

    fn refitted(&self, values: &[f32], support: &Mask) -> Option<Box<dyn ConstraintSet>> {
        let fitted = self.patterns.is_empty().then(|| self.fitted(values, support))?;
        (!fitted.patterns.is_empty()).then(|| Box::new(fitted) as Box<dyn ConstraintSet>)
    }
}
