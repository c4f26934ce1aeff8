//! What the passes of a mapping take and move.
//!
//! The layer is cut along groups (g), samples (n), output rows (e), filters (m, and inside it p·t) and channels (q·r); the
//! last piece of each is what is left. A pass is one piece of each:
//!
//! 1. its weights are loaded, `weights-per-cycle` at a time;
//! 2. the first window (S columns) of its first sample's input rows, `inputs-per-cycle` at a time;
//! 3. every PE multiplies n·p·q·S·F times, one a cycle, while partial sums come and go, `psums-per-cycle` each way,
//!    and the other input columns stream in: the longest of the three sets the time.
//!
//! Source of the structure: Chen et al., JSSC 2017, §IV and §V.

use super::mapping::{RowStationaryMapping, window_cols, window_rows};
use crate::hardware::RowStationary;
use crate::network::LoopNest;
use crate::units::{Overflow, add, mul, product};

/// Sums over all passes of a layer. Words are exact counts at the array's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    /// Passes.
    pub(super) passes: u64,
    /// Cycles of weights and first windows.
    pub(super) fill: u64,
    /// Cycles in which the busiest PE multiplies.
    pub(super) compute: u64,
    /// Cycles that partial sums or inputs take beyond that.
    pub(super) port: u64,
    /// Weight words into the array.
    pub(super) weights: u64,
    /// Input words into the array.
    pub(super) inputs: u64,
    /// Partial sums and outputs out of the array.
    pub(super) psums_out: u64,
    /// Partial sums into the array: all but those of a first piece of channels.
    pub(super) psums_in: u64,
    /// Input rows of one channel of one sample, strip by strip: overlaps count again.
    pub(super) strip_rows: u64,
    /// Pieces of inputs that the buffer receives.
    pub(super) loads: u64,
}

impl Totals {
    pub(super) fn cycles(&self) -> Result<u64, Overflow> {
        add(add(self.fill, self.compute)?, self.port)
    }
}

/// The pieces that `extent` falls into in steps of `step`: size and how often; a count may be zero.
pub(super) fn pieces(extent: u64, step: u64) -> [(u64, u64); 2] {
    let rest = extent % step;
    [(step, extent / step), (rest, u64::from(rest > 0))]
}

/// Extents of one pass.
#[derive(Debug, Clone, Copy)]
struct Pass {
    groups: u64,
    images: u64,
    outputs: u64,
    filters: u64,
    channels: u64,
}

/// Runs the passes of a legal mapping.
pub(super) fn run(
    engine: &RowStationary,
    nest: &LoopNest,
    mapping: &RowStationaryMapping,
) -> Result<Totals, Overflow> {
    let mut totals = Totals::default();
    let cols = window_cols(nest)?;
    let at_once = mul(mapping.p, mapping.t)?;
    let depth = mul(mapping.q, mapping.r)?;
    let channel_pieces = pieces(nest.c, depth);
    let channel_passes = channel_pieces[0].1 + channel_pieces[1].1;
    for (outputs, strips) in pieces(nest.p, mapping.e) {
        if strips == 0 {
            continue;
        }
        let rows = window_rows(nest, outputs)?;
        totals.strip_rows = add(totals.strip_rows, mul(strips, rows)?)?;
        for (images, batches) in pieces(nest.n, mapping.n) {
            for (block, blocks) in pieces(nest.k, mapping.m) {
                if block == 0 || images == 0 {
                    continue;
                }
                for (groups, packs) in pieces(nest.g, mapping.g) {
                    let outer = product(&[packs, strips, batches, blocks])?;
                    totals.loads = add(totals.loads, mul(outer, channel_passes)?)?;
                    for (filters, filter_passes) in pieces(block, at_once) {
                        let times = mul(outer, filter_passes)?;
                        let moved = product(&[times, groups, images, filters, outputs, nest.q])?;
                        totals.psums_out = add(totals.psums_out, mul(moved, channel_passes)?)?;
                        totals.psums_in = add(totals.psums_in, mul(moved, channel_passes - 1)?)?;
                        for (channels, channel_times) in channel_pieces {
                            let times = mul(times, channel_times)?;
                            if times == 0 {
                                continue;
                            }
                            let pass = Pass {
                                groups,
                                images,
                                outputs,
                                filters,
                                channels,
                            };
                            totals.pass(engine, nest, mapping, pass, (rows, cols), times)?;
                        }
                    }
                }
            }
        }
    }
    Ok(totals)
}

impl Totals {
    /// Adds `times` passes of these extents.
    fn pass(
        &mut self,
        engine: &RowStationary,
        nest: &LoopNest,
        mapping: &RowStationaryMapping,
        pass: Pass,
        (rows, cols): (u64, u64),
        times: u64,
    ) -> Result<(), Overflow> {
        let Pass {
            groups,
            images,
            outputs,
            filters,
            channels,
        } = pass;
        // the first sets are filled first, so the busiest PE has as many as fit
        let busiest = product(&[
            images,
            filters.min(mapping.p),
            channels.min(mapping.q),
            nest.s,
            nest.q,
        ])?;
        let psums = product(&[groups, images, filters, outputs, nest.q])?;
        let inputs = product(&[groups, images, channels, rows, cols])?;
        let first = product(&[groups, channels, rows, nest.s.min(cols)])?;
        let weights = product(&[groups, filters, channels, nest.r, nest.s])?;
        let fill = add(
            weights.div_ceil(engine.weights_per_cycle.into()),
            first.div_ceil(engine.inputs_per_cycle.into()),
        )?;
        let port = psums
            .div_ceil(engine.psums_per_cycle.into())
            .max((inputs - first).div_ceil(engine.inputs_per_cycle.into()));
        self.passes = add(self.passes, times)?;
        self.fill = add(self.fill, mul(times, fill)?)?;
        self.compute = add(self.compute, mul(times, busiest)?)?;
        self.port = add(self.port, mul(times, port.saturating_sub(busiest))?)?;
        self.weights = add(self.weights, mul(times, weights)?)?;
        self.inputs = add(self.inputs, mul(times, inputs)?)?;
        Ok(())
    }
}
