//! `USER`: DRAM delivers a given number of words a cycle, and the array waits for what has not come.
//!
//! The prefetch stream of an operand is cut into sets of a hundredth of its SRAM. A window of sets stands for the half
//! that the array reads; a word that is not in it moves the window on, circularly, by the sets that the other half
//! holds, and those must have been delivered by then. Waiting for either operand, or for room in the write buffer,
//! stops the whole array.

use super::Mode;
use super::calc::Access;
use super::streams::Operand;
use super::tiling::{Flow, Tiling};
use super::writes::WriteBuffer;

/// Cycles between DRAM and SRAM, and between SRAM and array.
const LATENCY: i64 = 1;

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
    /// Index words that come with so many weights, as a fraction.
    pub(super) indices: (u64, u64),
    pub(super) mode: Mode,
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
    /// Words of a set, and of the last one.
    set: u64,
    tail: u64,
    fetching: Fetching,
    /// Cycle in which the last prefetch was complete.
    delivered: i64,
    start: i64,
    reads: u64,
}

/// The stream in which DRAM delivers: SCALE-Sim fetches a word again for every window of a convolution that holds it;
/// here a word is left out while it is among those of the half buffer being filled.
fn deliver(operand: &Operand, half: u64, mode: Mode, mut word: impl FnMut(u32)) {
    let mut absent = vec![false; if operand.absent.is_empty() { 0 } else { operand.words }];
    for &a in &operand.absent {
        absent[a as usize] = true;
    }
    let held = |w: u32| absent.get(w as usize).is_none_or(|absent| !absent);
    if mode == Mode::Compatible {
        operand.prefetch(|w| {
            if held(w) {
                word(w);
            }
        });
        return;
    }
    let mut taken = vec![0u32; operand.words];
    let (mut now, mut filled) = (1, 0);
    operand.prefetch(|w| {
        let seen = &mut taken[w as usize];
        if *seen == now || !held(w) {
            return;
        }
        *seen = now;
        filled += 1;
        if filled == half {
            (now, filled) = (now + 1, 0);
        }
        word(w);
    });
}

/// Counts the stream and finds the sets of every word; a word twice in one set is there once.
fn whereabouts(operand: &Operand, set: u64, half: u64, mode: Mode) -> (Whereabouts, u64) {
    let mut starts = vec![0u32; operand.words + 2];
    let mut last = vec![u32::MAX; operand.words];
    let mut length = 0;
    deliver(operand, half, mode, |w| {
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
    deliver(operand, half, mode, |w| {
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
        let (at, length) = whereabouts(operand, set, most * set, fetching.mode);
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
        let mut buffer = Self {
            at,
            found,
            moves: 1,
            count: count as u32,
            window: window as u32,
            step: step as u32,
            first: 0,
            set,
            tail: length % set,
            fetching,
            delivered: -1,
            start: 0,
            reads: 0,
        };
        let lines = match fetching.mode {
            Mode::Compatible => {
                let stream = operand.prefetch_length().div_ceil(fetching.bandwidth);
                let lines = half.div_ceil(fetching.bandwidth).min(stream);
                buffer.reads = lines * fetching.bandwidth;
                lines
            }
            Mode::Corrected => buffer.fetch(0, window),
        };
        buffer.start = -(lines as i64);
        buffer
    }

    /// Counts the words of so many sets from one on, with their indices; returns the cycles that they take.
    fn fetch(&mut self, from: u64, sets: u64) -> u64 {
        let count = u64::from(self.count);
        let last = count - 1;
        let holds_last = sets > (last + count - from) % count;
        let words = if holds_last { (sets - 1) * self.set + self.tail } else { sets * self.set };
        let (indices, weights) = self.fetching.indices;
        let words = words + (words * indices).div_ceil(weights);
        self.reads += words;
        words.div_ceil(self.fetching.bandwidth)
    }

    /// Moves the window on.
    fn advance(&mut self) {
        let lines = match self.fetching.mode {
            Mode::Compatible => {
                let lines = (self.fetching.sram_words / 2).div_ceil(self.fetching.bandwidth);
                self.reads += lines * self.fetching.bandwidth;
                lines
            }
            Mode::Corrected => {
                let from = (self.first + self.window) % self.count;
                self.fetch(u64::from(from), u64::from(self.step))
            }
        };
        self.first = (self.first + self.step) % self.count;
        self.moves += 1;
        self.delivered += lines as i64 + LATENCY;
    }

    fn in_window(&self, word: usize) -> bool {
        let from = self.at.starts[word] as usize;
        let to = self.at.starts[word + 1] as usize;
        self.at.sets[from..to].iter().any(|&set| {
            let distance = if set >= self.first { set - self.first } else { set + self.count - self.first };
            distance < self.window
        })
    }

    /// Serves one word; `offset` is when, after the row's cycle, the words before it were served.
    #[inline]
    fn serve(&mut self, word: u32, cycle: i64, offset: &mut i64) {
        if self.found[word as usize] < self.moves {
            self.look(word as usize, cycle, offset);
        }
    }

    #[cold]
    fn look(&mut self, word: usize, cycle: i64, offset: &mut i64) {
        while !self.in_window(word) {
            self.advance();
            let wait = self.delivered - (cycle + *offset);
            match self.fetching.mode {
                // the tool's issue 130: a wait is added twice, and time to spare once
                Mode::Compatible => *offset += if wait > 0 { 2 * wait } else { wait },
                Mode::Corrected => *offset += wait.max(0),
            }
        }
        self.found[word] = self.moves;
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
pub(super) fn replay(
    operands: [&Operand; 2],
    mut buffers: [ReadBuffer; 2],
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
