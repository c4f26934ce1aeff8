//! A grid of dot-product units in lockstep: each takes stored weights from its row's list and picks their inputs.

use cosparse::hardware::Structured;

/// What a group did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ticked {
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

/// The groups of the layer, `at_once` of them side by side, through one pipeline. Each has rows and lanes of its own;
/// units see the inputs of all lanes, and hold nothing on those of the others.
pub(crate) fn run(
    engine: Structured,
    split: usize,
    layers: &[Vec<Vec<bool>>],
    positions: usize,
    weight: &dyn Fn(usize, usize) -> i64,
    input: &dyn Fn(usize, usize) -> i64,
) -> (u64, Vec<Ticked>) {
    let (rows, cols) = (engine.rows as usize / split, engine.cols as usize);
    let full = layers.iter().flatten().flatten().all(|&a| a) || engine.keep == engine.group;
    // groups of weights that the lanes of one group take at once
    let at_once = if full {
        engine.lanes as usize / split
    } else {
        (engine.lanes / engine.keep) as usize / split
    };
    let mut all = Vec::new();
    let mut cycles = 0;
    for pack in layers.chunks(split) {
        let lists: Vec<Vec<_>> = pack
            .iter()
            .map(|alive| alive.iter().map(|row| groups(engine, row, full)).collect())
            .collect();
        let channels = pack[0].len();
        let mut done: Vec<Ticked> = lists
            .iter()
            .map(|lists| Ticked {
                output: vec![vec![0; channels]; positions],
                stored: lists.iter().flatten().map(|g| g.len() as u64).sum(),
                ..Ticked::default()
            })
            .collect();
        for row0 in (0..channels).step_by(rows) {
            for x0 in (0..positions).step_by(cols) {
                let mut next = 0;
                while next < lists[0][row0].len() {
                    for unit in 0..engine.rows as usize {
                        let (block, row) = (unit / rows, row0 + unit % rows);
                        let Some(list) = lists.get(block).and_then(|list| list.get(row)) else {
                            continue;
                        };
                        let taken: Vec<_> = list.iter().skip(next).take(at_once).flatten().collect();
                        assert!(
                            taken.len() <= engine.lanes as usize / split,
                            "no more slots than lanes"
                        );
                        let ticked = &mut done[block];
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
                    cycles += 1;
                }
            }
        }
        all.extend(done);
    }
    // the last products are in the multipliers; their sums climb the adder tree level by level
    let mut sums = engine.lanes;
    cycles += 1;
    while sums > 1 {
        sums = sums.div_ceil(2);
        cycles += 1;
    }
    (cycles, all)
}
