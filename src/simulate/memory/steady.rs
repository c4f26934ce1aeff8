//! The tile pipeline without stepping through equal tiles: what [`pipeline::run`](super::pipeline::run) finds, to the
//! bit, in a time that grows with the outer loop over tiles only.
//!
//! An inner loop over tiles is a first tile, equal tiles, and a last one that may be smaller. Equal tiles move the
//! same bits to and from DRAM; what is dealt to them of the array's cycles and bits differs by one at most, q or
//! q + 1. Where no port binds even if it is asked for the larger bits in the shorter time, or where nothing differs,
//! a step is one of two, and how often each comes follows from what is dealt in all. Where a port may bind for some
//! of the tiles only, they are stepped through.
//!
//! Whatever does not fit (counts that overflow, channel blocks that straddle groups) is left to the pipeline.

use super::pipeline::{Deal, Stalls, bursts, edge};
use super::tiling::{Extents, TileOrder, Tiling};
use super::{Layout, MemoryRun, Port};
use crate::simulate::engine::ArrayRun;

/// Equal tiles that are stepped through as fast as they are counted.
const FEW: u64 = 5;

/// What moves between DRAM and the buffers for one tile.
#[derive(Debug, Clone, Copy, Default)]
struct Moves {
    /// Weights, indices, inputs.
    load: [u64; 3],
    /// Outputs.
    store: u64,
}

/// The array's part of a tile: its cycles, and the bits at its edge by tensor.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    compute: u64,
    edge: [u64; 4],
}

fn sum(bits: [u64; 4]) -> Option<u64> {
    bits.iter().try_fold(0u64, |sum, &bits| sum.checked_add(bits))
}

impl Port {
    /// Of the bits at the array's edge, those that cross this port.
    fn of(&self, edge: &[u64; 4]) -> [u64; 4] {
        std::array::from_fn(|t| if self.tensors[t] { edge[t] } else { 0 })
    }
}

/// The steps so far.
struct Steps<'a> {
    layout: &'a Layout,
    cycles: u64,
    stalls: Stalls,
    moved: Moves,
    /// The tile at the array, and what the tile before it stores.
    current: Option<(Work, Moves)>,
    stored: u64,
}

impl<'a> Steps<'a> {
    fn new(layout: &'a Layout) -> Self {
        Self {
            layout,
            cycles: 0,
            stalls: Stalls::default(),
            moved: Moves::default(),
            current: None,
            stored: 0,
        }
    }

    /// So many steps in which the array does `work` on a tile that moves `here`, while DRAM loads for the tile after
    /// it and stores for the one before.
    #[inline]
    fn step(&mut self, work: &Work, here: &Moves, load: [u64; 3], store: u64, times: u64) -> Option<()> {
        let layout = self.layout;
        let mut beside = [load[0], load[1], load[2], store];
        let mut apart = [here.load[0], here.load[1], here.load[2], here.store];
        for t in 0..4 {
            let other = if layout.serial[t] { &mut beside } else { &mut apart };
            other[t] = 0;
        }
        let (mut longest, mut bound) = (work.compute, None);
        for port in layout.ports() {
            let mut bits = port.of(&work.edge);
            if port.dram {
                for (bits, beside) in bits.iter_mut().zip(beside) {
                    *bits = bits.checked_add(beside)?;
                }
            }
            let all = sum(bits)?;
            // most ports have time to spare: a product says so without a division
            if all > 0 && longest.checked_mul(port.width).is_none_or(|room| all > room) {
                (longest, bound) = (all.div_ceil(port.width), Some(bits));
            }
        }
        if let Some(bits) = bound {
            self.stalls
                .charge_each(times, longest - work.compute, bits)
                .ok()?;
        }
        let apart_bits = sum(apart)?;
        if apart_bits > 0 {
            let cycles = apart_bits.div_ceil(layout.dram_width);
            self.stalls.charge_each(times, cycles, apart).ok()?;
            longest = longest.checked_add(cycles)?;
        }
        self.cycles = self.cycles.checked_add(longest.checked_mul(times)?)?;
        Some(())
    }

    fn count(&mut self, moves: &Moves, times: u64) -> Option<()> {
        for (moved, load) in self.moved.load.iter_mut().zip(moves.load) {
            *moved = moved.checked_add(load.checked_mul(times)?)?;
        }
        self.moved.store = self.moved.store.checked_add(moves.store.checked_mul(times)?)?;
        Some(())
    }

