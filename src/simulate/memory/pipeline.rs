//! The tile pipeline: loads, computes and stores of consecutive tiles, step by step.

use super::addresses::Block;
use super::dram::Runs;
use super::step::Charges;
use super::tiling::{Extents, TileOrder, Tiling};
use super::{Cut, Layout, MemoryRun};
use crate::hardware::Memory;
use crate::simulate::count::fit;
use crate::simulate::engine::{ArrayBits, ArrayRun, Transfers};
use crate::simulate::{Causes, LayerWork};
use crate::units::{Overflow, add, mul};

/// Bits of one tile by tensor: what it loads, what it stores, and the portion of the array's work it is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tile {
    /// Weights, indices, inputs.
    pub(super) load: [u64; 4],
    /// Outputs.
    pub(super) store: [u64; 4],
    /// Array cycles.
    pub(super) compute: u64,
    /// Bits at the array's edge.
    pub(super) array: [u64; 4],
    /// What transfers take time for beside the DRAM's port; nothing where the profile has none of it.
    pub(super) beside: Beside,
}

/// Of a tile's transfers: the bits that the buffers see, and the rows of the DRAM that are opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beside {
    /// Bits on their way in and out.
    pub(super) passed: [[u64; 4]; 2],
    /// Rows opened by loads and by stores.
    pub(super) opened: [[u64; 4]; 2],
}

/// Deals `total` out in proportion: after parts of a cumulative weight `at` of `all`, floor(total · at / all) has been
/// dealt. Weights that have been seen before take no division.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deal {
    total: u64,
    all: u64,
    /// What is left of the last division, below `all`.
    rest: u64,
    /// Weights seen last: quotient and remainder of total · weight / all.
    seen: [(u64, u64, u64); 2],
}

impl Deal {
    pub(super) fn new(total: u64, all: u64) -> Self {
        Self {
            total,
            all: all.max(1),
            rest: 0,
            seen: [(0, 0, 0); 2],
        }
    }

    /// Begins again.
    pub(super) fn restart(&mut self) {
        self.rest = 0;
    }

    /// Quotient and remainder of total · weight / all.
    fn part(&mut self, weight: u64) -> (u64, u64) {
        if weight == self.all {
            return (self.total, 0);
        }
        if self.seen[0].0 != weight {
            self.seen.swap(0, 1);
            if self.seen[0].0 != weight {
                let (quotient, remainder) = if let Some(wide) = self.total.checked_mul(weight) {
                    (wide / self.all, wide % self.all)
                } else {
                    // at most 2^64 · 2^64, and the quotient is at most `total` as weight ≤ all
                    let wide = u128::from(self.total) * u128::from(weight);
                    let all = u128::from(self.all);
                    ((wide / all) as u64, (wide % all) as u64)
                };
                self.seen[0] = (weight, quotient, remainder);
            }
        }
        (self.seen[0].1, self.seen[0].2)
    }

    /// The part of the next `weight` of `all`.
    pub(super) fn next(&mut self, weight: u64) -> u64 {
        let (quotient, remainder) = self.part(weight);
        if self.rest >= self.all - remainder {
            self.rest -= self.all - remainder;
            quotient + 1
        } else {
            self.rest += remainder;
            quotient
        }
    }

    /// The least and the most that a `weight` of `all` may be dealt.
    pub(super) fn ends(&mut self, weight: u64) -> (u64, u64) {
        let (quotient, remainder) = self.part(weight);
        (quotient, quotient + u64::from(remainder > 0))
    }

    /// Deals the next `times` parts of `weight` of `all` at once; returns how many of them are the larger one.
    pub(super) fn skip(&mut self, weight: u64, times: u64) -> u64 {
        let (_, remainder) = self.part(weight);
        let sum = u128::from(self.rest) + u128::from(remainder) * u128::from(times);
        let all = u128::from(self.all);
        self.rest = (sum % all) as u64;
        (sum / all) as u64
    }
}

