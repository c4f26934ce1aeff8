//! A grid of PEs that keep filter rows and slide them over input rows, pass by pass, with ports of so many words a
//! cycle. Real values move, so that a mapping that leaves work out or does it twice gives wrong outputs.

use cosparse::hardware::RowStationary;
use cosparse::network::LoopNest;
use cosparse::simulate::RowStationaryMapping;
use std::collections::BTreeMap;

/// What a run did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    /// Cycles before PEs start: weights and first windows.
    pub(crate) filling: u64,
    /// Cycles in which some PE multiplies.
    pub(crate) working: u64,
    pub(crate) macs: u64,
    pub(crate) weights: u64,
    pub(crate) inputs: u64,
    pub(crate) psums_out: u64,
    pub(crate) psums_in: u64,
    /// Most PEs that worked in one pass.
    pub(crate) active: u64,
    /// Value by (group, filter, sample, row, column).
    pub(crate) outputs: BTreeMap<[u64; 5], i64>,
}

/// The weight at (group, filter, channel, row, column), and the input at (sample, group, channel, row, column).
pub(crate) struct Values<'a> {
    pub(crate) weight: &'a dyn Fn([u64; 5]) -> i64,
    pub(crate) input: &'a dyn Fn([u64; 5]) -> i64,
}

/// The starts of pieces of `step` in `from..to`, each with its end.
fn cut(from: u64, to: u64, step: u64) -> Vec<(u64, u64)> {
    (from..to)
        .step_by(step as usize)
        .map(|start| (start, (start + step).min(to)))
        .collect()
}

pub(crate) fn run(
    engine: &RowStationary,
    nest: &LoopNest,
    map: &RowStationaryMapping,
    values: &Values,
) -> Ticked {
    let mut ticked = Ticked::default();
    for groups in cut(0, nest.g, map.g) {
        for rows in cut(0, nest.p, map.e) {
            for images in cut(0, nest.n, map.n) {
                for block in cut(0, nest.k, map.m) {
                    for channels in cut(0, nest.c, map.q * map.r) {
                        for filters in cut(block.0, block.1, map.p * map.t) {
                            let pass = Pass {
                                groups,
                                rows,
                                images,
                                channels,
                                filters,
                            };
                            pass.run(engine, nest, map, values, &mut ticked);
                        }
                    }
                }
            }
        }
    }
    ticked
}

struct Pass {
    groups: (u64, u64),
    rows: (u64, u64),
    images: (u64, u64),
    channels: (u64, u64),
    filters: (u64, u64),
}

/// One multiplication of a PE: where its product goes, and its operands.
type Work = ([u64; 5], i64, i64);

impl Pass {
    /// The list of every PE's work, in order.
    fn pes(&self, nest: &LoopNest, map: &RowStationaryMapping, values: &Values) -> Vec<Vec<Work>> {
        let mut pes = Vec::new();
        for group in self.groups.0..self.groups.1 {
            for channels in cut(self.channels.0, self.channels.1, map.q) {
                for filters in cut(self.filters.0, self.filters.1, map.p) {
                    for kernel_row in 0..nest.r {
                        for row in self.rows.0..self.rows.1 {
                            let mut work = Vec::new();
                            for image in self.images.0..self.images.1 {
                                for col in 0..nest.q {
                                    for kernel_col in 0..nest.s {
                                        for channel in channels.0..channels.1 {
                                            for filter in filters.0..filters.1 {
                                                let y = row * nest.stride[0] + kernel_row * nest.dilation[0];
                                                let x = col * nest.stride[1] + kernel_col * nest.dilation[1];
                                                work.push((
                                                    [group, filter, image, row, col],
                                                    (values.weight)([
                                                        group, filter, channel, kernel_row, kernel_col,
                                                    ]),
                                                    (values.input)([image, group, channel, y, x]),
                                                ));
                                            }
                                        }
                                    }
                                }
                            }
                            pes.push(work);
                        }
                    }
                }
            }
        }
        pes
    }

    fn run(
        &self,
        engine: &RowStationary,
        nest: &LoopNest,
        map: &RowStationaryMapping,
        values: &Values,
        ticked: &mut Ticked,
    ) {
        let pes = self.pes(nest, map, values);
        ticked.active = ticked.active.max(pes.len() as u64);
        assert!(pes.len() as u64 <= u64::from(engine.rows) * u64::from(engine.cols));
        // the words that have to move, one by one
        let mut weights = 0u64;
        let of_groups = self.groups.1 - self.groups.0;
        for _ in self.filters.0..self.filters.1 {
            for _ in self.channels.0..self.channels.1 {
                weights += nest.r * nest.s * of_groups;
            }
        }
        let last = |outputs: u64, axis: usize, kernel: u64| {
            (outputs - 1) * nest.stride[axis] + (kernel - 1) * nest.dilation[axis]
        };
        let (mut first, mut later) = (0u64, 0u64);
        for image in self.images.0..self.images.1 {
            for _ in self.channels.0..self.channels.1 {
                for _ in 0..=last(self.rows.1 - self.rows.0, 0, nest.r) {
                    for col in 0..=last(nest.q, 1, nest.s) {
                        if image == self.images.0 && col < nest.s {
                            first += of_groups;
                        } else {
                            later += of_groups;
                        }
                    }
                }
            }
        }
        let mut sums = 0u64;
        for _ in self.images.0..self.images.1 {
            for _ in self.filters.0..self.filters.1 {
                for _ in self.rows.0..self.rows.1 {
                    sums += nest.q * of_groups;
                }
            }
        }
        ticked.weights += weights;
        ticked.inputs += first + later;
        ticked.psums_out += sums;
        let (mut leaving, mut coming) = (sums, if self.channels.0 == 0 { 0 } else { sums });
        ticked.psums_in += coming;
        // before the PEs start
        for (mut waiting, port) in [
            (weights, engine.weights_per_cycle),
            (first, engine.inputs_per_cycle),
        ] {
            while waiting > 0 {
                waiting = waiting.saturating_sub(port.into());
                ticked.cycles += 1;
                ticked.filling += 1;
            }
        }
        // together: one multiplication a PE, and each port its words
        let mut time = 0;
        loop {
            let mut busy = false;
            for work in &pes {
                if let Some(&(at, weight, input)) = work.get(time) {
                    *ticked.outputs.entry(at).or_default() += weight * input;
                    ticked.macs += 1;
                    busy = true;
                }
            }
            if !busy && leaving == 0 && coming == 0 && later == 0 {
                return;
            }
            leaving = leaving.saturating_sub(engine.psums_per_cycle.into());
            coming = coming.saturating_sub(engine.psums_per_cycle.into());
            later = later.saturating_sub(engine.inputs_per_cycle.into());
            ticked.working += u64::from(busy);
            ticked.cycles += 1;
            time += 1;
        }
    }
}
