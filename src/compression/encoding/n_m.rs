//! N of every M: each group of M along a row has N slots of a value and its place in the group, ⌈log2 M⌉ bits
//! (Mishra et al., arXiv 2104.08378, §3). A row's last group may be shorter; it has no more slots than positions.
//!
//! A slot without a weight comes last in its group and is zero. Levels have no zero: in a layer with such slots all
//! slots are one bit wider and hold code + 1, or 0 for none.

use super::{
    BitReader, BitWriter, Coder, DecodeError, EncodeError, Layout, Random, Size, has_zero, index_width,
};
use crate::compression::Mask;

/// N slots for every M positions.
pub(super) struct NM {
    pub(super) keep: u32,
    pub(super) group: u32,
}

impl NM {
    fn slots(&self, rows: usize, cols: usize) -> usize {
        let (keep, group) = (self.keep as usize, self.group as usize);
        rows * (cols / group * keep + (cols % group).min(keep))
    }

    /// The ranges of positions of all groups.
    fn groups(&self, rows: usize, cols: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let group = self.group as usize;
        (0..rows).flat_map(move |row| {
            (0..cols)
                .step_by(group)
                .map(move |at| row * cols + at..row * cols + (at + group).min(cols))
        })
    }

    fn wide(&self, rows: usize, cols: usize, non_zeros: usize, value_bits: u32) -> u32 {
        u32::from(non_zeros < self.slots(rows, cols) && !has_zero(value_bits))
    }
}

impl Coder for NM {
    fn check(&self) -> Result<(), EncodeError> {
        if self.keep >= 1 && self.keep <= self.group && self.group <= 65_536 {
            Ok(())
        } else {
            Err(EncodeError::Parameter(
                "N of M needs 1 <= `keep` <= `group` <= 65536",
            ))
        }
    }

    fn fits(&self, mask: &Mask) -> Result<(), EncodeError> {
        for range in self.groups(mask.rows(), mask.cols()) {
            let (position, kept) = (range.start, mask.count_in(range));
            if kept > self.keep as usize {
                return Err(EncodeError::Group {
                    row: position / mask.cols(),
                    col: position % mask.cols(),
                    kept,
                    keep: self.keep,
                    group: self.group,
                });
            }
        }
        Ok(())
    }

    fn size(&self, mask: &Mask, value_bits: u32) -> Size {
        let entries = self.slots(mask.rows(), mask.cols()) as u64;
        let wide = self.wide(mask.rows(), mask.cols(), mask.count(), value_bits);
        Size {
            values_bits: entries * u64::from(value_bits),
            index_bits: entries * u64::from(wide + index_width(self.group as usize)),
            entries,
        }
    }

    /// All slots, if the density is that of the structure or less; a random mask rarely fits, so that this is the mean
    /// over masks of the structure.
    fn expected_bits(&self, random: Random) -> f64 {
        let slots = self.slots(random.rows, random.cols) as f64;
        let (keep, group) = (f64::from(self.keep), f64::from(self.group));
        if random.density * group > keep {
            return f64::INFINITY;
        }
        let full = random.density * group >= keep;
        let wide = u32::from(!full && !has_zero(random.value_bits));
        slots * f64::from(random.value_bits + wide + index_width(self.group as usize))
    }

    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32) {
        let wide = self.wide(mask.rows(), mask.cols(), codes.len(), value_bits);
        let mut codes = codes.iter();
        for range in self.groups(mask.rows(), mask.cols()) {
            let mut left = range.len().min(self.keep as usize);
            for i in range.clone().filter(|&i| mask.get(i)) {
                out.write(codes.next().map_or(0, |code| code + wide), value_bits + wide);
                out.write_wide(i - range.start, index_width(self.group as usize));
                left -= 1;
            }
            for _ in 0..left {
                out.write(0, value_bits + wide);
                out.write(0, index_width(self.group as usize));
            }
        }
    }

    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let (rows, cols) = (layout.rows, layout.cols);
        let wide = self.wide(rows, cols, layout.non_zeros, layout.value_bits);
        let with_empty = wide == 1 || has_zero(layout.value_bits);
        let mut placed = Vec::with_capacity(layout.non_zeros);
        for range in self.groups(rows, cols) {
            let (mut next, mut ended) = (0, false);
            for _ in 0..range.len().min(self.keep as usize) {
                let slot = input
                    .read(layout.value_bits + wide)
                    .ok_or(DecodeError::Truncated)?;
                let place = input
                    .read_wide(index_width(self.group as usize))
                    .ok_or(DecodeError::Truncated)?;
                if with_empty && slot == 0 {
                    ended = true;
                    if place != 0 {
                        return Err(DecodeError::Corrupt("an empty slot has a place"));
                    }
                    continue;
                }
                if ended || place < next || place >= range.len() {
                    return Err(DecodeError::Corrupt("a slot is out of order or range"));
                }
                if slot - wide > u32::MAX >> (32 - layout.value_bits) {
                    return Err(DecodeError::Corrupt("a slot holds no code"));
                }
                next = place + 1;
                placed.push((range.start + place, slot - wide));
            }
        }
        Ok(super::in_place(rows, cols, placed))
    }

    fn tag(&self) -> Vec<u8> {
        super::pair_tag(5, self.keep, self.group)
    }

    fn from_tag(tag: u8, next: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
        let (keep, group) = super::pair_from_tag(5, tag, next)?;
        Some(Self { keep, group }).filter(|found| found.check().is_ok())
    }

    fn tried() -> Vec<Self> {
        [(1, 2), (1, 4), (2, 4), (2, 8), (4, 8)]
            .map(|(keep, group)| Self { keep, group })
            .into()
    }
}
