//! PEs with a queue of their slice's entries, refilled for every output position, beside a feature port.

use super::encoder::encode;
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
}

struct Pe {
    /// The slice: non-zeros by their global position, fillers as `None`.
    slice: Vec<Option<usize>>,
    queue: VecDeque<Option<usize>>,
    busy: u32,
    /// Output positions not yet taken up.
    position: usize,
}

impl Pe {
    fn idle(&self) -> bool {
        self.queue.is_empty() && self.busy == 0
    }
}

/// `alive` row-major; `active(x, position)` says whether the input behind a weight is active at output position x.
pub(crate) fn run(
    slices: &Slices,
    alive: &[bool],
    positions: usize,
    active: &dyn Fn(usize, usize) -> bool,
) -> Ticked {
    let (pes, weights) = (slices.pes as usize, alive.len());
    let mut ticked = Ticked::default();
    let mut list: Vec<Pe> = (0..pes)
        .map(|i| {
            let (from, to) = (i * weights / pes, (i + 1) * weights / pes);
            let entries = match slices.index {
                None | Some(Encoding::Dense) => encode(&vec![true; to - from], None),
                Some(Encoding::Bitmap) => encode(&alive[from..to], None),
                Some(Encoding::RelativeIndex { bits }) => encode(&alive[from..to], Some(bits)),
                Some(other) => panic!("no slices engine reads {other:?}"),
            };
            let slice: Vec<_> = entries.iter().map(|e| e.position.map(|p| p + from)).collect();
            Pe {
                slice,
                queue: VecDeque::new(),
                busy: 0,
                position: 0,
            }
        })
        .collect();
    ticked.stored = list.iter().map(|p| p.slice.len() as u64).sum();
    let dense = matches!(slices.index, None | Some(Encoding::Dense));
    let words_a_position = slices.feature_port.map_or(0, |port| {
        alive
            .chunks(port.group as usize)
            .filter(|g| dense || g.contains(&true))
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
                refill(pe, position, active);
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
                    refill(pe, x, active);
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
            if pe.busy == 0 && !pe.queue.is_empty() {
                for _ in 0..slices.macs_per_pe {
                    if let Some(entry) = pe.queue.pop_front() {
                        ticked.taken += 1;
                        ticked.useful += u64::from(entry.is_some());
                    }
                }
                pe.busy = slices.cycles_per_entry;
            }
            pe.busy = pe.busy.saturating_sub(1);
        }
        ticked.cycles += 1;
    }
}

/// Queues the slice's entries for output position `x`; a non-zero without an active input is left out.
fn refill(pe: &mut Pe, x: usize, active: &dyn Fn(usize, usize) -> bool) {
    pe.queue.extend(
        pe.slice
            .iter()
            .copied()
            .filter(|entry| entry.is_none_or(|at| active(x, at))),
    );
}
