//! A double buffer that fetches what the array will ask for, in that order: the corrected `USER` memory.
//!
//! One half holds the words in use, each once, as in `CALC`; meanwhile DRAM fills the other half with the next ones.
//! When the array asks for the first word of the next half, that half must be there, and the old one is free for the
//! words after it. What is fetched is therefore the same in `USER` and `CALC`.

use super::calc::{Access, half};
use super::replay::{LATENCY, Reads};
use super::streams::Operand;

/// The two halves of one operand's SRAM.
#[derive(Debug)]
pub(super) struct Halves {
    /// Words of a half, and words left to be fetched.
    half: u64,
    left: u64,
    bandwidth: u64,
    /// Index words that come with so many words.
    indices: (u64, u64),
    /// The half in which a word was last taken, counted from 1; padding counts as always there.
    taken: Vec<u32>,
    now: u32,
    held: u64,
    /// Last cycle of the delivery that is under way or done.
    ready: i64,
    start: i64,
    words: u64,
}

impl Halves {
    /// The SRAM of an operand of which `words` words are fetched in all.
    pub(super) fn new(
        operand: &Operand,
        sram_words: u64,
        words: u64,
        bandwidth: u64,
        indices: (u64, u64),
    ) -> Self {
        let mut taken = vec![0; operand.words];
        for &word in &operand.absent {
            taken[word as usize] = u32::MAX;
        }
        let mut halves = Self {
            half: half(sram_words),
            left: words,
            bandwidth,
            indices,
            taken,
            now: 1,
            held: 0,
            ready: -1,
            start: 0,
            words: 0,
        };
        halves.start = -halves.fetch();
        // the other half is free from the beginning
        halves.ready = -1 + halves.fetch();
        halves
    }

    /// Begins to fetch the next half; returns the cycles that it takes.
    fn fetch(&mut self) -> i64 {
        let weights = self.left.min(self.half);
        self.left -= weights;
        let words = weights + (weights * self.indices.0).div_ceil(self.indices.1);
        self.words += words;
        words.div_ceil(self.bandwidth) as i64
    }
}

impl Reads for Halves {
    #[inline]
    fn serve(&mut self, word: u32, cycle: i64, offset: &mut i64) {
        let seen = &mut self.taken[word as usize];
        if *seen >= self.now {
            return;
        }
        *seen = self.now;
        if self.held == 0 && self.now > 1 {
            *offset += (self.ready + LATENCY - (cycle + *offset)).max(0);
            let freed = cycle + *offset - LATENCY;
            let cycles = self.fetch();
            if cycles > 0 {
                self.ready = self.ready.max(freed - 1) + cycles;
            }
        }
        self.held += 1;
        if self.held == self.half {
            self.held = 0;
            self.now += 1;
        }
    }

    fn access(&self) -> Access {
        Access {
            start: self.start,
            stop: self.ready,
            words: self.words,
        }
    }
}
