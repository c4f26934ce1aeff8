//! Laws of the projections, and the published example of equal-interval levels.

#![allow(clippy::print_stdout)] // a test says that it was skipped

use cosparse::compression::precision::EqualInterval;
use cosparse::compression::structure::{Structure, TensorShape, Unstructured};
use cosparse::compression::{ConstraintSet, Mask};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use std::path::Path;

fn mask(alive: &[bool]) -> Mask {
    let mut mask = Mask::empty(1, alive.len());
    for (i, &alive) in alive.iter().enumerate() {
        mask.set(i, alive);
    }
    mask
}

fn projected(set: &dyn ConstraintSet, values: &[f32], support: &Mask) -> Vec<f32> {
    let mut out = values.to_vec();
    set.project(&mut out, support);
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum()
}

/// The rule by a full stable sort.
fn sorted_top_k(values: &[f32], support: &Mask, keep: usize) -> Vec<f32> {
    let mut order: Vec<usize> = support.ones().collect();
    order.sort_by(|&a, &b| values[b].abs().total_cmp(&values[a].abs()));
    let mut out = vec![0.0; values.len()];
    for &i in order.iter().take(keep) {
        out[i] = values[i];
    }
    out
}

/// Values with many ties, zeros of both signs, and what training gone wrong leaves behind.
fn awkward() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => -1.0f32..1.0,
        4 => (-3i32..=3).prop_map(|i| i as f32 * 0.5),
        1 => prop::sample::select(vec![0.0, -0.0, f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-42, f32::MAX]),
    ]
}

fn layer(
    value: impl Strategy<Value = f32>,
    len: std::ops::Range<usize>,
) -> impl Strategy<Value = (Vec<f32>, Mask)> {
    prop::collection::vec((value, prop::bool::weighted(0.8)), len).prop_map(|pairs| {
        (
            pairs.iter().map(|p| p.0).collect(),
            mask(&pairs.iter().map(|p| p.1).collect::<Vec<_>>()),
        )
    })
}

proptest! {
    #[test]
    fn top_k_is_the_sorted_rule_and_idempotent((values, support) in layer(awkward(), 0..300), keep in 0usize..310) {
        let set = Structure::Unstructured.set(TensorShape::matrix(1, values.len()), keep);
        let once = projected(set.as_ref(), &values, &support);
        prop_assert_eq!(bits(&once), bits(&sorted_top_k(&values, &support, keep)));
        prop_assert_eq!(bits(&projected(set.as_ref(), &once, &support)), bits(&once));
        let kept = Mask::of(&once, 1, values.len());
        prop_assert!(kept.count() <= keep && kept.is_subset_of(&support));
    }

    #[test]
    fn top_k_is_nearest_of_all_supports((values, support) in layer(-1.0f32..1.0, 1..11), keep in 0usize..11) {
        let found = distance(&projected(&Unstructured { keep }, &values, &support), &values);
        for choice in 0u32..1 << values.len() {
            let chosen = |i: usize| choice >> i & 1 == 1;
            if choice.count_ones() as usize <= keep && (0..values.len()).all(|i| !chosen(i) || support.get(i)) {
                let point: Vec<f32> = values.iter().enumerate().map(|(i, &v)| if chosen(i) { v } else { 0.0 }).collect();
                prop_assert!(found <= distance(&point, &values));
            }
        }
    }

    #[test]
    fn top_k_is_not_farther_than_any_point_of_the_set(
        (values, support) in layer(-1.0f32..1.0, 1..60),
        (point, chosen) in layer(-1.0f32..1.0, 60..61),
        keep in 0usize..60,
    ) {
        let mut z = sorted_top_k(&point[..values.len()], &mask(&(0..values.len()).map(|i| chosen.get(i)).collect::<Vec<_>>()), keep);
        support.apply(&mut z);
        let found = projected(&Unstructured { keep }, &values, &support);
        prop_assert!(distance(&found, &values) <= distance(&z, &values));
    }

    #[test]
    fn levels_are_nearest_never_zero_and_idempotent(
        (values, support) in layer(-3.0f32..3.0, 1..80),
        width in 1u8..=8,
        interval in 1e-3f32..2.0,
    ) {
        let set = EqualInterval { bits: width, interval };
        let once = projected(&set, &values, &support);
        prop_assert_eq!(bits(&projected(&set, &once, &support)), bits(&once));
        for (i, (&v, &z)) in values.iter().zip(&once).enumerate() {
            if !support.get(i) {
                prop_assert_eq!(z.to_bits(), 0);
                continue;
            }
            prop_assert!(z != 0.0 && set.decode(set.code(v)).to_bits() == z.to_bits());
            let top = 1i32 << (width - 1);
            let gap = |level: i32| (f64::from(v) - f64::from(level) * f64::from(interval)).abs();
            let nearest = (-top..=top).filter(|&l| l != 0).map(gap).fold(f64::INFINITY, f64::min);
            prop_assert!(gap(set.level(v)) <= nearest * (1.0 + 1e-12), "{v} -> {z}");
        }
    }

    #[test]
    fn refitting_never_raises_the_error((values, support) in layer(awkward(), 1..120), width in 1u8..=6, interval in 0.01f32..2.0) {
        let mut set = EqualInterval { bits: width, interval };
        // the largest float alone drowns the rest of the sum
        let values: Vec<f32> = values.into_iter().map(|v| if v.abs() > 1e30 { 1.0 } else { v }).collect();
        for _ in 0..4 {
            let next = set.refit(&values, &support);
            prop_assert!(next.interval > 0.0 && next.interval.is_finite());
            let (before, after) = (set.squared_error(&values, &support), next.squared_error(&values, &support));
            prop_assert!(after <= before * (1.0 + 1e-5) + 1e-9, "{before} -> {after}");
            set = next;
        }
    }

    #[test]
    fn no_interval_of_a_dense_grid_beats_the_fit((values, support) in layer(-1.0f32..1.0, 2..200), width in 1u8..=6) {
        prop_assume!(support.count() > 0);
        let error = |interval| EqualInterval { bits: width, interval }.squared_error(&values, &support);
        let found = EqualInterval::fit(&values, &support, width);
        let largest = support.ones().map(|i| values[i].abs()).fold(1e-6, f32::max);
        let best = (1..=2000).map(|i| error(largest * i as f32 / 1900.0)).fold(f64::INFINITY, f64::min);
        let norm: f64 = support.ones().map(|i| f64::from(values[i]).powi(2)).sum();
        // a part in 10^6 of the root error by the search, and one of 2^-24 in storing q
        prop_assert!(error(found.interval).sqrt() <= best.sqrt() * (1.0 + 2e-6) + 1e-6 * norm.sqrt(), "{} {best}", error(found.interval));
        let again = found.refit(&values, &support);
        prop_assert!((again.interval / found.interval - 1.0).abs() < 1e-6, "not a fixed point");
    }
}

