//! A grid of dot-product units in lockstep: each takes stored weights from its row's list and picks their inputs.

use cosparse::hardware::Structured;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    pub(crate) useful: u64,
    /// Slots read from the weight lists, zeros in groups that keep fewer counted in.
    pub(crate) slots: u64,
    /// Slots stored.
    pub(crate) stored: u64,
    /// Positions × rows.
    pub(crate) output: Vec<Vec<i64>>,
}

/// The groups of a row: columns of the slots, `None` where a group keeps fewer.
fn groups(engine: Structured, row: &[bool], full: bool) -> Vec<Vec<Option<usize>>> {
    let (keep, group) = (engine.keep as usize, engine.group as usize);
    if full {
        // lanes of one weight each
        return (0..row.len()).map(|c| vec![Some(c)]).collect();
    }
    (0..row.len())
        .step_by(group)
        .map(|from| {
            let to = (from + group).min(row.len());
            let mut slots: Vec<Option<usize>> = (from..to).filter(|&c| row[c]).map(Some).collect();
            assert!(slots.len() <= keep, "the mask is N:M");
            slots.resize(keep.min(to - from), None);
            slots
        })
        .collect()
}

/// One group of the layer after another, through one pipeline.
pub(crate) fn run(
    engine: Structured,
    layers: &[Vec<Vec<bool>>],
    positions: usize,
    weight: &dyn Fn(usize, usize) -> i64,
    input: &dyn Fn(usize, usize) -> i64,
) -> Vec<Ticked> {
    let (rows, cols) = (engine.rows as usize, engine.cols as usize);
    let full = layers.iter().flatten().flatten().all(|&a| a) || engine.keep == engine.group;
    let at_once = if full {
        engine.lanes
    } else {
        engine.lanes / engine.keep
    } as usize;
    let mut all = Vec::new();
    for alive in layers {
        let lists: Vec<_> = alive.iter().map(|row| groups(engine, row, full)).collect();
        let mut ticked = Ticked {
            output: vec![vec![0; alive.len()]; positions],
            stored: lists.iter().flatten().map(|g| g.len() as u64).sum(),
            ..Ticked::default()
        };
        for row0 in (0..alive.len()).step_by(rows) {
            for x0 in (0..positions).step_by(cols) {
                let mut next = 0;
                while next < lists[row0].len() {
                    for row in row0..(row0 + rows).min(alive.len()) {
                        let taken: Vec<_> = lists[row].iter().skip(next).take(at_once).flatten().collect();
                        ticked.slots += taken.len() as u64;
                        for x in x0..(x0 + cols).min(positions) {
                            for &&column in taken.iter().filter(|slot| slot.is_some()) {
                                let column = column.expect("filtered");
                                ticked.output[x][row] += weight(row, column) * input(x, column);
                                ticked.useful += 1;
                            }
                        }
                    }
                    next += at_once;
                    ticked.cycles += 1;
                }
            }
        }
        all.push(ticked);
    }
    // the last products are in the multipliers; their sums climb the adder tree level by level
    let mut sums = engine.lanes;
    let last = all.last_mut().expect("a group");
    last.cycles += 1;
    while sums > 1 {
        sums = sums.div_ceil(2);
        last.cycles += 1;
    }
    all
}
