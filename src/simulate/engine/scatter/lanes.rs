//! The steps of exact runs, a bank a byte.
//!
//! What waits before the banks of a PE is one vector of bytes, what a weight adds to it together with a vector of
//! active elements another, so that a step is a few additions and a maximum. A PE's output-channel groups do not
//! depend on each other: all of them take their steps with a vector of elements before the next is looked at, which the
//! vectors of the weights' places in a group and the channel's elements make cheap. Where no two products of a vector
//! of elements can meet in a bank, steps are only counted.

use super::exact::Tile;
use super::plane::NONE;
use super::{Layer, Totals};
use crate::compression::Mask;
use std::ops::Range;

/// What one step of the engine may do to a bank: a queue before it, and all products of the step.
const MOST: u64 = 254;
/// Places of an output-channel group that have a vector.
const PLACES: u64 = u16::MAX as u64;
/// Lists of weights that are built together, in weights.
const BLOCK: usize = 1 << 18;
/// Vectors of a tile that are kept for the next channel.
const KEPT: usize = 1 << 16;

/// Whether steps of the layer fit bytes.
pub(super) fn fits(layer: &Layer) -> bool {
    let engine = layer.engine;
    let products = u64::from(engine.weights) * u64::from(engine.activations);
    let nest = layer.work.nest;
    engine.banks <= 128
        && products + u64::from(engine.queue_depth) <= MOST
        && (nest.r * nest.s)
            .checked_mul(layer.together)
            .is_some_and(|places| places < PLACES)
}

/// One sample, `samples` times over.
pub(super) fn product(layer: &Layer, mask: &Mask, tiles: &[Tile], samples: u128, totals: &mut Totals) {
    let mut run = |group| match layer.engine.banks {
        ..=32 => group_of::<32>(layer, mask, tiles, group, samples, totals),
        33..=64 => group_of::<64>(layer, mask, tiles, group, samples, totals),
        _ => group_of::<128>(layer, mask, tiles, group, samples, totals),
    };
    for group in 0..layer.work.nest.g {
        run(group);
    }
}

fn group_of<const N: usize>(
    layer: &Layer,
    mask: &Mask,
    tiles: &[Tile],
    group: u64,
    samples: u128,
    totals: &mut Totals,
) {
    let nest = layer.work.nest;
    let mut lists = Lists::new(layer);
    let mut all: Vec<Pe<N>> = tiles.iter().map(|_| Pe::new(layer, lists.groups)).collect();
    let mut steps = Steps::default();
    for first in (0..nest.c as usize).step_by(lists.channels) {
        let channels = first..(first + lists.channels).min(nest.c as usize);
        lists.fill(layer, mask, group, channels.clone());
        for channel in channels {
            lists.channel(channel - first, &mut steps);
            totals.entries += samples * u128::from(steps.entries);
            if steps.entries == 0 {
                continue;
            }
            for (pe, tile) in all.iter_mut().zip(tiles) {
                let one = pe.channel(tile, (group * nest.c) as usize + channel, &steps);
                totals.add(&one, samples * u128::from(tile.times));
            }
        }
    }
    for group in 0..lists.groups {
        let mut slowest = 0;
        for (pe, tile) in all.iter().zip(tiles) {
            let time = pe.end(group);
            slowest = slowest.max(time);
            totals.busy += samples * u128::from(tile.times) * time;
        }
        totals.total += samples * slowest;
    }
}

/// The entries of a block of channels: for each output-channel group and channel the places of its weights in the group,
/// and fillers.
struct Lists {
    /// Entries of a step.
    wide: usize,
    index_bits: u32,
    /// Output channels of a group, and kernel places.
    together: usize,
    kernel: usize,
    /// Output-channel groups.
    groups: usize,
    /// Channels of a block.
    channels: usize,
    /// Entries for which each list has room.
    room: usize,
    entries: Vec<u16>,
    lengths: Vec<usize>,
    /// The place behind each list's last weight.
    ends: Vec<usize>,
    /// Weights at each place of the kernel, of all output channels.
    weights: Vec<u64>,
}

/// The steps of all output-channel groups with one vector of elements of a channel.
#[derive(Debug, Default)]
struct Steps {
    /// Which output-channel group each belongs to.
    group: Vec<u32>,
    /// Places of the entries, so many a step.
    places: Vec<u16>,
    entries: u64,
    /// Output-channel groups with entries.
    busy: u64,
    /// Weights at each place of the kernel.
    weights: Vec<u64>,
}

