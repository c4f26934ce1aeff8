//! The memory system cycle by cycle: tiles by their definition, rows of the DRAM one by one, and in every cycle each port
//! moves a word, each bank opens its row and the array works on. Slow and obvious.

use cosparse::hardware::{Memory, MemoryKind, Ports, TensorKind};
use cosparse::simulate::{ArrayRun, LayerWork, TileOrder, Tiling, Transfers};

const TENSORS: [TensorKind; 4] = [
    TensorKind::Weights,
    TensorKind::Indices,
    TensorKind::Inputs,
    TensorKind::Outputs,
];

/// What the cycles come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    pub(crate) activations: u64,
    pub(crate) read: [u64; 4],
    pub(crate) written: [u64; 4],
}

/// A tile: the array's work, and by tensor what it loads from the DRAM and stores there, the rows that are opened for it,
/// and what the buffers see of it.
#[derive(Debug, Clone, Default)]
struct Tile {
    compute: u64,
    edge: [u64; 4],
    load: [u64; 4],
    store: [u64; 4],
    load_rows: [u64; 4],
    store_rows: [u64; 4],
    through: [[u64; 4]; 2],
}

/// Rows of `row` bits that runs (first bit, bits) open when they are visited in order.
fn opened(runs: &[(u64, u64)], row: u64) -> u64 {
    let (mut open, mut count) = (None, 0);
    for &(start, bits) in runs.iter().filter(|run| run.1 > 0) {
        for place in start / row..=(start + bits - 1) / row {
            if open != Some(place) {
                open = Some(place);
                count += 1;
            }
        }
    }
    count
}

fn up(bits: u64, of: u64) -> u64 {
    bits.div_ceil(of) * of
}

/// Part [from, to) of `all` of a total.
fn dealt(total: u64, from: u64, to: u64, all: u64) -> u64 {
    total * to / all - total * from / all
}

pub(crate) struct Machine<'a> {
    pub(crate) work: &'a LayerWork<'a>,
    pub(crate) array: &'a ArrayRun,
    pub(crate) memories: &'a [Memory],
    /// How the layer is cut, unless the array says what moves.
    pub(crate) tiling: Option<Tiling>,
}

