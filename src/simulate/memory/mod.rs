//! Buffers and DRAM around an array: which tiles a layer is cut into, what moves, and what has to wait.
//!
//! **Tiles.** A tile is a block of output channels times a block of output rows (batch included); the products
//! of an output are never split. Channel blocks lie inside a group or hold whole groups. A tensor's tile must
//! fit the largest on-chip buffer that may hold it. Weights and their indices travel together and are spread
//! evenly over the output channels. An input that is not in DRAM, or an output that does not go there, stays
//! on chip whole.
//!
//! **Capacity.** Of a double-buffered memory a streamed tensor takes twice its tile; a tensor that is loaded
//! once, or stays, takes its size. The tensors that share a buffer share its capacity.
//!
//! **Time.** The array's cycles are spread over the tiles in proportion to their outputs. While tile i
//! computes, the DRAM loads tile i + 1 and stores tile i − 1 (all in whole bursts), and each buffer serves the
//! array through its port: a step takes the longest of the three. The first load and the last store stand
//! alone. In a buffer that is not double-buffered, loads and stores of its tensors do not overlap compute.
//! What a step takes beyond compute is a stall, charged to the tensors of the memory that bound it, in
//! proportion to their bits.
//!
//! **Charged where the profile says so.** Rows and banks of the DRAM ([`dram`]), and ports and banks of a buffer
//! ([`ports`]): without them opening a row takes no time, and filling a buffer does not take its port from the array.
//! An intermediate level, a buffer that holds a tensor the array reads further in, moves its tiles on through its port.
//! All levels move a tile in the same step, each at its own width; the slowest sets the time. Where none of the three is
//! there, equal tiles are counted ([`steady`]) instead of stepped through.
//!
//! **Transfers an engine sets.** Where the array's mapping says what moves ([`Transfers`]),
//! no tiles are chosen: work and transfers are spread evenly over its steps, and it says which transfers overlap.
//! DRAM bits may be fewer than buffer bits there, where features are compressed.
//!
//! **Traffic.** The array reads and writes the innermost memory that may hold a tensor. Each tile passes every
//! on-chip memory of its tensor once on its way between there and DRAM. A tensor that no buffer may hold is
//! read from DRAM by the array itself.
//!
//! **Other operands of fused adds** are inputs: a tile brings its part of those in DRAM, and the others lie beside the
//! layer's own input. Layers that only move ([`stream()`]) have steps and transfers, and an array that takes no time.

mod addresses;
mod dram;
mod pipeline;
mod ports;
#[cfg(test)]
mod samples;
mod search;
mod steady;
mod step;
mod stream;
mod tiling;

pub(super) use search::{best, beyond, least};
pub(super) use stream::{Moves, stream};
pub use tiling::{TileOrder, Tiling};

use super::cost::{Causes, RowUse, Traffic};
use super::engine::{ArrayRun, LoopForm, Transfers};
use super::error::SimulateError;
use super::work::{LayerWork, Mapping};
use crate::hardware::{Memory, MemoryKind, TensorKind};
use crate::units::{Overflow, add};
use ports::Crossing;

/// The tensors, in the order of all arrays indexed by tensor.
pub(super) const TENSORS: [TensorKind; 4] = [
    TensorKind::Weights,
    TensorKind::Indices,
    TensorKind::Inputs,
    TensorKind::Outputs,
];

/// What the memories add to an array's run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MemoryRun {
    /// Array cycles and stalls.
    pub(super) cycles: u64,
    /// The array's causes with the stalls filled in.
    pub(super) causes: Causes,
    /// Bits by tensor that leave DRAM, and that enter it.
    dram: ([u64; 4], [u64; 4]),
    /// The same as the buffers see them on their way: more, where features are compressed in DRAM.
    passed: ([u64; 4], [u64; 4]),
    /// Rows of the DRAM that were opened; none where its rows are not modelled.
    pub(super) activations: u64,
    /// How the layer was cut, unless the array's mapping says so.
    tiling: Option<Tiling>,
}

impl MemoryRun {
    /// The tiles as loops.
    pub(super) fn form(&self, work: &LayerWork, array: &ArrayRun) -> Result<Option<LoopForm>, Overflow> {
        let Some(tiling) = self.tiling else {
            return Ok(None);
        };
        Ok(Some(tiling::form(&tiling::Extents::new(work, array)?, tiling)))
    }
}

/// How a layer is cut into steps.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Into tiles chosen here.
    Tiles(tiling::Tiling),
    /// As the array's mapping says.
    Given(Transfers),
}

