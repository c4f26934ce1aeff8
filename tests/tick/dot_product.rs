//! Trees that add up the products of one position with the held weights, while the next weights come in.

use cosparse::hardware::DotProduct;
use cosparse::network::LoopNest;
use cosparse::simulate::Spatial;
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
    groups: std::ops::Range<u64>,
    kernels: std::ops::Range<u64>,
    channels: std::ops::Range<u64>,
    positions: std::ops::Range<u64>,
    row: u64,
    columns: std::ops::Range<u64>,
    /// Whether its sums are whole.
    last: bool,
}

fn cut(extent: u64, step: u64) -> Vec<std::ops::Range<u64>> {
    (0..extent)
        .step_by(step as usize)
        .map(|start| start..(start + step).min(extent))
        .collect()
}

/// Trees and the weights that they hold on their lanes: group, kernel, channel, row, column.
type Held = Vec<Vec<Option<[u64; 5]>>>;

/// The lanes of a step: each group of a pack has trees and lanes of its own, along the diagonal.
fn held(array: DotProduct, split: Spatial, step: &Step) -> Held {
    let [trees, lanes] = [array.kernels, array.channels].map(|n| (u64::from(n) / split.groups) as usize);
    let mut held = vec![vec![None; array.channels as usize]; array.kernels as usize];
    for (block, group) in step.groups.clone().enumerate() {
        for (tree, kernel) in step.kernels.clone().enumerate() {
            let mut lane = 0;
            for column in step.columns.clone() {
                for channel in step.channels.clone() {
                    assert!(
                        tree < trees && lane < lanes,
                        "a group keeps to its trees and lanes"
                    );
                    held[block * trees + tree][block * lanes + lane] =
                        Some([group, kernel, channel, step.row, column]);
                    lane += 1;
                }
            }
        }
    }
    held
}

/// `weight` at (group, kernel, channel, row, column); `input` at (sample, group, channel, row, column).
pub(crate) fn run(
    array: DotProduct,
    split: Spatial,
    nest: &LoopNest,
    weight: &dyn Fn([u64; 5]) -> i64,
    input: &dyn Fn([u64; 5]) -> i64,
) -> Ticked {
    let [trees, lanes] = [array.kernels, array.channels].map(|n| u64::from(n) / split.groups);
    let mut steps = Vec::new();
    for groups in cut(nest.g, split.groups) {
        for kernels in cut(nest.k, trees) {
            for positions in cut(nest.n * nest.p * nest.q, array.accumulators.into()) {
                for channels in cut(nest.c, lanes) {
                    for row in 0..nest.r {
                        for columns in cut(nest.s, split.columns) {
                            steps.push(Step {
                                groups: groups.clone(),
                                kernels: kernels.clone(),
                                channels: channels.clone(),
                                positions: positions.clone(),
                                row,
                                last: channels.end == nest.c && row + 1 == nest.r && columns.end == nest.s,
                                columns,
                            });
                        }
                    }
                }
            }
        }
    }
    let words = |step: &Step| held(array, split, step).iter().flatten().flatten().count() as u64;
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
                let trees = held(array, split, step);
                // what each lane brings to all trees: the one input that any of them holds a weight for
                let mut lanes: Vec<Option<i64>> = vec![None; array.channels as usize];
                let mut brought = std::collections::BTreeSet::new();
                for tree in &trees {
                    for (lane, place) in tree.iter().enumerate() {
                        let Some([group, _, channel, r, s]) = *place else {
                            continue;
                        };
                        let y = row * nest.stride[0] + r * nest.dilation[0];
                        let x = col * nest.stride[1] + s * nest.dilation[1];
                        let value = input([image, group, channel, y, x]);
                        assert!(lanes[lane].is_none_or(|v| v == value), "a lane brings one input");
                        lanes[lane] = Some(value);
                        brought.insert((lane, group, channel, y, x));
                    }
                }
                ticked.inputs += brought.len() as u64;
                for tree in &trees {
                    // lanes without a weight hold zero
                    let weights = tree.iter().map(|place| place.map_or(0, weight));
                    let sum: i64 = weights.zip(&lanes).map(|(w, input)| w * input.unwrap_or(0)).sum();
                    let Some(&[group, kernel, ..]) = tree.iter().flatten().next() else {
                        continue;
                    };
                    *ticked.outputs.entry([group, kernel, at]).or_default() += sum;
                    ticked.macs += tree.iter().flatten().count() as u64;
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
