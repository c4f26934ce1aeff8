//! `USER`: DRAM delivers a given number of words a cycle, and the array waits for what has not come.
//!
//! SCALE-Sim's read buffer: the prefetch stream of an operand is cut into sets of a hundredth of its SRAM. A window of sets stands for the half
//! that the array reads; a word that is not in it moves the window on, circularly, by the sets that the other half
//! holds, and those must have been delivered by then. Waiting for either operand, or for room in the write buffer,
//! stops the whole array.

use super::calc::Access;
use super::streams::Operand;
use super::tiling::{Flow, Tiling};
use super::writes::WriteBuffer;

/// Cycles between DRAM and SRAM, and between SRAM and array.
pub(super) const LATENCY: i64 = 1;

/// What a replay finds of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replayed {
    /// Cycles in which the array waited.
    pub(super) stalls: i64,
    /// Index of the cycle in which the last row of the last fold was served.
    pub(super) last: i64,
    /// First and last cycle with a word between array and SRAM: ifmap, filter, ofmap.
    pub(super) sram: [Option<(i64, i64)>; 3],
    /// DRAM: ifmap, filter, ofmap.
    pub(super) dram: [Access; 3],
}

/// How an operand is fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetching {
    /// Words of its SRAM, both halves.
    pub(super) sram_words: u64,
    /// Words a cycle.
    pub(super) bandwidth: u64,
}

/// A buffer between DRAM and the array.
pub(super) trait Reads {
    /// Serves one word; `offset` is when, after the row's cycle, the words before it were served.
    fn serve(&mut self, word: u32, cycle: i64, offset: &mut i64);
    /// What DRAM delivered.
    fn access(&self) -> Access;
}

/// Which sets hold a word: the sets of word i are `sets[starts[i]..starts[i + 1]]`, ascending.
#[derive(Debug)]
struct Whereabouts {
    starts: Vec<u32>,
    sets: Vec<u32>,
}

/// The read buffer of one operand.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    at: Whereabouts,
    /// Number of window moves after which a word was last found.
    found: Vec<u32>,
    moves: u32,
    /// Sets in all, in the window, and brought by a move of it.
    count: u32,
    window: u32,
    step: u32,
    first: u32,
    /// Lines of a prefetch.
    lines: u64,
    bandwidth: u64,
    /// Cycle in which the last prefetch was complete.
    delivered: i64,
    start: i64,
    reads: u64,
}

/// Calls `word` with the words that DRAM delivers; one comes again for every window of a convolution that holds it.
fn deliver(operand: &Operand, absent: &[bool], mut word: impl FnMut(u32)) {
    operand.prefetch(|w| {
        if absent.get(w as usize).is_none_or(|absent| !absent) {
            word(w);
        }
    });
}

/// Counts the stream and finds the sets of every word; a word twice in one set is there once.
fn whereabouts(operand: &Operand, set: u64) -> (Whereabouts, u64) {
    let mut absent = vec![
        false;
        if operand.absent.is_empty() {
            0
        } else {
            operand.words
        }
    ];
    for &word in &operand.absent {
        absent[word as usize] = true;
    }
    let mut starts = vec![0u32; operand.words + 2];
    let mut last = vec![u32::MAX; operand.words];
    let mut length = 0;
    deliver(operand, &absent, |w| {
        let (w, id) = (w as usize, (length / set) as u32);
        if last[w] != id {
            last[w] = id;
            starts[w + 2] += 1;
        }
        length += 1;
    });
    for i in 2..starts.len() {
        starts[i] += starts[i - 1];
    }
    let mut sets = vec![0u32; starts[operand.words + 1] as usize];
    last.fill(u32::MAX);
    let mut n = 0;
    deliver(operand, &absent, |w| {
        let (w, id) = (w as usize, (n / set) as u32);
        if last[w] != id {
            last[w] = id;
            sets[starts[w + 1] as usize] = id;
            starts[w + 1] += 1;
        }
        n += 1;
    });
    starts.pop();
    (Whereabouts { starts, sets }, length)
}