/// Which memories a tensor uses, as places in the profile's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    /// The innermost memory that may hold it: the array's port.
    inner: usize,
    /// The largest buffer that may hold it: where its tile lives.
    home: Option<usize>,
}

fn route(memories: &[Memory], tensor: TensorKind) -> Route {
    let dram = memories.len() - 1;
    let inner = memories
        .iter()
        .position(|m| m.holds.contains(&tensor))
        .unwrap_or(dram);
    let mut home: Option<(usize, u64)> = None;
    for (i, memory) in memories.iter().enumerate() {
        if let (MemoryKind::Buffer { capacity, .. }, true) = (memory.kind, memory.holds.contains(&tensor))
            && home.is_none_or(|(_, bits)| capacity.bits() > bits)
        {
            home = Some((i, capacity.bits()));
        }
    }
    Route {
        inner: inner.min(dram),
        home: home.map(|(i, _)| i),
    }
}

/// What an engine's layers need to know of a profile's memories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    routes: [Route; 4],
    /// Tensors whose buffer overlaps transfers with compute.
    double: [bool; 4],
    /// Tensors whose buffer does not.
    serial: [bool; 4],
    /// Buffers in which tiles live.
    homes: [Home; 4],
    home_count: usize,
    /// Bits of a DRAM burst.
    burst: u64,
    /// Memories that the array or DRAM transfers use, in their order; the DRAM is the last.
    ports: [Port; 5],
    port_count: usize,
    /// Bits a cycle of the DRAM.
    dram_width: u64,
    /// Whether transfers take time at the DRAM's port only: equal tiles can be counted then.
    counted: bool,
}

/// A buffer in which tiles live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Home {
    /// Bits.
    capacity: u64,
    /// The tensors that share it.
    tensors: [bool; 4],
}

fn homes(memories: &[Memory], routes: &[Route; 4]) -> ([Home; 4], usize) {
    let (mut homes, mut count) = ([Home::default(); 4], 0);
    for (m, memory) in memories.iter().enumerate() {
        let tensors = routes.map(|route| route.home == Some(m));
        if let (MemoryKind::Buffer { capacity, .. }, true) = (memory.kind, tensors.contains(&true)) {
            homes[count] = Home {
                capacity: capacity.bits(),
                tensors,
            };
            count += 1;
        }
    }
    (homes, count)
}

/// The port of a memory towards the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Port {
    /// Bits a cycle.
    width: u64,
    /// Tensors that the array reads or writes there.
    tensors: [bool; 4],
    /// Whether loads and stores cross it as well.
    dram: bool,
}

fn ports(memories: &[Memory], routes: &[Route; 4]) -> ([Port; 5], usize) {
    let (mut ports, mut count) = ([Port::default(); 5], 0);
    for (m, memory) in memories.iter().enumerate() {
        let (tensors, dram) = (routes.map(|route| route.inner == m), m + 1 == memories.len());
        if dram || tensors.contains(&true) {
            ports[count] = Port {
                width: memory.bits_per_cycle.value.max(1),
                tensors,
                dram,
            };
            count += 1;
        }
    }
    (ports, count)
}

/// The buffers that transfers take time in, with their places in the profile's list.
fn crossings<'a>(
    memories: &'a [Memory],
    routes: &'a [Route; 4],
) -> impl Iterator<Item = (usize, Crossing)> + 'a {
    let list = memories.iter().enumerate();
    list.filter_map(|(m, memory)| Some((m, Crossing::of(memory, m, routes)?)))
}

impl Layout {
    /// The layout of memories that end with the DRAM.
    pub(super) fn new(memories: &[Memory]) -> Self {
        let routes = TENSORS.map(|t| route(memories, t));
        let buffered = |route: Route, want: bool| {
            route.home.is_some_and(|h| {
                matches!(memories[h].kind, MemoryKind::Buffer { double_buffered, .. } if double_buffered == want)
            })
        };
        let (ports, port_count) = ports(memories, &routes);
        let (homes, home_count) = homes(memories, &routes);
        Self {
            routes,
            homes,
            home_count,
            ports,
            port_count,
            counted: crossings(memories, &routes).next().is_none()
                && memories.last().is_none_or(|m| m.rows.is_none()),
            dram_width: memories.last().map_or(1, |m| m.bits_per_cycle.value.max(1)),
            double: routes.map(|r| buffered(r, true)),
            serial: routes.map(|r| buffered(r, false)),
            burst: match memories.last().map(|m| m.kind) {
                Some(MemoryKind::Dram { burst_bits }) => burst_bits.max(1),
                _ => 1,
            },
        }
    }

