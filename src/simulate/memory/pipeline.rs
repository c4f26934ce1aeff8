//! The tile pipeline: loads, computes and stores of consecutive tiles, step by step.

use super::tiling::{Extents, Order, Tiling};
use super::{Cut, MemoryRun, Route, TENSORS};
use crate::hardware::{Memory, MemoryKind, TensorKind};
use crate::simulate::count::fit;
use crate::simulate::engine::{ArrayBits, ArrayRun, Transfers};
use crate::simulate::{LayerWork, Traffic};
use crate::units::{Overflow, add};

/// Bits of one tile by tensor: what it loads, what it stores, and the portion of the array's work it is.
#[derive(Debug, Clone, Copy, Default)]
struct Tile {
    /// Weights, indices, inputs.
    load: [u64; 4],
    /// Outputs.
    store: [u64; 4],
    /// Array cycles.
    compute: u64,
    /// Bits at the array's edge.
    array: [u64; 4],
}

/// Splits `total` so that the parts up to a cumulative weight `at` of `all` sum to floor(total · at / all).
fn share(total: u64, before: u128, after: u128, all: u128) -> u64 {
    // at most 2^64 · 2^64, and the quotient fits as it is at most `total`
    let cut = |at: u128| u128::from(total) * at / all;
    (cut(after) - cut(before)) as u64
}

fn bursts(bits: u128, burst: u64) -> Result<u64, Overflow> {
    fit(bits
        .div_ceil(burst.max(1).into())
        .checked_mul(burst.max(1).into())
        .ok_or(Overflow)?)
}

/// Array-edge bits by tensor: reads, writes.
fn edge(bits: &ArrayBits) -> ([u64; 4], [u64; 4]) {
    (
        [bits.weights, bits.indices, bits.inputs, bits.outputs_read],
        [0, 0, 0, bits.outputs_written],
    )
}

struct Plan<'a> {
    extents: Extents,
    tiling: Tiling,
    routes: &'a [Route; 4],
    burst: u64,
}

impl Plan<'_> {
    /// Calls `each` with the tiles in order.
    fn tiles(
        &self,
        array: &ArrayRun,
        each: &mut dyn FnMut(Tile) -> Result<(), Overflow>,
    ) -> Result<(), Overflow> {
        let Self { extents, tiling, .. } = self;
        let (channels, rows) = (extents.channels(), extents.rows());
        let (blocks_k, blocks_r) = (channels.div_ceil(tiling.channels), rows.div_ceil(tiling.rows));
        let all = u128::from(channels) * u128::from(rows);
        let (reads, writes) = edge(&array.bits);
        let mut edge_bits = [0; 4];
        for (t, bits) in edge_bits.iter_mut().enumerate() {
            *bits = add(reads[t], writes[t])?;
        }
        let (outer, inner) = match tiling.order {
            Order::ChannelsOuter => (blocks_k, blocks_r),
            Order::RowsOuter => (blocks_r, blocks_k),
        };
        let mut done = 0u128;
        for o in 0..outer {
            for i in 0..inner {
                let (kb, rb) = match tiling.order {
                    Order::ChannelsOuter => (o, i),
                    Order::RowsOuter => (i, o),
                };
                let (k0, r0) = (kb * tiling.channels, rb * tiling.rows);
                let (k1, r1) = ((k0 + tiling.channels).min(channels), (r0 + tiling.rows).min(rows));
                let work = u128::from(k1 - k0) * u128::from(r1 - r0);
                let mut tile = Tile {
                    compute: share(array.cycles, done, done + work, all),
                    ..Tile::default()
                };
                for (t, &bits) in edge_bits.iter().enumerate() {
                    tile.array[t] = share(bits, done, done + work, all);
                }
                done += work;
                self.loads(&mut tile, (kb, k0, k1), (rb, r0, r1), blocks_k)?;
                each(tile)?;
            }
        }
        Ok(())
    }

    fn loads(
        &self,
        tile: &mut Tile,
        (kb, k0, k1): (u64, u64, u64),
        (rb, r0, r1): (u64, u64, u64),
        blocks_k: u64,
    ) -> Result<(), Overflow> {
        let Self {
            extents,
            tiling,
            routes,
            burst,
        } = self;
        let (channels, rows) = (u128::from(extents.channels()), extents.rows());
        let new_weights = match tiling.order {
            Order::ChannelsOuter => rb == 0,
            Order::RowsOuter => blocks_k > 1 || rb == 0,
        };
        if new_weights {
            for (t, bits) in [extents.weights, extents.indices].into_iter().enumerate() {
                if routes[t].home.is_some() {
                    tile.load[t] = bursts(share(bits, k0.into(), k1.into(), channels).into(), *burst)?;
                }
            }
        }
        // channel blocks of one group read the same inputs: those of the block before are still there if they
        // were of the same group and the same rows
        let same_group =
            kb > 0 && tiling.channels < extents.nest.k && k0 / extents.nest.k == (k0 - 1) / extents.nest.k;
        let same_rows = tiling.order == Order::RowsOuter || tiling.rows >= rows;
        if extents.input_streams && routes[2].home.is_some() && !(same_group && same_rows) {
            tile.load[2] = bursts(extents.input_tile(k1 - k0, r1 - r0), *burst)?;
        }
        if extents.output_streams && routes[3].home.is_some() {
            tile.store[3] = bursts(extents.output_tile(k1 - k0, r1 - r0), *burst)?;
        }
        Ok(())
    }
}

