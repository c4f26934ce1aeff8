//! The command line from the outside: answers, files, and that they agree.

mod command;

use command::{Run, cosparse, in_directory};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The rows of a CSV file, each as column name to cell.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    reader
        .deserialize()
        .map(|row| row.expect("a row under a header"))
        .collect()
}

fn sum(rows: &[BTreeMap<String, String>], column: &str) -> u64 {
    rows.iter()
        .map(|r| r[column].parse::<u64>().expect("a count"))
        .sum()
}

/// The cells of a table's line that starts with a word, digits of a count joined.
fn line(text: &str, first: &str) -> Vec<String> {
    let line = text
        .lines()
        .find(|l| l.trim_start().starts_with(first))
        .unwrap_or_else(|| panic!("no line `{first}` in\n{text}"));
    line.split("  ")
        .map(|cell| cell.trim().replace(' ', ""))
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[test]
fn table_csv_and_json_agree() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = |more: &[&str]| {
        cosparse(
            directory.path(),
            &[
                &["estimate", "lenet5", "--hw", "admm-nn-40nm", "--out", "out"],
                more,
            ]
            .concat(),
        )
    };
    let human = run(&[]);
    assert_eq!(human.code, 0, "{}", human.stderr);
    let layers = rows(&directory.path().join("out/layers.csv"));
    assert_eq!(
        layers.iter().map(|r| r["layer"].as_str()).collect::<Vec<_>>(),
        ["conv1", "conv2", "fc1", "fc2"]
    );
    let total = line(&human.stdout, "total");
    assert!(total.contains(&sum(&layers, "cycles").to_string()), "{total:?}");
    for row in &layers {
        let cells = line(&human.stdout, &row["layer"]);
        assert!(
            cells.contains(&row["cycles"]) && cells.contains(&row["bottleneck"].replace('_', "")),
            "{cells:?} against {row:?}"
        );
        let energy: f64 = row["energy_pj"].parse().expect("a number");
        let shown = cells
            .iter()
            .filter_map(|c| c.parse::<f64>().ok())
            .any(|c| (c - 1e-6 * energy).abs() <= 1e-3 * c);
        assert!(shown, "{cells:?} shows no {energy} pJ");
    }

    let json = run(&["--json"]);
    let json: serde_json::Value =
        serde_json::from_str(&json.stdout).expect("stdout holds one JSON object and nothing else");
    let from_json = json["layers"].as_array().expect("a list of rows");
    assert_eq!(from_json.len(), layers.len());
    for (a, b) in from_json.iter().zip(&layers) {
        for (column, cell) in b {
            let value = match &a[column] {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            let equal = value == *cell
                || value
                    .parse::<f64>()
                    .ok()
                    .zip(cell.parse::<f64>().ok())
                    .is_some_and(|(x, y)| x.to_bits() == y.to_bits());
            assert!(equal, "{column}: {value} in JSON, {cell} in CSV");
        }
    }
}

#[test]
fn rows_sum_to_the_whole_and_say_what_is_not_modelled() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = cosparse(
        directory.path(),
        &[
            "estimate",
            "alexnet",
            "--hw",
            "admm-nn-40nm",
            "--hw",
            "tpu-v1-28nm",
            "--out",
            "out",
        ],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let layers = rows(&directory.path().join("out/layers.csv"));
    let summary = rows(&directory.path().join("out/summary.csv"));
    assert_eq!(summary.len(), 2);
    for row in &layers {
        let causes: u64 = row
            .iter()
            .filter(|(name, _)| name.starts_with("cycles_"))
            .map(|(_, cell)| cell.parse::<u64>().expect("a count"))
            .sum();
        assert_eq!(causes, row["cycles"].parse::<u64>().expect("a count"), "{row:?}");
        let parts: f64 = row
            .iter()
            .filter(|(n, _)| n.starts_with("energy_") && *n != "energy_pj")
            .filter_map(|(_, c)| c.parse::<f64>().ok())
            .sum();
        let energy: f64 = row["energy_pj"].parse().expect("a number");
        assert!((parts - energy).abs() <= 1e-9 * energy, "{row:?}");
        for component in ["decode", "register", "network", "leakage"] {
            let named = row["not_modelled"].split('+').any(|n| n == component);
            assert_eq!(
                named,
                row[&format!("energy_{component}_pj")].is_empty(),
                "{component} of {row:?}"
            );
        }
    }
    for total in &summary {
        let own: Vec<_> = layers
            .iter()
            .filter(|r| r["profile"] == total["profile"])
            .cloned()
            .collect();
        assert_eq!(sum(&own, "cycles").to_string(), total["cycles"]);
        assert_eq!(sum(&own, "macs").to_string(), "724406816");
    }
}

#[test]
fn the_same_request_gives_the_same_bytes_wherever_it_is_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let read = |out: &str| {
        let mut files: Vec<_> = fs::read_dir(directory.path().join(out))
            .expect("the run's directory")
            .map(|e| e.expect("an entry").path())
            .collect();
        files.sort();
        files
            .into_iter()
            .map(|p| {
                (
                    p.file_name().map(|n| n.to_string_lossy().into_owned()),
                    fs::read(&p).expect("a file"),
                )
            })
            .collect::<Vec<_>>()
    };
    for (out, threads) in [("a", "1"), ("deep/b", "2")] {
        let run = command::with_threads(
            directory.path(),
            &["estimate", "resnet18", "--hw", "tpu-v1-28nm", "--out", out],
            threads,
        );
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    assert_eq!(read("a"), read("deep/b"));
    assert_eq!(read("a").len(), 4, "summary, layers, traffic, run.toml");
}

#[test]
fn a_recipe_is_set_beside_dense() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let target = "structure = \"unstructured\"\ndensity = 0.05\nprecision = { kind = \"equal-interval\", bits = 3 }\nencoding = { kind = \"relative-index\", bits = 4 }\n";
    fs::write(
        directory.path().join("recipe.toml"),
        format!("source = \"by hand\"\n[layer.fc1]\n{target}"),
    )
    .expect("a writable directory");
    let arguments = [
        "estimate",
        "lenet5",
        "--hw",
        "admm-nn-40nm",
        "--recipe",
        "recipe.toml",
        "--out",
        "out",
    ];
    let run = cosparse(directory.path(), &arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let summary = rows(&directory.path().join("out/summary.csv"));
    let energy = |i: usize| summary[i]["energy_pj"].parse::<f64>().expect("a number");
    assert_eq!(
        (summary[0]["candidate"].as_str(), summary[1]["candidate"].as_str()),
        ("dense", "recipe")
    );
    assert_eq!(summary[1]["kept"], (430_500 - 400_000 + 20_000).to_string());
    assert!(
        energy(1) < energy(0),
        "fewer and narrower weights of fc1 cost less"
    );
    assert_eq!(summary[1]["accuracy_source"], "not measured");

    fs::write(
        directory.path().join("recipe.toml"),
        format!(
            "source = \"by hand\"\n[layer.fc3]\n{}",
            target.replace("0.05", "1.5")
        ),
    )
    .expect("a writable directory");
    let refused = cosparse(directory.path(), &arguments);
    insta::assert_snapshot!("a_wrong_recipe", in_directory(&refused));
}

/// Drawn masks stand beside the expectation: as many weights, cycles near it, the seed decides, a wrong word is told.
#[test]
fn masks_are_drawn_beside_the_expectation() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = |model: &str, seed: &str, out: &str| {
        let arguments = [
            "estimate",
            "lenet5",
            "--hw",
            "admm-nn-40nm",
            "--recipe",
            "lenet5-eccv-2018",
            "--mask-model",
            model,
            "--seed",
            seed,
            "--out",
            out,
        ];
        cosparse(directory.path(), &arguments)
    };
    let cycles = |out: &str| {
        let summary = rows(&directory.path().join(out).join("summary.csv"));
        let names: Vec<&str> = summary.iter().map(|r| r["candidate"].as_str()).collect();
        assert_eq!(names, ["dense", "recipe", "recipe-masks"]);
        assert_eq!(
            (summary[1]["kept"].as_str(), summary[2]["kept"].as_str()),
            ("6050", "6050")
        );
        [1, 2].map(|i| summary[i]["cycles"].parse::<u64>().expect("a count"))
    };
    assert_eq!(run("uniform", "1", "a").code, 0);
    assert_eq!(run("uniform", "1", "b").code, 0);
    assert_eq!(run("clustered:4", "2", "c").code, 0);
    let [expected, uniform] = cycles("a");
    assert_eq!(cycles("b"), [expected, uniform]);
    assert!(
        (uniform as f64 / expected as f64 - 1.0).abs() < 0.1,
        "{uniform} for {expected}"
    );
    assert_ne!(cycles("c")[1], uniform);
    let wrong = run("skewed", "1", "d");
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("row-skew:CV"), "{}", wrong.stderr);
}

