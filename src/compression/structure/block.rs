//! Rectangular blocks of the GEMM matrix; with one row or one column, the segments of transformers.

use super::groups::whole_groups;
use super::{Grouping, TensorShape};

/// The tensors with at most `keep` blocks of `rows × cols` that are not zero.
///
/// Blocks start at the matrix' first row and column; those at its far edges may be smaller and count as whole ones. A
/// block of one row is a segment of a row inside one chunk of columns, a block of one column a segment of a column
/// inside one chunk of rows: the groups of block-structured pruning for transformers (arXiv 2009.08065; METHODS §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The tensor.
    pub shape: TensorShape,
    /// Rows of a block, at least 1.
    pub rows: usize,
    /// Columns of a block, at least 1.
    pub cols: usize,
    /// Blocks at most.
    pub keep: usize,
}

impl Block {
    /// As many blocks as fit into `keep` weights, at least one. A block is no larger than the matrix.
    #[must_use]
    pub fn of(shape: TensorShape, rows: usize, cols: usize, keep: usize) -> Self {
        let rows = rows.clamp(1, shape.rows().max(1));
        let cols = cols.clamp(1, shape.cols().max(1));
        let blocks = shape.rows().div_ceil(rows) * shape.cols().div_ceil(cols);
        // with every weight asked for, the small blocks at the edges stay too
        let keep = if keep >= shape.weights() {
            blocks
        } else {
            whole_groups(keep, rows * cols, blocks)
        };
        Self {
            shape,
            rows,
            cols,
            keep,
        }
    }

    fn across(&self) -> usize {
        self.shape.cols().div_ceil(self.cols)
    }
}

impl Grouping for Block {
    fn word(&self) -> String {
        format!("block {} x {}", self.rows, self.cols)
    }

    fn shape(&self) -> TensorShape {
        self.shape
    }

    fn groups(&self) -> usize {
        self.shape.rows().div_ceil(self.rows) * self.across()
    }

    fn group_of(&self, index: usize) -> usize {
        let (row, col) = (index / self.shape.cols(), index % self.shape.cols());
        row / self.rows * self.across() + col / self.cols
    }

    fn keep(&self) -> usize {
        self.keep
    }
}
