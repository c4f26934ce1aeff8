//! The tile pipeline without stepping through equal tiles: what [`pipeline::run`](super::pipeline::run) finds, to the
//! bit, in a time that grows with the outer loop over tiles only.
//!
//! An inner loop over tiles is a first tile, equal tiles, and a last one that may be smaller. Equal tiles move the
//! same bits to and from DRAM; what is dealt to them of the array's cycles and bits differs by one at most, q or
//! q + 1. Where no port binds even if it is asked for the larger bits in the shorter time, or where nothing differs,
//! a step is one of two, and how often each comes follows from what is dealt in all. Where a port may bind for some
//! of the tiles only, they are stepped through.
//!
//! Where transfers take time at more than the DRAM's port (rows of the DRAM, ports of buffers, intermediate levels),
//! tiles are not counted. Whatever does not fit (counts that overflow, channel blocks that straddle groups, other operands of fused adds) is
//! left to the pipeline.

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

/// The ports that may bind in some step: the DRAM's, and those that lack time or hardly have any to spare.
#[derive(Debug, Clone, Copy)]
struct Ports {
    list: [Port; 5],
    count: usize,
    /// Tensors that cross them at the array's edge.
    edge: [bool; 4],
}

impl Ports {
    /// For tiles of at least `least` of `all` outputs. A tile is dealt at most B · w / all + 1 bits of a tensor and more
    /// than C · w / all − 1 cycles: a port with n tensors never binds if (C · width − B) · w ≥ (width + n) · all.
    fn new(layout: &Layout, cycles: u64, edge: &[u64; 4], least: u64, all: u64) -> Self {
        let mut ports = Self {
            list: [Port::default(); 5],
            count: 0,
            edge: [false; 4],
        };
        for port in layout.ports() {
            let bits = port.of(edge);
            let free = || -> Option<bool> {
                let needed: u128 = bits.iter().map(|&b| u128::from(b)).sum();
                let room = (u128::from(cycles) * u128::from(port.width)).checked_sub(needed)?;
                let tensors = bits.iter().filter(|&&b| b > 0).count() as u128;
                let margin = u128::from(port.width) + tensors;
                Some(least == all || room.checked_mul(least.into())? >= margin.checked_mul(all.into())?)
            };
            if port.dram || free() != Some(true) {
                for (live, bits) in ports.edge.iter_mut().zip(bits) {
                    *live |= bits > 0;
                }
                ports.list[ports.count] = *port;
                ports.count += 1;
            }
        }
        ports
    }

    fn iter(&self) -> impl Iterator<Item = &Port> {
        self.list[..self.count].iter()
    }
}

/// The steps so far.
struct Steps<'a> {
    layout: &'a Layout,
    ports: Ports,
    /// Whether some tensor does not move while the array works.
    apart: bool,
    cycles: u64,
    stalls: Stalls,
    moved: Moves,
    /// The tile at the array, and what the tile before it stores.
    current: Option<(Work, Moves)>,
    stored: u64,
}

impl<'a> Steps<'a> {
    fn new(layout: &'a Layout, ports: Ports) -> Self {
        Self {
            layout,
            ports,
            apart: layout.serial.contains(&true),
            cycles: 0,
            stalls: Stalls::default(),
            moved: Moves::default(),
            current: None,
            stored: 0,
        }
    }

