//! Dot-product trees (NVDLA-like): `kernels` × `channels` multipliers.
//!
//! Loops from the outside in: groups, kernel tiles, output tiles of at most `accumulators` positions, channel tiles,
//! kernel rows, kernel columns, positions. A step is the innermost loop: the weights of one kernel tile × channel
//! tile at one place (r, s) are held, and the tile's positions pass, one a cycle. The weights of the next step load
//! beside it, `weights-per-cycle` at a time, and a step waits for them; the first load stands alone. Sums of an
//! output tile stay in the accumulators until all its products are added. Groups run one after another, so a
//! depthwise layer uses one kernel and one channel.
//!
//! Source of the structure: NVDLA, hardware architectural specification, "convolution pipeline".

use super::{ArrayBits, ArrayEngine, ArrayRun};
use crate::compression::Mask;
use crate::hardware::DotProduct;
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits};
use crate::units::{Overflow, add, mul, product};

impl ArrayEngine for DotProduct {
    fn run(&self, work: &LayerWork, _: Option<&Mask>, _: &str) -> Result<ArrayRun, SimulateError> {
        run(*self, work).map_err(SimulateError::overflow(work))
    }

    fn pes(&self) -> u64 {
        u64::from(self.kernels) * u64::from(self.channels)
    }
}

/// The pieces of `extent` in steps of `step`: size and how often, those that occur.
fn pieces(extent: u64, step: u32) -> impl Iterator<Item = (u64, u64)> + Clone {
    let step = u64::from(step);
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

fn cycles(array: DotProduct, work: &LayerWork) -> Result<Cycles, Overflow> {
    let nest = &work.nest;
    let positions = product(&[nest.n, nest.p, nest.q])?;
    let taps = mul(nest.r, nest.s)?;
    let load = |kernels: u64, channels: u64| (kernels * channels).div_ceil(array.weights_per_cycle.into());
    let output_tiles = positions.div_ceil(array.accumulators.into());
    let (whole, last) = (
        u64::from(array.accumulators).min(positions),
        positions - (output_tiles - 1) * u64::from(array.accumulators),
    );
    let first_kernels = nest.k.min(array.kernels.into());
    let first_channels = nest.c.min(array.channels.into());
    let mut streaming = 0;
    // a load waits for the step before it: one of its own output tile, but for the first step of a tile, which
    // follows the tile before, or the last tile of the kernels before
    let mut waiting = 0;
    for (kernels, kernel_tiles) in pieces(nest.k, array.kernels) {
        let repeats = mul(nest.g, kernel_tiles)?;
        let over = |channels: u64, outputs: u64| load(kernels, channels).saturating_sub(outputs);
        for (outputs, tiles) in pieces(positions, array.accumulators) {
            for (channels, channel_tiles) in pieces(nest.c, array.channels) {
                let steps = mul(channel_tiles, taps)?;
                let inside = steps - u64::from(channels == first_channels);
                streaming = add(streaming, product(&[repeats, tiles, steps, outputs])?)?;
                waiting = add(
                    waiting,
                    product(&[repeats, tiles, inside, over(channels, outputs)])?,
                )?;
            }
        }
        let entering = add(
            mul(output_tiles - 1, over(first_channels, whole))?,
            over(first_channels, last),
        )?;
        waiting = add(waiting, mul(repeats, entering)?)?;
    }
    // no step comes before the very first load: it is waited for whole
    let first = load(first_kernels, first_channels);
    waiting = waiting - first.saturating_sub(last) + first;
    Ok(Cycles {
        streaming,
        waiting: add(waiting, array.latency.into())?,
    })
}

fn run(array: DotProduct, work: &LayerWork) -> Result<ArrayRun, Overflow> {
    let nest = &work.nest;
    let Cycles { streaming, waiting } = cycles(array, work)?;
    let peak = array.pes();
    let macs = nest.macs();
    let compute = macs / peak;
    let positions = product(&[nest.n, nest.p, nest.q])?;
    let output_tiles = positions.div_ceil(array.accumulators.into());
    let kernel_tiles = nest.k.div_ceil(array.kernels.into());
    let (weight_bits, act) = (u64::from(work.weight_bits), u64::from(work.activation_bits));
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
            inputs: product(&[nest.g, kernel_tiles, taps, nest.c, positions, act])?,
            outputs_written: product(&[nest.g, nest.k, positions, act])?,
            outputs_read: 0,
        },
        peak,
        ..ArrayRun::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::LoopNest;
    use crate::simulate::Weights;

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
            activation_bits: 8,
            activation_density: 1.0,
            output_density: 1.0,
            input_elements: 12,
            output_elements: 8,
            input_from_dram: true,
            output_to_dram: true,
            mapping: None,
            fused: None,
        };
        let run = run(array, &work).expect("no overflow");
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