/// Calls `each` with the equal steps of given transfers.
fn given(
    transfers: &Transfers,
    routes: &[Route; 4],
    burst: u64,
    array: &ArrayRun,
    each: &mut dyn FnMut(Tile) -> Result<(), Overflow>,
) -> Result<(), Overflow> {
    let (reads, writes) = edge(&array.bits);
    let edge_bits = plus(reads, writes)?;
    // whole bursts over the layer: the bits of a step follow those of the step before
    let streams = |bits: [u64; 4]| -> Result<[u64; 4], Overflow> {
        let mut whole = [0; 4];
        for (t, bits) in bits.into_iter().enumerate() {
            if routes[t].home.is_some() {
                whole[t] = bursts(bits.into(), burst)?;
            }
        }
        Ok(whole)
    };
    let (loads, stores) = (streams(transfers.dram_loads)?, streams(transfers.dram_stores)?);
    let all = u128::from(transfers.steps);
    for i in 0..all {
        let part = |bits: [u64; 4]| bits.map(|bits| share(bits, i, i + 1, all));
        each(Tile {
            load: part(loads),
            store: part(stores),
            compute: share(array.cycles, i, i + 1, all),
            array: part(edge_bits),
        })?;
    }
    Ok(())
}

/// Stalls by tensor.
#[derive(Debug, Default)]
struct Stalls([u64; 4]);

impl Stalls {
    /// Charges `cycles` to tensors in proportion to their bits; what does not divide goes to the largest, of
    /// equals the first.
    fn charge(&mut self, cycles: u64, bits: [u64; 4]) -> Result<(), Overflow> {
        let all: u128 = bits.iter().map(|&b| u128::from(b)).sum();
        if cycles == 0 || all == 0 {
            return Ok(());
        }
        let mut rest = cycles;
        let mut largest = 0;
        for (t, &b) in bits.iter().enumerate() {
            let part = (u128::from(cycles) * u128::from(b) / all) as u64;
            self.0[t] = add(self.0[t], part)?;
            rest -= part;
            if b > bits[largest] {
                largest = t;
            }
        }
        self.0[largest] = add(self.0[largest], rest)?;
        Ok(())
    }
}

/// The tensors of `bits` for which `keep` holds.
fn only(bits: [u64; 4], keep: impl Fn(usize) -> bool) -> [u64; 4] {
    std::array::from_fn(|t| if keep(t) { bits[t] } else { 0 })
}

fn sum(bits: [u64; 4]) -> u128 {
    bits.iter().map(|&b| u128::from(b)).sum()
}

fn plus(a: [u64; 4], b: [u64; 4]) -> Result<[u64; 4], Overflow> {
    Ok([
        add(a[0], b[0])?,
        add(a[1], b[1])?,
        add(a[2], b[2])?,
        add(a[3], b[3])?,
    ])
}

