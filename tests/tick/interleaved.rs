//! Columns broadcast into the queues of PEs that each own every so-many-th row.

use super::contiguous::Ticked;
use super::encoder::{bits_for, encode, gaps, rice_code, stored};
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{Slices, Synchronisation};
use std::collections::VecDeque;

#[derive(Default)]
struct Pe {
    /// Columns queued: the entries still to start and the index bits still to decode of each. The slot is held until
    /// the column is finished.
    queue: VecDeque<(usize, usize)>,
    /// Cycles left of the slot that was started in the first column.
    busy: u32,
}

/// The rows of one group that run at a time.
pub(crate) struct Rows<'a> {
    /// `alive[row][column]`.
    pub(crate) alive: &'a [Vec<bool>],
    /// The same with the zeros of stored blocks.
    pub(crate) kept: &'a [Vec<bool>],
    /// The parameter of Golomb-Rice codes.
    pub(crate) k: usize,
    /// Rows of a PE in the layer's largest block.
    pub(crate) own: usize,
}

/// One matrix-vector product, the columns in `active` broadcast in order. Adds what it did to `ticked`.
pub(crate) fn product(slices: &Slices, rows: &Rows, active: &[usize], ticked: &mut Ticked) {
    let pes = slices.pes as usize;
    let capacity = match slices.synchronisation {
        Synchronisation::Barrier | Synchronisation::Fifo { depth: 0 } => 1,
        Synchronisation::Fifo { depth } => depth as usize,
    };
    let mut waiting: VecDeque<usize> = active.iter().copied().collect();
    let mut list: Vec<Pe> = (0..pes).map(|_| Pe::default()).collect();
    while !waiting.is_empty() || list.iter().any(|pe| !pe.queue.is_empty()) {
        if list.iter().all(|pe| pe.queue.len() < capacity)
            && let Some(column) = waiting.pop_front()
        {
            for (p, pe) in list.iter_mut().enumerate() {
                let (entries, useful, bits) = part(slices, rows, p, column);
                ticked.useful += useful as u64;
                ticked.taken += entries as u64;
                ticked.index_read += bits as u64;
                let decode = if slices.decode_bits_per_cycle.is_some() {
                    bits
                } else {
                    0
                };
                pe.queue.push_back((entries, decode));
            }
        }
        for pe in &mut list {
            let Some((left, bits)) = pe.queue.front_mut() else {
                continue;
            };
            *bits = bits.saturating_sub(slices.decode_bits_per_cycle.unwrap_or(0) as usize);
            if pe.busy == 0 && *left > 0 {
                *left = left.saturating_sub(slices.macs_per_pe as usize);
                pe.busy = slices.cycles_per_entry;
            }
            // an empty column passes in this one cycle
            pe.busy = pe.busy.saturating_sub(1);
            if pe.busy == 0 && *left == 0 && *bits == 0 {
                pe.queue.pop_front();
            }
        }
        ticked.cycles += 1;
    }
}

/// The part of a column that PE `p` holds, as its own chain: entries, weights among them, index bits.
pub(crate) fn part(slices: &Slices, rows: &Rows, p: usize, column: usize) -> (usize, usize, usize) {
    let of = |rows: &[Vec<bool>]| -> Vec<bool> {
        let own = rows.iter().skip(p).step_by(slices.pes as usize);
        own.map(|row| row[column]).collect()
    };
    let (alive, kept) = (of(rows.alive), of(rows.kept));
    let weights = alive.iter().filter(|&&w| w).count();
    let cols = rows.alive[0].len();
    match slices.index {
        None | Some(Encoding::Dense) => (alive.len(), alive.len(), 0),
        Some(Encoding::RelativeIndex { bits }) => {
            let entries = encode(&alive, Some(bits)).len();
            (entries, weights, entries * usize::from(bits))
        }
        Some(Encoding::Bitmap) => (weights, weights, alive.len()),
        Some(Encoding::BlockMap { .. }) => (kept.iter().filter(|&&w| w).count(), weights, kept.len()),
        Some(Encoding::Csc) => (weights, weights, weights * bits_for(rows.own)),
        Some(Encoding::Coordinate) => (weights, weights, weights * (bits_for(rows.own) + bits_for(cols))),
        Some(Encoding::GolombRice) => {
            let codes = gaps(&alive).iter().map(|&gap| rice_code(gap, rows.k)).sum();
            (weights, weights, codes)
        }
        Some(other) => panic!("no slices engine of rows reads {other:?}"),
    }
}

/// The rows with the zeros of stored blocks.
pub(crate) fn kept_rows(alive: &[bool], cols: usize, index: Option<Encoding>) -> Vec<Vec<bool>> {
    stored(alive, cols, index)
        .chunks(cols)
        .map(<[bool]>::to_vec)
        .collect()
}
