//! STONNE's sparse GEMM on a SIGMA-like engine and its dense GEMM on an output-stationary array.
//!
//! The masks are not published: random ones with the printed number of non-zeros stand in, mean of five.

use super::common::{engine, gemm, profile, systolic, work};
use cosparse::compression::Mask;
use cosparse::hardware::{Dataflow, EngineKind, Flexible};
use cosparse::simulate::{Weights, array};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// One run.
pub(crate) struct StonneRun {
    /// The layer and the engine.
    pub(crate) note: String,
    /// STONNE's cycles, and the mean here.
    pub(crate) cycles: (u64, f64),
    /// Rows of weights in a fold, on average.
    pub(crate) rows_in_fold: u64,
}

/// A mask with exactly so many positions alive.
fn mask(rows: usize, cols: usize, alive: usize, seed: u64) -> Mask {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..rows * cols).collect();
    let mut mask = Mask::empty(rows, cols);
    for i in 0..alive {
        let other = rng.random_range(i..order.len());
        order.swap(i, other);
        mask.set(order[i], true);
    }
    mask
}

/// `-name=value` of the simulator's options.
fn options(args: &str) -> BTreeMap<String, u64> {
    args.split_whitespace()
        .filter_map(|option| option.trim_start_matches('-').split_once('='))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// All runs; `None` where the published ones are not at hand.
pub(crate) fn runs() -> Option<Vec<StonneRun>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/reference/stonne/stonne_runs.csv"
    );
    let mut file = csv::Reader::from_path(path).ok()?;
    let columns = file.headers().expect("a header").clone();
    let mut all = Vec::new();
    for row in file.records() {
        let row = row.expect("a row");
        let field = |name: &str| &row[columns.iter().position(|c| c == name).expect("a column")];
        let count = |name: &str| field(name).parse::<u64>().expect("a count");
        let option = options(field("args"));
        let [m, n, k] = ["M", "N", "K"].map(|name| option[name]);
        let (kind, note, alive) = if field("kind") == "DenseTPU" {
            let [rows, cols] = ["ms_rows", "ms_cols"].map(|name| option[name] as u32);
            let dataflow = Dataflow::OutputStationary;
            let kind = systolic(rows, cols, dataflow);
            (kind, format!("{rows}x{cols} output-stationary"), m * k)
        } else {
            let [multipliers, words, lines] = ["num_ms", "dn_bw", "rn_bw"].map(|name| option[name] as u32);
            let sparse = EngineKind::Flexible(Flexible {
                multipliers,
                distribution_words: words,
                output_lines: lines,
                sparse: true,
            });
            let note = format!(
                "{multipliers} multipliers, {words} words, {} % pruned",
                option["MK_sparsity"]
            );
            (sparse, note, count("N_SRAM_weight_reads"))
        };
        let profile = profile(vec![engine("stonne", 1000.0, 1.0, kind)]);
        let runs: Vec<_> = (0..5)
            .map(|seed| {
                let mask = mask(m as usize, k as usize, alive as usize, seed);
                let run =
                    array(&work(gemm(n, k, m), Weights::Pattern(&mask)), &profile, 0, None).expect("a run");
                assert_eq!(run.macs, count("multiplications"), "multiplications are exact");
                run.cycles
            })
            .collect();
        let mean = runs.iter().sum::<u64>() as f64 / runs.len() as f64;
        all.push(StonneRun {
            note: format!("{m} x {k} x {n}, {note}"),
            cycles: (count("cycles"), mean),
            rows_in_fold: count("STA_vectors_at_once_avg"),
        });
    }
    Some(all)
}
