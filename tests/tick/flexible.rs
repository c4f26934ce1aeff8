//! Multipliers behind ports, an adder tree whose partial sums climb a level a cycle, and output lines with queues.

use cosparse::hardware::Flexible;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    pub(crate) useful: u64,
    /// Weights loaded.
    pub(crate) loaded: u64,
    /// Inputs read.
    pub(crate) inputs: u64,
    pub(crate) sums_written: u64,
    pub(crate) sums_read: u64,
    /// Positions × rows.
    pub(crate) output: Vec<Vec<i64>>,
}

/// What a multiplier holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The weight of this row and column.
    Weight(usize, usize),
    /// The partial sum of this row passes through.
    Sum(usize),
}

impl Held {
    fn row(self) -> usize {
        match self {
            Self::Weight(row, _) | Self::Sum(row) => row,
        }
    }
}

/// The output line of every adder (height, index): pairs of neighbours without a common parent from the root down,
/// then the adders that have no such neighbour.
fn lines(multipliers: usize, lines: usize) -> BTreeMap<(u32, usize), usize> {
    let levels = multipliers.trailing_zeros().max(1);
    let adders = |height: u32| (multipliers >> height).max(1);
    let mut table = BTreeMap::new();
    let mut next = 0;
    for height in (1..=levels).rev() {
        for left in (1..adders(height).saturating_sub(1)).step_by(2) {
            table.insert((height, left), next % lines);
            table.insert((height, left + 1), next % lines);
            next += 1;
        }
    }
    // alone adders count on from two for each pair
    next *= 2;
    for height in (1..=levels).rev() {
        for index in 0..adders(height) {
            if let std::collections::btree_map::Entry::Vacant(free) = table.entry((height, index)) {
                free.insert(next % lines);
                next += 1;
            }
        }
    }
    table
}

/// Partial sums in the tree: node, row, value.
type Partial = (usize, usize, i64);

/// One level up; rows that are whole leave with the adder that finished them.
fn climb(partials: &[Partial]) -> (Vec<Partial>, Vec<Partial>) {
    let (mut rest, mut whole) = (Vec::new(), Vec::new());
    let rows: BTreeSet<usize> = partials.iter().map(|p| p.1).collect();
    for row in rows {
        let own: Vec<_> = partials.iter().filter(|p| p.1 == row).collect();
        let mut nodes: BTreeMap<usize, (usize, i64)> = BTreeMap::new();
        for &&(node, _, value) in &own {
            let adder = nodes.entry(node / 2).or_default();
            adder.0 += 1;
            adder.1 += value;
        }
        let list: Vec<_> = nodes
            .iter()
            .map(|(&node, &(inputs, value))| (node, inputs, value))
            .collect();
        match list[..] {
            [(node, _, value)] => whole.push((node, row, value)),
            [(a, two, x), (b, _, y)] if a % 2 == 1 && b == a + 1 && own.len() <= 3 => {
                whole.push((if two == 2 { a } else { b }, row, x + y));
            }
            _ => rest.extend(list.iter().map(|&(node, _, value)| (node, row, value))),
        }
    }
    (rest, whole)
}

/// Fills of the multipliers.
fn fills(engine: Flexible, rows: &[Vec<usize>]) -> Vec<Vec<Held>> {
    let multipliers = engine.multipliers as usize;
    let mut folds: Vec<Vec<Held>> = Vec::new();
    let mut open = false;
    for (row, columns) in rows.iter().enumerate() {
        let weights: Vec<_> = columns.iter().map(|&c| Held::Weight(row, c)).collect();
        if weights.is_empty() {
            continue;
        }
        if weights.len() > multipliers {
            let mut rest = VecDeque::from(weights);
            let mut fold: Vec<Held> = rest.drain(..multipliers).collect();
            folds.push(fold);
            while !rest.is_empty() {
                fold = if multipliers > 1 {
                    vec![Held::Sum(row)]
                } else {
                    Vec::new()
                };
                while fold.len() < multipliers
                    && let Some(weight) = rest.pop_front()
                {
                    fold.push(weight);
                }
                folds.push(fold);
            }
            open = false;
        } else if let Some(fold) = folds
            .last_mut()
            .filter(|f| open && f.len() + weights.len() <= multipliers)
        {
            fold.extend(weights);
        } else {
            folds.push(weights);
            open = true;
        }
    }
    folds
}

