//! `CALC`: DRAM is as fast as the array asks, and its bandwidth is the result.
//!
//! A read buffer takes a word at its first request and keeps it until half of the buffer is taken (in 50 sets of a
//! hundredth); then it forgets all of them. What was taken counts as one prefetch, spread evenly over the cycles in
//! which the half before was in use. Where no word is asked for again while it is held, or all fit, the n-th miss is
//! the n-th request and closed forms follow; otherwise the requests are walked through. A convolution whose folds lie
//! in one kernel place asks for other channels fold by fold: a word comes again after as many folds as there are
//! blocks of channels, and often that is later than half a buffer.

use super::streams::Operand;
use super::tiling::{Flow, Tiling};
use super::writes::WriteBuffer;

/// Words a cycle that SCALE-Sim takes for the prefetch before cycle 0.
const FIRST_BANDWIDTH: u64 = 10;
/// Sets in half of a buffer.
const SETS: u64 = 50;

/// First and last cycle at a memory, and the words moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) start: i64,
    pub(super) stop: i64,
    pub(super) words: u64,
}

/// What is known of an operand without walking through its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Distinct words.
    pub(super) distinct: u64,
    /// Whether every word of the operand's matrix is another word of DRAM.
    pub(super) once: bool,
    /// Folds from one request of a word to the next at least, where no fold asks for a word twice; otherwise 0.
    pub(super) folds_apart: u64,
}

/// Words of half a buffer, in whole sets.
pub(super) fn half(sram_words: u64) -> u64 {
    sram_words / 100 * SETS
}

/// Whether the requests must be walked through.
pub(super) fn needs_walk(known: Known, flow: Flow, tiling: &Tiling, sram_words: u64) -> bool {
    let half = half(sram_words);
    known.distinct >= half
        && !(known.once && never_again(flow, tiling, half))
        && !far_apart(known.folds_apart, flow, tiling, half)
}

/// Whether half a buffer of words is asked for before any of them comes again, wherever in a fold it begins.
fn far_apart(folds: u64, flow: Flow, tiling: &Tiling, half: u64) -> bool {
    let least = tiling.grid(flow, tiling.rf - 1, tiling.cf - 1).words();
    half.saturating_sub(1) <= folds.saturating_sub(1).saturating_mul(least)
}

/// Whether no word comes again within half a buffer of other words, every word of the matrix being another one.
fn never_again(flow: Flow, tiling: &Tiling, half: u64) -> bool {
    match flow {
        // a pass over all row folds asks for every word once, and passes repeat
        Flow::ByRow => tiling.cf == 1 || tiling.t * tiling.sr >= half,
        // a column fold's words come again in each of its row folds
        Flow::ByColumn => tiling.rf == 1 || tiling.t * tiling.cols(tiling.cf - 1) >= half,
        Flow::Stationary | Flow::Outputs => true,
    }
}

/// DRAM reads of an operand whose requests need no walk.
pub(super) fn closed(known: Known, flow: Flow, tiling: &Tiling, sram_words: u64, first: i64) -> Access {
    let half = half(sram_words);
    let mut fetches = Fetches::new(sram_words, first);
    if known.distinct < half {
        return fetches.finish(known.distinct);
    }
    let words = tiling.words(flow);
    let full = words / half;
    // only the first and the last half buffer leave a trace in the cycles
    for n in [1, full] {
        if n > fetches.full {
            fetches.full = n - 1;
            fetches.complete(tiling.cycle_of(flow, n * half - 1) as i64);
        }
    }
    fetches.finish(words - full * half)
}

/// DRAM reads of an operand by walking through its requests word by word.
pub(super) fn walked(operand: &Operand, tiling: &Tiling, sram_words: u64, first: i64) -> Access {
    let half = half(sram_words);
    let mut fetches = Fetches::new(sram_words, first);
    // the half buffer in which a word was last taken; padding counts as always held
    let mut taken = vec![0u32; operand.words];
    for &word in &operand.absent {
        taken[word as usize] = u32::MAX;
    }
    let (mut now, mut held) = (1u32, 0);
    let mut base = 0;
    for fc in 0..tiling.cf {
        for fr in 0..tiling.rf {
            for row in 0..tiling.fold {
                operand.demand(tiling, fr, fc, row, |word| {
                    let seen = &mut taken[word as usize];
                    if *seen < now {
                        *seen = now;
                        held += 1;
                        if held == half {
                            fetches.complete((base + row) as i64);
                            held = 0;
                            now += 1;
                        }
                    }
                });
            }
            base += tiling.fold;
        }
    }
    fetches.finish(held)
}

/// The prefetches of one read buffer.
#[derive(Debug)]
pub(super) struct Fetches {
    half: u64,
    set: u64,
    /// Cycle of the first request.
    first: i64,
    /// Half buffers filled.
    full: u64,
    last: i64,
}

impl Fetches {
    pub(super) fn new(sram_words: u64, first: i64) -> Self {
        Self {
            half: half(sram_words),
            set: sram_words / 100,
            first,
            full: 0,
            last: 0,
        }
    }

    pub(super) fn complete(&mut self, cycle: i64) {
        self.full += 1;
        self.last = cycle;
    }

    pub(super) fn finish(&self, held: u64) -> Access {
        if self.full == 0 {
            let sets = held.div_ceil(self.set);
            return Access {
                start: -((sets * self.set).div_ceil(FIRST_BANDWIDTH) as i64),
                stop: -1,
                words: held,
            };
        }
        Access {
            start: self.first - self.half.div_ceil(FIRST_BANDWIDTH) as i64,
            stop: self.last + 1,
            words: self.full * self.half + held,
        }
    }
}

