//! Blocks along the diagonal of an array.
//!
//! An array that holds one operand and adds along its rows can work on several groups at once: block i takes rows
//! i·floor(h/n) and columns i·floor(w/n) onwards, n blocks in all, and what it holds outside of its block is zero. The
//! operands of a block then pass the columns of the others, and its sums their rows, where zeros add nothing. A block
//! is a group, or a part of a group's output positions with a copy of its weights. No part of the array is added: a
//! place without a weight is zero today too, where a layer is smaller than the array.

use crate::network::LoopNest;
use crate::simulate::spatial::{Room, Spatial};
use crate::units::{Overflow, add, product};

/// The blocks of a split.
#[derive(Debug, Clone, Copy)]
pub(super) struct Diagonal {
    groups: u64,
    split: Spatial,
}

impl Diagonal {
    pub(super) const fn new(nest: &LoopNest, split: Spatial) -> Self {
        Self {
            groups: nest.g,
            split,
        }
    }

    /// The splits of an array of `rows` × `cols`: groups, and output positions if `copies`.
    pub(super) fn room(nest: &LoopNest, rows: u64, cols: u64, copies: bool) -> Room {
        Room {
            most: Spatial {
                groups: nest.g,
                positions: if copies { nest.gemm().m } else { 1 },
                columns: 1,
            },
            blocks: rows.min(cols).max(1),
        }
    }

    /// Packs of groups, one after another.
    pub(super) const fn packs(&self) -> u64 {
        self.groups.div_ceil(self.split.groups)
    }

    /// Rows or columns of a block in an array of `extent`.
    pub(super) const fn share(&self, extent: u64) -> u64 {
        extent / self.split.blocks()
    }

    /// Copies of a group's weights that have some of its `time` steps to work on.
    pub(super) const fn copies(&self, time: u64) -> u64 {
        time.div_ceil(time.div_ceil(self.split.positions))
    }

    /// Hops of moving operands over the blocks before their own: `words` operands a time step enter each block, for
    /// `time` steps of a group, and a block has `cols` columns.
    pub(super) fn passing(&self, words: u64, time: u64, cols: u64) -> Result<u64, Overflow> {
        let Spatial {
            groups, positions, ..
        } = self.split;
        if self.split.blocks() == 1 {
            return Ok(0);
        }
        // block g·r + q carries copy q of group g: the sum of block numbers over time steps
        let part = time.div_ceil(positions);
        let (whole, rest) = (time / part, time % part);
        let copies = add(
            product(&[part, whole, whole.saturating_sub(1)])? / 2,
            product(&[rest, whole])?,
        )?;
        let pack = |groups: u64| -> Result<u64, Overflow> {
            let before = product(&[groups, groups.saturating_sub(1)])? / 2;
            add(product(&[positions, time, before])?, product(&[groups, copies])?)
        };
        let blocks = add(
            product(&[self.groups / groups, pack(groups)?])?,
            pack(self.groups % groups)?,
        )?;
        product(&[blocks, words, cols])
    }
}
