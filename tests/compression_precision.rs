//! Precision sets against brute force: nearest, idempotent, fitted as well as can be.

use cosparse::compression::precision::{Levels, Precision, Scale, SparseLevels};
use cosparse::compression::{ConstraintSet, Mask, RecipeFile};
use proptest::prelude::*;

fn scale() -> impl Strategy<Value = Scale> {
    prop_oneof![Just(Scale::PerTensor), Just(Scale::PerChannel)]
}

fn precision() -> impl Strategy<Value = Precision> {
    prop_oneof![
        (1u8..=4, scale()).prop_map(|(bits, scale)| Precision::EqualInterval { bits, scale }),
        (1u8..=4, scale()).prop_map(|(bits, scale)| Precision::PowerOfTwo { bits, scale }),
        scale().prop_map(|scale| Precision::Binary { scale }),
        scale().prop_map(|scale| Precision::Ternary { scale }),
        (1u8..=3).prop_map(|bits| Precision::Codebook { bits }),
    ]
}

fn weights(n: usize) -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![4 => -3.0f32..3.0, 1 => (-8i8..=8).prop_map(|v| f32::from(v) / 4.0)];
    prop::collection::vec(value, n..=n)
}

/// A layer of 3 × 4 weights and the support of some of them.
fn layer() -> impl Strategy<Value = (Vec<f32>, Mask)> {
    (weights(12), prop::collection::vec(prop::bool::weighted(0.8), 12)).prop_map(|(values, alive)| {
        let mut support = Mask::empty(3, 4);
        alive.iter().enumerate().for_each(|(i, &a)| support.set(i, a));
        (values, support)
    })
}

/// Every value that a weight of a row may take.
fn values_of(levels: &Levels, row: usize) -> Vec<f32> {
    let mut all: Vec<f32> = match levels.precision {
        Precision::Codebook { .. } => levels.table.clone(),
        precision => (0..1u32 << precision.bits())
            .map(|code| levels.decode(row, code))
            .collect(),
    };
    if matches!(levels.precision, Precision::Ternary { .. }) {
        all.push(0.0);
    }
    all
}

fn distance(a: f32, b: f32) -> f64 {
    (f64::from(a) - f64::from(b)).abs()
}

fn gap(values: &[f32], projected: &[f32]) -> f64 {
    values
        .iter()
        .zip(projected)
        .map(|(&a, &b)| distance(a, b).powi(2))
        .sum()
}

