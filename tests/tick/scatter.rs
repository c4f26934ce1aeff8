//! PEs that each hold a tile of the input, walk its non-zeros against the broadcast weights, and add what the
//! crossbar brings to their banks. Values move; neighbours exchange their halos when a group is done.

use cosparse::hardware::Scatter;
use cosparse::network::LoopNest;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// An output of the group: channel, row, column.
type Place = (u64, u64, u64);

/// Products of one vector of weights and one of activations, each with the output it belongs to, if any.
type Step = Vec<(i64, Option<Place>)>;

/// An element of the padded plane by PE (rows, columns), channel, row and column; 0 is skipped.
pub(crate) type Input<'a> = &'a dyn Fn(&Range<u64>, &Range<u64>, u64, u64, u64) -> i64;

/// What a run did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    /// Products, dropped ones included.
    pub(crate) made: u64,
    /// Products that were added.
    pub(crate) useful: u64,
    /// Cycles in which a PE started a vector product.
    pub(crate) started: u64,
    /// Cycles in which a PE held back products, or only emptied its queues.
    pub(crate) held: u64,
    /// Cycles in which a PE with a tile waited for others.
    pub(crate) waited: u64,
    /// Weights and fillers that the broadcast carried.
    pub(crate) entries: u64,
    /// Activations that PEs read.
    pub(crate) inputs: u64,
    /// Sums that went to a neighbour.
    pub(crate) halo: u64,
    /// By channel, row and column.
    pub(crate) output: BTreeMap<Place, i64>,
}

/// Products before a bank.
type Queue = VecDeque<(Place, i64)>;

/// A PE: what it holds and how far it is.
struct Pe {
    rows: Range<u64>,
    cols: Range<u64>,
    /// The vector products of the group, in order.
    steps: VecDeque<Step>,
    /// Products at the multipliers' outputs: bank, place, value.
    outputs: Vec<(u64, Place, i64)>,
    queues: Vec<Queue>,
    sums: BTreeMap<Place, i64>,
}

/// A stored weight: its value, channel in the group and kernel place.
type Weight = (i64, u64, u64, u64);

/// Elements of each PE along an axis.
fn cut(length: u64, pes: u64) -> Vec<Range<u64>> {
    let used = pes.min(length);
    (0..used)
        .map(|i| i * length / used..(i + 1) * length / used)
        .collect()
}

/// Outputs that elements `from..to` of the padded plane may reach.
fn reach(elements: &Range<u64>, outputs: u64, kernel: u64, stride: u64, dilation: u64) -> Vec<u64> {
    (0..outputs)
        .filter(|o| {
            let (low, high) = (o * stride, o * stride + (kernel - 1) * dilation);
            low < elements.end && high >= elements.start
        })
        .collect()
}

