//! Counts under one budget over all layers: the best there are, not those of the ratio.

use cosparse::compression::Mask;
use cosparse::compression::budget::{Priced, allocate, project};
use proptest::prelude::*;

/// Σ v² of the largest `n`.
fn held(values: &[f32], n: usize) -> f64 {
    let mut squares: Vec<f64> = values.iter().map(|&v| f64::from(v) * f64::from(v)).collect();
    squares.sort_unstable_by(|a, b| b.total_cmp(a));
    squares.iter().take(n).sum()
}

/// The best Σ v² for every budget up to the given one, over all counts of all layers.
fn knapsack(layers: &[(Vec<f32>, u64)], budget: u64) -> f64 {
    let mut best = vec![0.0f64; budget as usize + 1];
    for (values, cost) in layers {
        let before = best.clone();
        for (b, best) in best.iter_mut().enumerate() {
            for n in 0..=values.len() {
                let spent = n as u64 * cost;
                if spent <= b as u64 {
                    *best = best.max(before[b - spent as usize] + held(values, n));
                }
            }
        }
    }
    best[budget as usize]
}

/// What the usual shortcut holds: weights in the order of v² per cost, those that do not fit left out.
fn by_ratio(layers: &[(Vec<f32>, u64)], mut budget: u64) -> f64 {
    let mut all: Vec<(f64, f64, u64)> = layers
        .iter()
        .flat_map(|(values, cost)| {
            values.iter().map(|&v| {
                let square = f64::from(v) * f64::from(v);
                (square / *cost as f64, square, *cost)
            })
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut sum = 0.0;
    for (_, square, cost) in all {
        if cost <= budget {
            budget -= cost;
            sum += square;
        }
    }
    sum
}

fn priced<'a>(layers: &'a [(Vec<f32>, u64)], masks: &'a [Mask]) -> Vec<Priced<'a>> {
    layers
        .iter()
        .zip(masks)
        .map(|((values, cost), support)| Priced {
            values,
            support,
            cost: *cost,
        })
        .collect()
}

fn full(layers: &[(Vec<f32>, u64)]) -> Vec<Mask> {
    layers.iter().map(|(v, _)| Mask::full(1, v.len())).collect()
}

fn layers(
    weights: std::ops::Range<usize>,
    most: usize,
    cost: u64,
) -> impl Strategy<Value = Vec<(Vec<f32>, u64)>> {
    let value = prop_oneof![(-3..=3i8).prop_map(f32::from), -2.0f32..2.0];
    prop::collection::vec((prop::collection::vec(value, weights), 1..=cost), 1..=most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_counts_hold_more(layers in layers(0..9, 4, 13), portion in 0.0..1.1f64) {
        let all: u64 = layers.iter().map(|(v, c)| v.len() as u64 * c).sum();
        let budget = (portion * all as f64) as u64;
        let masks = full(&layers);
        let found = allocate(&priced(&layers, &masks), budget);
        let cost: u64 = found.counts.iter().zip(&layers).map(|(&n, (_, c))| n as u64 * c).sum();
        prop_assert!(cost == found.cost && cost <= budget);
        prop_assert!(found.gap.abs() < 1e-12);
        let best = knapsack(&layers, budget);
        prop_assert!((found.held - best).abs() <= 1e-9 * best.max(1.0), "{} of {best}, {:?}", found.held, found.counts);
    }

    /// The projection is the nearest point: what it loses is what no counts can keep. Positions outside of the support
    /// stay dead.
    #[test]
    fn projections_lose_least(layers in layers(1..7, 3, 7), alive: u64, portion in 0.0..1.0f64) {
        let masks: Vec<Mask> = layers
            .iter()
            .enumerate()
            .map(|(l, (v, _))| {
                let bit = |i: usize| f32::from(u8::from(alive >> (7 * l + i) & 1 == 1));
                Mask::of(&(0..v.len()).map(bit).collect::<Vec<_>>(), 1, v.len())
            })
            .collect();
        let masked: Vec<(Vec<f32>, u64)> = layers
            .iter()
            .zip(&masks)
            .map(|((v, c), mask)| {
                let mut v = v.clone();
                mask.apply(&mut v);
                (v, *c)
            })
            .collect();
        let budget = (portion * masked.iter().map(|(v, c)| v.len() as u64 * c).sum::<u64>() as f64) as u64;
        let mut projected = layers.clone();
        let mut views: Vec<(&mut [f32], &Mask, u64)> = projected
            .iter_mut()
            .zip(&masks)
            .map(|((v, c), mask)| (v.as_mut_slice(), mask, *c))
            .collect();
        project(&mut views, budget);
        let left: f64 = projected.iter().map(|(v, _)| held(v, v.len())).sum();
        let spent: u64 = projected.iter().map(|(v, c)| v.iter().filter(|&&v| v != 0.0).count() as u64 * c).sum();
        prop_assert!(spent <= budget);
        prop_assert!((left - knapsack(&masked, budget)).abs() <= 1e-9 * left.max(1.0));
        for (((v, _), (from, _)), mask) in projected.iter().zip(&layers).zip(&masks) {
            prop_assert!((0..v.len()).all(|i| v[i] == 0.0 || v[i].to_bits() == from[i].to_bits() && mask.get(i)));
        }
    }
}

/// A weight of square 6 that costs 6 has the best ratio, and leaves no room for the two that together hold more.
#[test]
fn the_ratio_leaves_budget_unused() {
    let root = |square: f32| square.sqrt();
    let layers = vec![(vec![root(6.0)], 6), (vec![root(4.9), root(4.9), root(0.1)], 5)];
    let masks = full(&layers);
    let found = allocate(&priced(&layers, &masks), 10);
    assert_eq!((found.counts.as_slice(), found.cost), ([0, 2].as_slice(), 10));
    assert!((by_ratio(&layers, 10) - 6.0).abs() < 1e-6 && (found.held - 9.8).abs() < 1e-6);
}

/// A layer that costs nothing stays whole; no budget leaves nothing else.
#[test]
fn free_layers_stay_and_no_budget_keeps_nothing() {
    let layers = vec![(vec![1.0, 2.0], 0), (vec![5.0, 6.0], 3)];
    let masks = full(&layers);
    assert_eq!(allocate(&priced(&layers, &masks), 0).counts, [2, 0]);
    assert_eq!(allocate(&priced(&layers, &masks), 5).counts, [2, 1]);
    assert_eq!(allocate(&priced(&layers, &masks), u64::MAX).counts, [2, 2]);
    assert_eq!(allocate(&[], 5).counts, [0usize; 0]);
}

/// Layers of many thousands of weights: solved to the end, and never below the ratio's choice.
#[test]
fn large_layers_are_solved_to_the_end() {
    let mut state = 7u64;
    let mut layer = |n: usize, cost: u64| {
        let values = (0..n).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (((state >> 40) as f32) / 8_388_608.0 - 1.0).powi(3)
        });
        (values.collect::<Vec<f32>>(), cost)
    };
    for costs in [[576, 64, 1, 1], [1_234_567, 87_654, 4_321, 1_999]] {
        let layers = vec![
            layer(500, costs[0]),
            layer(25_000, costs[1]),
            layer(40_000, costs[2]),
            layer(5_000, costs[3]),
        ];
        let budget = layers.iter().map(|(v, c)| v.len() as u64 * c).sum::<u64>() / 11;
        let masks = full(&layers);
        let found = allocate(&priced(&layers, &masks), budget);
        let greedy = by_ratio(&layers, budget);
        assert!(found.gap.abs() < 1e-12 && found.cost <= budget, "{found:?}");
        assert!(found.held >= greedy - 1e-9, "{} below {greedy}", found.held);
    }
}
