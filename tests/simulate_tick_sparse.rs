//! Flexible, structured, decomposable and scatter engines against their tick models, on uniform and on row-skewed
//! masks. `COSPARSE_TICK_CASES=10000 cargo test --test simulate_tick_sparse` runs so many cases of each.

mod common;
mod tick;

use common::{engine, profile, work};
use cosparse::compression::Mask;
use cosparse::hardware::{EngineKind, Flexible, Profile};
use cosparse::network::LoopNest;
use cosparse::simulate::{Weights, array};
use proptest::prelude::*;
use proptest::test_runner::Config as ProptestConfig;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn cases() -> ProptestConfig {
    let asked = std::env::var("COSPARSE_TICK_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    common::cases(asked.unwrap_or(500))
}

fn on(kind: EngineKind) -> Profile {
    profile(vec![engine("engine", 500.0, 9000.0, kind)])
}

fn nest() -> impl Strategy<Value = LoopNest> {
    let (batch, groups, channels) = (1..3u64, 1..4u64, 1..9u64);
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
    ((i * 7 + j * 13) % 11) as i64 - 5
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn flexible(
        nest in nest(),
        (log, words, lines) in (0..6u32, 1..33u32, 1..33u32),
        sparse in prop::bool::weighted(0.8),
        d in 0.1..1.0f64,
        skewed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let multipliers = 1 << log;
        let flexible = Flexible { multipliers, distribution_words: words.min(multipliers), output_lines: lines, sparse };
        let mask = weights_of(&nest, d * d, skewed, seed);
        let positions = nest.gemm().m as usize;
        let mut sum = tick::flexible::Ticked::default();
        for group in 0..nest.g {
            let alive = group_of(&mask, &nest, group);
            let ticked = tick::flexible::run(flexible, &alive, positions, &value, &|x, c| value(c, x));
            for x in 0..positions {
                for (row, columns) in alive.iter().enumerate() {
                    let dot: i64 = (0..columns.len()).filter(|&c| columns[c] || !sparse).map(|c| value(row, c) * value(c, x)).sum();
                    prop_assert_eq!(ticked.output[x][row], dot, "the array computes the product");
                }
            }
            sum.cycles += ticked.cycles;
            sum.useful += ticked.useful;
            sum.loaded += ticked.loaded;
            sum.sums_written += ticked.sums_written;
            sum.sums_read += ticked.sums_read;
        }
        let run = array(&work(nest, Weights::Pattern(&mask)), &on(EngineKind::Flexible(flexible)), 0, None).expect("a run");
        prop_assert_eq!(run.cycles, sum.cycles);
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
        prop_assert_eq!(run.macs, sum.useful);
        prop_assert_eq!(run.bits.weights, 16 * sum.loaded);
        prop_assert_eq!(run.bits.outputs_written, 16 * sum.sums_written);
        prop_assert_eq!(run.bits.outputs_read, 16 * if multipliers > 1 { sum.sums_read } else { run.bits.outputs_read / 16 });
        prop_assert!(run.cycles >= run.macs.div_ceil(run.peak));
    }
}