    /// The next tile.
    fn push(&mut self, work: Work, moves: Moves) -> Option<()> {
        self.count(&moves, 1)?;
        if let Some((before, its)) = self.current.replace((work, moves)) {
            self.step(&before, &its, moves.load, self.stored, 1)?;
            self.stored = its.store;
            Some(())
        } else {
            // the first load stands alone
            self.step(&Work::default(), &Moves::default(), moves.load, 0, 1)
        }
    }

    /// Tiles between two that are equal to them: the one before is at the array and stays there, as all of them
    /// do the same.
    fn between(&mut self, work: &Work, moves: &Moves, times: u64) -> Option<()> {
        self.count(moves, times)?;
        self.step(work, moves, moves.load, moves.store, times)
    }

    /// The last compute and the last store.
    fn finish(&mut self) -> Option<()> {
        if let Some((work, moves)) = self.current.take() {
            self.step(&work, &moves, [0; 3], self.stored, 1)?;
            self.step(&Work::default(), &Moves::default(), [0; 3], moves.store, 1)?;
        }
        Some(())
    }
}

/// Neighbours in an inner loop that are equal.
#[derive(Debug, Clone, Copy)]
struct Equal {
    count: u64,
    channels: u64,
    rows: u64,
    weights: bool,
    inputs: bool,
}

/// The tiles of a layer.
struct Tiles<'a> {
    extents: &'a Extents,
    layout: &'a Layout,
    compute: Deal,
    edge: [Deal; 4],
    weights: [Deal; 2],
    steps: Steps<'a>,
}

