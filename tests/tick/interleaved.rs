//! Columns broadcast into the queues of PEs that each own every so-many-th row.

use super::contiguous::Ticked;
use super::encoder::encode;
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{Slices, Synchronisation};
use std::collections::VecDeque;

#[derive(Default)]
struct Pe {
    /// Columns queued: the entries still to start of each. The slot is held until the column is finished.
    queue: VecDeque<usize>,
    /// Cycles left of the slot that was started in the first column.
    busy: u32,
}

/// One matrix-vector product: `alive[row][column]` of one group, the columns in `active` broadcast in order.
/// Adds what it did to `ticked`.
pub(crate) fn product(slices: &Slices, alive: &[Vec<bool>], active: &[usize], ticked: &mut Ticked) {
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
                let entries = part(slices, alive, p, column);
                ticked.useful += entries.iter().flatten().count() as u64;
                ticked.taken += entries.len() as u64;
                pe.queue.push_back(entries.len());
            }
        }
        for pe in &mut list {
            let Some(left) = pe.queue.front_mut() else {
                continue;
            };
            if pe.busy == 0 && *left > 0 {
                *left = left.saturating_sub(slices.macs_per_pe as usize);
                pe.busy = slices.cycles_per_entry;
            }
            // an empty column passes in this one cycle
            pe.busy = pe.busy.saturating_sub(1);
            if pe.busy == 0 && *left == 0 {
                pe.queue.pop_front();
            }
        }
        ticked.cycles += 1;
    }
}

/// The part of a column that PE `p` holds, as its own chain.
pub(crate) fn part(slices: &Slices, alive: &[Vec<bool>], p: usize, column: usize) -> Vec<Option<usize>> {
    let own: Vec<bool> = alive
        .iter()
        .skip(p)
        .step_by(slices.pes as usize)
        .map(|row| row[column])
        .collect();
    let entries = match slices.index {
        None | Some(Encoding::Dense) => encode(&vec![true; own.len()], None),
        Some(Encoding::Bitmap) => encode(&own, None),
        Some(Encoding::RelativeIndex { bits }) => encode(&own, Some(bits)),
        Some(other) => panic!("no slices engine reads {other:?}"),
    };
    entries.iter().map(|e| e.position).collect()
}