/// Bits of tiles by their channels and rows: the last two sizes are remembered.
#[derive(Debug, Clone, Copy, Default)]
struct Sized([(u64, u64, u64); 2]);

impl Sized {
    fn get(
        &mut self,
        channels: u64,
        rows: u64,
        bits: impl FnOnce() -> Result<u64, Overflow>,
    ) -> Result<u64, Overflow> {
        let is = |e: &(u64, u64, u64)| (e.0, e.1) == (channels, rows);
        if !is(&self.0[0]) {
            self.0.swap(0, 1);
            if !is(&self.0[0]) {
                self.0[0] = (channels, rows, bits()?);
            }
        }
        Ok(self.0[0].2)
    }
}

pub(super) fn bursts(bits: u128, burst: u64) -> Result<u64, Overflow> {
    if let Ok(bits) = u64::try_from(bits) {
        return mul(bits.div_ceil(burst), burst);
    }
    fit(bits
        .div_ceil(burst.max(1).into())
        .checked_mul(burst.max(1).into())
        .ok_or(Overflow)?)
}

/// Array-edge bits by tensor: reads, writes.
pub(super) fn edge(bits: &ArrayBits) -> ([u64; 4], [u64; 4]) {
    (
        [bits.weights, bits.indices, bits.inputs, bits.outputs_read],
        [0, 0, 0, bits.outputs_written],
    )
}

struct Plan<'a> {
    extents: Extents,
    tiling: Tiling,
    layout: &'a Layout,
    /// What transfers are charged for beside the DRAM's port.
    charges: Option<Charged>,
}

/// What a tile's [`Beside`] is filled for: bits of a DRAM row, if there are any.
#[derive(Debug, Clone, Copy)]
struct Charged {
    row: Option<u64>,
}