/// The groups that run at once: the columns that each row holds, `weight(row, column)`, `input(position, column)`;
/// columns count on from group to group, `products` each.
pub(crate) fn run(
    engine: Flexible,
    rows: &[Vec<usize>],
    products: usize,
    positions: usize,
    weight: &dyn Fn(usize, usize) -> i64,
    input: &dyn Fn(usize, usize) -> i64,
) -> Ticked {
    let behind = engine.multipliers.div_ceil(engine.distribution_words) as usize;
    let table = lines(engine.multipliers as usize, engine.output_lines as usize);
    let mut ticked = Ticked {
        output: vec![vec![0; rows.len()]; positions],
        ..Ticked::default()
    };
    for fold in fills(engine, rows) {
        // inputs of the groups whose rows begin here: later folds of a long row read none anew
        let begun: BTreeSet<usize> = fold
            .iter()
            .filter_map(|held| match held {
                Held::Weight(row, column) if !fold.contains(&Held::Sum(*row)) => Some(column / products),
                _ => None,
            })
            .collect();
        ticked.inputs += (begun.len() * products * positions) as u64;
        ticked.cycles += 1; // configure
        let mut ports: Vec<usize> = fold
            .chunks(behind)
            .map(|port| port.iter().filter(|h| matches!(h, Held::Weight(..))).count())
            .collect();
        while ports.iter().any(|&p| p > 0) {
            for port in &mut ports {
                ticked.loaded += u64::from(*port > 0);
                *port = port.saturating_sub(1);
            }
            ticked.cycles += 1;
        }
        stream(
            &fold,
            behind,
            &table,
            engine.output_lines as usize,
            positions,
            weight,
            input,
            &mut ticked,
        );
        ticked.cycles += 1; // the last sum is written
    }
    ticked
}

#[allow(clippy::too_many_arguments)] // the parts of the machine
fn stream(
    fold: &[Held],
    behind: usize,
    table: &BTreeMap<(u32, usize), usize>,
    lines: usize,
    positions: usize,
    weight: &dyn Fn(usize, usize) -> i64,
    input: &dyn Fn(usize, usize) -> i64,
    ticked: &mut Ticked,
) {
    let needs: Vec<usize> = fold
        .chunks(behind)
        .map(|port| {
            let words: BTreeSet<_> = port
                .iter()
                .map(|held| match held {
                    Held::Weight(_, column) => *column,
                    Held::Sum(_) => usize::MAX,
                })
                .collect();
            words.len()
        })
        .collect();
    let rows: BTreeSet<usize> = fold.iter().map(|h| h.row()).collect();
    let mut ports = needs.clone();
    let (mut position, mut left) = (0, positions * rows.len());
    // multiplied positions, then those in the tree with the levels climbed and the rows that are whole
    let mut multiplied: Option<usize> = None;
    let mut tree: VecDeque<(usize, u32, Vec<Partial>, Vec<Partial>)> = VecDeque::new();
    let mut queues: Vec<VecDeque<(usize, usize, i64)>> = vec![VecDeque::new(); lines];
    while left > 0 {
        for queue in &mut queues {
            if let Some((x, row, value)) = queue.pop_front() {
                ticked.sums_read += u64::from(fold.contains(&Held::Sum(row)));
                ticked.sums_written += 1;
                ticked.output[x][row] += value;
                left -= 1;
            }
        }
        for (_, height, partials, whole) in &mut tree {
            let (rest, done) = climb(partials);
            *height += 1;
            whole.extend(
                done.iter()
                    .map(|&(node, row, value)| (table[&(*height, node)], row, value)),
            );
            *partials = rest;
        }
        while tree
            .front()
            .is_some_and(|(_, _, partials, _)| partials.is_empty())
        {
            if let Some((x, _, _, whole)) = tree.pop_front() {
                for (line, row, value) in whole {
                    queues[line].push_back((x, row, value));
                }
            }
        }
        if let Some(x) = multiplied.take() {
            let products = fold.iter().enumerate().map(|(m, held)| match *held {
                Held::Weight(row, column) => (m, row, weight(row, column) * input(x, column)),
                Held::Sum(row) => (m, row, 0), // the sum itself is kept in `output`
            });
            ticked.useful += fold.iter().filter(|h| matches!(h, Held::Weight(..))).count() as u64;
            tree.push_back((x, 0, products.collect(), Vec::new()));
        }
        if position < positions {
            for port in &mut ports {
                *port = port.saturating_sub(1);
            }
            if ports.iter().all(|&p| p == 0) {
                multiplied = Some(position);
                position += 1;
                ports.clone_from(&needs);
            }
        }
        ticked.cycles += 1;
    }
}
