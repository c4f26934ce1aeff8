//! N of every M weights along a row.

use super::bins::keep_largest;
use super::{TensorShape, Unstructured};
use crate::compression::{ConstraintSet, Mask};

/// The tensors with at most `keep` non-zeros in each group of `group` neighbours along a GEMM row, the order in which
/// the [encoding](crate::compression::encoding::Encoding::NM) and the engines group them, and at most `at_most` in all.
/// The group at the end of a row may be shorter: of t positions it keeps ⌈keep·t/group⌉ (Mishra et al., arXiv
/// 2104.08378; ALGORITHMS §4).
///
/// The projection keeps the largest magnitudes of every group, and of those the largest `at_most`; that is the nearest
/// point, since what a group may hold does not depend on other groups. Magnitudes and ties are those of
/// [`Unstructured`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NM {
    /// The tensor.
    pub shape: TensorShape,
    /// Weights kept of a group, N.
    pub keep: usize,
    /// Weights of a group, M; at least 1.
    pub group: usize,
    /// Weights kept of the tensor.
    pub at_most: usize,
}

/// The weights that N of M leaves of a tensor.
pub(super) fn most(shape: TensorShape, keep: usize, group: usize) -> usize {
    let (keep, group, cols) = (keep.min(group), group.max(1), shape.cols());
    shape.rows() * (cols / group * keep + (keep * (cols % group)).div_ceil(group))
}

impl ConstraintSet for NM {
    fn describe(&self) -> String {
        format!("{} of {}, keep {}", self.keep, self.group, self.at_most)
    }

    /// # Panics
    /// When the support has not the positions of the tensor, or not one per value.
    fn project(&self, values: &mut [f32], support: &Mask) {
        self.survivors(values, support).apply(values);
    }

    fn survivors(&self, values: &[f32], support: &Mask) -> Mask {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        assert_eq!(values.len(), self.shape.weights(), "the tensor of the set");
        let (cols, group) = (self.shape.cols(), self.group.max(1));
        let mut left = Mask::empty(support.rows(), support.cols());
        let mut alive = Vec::with_capacity(group);
        for row in 0..self.shape.rows() {
            for from in (0..cols).step_by(group) {
                let length = group.min(cols - from);
                let start = row * cols + from;
                alive.extend((start..start + length).filter(|&i| support.get(i)));
                let keep = (self.keep.min(group) * length).div_ceil(group);
                keep_largest(values, &mut alive, keep, &mut left);
            }
        }
        Unstructured { keep: self.at_most }.survivors(values, &left)
    }
}