impl Plan<'_> {
    /// Rows of the DRAM that runs open; none where rows are not modelled.
    fn opened(&self, runs: impl FnOnce() -> Result<Runs, Overflow>) -> Result<u64, Overflow> {
        match self.charges.and_then(|charged| charged.row) {
            Some(row) => runs()?.rows(row),
            None => Ok(0),
        }
    }

    /// Calls `each` with the tiles in order.
    fn tiles(
        &self,
        array: &ArrayRun,
        mut each: impl FnMut(Tile) -> Result<(), Overflow>,
    ) -> Result<(), Overflow> {
        let Self {
            extents,
            tiling,
            layout,
            charges,
        } = self;
        let (channels, rows) = (extents.channels(), extents.rows());
        let (blocks_k, blocks_r) = (channels.div_ceil(tiling.channels), rows.div_ceil(tiling.rows));
        let all = mul(channels, rows)?;
        let (reads, writes) = edge(&array.bits);
        let mut compute = Deal::new(array.cycles, all);
        let mut edges = [compute; 4];
        for (t, deal) in edges.iter_mut().enumerate() {
            *deal = Deal::new(add(reads[t], writes[t])?, all);
        }
        let mut weights = [extents.weights, extents.indices].map(|bits| Deal::new(bits, channels));
        let mut weights_at = [0u128; 2];
        let (mut inputs, mut outputs) = (Sized::default(), Sized::default());
        let (outer, inner) = match tiling.order {
            TileOrder::ChannelsOuter => (blocks_k, blocks_r),
            TileOrder::RowsOuter => (blocks_r, blocks_k),
        };
        for o in 0..outer {
            for i in 0..inner {
                let (kb, rb) = match tiling.order {
                    TileOrder::ChannelsOuter => (o, i),
                    TileOrder::RowsOuter => (i, o),
                };
                let k0 = kb * tiling.channels;
                let some_channels = tiling.channels.min(channels - k0);
                let some_rows = tiling.rows.min(rows - rb * tiling.rows);
                let work = some_channels * some_rows;
                let mut tile = Tile {
                    compute: compute.next(work),
                    ..Tile::default()
                };
                for (bits, deal) in tile.array.iter_mut().zip(&mut edges) {
                    *bits = deal.next(work);
                }
                let new_weights = match tiling.order {
                    TileOrder::ChannelsOuter => rb == 0,
                    TileOrder::RowsOuter => blocks_k > 1 || rb == 0,
                };
                if new_weights {
                    for (t, deal) in weights.iter_mut().enumerate() {
                        if kb == 0 {
                            deal.restart();
                            weights_at[t] = 0;
                        }
                        let bits = deal.next(some_channels);
                        if layout.routes[t].home.is_some() {
                            tile.load[t] = bursts(bits.into(), layout.burst)?;
                            tile.beside.opened[0][t] = self.opened(|| Ok(Runs::one(weights_at[t], bits)))?;
                        }
                        weights_at[t] += u128::from(bits);
                    }
                }
                let block = Block {
                    channel: k0,
                    channels: some_channels,
                    row: rb * tiling.rows,
                    rows: some_rows,
                };
                // channel blocks of one group read the same inputs: those of the block before are still there if
                // they were of the same group and the same rows
                let same_group = kb > 0
                    && tiling.channels < extents.nest.k
                    && k0 / extents.nest.k == (k0 - 1) / extents.nest.k;
                let same_rows = tiling.order == TileOrder::RowsOuter || tiling.rows >= rows;
                if extents.input_streams && layout.routes[2].home.is_some() && !(same_group && same_rows) {
                    tile.load[2] = inputs.get(some_channels, some_rows, || {
                        bursts(extents.input_tile(some_channels, some_rows), layout.burst)
                    })?;
                    tile.beside.opened[0][2] = self.opened(|| block.inputs(extents))?;
                }
                if extents.added[0] > 0 && layout.routes[2].home.is_some() {
                    let added = extents.added_tile(some_channels, some_rows);
                    tile.load[2] = add(tile.load[2], bursts(added, layout.burst)?)?;
                    let opened = self.opened(|| block.outputs(extents, extents.added[0], added))?;
                    tile.beside.opened[0][2] = add(tile.beside.opened[0][2], opened)?;
                }
                if extents.output_streams && layout.routes[3].home.is_some() {
                    tile.store[3] = outputs.get(some_channels, some_rows, || {
                        bursts(extents.output_tile(some_channels, some_rows), layout.burst)
                    })?;
                    let bits = extents.output_tile(some_channels, some_rows);
                    tile.beside.opened[1][3] =
                        self.opened(|| block.outputs(extents, extents.output, bits))?;
                }
                if charges.is_some() {
                    tile.beside.passed = [tile.load, tile.store];
                }
                each(tile)?;
            }
        }
        Ok(())
    }
}

/// Calls `each` with the equal steps of given transfers.
fn given(
    transfers: &Transfers,
    layout: &Layout,
    array: &ArrayRun,
    charges: Option<Charged>,
    mut each: impl FnMut(Tile) -> Result<(), Overflow>,
) -> Result<(), Overflow> {
    let (reads, writes) = edge(&array.bits);
    // whole bursts over the layer: the bits of a step follow those of the step before
    let streams = |bits: [u64; 4]| -> Result<[u64; 4], Overflow> {
        let mut whole = [0; 4];
        for (t, bits) in bits.into_iter().enumerate() {
            if layout.routes[t].home.is_some() {
                whole[t] = bursts(bits.into(), layout.burst)?;
            }
        }
        Ok(whole)
    };
    let deals = |bits: [u64; 4]| bits.map(|bits| Deal::new(bits, transfers.steps));
    let mut loads = deals(streams(transfers.dram_loads)?);
    let mut stores = deals(streams(transfers.dram_stores)?);
    let mut edges = deals(plus(reads, writes)?);
    let mut compute = Deal::new(array.cycles, transfers.steps);
    let part = |deals: &mut [Deal; 4]| -> [u64; 4] { std::array::from_fn(|t| deals[t].next(1)) };
    let mut passing = [transfers.loads, transfers.stores].map(deals);
    // each tensor is one stream: a step goes on where the one before it ended
    let mut places = [[0u128; 4]; 2];
    for _ in 0..transfers.steps {
        let mut tile = Tile {
            load: part(&mut loads),
            store: part(&mut stores),
            compute: compute.next(1),
            array: part(&mut edges),
            beside: Beside::default(),
        };
        if let Some(Charged { row }) = charges {
            tile.beside.passed = [part(&mut passing[0]), part(&mut passing[1])];
            if let Some(row) = row {
                for (way, moved) in [tile.load, tile.store].into_iter().enumerate() {
                    for (t, bits) in moved.into_iter().enumerate() {
                        tile.beside.opened[way][t] = Runs::one(places[way][t], bits).rows(row)?;
                        places[way][t] += u128::from(bits);
                    }
                }
            }
        }
        each(tile)?;
    }
    Ok(())
}