proptest! {
    #[test]
    fn every_weight_goes_to_its_nearest_level_and_stays(((values, support), precision) in (layer(), precision())) {
        let levels = Levels::fit(precision, &values, &support);
        prop_assert!(levels.check(3).is_ok(), "{levels:?}");
        let mut once = values.clone();
        levels.project(&mut once, &support);
        for (i, (&from, &to)) in values.iter().zip(&once).enumerate() {
            if support.get(i) {
                let allowed = values_of(&levels, i / 4);
                prop_assert!(allowed.contains(&to));
                let best = allowed.iter().map(|&l| distance(from, l)).fold(f64::INFINITY, f64::min);
                prop_assert!(distance(from, to) <= best, "{from} to {to}, best {best} of {allowed:?}");
            } else {
                prop_assert_eq!(to, 0.0);
            }
        }
        let mut twice = once.clone();
        levels.project(&mut twice, &support);
        prop_assert_eq!(&once, &twice);
        // a code for every level, and back
        for i in support.ones().filter(|&i| once[i] != 0.0) {
            let code = levels.code(i / 4, once[i]).expect("a level that is not zero");
            prop_assert!(code < 1 << precision.bits());
            prop_assert_eq!(levels.decode(i / 4, code).to_bits(), once[i].to_bits());
        }
        let error = levels.squared_error(&values, &support);
        let alive: Vec<f32> = (0..12).map(|i| if support.get(i) { values[i] } else { 0.0 }).collect();
        prop_assert!((error - gap(&alive, &once)).abs() <= 1e-9 * (1.0 + error));
    }

    #[test]
    fn refitting_never_raises_the_error(
        ((values, support), (other, _), precision) in (layer(), layer(), precision()),
    ) {
        let before = Levels::fit(precision, &other, &support);
        let after = before.refit(&values, &support);
        prop_assert!(after.check(3).is_ok());
        let (old, new) = (before.squared_error(&values, &support), after.squared_error(&values, &support));
        prop_assert!(new <= old * (1.0 + 1e-5) + 1e-9, "{old} to {new}");
    }

    #[test]
    fn channels_of_their_own_are_never_worse((values, support) in layer(), kind in 0usize..4, bits in 1u8..=4) {
        let of = |scale| match kind {
            0 => Precision::EqualInterval { bits, scale },
            1 => Precision::PowerOfTwo { bits, scale },
            2 => Precision::Binary { scale },
            _ => Precision::Ternary { scale },
        };
        let error = |scale| Levels::fit(of(scale), &values, &support).squared_error(&values, &support);
        let (tensor, channel) = (error(Scale::PerTensor), error(Scale::PerChannel));
        prop_assert!(channel <= tensor * (1.0 + 1e-5) + 1e-9, "{tensor} {channel}");
    }

    /// No scale of a fine grid comes nearer than the fitted one.
    #[test]
    fn no_other_scale_fits_better((values, support) in layer(), precision in precision()) {
        prop_assume!(precision.scale() == Some(Scale::PerTensor));
        let best = Levels::fit(precision, &values, &support).squared_error(&values, &support);
        let most = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for step in 1..=3000u16 {
            let table = vec![most * f32::from(step) / 2500.0 + f32::MIN_POSITIVE];
            let other = Levels { precision, table }.squared_error(&values, &support);
            prop_assert!(best <= other * (1.0 + 1e-5) + 1e-9, "{best} {other}");
        }
    }

    /// Against the textbook recurrence over all last clusters.
    #[test]
    fn codebooks_are_the_optimum(values in weights(12), bits in 1u8..=3) {
        let support = Mask::full(3, 4);
        let levels = Levels::fit(Precision::Codebook { bits }, &values, &support);
        let mut sorted: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let cluster = |from: usize, to: usize| {
            let run = &sorted[from..to];
            let mean = run.iter().sum::<f64>() / run.len() as f64;
            run.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
        };
        let mut least: Vec<f64> = (0..=12).map(|to| if to == 0 { 0.0 } else { cluster(0, to) }).collect();
        for _ in 1..1usize << bits {
            least = (0..=12)
                .map(|to| (0..to).map(|from| least[from] + cluster(from, to)).fold(least[to], f64::min))
                .collect();
        }
        let found = levels.squared_error(&values, &support);
        prop_assert!(found <= least[12] * (1.0 + 1e-5) + 1e-9, "{found} {}", least[12]);
    }

    /// Against every choice of which weights are zero and which lie on which level.
    #[test]
    fn few_and_on_levels_is_nearest(
        (values, support) in layer(),
        precision in precision(),
        keep in 0usize..=12,
    ) {
        let levels = Levels::fit(precision, &values, &support);
        let set = SparseLevels { keep, levels: levels.clone() };
        let mut once = values.clone();
        set.project(&mut once, &support);
        prop_assert!(once.iter().filter(|v| **v != 0.0).count() <= keep);
        prop_assert!((0..12).all(|i| support.get(i) || once[i] == 0.0));
        let mut twice = once.clone();
        set.project(&mut twice, &support);
        prop_assert_eq!(&once, &twice);
        let alive: Vec<usize> = support.ones().collect();
        let error = |i: usize, kept: bool| {
            let v = f64::from(values[i]);
            let level = values_of(&levels, i / 4).iter().map(|&l| distance(values[i], l)).fold(f64::INFINITY, f64::min);
            if kept { level.powi(2) } else { v * v }
        };
        let best = (0u32..1 << alive.len())
            .filter(|choice| choice.count_ones() as usize <= keep)
            .map(|choice| {
                alive.iter().enumerate().map(|(bit, &i)| error(i, choice >> bit & 1 == 1)).sum::<f64>()
            })
            .fold(f64::INFINITY, f64::min);
        let found: f64 = alive.iter().map(|&i| distance(values[i], once[i]).powi(2)).sum();
        prop_assert!(found <= best + 1e-9 * (1.0 + best), "{found} {best}");
    }
}