    /// So many steps in which the array does `work` on a tile that moves `here`, while DRAM loads for the tile after
    /// it and stores for the one before.
    fn step(&mut self, work: &Work, here: &Moves, load: [u64; 3], store: u64, times: u64) -> Option<()> {
        let mut beside = [load[0], load[1], load[2], store];
        let mut alone = 0;
        if self.apart {
            let mut apart = [here.load[0], here.load[1], here.load[2], here.store];
            for t in 0..4 {
                let other = if self.layout.serial[t] {
                    &mut beside
                } else {
                    &mut apart
                };
                other[t] = 0;
            }
            let bits = sum(apart)?;
            if bits > 0 {
                alone = bits.div_ceil(self.layout.dram_width);
                self.stalls.charge_each(times, alone, apart).ok()?;
            }
        }
        let (mut longest, mut bound) = (work.compute, None);
        for port in self.ports.iter() {
            let mut bits = [0; 4];
            if self.ports.edge != [false; 4] {
                bits = port.of(&work.edge);
            }
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
        self.cycles = self
            .cycles
            .checked_add(longest.checked_add(alone)?.checked_mul(times)?)?;
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
    /// Of the tensors whose ports may bind.
    edge: [Option<Deal>; 4],
    /// Of weights and indices that are loaded.
    weights: [Option<Deal>; 2],
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
        let mut work = Work {
            compute: self.compute.next(outputs),
            edge: [0; 4],
        };
        for (bits, deal) in work.edge.iter_mut().zip(&mut self.edge) {
            if let Some(deal) = deal {
                *bits = deal.next(outputs);
            }
        }
        let mut moves = features;
        if tiles.weights {
            for (load, deal) in moves.load.iter_mut().zip(&mut self.weights) {
                if let Some(deal) = deal {
                    *load = bursts(deal.next(tiles.channels).into(), self.layout.burst).ok()?;
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
            for (load, deal) in moves.load.iter_mut().zip(&mut self.weights) {
                let Some(deal) = deal else { continue };
                let (least, most) = deal.ends(tiles.channels);
                *load = bursts(least.into(), self.layout.burst).ok()?;
                if most > least && bursts(most.into(), self.layout.burst).ok()? != *load {
                    return Some(false);
                }
            }
        }
        let (compute, _) = self.compute.ends(outputs);
        let (mut least, mut most) = ([0; 4], [0; 4]);
        for (t, deal) in self.edge.iter_mut().enumerate() {
            if let Some(deal) = deal {
                (least[t], most[t]) = deal.ends(outputs);
            }
        }
        for port in self.steps.ports.iter() {
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
        for deal in self.edge.iter_mut().flatten() {
            deal.skip(outputs, count);
        }
        if tiles.weights {
            for deal in self.weights.iter_mut().flatten() {
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
        for deal in self.weights.iter_mut().flatten() {
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
#[inline]
pub(super) fn run(extents: &Extents, array: &ArrayRun, layout: &Layout, tiling: Tiling) -> Option<MemoryRun> {
    if extents.added[0] > 0 {
        return None; // the operands of fused adds have bits of their own for each tile
    }
    let (channels, rows) = (extents.channels(), extents.rows());
    let all = channels.checked_mul(rows)?;
    let (blocks_k, blocks_r) = (channels.div_ceil(tiling.channels), rows.div_ceil(tiling.rows));
    let (reads, writes) = edge(&array.bits);
    let mut whole = [0; 4];
    for (whole, (read, written)) in whole.iter_mut().zip(reads.into_iter().zip(writes)) {
        *whole = read.checked_add(written)?;
    }
    let end = |extent: u64, size: u64| {
        if extent.is_multiple_of(size) {
            size
        } else {
            extent % size
        }
    };
    let least = end(channels, tiling.channels) * end(rows, tiling.rows);
    let ports = Ports::new(layout, array.cycles, &whole, least, all);
    let (mut edge, mut weights) = ([None; 4], [None; 2]);
    for t in 0..4 {
        if ports.edge[t] {
            edge[t] = Some(Deal::new(whole[t], all));
        }
    }
    for (t, bits) in [extents.weights, extents.indices].into_iter().enumerate() {
        if bits > 0 && layout.routes[t].home.is_some() {
            weights[t] = Some(Deal::new(bits, channels));
        }
    }
    let mut tiles = Tiles {
        extents,
        layout,
        compute: Deal::new(array.cycles, all),
        edge,
        weights,
        steps: Steps::new(layout, ports),
    };
    if blocks_k == 1 && blocks_r == 1 {
        let tile = Equal {
            count: 1,
            channels,
            rows,
            weights: true,
            inputs: true,
        };
        tiles.equal(&tile)?;
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
        activations: 0,
        tiling: Some(tiling),
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{memories, memory, tiled, work};
    use super::super::{Cut, pipeline};
    use super::*;
    use crate::hardware::{MemoryKind, TensorKind};
    use crate::network::LoopNest;
    use crate::simulate::engine::ArrayBits;
    use crate::simulate::{Causes, StoredBits};
    use crate::units::Capacity;
    use proptest::prelude::*;

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
            let mut memories = memories;
            // of the buffers that may hold a tensor only the innermost does: no level is intermediate
            let last = memories.len() - 1;
            let mut held = Vec::new();
            for memory in &mut memories[..last] {
                memory.holds.retain(|tensor| !held.contains(tensor));
                held.extend(memory.holds.iter().copied());
            }
            let layout = Layout::new(&memories);
            prop_assert!(layout.counted);
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
