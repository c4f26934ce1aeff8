//! Shapes: columns of the GEMM matrix.

use super::groups::whole_groups;
use super::{Grouping, TensorShape};

/// The tensors with at most `keep` GEMM columns that are not zero: all filters read the same positions (channel, kernel
/// row, kernel column), which is a common shape of theirs (METHODS §0; `StructADMM`, arXiv 1807.11091).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The tensor.
    pub shape: TensorShape,
    /// Columns at most.
    pub keep: usize,
}

impl Column {
    /// As many columns as fit into `keep` weights, at least one.
    #[must_use]
    pub fn of(shape: TensorShape, keep: usize) -> Self {
        Self {
            shape,
            keep: whole_groups(keep, shape.filters, shape.cols()),
        }
    }
}

impl Grouping for Column {
    fn word(&self) -> String {
        "shape".into()
    }

    fn shape(&self) -> TensorShape {
        self.shape
    }

    fn groups(&self) -> usize {
        self.shape.cols()
    }

    fn group_of(&self, index: usize) -> usize {
        index % self.shape.cols()
    }

    fn keep(&self) -> usize {
        self.keep
    }
}