    fn homes(&self) -> &[Home] {
        &self.homes[..self.home_count]
    }

    fn ports(&self) -> &[Port] {
        &self.ports[..self.port_count]
    }

    /// Bits of tensor `t` read from and written to memory `m`.
    #[inline]
    pub(super) fn moved(
        &self,
        memories: &[Memory],
        (m, t): (usize, usize),
        array: &ArrayRun,
        run: &MemoryRun,
    ) -> Result<(u64, u64), Overflow> {
        let (mut read, mut written) = (0, 0);
        let inner = self.routes[t].inner == m;
        if inner {
            let (reads, writes) = pipeline::edge(&array.bits);
            (read, written) = (reads[t], writes[t]);
        }
        let (loads, stores) = (run.passed.0[t], run.passed.1[t]);
        if m + 1 == memories.len() {
            (read, written) = (add(read, run.dram.0[t])?, add(written, run.dram.1[t])?);
        } else if (loads > 0 || stores > 0) && memories[m].holds.contains(&TENSORS[t]) {
            // a tile on its way in is written here, and read here on its way further in; the other way out
            (written, read) = (add(written, loads)?, add(read, stores)?);
            if !inner {
                (read, written) = (add(read, loads)?, add(written, stores)?);
            }
        }
        Ok((read, written))
    }

    /// What the run makes of the DRAM's rows, if the profile has them.
    pub(super) fn row_use(
        &self,
        memories: &[Memory],
        array: &ArrayRun,
        run: &MemoryRun,
    ) -> Result<Option<RowUse>, Overflow> {
        let Some(rows) = memories.last().and_then(dram::Rows::of) else {
            return Ok(None);
        };
        let mut moved_bits = 0;
        for t in 0..TENSORS.len() {
            let (read, written) = self.moved(memories, (memories.len() - 1, t), array, run)?;
            moved_bits = add(moved_bits, add(read, written)?)?;
        }
        Ok(Some(RowUse {
            activations: run.activations,
            row_bits: rows.bits,
            moved_bits,
        }))
    }

    /// Reads and writes of every memory, from the PE outwards; tensors without traffic are left out.
    pub(super) fn traffic(
        &self,
        memories: &[Memory],
        array: &ArrayRun,
        run: &MemoryRun,
    ) -> Result<Vec<Traffic>, Overflow> {
        let mut list = Vec::new();
        for (m, memory) in memories.iter().enumerate() {
            for (t, &tensor) in TENSORS.iter().enumerate() {
                let (read_bits, write_bits) = self.moved(memories, (m, t), array, run)?;
                if read_bits > 0 || write_bits > 0 {
                    list.push(Traffic {
                        memory: memory.name.clone(),
                        tensor,
                        read_bits,
                        write_bits,
                    });
                }
            }
        }
        Ok(list)
    }
}

/// Runs a checked layer's memories, in the tiles that are pinned or else load least; `memories` ends with the DRAM.
/// `engine` is a name for errors.
#[inline]
pub(super) fn run(
    work: &LayerWork,
    array: &ArrayRun,
    memories: &[Memory],
    layout: &Layout,
    engine: &str,
) -> Result<MemoryRun, SimulateError> {
    let cut = match array.transfers.as_deref().copied() {
        Some(transfers) if u128::from(transfers.steps) > tiling::MAX_TILES => {
            return Err(SimulateError::TooManyTiles {
                layer: work.name.into(),
                tiles: transfers.steps.into(),
                most: tiling::MAX_TILES,
            });
        }
        Some(transfers) => Cut::Given(transfers),
        None => Cut::Tiles(match work.mapping.and_then(Mapping::tiling) {
            Some(tiling) => {
                tiling::check(work, array, memories, layout, engine, tiling)?;
                tiling
            }
            None => tiling::choose(work, array, memories, layout, engine)?,
        }),
    };
    step(work, array, memories, layout, cut).map_err(SimulateError::overflow(work))
}

/// Runs the steps of a layer, counting equal ones where it can.
#[inline]
fn step(
    work: &LayerWork,
    array: &ArrayRun,
    memories: &[Memory],
    layout: &Layout,
    cut: Cut,
) -> Result<MemoryRun, Overflow> {
    let counted = match cut {
        Cut::Tiles(tiling) if layout.counted => {
            steady::run(&tiling::Extents::new(work, array)?, array, layout, tiling)
        }
        Cut::Tiles(_) | Cut::Given(_) => None,
    };
    match counted {
        Some(run) => Ok(run),
        None => pipeline::run(work, array, memories, layout, cut),
    }
}