impl Machine<'_> {
    fn dram(&self) -> &Memory {
        &self.memories[self.memories.len() - 1]
    }

    fn burst(&self) -> u64 {
        match self.dram().kind {
            MemoryKind::Dram { burst_bits } => burst_bits,
            MemoryKind::Buffer { .. } => 1,
        }
    }

    fn row(&self) -> Option<u64> {
        self.dram().rows.as_ref().map(|rows| 8 * rows.row_bytes)
    }

    /// Buffers that hold a tensor, the innermost first.
    fn holders(&self, t: usize) -> Vec<usize> {
        let buffers = 0..self.memories.len() - 1;
        buffers
            .filter(|&m| self.memories[m].holds.contains(&TENSORS[t]))
            .collect()
    }

    /// The memory that the array reads or writes.
    fn inner(&self, t: usize) -> usize {
        self.holders(t)
            .first()
            .copied()
            .unwrap_or(self.memories.len() - 1)
    }

    /// Whether a tensor waits for the array: the largest buffer that holds it is not double-buffered.
    fn serial(&self, t: usize) -> bool {
        if let Some(transfers) = &self.array.transfers {
            return !transfers.overlaps[t];
        }
        let mut largest = (0, false);
        for m in self.holders(t) {
            if let MemoryKind::Buffer {
                capacity,
                double_buffered,
            } = self.memories[m].kind
                && capacity.bits() > largest.0
            {
                largest = (capacity.bits(), !double_buffered);
            }
        }
        largest.1
    }

    /// Bits and runs of a block of features: channels [c0, c1) of `channels`, rows [r0, r1) of samples of `sample_rows`.
    fn features(
        bits: u64,
        sample: u64,
        channels: u64,
        [c0, c1]: [u64; 2],
        sample_rows: u64,
        [r0, r1]: [u64; 2],
    ) -> Vec<(u64, u64)> {
        let plane = sample.div_ceil(channels);
        let first = r0 / sample_rows * sample;
        if r1 - r0 >= sample_rows {
            if c1 - c0 == channels {
                return vec![(first, bits)];
            }
            let samples = (r1 - r0).div_ceil(sample_rows);
            let each = bits.div_ceil(samples);
            return (0..samples)
                .map(|s| (first + s * sample + c0 * plane, each))
                .collect();
        }
        let each = bits.div_ceil(c1 - c0);
        let inside = (plane * (r0 % sample_rows) / sample_rows).min(plane - each);
        (c0..c1).map(|c| (first + c * plane + inside, each)).collect()
    }

    /// Equal steps of what the array says; each tensor is one stream.
    fn given(&self, transfers: &Transfers) -> Vec<Tile> {
        let edges = self.edges();
        let streams = |bits: [u64; 4]| -> [u64; 4] {
            std::array::from_fn(|t| {
                if self.holders(t).is_empty() {
                    0
                } else {
                    up(bits[t], self.burst())
                }
            })
        };
        let (loads, stores) = (streams(transfers.dram_loads), streams(transfers.dram_stores));
        let steps = transfers.steps;
        let step = |i: u64| {
            let part = |total: u64| dealt(total, i, i + 1, steps);
            let rows = |total: u64| {
                let run = (total * i / steps, part(total));
                self.row().map_or(0, |row| opened(&[run], row))
            };
            Tile {
                compute: part(self.array.cycles),
                edge: edges.map(part),
                load: loads.map(part),
                store: stores.map(part),
                load_rows: loads.map(rows),
                store_rows: stores.map(rows),
                through: [transfers.loads.map(part), transfers.stores.map(part)],
            }
        };
        (0..steps).map(step).collect()
    }

    /// Bits at the array's edge.
    fn edges(&self) -> [u64; 4] {
        let bits = &self.array.bits;
        [
            bits.weights,
            bits.indices,
            bits.inputs,
            bits.outputs_read + bits.outputs_written,
        ]
    }

    fn tiles(&self, tiling: Tiling) -> Vec<Tile> {
        let nest = &self.work.nest;
        let (channels, rows) = (nest.g * nest.k, nest.n * nest.p);
        let bits = self.work.activation_bits;
        let input = self.work.input_elements * u64::from(bits.input);
        let output = self.work.output_elements * u64::from(bits.output);
        let mut order = Vec::new();
        let (blocks_k, blocks_r) = (channels.div_ceil(tiling.channels), rows.div_ceil(tiling.rows));
        match tiling.order {
            TileOrder::ChannelsOuter => {
                for k in 0..blocks_k {
                    order.extend((0..blocks_r).map(|r| (k, r)));
                }
            }
            TileOrder::RowsOuter => {
                for r in 0..blocks_r {
                    order.extend((0..blocks_k).map(|k| (k, r)));
                }
            }
        }
        let edges = self.edges();
        let stored = [self.array.stored.weights, self.array.stored.indices];
        let mut tiles = Vec::new();
        let mut outputs = 0;
        // what the buffers hold of the tiles before
        let mut weights_of = None;
        let mut inputs_of = None;
        for (k, r) in order {
            let ks = [k * tiling.channels, ((k + 1) * tiling.channels).min(channels)];
            let rs = [r * tiling.rows, ((r + 1) * tiling.rows).min(rows)];
            let (some_k, some_r) = (ks[1] - ks[0], rs[1] - rs[0]);
            let part = |total| dealt(total, outputs, outputs + some_k * some_r, channels * rows);
            let mut tile = Tile {
                compute: part(self.array.cycles),
                edge: edges.map(part),
                ..Tile::default()
            };
            outputs += some_k * some_r;
            if weights_of != Some(k) {
                weights_of = Some(k);
                for (t, stored) in stored.into_iter().enumerate() {
                    let place = stored * ks[0] / channels;
                    let bits = dealt(stored, ks[0], ks[1], channels);
                    self.load(&mut tile, t, bits, &[(place, bits)]);
                }
            }
            let groups = [ks[0] / nest.k, ks[0] / nest.k + some_k.div_ceil(nest.k)];
            let some_groups = groups[1] - groups[0];
            // the group that all channels of the block before lie in, and its rows
            let again = inputs_of.is_some_and(|(group, before)| {
                before == rs && tiling.channels < nest.k && group == ks[0] / nest.k
            }) && k > 0;
            inputs_of = Some(((ks[1] - 1) / nest.k, rs));
            if self.work.input_from_dram && !again {
                let of_groups = |bits: u64| (bits * some_groups).div_ceil(nest.g);
                let bits = if some_r >= nest.p {
                    of_groups(input * some_r.div_ceil(nest.p))
                } else {
                    let window =
                        |rows: u64| (rows - 1) * nest.stride[0] + (nest.r - 1) * nest.dilation[0] + 1;
                    let share = of_groups(input);
                    (share * window(some_r)).div_ceil(window(nest.p)).min(share)
                };
                let taken = [groups[0] * nest.c, groups[1] * nest.c];
                let runs = Self::features(bits, input, nest.g * nest.c, taken, nest.p, rs);
                self.load(&mut tile, 2, bits, &runs);
            }
            if self.work.output_to_dram && !self.holders(3).is_empty() {
                let bits = ((output * some_r).div_ceil(nest.p) * some_k).div_ceil(channels);
                let runs = Self::features(bits, output, channels, ks, nest.p, rs);
                tile.store[3] = up(bits, self.burst());
                tile.store_rows[3] = self.row().map_or(0, |row| opened(&runs, row));
            }
            tile.through = [tile.load, tile.store];
            tiles.push(tile);
        }
        tiles
    }

    fn load(&self, tile: &mut Tile, t: usize, bits: u64, runs: &[(u64, u64)]) {
        if !self.holders(t).is_empty() {
            tile.load[t] = up(bits, self.burst());
            tile.load_rows[t] = self.row().map_or(0, |row| opened(runs, row));
        }
    }

    pub(crate) fn run(&self) -> Ticked {
        let tiles = match (&self.array.transfers, self.tiling) {
            (Some(transfers), _) => self.given(transfers),
            (None, Some(tiling)) => self.tiles(tiling),
            (None, None) => panic!("a layer in tiles needs a tiling"),
        };
        let none = Tile::default();
        let mut ticked = Ticked::default();
        for tile in &tiles {
            for t in 0..4 {
                ticked.read[t] += tile.load[t];
                ticked.written[t] += tile.store[t];
            }
        }
        for t in (0..4).filter(|&t| self.holders(t).is_empty()) {
            let bits = &self.array.bits;
            ticked.read[t] += [bits.weights, bits.indices, bits.inputs, bits.outputs_read][t];
            ticked.written[t] += [0, 0, 0, bits.outputs_written][t];
        }
        for step in 0..tiles.len() + 2 {
            let at = |place: Option<usize>| place.and_then(|i| tiles.get(i)).unwrap_or(&none);
            let (next, current, before) = (at(Some(step)), at(step.checked_sub(1)), at(step.checked_sub(2)));
            self.step(current.compute, current.edge, next, before, false, &mut ticked);
            self.step(0, [0; 4], current, current, true, &mut ticked);
        }
        ticked
    }

    /// Cycles until the array has computed and all that moves has moved, of the tensors that wait for the array or of the
    /// others.
    fn step(
        &self,
        compute: u64,
        edge: [u64; 4],
        load: &Tile,
        store: &Tile,
        serial: bool,
        ticked: &mut Ticked,
    ) {
        let last = self.memories.len() - 1;
        let moving = |t: &usize| self.serial(*t) == serial;
        let mut buffers: Vec<Buffer> = Vec::new();
        for (m, memory) in self.memories[..last].iter().enumerate() {
            let mut buffer = Buffer::new(memory);
            for (t, edge) in edge.into_iter().enumerate() {
                if self.inner(t) == m {
                    buffer.inner += edge;
                }
            }
            for t in (0..4)
                .filter(moving)
                .filter(|&t| memory.holds.contains(&TENSORS[t]))
            {
                let bits = load.through[0][t] + store.through[1][t];
                buffer.outer += bits;
                if self.inner(t) != m {
                    buffer.inner += bits;
                }
            }
            buffers.push(buffer);
        }
        let mut bits = 0;
        let mut rows = 0;
        for (t, edge) in edge.into_iter().enumerate() {
            if self.inner(t) == last {
                bits += edge;
                rows += self.row().map_or(0, |row| edge.div_ceil(row));
            }
        }
        for t in (0..4).filter(moving) {
            bits += load.load[t] + store.store[t];
            rows += load.load_rows[t] + store.store_rows[t];
        }
        ticked.activations += rows;
        let mut dram = Dram::new(self.dram(), bits, rows);
        let mut left = compute;
        loop {
            if left == 0 && dram.done() && buffers.iter().all(Buffer::done) {
                break;
            }
            ticked.cycles += 1;
            left = left.saturating_sub(1);
            dram.tick();
            for buffer in &mut buffers {
                buffer.tick();
            }
        }
    }
}

