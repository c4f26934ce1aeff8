//! What the PEs of a contiguous partition hold of a mask, in every encoding.
//!
//! PE i holds positions floor(i·W/PEs) to floor((i + 1)·W/PEs), row-major. Every PE has its own index stream:
//!
//! | encoding | bits an entry | bits beside | cycles beside |
//! |---|---|---|---|
//! | bitmap | 0 | a bit per position | 0 |
//! | relative index | k | 0 | fillers take slots |
//! | CSR | ⌈log2 columns⌉ | a pointer per row that it touches, and one | one per row |
//! | CSC | ⌈log2 rows⌉ of the PE that touches most | a pointer per column that it touches, and one | one per column |
//! | coordinate | ⌈log2 rows⌉ + ⌈log2 columns⌉ | 0 | 0 |
//! | block map | 0 | a bit per block that it touches | zeros of blocks take slots |
//! | Golomb-Rice | 0 | the codes of its gaps, all with one parameter | 0 |
//!
//! Pointers hold the non-zeros of the fullest PE. One PE holds what a packed file holds, but for the flags that tell
//! levels from zeros; more PEs start their chains anew and share rows, columns and blocks.

use super::decoder::{Decoder, RICE_BITS, RiceBits, rice, width};
use super::entries::{SliceEntries, slice_entries, start};
use crate::compression::Mask;

/// What one PE holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Held {
    /// Its weights and fillers.
    pub(super) chain: SliceEntries,
    /// Stored zeros of its blocks: like weights they have a place, and are skipped with its input.
    pub(super) zeros: u64,
    /// Pointers that take a cycle each at every output position.
    pub(super) lines: u64,
    /// Index bits beside those of its entries.
    pub(super) beside: u64,
}

impl Held {
    pub(super) fn of_weights(nonzeros: u64) -> Self {
        Self {
            chain: SliceEntries { nonzeros, fillers: 0 },
            ..Self::default()
        }
    }

    /// Entries that take a slot if their input is active.
    pub(super) fn placed(self) -> u64 {
        self.chain.nonzeros + self.zeros
    }

    /// All entries.
    pub(super) fn entries(self) -> u64 {
        self.placed() + self.chain.fillers
    }
}

/// What all PEs hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Holding {
    /// Of each PE, with how many there are of it.
    pub(super) each: Vec<(Held, u64)>,
    /// Index bits of an entry.
    pub(super) entry_bits: u64,
    /// Index bits of the layer that no PE reads again.
    pub(super) once: u64,
}

/// What `pes` PEs hold of a mask; `stored` is [`Decoder::stored`] of it.
pub(super) fn holding(decoder: Decoder, mask: &Mask, stored: &Mask, pes: u64) -> Holding {
    let weights = mask.len() as u64;
    let mut each: Vec<Held> = slice_entries(stored, pes, decoder.span())
        .into_iter()
        .map(|chain| Held {
            chain,
            ..Held::default()
        })
        .collect();
    if let Decoder::Blocks { .. } = decoder {
        for (held, alive) in each.iter_mut().zip(slice_entries(mask, pes, 63)) {
            held.zeros = held.chain.nonzeros - alive.nonzeros;
            held.chain = alive;
        }
    }
    let mut once = 0;
    if decoder == Decoder::Rice {
        let mut bits = RiceBits::default();
        for_each_gap(mask, pes, |_, zeros| bits.add(zeros));
        let k = bits.best();
        for_each_gap(mask, pes, |pe, zeros| each[pe].beside += rice(zeros, k));
        once = if mask.count() > 0 { RICE_BITS } else { 0 };
    }
    let slice = |i: usize| Slice::new(i as u64, pes, weights, mask.cols() as u64);
    streams(decoder, mask.rows() as u64, &mut each, slice);
    Holding {
        entry_bits: entry_bits(decoder, mask.rows() as u64, mask.cols() as u64, pes),
        each: each.into_iter().map(|held| (held, 1)).collect(),
        once,
    }
}

/// What `pes` PEs hold of a layer without zeros.
pub(super) fn full(decoder: Decoder, rows: u64, cols: u64, pes: u64) -> Holding {
    let weights = rows * cols;
    if matches!(decoder, Decoder::None | Decoder::Bitmap | Decoder::Relative(_)) {
        // slices of two lengths, whatever their order
        let (short, longer) = (weights / pes, weights % pes);
        let held = |length: u64| Held {
            beside: if decoder == Decoder::Bitmap { length } else { 0 },
            ..Held::of_weights(length)
        };
        return Holding {
            each: vec![(held(short), pes - longer), (held(short + 1), longer)],
            entry_bits: entry_bits(decoder, rows, cols, pes),
            once: 0,
        };
    }
    let slice = |i: usize| Slice::new(i as u64, pes, weights, cols);
    let mut each: Vec<Held> = (0..pes as usize)
        .map(|i| {
            let length = slice(i).length();
            Held {
                // a gap of no zeros takes one bit
                beside: if decoder == Decoder::Rice { length } else { 0 },
                ..Held::of_weights(length)
            }
        })
        .collect();
    streams(decoder, rows, &mut each, slice);
    Holding {
        entry_bits: entry_bits(decoder, rows, cols, pes),
        each: each.into_iter().map(|held| (held, 1)).collect(),
        once: if decoder == Decoder::Rice { RICE_BITS } else { 0 },
    }
}