/// Magnitudes 1, 2, 3 and 8 with α = 1: 3 lies half way between 2 and 4 and goes up; 2 bits end at ±2.
#[test]
fn powers_of_two_by_hand() {
    let of = |bits| Levels {
        precision: Precision::PowerOfTwo {
            bits,
            scale: Scale::PerTensor,
        },
        table: vec![1.0],
    };
    let values = [1.0, -2.0, 3.0, -8.0, 1.4, 0.0, f32::NAN];
    let project = |levels: Levels| {
        let mut out = values;
        levels.project(&mut out, &Mask::full(1, 7));
        assert!(out[6].is_nan());
        out[..6].to_vec()
    };
    assert_eq!(project(of(3)), [1.0, -2.0, 4.0, -8.0, 1.0, 1.0]);
    assert_eq!(project(of(2)), [1.0, -2.0, 2.0, -2.0, 1.0, 1.0]);
}

#[test]
fn a_row_without_weights_has_the_scale_one() {
    let support = Mask::of(&[1.0, -2.0, 0.0, 0.0], 2, 2);
    let precision = Precision::Binary {
        scale: Scale::PerChannel,
    };
    assert_eq!(
        Levels::fit(precision, &[1.0, -2.0, 9.0, 9.0], &support).table,
        [1.5, 1.0]
    );
}

#[test]
fn levels_that_do_not_exist_are_refused() {
    let codebook = |table: &[f32]| Levels {
        precision: Precision::Codebook { bits: 1 },
        table: table.to_vec(),
    };
    assert!(codebook(&[-1.0, 1.0]).check(9).is_ok());
    for table in [&[1.0, -1.0][..], &[0.0], &[1.0, 2.0, 3.0], &[f32::NAN]] {
        assert!(codebook(table).check(9).is_err(), "{table:?}");
    }
    for (bits, q) in [
        (0, 1.0),
        (40, 1.0),
        (4, 0.0),
        (4, -1.0),
        (4, f32::INFINITY),
        (4, f32::NAN),
    ] {
        assert!(Levels::equal_interval(bits, q).check(9).is_err(), "{bits} {q}");
    }
    let per_channel = Levels {
        precision: Precision::Ternary {
            scale: Scale::PerChannel,
        },
        table: vec![1.0; 4],
    };
    assert!(per_channel.check(4).is_ok() && per_channel.check(5).is_err());
}

#[test]
fn recipes_name_every_precision() {
    for (text, precision) in [
        (
            "{ kind = \"equal-interval\", bits = 3 }",
            Precision::equal_interval(3),
        ),
        (
            "{ kind = \"power-of-two\", bits = 4, scale = \"per-channel\" }",
            Precision::PowerOfTwo {
                bits: 4,
                scale: Scale::PerChannel,
            },
        ),
        (
            "{ kind = \"binary\" }",
            Precision::Binary {
                scale: Scale::PerTensor,
            },
        ),
        (
            "{ kind = \"ternary\", scale = \"per-channel\" }",
            Precision::Ternary {
                scale: Scale::PerChannel,
            },
        ),
        (
            "{ kind = \"codebook\", bits = 5 }",
            Precision::Codebook { bits: 5 },
        ),
    ] {
        let text = format!(
            "source = \"test\"\n\n[layer.fc]\nstructure = \"unstructured\"\ndensity = 0.5\nprecision = {text}\n\
             encoding = {{ kind = \"dense\" }}\n"
        );
        let source = cosparse::document::Source::new("recipe.toml", text.clone());
        let file: RecipeFile = source.parse().expect("a recipe");
        assert_eq!(file.layer["fc"].precision, precision);
        assert_eq!(file.to_toml(), text);
    }
}

#[test]
fn recipes_with_bits_out_of_range_are_refused() {
    for kind in ["equal-interval", "power-of-two", "codebook"] {
        for bits in [0, 40] {
            let text = format!(
                "source = \"test\"\n[layer.fc]\nstructure = \"unstructured\"\ndensity = 0.5\n\
                 precision = {{ kind = \"{kind}\", bits = {bits} }}\nencoding = {{ kind = \"dense\" }}\n"
            );
            let source = cosparse::document::Source::new("recipe.toml", text);
            let read: Result<RecipeFile, _> = source.parse();
            let error = format!("{:?}", read.expect_err("bits outside the range"));
            assert!(error.contains(&bits.to_string()), "{error}");
        }
    }
}
