//! Dot-product trees (NVDLA-like): `kernels` × `channels` multipliers.
//!
//! Loops from the outside in: groups, kernel tiles, output tiles of at most `accumulators` positions, channel tiles,
//! kernel rows, kernel columns, positions. A step is the innermost loop: the weights of one kernel tile × channel
//! tile at one place (r, s) are held, and the tile's positions pass, one a cycle. The weights of the next step load
//! beside it, `weights-per-cycle` at a time, and a step waits for them; the first load stands alone. Sums of an
//! output tile stay in the accumulators until all its products are added.
//!
//! The channels of a position go to all trees, and a tree adds up all its multipliers. n groups run at once where each
//! has floor(kernels / n) trees and floor(channels / n) lanes of its own and the trees hold zeros on the others' lanes:
//! blocks along the diagonal of kernels × channels ([`Diagonal`]). The channels of consecutive groups are consecutive
//! channels of a position, which is what the array reads anyway. A depthwise layer runs min(kernels, channels) groups at
//! once.
//!
//! A layer of one group with few channels can take several columns of its kernel at once, on the idle lanes: pixels of
//! a row lie one after another, so that the inputs of neighbouring kernel columns are one run of words, as NVDLA reads
//! images ("channel pre-extension" in its manual, "In-memory data formats"; that it extends along the row is
//! recalled). Kernels that are dilated along the row leave gaps and cannot.
//!
//! Source of the structure: NVDLA, hardware architectural specification, "convolution pipeline".

use super::diagonal::Diagonal;
use super::{ArrayBits, ArrayEngine, ArrayRun};
use crate::compression::Mask;
use crate::hardware::DotProduct;
use crate::network::LoopNest;
use crate::simulate::spatial::{self, Room, Spatial};
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits};
use crate::units::{Overflow, add, mul, product};

impl ArrayEngine for DotProduct {
    fn run(&self, work: &LayerWork, _: Option<&Mask>, _: &str) -> Result<ArrayRun, SimulateError> {
        spatial::run(self.room(work), work, |split| run(*self, work, split))
    }

    fn room(&self, work: &LayerWork) -> Room {
        let nest = &work.nest;
        let mut room = Diagonal::room(nest, self.kernels.into(), self.channels.into(), false);
        if nest.g == 1 && nest.dilation[1] == 1 {
            room.most.columns = (u64::from(self.channels) / nest.c).clamp(1, nest.s);
        }
        room
    }

    fn splits(&self) -> bool {
        true
    }

    fn pes(&self) -> u64 {
        u64::from(self.kernels) * u64::from(self.channels)
    }
}

/// The pieces of `extent` in steps of `step`: size and how often, those that occur.
fn pieces(extent: u64, step: u64) -> impl Iterator<Item = (u64, u64)> + Clone {
    [
        (step, extent / step),
        (extent % step, u64::from(!extent.is_multiple_of(step))),
    ]
    .into_iter()
    .filter(|&(_, count)| count > 0)
}

/// Cycles of a layer.
struct Cycles {
    /// Positions of all steps.
    streaming: u64,
    /// The first load, the trees' latency, and what later loads take beyond the step before them.
    waiting: u64,
}

/// Trees and lanes of a group.
fn share(array: DotProduct, nest: &LoopNest, split: Spatial) -> [u64; 2] {
    let diagonal = Diagonal::new(nest, split);
    [array.kernels, array.channels].map(|extent| diagonal.share(extent.into()))
}

fn cycles(array: DotProduct, work: &LayerWork, split: Spatial) -> Result<Cycles, Overflow> {
    let nest = &work.nest;
    let [trees, lanes] = share(array, nest, split);
    let positions = product(&[nest.n, nest.p, nest.q])?;
    // groups, kernels, input channels, kernel columns of a step
    let load = |held: [u64; 4]| -> Result<u64, Overflow> {
        Ok(product(&held)?.div_ceil(array.weights_per_cycle.into()))
    };
    let output_tiles = positions.div_ceil(array.accumulators.into());
    let (whole, last) = (
        u64::from(array.accumulators).min(positions),
        positions - (output_tiles - 1) * u64::from(array.accumulators),
    );
    let first = [
        nest.g.min(split.groups),
        nest.k.min(trees),
        nest.c.min(lanes),
        nest.s.min(split.columns),
    ];
    let mut streaming = 0;
    // a load waits for the step before it: one of its own output tile, but for the first step of a tile, which
    // follows the tile before, or the last tile of the kernels before
    let mut waiting = 0;
    for (groups, packs) in pieces(nest.g, split.groups) {
        for (kernels, kernel_tiles) in pieces(nest.k, trees) {
            let repeats = mul(packs, kernel_tiles)?;
            let over = |channels: u64, columns: u64, outputs: u64| -> Result<u64, Overflow> {
                Ok(load([groups, kernels, channels, columns])?.saturating_sub(outputs))
            };
            for (outputs, tiles) in pieces(positions, array.accumulators.into()) {
                for (channels, channel_tiles) in pieces(nest.c, lanes) {
                    for (columns, column_tiles) in pieces(nest.s, split.columns) {
                        let steps = product(&[channel_tiles, nest.r, column_tiles])?;
                        let entry = channels == first[2] && columns == first[3];
                        let inside = steps - u64::from(entry);
                        streaming = add(streaming, product(&[repeats, tiles, steps, outputs])?)?;
                        let waits = over(channels, columns, outputs)?;
                        waiting = add(waiting, product(&[repeats, tiles, inside, waits])?)?;
                    }
                }
            }
            let entering = add(
                mul(output_tiles - 1, over(first[2], first[3], whole)?)?,
                over(first[2], first[3], last)?,
            )?;
            waiting = add(waiting, mul(repeats, entering)?)?;
        }
    }
    // no step comes before the very first load: it is waited for whole
    let first = load(first)?;
    waiting = waiting - first.saturating_sub(last) + first;
    Ok(Cycles {
        streaming,
        waiting: add(waiting, array.latency.into())?,
    })
}

