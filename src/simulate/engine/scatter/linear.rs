//! Linear layers, whose products never wait.
//!
//! A channel is one element, and an output channel has one weight for it. The weights of an output-channel group that
//! go to it lie in different banks and never take a filler as long as they are no more than banks and the reach of an
//! index, so that a step takes one cycle and only the weights of each channel in each group matter. They are counted
//! bit-sliced.

use super::super::slices::counting::{Bits, COLUMNS, WORDS, below, increment, width, window};
use super::exact::Tile;
use super::{Layer, Totals};
use crate::compression::Mask;
use pulp::NullaryFnOnce;

/// Whether the layer is linear and its products never wait.
pub(super) fn fits(layer: &Layer) -> bool {
    let nest = layer.work.nest;
    let reach = 1 << layer.engine.index_bits;
    [nest.p, nest.q, nest.r, nest.s] == [1; 4] && layer.together <= reach.min(layer.engine.banks.into())
}

/// One sample, `samples` times over.
pub(super) fn product(layer: &Layer, mask: &Mask, tiles: &[Tile], samples: u128, totals: &mut Totals) {
    let nest = layer.work.nest;
    let inputs = nest.c as usize;
    for group in 0..nest.g {
        let base = group as usize * inputs;
        let alive: Vec<Vec<Bits>> = tiles.iter().map(|tile| alive(tile, base, inputs)).collect();
        for first in (0..nest.k).step_by(layer.together as usize) {
            let channels = layer.together.min(nest.k - first);
            let row = (group * nest.k + first) as usize;
            let mut slowest = 0;
            for (i, (tile, alive)) in tiles.iter().zip(&alive).enumerate() {
                let count = Group {
                    mask,
                    rows: row..row + channels as usize,
                    alive,
                    wide: layer.engine.weights.into(),
                };
                let one = pulp::Arch::new().dispatch(count);
                if i == 0 {
                    totals.entries += samples * one.entries;
                }
                slowest = slowest.max(one.steps);
                totals.add(&one, samples * u128::from(tile.times));
            }
            totals.total += samples * slowest;
        }
    }
}

/// The channels whose element is active.
fn alive(tile: &Tile, base: usize, inputs: usize) -> Vec<Bits> {
    let mut alive = vec![[0; WORDS]; inputs.div_ceil(COLUMNS)];
    for channel in (0..inputs).filter(|c| !tile.channel(base + c).is_empty()) {
        alive[channel / COLUMNS][channel % COLUMNS / 64] |= 1 << (channel % 64);
    }
    alive
}

/// Counts what a PE does with an output-channel group.
struct Group<'a> {
    mask: &'a Mask,
    rows: std::ops::Range<usize>,
    alive: &'a [Bits],
    /// Weights of a step.
    wide: u64,
}

impl NullaryFnOnce for Group<'_> {
    type Output = Totals;

    #[inline(always)]
    fn call(self) -> Totals {
        let cols = self.mask.cols();
        let depth = width(self.rows.len() as u64);
        let mut planes = [[0; WORDS]; u64::BITS as usize];
        let planes = &mut planes[..depth];
        let (mut all, mut taken, mut read, mut steps) = (0, 0, 0, 0);
        for (block, alive) in self.alive.iter().enumerate() {
            let from = block * COLUMNS;
            planes.fill([0; WORDS]);
            for row in self.rows.clone() {
                increment(planes, window(self.mask.words(), row * cols + from));
            }
            // what lies behind the row's end belongs to the next
            for plane in planes.iter_mut() {
                for (i, bits) in plane.iter_mut().enumerate() {
                    *bits &= below((cols - from).saturating_sub(64 * i));
                }
            }
            for (bit, plane) in planes.iter().enumerate() {
                all += ones(plane, plane) << bit;
                taken += ones(plane, alive) << bit;
            }
            read += ones(&at_least(planes, 1), alive);
            // ceil(n / wide) is the number of steps t for which n is at least t · wide + 1
            for step in (1..=self.rows.len() as u64).step_by(self.wide as usize) {
                steps += ones(&at_least(planes, step), alive);
            }
        }
        let [entries, taken, inputs, steps] = [all, taken, read, steps].map(u128::from);
        Totals {
            useful: taken,
            made: taken,
            decoded: taken,
            busy: steps,
            total: 0,
            entries,
            inputs,
            steps,
        }
    }
}

/// Columns that are set in both.
#[inline(always)]
fn ones(a: &Bits, b: &Bits) -> u64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| u64::from((a & b).count_ones()))
        .sum()
}

/// Columns that count at least `least`.
#[inline(always)]
fn at_least(planes: &[Bits], least: u64) -> Bits {
    let mut reached = [u64::MAX; WORDS];
    for (bit, plane) in planes.iter().enumerate() {
        for (reached, bits) in reached.iter_mut().zip(plane) {
            *reached = if least >> bit & 1 == 1 {
                *reached & bits
            } else {
                *reached | bits
            };
        }
    }
    reached
}
