//! The walk through the requests of `CALC` where neighbouring lanes ask for neighbouring words: a step of a fold is a
//! few runs of addresses, and a set of bits takes a run at once. Steps come in rows of the same stride, as windows
//! move along a row of the input: where the runs of a row's steps touch, the row is one run.
//!
//! The words of a half buffer are a set, so their order matters only where the half is full. Rows of steps are
//! therefore added whole until one reaches past the end; those that the skew mixes there are taken back, and the
//! diagonal with the last word is found by halving.

use super::calc::{Access, Fetches, half};
use super::streams::Operand;
use super::tiling::{Flow, Tiling};
use std::ops::Range;

/// Lanes of a run below which words are walked one by one.
const SHORT: usize = 4;

/// Neighbouring lanes with neighbouring addresses.
#[derive(Debug, Clone, Copy)]
struct Run {
    lane: usize,
    length: usize,
    address: u32,
}

/// Neighbouring steps, each the same number of addresses after the one before.
#[derive(Debug, Clone, Copy)]
struct Row {
    first: usize,
    count: usize,
    stride: u32,
}

/// Where in a fold the walk stands: cells before this diagonal, and on it up to this lane, are done.
#[derive(Debug, Clone, Copy, Default)]
struct Frontier {
    diagonal: usize,
    lane: usize,
    begun: bool,
}

impl Frontier {
    /// The first lane of a step that is not done.
    fn from(self, step: usize) -> usize {
        if !self.begun || step > self.diagonal {
            return 0;
        }
        let lane = self.diagonal - step;
        lane + usize::from(lane <= self.lane)
    }
}

/// The words taken since a half buffer was last full.
struct Held<'a> {
    bits: Vec<u64>,
    /// The bits of words that no memory holds.
    absent: Vec<u64>,
    runs: Vec<Run>,
    steps: &'a [u32],
    rows: Vec<Row>,
    /// The row of each step.
    row_of: Vec<u32>,
    longest_row: usize,
    count: u64,
    /// Bits set, where they may be taken back: step, place, bits. Steps that are added together count as the first.
    log: Vec<(u32, u32, u64)>,
    logs: bool,
}

/// Runs of a fold's lanes.
fn runs(lanes: &[u32]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (lane, &address) in lanes.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.address + run.length as u32 == address => run.length += 1,
            _ => runs.push(Run {
                lane,
                length: 1,
                address,
            }),
        }
    }
    runs
}

/// Rows of an operand's steps.
fn rows(steps: &[u32]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (step, &address) in steps.iter().enumerate() {
        let stride = step
            .checked_sub(1)
            .and_then(|before| address.checked_sub(steps[before]));
        match (rows.last_mut(), stride) {
            (Some(row), Some(stride)) if row.count == 1 || row.stride == stride => {
                row.count += 1;
                row.stride = stride;
            }
            _ => rows.push(Row {
                first: step,
                count: 1,
                stride: 0,
            }),
        }
    }
    rows
}

/// Whether an operand's lanes come in runs that are worth it.
pub(super) fn has_runs(operand: &Operand) -> bool {
    operand.flow == Flow::ByRow
        && !operand.in_blocks()
        && runs(&operand.lanes).len() * SHORT <= operand.lanes.len()
}