fn run(array: DotProduct, work: &LayerWork, split: Spatial) -> Result<ArrayRun, Overflow> {
    let nest = &work.nest;
    let Cycles { streaming, waiting } = cycles(array, work, split)?;
    let peak = array.pes();
    let macs = nest.macs();
    let compute = macs / peak;
    let positions = product(&[nest.n, nest.p, nest.q])?;
    let output_tiles = positions.div_ceil(array.accumulators.into());
    let kernel_tiles = nest.k.div_ceil(share(array, nest, split)[0]);
    let weight_bits = u64::from(work.weight_bits);
    let [input, output] = [work.activation_bits.input, work.activation_bits.output].map(u64::from);
    let taps = mul(nest.r, nest.s)?;
    Ok(ArrayRun {
        cycles: add(streaming, waiting)?,
        causes: Causes {
            compute,
            unused: streaming - compute,
            fill_drain: waiting,
            ..Causes::default()
        },
        macs,
        // each product moves once, into its tree
        hops: macs,
        stored: StoredBits {
            weights: product(&[nest.weights(), weight_bits])?,
            indices: 0,
        },
        bits: ArrayBits {
            // each output tile loads its kernels again
            weights: product(&[nest.weights(), output_tiles, weight_bits])?,
            indices: 0,
            // a position's channels are read once for all kernels of a tile, again at each kernel place
            inputs: product(&[nest.g, kernel_tiles, taps, nest.c, positions, input])?,
            outputs_written: product(&[nest.g, nest.k, positions, output])?,
            outputs_read: 0,
        },
        peak,
        spatial: split,
        ..ArrayRun::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{ActivationBits, Weights};

    /// 2 kernels × 2 channels, 3 accumulators, 1 weight a cycle. K = 2, C = 3, 4 positions, 1×1: output tiles of 3 and
    /// 1, channel tiles of 2 and 1. Steps (positions, load): (3, 4), (3, 2), (1, 4), (1, 2). The first load takes 4,
    /// then max(3, 2) + max(3, 4) + max(1, 2) + 1 = 10, and a latency of 2: 16 cycles, of which 8 stream.
    #[test]
    fn four_steps_by_hand() {
        let array = DotProduct {
            kernels: 2,
            channels: 2,
            accumulators: 3,
            weights_per_cycle: 1,
            latency: 2,
        };
        let nest = LoopNest {
            n: 1,
            g: 1,
            k: 2,
            c: 3,
            p: 2,
            q: 2,
            r: 1,
            s: 1,
            stride: [1, 1],
            dilation: [1, 1],
        };
        let work = LayerWork {
            name: "layer",
            nest,
            weights: Weights::Density(1.0),
            weight_bits: 8,
            activation_bits: ActivationBits::all(8),
            activation_density: 1.0,
            output_density: 1.0,
            input_elements: 12,
            output_elements: 8,
            input_from_dram: true,
            output_to_dram: true,
            mapping: None,
            fused: None,
        };
        let run = run(array, &work, Spatial::ONE).expect("no overflow");
        assert_eq!(run.cycles, 16);
        assert_eq!(
            (run.causes.compute, run.causes.unused, run.causes.fill_drain),
            (6, 2, 8)
        );
        // 6 weights for each of two output tiles; 3 channels at 4 positions; 2 outputs at 4 positions
        assert_eq!(run.bits.weights, 8 * 12);
        assert_eq!(run.bits.inputs, 8 * 12);
        assert_eq!(run.bits.outputs_written, 8 * 8);
    }
}
