//! PEs with a queue of their slice's entries, refilled for every output position, beside a feature port.

use super::encoder::{Stream, stored, streams};
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{Slices, Synchronisation};
use std::collections::VecDeque;

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    pub(crate) useful: u64,
    pub(crate) stored: u64,
    /// Entries that took part of a slot.
    pub(crate) taken: u64,
    /// Index bits that are stored.
    pub(crate) index_stored: u64,
    /// Index bits that were read.
    pub(crate) index_read: u64,
}

struct Pe {
    /// What it holds: entries by their global position, fillers as `None`.
    held: Stream,
    /// Entries still to start, and whether they are weights.
    queue: VecDeque<(Option<usize>, bool)>,
    busy: u32,
    /// Pointers still to read, a cycle each, before the entries.
    pointers: usize,
    /// Index bits still to decode.
    bits: usize,
    /// Output positions not yet taken up.
    position: usize,
}

impl Pe {
    fn idle(&self) -> bool {
        self.queue.is_empty() && self.busy == 0 && self.pointers == 0 && self.bits == 0
    }
}

/// `alive` row-major, rows of `cols`; `active(x, position)` says whether the input behind a weight is active at output position x.
pub(crate) fn run(
    slices: &Slices,
    (alive, cols): (&[bool], usize),
    positions: usize,
    active: &dyn Fn(usize, usize) -> bool,
) -> Ticked {
    let (pes, weights) = (slices.pes as usize, alive.len());
    let mut ticked = Ticked::default();
    let runs: Vec<_> = (0..pes)
        .map(|i| i * weights / pes..(i + 1) * weights / pes)
        .collect();
    let mut list: Vec<Pe> = streams(alive, cols, &runs, slices.index)
        .into_iter()
        .map(|held| Pe {
            held,
            queue: VecDeque::new(),
            busy: 0,
            pointers: 0,
            bits: 0,
            position: 0,
        })
        .collect();
    for Pe { held, .. } in &list {
        ticked.stored += held.entries.len() as u64;
        ticked.index_stored += (held.entries.len() * held.entry_bits + held.beside) as u64;
    }
    if slices.index == Some(Encoding::GolombRice) && alive.contains(&true) {
        // the parameter
        ticked.index_stored += 5;
        ticked.index_read += 5;
    }
    let kept = stored(alive, cols, slices.index);
    let words_a_position = slices.feature_port.map_or(0, |port| {
        kept.chunks(port.group as usize)
            .filter(|g| g.contains(&true))
            .count()
    });
    let barrier = slices.synchronisation == Synchronisation::Barrier;
    // words the port has still to deliver: all of them, or those of one position
    let mut words = if barrier { 0 } else { words_a_position * positions };
    let mut position = 0;
    loop {
        if barrier && words == 0 && list.iter().all(Pe::idle) {
            if position == positions {
                return ticked;
            }
            words = words_a_position;
            for pe in &mut list {
                refill(pe, slices, position, active, &mut ticked);
            }
            position += 1;
            if words == 0 && list.iter().all(Pe::idle) {
                continue; // nothing to do at this position
            }
        }
        if !barrier {
            for pe in &mut list {
                while pe.idle() && pe.position < positions {
                    let x = pe.position;
                    refill(pe, slices, x, active, &mut ticked);
                    pe.position += 1;
                }
            }
            if words == 0 && list.iter().all(Pe::idle) {
                return ticked;
            }
        }
        // one cycle
        words = words.saturating_sub(slices.feature_port.map_or(0, |p| p.words_per_cycle as usize));
        for pe in &mut list {
            if let Some(rate) = slices.decode_bits_per_cycle {
                pe.bits = pe.bits.saturating_sub(rate as usize);
            }
            if pe.pointers > 0 {
                pe.pointers -= 1;
                continue;
            }
            if pe.busy == 0 && !pe.queue.is_empty() {
                for _ in 0..slices.macs_per_pe {
                    if let Some((_, weight)) = pe.queue.pop_front() {
                        ticked.taken += 1;
                        ticked.useful += u64::from(weight);
                    }
                }
                pe.busy = slices.cycles_per_entry;
            }
            pe.busy = pe.busy.saturating_sub(1);
        }
        ticked.cycles += 1;
    }
}

/// Queues the slice's entries for output position `x`; one with a place and no active input is left out. All index bits
/// of what is queued, and those beside the entries, are read.
fn refill(
    pe: &mut Pe,
    slices: &Slices,
    x: usize,
    active: &dyn Fn(usize, usize) -> bool,
    ticked: &mut Ticked,
) {
    let entries = pe.held.entries.iter().copied();
    pe.queue
        .extend(entries.filter(|(at, _)| at.is_none_or(|at| active(x, at))));
    pe.pointers = pe.held.pointers;
    let bits = pe.queue.len() * pe.held.entry_bits + pe.held.beside;
    ticked.index_read += bits as u64;
    pe.bits = if slices.decode_bits_per_cycle.is_some() {
        bits
    } else {
        0
    };
}