impl Held<'_> {
    /// Takes lanes of a step.
    fn add(&mut self, step: usize, lanes: Range<usize>) {
        let base = self.steps[step];
        for i in 0..self.runs.len() {
            let run = self.runs[i];
            let from = run.lane.max(lanes.start);
            let to = (run.lane + run.length).min(lanes.end);
            if from >= to {
                continue;
            }
            let first = base as usize + run.address as usize + from - run.lane;
            self.take(step, first, to - from);
        }
    }

    /// Takes all lanes of the steps of a row.
    fn add_row(&mut self, row: Row) {
        let base = self.steps[row.first] as usize;
        let (stride, count) = (row.stride as usize, row.count);
        for i in 0..self.runs.len() {
            let run = self.runs[i];
            let first = base + run.address as usize;
            if stride <= run.length {
                self.take(row.first, first, stride * (count - 1) + run.length);
            } else if stride <= 64 {
                self.take_comb(row, first, run.length);
            } else {
                for step in 0..count {
                    let first = first + step * stride;
                    if first % 64 + run.length <= 64 {
                        self.set(
                            row.first,
                            first / 64,
                            (u64::MAX >> (64 - run.length)) << (first % 64),
                        );
                    } else {
                        self.take(row.first, first, run.length);
                    }
                }
            }
        }
    }

    /// Takes words one after another.
    fn take(&mut self, step: usize, first: usize, length: usize) {
        let last = first + length - 1;
        let (start, end) = (first / 64, last / 64);
        let mut mask = u64::MAX << (first % 64);
        for place in start..end {
            self.set(step, place, mask);
            mask = u64::MAX;
        }
        self.set(step, end, mask & u64::MAX >> (63 - last % 64));
    }

    /// Takes runs of words with gaps between them, the next one at most 64 words on.
    fn take_comb(&mut self, row: Row, first: usize, length: usize) {
        let stride = row.stride as usize;
        let teeth = (0..128)
            .step_by(stride)
            .fold(0u128, |teeth, at| teeth | (u128::MAX >> (128 - length)) << at);
        // where a place begins so many words after a tooth does
        let comb = |phase: usize| (teeth >> phase) as u64;
        let last = first + stride * (row.count - 1) + length - 1;
        let (start, end) = (first / 64, last / 64);
        let mut mask = comb(0) << (first % 64);
        let mut phase = (64 - first % 64) % stride;
        for place in start..end {
            self.set(row.first, place, mask);
            mask = comb(phase);
            phase = (phase + 64) % stride;
        }
        self.set(row.first, end, mask & u64::MAX >> (63 - last % 64));
    }

    #[inline]
    fn set(&mut self, step: usize, place: usize, mask: u64) {
        let new = mask & !self.bits[place];
        self.bits[place] |= new;
        self.count += u64::from(new.count_ones());
        if self.logs && new != 0 {
            self.log.push((step as u32, place as u32, new));
        }
    }

    /// Takes back what was added from a place of the log on, or all of the steps from one on.
    fn undo(&mut self, log: usize, step: usize) {
        while self.log.len() > log {
            let Some(&(at, place, new)) = self.log.last() else {
                break;
            };
            if (at as usize) < step {
                break;
            }
            self.bits[place as usize] &= !new;
            self.count -= u64::from(new.count_ones());
            self.log.pop();
        }
    }

    fn forget(&mut self) {
        self.bits.copy_from_slice(&self.absent);
        self.count = 0;
        self.log.clear();
    }

    /// Takes the cells of a fold from a frontier on until `full` words are held; returns the frontier there, or
    /// `None` at the end of the fold.
    fn fold(&mut self, lanes: usize, from: Frontier, full: u64) -> Option<Frontier> {
        self.log.clear();
        let begin = if from.begun {
            (from.diagonal + 1).saturating_sub(lanes)
        } else {
            0
        };
        let over = self.whole(lanes, begin, from, full)?;
        self.logs = true;
        // steps whose cells lie on both sides of the end, and those that were added together with them
        let mixed = (over + 1).saturating_sub(lanes).max(begin);
        let together = self.rows[self.row_of[mixed] as usize].first.max(begin);
        self.undo(0, together);
        for step in together..mixed {
            self.add(step, from.from(step)..lanes);
        }
        let mut diagonal = over;
        self.band(mixed, 0, diagonal, lanes, from);
        let mut width = lanes.next_power_of_two();
        while width > 0 {
            let log = self.log.len();
            self.band(mixed, diagonal, diagonal + width, lanes, from);
            if self.count >= full {
                self.undo(log, 0);
            } else {
                diagonal += width;
            }
            width /= 2;
        }
        // the last word is on this diagonal
        for lane in (diagonal + 1).saturating_sub(self.steps.len())..lanes.min(diagonal + 1) {
            let step = diagonal - lane;
            if step >= mixed && lane >= from.from(step) {
                self.add(step, lane..lane + 1);
                if self.count == full {
                    return Some(Frontier {
                        diagonal,
                        lane,
                        begun: true,
                    });
                }
            }
        }
        None
    }

    /// Takes whole steps from one on; returns the one that reaches `full` words.
    fn whole(&mut self, lanes: usize, begin: usize, from: Frontier, full: u64) -> Option<usize> {
        let mut step = begin;
        while step < self.steps.len() {
            let row = self.rows[self.row_of[step] as usize];
            // what may be taken back when the end is found
            let near = (lanes * (lanes + self.longest_row + row.count)) as u64;
            self.logs = self.count + near >= full;
            let end = row.first + row.count;
            if step == row.first && from.from(step) == 0 {
                let (log, count) = (self.log.len(), self.count);
                self.add_row(row);
                if self.count < full {
                    step = end;
                    continue;
                }
                self.undo(log, 0);
                debug_assert_eq!(self.count, count);
            }
            while step < end {
                self.add(step, from.from(step)..lanes);
                if self.count >= full {
                    return Some(step);
                }
                step += 1;
            }
        }
        None
    }

    /// Takes the cells of steps from one on that lie on diagonals in `[first, end)`.
    fn band(&mut self, from_step: usize, first: usize, end: usize, lanes: usize, from: Frontier) {
        for step in from_step..self.steps.len().min(end) {
            let low = first.saturating_sub(step).max(from.from(step));
            let high = (end - step).min(lanes);
            if low < high {
                self.add(step, low..high);
            }
        }
    }
}