/// Stalls by tensor.
#[derive(Debug, Default)]
pub(super) struct Stalls(pub(super) [u64; 4]);

impl Stalls {
    /// The causes of an array's cycles with these stalls.
    fn beside(&self, causes: Causes) -> Causes {
        let [stall_weights, stall_indices, stall_inputs, stall_outputs] = self.0;
        Causes {
            stall_weights,
            stall_indices,
            stall_inputs,
            stall_outputs,
            ..causes
        }
    }

    /// Charges `cycles` to tensors in proportion to their bits; what does not divide goes to the largest, of
    /// equals the first.
    pub(super) fn charge(&mut self, cycles: u64, bits: [u64; 4]) -> Result<(), Overflow> {
        self.charge_each(1, cycles, bits)
    }

    /// Charges `cycles` so many times.
    pub(super) fn charge_each(&mut self, times: u64, cycles: u64, bits: [u64; 4]) -> Result<(), Overflow> {
        if cycles == 0 {
            return Ok(());
        }
        let mut charged = (0..bits.len()).filter(|&t| bits[t] > 0);
        match (charged.next(), charged.next()) {
            (None, _) => return Ok(()),
            (Some(alone), None) => {
                self.0[alone] = add(self.0[alone], mul(cycles, times)?)?;
                return Ok(());
            }
            _ => {}
        }
        let all: u128 = bits.iter().map(|&b| u128::from(b)).sum();
        let mut rest = cycles;
        let mut largest = 0;
        for (t, &b) in bits.iter().enumerate() {
            let part = share(cycles, b, all);
            self.0[t] = add(self.0[t], mul(part, times)?)?;
            rest -= part;
            if b > bits[largest] {
                largest = t;
            }
        }
        self.0[largest] = add(self.0[largest], mul(rest, times)?)?;
        Ok(())
    }
}

/// `floor(cycles · bits / all)` of bits up to `all`, in 64 bits where they suffice.
fn share(cycles: u64, bits: u64, all: u128) -> u64 {
    if bits == 0 || all == u128::from(bits) {
        return if bits == 0 { 0 } else { cycles };
    }
    match (cycles.checked_mul(bits), u64::try_from(all)) {
        (Some(wide), Ok(all)) => wide / all,
        _ => (u128::from(cycles) * u128::from(bits) / all) as u64,
    }
}

/// The tensors of `bits` for which `keep` holds.
pub(super) fn only(bits: [u64; 4], keep: impl Fn(usize) -> bool) -> [u64; 4] {
    std::array::from_fn(|t| if keep(t) { bits[t] } else { 0 })
}

