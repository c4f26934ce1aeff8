//! Flexible, structured, decomposable and scatter engines against their tick models, on uniform and on row-skewed
//! masks. `COSPARSE_CASES=10000 cargo test --test simulate_tick_sparse` runs so many cases of each.

mod common;
mod tick;

use common::{engine, profile, work};
use cosparse::compression::Mask;
use cosparse::hardware::{BitFusion, BitSerial, EngineKind, Flexible, Profile, SerialOperand, Structured};
use cosparse::network::LoopNest;
use cosparse::simulate::{ActivationBits, ArrayRun, LayerWork, Mapping, Spatial, Weights, array};
use proptest::prelude::*;
use proptest::test_runner::Config as ProptestConfig;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn cases() -> ProptestConfig {
    common::cases(500)
}

fn on(kind: EngineKind) -> Profile {
    profile(vec![engine("engine", 500.0, 9000.0, kind)])
}

fn nest() -> impl Strategy<Value = LoopNest> {
    let (batch, groups, channels) = (1..3u64, 1..6u64, 1..9u64);
    (
        batch,
        groups,
        channels,
        1..5u64,
        1..4u64,
        1..3u64,
        1..4u64,
        1..3u64,
    )
        .prop_map(|(n, g, k, c, p, q, r, s)| LoopNest {
            n,
            g,
            k,
            c,
            p,
            q,
            r,
            s,
            stride: [1, 1],
            dilation: [1, 1],
        })
}

/// A mask of the layer's weights: uniform, or with rows that keep from nothing to almost all.
fn weights_of(nest: &LoopNest, density: f64, skewed: bool, seed: u64) -> Mask {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (rows, cols) = ((nest.g * nest.k) as usize, (nest.c * nest.r * nest.s) as usize);
    let mut mask = Mask::empty(rows, cols);
    for row in 0..rows {
        let factor: f64 = if skewed { rng.random_range(0.0..2.0) } else { 1.0 };
        for col in 0..cols {
            mask.set(row * cols + col, rng.random_bool((density * factor).min(1.0)));
        }
    }
    mask
}

/// The rows of one group.
fn group_of(mask: &Mask, nest: &LoopNest, group: u64) -> Vec<Vec<bool>> {
    let (rows, cols) = (nest.k as usize, mask.cols());
    let first = group as usize * rows;
    (first..first + rows)
        .map(|row| (0..cols).map(|col| mask.get(row * cols + col)).collect())
        .collect()
}