/// The fourth convolution of `AlexNet` breaks even at 55 ± 3 % pruned (ADMM-NN, arXiv 1812.11677, §5 and Fig. 4).
#[test]
fn the_break_even_curve_is_written_per_layer_and_portion() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = cosparse(
        directory.path(),
        &[
            "breakeven",
            "alexnet",
            "--hw",
            "admm-nn-40nm",
            "--layer",
            "conv4",
            "--out",
            "out",
        ],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let curve = rows(&directory.path().join("out/breakeven.csv"));
    assert_eq!(curve.len(), 9);
    let crossing: f64 = curve[0]["crossing_pruned_portion"].parse().expect("a portion");
    assert!((0.52..=0.58).contains(&crossing), "{crossing}");
    let shown = line(&run.stdout, "conv4");
    assert_eq!(shown[1], format!("{:.1}", 100.0 * crossing));
    for (row, cell) in curve.iter().zip(&shown[2..]) {
        assert_eq!(
            *cell,
            format!("{:.2}", row["speedup"].parse::<f64>().expect("a number"))
        );
    }
}

#[test]
fn quiet_leaves_standard_error_empty() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let Run { code, stderr, .. } = cosparse(
        directory.path(),
        &["--quiet", "estimate", "lenet5", "--hw", "eie-45nm"],
    );
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(
        directory
            .path()
            .join("reports/runs/lenet5-eie-45nm-estimate/layers.csv")
            .exists()
    );
}

#[test]
fn a_profile_can_be_started_checked_and_used() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = |arguments: &[&str]| cosparse(directory.path(), arguments);
    assert_eq!(run(&["profile", "init", "my-chip"]).stdout, "my-chip.toml\n");
    assert_eq!(run(&["profile", "check", "my-chip.toml"]).code, 0);
    assert_eq!(run(&["estimate", "lenet5", "--hw", "my-chip.toml"]).code, 0);
    insta::assert_snapshot!(
        "init_does_not_overwrite",
        in_directory(&run(&["profile", "init", "my-chip"]))
    );
    insta::assert_snapshot!(
        "init_refuses_a_bad_name",
        in_directory(&run(&["profile", "init", "My Chip"]))
    );
}

#[test]
fn help_says_what_every_verb_answers() {
    trycmd::TestCases::new()
        .register_bin("cosparse", Path::new(env!("CARGO_BIN_EXE_cosparse")))
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd");
}