impl Lists {
    fn new(layer: &Layer) -> Self {
        let nest = layer.work.nest;
        let (together, kernel) = (layer.together as usize, (nest.r * nest.s) as usize);
        let groups = nest.k.div_ceil(layer.together) as usize;
        let room = together * kernel;
        let channels = (BLOCK / (groups * room)).clamp(1, nest.c as usize);
        Self {
            wide: layer.engine.weights as usize,
            index_bits: layer.engine.index_bits.into(),
            together,
            kernel,
            groups,
            channels,
            room,
            entries: vec![0; groups * channels * room],
            lengths: Vec::new(),
            ends: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// The place that stands for a filler, which adds nothing.
    fn filler(&self) -> u16 {
        self.room as u16
    }

    fn fill(&mut self, layer: &Layer, mask: &Mask, group: u64, channels: Range<usize>) {
        let outputs = layer.work.nest.k as usize;
        let (lists, filler) = (self.groups * self.channels, self.filler());
        for (list, len) in [(&mut self.lengths, lists), (&mut self.ends, lists)] {
            list.clear();
            list.resize(len, 0);
        }
        self.weights.clear();
        self.weights.resize(self.channels * self.kernel, 0);
        let places: Vec<(usize, usize)> = channels
            .clone()
            .enumerate()
            .flat_map(|(channel, _)| (0..self.kernel).map(move |place| (channel, place)))
            .collect();
        for output in 0..outputs {
            let from = (group as usize * outputs + output) * mask.cols() + channels.start * self.kernel;
            let (first, before) = (
                output / self.together * self.channels,
                output % self.together * self.kernel,
            );
            for (base, mut word) in mask.words_in(from..from + places.len()) {
                while word != 0 {
                    let at = base + word.trailing_zeros() as usize - from;
                    word &= word - 1;
                    let (channel, place) = places[at];
                    let (list, place) = (first + channel, before + place);
                    self.weights[at] += 1;
                    let row = &mut self.entries[list * self.room..(list + 1) * self.room];
                    let len = &mut self.lengths[list];
                    // z zeros before a weight take floor(z / 2^bits) fillers
                    for _ in 0..place.saturating_sub(self.ends[list]) >> self.index_bits {
                        row[*len] = filler;
                        *len += 1;
                    }
                    row[*len] = place as u16;
                    *len += 1;
                    self.ends[list] = place + 1;
                }
            }
        }
    }

    /// The steps of a channel of the block.
    fn channel(&self, channel: usize, steps: &mut Steps) {
        let filler = self.filler();
        steps.group.clear();
        steps.places.clear();
        (steps.entries, steps.busy) = (0, 0);
        for group in 0..self.groups {
            let list = group * self.channels + channel;
            let len = self.lengths[list];
            if len == 0 {
                continue;
            }
            steps.entries += len as u64;
            steps.busy += 1;
            let entries = &self.entries[list * self.room..][..len];
            for step in entries.chunks(self.wide) {
                steps.group.push(group as u32);
                steps.places.extend_from_slice(step);
                steps.places.resize(steps.group.len() * self.wide, filler);
            }
        }
        let weights = &self.weights[channel * self.kernel..][..self.kernel];
        steps.weights.clear();
        steps.weights.extend_from_slice(weights);
    }
}

/// An output-channel group on a PE.
#[derive(Debug, Clone, Copy)]
struct State<const N: usize> {
    waiting: [u8; N],
    now: u64,
}

/// A PE: its tile's vectors and the time of its output-channel groups.
struct Pe<const N: usize> {
    states: Vec<State<N>>,
    /// Elements of a step.
    wide: usize,
    /// Entries of a step.
    weights: usize,
    depth: u8,
    banks: u64,
    /// Kernel rows and columns.
    kernel: [usize; 2],
    /// Output channels of a group.
    together: usize,
    /// The elements that the vectors are for.
    active: Vec<[u32; 2]>,
    /// What each place of an output-channel group adds to each bank, for each vector of elements; a row of nothing last.
    vectors: Vec<[u8; N]>,
    /// Whether no two products of a vector of elements meet in a bank.
    apart: bool,
    /// Outputs that the elements reach by each place of the kernel.
    reached: Vec<u64>,
    /// Whether nothing waits before any bank.
    quiet: bool,
}

impl<const N: usize> Pe<N> {
    fn new(layer: &Layer, groups: usize) -> Self {
        let (engine, nest) = (layer.engine, layer.work.nest);
        let state = State {
            waiting: [0; N],
            now: 0,
        };
        Self {
            states: vec![state; groups],
            wide: engine.activations as usize,
            weights: engine.weights as usize,
            depth: engine.queue_depth as u8,
            banks: engine.banks.into(),
            kernel: [nest.r as usize, nest.s as usize],
            together: layer.together as usize,
            active: Vec::new(),
            vectors: Vec::new(),
            apart: true,
            reached: vec![0; (nest.r * nest.s) as usize],
            quiet: true,
        }
    }

    /// Places of an output-channel group, and the filler.
    fn rows(&self) -> usize {
        self.together * self.kernel[0] * self.kernel[1] + 1
    }

    /// Goes through a channel with entries and returns what was done, but for the time.
    fn channel(&mut self, tile: &Tile, channel: usize, steps: &Steps) -> Totals {
        let active = tile.channel(channel);
        let count = active.len().div_ceil(self.wide);
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || self.steps(tile, active, steps),
        );
        let [elements, count] = [active.len(), count].map(|n| n as u128);
        let useful = self.reached.iter().zip(&steps.weights);
        Totals {
            useful: useful.map(|(&a, &b)| u128::from(a) * u128::from(b)).sum(),
            made: elements * u128::from(steps.entries),
            steps: count * steps.group.len() as u128,
            decoded: count * u128::from(steps.entries),
            inputs: elements * u128::from(steps.busy),
            ..Totals::default()
        }
    }

    /// Takes the steps of all output-channel groups with a channel's active elements.
    #[inline(always)]
    fn steps(&mut self, tile: &Tile, active: &[[u32; 2]], steps: &Steps) {
        let count = active.len().div_ceil(self.wide);
        let kept = count * self.rows() <= KEPT;
        if !kept || self.active != active {
            self.active.clear();
            self.active.extend_from_slice(active);
            self.vectors.clear();
            self.reached.fill(0);
            self.apart = kept;
            for elements in active.chunks(self.wide).filter(|_| kept) {
                self.look(tile, elements);
            }
        }
        if self.apart && self.quiet {
            for &group in &steps.group {
                self.states[group as usize].now += count as u64;
            }
            return;
        }
        self.quiet = false;
        if kept {
            for vectors in self.vectors.chunks_exact(self.rows()) {
                go(&mut self.states, vectors, steps, self.weights, self.depth);
            }
        } else {
            for elements in active.chunks(self.wide) {
                self.vectors.clear();
                self.look(tile, elements);
                go(&mut self.states, &self.vectors, steps, self.weights, self.depth);
            }
        }
    }

    /// Appends what the places of an output-channel group add to the banks with these elements.
    #[inline(always)]
    fn look(&mut self, tile: &Tile, elements: &[[u32; 2]]) {
        let [rows, cols] = self.kernel;
        let start = self.vectors.len();
        self.vectors.resize(start + self.rows(), [0; N]);
        let vectors = &mut self.vectors[start..];
        let banks = self.banks as usize;
        for place in 0..rows * cols {
            // the banks of the first channel, turned for each that follows
            let mut first = [0u8; N];
            for &[y, x] in elements {
                let down = tile.rows.lands[y as usize * rows + place / cols];
                let across = tile.cols.lands[x as usize * cols + place % cols];
                if down != NONE && across != NONE {
                    let address = u64::from(down) * tile.cols.reach + u64::from(across);
                    first[(address % self.banks) as usize] += 1;
                    self.reached[place] += 1;
                }
            }
            for k in 0..self.together {
                let turn =
                    (k as u64 * (tile.rows.reach * tile.cols.reach % self.banks) % self.banks) as usize;
                let row = &mut vectors[k * rows * cols + place];
                row[turn..banks].copy_from_slice(&first[..banks - turn]);
                row[..turn].copy_from_slice(&first[banks - turn..banks]);
            }
        }
        let mut sum = [0u8; N];
        for row in vectors.iter() {
            for (sum, &products) in sum.iter_mut().zip(row) {
                *sum = sum.saturating_add(products);
            }
        }
        self.apart &= sum.iter().all(|&products| products <= 1);
    }

    /// When an output-channel group is done.
    fn end(&self, group: usize) -> u128 {
        let state = &self.states[group];
        u128::from(state.now) + u128::from(state.waiting.iter().copied().max().unwrap_or(0))
    }
}

/// Takes the steps of all output-channel groups with one vector of elements.
#[inline(always)]
fn go<const N: usize>(states: &mut [State<N>], vectors: &[[u8; N]], steps: &Steps, wide: usize, depth: u8) {
    // the usual width with its length known
    if wide == 4 {
        step::<N>(states, vectors, steps, 4, depth);
    } else {
        step::<N>(states, vectors, steps, wide, depth);
    }
}

#[inline(always)]
fn step<const N: usize>(states: &mut [State<N>], vectors: &[[u8; N]], steps: &Steps, wide: usize, depth: u8) {
    for (places, &group) in steps.places.chunks_exact(wide).zip(&steps.group) {
        let state = &mut states[group as usize];
        let mut waiting = state.waiting;
        for &place in places {
            for (waiting, &more) in waiting.iter_mut().zip(&vectors[place as usize]) {
                *waiting = waiting.wrapping_add(more);
            }
        }
        // a cycle, and as many more as the fullest bank has products for which its queue has no room
        let mut worst = 0;
        for &bank in &waiting {
            worst = bank.max(worst);
        }
        let cycles = worst.saturating_sub(depth).max(1);
        for waiting in &mut waiting {
            *waiting = waiting.saturating_sub(cycles);
        }
        state.waiting = waiting;
        state.now = state.now.wrapping_add(u64::from(cycles));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{exact, linear};
    use super::*;
    use crate::hardware::Scatter;
    use crate::network::LoopNest;
    use crate::simulate::{LayerWork, Weights};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The steps one by one, product by product.
    #[test]
    fn bytes_equal_banks_one_by_one() {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let (mut waited, mut counts) = (0, 0);
        for case in 0..600u64 {
            let mut of = |range: Range<u64>| random.random_range(range);
            let flat = case % 3 == 0;
            let kernel = if flat { 1 } else { of(1..4) };
            let (k, c) = if flat {
                (of(1..40), of(1..1200))
            } else {
                (of(1..20), of(1..9))
            };
            let [p, q] = [of(1..9), of(1..9)].map(|size| if flat { 1 } else { size });
            let nest = LoopNest {
                n: 1,
                g: of(1..3),
                k,
                c,
                p,
                q,
                r: kernel,
                s: if case % 5 == 0 { 1 } else { kernel },
                stride: [of(1..3), 1],
                dilation: [1, of(1..3)],
            };
            let engine = Scatter {
                rows: of(1..4) as u32,
                cols: of(1..4) as u32,
                weights: of(1..7) as u32,
                activations: of(1..6) as u32,
                banks: [1, 7, 32, 50, 128][of(0..5) as usize],
                queue_depth: of(0..5) as u32,
                accumulators: 4096,
                output_channels: of(1..9) as u32,
                index_bits: of(1..5) as u8,
            };
            let mut mask = Mask::empty((nest.g * nest.k) as usize, (nest.c * nest.r * nest.s) as usize);
            let density = [0.05, 0.3, 0.9][of(0..3) as usize];
            let activation_density = [0.4, 1.0][of(0..2) as usize];
            for i in 0..mask.len() {
                mask.set(i, random.random_bool(density));
            }
            let work = LayerWork {
                name: "layer",
                nest,
                weights: Weights::Pattern(&mask),
                weight_bits: 8,
                activation_bits: crate::simulate::ActivationBits::all(8),
                activation_density,
                input_elements: nest.g * nest.c,
                output_elements: 1,
                input_from_dram: true,
                output_to_dram: true,
                output_density: 1.0,
                mapping: None,
                fused: None,
            };
            let mut layer = Layer::new(engine, &work);
            layer.together = layer.fitting().expect("accumulators suffice");
            assert!(fits(&layer));
            let tiles = exact::spread(
                &layer,
                crate::simulate::count::Portion::new(activation_density),
                nest.g * nest.c,
            );
            let [mut bytes, mut slowly] = [Totals::default(); 2];
            product(&layer, &mask, &tiles, 3, &mut bytes);
            exact::product(&layer, &mask, &tiles, 3, &mut slowly);
            assert_eq!(format!("{bytes:?}"), format!("{slowly:?}"), "{engine:?} {nest:?}");
            waited += u32::from(bytes.busy > bytes.steps);
            if linear::fits(&layer) {
                let mut counted = Totals::default();
                linear::product(&layer, &mask, &tiles, 3, &mut counted);
                assert_eq!(
                    format!("{counted:?}"),
                    format!("{slowly:?}"),
                    "{engine:?} {nest:?}"
                );
                counts += 1;
            }
        }
        assert!(waited > 100 && counts > 50, "{waited} {counts}");
    }
}