fn value(i: usize, j: usize) -> i64 {
    i64::try_from((i * 7 + j * 13) % 11).expect("below 11") - 5
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn flexible(
        nest in nest(),
        (log, words, lines) in (0..6u32, 1..33u32, 1..33u32),
        sparse in prop::bool::weighted(0.8),
        at_once in 1..6u64,
        d in 0.1..1.0f64,
        skewed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let multipliers = 1 << log;
        let flexible = Flexible { multipliers, distribution_words: words.min(multipliers), output_lines: lines, sparse };
        let mask = weights_of(&nest, d * d, skewed, seed);
        let positions = nest.gemm().m as usize;
        let mut sum = tick::flexible::Ticked::default();
        let at_once = at_once.min(nest.g).min(multipliers.into());
        let groups: Vec<_> = (0..nest.g).map(|g| group_of(&mask, &nest, g)).collect();
        for pack in groups.chunks(at_once as usize) {
            let mut rows: Vec<Vec<usize>> = Vec::new();
            for (place, alive) in pack.iter().enumerate() {
                rows.extend(alive.iter().map(|columns| {
                    let held = (0..columns.len()).filter(|&c| columns[c] || !sparse);
                    held.map(|c| place * columns.len() + c).collect()
                }));
            }
            let ticked = tick::flexible::run(flexible, &rows, mask.cols(), positions, &value, &|x, c| value(c, x));
            for x in 0..positions {
                for (row, columns) in rows.iter().enumerate() {
                    let dot: i64 = columns.iter().map(|&c| value(row, c) * value(c, x)).sum();
                    prop_assert_eq!(ticked.output[x][row], dot, "the array computes the product");
                }
            }
            sum.inputs += ticked.inputs;
            sum.cycles += ticked.cycles;
            sum.useful += ticked.useful;
            sum.loaded += ticked.loaded;
            sum.sums_written += ticked.sums_written;
            sum.sums_read += ticked.sums_read;
        }
        let free = work(nest, Weights::Pattern(&mask));
        let run = in_split(&free, EngineKind::Flexible(flexible), Spatial::groups(at_once))?;
        if multipliers > 1 {
            // the folds of a row on a single multiplier do not tell which is the first
            prop_assert_eq!(run.bits.inputs, 16 * sum.inputs);
        }
        prop_assert_eq!(run.cycles, sum.cycles);
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
        prop_assert_eq!(run.macs, sum.useful);
        prop_assert_eq!(run.bits.weights, 16 * sum.loaded);
        prop_assert_eq!(run.bits.outputs_written, 16 * sum.sums_written);
        prop_assert_eq!(run.bits.outputs_read, 16 * if multipliers > 1 { sum.sums_read } else { run.bits.outputs_read / 16 });
        prop_assert!(run.cycles >= run.macs.div_ceil(run.peak));
    }

    #[test]
    fn structured(
        nest in nest(),
        (keep, spare, pairs) in (1..4u32, 1..5u32, 1..5u32),
        (rows, cols) in (1..9u32, 1..6u32),
        full in prop::bool::weighted(0.2),
        at_once in 1..6u64,
        d in 0.1..1.0f64,
        skewed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let structured = Structured { keep, group: keep + spare, rows, cols, lanes: keep * pairs };
        let mut mask = if full {
            Mask::full((nest.g * nest.k) as usize, (nest.c * nest.r * nest.s) as usize)
        } else {
            weights_of(&nest, d, skewed, seed)
        };
        let full = mask.count() == mask.len();
        if !full {
            // of a group that keeps too many the first stay
            for row in 0..mask.rows() {
                for from in (0..mask.cols()).step_by(structured.group as usize) {
                    let mut kept = 0;
                    for col in from..(from + structured.group as usize).min(mask.cols()) {
                        let at = row * mask.cols() + col;
                        kept += u32::from(mask.get(at));
                        mask.set(at, mask.get(at) && kept <= keep);
                    }
                }
            }
        }
        let positions = nest.gemm().m as usize;
        let groups: Vec<_> = (0..nest.g).map(|g| group_of(&mask, &nest, g)).collect();
        let at_once = at_once.min(nest.g).min(rows.min(pairs).into());
        let (cycles, ticked) = tick::structured::run(structured, at_once as usize, &groups, positions, &value, &|x, c| value(c, x));
        for (group, alive) in ticked.iter().zip(&groups) {
            for x in 0..positions {
                for (row, columns) in alive.iter().enumerate() {
                    let dot: i64 = (0..columns.len()).filter(|&c| columns[c]).map(|c| value(row, c) * value(c, x)).sum();
                    prop_assert_eq!(group.output[x][row], dot, "the array computes the product");
                }
            }
        }
        let free = work(nest, Weights::Pattern(&mask));
        let run = in_split(&free, EngineKind::Structured(structured), Spatial::groups(at_once))?;
        prop_assert_eq!(run.cycles, cycles);
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
        prop_assert_eq!(run.macs, ticked.iter().map(|t| t.useful).sum::<u64>());
        prop_assert_eq!(run.stored.weights, 16 * ticked.iter().map(|t| t.stored).sum::<u64>());
        prop_assert_eq!(run.bits.weights, 16 * ticked.iter().map(|t| t.slots).sum::<u64>());
        prop_assert!(run.cycles >= run.macs.div_ceil(run.peak));
    }

    /// A mask that keeps more than N of some M is refused, with the cure.
    #[test]
    fn structured_refuses_other_masks(nest in nest(), d in 0.3..1.0f64, seed in any::<u64>()) {
        let structured = Structured { keep: 1, group: 2, rows: 2, cols: 2, lanes: 2 };
        let mask = weights_of(&nest, d, false, seed);
        let crowded = (0..mask.rows()).any(|r| (0..mask.cols()).step_by(2).any(|c| {
            c + 1 < mask.cols() && mask.get(r * mask.cols() + c) && mask.get(r * mask.cols() + c + 1)
        }));
        let run = array(&work(nest, Weights::Pattern(&mask)), &on(EngineKind::Structured(structured)), 0, None);
        if crowded && mask.count() < mask.len() {
            prop_assert!(run.expect_err("not 1:2").to_string().contains("prune the layer to N:M"));
        } else {
            prop_assert!(run.is_ok());
        }
    }

    #[test]
    fn bit_fusion(
        nest in nest(),
        (rows, cols) in (1..9u32, 1..9u32),
        (weight_bits, activation_bits) in (1..17u32, 1..17u32),
        (at_once, copies) in (1..6u64, 1..5u64),
        seed in 0..1000u64,
    ) {
        let array_of = BitFusion { rows, cols };
        let [weights, inputs] = operands(&nest, weight_bits, activation_bits, seed);
        let blocks = u64::from(rows.min(cols));
        let at_once = at_once.min(nest.g).min(blocks);
        let split = Spatial { groups: at_once, positions: copies.min(nest.gemm().m).min(blocks / at_once), columns: 1 };
        let wide = |bits: u32| [2, 4, 8, 16].into_iter().find(|&b| bits <= b).expect("up to 16");
        let ticked = tick::bit_fusion::run(array_of, split, &inputs, &weights, (wide(weight_bits), wide(activation_bits)));
        for ((output, inputs), weights) in ticked.output.iter().zip(&inputs).zip(&weights) {
            prop_assert_eq!(output, &dots(inputs, weights), "the array computes the product");
        }
        let layer = LayerWork { weight_bits, activation_bits: ActivationBits::all(activation_bits), ..work(nest, Weights::Density(1.0)) };
        let run = in_split(&layer, EngineKind::BitFusion(array_of), split)?;
        prop_assert_eq!(run.cycles, ticked.cycles);
        prop_assert_eq!(run.hops, ticked.hops);
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
        prop_assert_eq!(run.bits.weights, ticked.weights_read * u64::from(wide(weight_bits)));
        prop_assert_eq!(run.bits.inputs, ticked.inputs_read * u64::from(wide(activation_bits)));
        prop_assert!(run.cycles >= run.macs.div_ceil(run.peak));
    }

    #[test]
    fn bit_serial(
        nest in nest(),
        (rows, cols, lanes) in (1..9u32, 1..5u32, 1..9u32),
        at_once in 1..6u64,
        (weight_bits, activation_bits) in (1..17u32, 1..17u32),
        by_weights in any::<bool>(),
        seed in 0..1000u64,
    ) {
        let serial = if by_weights { SerialOperand::Weights } else { SerialOperand::Activations };
        let array_of = BitSerial { rows, cols, lanes, serial };
        let [weights, inputs] = operands(&nest, weight_bits, activation_bits, seed);
        let bits = if by_weights { weight_bits } else { activation_bits };
        let at_once = at_once.min(nest.g).min(rows.min(lanes).into());
        let (cycles, output) = tick::bit_serial::run(array_of, at_once as usize, &inputs, &weights, bits);
        for ((output, inputs), weights) in output.iter().zip(&inputs).zip(&weights) {
            prop_assert_eq!(output, &dots(inputs, weights), "the array computes the product");
        }
        let layer = LayerWork { weight_bits, activation_bits: ActivationBits::all(activation_bits), ..work(nest, Weights::Density(1.0)) };
        let run = in_split(&layer, EngineKind::BitSerial(array_of), Spatial::groups(at_once))?;
        prop_assert_eq!(run.cycles, cycles + tick::bit_serial::end(array_of));
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
        prop_assert!(run.cycles >= run.macs.div_ceil(run.peak));
    }
}