impl Tiles<'_> {
    fn features(&self, channels: u64, rows: u64, inputs: bool) -> Option<Moves> {
        let (extents, layout) = (self.extents, self.layout);
        let mut moves = Moves::default();
        if inputs && extents.input_streams && layout.routes[2].home.is_some() {
            moves.load[2] = bursts(extents.input_tile(channels, rows), layout.burst).ok()?;
        }
        if extents.output_streams && layout.routes[3].home.is_some() {
            moves.store = bursts(extents.output_tile(channels, rows), layout.burst).ok()?;
        }
        Some(moves)
    }

    fn one(&mut self, tiles: &Equal, features: Moves) -> Option<()> {
        let outputs = tiles.channels * tiles.rows;
        let work = Work {
            compute: self.compute.next(outputs),
            edge: std::array::from_fn(|t| self.edge[t].next(outputs)),
        };
        let mut moves = features;
        if tiles.weights {
            for (t, deal) in self.weights.iter_mut().enumerate() {
                let bits = deal.next(tiles.channels);
                if self.layout.routes[t].home.is_some() {
                    moves.load[t] = bursts(bits.into(), self.layout.burst).ok()?;
                }
            }
        }
        self.steps.push(work, moves)
    }

    fn equal(&mut self, tiles: &Equal) -> Option<()> {
        if tiles.count == 0 {
            return Some(());
        }
        let features = self.features(tiles.channels, tiles.rows, tiles.inputs)?;
        let mut left = tiles.count;
        if left > FEW {
            // the others have equal tiles on both sides
            self.one(tiles, features)?;
            self.one(tiles, features)?;
            left -= 2;
            if self.between(tiles, features, left - 1)? {
                left = 1;
            }
        }
        for _ in 0..left {
            self.one(tiles, features)?;
        }
        Some(())
    }

    /// Counts so many tiles whose neighbours are equal to them; `false`, and nothing is done, if they do not all take
    /// the same steps.
    fn between(&mut self, tiles: &Equal, features: Moves, count: u64) -> Option<bool> {
        let outputs = tiles.channels * tiles.rows;
        let mut moves = features;
        if tiles.weights {
            for (t, deal) in self.weights.iter_mut().enumerate() {
                if self.layout.routes[t].home.is_none() {
                    continue;
                }
                let (least, most) = deal.ends(tiles.channels);
                moves.load[t] = bursts(least.into(), self.layout.burst).ok()?;
                if most > least && bursts(most.into(), self.layout.burst).ok()? != moves.load[t] {
                    return Some(false);
                }
            }
        }
        let (compute, _) = self.compute.ends(outputs);
        let ends = [0, 1, 2, 3].map(|t| self.edge[t].ends(outputs));
        let (least, most) = (ends.map(|e| e.0), ends.map(|e| e.1));
        for port in self.layout.ports() {
            let (low, mut high) = (sum(port.of(&least))?, sum(port.of(&most))?);
            if low == high {
                continue;
            }
            if port.dram {
                let [weights, indices, inputs] = moves.load;
                high = high.checked_add(sum([weights, indices, inputs, moves.store])?)?;
            }
            if compute.checked_mul(port.width).is_none_or(|room| high > room) {
                return Some(false);
            }
        }
        let more = self.compute.skip(outputs, count);
        for deal in &mut self.edge {
            deal.skip(outputs, count);
        }
        if tiles.weights {
            for deal in &mut self.weights {
                deal.skip(tiles.channels, count);
            }
        }
        for (compute, times) in [(compute, count - more), (compute.saturating_add(1), more)] {
            if times > 0 {
                let work = Work { compute, edge: least };
                self.steps.between(&work, &moves, times)?;
            }
        }
        Some(true)
    }

    /// All channels of a block of rows, the rows outside.
    fn channels(&mut self, tiling: Tiling, rows: u64) -> Option<()> {
        let nest = &self.extents.nest;
        let all = self.extents.channels();
        let in_group = tiling.channels < nest.k;
        // blocks that load inputs, and those after each of them that find them there
        let (groups, blocks) = if !in_group {
            (all / tiling.channels, 1)
        } else if nest.g == 1 {
            (1, nest.k / tiling.channels)
        } else if nest.k.is_multiple_of(tiling.channels) {
            (nest.g, nest.k / tiling.channels)
        } else {
            return None;
        };
        let rest = all % tiling.channels;
        let equal = |count: u64, channels: u64, inputs: bool| Equal {
            count,
            channels,
            rows,
            weights: true,
            inputs,
        };
        for deal in &mut self.weights {
            deal.restart();
        }
        if in_group {
            for _ in 0..groups {
                self.equal(&equal(1, tiling.channels, true))?;
                self.equal(&equal(blocks - 1, tiling.channels, false))?;
            }
        } else {
            self.equal(&equal(groups, tiling.channels, true))?;
        }
        self.equal(&equal(u64::from(rest > 0), rest, !in_group))
    }

    /// All rows of a block of channels, the channels outside.
    fn rows(&mut self, tiling: Tiling, channels: u64) -> Option<()> {
        let all = self.extents.rows();
        let (whole, rest) = (all / tiling.rows, all % tiling.rows);
        let equal = |count: u64, rows: u64, weights: bool| Equal {
            count,
            channels,
            rows,
            weights,
            inputs: true,
        };
        self.equal(&equal(whole.min(1), tiling.rows, true))?;
        self.equal(&equal(whole.saturating_sub(1), tiling.rows, false))?;
        self.equal(&equal(u64::from(rest > 0), rest, whole == 0))
    }
}