pub(super) fn plus(a: [u64; 4], b: [u64; 4]) -> Result<[u64; 4], Overflow> {
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
    layout: &Layout,
    cut: Cut,
) -> Result<MemoryRun, Overflow> {
    let dram = memories.len() - 1;
    let routes = &layout.routes;
    // tensors that do not move while the array works
    let serial = match cut {
        Cut::Given(transfers) => transfers.overlaps.map(|overlaps| !overlaps),
        Cut::Tiles(_) => layout.serial,
    };
    let widths: Vec<u64> = memories.iter().map(|m| m.bits_per_cycle.value.max(1)).collect();
    let mut needs = vec![0u64; memories.len()];
    let mut charges = Charges::new(memories, layout, serial);
    let charged = charges.as_ref().map(|charges| Charged {
        row: charges.rows.map(|rows| rows.bits),
    });

    let mut stalls = Stalls::default();
    let mut cycles = 0u64;
    let mut moved = ([0u64; 4], [0u64; 4]);
    // tiles before, at and after the array
    let mut stored = Tile::default();
    let mut current: Option<Tile> = None;
    let mut step = |current: &Tile, next: &Tile, stored: &Tile| -> Result<(), Overflow> {
        if let Some(charges) = &mut charges {
            cycles = add(cycles, charges.step(current, next, stored, &mut stalls)?)?;
            return Ok(());
        }
        needs.fill(0);
        let mut apart_bits = 0;
        for t in 0..4 {
            let inner = &mut needs[routes[t].inner];
            *inner = add(*inner, current.array[t])?;
            if serial[t] {
                apart_bits = add(apart_bits, add(current.load[t], current.store[t])?)?;
            } else {
                needs[dram] = add(needs[dram], add(next.load[t], stored.store[t])?)?;
            }
        }
        let (mut longest, mut bound) = (current.compute, None);
        for (m, (&bits, width)) in needs.iter().zip(&widths).enumerate() {
            // most ports have time to spare: a product says so without a division
            if bits > 0 && longest.checked_mul(*width).is_none_or(|room| bits > room) {
                (longest, bound) = (bits.div_ceil(*width), Some(m));
            }
        }
        if let Some(m) = bound {
            let mut bits = only(current.array, |t| routes[t].inner == m);
            if m == dram {
                bits = plus(bits, only(plus(next.load, stored.store)?, |t| !serial[t]))?;
            }
            stalls.charge(longest - current.compute, bits)?;
        }
        let mut apart_cycles = 0;
        if apart_bits > 0 {
            apart_cycles = apart_bits.div_ceil(widths[dram]);
            stalls.charge(
                apart_cycles,
                only(plus(current.load, current.store)?, |t| serial[t]),
            )?;
        }
        cycles = add(cycles, add(longest, apart_cycles)?)?;
        Ok(())
    };
    let none = Tile::default();
    let mut each = |tile: Tile| {
        moved = (plus(moved.0, tile.load)?, plus(moved.1, tile.store)?);
        match &current {
            // the first load stands alone
            None => step(&none, &tile, &none)?,
            Some(before) => {
                step(before, &tile, &stored)?;
                stored = *before;
            }
        }
        current = Some(tile);
        Ok(())
    };
    match cut {
        Cut::Given(transfers) => given(&transfers, layout, array, charged, &mut each)?,
        Cut::Tiles(tiling) => Plan {
            extents: Extents::new(work, array)?,
            tiling,
            layout,
            charges: charged,
        }
        .tiles(array, &mut each)?,
    }
    if let Some(last) = &current {
        step(last, &none, &stored)?;
        step(&none, &none, last)?;
    }

    // what the buffers see of the transfers
    let passed = match cut {
        Cut::Given(transfers) => (transfers.loads, transfers.stores),
        Cut::Tiles(_) => moved,
    };
    Ok(MemoryRun {
        cycles,
        causes: stalls.beside(array.causes),
        dram: moved,
        passed,
        activations: charges.map_or(0, |charges| charges.activations),
        tiling: match cut {
            Cut::Tiles(tiling) => Some(tiling),
            Cut::Given(_) => None,
        },
    })
}

/// Whole blocks of an extent and the rest in the last.
fn blocks(extent: u64, size: u64) -> (u64, u64) {
    (extent / size, extent % size)
}

