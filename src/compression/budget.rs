//! One budget over all layers: which weights to keep when keeping one costs more in some layers than in others.
//!
//! Maximise Σ v² over the kept weights v of all layers while Σ cost stays within the budget (energy-constrained
//! compression, arXiv 1806.04321 and 1910.05897; ALGORITHMS §4). Costs are equal within a layer, so that a layer keeps
//! its largest weights and only counts are to be chosen. They are chosen exactly: not by the ratio of v² to cost, which
//! leaves part of the budget unused where a dear weight no longer fits.

use super::structure::Unstructured;
use super::{ConstraintSet, Mask};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A layer with the price of its weights.
#[derive(Debug, Clone, Copy)]
pub struct Priced<'a> {
    /// Its values, row-major.
    pub values: &'a [f32],
    /// The positions that may stay.
    pub support: &'a Mask,
    /// What keeping one weight costs, in any unit common to all layers.
    pub cost: u64,
}

/// Weights kept of each layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// Counts, in the order of the layers; weights that are zero are not kept.
    pub counts: Vec<usize>,
    /// Σ v² of the weights kept.
    pub held: f64,
    /// Σ cost of the weights kept; at most the budget.
    pub cost: u64,
    /// How much Σ v² could at most grow with other counts: 0 unless the search came to its limit, up to rounding.
    pub gap: f64,
}

/// The nearest point of all layers together whose cost is within the budget: each layer keeps the largest magnitudes of
/// its count, ties as in [`Unstructured`].
///
/// # Panics
/// When a support has not one bit per value.
pub fn project(layers: &mut [(&mut [f32], &Mask, u64)], budget: u64) -> Allocation {
    let priced: Vec<Priced<'_>> = layers
        .iter()
        .map(|(values, support, cost)| Priced {
            values,
            support,
            cost: *cost,
        })
        .collect();
    let found = allocate(&priced, budget);
    for ((values, support, _), &keep) in layers.iter_mut().zip(&found.counts) {
        Unstructured { keep }.project(values, support);
    }
    found
}

/// The counts that hold most within the budget.
///
/// The relaxation that may split one weight gives a price λ per unit of cost. Moving a layer's count away from what λ
/// keeps costs a known amount, and so does budget left over; the best counts lie where the sum of these losses is
/// least. They are found by dynamic programming over layers, on states that no other beats in both cost and Σ v², with
/// a bound on the loss that grows until the best counts are within it.
#[must_use]
pub fn allocate(layers: &[Priced<'_>], budget: u64) -> Allocation {
    let squares: Vec<Vec<f64>> = layers.par_iter().map(descending_squares).collect();
    let free = |l: usize| layers[l].cost == 0;
    let all: u128 = layers
        .iter()
        .zip(&squares)
        .map(|(l, s)| u128::from(l.cost) * s.len() as u128)
        .sum();
    let mut counts: Vec<usize> = squares.iter().map(Vec::len).collect();
    let mut gap = 0.0;
    if all > u128::from(budget) {
        let priced: Vec<usize> = (0..layers.len()).filter(|&l| !free(l)).collect();
        let core: Vec<Layer<'_>> = priced
            .iter()
            .map(|&l| Layer {
                squares: &squares[l],
                cost: layers[l].cost,
            })
            .collect();
        let (chosen, left) = search(&core, budget);
        gap = left;
        for (&l, n) in priced.iter().zip(chosen) {
            counts[l] = n;
        }
    }
    Allocation {
        held: squares
            .iter()
            .zip(&counts)
            .map(|(s, &n)| s[..n].iter().sum::<f64>())
            .sum(),
        cost: layers.iter().zip(&counts).map(|(l, &n)| l.cost * n as u64).sum(),
        counts,
        gap,
    }
}

/// Squares of the weights alive that are not zero, descending. Infinity and NaN rank above every number.
fn descending_squares(layer: &Priced<'_>) -> Vec<f64> {
    assert_eq!(
        layer.values.len(),
        layer.support.len(),
        "a support has one bit per value"
    );
    let square = |i: usize| {
        let v = f64::from(layer.values[i]);
        if v.is_finite() { v * v } else { 1e90 }
    };
    let mut squares: Vec<f64> = layer.support.ones().map(square).filter(|&s| s > 0.0).collect();
    squares.sort_unstable_by(|a, b| b.total_cmp(a));
    squares
}

/// A layer whose weights cost something.
struct Layer<'a> {
    squares: &'a [f64],
    cost: u64,
}