/// Bits that are still to cross each side of a buffer.
struct Buffer {
    width: u64,
    ports: Option<Ports>,
    inner: u64,
    outer: u64,
    /// The bank that the word of the inner side lies in, seen from that of the outer side.
    distance: u64,
}

impl Buffer {
    fn new(memory: &Memory) -> Self {
        Self {
            width: memory.bits_per_cycle.value,
            ports: memory.ports,
            inner: 0,
            outer: 0,
            distance: 0,
        }
    }

    fn done(&self) -> bool {
        self.inner == 0 && (self.outer == 0 || self.ports.is_none())
    }

    fn tick(&mut self) {
        let mut busy = false;
        if self.inner > 0 {
            if let Some(Ports::Shared { banks }) = self.ports {
                self.distance = (self.distance + 1) % banks;
                busy = self.distance == 0;
            }
            self.inner = self.inner.saturating_sub(self.width);
        }
        if !busy {
            self.outer = self.outer.saturating_sub(self.width);
        }
    }
}

/// The DRAM in a transfer: the cycle that its last row is moved in.
struct Dram {
    left: u64,
}

impl Dram {
    /// Row by row, in parts of a cycle as many as there are rows: a row moves for as many parts as the data takes cycles,
    /// once the row before it is moved and its bank has opened it after its last one.
    fn new(memory: &Memory, bits: u64, opened: u64) -> Self {
        let data = bits.div_ceil(memory.bits_per_cycle.value);
        let (Some(rows), true) = (&memory.rows, opened > 0) else {
            return Self { left: data };
        };
        let miss = rows.row_miss_cycles * opened;
        let mut ready = vec![miss; rows.banks as usize];
        let mut moved = 0;
        for row in 0..opened {
            let bank = (row % rows.banks) as usize;
            moved = ready[bank].max(moved) + data;
            ready[bank] = moved + miss;
        }
        Self {
            left: moved.div_ceil(opened),
        }
    }

    fn done(&self) -> bool {
        self.left == 0
    }

    fn tick(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}