/// Fills in what lies beside the entries, but for codes of gaps.
fn streams(decoder: Decoder, rows: u64, each: &mut [Held], slice: impl Fn(usize) -> Slice) {
    let pointer = width(each.iter().map(|h| h.chain.nonzeros).max().unwrap_or(0) + 1);
    for (i, held) in each.iter_mut().enumerate() {
        let slice = slice(i);
        held.lines = slice.lines(decoder);
        held.beside += match decoder {
            Decoder::Bitmap => slice.length(),
            Decoder::Csr | Decoder::Csc if held.lines > 0 => (held.lines + 1) * pointer,
            Decoder::Blocks {
                rows: high,
                cols: wide,
            } => slice.blocks(high.min(rows), wide),
            _ => 0,
        };
    }
}

/// Index bits that each entry carries.
pub(super) fn entry_bits(decoder: Decoder, rows: u64, cols: u64, pes: u64) -> u64 {
    match decoder {
        Decoder::Relative(bits) => bits.into(),
        Decoder::Csr => width(cols),
        Decoder::Csc => {
            let touched = |i| Slice::new(i, pes, rows * cols, cols).rows();
            // no slice touches more rows than its length can, wherever it starts
            let most = (rows * cols).div_ceil(pes).div_ceil(cols.max(1)) + 1;
            let mut found = 0;
            for i in 0..pes.min(rows * cols) {
                found = touched(i).max(found);
                if found == most.min(rows) {
                    break;
                }
            }
            width(found)
        }
        Decoder::Coordinate => width(rows) + width(cols),
        Decoder::None | Decoder::Bitmap | Decoder::Blocks { .. } | Decoder::Rice => 0,
    }
}

/// Calls `visit` with the PE of each position alive and the zeros since the one before on its PE, in order.
fn for_each_gap(mask: &Mask, pes: u64, mut visit: impl FnMut(usize, u64)) {
    let weights = mask.len() as u64;
    let (mut pe, mut next) = (0u64, 0u64);
    for at in mask.ones() {
        let at = at as u64;
        while start(pe + 1, pes, weights) <= at {
            pe += 1;
            next = start(pe, pes, weights);
        }
        visit(pe as usize, at - next);
        next = at + 1;
    }
}

/// A run of row-major positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    from: u64,
    to: u64,
    cols: u64,
}

impl Slice {
    pub(super) fn new(i: u64, pes: u64, weights: u64, cols: u64) -> Self {
        Self {
            from: start(i, pes, weights),
            to: start(i + 1, pes, weights),
            cols: cols.max(1),
        }
    }

    pub(super) fn length(self) -> u64 {
        self.to - self.from
    }

    /// Rows that it touches.
    fn rows(self) -> u64 {
        if self.to > self.from {
            (self.to - 1) / self.cols - self.from / self.cols + 1
        } else {
            0
        }
    }

    /// Lines whose pointers are read.
    pub(super) fn lines(self, decoder: Decoder) -> u64 {
        match decoder {
            Decoder::Csr => self.rows(),
            Decoder::Csc => self.length().min(self.cols),
            _ => 0,
        }
    }

    /// Blocks of `high` x `wide` that it touches.
    pub(super) fn blocks(self, high: u64, wide: u64) -> u64 {
        if self.to == self.from {
            return 0;
        }
        let (high, last) = (high.max(1), (self.cols - 1) / wide);
        let (first_row, last_row) = (self.from / self.cols, (self.to - 1) / self.cols);
        // the first block of the row it starts in, the last one of the row it ends in
        let begin = |row| {
            if row == first_row {
                self.from % self.cols / wide
            } else {
                0
            }
        };
        let end = |row| {
            if row == last_row {
                (self.to - 1) % self.cols / wide
            } else {
                last
            }
        };
        let mut found = 0;
        for block in first_row / high..=last_row / high {
            let (upper, lower) = (first_row.max(block * high), last_row.min(block * high + high - 1));
            found += match lower - upper {
                0 => end(upper) - begin(upper) + 1,
                1 if end(lower) + 1 < begin(upper) => end(lower) + 1 + last - begin(upper) + 1,
                _ => last + 1,
            };
        }
        found
    }
}
