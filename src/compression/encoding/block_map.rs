//! A bitmap of the blocks of `rows` x `cols` positions that hold a weight, row-major; then all values of each such
//! block, row-major in the block. Blocks at the edges are cut off there.
//!
//! A zero in a block is stored. Levels have no zero: where one is stored, all slots are one bit wider and hold
//! code + 1, or 0 for a zero.

use super::{BitReader, BitWriter, Coder, DecodeError, EncodeError, Layout, Random, Size, has_zero};
use crate::compression::Mask;

/// A bitmap of blocks.
pub(super) struct BlockMap {
    pub(super) rows: u32,
    pub(super) cols: u32,
}

impl BlockMap {
    /// The first row and column of each block.
    fn blocks(&self, rows: usize, cols: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (high, wide) = (self.rows as usize, self.cols as usize);
        (0..rows)
            .step_by(high)
            .flat_map(move |row| (0..cols).step_by(wide).map(move |col| (row, col)))
    }

    /// The positions of a block.
    fn positions(
        &self,
        (row, col): (usize, usize),
        rows: usize,
        cols: usize,
    ) -> impl Iterator<Item = usize> + use<> {
        let (below, right) = (
            (row + self.rows as usize).min(rows),
            (col + self.cols as usize).min(cols),
        );
        (row..below).flat_map(move |r| (col..right).map(move |c| r * cols + c))
    }

    fn live(&self, mask: &Mask) -> Vec<bool> {
        self.blocks(mask.rows(), mask.cols())
            .map(|at| self.positions(at, mask.rows(), mask.cols()).any(|i| mask.get(i)))
            .collect()
    }

    fn entries(&self, live: &[bool], rows: usize, cols: usize) -> usize {
        self.blocks(rows, cols)
            .zip(live)
            .filter(|(_, live)| **live)
            .map(|((row, col), _)| {
                (rows - row).min(self.rows as usize) * (cols - col).min(self.cols as usize)
            })
            .sum()
    }
}

impl Coder for BlockMap {
    fn check(&self) -> Result<(), EncodeError> {
        if (1..=65_536).contains(&self.rows) && (1..=65_536).contains(&self.cols) {
            Ok(())
        } else {
            Err(EncodeError::Parameter("a block has 1 to 65536 `rows` and `cols`"))
        }
    }

    fn size(&self, mask: &Mask, value_bits: u32) -> Size {
        let live = self.live(mask);
        let entries = self.entries(&live, mask.rows(), mask.cols());
        let wide = entries > mask.count() && !has_zero(value_bits);
        Size {
            values_bits: entries as u64 * u64::from(value_bits),
            index_bits: live.len() as u64 + entries as u64 * u64::from(wide),
            entries: entries as u64,
        }
    }

    fn expected_bits(&self, random: Random) -> f64 {
        let p = 1.0 - random.density;
        // blocks along one dimension: (length, how many)
        let parts = |size: u32, whole: usize| {
            let size = size as usize;
            [
                (size, whole / size),
                (whole % size, usize::from(!whole.is_multiple_of(size))),
            ]
        };
        let (mut blocks, mut slots) = (0.0, 0.0);
        for (high, down) in parts(self.rows, random.rows) {
            for (wide, across) in parts(self.cols, random.cols) {
                let (count, positions) = (down as f64 * across as f64, high as f64 * wide as f64);
                blocks += count;
                slots += count * positions * (1.0 - p.powf(positions));
            }
        }
        let slot = if self.rows == 1 && self.cols == 1 {
            f64::from(random.value_bits)
        } else {
            random.wide_slot()
        };
        blocks + slots * slot
    }

    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32) {
        let (rows, cols) = (mask.rows(), mask.cols());
        let live = self.live(mask);
        let wide = u32::from(self.entries(&live, rows, cols) > codes.len() && !has_zero(value_bits));
        let mut slots = vec![0; mask.len()];
        for (i, code) in mask.ones().zip(codes) {
            slots[i] = code + wide;
        }
        for &live in &live {
            out.write(live.into(), 1);
        }
        for (at, _) in self.blocks(rows, cols).zip(&live).filter(|(_, live)| **live) {
            for i in self.positions(at, rows, cols) {
                out.write(slots[i], value_bits + wide);
            }
        }
    }

    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let (rows, cols) = (layout.rows, layout.cols);
        let mut live = Vec::new();
        for _ in self.blocks(rows, cols) {
            live.push(input.read(1).ok_or(DecodeError::Truncated)? == 1);
        }
        let wide =
            u32::from(self.entries(&live, rows, cols) > layout.non_zeros && !has_zero(layout.value_bits));
        let mut placed = Vec::with_capacity(layout.non_zeros);
        for (at, _) in self.blocks(rows, cols).zip(&live).filter(|(_, live)| **live) {
            let before = placed.len();
            for i in self.positions(at, rows, cols) {
                let slot = input
                    .read(layout.value_bits + wide)
                    .ok_or(DecodeError::Truncated)?;
                if slot == 0 && (wide == 1 || has_zero(layout.value_bits)) {
                    continue;
                }
                if slot - wide > u32::MAX >> (32 - layout.value_bits) {
                    return Err(DecodeError::Corrupt("a slot holds no code"));
                }
                placed.push((i, slot - wide));
            }
            if placed.len() == before {
                return Err(DecodeError::Corrupt("a stored block is empty"));
            }
        }
        Ok(super::in_place(rows, cols, placed))
    }

    fn tag(&self) -> Vec<u8> {
        super::pair_tag(6, self.rows, self.cols)
    }

    fn from_tag(tag: u8, next: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
        let (rows, cols) = super::pair_from_tag(6, tag, next)?;
        Some(Self { rows, cols }).filter(|found| found.check().is_ok())
    }

    fn tried() -> Vec<Self> {
        [(1, 4), (4, 1), (2, 2), (4, 4), (8, 8), (16, 16)]
            .map(|(rows, cols)| Self { rows, cols })
            .into()
    }
}
