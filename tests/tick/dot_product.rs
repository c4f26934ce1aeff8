//! Trees that add up the products of one position with the held weights, while the next weights come in.

use cosparse::hardware::DotProduct;
use cosparse::network::LoopNest;
use std::collections::BTreeMap;

/// What a run did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    pub(crate) streaming: u64,
    pub(crate) macs: u64,
    pub(crate) weights: u64,
    pub(crate) inputs: u64,
    /// Outputs that left their accumulators.
    pub(crate) written: u64,
    /// Value by (group, kernel, position).
    pub(crate) outputs: BTreeMap<[u64; 3], i64>,
}

struct Step {
    group: u64,
    kernels: std::ops::Range<u64>,
    channels: std::ops::Range<u64>,
    positions: std::ops::Range<u64>,
    tap: (u64, u64),
    /// Whether its sums are whole.
    last: bool,
}

fn cut(extent: u64, step: u32) -> Vec<std::ops::Range<u64>> {
    (0..extent)
        .step_by(step as usize)
        .map(|start| start..(start + u64::from(step)).min(extent))
        .collect()
}

/// `weight` at (group, kernel, channel, row, column); `input` at (sample, group, channel, row, column).
pub(crate) fn run(
    array: DotProduct,
    nest: &LoopNest,
    weight: &dyn Fn([u64; 5]) -> i64,
    input: &dyn Fn([u64; 5]) -> i64,
) -> Ticked {
    let mut steps = Vec::new();
    for group in 0..nest.g {
        for kernels in cut(nest.k, array.kernels) {
            for positions in cut(nest.n * nest.p * nest.q, array.accumulators) {
                for channels in cut(nest.c, array.channels) {
                    for r in 0..nest.r {
                        for s in 0..nest.s {
                            steps.push(Step {
                                group,
                                kernels: kernels.clone(),
                                channels: channels.clone(),
                                positions: positions.clone(),
                                tap: (r, s),
                                last: channels.end == nest.c && (r, s) == (nest.r - 1, nest.s - 1),
                            });
                        }
                    }
                }
            }
        }
    }
    let words = |step: &Step| step.kernels.clone().count() as u64 * step.channels.clone().count() as u64;
    let mut ticked = Ticked::default();
    let mut coming = words(&steps[0]);
    ticked.weights += coming;
    while coming > 0 {
        coming = coming.saturating_sub(array.weights_per_cycle.into());
        ticked.cycles += 1;
    }
    for (i, step) in steps.iter().enumerate() {
        let mut coming = steps.get(i + 1).map_or(0, words);
        ticked.weights += coming;
        let mut positions = step.positions.clone();
        loop {
            let position = positions.next();
            if position.is_none() && coming == 0 {
                break;
            }
            if let Some(at) = position {
                let (image, row, col) = (at / (nest.p * nest.q), at / nest.q % nest.p, at % nest.q);
                let y = row * nest.stride[0] + step.tap.0 * nest.dilation[0];
                let x = col * nest.stride[1] + step.tap.1 * nest.dilation[1];
                ticked.inputs += step.channels.clone().count() as u64;
                for kernel in step.kernels.clone() {
                    for channel in step.channels.clone() {
                        let held = weight([step.group, kernel, channel, step.tap.0, step.tap.1]);
                        *ticked.outputs.entry([step.group, kernel, at]).or_default() +=
                            held * input([image, step.group, channel, y, x]);
                        ticked.macs += 1;
                    }
                    ticked.written += u64::from(step.last);
                }
                ticked.streaming += 1;
            }
            coming = coming.saturating_sub(array.weights_per_cycle.into());
            ticked.cycles += 1;
        }
    }
    // the last products reach their accumulators
    ticked.cycles += u64::from(array.latency);
    ticked
}
