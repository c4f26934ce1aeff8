//! Where zeros may stand. One file per structure; [`Structure`] is the only other place that names it.

mod balanced;
mod bins;
mod block;
mod channel;
mod check;
mod column;
mod filter;
mod filter_shape;
mod form;
mod groups;
mod n_m;
mod partition;
mod pattern;
mod salient;
mod shape;
mod unstructured;

pub use balanced::Balanced;
pub use block::Block;
pub use channel::Channel;
pub use check::StructureError;
pub use column::Column;
pub use filter::Filter;
pub use filter_shape::FilterShape;
pub use groups::Grouping;
pub use n_m::NM;
pub use partition::{Partition, WholeGroups};
pub use pattern::Pattern;
pub use salient::Salient;
pub use shape::TensorShape;
pub use unstructured::Unstructured;

use super::ConstraintSet;
use serde::{Deserialize, Serialize};

/// The structures. Files write those without numbers as a word, `structure = "filter"`, the others as a table,
/// `structure = { kind = "block", rows = 4, cols = 4 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "form::Form", into = "form::Form")]
pub enum Structure {
    /// Any weight may be zero.
    Unstructured,
    /// Whole filters: rows of the GEMM matrix.
    Filter,
    /// Whole input channels.
    Channel,
    /// Whole columns of the GEMM matrix: the same channel and kernel position of every filter.
    Shape,
    /// Filters and columns together; the rest is a dense matrix.
    FilterShape {
        /// Filters kept; where it is left out, the portion of filters is the square root of the density.
        filters: Option<u32>,
    },
    /// Blocks of the GEMM matrix.
    Block {
        /// Rows of a block.
        rows: u32,
        /// Columns of a block.
        cols: u32,
    },
    /// Segments of rows inside chunks of columns.
    BlockRow {
        /// Columns of a chunk.
        cols: u32,
    },
    /// Segments of columns inside chunks of rows.
    BlockColumn {
        /// Rows of a chunk.
        rows: u32,
    },
    /// At most `keep` weights of each `group` neighbours along a GEMM row.
    NM {
        /// Weights kept of a group, N.
        keep: u32,
        /// Weights of a group, M, at most 64.
        group: u32,
    },
    /// Every kernel has one pattern of a library, and whole kernels may leave.
    Pattern {
        /// Positions of a pattern.
        entries: u32,
        /// Patterns of the library, which is fitted to the weights.
        library: u32,
    },
    /// The same number of weights for every output.
    BalancedRows,
    /// The same number of weights for every processing element; rows are dealt to them in turn.
    BalancedPes {
        /// Processing elements.
        pes: u32,
    },
}

impl Structure {
    /// The set of tensors of this shape and structure with at most `keep` weights left.
    ///
    /// A structure rounds to its own granularity: it keeps as many whole groups as fit into `keep` weights, at least one
    /// (balanced structures: one weight for each row or element). That is never more than asked for, except where a
    /// single group holds more. What stays can be fewer still, where a smaller support or zero weights leave no more.
    ///
    /// Where [`Structure::fits`] refuses, the set is that of the nearest structure which the tensor can hold.
    #[must_use]
    pub fn set(self, shape: TensorShape, keep: usize) -> Box<dyn ConstraintSet> {
        let block = |rows, cols| Box::new(Block::of(shape, rows, cols, keep));
        match self {
            Self::Unstructured => Box::new(Unstructured { keep }),
            Self::Filter => Box::new(Filter::of(shape, keep)),
            Self::Channel => Box::new(Channel::of(shape, keep)),
            Self::Shape => Box::new(Column::of(shape, keep)),
            Self::FilterShape { filters } => {
                Box::new(FilterShape::of(shape, filters.map(|f| f as usize), keep))
            }
            Self::Block { rows, cols } => block(rows as usize, cols as usize),
            Self::BlockRow { cols } => block(1, cols as usize),
            Self::BlockColumn { rows } => block(rows as usize, 1),
            Self::NM { keep: n, group } => Box::new(NM {
                shape,
                keep: n.max(1) as usize,
                group: group.max(1) as usize,
                at_most: keep,
            }),
            Self::Pattern { entries, library } => {
                Box::new(Pattern::of(shape, entries as usize, library as usize, keep))
            }
            Self::BalancedRows => Box::new(Balanced::of(shape, shape.rows(), keep)),
            Self::BalancedPes { pes } => Box::new(Balanced::of(shape, pes as usize, keep)),
        }
    }

    /// The weights that this structure leaves of a tensor at most.
    #[must_use]
    pub fn most(self, shape: TensorShape) -> usize {
        match self {
            Self::NM { keep, group } => n_m::most(shape, keep as usize, group as usize),
            Self::Pattern { entries, .. } => {
                shape.filters * shape.channels * shape.kernel_positions().min(entries as usize)
            }
            Self::FilterShape {
                filters: Some(filters),
            } => shape.rows().min(filters as usize) * shape.cols(),
            _ => shape.weights(),
        }
    }
}