impl Layer<'_> {
    /// Weights worth more than the price.
    fn worth(&self, price: f64) -> usize {
        let least = price * self.cost as f64;
        self.squares.partition_point(|&s| s > least)
    }
}

/// States times moves of one layer that the search may look at.
const MOST_WORK: usize = 1 << 22;

/// The counts that hold most, and how much more others could hold if the search came to its limit.
fn search(layers: &[Layer<'_>], budget: u64) -> (Vec<usize>, f64) {
    let cost_of = |counts: &[usize]| -> u128 {
        let cost = |(l, &n): (&Layer<'_>, &usize)| u128::from(l.cost) * n as u128;
        layers.iter().zip(counts).map(cost).sum()
    };
    let price = price(layers, budget, &cost_of);
    let base: Vec<usize> = layers.iter().map(|l| l.worth(price)).collect();
    let slack = u128::from(budget).saturating_sub(cost_of(&base)) as u64;
    let best = filled(layers, &base, slack);
    let loss_of = |counts: &[usize]| -> f64 {
        let moved = layers.iter().zip(&base).zip(counts);
        let shifts: f64 = moved
            .map(|((l, &from), &to)| {
                let price = price * l.cost as f64;
                let between = &l.squares[from.min(to)..from.max(to)];
                between.iter().map(|s| (s - price).abs()).sum::<f64>()
            })
            .sum();
        let unused = u128::from(budget).saturating_sub(cost_of(counts));
        shifts + price * unused as f64
    };
    let least = loss_of(&best);
    // bounds below which no counts were found
    let (mut excluded, mut bound) = (0.0, least / 4096.0);
    while excluded < least {
        bound = bound.min(least);
        match within(layers, &base, slack, price, bound) {
            Found::Limit => return (best, least - excluded),
            Found::Best(counts) => {
                let better = loss_of(&counts) < least;
                return (if better { counts } else { best }, 0.0);
            }
            Found::Nothing => excluded = bound,
        }
        bound *= 4.0;
    }
    (best, 0.0)
}

/// The smallest price at which what is worth it fits the budget: by bisection over the bits of positive numbers, which
/// are in the order of the numbers.
fn price(layers: &[Layer<'_>], budget: u64, cost_of: &impl Fn(&[usize]) -> u128) -> f64 {
    let fits = |bits: u64| {
        let counts: Vec<usize> = layers.iter().map(|l| l.worth(f64::from_bits(bits))).collect();
        cost_of(&counts) <= u128::from(budget)
    };
    let (mut low, mut high) = (0u64, f64::MAX.to_bits());
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    f64::from_bits(low)
}

/// The base with what still fits added, best ratio first, of equals the first layer.
fn filled(layers: &[Layer<'_>], base: &[usize], mut slack: u64) -> Vec<usize> {
    let mut counts = base.to_vec();
    loop {
        let next = (0..layers.len())
            .filter(|&l| layers[l].cost <= slack && counts[l] < layers[l].squares.len())
            .map(|l| (layers[l].squares[counts[l]] / layers[l].cost as f64, l))
            .max_by(|(a, i), (b, j)| a.total_cmp(b).then(j.cmp(i)));
        let Some((_, l)) = next else { return counts };
        counts[l] += 1;
        slack -= layers[l].cost;
    }
}

/// Counts of the layers so far, as a difference to the base.
#[derive(Clone, Copy)]
struct State {
    /// Cost beyond the base's.
    spent: i128,
    /// What the moves lose at the price.
    loss: f64,
    /// The state of the layer before, and the move from it.
    parent: usize,
    moved: isize,
}

/// What a search within a bound found.
enum Found {
    Best(Vec<usize>),
    Nothing,
    /// It came to the limit of its work.
    Limit,
}

/// The best counts whose loss is at most the bound.
fn within(layers: &[Layer<'_>], base: &[usize], slack: u64, price: f64, bound: f64) -> Found {
    let moves: Vec<Vec<(isize, f64)>> = layers
        .iter()
        .zip(base)
        .map(|(l, &from)| moves(l, from, price, bound))
        .collect();
    // the layer with most moves comes last, where one move follows from what is left of the budget
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by_key(|&l| (moves[l].len(), l));
    let Some(last) = order.pop() else {
        return Found::Nothing;
    };

    let mut levels: Vec<Vec<State>> = Vec::new();
    let start = vec![State {
        spent: 0,
        loss: 0.0,
        parent: 0,
        moved: 0,
    }];
    for &l in &order {
        let before = levels.last().unwrap_or(&start);
        if before.len().saturating_mul(moves[l].len()) > MOST_WORK {
            return Found::Limit;
        }
        let mut next: Vec<State> = Vec::new();
        for (parent, state) in before.iter().enumerate() {
            next.extend(moves[l].iter().filter_map(|&(moved, loss)| {
                let loss = state.loss + loss;
                (loss <= bound).then(|| State {
                    spent: state.spent + (moved as i128) * i128::from(layers[l].cost),
                    loss,
                    parent,
                    moved,
                })
            }));
        }
        levels.push(undominated(next, price));
    }

    let (slack, cost) = (i128::from(slack), i128::from(layers[last].cost));
    let (down, up) = (
        base[last] as i128,
        (layers[last].squares.len() - base[last]) as i128,
    );
    let known: BTreeMap<isize, f64> = moves[last].iter().copied().collect();
    let mut best: Option<(f64, usize, isize)> = None;
    for (i, state) in levels.last().unwrap_or(&start).iter().enumerate() {
        let moved = (slack - state.spent).div_euclid(cost).min(up);
        if moved < -down {
            continue;
        }
        let moved = moved as isize;
        // a move that is not among them loses more than the bound on its own
        let Some(loss) = known.get(&moved) else { continue };
        let unused = slack - state.spent - (moved as i128) * cost;
        let total = state.loss + loss + price * unused as f64;
        if total <= bound && best.is_none_or(|(least, _, _)| total < least) {
            best = Some((total, i, moved));
        }
    }
    let Some((_, mut at, moved)) = best else {
        return Found::Nothing;
    };
    let mut counts = base.to_vec();
    counts[last] = base[last].saturating_add_signed(moved);
    for (&l, level) in order.iter().zip(&levels).rev() {
        counts[l] = base[l].saturating_add_signed(level[at].moved);
        at = level[at].parent;
    }
    Found::Best(counts)
}

/// The moves of a layer away from its count at the price that lose no more than the bound, with what they lose.
fn moves(layer: &Layer<'_>, from: usize, price: f64, bound: f64) -> Vec<(isize, f64)> {
    let worth = price * layer.cost as f64;
    let mut moves = vec![(0, 0.0)];
    let (kept, left) = layer.squares.split_at(from);
    let (mut loss, mut moved) = (0.0, 0);
    for s in left {
        loss += worth - s;
        moved += 1;
        if loss > bound {
            break;
        }
        moves.push((moved, loss));
    }
    (loss, moved) = (0.0, 0);
    for s in kept.iter().rev() {
        loss += s - worth;
        moved -= 1;
        if loss > bound {
            break;
        }
        moves.push((moved, loss));
    }
    moves
}

/// The states that no other beats in both cost and Σ v², by rising cost.
fn undominated(mut states: Vec<State>, price: f64) -> Vec<State> {
    states.sort_unstable_by(|a, b| {
        a.spent
            .cmp(&b.spent)
            .then(a.loss.total_cmp(&b.loss))
            .then(a.parent.cmp(&b.parent))
            .then(a.moved.cmp(&b.moved))
    });
    let mut kept: Vec<State> = Vec::with_capacity(states.len());
    for state in states {
        // Σ v² beyond the base is price · spent − loss; it must grow with the cost
        let better = kept
            .last()
            .is_none_or(|k| price * (state.spent - k.spent) as f64 > state.loss - k.loss);
        if better {
            kept.push(state);
        }
    }
    kept
}