/// The layer in a split; without one it is no slower than in any number of groups.
fn in_split(layer: &LayerWork, kind: EngineKind, split: Spatial) -> Result<ArrayRun, TestCaseError> {
    let profile = on(kind);
    let mapping = Some(Mapping::from(split));
    let run = array(&LayerWork { mapping, ..*layer }, &profile, 0, None).expect("a split that fits");
    let free = array(layer, &profile, 0, None).expect("a run");
    prop_assert!(free.cycles <= run.cycles || split.positions > 1);
    Ok(run)
}

/// Unsigned weights (products × channels) and inputs (positions × products) of each group.
fn operands(nest: &LoopNest, weight_bits: u32, activation_bits: u32, seed: u64) -> [Vec<Vec<Vec<u64>>>; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let gemm = nest.gemm();
    let mut matrix = |rows: u64, cols: u64, bits: u32| -> Vec<Vec<u64>> {
        (0..rows)
            .map(|_| (0..cols).map(|_| rng.random_range(0..1u64 << bits)).collect())
            .collect()
    };
    let weights = (0..nest.g).map(|_| matrix(gemm.k, gemm.n, weight_bits)).collect();
    let inputs = (0..nest.g)
        .map(|_| matrix(gemm.m, gemm.k, activation_bits))
        .collect();
    [weights, inputs]
}

