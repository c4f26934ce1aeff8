//! `estimate --fusion`: rows, totals, and what the run says of layers that do not multiply.

mod command;

use command::{Run, cosparse, in_directory};
use std::collections::BTreeMap;
use std::path::Path;

type Row = BTreeMap<String, String>;

fn rows(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    reader
        .deserialize()
        .map(|row| row.expect("a row under a header"))
        .collect()
}

fn count(row: &Row, column: &str) -> u64 {
    row[column]
        .parse()
        .unwrap_or_else(|_| panic!("{column} of {row:?}"))
}

fn total(rows: &[Row], column: &str) -> u64 {
    rows.iter().map(|row| count(row, column)).sum()
}

fn estimate(directory: &Path, more: &[&str]) -> Run {
    let run = cosparse(directory, &[&["estimate"], more].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    run
}

/// Rows sum to the summary and causes to the rows; what moves at the DRAM is the same in both files; macs are all there.
#[test]
fn rows_sum_in_every_mode() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut bits = Vec::new();
    for mode in ["ideal", "none", "elementwise", "full"] {
        let out = directory.path().join(mode);
        let run = estimate(
            directory.path(),
            &[
                "resnet18",
                "--hw",
                "nvdla-like-28nm",
                "--fusion",
                mode,
                "--out",
                mode,
            ],
        );
        let (layers, traffic) = (rows(&out.join("layers.csv")), rows(&out.join("traffic.csv")));
        let summary = rows(&out.join("summary.csv"));
        for row in &layers {
            let causes: u64 = row
                .keys()
                .filter(|c| c.starts_with("cycles_"))
                .map(|c| count(row, c))
                .sum();
            assert_eq!(causes, count(row, "cycles"), "{row:?}");
        }
        assert_eq!(total(&layers, "cycles"), count(&summary[0], "cycles"));
        assert_eq!(total(&layers, "macs"), 1_814_073_344);
        let dram: u64 = ["weights", "indices", "inputs", "outputs"]
            .iter()
            .map(|t| total(&layers, &format!("dram_{t}_bits")))
            .sum();
        let at_dram: Vec<Row> = traffic.into_iter().filter(|r| r["memory"] == "dram").collect();
        assert_eq!(dram, total(&at_dram, "read_bits") + total(&at_dram, "write_bits"));
        bits.push(dram);

        let memory: Vec<&Row> = layers.iter().filter(|r| r["engine"] == "memory").collect();
        let fused: usize = layers.iter().map(|r| r["op"].matches('+').count()).sum();
        // 20 batch norms, 17 activations, 8 adds and 2 pools; the network flattens nothing
        let want = match mode {
            "ideal" => (0, 0),
            "none" => (47, 0),
            "elementwise" => (2, 45),
            _ => (0, 47),
        };
        assert_eq!((memory.len(), fused), want, "{mode}");
        for row in &layers {
            let named = row["not_modelled"].split('+').any(|n| n == "arithmetic");
            assert_eq!(
                named,
                row["engine"] == "memory" || row["op"].contains('+'),
                "{row:?}"
            );
        }
        for row in &memory {
            assert_eq!(
                (
                    count(row, "macs"),
                    count(row, "macs_done"),
                    row["mapping"].as_str()
                ),
                (0, 0, "")
            );
            assert!(count(row, "cycles") > 0 && count(row, "buffer_inputs_bits") > 0);
        }
        let note = format!(
            "layers that do not multiply: {} fused, {} on their own (`memory`)",
            want.1, want.0
        );
        let named = run.stdout.contains("energy of arithmetic")
            || run.stdout.contains(", arithmetic is not modelled");
        if mode == "ideal" {
            assert!(
                run.stdout
                    .contains("not modelled: 47 layers that do not multiply"),
                "{}",
                run.stdout
            );
            assert!(!named);
        } else {
            assert!(run.stdout.contains(&note) && named, "{}", run.stdout);
        }
        let record = std::fs::read_to_string(out.join("run.toml")).expect("run.toml");
        assert!(record.contains(&format!("fusion = \"{mode}\"")), "{record}");
    }
    assert!(bits[1] > bits[2] && bits[2] > bits[3], "{bits:?}");
}

/// What a chain did stands in `op`, and the first convolution stores its pooled map.
#[test]
fn chains_are_named_by_their_operations() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (mode, op, stored) in [
        ("full", "conv+batch-norm+activation+max-pool", 64 * 56 * 56),
        ("none", "conv", 64 * 112 * 112),
    ] {
        estimate(
            directory.path(),
            &[
                "resnet18",
                "--hw",
                "eyeriss-65nm",
                "--fusion",
                mode,
                "--out",
                mode,
            ],
        );
        let layers = rows(&directory.path().join(mode).join("layers.csv"));
        assert_eq!(
            (layers[0]["layer"].as_str(), layers[0]["op"].as_str()),
            ("conv1", op)
        );
        // run-length coded in DRAM where that is shorter, which it is not without zeros
        assert_eq!(count(&layers[0], "dram_outputs_bits"), 16 * stored);
    }
}

/// Masks, the shown mapping and several samples go with it; SCALE-Sim's front door does not.
#[test]
fn it_goes_with_other_options() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = estimate(
        directory.path(),
        &[
            "lenet5",
            "--hw",
            "admm-nn-40nm",
            "--fusion",
            "elementwise",
            "--recipe",
            "lenet5-eccv-2018",
            "--mask-model",
            "uniform",
            "--seed",
            "1",
            "--batch",
            "3",
            "--show-mapping",
            "--out",
            "out",
        ],
    );
    assert!(
        run.stdout.contains("pool1: streams through the memories"),
        "{}",
        run.stdout
    );
    let masks = rows(&directory.path().join("out/masks.csv"));
    assert_eq!(masks.len(), 4, "only layers with weights have masks");
    let layers = rows(&directory.path().join("out/layers.csv"));
    let pool: Vec<&Row> = layers.iter().filter(|r| r["layer"] == "pool1").collect();
    assert_eq!(pool.len(), 3, "dense, recipe, recipe-masks");
    // 3 samples of 20 x 24 x 24 and 20 x 12 x 12 features of 16 bits, each once in or out
    assert_eq!(count(pool[0], "buffer_inputs_bits"), 3 * 20 * 24 * 24 * 16);
    assert_eq!(count(pool[0], "buffer_outputs_bits"), 3 * 20 * 12 * 12 * 16);
    let wrong = cosparse(
        directory.path(),
        &["estimate", "lenet5", "--hw", "eie-45nm", "--fusion", "some"],
    );
    assert_eq!(wrong.code, 2);
    insta::assert_snapshot!("a_wrong_fusion", in_directory(&wrong));
    let both = cosparse(
        directory.path(),
        &[
            "estimate",
            "topology.csv",
            "--scalesim",
            "run.cfg",
            "--fusion",
            "full",
        ],
    );
    assert_eq!(both.code, 2, "{}", both.stderr);
}