/// The run of a tiling; `None` where only the pipeline knows.
pub(super) fn run(extents: &Extents, array: &ArrayRun, layout: &Layout, tiling: Tiling) -> Option<MemoryRun> {
    let (channels, rows) = (extents.channels(), extents.rows());
    let all = channels.checked_mul(rows)?;
    let (blocks_k, blocks_r) = (channels.div_ceil(tiling.channels), rows.div_ceil(tiling.rows));
    let (reads, writes) = edge(&array.bits);
    let mut whole = [0; 4];
    for (whole, (read, written)) in whole.iter_mut().zip(reads.into_iter().zip(writes)) {
        *whole = read.checked_add(written)?;
    }
    let stored = [extents.weights, extents.indices];
    let mut tiles = Tiles {
        extents,
        layout,
        compute: Deal::new(array.cycles, all),
        edge: whole.map(|bits| Deal::new(bits, all)),
        weights: stored.map(|bits| Deal::new(bits, channels)),
        steps: Steps::new(layout),
    };
    if blocks_k == 1 && blocks_r == 1 {
        let mut moves = tiles.features(channels, rows, true)?;
        for t in 0..2 {
            if layout.routes[t].home.is_some() {
                moves.load[t] = bursts(stored[t].into(), layout.burst).ok()?;
            }
        }
        let work = Work {
            compute: array.cycles,
            edge: whole,
        };
        tiles.steps.push(work, moves)?;
    } else if blocks_r == 1 || (blocks_k > 1 && tiling.order == TileOrder::RowsOuter) {
        for o in 0..blocks_r {
            tiles.channels(tiling, tiling.rows.min(rows - o * tiling.rows))?;
        }
    } else {
        for o in 0..blocks_k {
            tiles.rows(tiling, tiling.channels.min(channels - o * tiling.channels))?;
        }
    }
    tiles.steps.finish()?;
    let Steps {
        cycles,
        stalls,
        moved,
        ..
    } = tiles.steps;
    let mut causes = array.causes;
    [
        causes.stall_weights,
        causes.stall_indices,
        causes.stall_inputs,
        causes.stall_outputs,
    ] = stalls.0;
    let [weights, indices, inputs] = moved.load;
    let dram = ([weights, indices, inputs, 0], [0, 0, 0, moved.store]);
    Some(MemoryRun {
        cycles,
        causes,
        dram,
        passed: dram,
        tiling: Some(tiling),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Cut, pipeline};
    use super::*;
    use crate::hardware::{Memory, MemoryKind, Sourced, TensorKind};
    use crate::network::LoopNest;
    use crate::simulate::engine::ArrayBits;
    use crate::simulate::{Causes, LayerWork, StoredBits, Weights};
    use crate::units::{Capacity, Energy};
    use proptest::prelude::*;

    fn sourced<T>(value: T) -> Sourced<T> {
        Sourced {
            value,
            source: "made up".into(),
        }
    }

    fn memory(kind: MemoryKind, width: u64, holds: Vec<TensorKind>) -> Memory {
        let energy = || sourced(Energy::new(1.0).expect("positive"));
        Memory {
            name: "m".into(),
            kind,
            bits_per_cycle: sourced(width),
            holds,
            read_per_bit: energy(),
            write_per_bit: energy(),
        }
    }

    /// Up to three buffers with any tensors in them, and the DRAM.
    fn memories() -> impl Strategy<Value = Vec<Memory>> {
        let buffer = (1u64..4096, any::<bool>(), any::<[bool; 4]>(), 1u64..3000);
        (prop::collection::vec(buffer, 0..4), 1u64..600, 0usize..3).prop_map(|(buffers, width, burst)| {
            let kinds = [
                TensorKind::Weights,
                TensorKind::Indices,
                TensorKind::Inputs,
                TensorKind::Outputs,
            ];
            let mut memories: Vec<Memory> = buffers
                .into_iter()
                .map(|(width, double_buffered, holds, capacity)| {
                    let capacity = Capacity::new(capacity as f64 * 8.0).expect("positive");
                    let kind = MemoryKind::Buffer {
                        capacity,
                        double_buffered,
                    };
                    let held = (0..4).filter(|&t| holds[t]).map(|t| kinds[t]).collect();
                    memory(kind, width, held)
                })
                .collect();
            let kind = MemoryKind::Dram {
                burst_bits: [1, 64, 512][burst],
            };
            memories.push(memory(kind, width, kinds.to_vec()));
            memories
        })
    }

    prop_compose! {
        /// A layer in tiles: blocks lie in a group or a sample, or hold whole ones.
        fn tiled()(
            n in 1u64..4, g in prop_oneof![Just(1u64), 2u64..5], k in 1u64..60, p in 1u64..40, r in 1u64..4, stride in 1u64..3,
        )(
            channels in prop_oneof![1..=k, (1..=g).prop_map(move |groups| groups * k)],
            rows in prop_oneof![1..=p, (1..=n).prop_map(move |samples| samples * p)],
            outer in any::<bool>(),
            nest in Just(LoopNest { n, g, k, c: 3, p, q: 5, r, s: 2, stride: [stride; 2], dilation: [1; 2] }),
        ) -> (LoopNest, Tiling) {
            let order = if outer { TileOrder::ChannelsOuter } else { TileOrder::RowsOuter };
            (nest, Tiling { channels, rows, order })
        }
    }

    prop_compose! {
        /// What an array did: numbers that divide evenly now and then, and that let ports bind or not.
        fn array(outputs: u64)(
            each in 1u64..4000, even in any::<bool>(), odd in 0u64..1000, edges in any::<[u16; 4]>(), back in 0u64..100,
            weights in prop_oneof![0u64..40, 0u64..2_000_000], indices in prop_oneof![Just(0u64), 0u64..500_000],
        ) -> ArrayRun {
            let rest = if even { 0 } else { odd };
            let bits = |edge: u16| u64::from(edge >> (edge % 13)) * outputs + rest;
            let cycles = each * outputs + rest;
            ArrayRun {
                cycles,
                causes: Causes { compute: cycles, ..Causes::default() },
                stored: StoredBits { weights, indices },
                bits: ArrayBits {
                    weights: bits(edges[0]),
                    indices: if indices > 0 { bits(edges[1]) } else { 0 },
                    inputs: bits(edges[2]),
                    outputs_written: bits(edges[3]),
                    outputs_read: back,
                },
                ..ArrayRun::default()
            }
        }
    }

    fn work(nest: LoopNest, elements: [u64; 2], dram: [bool; 2]) -> LayerWork<'static> {
        LayerWork {
            name: "l",
            nest,
            weights: Weights::Density(1.0),
            weight_bits: 8,
            activation_bits: 8,
            activation_density: 1.0,
            output_density: 1.0,
            input_elements: elements[0],
            output_elements: elements[1],
            input_from_dram: dram[0],
            output_to_dram: dram[1],
            mapping: None,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Counting equal tiles gives what stepping through all gives: cycles, every cause, every bit moved. Only
        /// blocks that straddle groups are left to the stepping.
        #[test]
        fn counting_equals_stepping(
            ((nest, tiling), array) in tiled().prop_flat_map(|(nest, tiling)| {
                let outputs = nest.n * nest.g * nest.k * nest.p;
                (Just((nest, tiling)), array(outputs))
            }),
            memories in memories(),
            elements in any::<[u16; 2]>(),
            dram in any::<[bool; 2]>(),
            tight in prop::option::of((0usize..5, 0u64..30)),
        ) {
            let mut array = array;
            let layout = Layout::new(&memories);
            if let Some((port, spare)) = tight {
                // a port that has hardly a cycle to spare, or lacks one
                let port = layout.ports()[port % layout.ports().len()];
                let (reads, writes) = edge(&array.bits);
                let bits = sum(port.of(&reads)).expect("small") + sum(port.of(&writes)).expect("small");
                array.cycles = bits / port.width + spare;
                array.causes.compute = array.cycles;
            }
            let work = work(nest, elements.map(|e| u64::from(e) + 1), dram);
            let stepped = pipeline::run(&work, &array, &memories, &layout, Cut::Tiles(tiling)).expect("small");
            let extents = Extents::new(&work, &array).expect("small");
            match run(&extents, &array, &layout, tiling) {
                Some(counted) => prop_assert_eq!(counted, stepped),
                None => prop_assert!(nest.g > 1 && tiling.channels < nest.k && nest.k % tiling.channels > 0),
            }
        }
    }

    /// 1,000 blocks of one channel, ten cycles and 64 bits of weights each, over a port of 4 bits a cycle: the first
    /// load takes 16 cycles, 999 computes wait 6 cycles for the next load, the last does not, and nothing is stored.
    #[test]
    fn a_thousand_tiles_by_hand() {
        let nest = LoopNest {
            n: 1,
            g: 1,
            k: 1000,
            c: 8,
            p: 1,
            q: 1,
            r: 1,
            s: 1,
            stride: [1; 2],
            dilation: [1; 2],
        };
        let buffer = MemoryKind::Buffer {
            capacity: Capacity::new(1024.0).expect("positive"),
            double_buffered: true,
        };
        let memories = [
            memory(buffer, 64, vec![TensorKind::Weights]),
            memory(MemoryKind::Dram { burst_bits: 64 }, 4, Vec::new()),
        ];
        let array = ArrayRun {
            cycles: 10_000,
            stored: StoredBits {
                weights: 64_000,
                indices: 0,
            },
            ..ArrayRun::default()
        };
        let tiling = Tiling {
            channels: 1,
            rows: 1,
            order: TileOrder::ChannelsOuter,
        };
        let work = work(nest, [8, 1000], [false; 2]);
        let extents = Extents::new(&work, &array).expect("small");
        let run = run(&extents, &array, &Layout::new(&memories), tiling).expect("it is counted");
        assert_eq!(run.cycles, 16 + 999 * 16 + 10);
        assert_eq!(run.causes.stall_weights, 16 + 999 * 6);
    }
}