/// One sample of one group of the layer. `ring` is the padding on each side, `together` the channels that are
/// computed together, `weight` by channel, input channel, kernel row and column.
#[expect(
    clippy::too_many_lines,
    reason = "a group from its broadcast to its halos, in order"
)]
pub(crate) fn run(
    engine: Scatter,
    nest: &LoopNest,
    ring: u64,
    together: u64,
    weight: &dyn Fn(u64, u64, u64, u64) -> i64,
    input: Input,
) -> Ticked {
    let [stride, dilation] = [nest.stride, nest.dilation];
    let height = (nest.p - 1) * stride[0] + (nest.r - 1) * dilation[0] + 1 - 2 * ring;
    let width = (nest.q - 1) * stride[1] + (nest.s - 1) * dilation[1] + 1 - 2 * ring;
    let shift = |range: &Range<u64>| range.start + ring..range.end + ring;
    let mut ticked = Ticked::default();
    let mut first = 0;
    while first < nest.k {
        let channels = together.min(nest.k - first);
        // the broadcast: a chain per input channel
        let chains: Vec<Vec<Option<Weight>>> = (0..nest.c)
            .map(|c| {
                let mut chain = Vec::new();
                let mut zeros = 0;
                for k in 0..channels {
                    for r in 0..nest.r {
                        for s in 0..nest.s {
                            let value = weight(first + k, c, r, s);
                            if value == 0 {
                                zeros += 1;
                                continue;
                            }
                            while zeros >= 1 << engine.index_bits {
                                chain.push(None);
                                zeros -= 1 << engine.index_bits;
                            }
                            chain.push(Some((value, k, r, s)));
                            zeros = 0;
                        }
                    }
                }
                chain
            })
            .collect();
        ticked.entries += chains.iter().map(|c| c.len() as u64).sum::<u64>();
        let mut pes = Vec::new();
        for rows in cut(height, engine.rows.into()) {
            for cols in cut(width, engine.cols.into()) {
                let mut steps = VecDeque::new();
                for (c, chain) in chains.iter().enumerate() {
                    let mut active = Vec::new();
                    for y in shift(&rows) {
                        for x in shift(&cols) {
                            let value = input(&shift(&rows), &shift(&cols), c as u64, y, x);
                            if value != 0 {
                                active.push((value, y, x));
                            }
                        }
                    }
                    if !chain.is_empty() {
                        ticked.inputs += active.len() as u64;
                    }
                    for vector in active.chunks(engine.activations as usize) {
                        for weights in chain.chunks(engine.weights as usize) {
                            let mut products = Vec::new();
                            for entry in weights {
                                for &(value, y, x) in vector {
                                    let place = entry.and_then(|(_, k, r, s)| {
                                        let row = y.checked_sub(r * dilation[0])?;
                                        let col = x.checked_sub(s * dilation[1])?;
                                        let lands = row % stride[0] == 0 && col % stride[1] == 0;
                                        let (row, col) = (row / stride[0], col / stride[1]);
                                        (lands && row < nest.p && col < nest.q).then_some((k, row, col))
                                    });
                                    products.push((entry.map_or(0, |e| e.0) * value, place));
                                }
                            }
                            steps.push_back(products);
                        }
                    }
                }
                pes.push(Pe {
                    rows: shift(&rows),
                    cols: shift(&cols),
                    steps,
                    outputs: Vec::new(),
                    queues: vec![VecDeque::new(); engine.banks as usize],
                    sums: BTreeMap::new(),
                });
            }
        }
        let busy = |pe: &Pe| {
            !pe.steps.is_empty() || !pe.outputs.is_empty() || pe.queues.iter().any(|q| !q.is_empty())
        };
        while pes.iter().any(busy) {
            ticked.cycles += 1;
            for pe in &mut pes {
                if !busy(pe) {
                    ticked.waited += 1;
                    continue;
                }
                if pe.outputs.is_empty() && !pe.steps.is_empty() {
                    ticked.started += 1;
                    let down = reach(&pe.rows, nest.p, nest.r, stride[0], dilation[0]);
                    let across = reach(&pe.cols, nest.q, nest.s, stride[1], dilation[1]);
                    for (value, place) in pe.steps.pop_front().expect("not empty") {
                        ticked.made += 1;
                        let Some((k, row, col)) = place else { continue };
                        let [y, x] = [(&down, row), (&across, col)]
                            .map(|(list, at)| list.iter().position(|&o| o == at).expect("in reach") as u64);
                        let address = (k * down.len() as u64 + y) * across.len() as u64 + x;
                        pe.outputs
                            .push((address % u64::from(engine.banks), (k, row, col), value));
                    }
                } else {
                    ticked.held += 1;
                }
                // a queue takes what it has places for, and one that is added at once
                let mut rest = Vec::new();
                for (bank, place, value) in pe.outputs.drain(..) {
                    let queue = &mut pe.queues[bank as usize];
                    if queue.len() <= engine.queue_depth as usize {
                        queue.push_back((place, value));
                    } else {
                        rest.push((bank, place, value));
                    }
                }
                pe.outputs = rest;
                for queue in &mut pe.queues {
                    if let Some((place, value)) = queue.pop_front() {
                        *pe.sums.entry(place).or_default() += value;
                        ticked.useful += 1;
                    }
                }
            }
        }
        // the first PE that holds an accumulator for an output collects it
        let mut owned = BTreeSet::new();
        for pe in &pes {
            for row in reach(&pe.rows, nest.p, nest.r, stride[0], dilation[0]) {
                for col in reach(&pe.cols, nest.q, nest.s, stride[1], dilation[1]) {
                    for k in 0..channels {
                        ticked.halo += u64::from(!owned.insert((k, row, col)));
                    }
                }
            }
            for (&(k, row, col), value) in &pe.sums {
                *ticked.output.entry((first + k, row, col)).or_default() += value;
            }
        }
        first += channels;
    }
    ticked
}
