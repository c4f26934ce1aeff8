//! Sparsity sets: nearest of all points (brute force), idempotent, within their counts and the support, ties to the
//! lower index; and how recipes name and check them.
#![allow(clippy::float_cmp)] // the values compared are copied or exact, never computed

use cosparse::compression::encoding::Encoding;
use cosparse::compression::structure::{FilterShape, Pattern, Structure, StructureError, TensorShape};
use cosparse::compression::{ConstraintSet, Mask, MaskModel, Recipe, RecipeError, RecipeFile};
use cosparse::document::Source;
use proptest::prelude::*;

fn projected(set: &dyn ConstraintSet, values: &[f32], support: &Mask) -> Vec<f32> {
    let mut out = values.to_vec();
    set.project(&mut out, support);
    out
}

fn squares_lost(values: &[f32], point: &[f32]) -> f64 {
    values
        .iter()
        .zip(point)
        .map(|(&v, &p)| f64::from(v - p).powi(2))
        .sum()
}

/// The groups of a structure by their definition: which group each (filter, channel, position) belongs to.
fn group(structure: Structure, shape: TensorShape, i: usize) -> usize {
    let (row, col) = (i / shape.cols(), i % shape.cols());
    let channel = col / (shape.kernel[0] * shape.kernel[1]);
    let tile = |r: usize, c: usize| row / r * 1000 + col / c;
    match structure {
        Structure::Filter => row,
        Structure::Channel => channel,
        Structure::Shape => col,
        Structure::Block { rows, cols } => tile(rows as usize, cols as usize),
        Structure::BlockRow { cols } => tile(1, cols as usize),
        Structure::BlockColumn { rows } => tile(rows as usize, 1),
        _ => unreachable!("{structure:?} has no groups"),
    }
}

/// Positions of a whole group.
fn group_size(structure: Structure, shape: TensorShape) -> usize {
    match structure {
        Structure::Filter => shape.cols(),
        Structure::Channel => shape.filters * shape.kernel[0] * shape.kernel[1],
        Structure::Shape => shape.filters,
        Structure::Block { rows, cols } => (rows * cols) as usize,
        Structure::BlockRow { cols } => cols as usize,
        Structure::BlockColumn { rows } => rows as usize,
        _ => 1,
    }
}