/// DRAM writes, and the cycles that the array waits for them. The words of each row are known in closed form, so the
/// buffer goes from drain to drain.
pub(super) fn writes(mut buffer: WriteBuffer, tiling: &Tiling) -> Option<Access> {
    let flow = Flow::Outputs;
    let total = tiling.words(flow);
    let mut done = 0;
    loop {
        let (next, room) = buffer.until_next();
        let drained = tiling.words_before(flow, buffer.drain_end as u64);
        // a word that finds no room while a drain goes on would make the array wait
        if drained.saturating_sub(done) as i64 >= room {
            return None;
        }
        let next = (done + next as u64).max(drained + 1);
        if next > total {
            break;
        }
        let cycle = tiling.cycle_of(flow, next - 1);
        buffer.store_and_drain((next - done) as i64, cycle as i64);
        done = next;
    }
    buffer.store_quietly((total - done) as i64);
    let (start, stop, words) = buffer.finish(tiling.cycles as i64 - 1);
    Some(Access { start, stop, words })
}

/// The cycles that the array waits for a write buffer.
#[derive(Debug)]
pub(super) struct Waits {
    /// Cycle without stalls after which the array waits, and the cycles waited up to its end.
    after: Vec<(i64, i64)>,
    pub(super) dram: Access,
}

impl Waits {
    /// Cycles waited before the row of a cycle begins.
    pub(super) fn before(&self, cycle: i64) -> i64 {
        let next = self.after.partition_point(|&(at, _)| at < cycle);
        next.checked_sub(1).map_or(0, |i| self.after[i].1)
    }

    /// Cycles waited in all.
    pub(super) fn all(&self) -> i64 {
        self.after.last().map_or(0, |&(_, all)| all)
    }
}

/// The same row by row, for buffers so small that the array waits for them.
pub(super) fn slow_writes(mut buffer: WriteBuffer, tiling: &Tiling) -> Waits {
    let (mut stalls, mut base, mut last) = (0, 0, 0);
    let mut after = Vec::new();
    for fc in 0..tiling.cf {
        for fr in 0..tiling.rf {
            let outputs = tiling.grid(Flow::Outputs, fr, fc);
            for row in 0..tiling.fold as i64 {
                let cycle = base + row + stalls;
                let written = (row as u64)
                    .checked_sub(outputs.lead)
                    .map_or(0, |row| outputs.in_row(row));
                let waited = buffer.store(written as i64, cycle);
                last = cycle + waited;
                if waited > 0 {
                    stalls += waited;
                    after.push((base + row, stalls));
                }
            }
            base += tiling.fold as i64;
        }
    }
    let (start, stop, words) = buffer.finish(last);
    let dram = Access { start, stop, words };
    Waits { after, dram }
}

/// The first and the last cycle, without stalls, in which the array asks for a word that a memory holds.
pub(super) fn first_and_last(operand: &Operand, tiling: &Tiling) -> (i64, i64) {
    let asks = |cycle: &u64| {
        let (fold, row) = (cycle / tiling.fold, cycle % tiling.fold);
        let mut asks = false;
        operand.demand(tiling, fold % tiling.rf, fold / tiling.rf, row, |word| {
            asks |= operand.holds(word);
        });
        asks
    };
    let first = (0..tiling.cycles).find(asks).unwrap_or_default();
    let last = (0..tiling.cycles).rev().find(asks).unwrap_or_default();
    (first as i64, last as i64)
}

#[cfg(test)]
mod tests {
    use super::super::sparsity::Pattern;
    use super::super::streams;
    use super::super::topology::Layer;
    use super::*;
    use crate::hardware::{Dataflow, Systolic};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Folds of other channels between two requests of a word: as many as are said, and where half a buffer of
        /// requests lies between them the n-th miss is the n-th request.
        #[test]
        fn folds_far_apart_need_no_walk(
            out in 1u64..9, kernel in 1u64..4, stride in 1u64..3, blocks in 2u64..7, filters in 1u64..30,
            rows in 1u32..12, cols in 1u32..12, stationary in any::<bool>(), part in 1u64..=100,
        ) {
            let size = (out - 1) * stride + kernel;
            let layer = Layer {
                name: "l".into(),
                ifmap: [size; 2],
                filter: [kernel; 2],
                channels: blocks * u64::from(rows),
                filters,
                stride,
                ratio: [1, 1],
            };
            let (dataflow, flow) = if stationary {
                (Dataflow::InputStationary, Flow::Stationary)
            } else {
                (Dataflow::WeightStationary, Flow::ByRow)
            };
            let products = kernel * kernel * layer.channels;
            let tiling = Tiling::new(Systolic { rows, cols, dataflow }, out * out, products, filters).expect("small");
            let operand = streams::ifmap(&layer, &Pattern::Dense, &tiling).expect("small");
            let least = tiling.grid(flow, tiling.rf - 1, tiling.cf - 1).words();
            // the largest half that is far enough apart, and smaller ones
            let sets = ((blocks - 1) * least + 1) * part / 100 / SETS;
            let (sram, known) = (sets.max(1) * 100, Known {
                distinct: layer.distinct_inputs().expect("small"),
                once: false,
                folds_apart: blocks,
            });
            prop_assume!(!needs_walk(known, flow, &tiling, sram));
            let (first, _) = first_and_last(&operand, &tiling);
            prop_assert_eq!(closed(known, flow, &tiling, sram, first), walked(&operand, &tiling, sram, first));
        }
    }
}
