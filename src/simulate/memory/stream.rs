//! Layers that only move: their inputs stream through the buffers, and their outputs back.

use super::{Layout, tiling};
use crate::hardware::{Memory, MemoryKind};
use crate::simulate::engine::{ArrayBits, ArrayRun, Transfers};
use crate::simulate::error::SimulateError;
use crate::units::{Overflow, add};

/// Bits that a layer reads and writes, all samples.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::simulate) struct Moves {
    /// Rows of a table, read like weights.
    pub(in crate::simulate) weights: u64,
    /// Inputs that come from DRAM, and those that are on chip.
    pub(in crate::simulate) inputs: [u64; 2],
    /// The output, if it goes to DRAM, and if it stays.
    pub(in crate::simulate) outputs: [u64; 2],
}

impl Moves {
    /// By tensor: what passes between DRAM and buffers, and what lies in a buffer whole.
    fn by_tensor(&self) -> ([u64; 4], [u64; 4]) {
        (
            [self.weights, 0, self.inputs[0], self.outputs[0]],
            [0, 0, self.inputs[1], self.outputs[1]],
        )
    }
}

/// A run without an array: no cycles, every input read and every output written once. It is cut evenly into `pieces`,
/// twice as many as long as those in flight do not fit beside what stays.
///
/// # Errors
/// What does not fit however small the pieces; overflow.
pub(in crate::simulate) fn stream(
    name: &str,
    moves: Moves,
    pieces: u64,
    memories: &[Memory],
    layout: &Layout,
) -> Result<ArrayRun, SimulateError> {
    let overflow = |Overflow| SimulateError::Overflow { layer: name.into() };
    let (streams, _) = moves.by_tensor();
    let most = u64::try_from(tiling::MAX_TILES).unwrap_or(u64::MAX);
    let mut steps = pieces.clamp(1, most);
    while let Some((memory, needed, available)) = over(moves, steps, memories, layout) {
        if steps >= most || streams.iter().all(|&bits| bits <= steps) {
            return Err(SimulateError::Tile {
                layer: name.into(),
                memory: memory.name.clone(),
                needed: u64::try_from(needed).unwrap_or(u64::MAX),
                available,
                cure: "or let its features go through DRAM",
            });
        }
        steps = (steps * 2).min(most);
    }
    let loads = [streams[0], 0, streams[2], 0];
    let stores = [0, 0, 0, streams[3]];
    Ok(ArrayRun {
        bits: ArrayBits {
            weights: moves.weights,
            inputs: add(moves.inputs[0], moves.inputs[1]).map_err(overflow)?,
            outputs_written: add(moves.outputs[0], moves.outputs[1]).map_err(overflow)?,
            ..ArrayBits::default()
        },
        transfers: Some(Box::new(Transfers {
            steps,
            loads,
            stores,
            dram_loads: loads,
            dram_stores: stores,
            overlaps: layout.serial.map(|serial| !serial),
        })),
        ..ArrayRun::default()
    })
}

/// The first buffer that so many pieces do not fit: with the bits needed and the bits there.
fn over<'a>(
    moves: Moves,
    steps: u64,
    memories: &'a [Memory],
    layout: &Layout,
) -> Option<(&'a Memory, u128, u64)> {
    let (streams, stays) = moves.by_tensor();
    memories.iter().enumerate().find_map(|(m, memory)| {
        let MemoryKind::Buffer { capacity, .. } = memory.kind else {
            return None;
        };
        let needed: u128 = (0..4)
            .filter(|&t| layout.routes[t].home == Some(m))
            .map(|t| {
                let piece = u128::from(streams[t].div_ceil(steps));
                let twice = steps > 1 && layout.double[t];
                u128::from(stays[t]) + if twice { 2 * piece } else { piece }
            })
            .sum();
        (needed > u128::from(capacity.bits())).then(|| (memory, needed, capacity.bits()))
    })
}