fn count(kept: &[usize], key: impl Fn(usize) -> usize) -> usize {
    let mut keys: Vec<usize> = kept.iter().map(|&i| key(i)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.len()
}

/// Whether a tensor with these non-zeros belongs to the structure with at most `keep` weights, written down anew from the
/// definitions. Rounding: whole groups that fit, at least one.
fn belongs(structure: Structure, shape: TensorShape, keep: usize, kept: &[usize]) -> bool {
    let cols = shape.cols();
    match structure {
        Structure::Unstructured => kept.len() <= keep,
        Structure::FilterShape { .. } => {
            let set = FilterShape::of(shape, None, keep);
            count(kept, |i| i / cols) <= set.filters && count(kept, |i| i % cols) <= set.columns
        }
        Structure::NM { keep: n, group } => {
            let (n, group) = (n as usize, group as usize);
            let fits = |row: usize, from: usize| {
                let length = group.min(cols - from);
                let inside = |&&i: &&usize| i / cols == row && (from..from + length).contains(&(i % cols));
                kept.iter().filter(inside).count() <= (n * length).div_ceil(group)
            };
            kept.len() <= keep
                && (0..shape.filters).all(|row| (0..cols).step_by(group).all(|from| fits(row, from)))
        }
        Structure::BalancedRows => {
            let most = (keep / shape.filters).max(1);
            (0..shape.filters).all(|row| kept.iter().filter(|&&i| i / cols == row).count() <= most)
        }
        Structure::BalancedPes { pes } => {
            let pes = pes as usize;
            let held = |pe: usize, among: &mut dyn Iterator<Item = usize>| {
                among.filter(|i| i / cols % pes == pe).count()
            };
            // the largest count for which the elements together hold no more than `keep`
            let total = |most: usize| -> usize {
                (0..pes)
                    .map(|pe| most.min(held(pe, &mut (0..shape.weights()))))
                    .sum()
            };
            let most = (1..=shape.weights())
                .rev()
                .find(|&m| total(m) <= keep)
                .unwrap_or(1);
            (0..pes).all(|pe| held(pe, &mut kept.iter().copied()) <= most)
        }
        Structure::Pattern { .. } => unreachable!("patterns have a test of their own"),
        _ => {
            let size = group_size(structure, shape);
            let groups = count(&(0..shape.weights()).collect::<Vec<_>>(), |i| {
                group(structure, shape, i)
            });
            let most = if keep >= shape.weights() {
                groups
            } else {
                (keep / size).max(1)
            };
            count(kept, |i| group(structure, shape, i)) <= most
        }
    }
}

/// Tensors of at most 12 weights.
fn small_shape() -> impl Strategy<Value = TensorShape> {
    let axes = (1..5usize, 1..5usize, 1..4usize, 1..4usize);
    axes.prop_map(|(k, c, r, s)| TensorShape::of(&[k, c, r, s]))
        .prop_filter("at most 12 weights", |s| s.weights() <= 12)
}

/// A structure that the shape can hold.
fn structure(shape: TensorShape) -> impl Strategy<Value = Structure> {
    let (rows, cols) = (shape.rows() as u32, shape.cols() as u32);
    prop_oneof![
        Just(Structure::Unstructured),
        Just(Structure::Filter),
        Just(Structure::Channel),
        Just(Structure::Shape),
        Just(Structure::FilterShape { filters: None }),
        (1..=rows, 1..=cols).prop_map(|(rows, cols)| Structure::Block { rows, cols }),
        (1..=cols).prop_map(|cols| Structure::BlockRow { cols }),
        (1..=rows).prop_map(|rows| Structure::BlockColumn { rows }),
        (1..=4u32, 0..=4u32).prop_map(|(keep, more)| Structure::NM {
            keep,
            group: keep + more
        }),
        Just(Structure::BalancedRows),
        (1..=rows).prop_map(|pes| Structure::BalancedPes { pes }),
    ]
}

/// A structure on a small tensor, a count, values among which many are equal or zero, and a support.
fn small_case() -> impl Strategy<Value = (Structure, TensorShape, usize, Vec<f32>, Mask)> {
    small_shape().prop_flat_map(|shape| {
        let n = shape.weights();
        let values = prop::collection::vec(prop_oneof![(-4..=4i8).prop_map(f32::from), -1.0f32..1.0], n);
        let support = prop::collection::vec(prop::bool::weighted(0.8), n);
        (structure(shape), Just(shape), 1..=n, values, support).prop_map(|(s, shape, keep, values, alive)| {
            let alive: Vec<f32> = alive.iter().map(|&a| f32::from(u8::from(a))).collect();
            (
                s,
                shape,
                keep,
                values,
                Mask::of(&alive, shape.rows(), shape.cols()),
            )
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// No tensor of the set is nearer than the projection, which belongs to it and stays where it is.
    #[test]
    fn projections_are_nearest_of_all((structure, shape, keep, values, support) in small_case()) {
        let set = structure.set(shape, keep);
        let found = projected(set.as_ref(), &values, &support);
        let kept: Vec<usize> = (0..values.len()).filter(|&i| found[i] != 0.0).collect();
        prop_assert!(belongs(structure, shape, keep, &kept), "{structure:?} {shape:?} {keep}: {kept:?}");
        prop_assert!(kept.iter().all(|&i| support.get(i) && found[i] == values[i]));
        prop_assert_eq!(&projected(set.as_ref(), &found, &support), &found);

        let lost = squares_lost(&values, &found);
        for subset in 0..1u32 << values.len() {
            let chosen: Vec<usize> = (0..values.len()).filter(|&i| subset >> i & 1 == 1).collect();
            if chosen.iter().all(|&i| support.get(i)) && belongs(structure, shape, keep, &chosen) {
                let mut point = vec![0.0; values.len()];
                for &i in &chosen {
                    point[i] = values[i];
                }
                prop_assert!(lost <= squares_lost(&values, &point) + 1e-9, "{structure:?} {shape:?} {keep}: {chosen:?} is nearer");
            }
        }
    }

    /// Survivors are what the projection keeps: the support of the set, zeros inside groups included.
    #[test]
    fn survivors_hold_the_projection((structure, shape, keep, values, support) in small_case()) {
        let set = structure.set(shape, keep);
        let left = set.survivors(&values, &support);
        let found = projected(set.as_ref(), &values, &support);
        prop_assert!(left.is_subset_of(&support));
        let mut cut = values.clone();
        left.apply(&mut cut);
        prop_assert_eq!(&cut, &found);
        let alive: Vec<usize> = left.ones().collect();
        prop_assert!(belongs(structure, shape, keep, &alive), "{structure:?} {shape:?} {keep}: {alive:?}");
        if structure.fits(shape, keep).is_ok() {
            prop_assert!(alive.len() <= keep.max(group_size(structure, shape)).max(shape.filters));
        }
    }

    /// With every weight asked for, nothing leaves.
    #[test]
    fn all_weights_stay_where_all_are_asked_for((structure, shape, _, values, support) in small_case()) {
        let most = structure.most(shape);
        if most == shape.weights() {
            let found = projected(structure.set(shape, most).as_ref(), &values, &support);
            let mut all = values.clone();
            support.apply(&mut all);
            prop_assert_eq!(found, all, "{:?}", structure);
        }
    }

    /// Each kernel takes the pattern, and the tensor the kernels, that lose least.
    #[test]
    fn patterns_are_nearest_of_all(
        values in prop::collection::vec((-4..=4i8).prop_map(f32::from), 12),
        alive in prop::collection::vec(prop::bool::weighted(0.8), 12),
        patterns in prop::collection::vec(1..16u128, 1..4),
        kernels in 1..4usize,
    ) {
        // three kernels of 2 x 2
        let shape = TensorShape { filters: 3, channels: 1, kernel: [2, 2] };
        let support = Mask::of(&alive.iter().map(|&a| f32::from(u8::from(a))).collect::<Vec<_>>(), 3, 4);
        let set = Pattern { shape, entries: 4, library: patterns.len(), patterns: patterns.clone(), kernels };
        let found = projected(&set, &values, &support);
        prop_assert_eq!(&projected(&set, &found, &support), &found);
        let mut least = f64::INFINITY;
        // 0 means that the kernel leaves
        let choices = patterns.len() + 1;
        for choice in 0..choices.pow(3) {
            let picked = [choice % choices, choice / choices % choices, choice / choices / choices];
            if picked.iter().filter(|&&p| p > 0).count() <= kernels {
                let point: Vec<f32> = (0..12)
                    .map(|i| match picked[i / 4] {
                        p if p > 0 && patterns[p - 1] >> (i % 4) & 1 == 1 && support.get(i) => values[i],
                        _ => 0.0,
                    })
                    .collect();
                least = least.min(squares_lost(&values, &point));
            }
        }
        prop_assert_eq!(squares_lost(&values, &found), least);
    }

    /// On larger tensors filters and shapes are found in sequence: within their counts, stable, and no worse than the
    /// published order, filters first.
    #[test]
    fn large_filter_shapes_lose_no_more_than_one_pass(seed: u64, filters in 2..14usize) {
        let shape = TensorShape::matrix(24, 30);
        let mut state = seed;
        let values: Vec<f32> = (0..shape.weights())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((state >> 40) as f32 / 8_388_608.0 - 1.0).powi(3)
            })
            .collect();
        let full = Mask::full(24, 30);
        let set = FilterShape { shape, filters, columns: 9 };
        let found = projected(&set, &values, &full);
        prop_assert_eq!(&projected(&set, &found, &full), &found);
        let one_pass = projected(
            Structure::Shape.set(shape, 9 * 24).as_ref(),
            &projected(Structure::Filter.set(shape, filters * 30).as_ref(), &values, &full),
            &full,
        );
        prop_assert!(squares_lost(&values, &found) <= squares_lost(&values, &one_pass) + 1e-9);
        let kept: Vec<usize> = (0..found.len()).filter(|&i| found[i] != 0.0).collect();
        prop_assert!(count(&kept, |i| i / 30) <= filters && count(&kept, |i| i % 30) <= 9);
    }

    /// Drawn masks have their structure: projecting them changes nothing.
    #[test]
    fn drawn_masks_are_of_their_structure((structure, shape, keep, _, _) in small_case(), seed: u64) {
        let density = keep as f64 / shape.weights() as f64;
        let mask = MaskModel::Uniform.draw_structured(structure, shape, density, seed);
        let kept: Vec<usize> = mask.ones().collect();
        prop_assert!(!kept.is_empty() && belongs(structure, shape, keep, &kept), "{structure:?} {kept:?}");
        prop_assert_eq!(&mask, &MaskModel::Uniform.draw_structured(structure, shape, density, seed));
    }
}

/// A 2 × 6 matrix of two channels with 1 × 3 kernels, all weights equal: the lower index stays.
#[test]
fn equal_weights_go_to_the_lower_index() {
    let shape = TensorShape {
        filters: 2,
        channels: 2,
        kernel: [1, 3],
    };
    let cases: [(Structure, usize, &[usize]); 11] = [
        (Structure::Unstructured, 2, &[0, 1]),
        (Structure::Filter, 11, &[0, 1, 2, 3, 4, 5]),
        (Structure::Channel, 6, &[0, 1, 2, 6, 7, 8]),
        (Structure::Shape, 5, &[0, 1, 6, 7]),
        (Structure::FilterShape { filters: None }, 3, &[0, 1, 2]),
        (Structure::FilterShape { filters: Some(2) }, 4, &[0, 1, 6, 7]),
        (
            Structure::Block { rows: 2, cols: 2 },
            8,
            &[0, 1, 2, 3, 6, 7, 8, 9],
        ),
        (Structure::BlockRow { cols: 4 }, 4, &[0, 1, 2, 3]),
        (Structure::NM { keep: 2, group: 4 }, 12, &[0, 1, 4, 6, 7, 10]),
        (Structure::BalancedRows, 5, &[0, 1, 6, 7]),
        (Structure::BalancedPes { pes: 2 }, 4, &[0, 1, 6, 7]),
    ];
    for (structure, keep, expected) in cases {
        let left = structure
            .set(shape, keep)
            .survivors(&[1.0; 12], &Mask::full(2, 6));
        assert_eq!(left.ones().collect::<Vec<_>>(), expected, "{structure:?}");
    }
}

#[test]
fn a_zero_inside_a_group_that_stays_is_alive() {
    let shape = TensorShape::matrix(2, 3);
    let values = [0.0, 5.0, 0.0, 1.0, 1.0, 1.0];
    let left = Structure::Filter
        .set(shape, 3)
        .survivors(&values, &Mask::full(2, 3));
    assert_eq!(left.ones().collect::<Vec<_>>(), [0, 1, 2]);
    // a filter of zeros is dead, whatever is asked for
    let left = Structure::Filter
        .set(shape, 6)
        .survivors(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0], &Mask::full(2, 3));
    assert_eq!(left.ones().collect::<Vec<_>>(), [3, 4, 5]);
}

/// Six rows on four elements: elements 0 and 1 hold two rows, 2 and 3 one.
#[test]
fn elements_with_more_rows_take_what_the_others_cannot() {
    let shape = TensorShape::matrix(6, 4);
    let held = |keep: usize| {
        let values = vec![1.0; 24];
        let left = Structure::BalancedPes { pes: 4 }
            .set(shape, keep)
            .survivors(&values, &Mask::full(6, 4));
        let rows = left.row_counts();
        [rows[0] + rows[4], rows[1] + rows[5], rows[2], rows[3]]
    };
    assert_eq!(held(11), [2, 2, 2, 2]);
    assert_eq!(held(17), [4, 4, 4, 4]);
    assert_eq!(held(20), [6, 6, 4, 4]);
    assert_eq!(held(24), [8, 8, 4, 4]);
}

/// Four 3 × 3 kernels: three of a cross without its right arm, one of a row; a library of one takes the cross.
#[test]
fn a_pattern_library_is_what_most_kernels_would_choose() {
    let shape = TensorShape {
        filters: 2,
        channels: 2,
        kernel: [3, 3],
    };
    let cross = [0.0, 2.0, 0.0, 3.0, 4.0, 0.1, 0.0, 2.0, 0.0];
    let row = [9.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.1];
    let values: Vec<f32> = [cross, row, cross, cross].concat();
    let set = Structure::Pattern {
        entries: 4,
        library: 1,
    }
    .set(shape, 12);
    let full = Mask::full(2, 18);
    let fitted = set.refitted(&values, &full).expect("the library is fitted");
    assert!(
        fitted.refitted(&values, &full).is_none(),
        "a fitted library stays"
    );
    let left = fitted.survivors(&values, &full);
    // the row's kernel keeps 9 and 9 of the cross: more than a whole cross holds, so it stays and the last cross leaves
    let expected: Vec<usize> = [0, 9, 18]
        .iter()
        .flat_map(|at| [1, 3, 4, 7].map(|p| at + p))
        .collect();
    assert_eq!(left.ones().collect::<Vec<_>>(), expected);
    assert_eq!(
        left,
        set.survivors(&values, &full),
        "not fitted before: fitted on the way"
    );
    assert_eq!(fitted.describe(), "1 patterns of 4, keep 3 kernels");
}

#[test]
fn n_of_m_masks_are_held_by_the_encoding() {
    let shape = TensorShape::matrix(5, 11);
    let values: Vec<f32> = (0..55).map(|i| ((i * 37 % 55) as f32).sin()).collect();
    let left = Structure::NM { keep: 2, group: 4 }
        .set(shape, 55)
        .survivors(&values, &Mask::full(5, 11));
    assert_eq!(left.row_counts(), [6; 5]);
    assert!(Encoding::NM { keep: 2, group: 4 }.size(&left, 4).is_ok());
}

/// NaN stays where it is seen, as in the unstructured set.
#[test]
fn nan_outranks_every_group() {
    let values = [1.0, f32::NAN, 50.0, 60.0];
    for structure in [Structure::Filter, Structure::BlockRow { cols: 2 }] {
        let found = projected(
            structure.set(TensorShape::matrix(2, 2), 2).as_ref(),
            &values,
            &Mask::full(2, 2),
        );
        assert!(
            found[1].is_nan() && found[0] == 1.0 && found[2] == 0.0,
            "{found:?}"
        );
    }
}

fn recipe(structure: &str, density: f64) -> String {
    format!(
        "source = \"by hand\"\n[layer.conv]\nstructure = {structure}\ndensity = {density}\n\
         precision = {{ kind = \"float32\" }}\nencoding = {{ kind = \"bitmap\" }}\n"
    )
}

fn read(structure: &str, density: f64) -> Result<Recipe, String> {
    let file: RecipeFile = Source::new("recipe", recipe(structure, density))
        .parse()
        .map_err(|faults| {
            let texts = faults
                .faults
                .iter()
                .map(|f| format!("{f}; {}", f.help.clone().unwrap_or_default()));
            texts.collect::<Vec<_>>().join("\n")
        })?;
    Recipe::from_file(file).map_err(|e| e.to_string())
}

#[test]
fn recipes_name_structures_by_word_or_table() {
    for (text, structure) in [
        ("\"unstructured\"", Structure::Unstructured),
        ("\"filter-shape\"", Structure::FilterShape { filters: None }),
        (
            "{ kind = \"filter-shape\", filters = 4 }",
            Structure::FilterShape { filters: Some(4) },
        ),
        ("\"balanced-rows\"", Structure::BalancedRows),
        (
            "{ kind = \"block\", rows = 4, cols = 2 }",
            Structure::Block { rows: 4, cols: 2 },
        ),
        (
            "{ kind = \"n-m\", keep = 2, group = 4 }",
            Structure::NM { keep: 2, group: 4 },
        ),
        (
            "{ kind = \"pattern\", entries = 4, library = 8 }",
            Structure::Pattern {
                entries: 4,
                library: 8,
            },
        ),
    ] {
        let recipe = read(text, 0.25).expect(text);
        assert_eq!(recipe.target("conv").structure, structure);
        let again: RecipeFile = Source::new("again", recipe.to_file("by hand").to_toml())
            .parse()
            .expect("what is written can be read");
        assert_eq!(again.layer["conv"].structure, structure);
    }
}

#[test]
fn faulty_structures_are_told_with_their_cure() {
    for (text, expected) in [
        ("\"filters\"", "did you mean \"filter\"?"),
        ("\"n-m\"", "write `{ kind = \"n-m\", … }`"),
        ("\"blok\"", "did you mean \"block\"?"),
        ("{ kind = \"blocks\" }", "did you mean \"block\"?"),
        ("{ kind = \"block\", rows = 4 }", "cols"),
        ("{ kind = \"n-m\", keep = 0, group = 4 }", "`keep`"),
        (
            "{ kind = \"n-m\", keep = 5, group = 4 }",
            "N of M needs 1 <= `keep` <= `group` <= 64",
        ),
        ("{ kind = \"n-m\", keep = 5, group = 128 }", "`group`"),
        ("{ kind = \"block\", rows = 0, cols = 4 }", "`rows`"),
    ] {
        let message = read(text, 0.25).expect_err(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn layers_refuse_structures_they_cannot_hold() {
    let linear = TensorShape::matrix(10, 500);
    let check = |structure: &str, density: f64, shape: TensorShape| {
        read(structure, density)
            .expect("its numbers make sense")
            .check_structures(|layer| (layer == "conv").then_some(shape))
            .map_err(|e| e.0[0].clone())
    };
    let source = |result: Result<(), RecipeError>| match result {
        Err(RecipeError::Structure { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let pattern = "{ kind = \"pattern\", entries = 4, library = 8 }";
    assert_eq!(
        source(check(pattern, 0.25, linear)),
        StructureError::Kernel {
            entries: 4,
            kernel: [1, 1]
        }
    );
    let conv = TensorShape::of(&[50, 20, 5, 5]);
    assert_eq!(check(pattern, 0.1, conv), Ok(()));
    assert!(matches!(
        source(check(pattern, 0.5, conv)),
        StructureError::Density { most: 4000, .. }
    ));
    let block = "{ kind = \"block\", rows = 16, cols = 4 }";
    assert!(matches!(
        source(check(block, 0.5, linear)),
        StructureError::Block { .. }
    ));
    let two_of_four = "{ kind = \"n-m\", keep = 2, group = 4 }";
    assert_eq!(check(two_of_four, 0.5, linear), Ok(()));
    let fault = check(two_of_four, 0.6, linear).expect_err("too dense");
    assert_eq!(
        fault.to_string(),
        "layer `conv`: the density keeps 3000 weights, the structure leaves at most 2500 of 5000: write a density of at \
         most 0.5000"
    );
    // a row of 5 has a group of 4 and one of 1, which keeps its weight
    assert_eq!(check(two_of_four, 0.6, TensorShape::matrix(2, 5)), Ok(()));
    let elements = "{ kind = \"balanced-pes\", pes = 64 }";
    assert!(matches!(
        source(check(elements, 0.5, linear)),
        StructureError::Rows { .. }
    ));
}