pub(super) fn run(
    work: &LayerWork,
    array: &ArrayRun,
    memories: &[Memory],
    routes: &[Route; 4],
    cut: Cut,
) -> Result<MemoryRun, Overflow> {
    let dram = memories.len() - 1;
    let burst = if let MemoryKind::Dram { burst_bits } = memories[dram].kind {
        burst_bits
    } else {
        1
    };
    // tensors that do not move while the array works
    let serial = match cut {
        Cut::Given(transfers) => transfers.overlaps.map(|overlaps| !overlaps),
        Cut::Tiles(_) => routes.map(|r| {
            r.home.is_some_and(|h| {
                matches!(
                    memories[h].kind,
                    MemoryKind::Buffer {
                        double_buffered: false,
                        ..
                    }
                )
            })
        }),
    };
    let port =
        |memory: usize, bits: u128| fit(bits.div_ceil(memories[memory].bits_per_cycle.value.max(1).into()));

    let mut stalls = Stalls::default();
    let mut cycles = 0u64;
    let mut moved = ([0u64; 4], [0u64; 4]);
    // tiles before, at and after the array
    let mut stored = Tile::default();
    let mut current: Option<Tile> = None;
    let mut step = |current: Tile, next: Tile, stored: Tile| -> Result<(), Overflow> {
        let mut longest = current.compute;
        let mut bound = [0; 4];
        for (m, _) in memories.iter().enumerate() {
            let mut bits = only(current.array, |t| routes[t].inner == m);
            if m == dram {
                bits = plus(bits, only(plus(next.load, stored.store)?, |t| !serial[t]))?;
            }
            let taken = port(m, sum(bits))?;
            if taken > longest {
                (longest, bound) = (taken, bits);
            }
        }
        let apart = only(plus(current.load, current.store)?, |t| serial[t]);
        let apart_cycles = port(dram, sum(apart))?;
        stalls.charge(longest - current.compute, bound)?;
        stalls.charge(apart_cycles, apart)?;
        cycles = add(cycles, add(longest, apart_cycles)?)?;
        Ok(())
    };
    let mut each = |tile: Tile| {
        moved = (plus(moved.0, tile.load)?, plus(moved.1, tile.store)?);
        match current {
            // the first load stands alone
            None => step(Tile::default(), tile, Tile::default())?,
            Some(before) => {
                step(before, tile, stored)?;
                stored = before;
            }
        }
        current = Some(tile);
        Ok(())
    };
    match cut {
        Cut::Given(transfers) => given(&transfers, routes, burst, array, &mut each)?,
        Cut::Tiles(tiling) => Plan {
            extents: Extents::new(work, array)?,
            tiling,
            routes,
            burst,
        }
        .tiles(array, &mut each)?,
    }
    if let Some(last) = current {
        step(last, Tile::default(), stored)?;
        step(Tile::default(), Tile::default(), last)?;
    }

    // what the buffers see of the transfers
    let passed = match cut {
        Cut::Given(transfers) => (transfers.loads, transfers.stores),
        Cut::Tiles(_) => moved,
    };
    let mut causes = array.causes;
    [
        causes.stall_weights,
        causes.stall_indices,
        causes.stall_inputs,
        causes.stall_outputs,
    ] = stalls.0;
    Ok(MemoryRun {
        cycles,
        causes,
        traffic: traffic(array, memories, routes, moved, passed)?,
    })
}

/// Reads and writes of every memory: of bits moved at the DRAM, and of bits that pass the buffers on their way.
fn traffic(
    array: &ArrayRun,
    memories: &[Memory],
    routes: &[Route; 4],
    (dram_loads, dram_stores): ([u64; 4], [u64; 4]),
    (loads, stores): ([u64; 4], [u64; 4]),
) -> Result<Vec<Traffic>, Overflow> {
    let (reads, writes) = edge(&array.bits);
    let dram = memories.len() - 1;
    let mut list = Vec::new();
    for (m, memory) in memories.iter().enumerate() {
        for (t, &tensor) in TENSORS.iter().enumerate() {
            let (mut read, mut written) = (0, 0);
            if routes[t].inner == m {
                (read, written) = (reads[t], writes[t]);
            }
            if m == dram {
                (read, written) = (add(read, dram_loads[t])?, add(written, dram_stores[t])?);
            } else if holds(memory, tensor) {
                // a tile on its way in is written here, and read here on its way further in; the other way out
                (written, read) = (add(written, loads[t])?, add(read, stores[t])?);
                if routes[t].inner != m {
                    (read, written) = (add(read, loads[t])?, add(written, stores[t])?);
                }
            }
            if read > 0 || written > 0 {
                list.push(Traffic {
                    memory: memory.name.clone(),
                    tensor,
                    read_bits: read,
                    write_bits: written,
                });
            }
        }
    }
    Ok(list)
}

fn holds(memory: &Memory, tensor: TensorKind) -> bool {
    memory.holds.contains(&tensor)
}
