//! The encodings that PEs read. What one means for a PE is a line in each method here; [`super::held`] counts what
//! contiguous slices hold of it, [`super::interleaved`] what the PEs of a column do.

use crate::compression::Mask;
use crate::compression::encoding::{Encoding, index_width};
use crate::hardware::{Partition, Slices};
use std::borrow::Cow;

/// What the decoder of a PE reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// Nothing: every weight is visited.
    None,
    /// A bit per position; no fillers.
    Bitmap,
    /// A run length of so many bits per entry.
    Relative(u32),
    /// The column of each entry, and a pointer per row.
    Csr,
    /// The row of each entry, and a pointer per column.
    Csc,
    /// The row and the column of each entry.
    Coordinate,
    /// A bit per block; all positions of a block with a weight are entries.
    Blocks { rows: u64, cols: u64 },
    /// The gap before each entry in Golomb-Rice code.
    Rice,
}

impl Decoder {
    /// The decoder of an engine, or why it has none.
    pub(super) fn of(slices: &Slices) -> Result<Self, &'static str> {
        let interleaved = slices.partition == Partition::RowInterleaved;
        let Some(encoding) = slices.index else {
            return Ok(Self::None);
        };
        encoding.check().map_err(
            |_| "has an encoding whose parameters are out of range; `cosparse profile check` names them",
        )?;
        match encoding {
            Encoding::Dense => Ok(Self::None),
            Encoding::Bitmap => Ok(Self::Bitmap),
            Encoding::RelativeIndex { bits } => Ok(Self::Relative(bits.into())),
            Encoding::Csr if interleaved => {
                Err("is asked for one column at a time, which rows in `csr` cannot answer; use `csc`")
            }
            Encoding::Csr => Ok(Self::Csr),
            Encoding::Csc => Ok(Self::Csc),
            Encoding::Coordinate if interleaved && slices.skip_zero_activations => Err(
                "skips columns, and `coordinate` has no pointer to a column; use `csc`, or do not skip zero activations",
            ),
            Encoding::Coordinate => Ok(Self::Coordinate),
            Encoding::BlockMap { rows, cols } => Ok(Self::Blocks {
                rows: rows.into(),
                cols: cols.into(),
            }),
            Encoding::GolombRice => Ok(Self::Rice),
            Encoding::NM { .. } => Err("has no slots for N of M; give the engine the kind `structured`"),
        }
    }

    /// log2 of the largest gap that one entry spans; 63 where any gap does.
    pub(super) fn span(self) -> u32 {
        match self {
            Self::Relative(bits) => bits,
            _ => 63,
        }
    }

    /// The positions that are entries: those alive, or all of the blocks that hold one.
    pub(super) fn stored(self, mask: &Mask) -> Cow<'_, Mask> {
        let Self::Blocks { rows, cols } = self else {
            return Cow::Borrowed(mask);
        };
        let (high, wide) = (mask.rows() as u64, mask.cols() as u64);
        let (mut stored, mut last) = (Mask::empty(mask.rows(), mask.cols()), None);
        for at in mask.ones() {
            let (row, col) = (at as u64 / wide / rows * rows, at as u64 % wide / cols * cols);
            if last.replace((row, col)) == Some((row, col)) {
                continue;
            }
            for r in row..high.min(row + rows) {
                for c in col..wide.min(col + cols) {
                    stored.set((r * wide + c) as usize, true);
                }
            }
        }
        Cow::Owned(stored)
    }
}

/// Bits that tell so many things apart.
pub(super) fn width(count: u64) -> u64 {
    u64::from(index_width(usize::try_from(count).unwrap_or(usize::MAX / 2)))
}

/// Bits that hold the parameter of Golomb-Rice code, and its number of values.
pub(super) const RICE_BITS: u64 = 5;

/// The bits of gaps in Golomb-Rice code under each parameter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RiceBits {
    gaps: u64,
    /// Σ gap / 2^k.
    quotients: [u64; 1 << RICE_BITS],
}

impl RiceBits {
    /// One more gap, of so many zeros.
    pub(super) fn add(&mut self, zeros: u64) {
        self.gaps += 1;
        let mut quotient = zeros;
        for sum in &mut self.quotients {
            if quotient == 0 {
                break;
            }
            *sum += quotient;
            quotient >>= 1;
        }
    }

    /// The parameter that makes the code shortest, the lower among equals.
    pub(super) fn best(&self) -> u32 {
        (0..1 << RICE_BITS)
            .min_by_key(|&k| self.quotients[k as usize] + self.gaps * (1 + u64::from(k)))
            .unwrap_or(0)
    }
}

/// The bits of one gap.
pub(super) fn rice(zeros: u64, k: u32) -> u64 {
    (zeros >> k) + 1 + u64::from(k)
}