/// Weights of several chunks, in the shapes that take each path of the selection: a bell, few distinct values,
/// a narrow band in which all upper bits agree, and all equal.
fn large(kind: usize, n: usize) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut next = || match kind {
        0 => (0..4).map(|_| rng.random::<f32>() - 0.5).sum(),
        1 => (rng.random::<f32>() * 9.0 - 4.5).round() * 0.125,
        2 => 1.0 + rng.random::<f32>() * 1e-4,
        _ => -0.75,
    };
    (0..n).map(|_| next()).collect()
}

#[test]
fn large_layers_follow_the_sorted_rule_on_any_number_of_threads() {
    let n = 400_003;
    for kind in 0..4 {
        let values = large(kind, n);
        let support = Mask::of(&large(1, n), 1, n);
        for support in [&Mask::full(1, n), &support] {
            for keep in [1, 777, n / 10, n / 2, n - 1, n + 5] {
                let expected = bits(&sorted_top_k(&values, support, keep));
                for threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new()
                        .num_threads(threads)
                        .build()
                        .expect("a thread pool");
                    let found = pool.install(|| projected(&Unstructured { keep }, &values, support));
                    assert!(
                        bits(&found) == expected,
                        "kind {kind}, keep {keep}, {threads} threads"
                    );
                }
            }
        }
    }
}

#[test]
fn fits_do_not_depend_on_the_number_of_threads() {
    let values = large(0, 300_000);
    let support = Mask::of(&large(1, values.len()), 1, values.len());
    let fit = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a thread pool");
        pool.install(|| {
            let set = EqualInterval::fit(&values, &support, 4);
            (
                set.interval.to_bits(),
                set.refit(&values, &support).interval.to_bits(),
                set.squared_error(&values, &support).to_bits(),
            )
        })
    };
    assert_eq!(fit(1), fit(3));
}

/// arXiv 1812.11677, Fig. 3: weights, levels and quantised values with q = 0.5 and 3 bits.
#[test]
fn the_published_example_is_reproduced() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/reference/papers/admm_nn_fig3_quant_example.csv");
    let Ok(mut reader) = csv::Reader::from_path(path) else {
        println!("skipped: ../shared not found");
        return;
    };
    let mut values = Vec::new();
    for row in reader.records() {
        let row = row.expect("a CSV row");
        let number = |i: usize| row[i].parse::<f32>().expect("a number");
        let set = EqualInterval {
            bits: row[6].parse().expect("bits"),
            interval: number(5),
        };
        assert_eq!(set.level(number(2)).to_string(), row[4]);
        assert_eq!(
            projected(&set, &[number(2)], &Mask::full(1, 1))[0].to_bits(),
            number(3).to_bits()
        );
        values.push(number(2));
    }
    assert_eq!(values.len(), 6);
    // the fit can only be nearer than the printed interval
    let full = Mask::full(1, values.len());
    let printed = EqualInterval {
        bits: 3,
        interval: 0.5,
    }
    .squared_error(&values, &full);
    assert!(EqualInterval::fit(&values, &full, 3).squared_error(&values, &full) <= printed);
}