/// What a tiling takes at least, without stepping through its tiles: cycles (causes are left out) and bits moved.
///
/// The first load and the last store stand alone; between them the time is no less than the array's, than that of
/// any port for all the bits that cross it, and than that of the transfers that do not overlap.
pub(super) fn floor(
    extents: &Extents,
    array: &ArrayRun,
    memories: &[Memory],
    layout: &Layout,
    tiling: Tiling,
) -> Result<MemoryRun, Overflow> {
    let (channels, rows) = (extents.channels(), extents.rows());
    let (whole_k, rest_k) = blocks(channels, tiling.channels);
    let (whole_r, rest_r) = blocks(rows, tiling.rows);
    let (blocks_k, blocks_r) = (channels.div_ceil(tiling.channels), rows.div_ceil(tiling.rows));
    let has_home = |t: usize| layout.routes[t].home.is_some();
    let (mut loads, mut stores) = ([0u64; 4], [0u64; 4]);
    let (mut first, mut last) = ([0u64; 4], [0u64; 4]);

    let times = if tiling.order == TileOrder::RowsOuter && blocks_k > 1 {
        blocks_r
    } else {
        1
    };
    for (t, bits) in [extents.weights, extents.indices].into_iter().enumerate() {
        if has_home(t) {
            loads[t] = mul(bursts(bits.into(), layout.burst)?, times)?;
            let part = u128::from(bits) * u128::from(tiling.channels.min(channels)) / u128::from(channels);
            first[t] = bursts(part, layout.burst)?;
        }
    }
    if extents.input_streams && has_home(2) {
        let tile = |rows: u64| bursts(extents.input_tile(tiling.channels, rows), layout.burst);
        let mut strip = mul(whole_r, tile(tiling.rows)?)?;
        if rest_r > 0 {
            strip = add(strip, tile(rest_r)?)?;
        }
        // of the blocks of a group only the first loads, if the rows are the same; a last block that is smaller
        // counts for nothing
        let same_rows = tiling.order == TileOrder::RowsOuter || tiling.rows >= rows;
        let loading = if same_rows && tiling.channels < extents.nest.k {
            let every = extents.nest.k / gcd(extents.nest.k, tiling.channels);
            whole_k.div_ceil(every)
        } else {
            whole_k
        };
        loads[2] = mul(strip, loading)?;
        first[2] = tile(tiling.rows.min(rows))?;
    }
    if extents.output_streams && has_home(3) {
        let tile = |channels, rows| -> Result<u64, Overflow> {
            if channels == 0 || rows == 0 {
                return Ok(0);
            }
            bursts(extents.output_tile(channels, rows), layout.burst)
        };
        let strip = |channels| -> Result<u64, Overflow> {
            add(
                mul(whole_r, tile(channels, tiling.rows)?)?,
                tile(channels, rest_r)?,
            )
        };
        stores[3] = add(mul(whole_k, strip(tiling.channels)?)?, strip(rest_k)?)?;
        let end = |rest: u64, size: u64| if rest > 0 { rest } else { size };
        last[3] = tile(end(rest_k, tiling.channels), end(rest_r, tiling.rows))?;
    }

    let dram = memories.len() - 1;
    let width = |m: usize| memories[m].bits_per_cycle.value.max(1);
    let (reads, writes) = edge(&array.bits);
    let mut needs = vec![0u64; memories.len()];
    let (mut alone, mut apart) = ([0u64; 2], 0u64);
    for t in 0..4 {
        let inner = layout.routes[t].inner;
        needs[inner] = add(needs[inner], add(reads[t], writes[t])?)?;
        if layout.serial[t] {
            apart = add(apart, add(loads[t], stores[t])?)?;
        } else {
            alone = [add(alone[0], first[t])?, add(alone[1], last[t])?];
            let between = add(
                loads[t].saturating_sub(first[t]),
                stores[t].saturating_sub(last[t]),
            )?;
            needs[dram] = add(needs[dram], between)?;
        }
    }
    let mut cycles = array.cycles;
    for (m, bits) in needs.into_iter().enumerate() {
        cycles = cycles.max(bits / width(m));
    }
    for bits in [alone[0], alone[1], apart] {
        cycles = add(cycles, bits / width(dram))?;
    }
    Ok(MemoryRun {
        cycles,
        causes: array.causes,
        dram: (loads, stores),
        passed: (loads, stores),
        activations: 0,
        tiling: Some(tiling),
    })
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