impl ReadBuffer {
    pub(super) fn new(operand: &Operand, fetching: Fetching) -> Self {
        let half = fetching.sram_words / 2;
        let set = fetching.sram_words.div_ceil(100);
        let most = half.div_ceil(set);
        let (at, length) = whereabouts(operand, set);
        // a last set, which may be empty, ends the stream
        let count = length / set + 1;
        let window = most.min(count);
        let step = most.min(count - window);
        let mut found = vec![u32::MAX; operand.words];
        if step > 0 {
            // padding counts as always there
            found.fill(0);
            for &word in &operand.absent {
                found[word as usize] = u32::MAX;
            }
        }
        let lines = half.div_ceil(fetching.bandwidth);
        let stream = operand.prefetch_length().div_ceil(fetching.bandwidth);
        let first = lines.min(stream);
        Self {
            at,
            found,
            moves: 1,
            count: count as u32,
            window: window as u32,
            step: step as u32,
            first: 0,
            lines,
            bandwidth: fetching.bandwidth,
            delivered: -1,
            start: -(first as i64),
            reads: first * fetching.bandwidth,
        }
    }

    /// Moves the window on.
    fn advance(&mut self) {
        self.reads += self.lines * self.bandwidth;
        self.first = (self.first + self.step) % self.count;
        self.moves += 1;
        self.delivered += self.lines as i64 + LATENCY;
    }

    fn in_window(&self, word: usize) -> bool {
        let from = self.at.starts[word] as usize;
        let to = self.at.starts[word + 1] as usize;
        self.at.sets[from..to].iter().any(|&set| {
            let distance = if set >= self.first {
                set - self.first
            } else {
                set + self.count - self.first
            };
            distance < self.window
        })
    }

    #[cold]
    fn look(&mut self, word: usize, cycle: i64, offset: &mut i64) {
        while !self.in_window(word) {
            self.advance();
            let wait = self.delivered - (cycle + *offset);
            // the tool's issue 130: a wait is added twice, and time to spare is taken off
            *offset += if wait > 0 { 2 * wait } else { wait };
        }
        self.found[word] = self.moves;
    }
}

impl Reads for ReadBuffer {
    #[inline]
    fn serve(&mut self, word: u32, cycle: i64, offset: &mut i64) {
        if self.found[word as usize] < self.moves {
            self.look(word as usize, cycle, offset);
        }
    }

    fn access(&self) -> Access {
        Access {
            start: self.start,
            stop: self.delivered,
            words: self.reads,
        }
    }
}

/// Replays a layer row by row.
pub(super) fn replay<R: Reads>(
    operands: [&Operand; 2],
    mut buffers: [R; 2],
    mut writes: WriteBuffer,
    tiling: &Tiling,
) -> Replayed {
    let (mut stalls, mut base, mut last) = (0, 0, 0);
    let mut sram: [Option<(i64, i64)>; 3] = [None; 3];
    let mut note = |which: usize, cycle: i64| match &mut sram[which] {
        Some((_, last)) => *last = cycle,
        empty => *empty = Some((cycle, cycle)),
    };
    for fc in 0..tiling.cf {
        for fr in 0..tiling.rf {
            let outputs = tiling.grid(Flow::Outputs, fr, fc);
            for row in 0..tiling.fold {
                let cycle = base + row as i64 + stalls;
                let mut wait = 0;
                for (i, (operand, buffer)) in operands.into_iter().zip(&mut buffers).enumerate() {
                    let mut offset = LATENCY;
                    let mut asked = false;
                    operand.demand(tiling, fr, fc, row, |word| {
                        asked |= operand.absent.is_empty() || operand.holds(word);
                        buffer.serve(word, cycle, &mut offset);
                    });
                    if asked {
                        note(i, cycle + offset);
                    }
                    wait = wait.max(offset - LATENCY);
                }
                let written = row.checked_sub(outputs.lead).map_or(0, |row| outputs.in_row(row));
                let waited = writes.store(written as i64, cycle);
                last = cycle + waited;
                if written > 0 {
                    note(2, last);
                }
                stalls += wait.max(waited);
            }
            base += tiling.fold as i64;
        }
    }
    let (start, stop, words) = writes.finish(last);
    Replayed {
        stalls,
        last,
        sram,
        dram: [
            buffers[0].access(),
            buffers[1].access(),
            Access { start, stop, words },
        ],
    }
}