/// DRAM reads of an operand by walking through its requests run by run.
pub(super) fn walked(operand: &Operand, tiling: &Tiling, sram_words: u64, first: i64) -> Access {
    let full = half(sram_words);
    let mut fetches = Fetches::new(sram_words, first);
    let mut absent = vec![0u64; operand.words.div_ceil(64)];
    for &word in &operand.absent {
        absent[word as usize / 64] |= 1 << (word % 64);
    }
    let rows = rows(&operand.steps);
    let mut held = Held {
        bits: absent.clone(),
        absent,
        runs: Vec::new(),
        steps: &operand.steps,
        longest_row: rows.iter().map(|row| row.count).max().unwrap_or(0),
        row_of: (0..)
            .zip(&rows)
            .flat_map(|(i, row)| std::iter::repeat_n(i, row.count))
            .collect(),
        rows,
        count: 0,
        log: Vec::new(),
        logs: true,
    };
    let folds: Vec<(usize, Vec<Run>)> = operand
        .lanes
        .chunks(operand.tile)
        .map(|lanes| (lanes.len(), runs(lanes)))
        .collect();
    let mut base = 0;
    for _ in 0..tiling.cf {
        for (lanes, runs) in &folds {
            held.runs.clone_from(runs);
            let mut at = Frontier::default();
            while let Some(end) = held.fold(*lanes, at, full) {
                fetches.complete((base + operand.lead(tiling) + end.diagonal as u64) as i64);
                held.forget();
                at = end;
            }
            base += tiling.fold;
        }
    }
    fetches.finish(held.count)
}

#[cfg(test)]
mod tests {
    use super::super::calc;
    use super::super::sparsity::Pattern;
    use super::super::streams;
    use super::super::topology::Layer;
    use super::*;
    use crate::hardware::{Dataflow, Systolic};
    use proptest::prelude::*;

    proptest! {
        /// Runs give what the walk word by word gives, whatever overlaps and wherever halves end.
        #[test]
        fn runs_equal_the_walk_word_by_word(
            size in 3u64..14, kernel in 1u64..4, channels in 1u64..40, filters in 1u64..40, stride in 1u64..4,
            rows in 1u32..20, cols in 1u32..12, sram in 100u64..4000,
        ) {
            let layer = Layer {
                name: "l".into(),
                ifmap: [size, size + 1],
                filter: [kernel, kernel],
                channels,
                filters,
                stride,
                ratio: [1, 1],
            };
            let out = layer.extents().expect("small").out;
            let array = Systolic { rows, cols, dataflow: Dataflow::WeightStationary };
            let tiling = Tiling::new(array, out[0] * out[1], kernel * kernel * channels, filters).expect("small");
            let operand = streams::ifmap(&layer, &Pattern::Dense, &tiling).expect("small");
            let slow = calc::walked(&operand, &tiling, sram, i64::from(rows));
            prop_assert_eq!(walked(&operand, &tiling, sram, i64::from(rows)), slow);
        }
    }
}
