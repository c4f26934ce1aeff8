//! Whole filters: rows of the GEMM matrix.

use super::groups::whole_groups;
use super::{Grouping, TensorShape};

/// The tensors with at most `keep` filters that are not zero (METHODS §0; `StructADMM`, arXiv 1807.11091).
///
/// A filter that leaves takes its output channel along, so that the matrix stays dense.
///
/// ```
/// use cosparse::compression::structure::{Filter, TensorShape};
/// use cosparse::compression::{ConstraintSet, Mask};
/// let mut weights = [3.0, 0.0, 2.0, 2.5];
/// Filter { shape: TensorShape::matrix(2, 2), keep: 1 }.project(&mut weights, &Mask::full(2, 2));
/// assert_eq!(weights, [0.0, 0.0, 2.0, 2.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// The tensor.
    pub shape: TensorShape,
    /// Filters at most.
    pub keep: usize,
}

impl Filter {
    /// As many filters as fit into `keep` weights, at least one.
    #[must_use]
    pub fn of(shape: TensorShape, keep: usize) -> Self {
        Self {
            shape,
            keep: whole_groups(keep, shape.cols(), shape.filters),
        }
    }
}

impl Grouping for Filter {
    fn word(&self) -> String {
        "filter".into()
    }

    fn shape(&self) -> TensorShape {
        self.shape
    }

    fn groups(&self) -> usize {
        self.shape.filters
    }

    fn group_of(&self, index: usize) -> usize {
        index / self.shape.cols()
    }

    fn keep(&self) -> usize {
        self.keep
    }
}