fn dots(inputs: &[Vec<u64>], weights: &[Vec<u64>]) -> Vec<Vec<u64>> {
    let dot = |row: &[u64], c: usize| row.iter().zip(weights).map(|(a, w)| a * w[c]).sum();
    inputs
        .iter()
        .map(|row| (0..weights[0].len()).map(|c| dot(row, c)).collect())
        .collect()
}

/// Quarter the bits, sixteen times the rate; and more than 16 bits are refused.
#[test]
fn narrower_operands_are_faster_and_wide_ones_refused() {
    let nest = common::gemm(4096, 4096, 512);
    let run = |kind: EngineKind, weight_bits, activation_bits| {
        let layer = LayerWork {
            weight_bits,
            activation_bits: ActivationBits::all(activation_bits),
            ..work(nest, Weights::Density(1.0))
        };
        array(&layer, &on(kind), 0, None)
    };
    let fusion = EngineKind::BitFusion(BitFusion { rows: 16, cols: 16 });
    let cycles = |w, a| run(fusion.clone(), w, a).expect("a run").cycles as f64;
    for (w, a, faster) in [
        (2, 2, 16.0),
        (4, 4, 4.0),
        (3, 8, 2.0),
        (8, 4, 2.0),
        (16, 8, 0.5),
        (16, 16, 0.25),
    ] {
        let ratio = cycles(8, 8) / cycles(w, a);
        assert!(
            (ratio / faster - 1.0).abs() < 0.05,
            "{w} x {a} bits: {ratio} instead of {faster}"
        );
    }
    let serial = |serial| {
        EngineKind::BitSerial(BitSerial {
            rows: 16,
            cols: 16,
            lanes: 16,
            serial,
        })
    };
    for bits in 1..=16 {
        let by = |kind, w, a| run(serial(kind), w, a).expect("a run").cycles as f64;
        let full = by(SerialOperand::Weights, 16, 8);
        let ratio = full / by(SerialOperand::Weights, bits, 8);
        assert!((ratio * f64::from(bits) / 16.0 - 1.0).abs() < 0.01);
        assert!((by(SerialOperand::Activations, 8, bits) - by(SerialOperand::Weights, bits, 8)).abs() < 0.5);
    }
    for kind in [fusion, serial(SerialOperand::Weights)] {
        let error = run(kind, 32, 8).expect_err("32 bits").to_string();
        assert!(error.contains("16 bits or fewer"), "{error}");
    }
}
