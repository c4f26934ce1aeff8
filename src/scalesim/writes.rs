//! The buffer between the array's outputs and DRAM: words gather in lines of one cycle's bandwidth; when more than
//! half of the buffer is taken, half of it drains, a line a cycle, while the other half fills.

use super::Mode;
use std::collections::VecDeque;

/// A write buffer and what it has sent to DRAM.
#[derive(Debug)]
pub(super) struct WriteBuffer {
    half: i64,
    bandwidth: i64,
    lines_per_drain: i64,
    /// Free words. In SCALE-Sim every drained line counts in full but the last of a drain.
    free: i64,
    /// Words of the line that is being filled, and whole lines so far.
    fill: i64,
    lines: i64,
    drained: i64,
    /// Lines that were drained before they were full: number of the line, its words.
    partial: VecDeque<(i64, i64)>,
    pub(super) drain_end: i64,
    first: Option<i64>,
    last: i64,
    writes: i64,
    mode: Mode,
}

impl WriteBuffer {
    pub(super) fn new(words: u64, bandwidth: u64, mode: Mode) -> Self {
        let (words, bandwidth) = (words as i64, bandwidth as i64);
        let half = words / 2;
        Self {
            half,
            bandwidth,
            lines_per_drain: (half as u64).div_ceil(bandwidth as u64) as i64,
            free: words,
            fill: 0,
            lines: 0,
            drained: 0,
            partial: VecDeque::new(),
            drain_end: 0,
            first: None,
            last: 0,
            writes: 0,
            mode,
        }
    }

    fn put(&mut self, words: i64) {
        self.fill += words;
        self.lines += self.fill / self.bandwidth;
        self.fill %= self.bandwidth;
        self.free -= words;
    }

    /// Takes the words of one row that wants to write at a cycle, and returns the cycles it waits.
    pub(super) fn store(&mut self, words: i64, cycle: i64) -> i64 {
        let (mut now, mut left) = (cycle, words);
        while left > 0 {
            let draining = now < self.drain_end;
            // words until something happens: no room while draining, half of the buffer taken otherwise
            let room = if draining {
                self.free
            } else {
                self.free - self.half + 1
            };
            let taken = room.max(1);
            if taken > left {
                self.put(left);
                break;
            }
            self.put(taken);
            left -= taken;
            if draining {
                now = self.drain_end;
            } else {
                self.drain(now);
            }
        }
        now - cycle
    }

    /// Words that can be stored before the next drain may begin, at least 1, and words that must not be passed
    /// while a drain goes on.
    pub(super) fn until_next(&self) -> (i64, i64) {
        ((self.free - self.half + 1).max(1), self.free)
    }

    /// Takes words whose storing ends in a drain at a cycle. For callers that know that no word waits.
    pub(super) fn store_and_drain(&mut self, words: i64, cycle: i64) {
        self.put(words);
        self.drain(cycle);
    }

    /// Takes words whose storing begins no drain and waits for none.
    pub(super) fn store_quietly(&mut self, words: i64) {
        self.put(words);
    }

    fn close_line(&mut self) {
        if self.fill > 0 {
            self.partial.push_back((self.lines, self.fill));
            self.lines += 1;
            self.fill = 0;
        }
    }

    fn drain(&mut self, cycle: i64) {
        self.close_line();
        let lines = self.lines_per_drain.min(self.lines - self.drained);
        if lines == 0 {
            return;
        }
        self.drained += lines;
        let mut missing = 0;
        while let Some(&(line, words)) = self.partial.front() {
            if line >= self.drained {
                break;
            }
            self.partial.pop_front();
            if line == self.drained - 1 || self.mode == Mode::Corrected {
                missing += self.bandwidth - words;
            }
        }
        let words = lines * self.bandwidth - missing;
        self.writes += words;
        self.free += words;
        self.drain_end = cycle + lines - 1;
        self.first.get_or_insert(cycle);
        self.last = self.last.max(self.drain_end);
    }

    /// Drains everything from a cycle on; returns first and last cycle and the words written to DRAM.
    pub(super) fn finish(mut self, cycle: i64) -> (i64, i64, u64) {
        self.close_line();
        let mut cycle = cycle;
        while self.drained < self.lines {
            self.drain(cycle);
            cycle = self.drain_end + 1;
        }
        (self.first.unwrap_or(cycle), self.last, self.writes as u64)
    }
}
