//! A profile with DRAM rows and shared ports on the command line: what stands in layers.csv.

mod command;

use command::{cosparse, in_directory};
use std::collections::BTreeMap;
use std::path::Path;

const PROFILE: &str = include_str!("../hw_profiles/eyeriss-65nm.toml");

type Row = BTreeMap<String, String>;

fn rows(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rows = reader.deserialize().map(|row| row.expect("a row under a header"));
    rows.collect()
}

fn number(row: &Row, column: &str) -> f64 {
    let cell = &row[column];
    cell.parse().unwrap_or_else(|_| panic!("{column} of {row:?}"))
}

/// Every layer that moves opens rows that hold what it moves, their energy is a component, and it takes longer than
/// without; layers on their own too. Without rows the cells are empty.
#[test]
fn rows_of_the_dram_are_reported() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (head, dram) = PROFILE.split_once("\ndram = {").expect("the profile has a DRAM");
    let (inside, tail) = dram.split_once("}\n").expect("the table ends");
    let rows_of = "rows = { row-bytes = 1024, banks = 8, row-miss-cycles = 6, source = \"assumed: a test\", \
                   activate-energy = { value = \"500 pJ\", source = \"assumed: a test\" } }";
    let text =
        format!("{head}\ndram = {{{inside}, {rows_of} }}\n{tail}").replacen("eyeriss-65nm", "with-rows", 1);
    std::fs::write(directory.path().join("with-rows.toml"), text).expect("writable");
    let mut layers = Vec::new();
    for (profile, out) in [("with-rows.toml", "with"), ("eyeriss-65nm", "without")] {
        let run = cosparse(
            directory.path(),
            &[
                "estimate", "resnet18", "--hw", profile, "--fusion", "none", "--out", out,
            ],
        );
        assert_eq!(run.code, 0, "{}", run.stderr);
        layers.push(rows(&directory.path().join(out).join("layers.csv")));
    }
    let (with, without) = (&layers[0], &layers[1]);
    assert_eq!(with.len(), without.len());
    let mut slower = 0;
    for (with, without) in with.iter().zip(without) {
        for column in [
            "dram_row_activations",
            "dram_row_efficiency",
            "energy_activation_pj",
        ] {
            assert_eq!(without[column], "", "{column}");
        }
        let tensors = ["weights", "indices", "inputs", "outputs"];
        let moved: f64 = tensors
            .iter()
            .map(|t| number(with, &format!("dram_{t}_bits")))
            .sum();
        let activations = number(with, "dram_row_activations");
        assert!(activations * 8192.0 >= moved, "{with:?}");
        assert_eq!(number(with, "energy_activation_pj"), 500.0 * activations);
        if activations > 0.0 {
            let efficiency = number(with, "dram_row_efficiency");
            assert!((efficiency - moved / (8192.0 * activations)).abs() < 1e-12);
            assert!(efficiency > 0.0 && efficiency <= 1.0);
        } else {
            assert_eq!(with["dram_row_efficiency"], "");
        }
        let (mut parts, whole) = (0.0, number(with, "energy_pj"));
        for (column, cell) in with.iter().filter(|(column, _)| column.starts_with("energy_")) {
            if column != "energy_pj" && !cell.is_empty() {
                parts += number(with, column);
            }
        }
        assert!((parts / whole - 1.0).abs() < 1e-12, "{with:?}");
        assert!(number(with, "cycles") >= number(without, "cycles"));
        slower += usize::from(number(with, "cycles") > number(without, "cycles"));
    }
    assert!(slower > 0);
}

/// A bad field is shown at its place with its cure, and the command ends with code 2.
#[test]
fn more_banks_than_words_are_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = PROFILE.replacen(
        "double-buffered = ",
        "ports = 1\nbanks = 1000000000\ndouble-buffered = ",
        1,
    );
    std::fs::write(directory.path().join("banks.toml"), text).expect("writable");
    let run = cosparse(directory.path(), &["profile", "check", "banks.toml"]);
    assert_eq!(run.code, 2, "{}", run.stdout);
    for words in [
        "banks.toml",
        "1000000000 banks, but the buffer has",
        "lower `banks`, or raise `capacity`",
    ] {
        let screen = in_directory(&run);
        let text: Vec<_> = screen.split_whitespace().filter(|w| *w != "│").collect();
        assert!(text.join(" ").contains(words), "{screen}");
    }
}
