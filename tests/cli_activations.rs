//! `cosparse estimate --activations`: densities measured or read, and activation widths in recipes.

mod command;

use command::{cosparse, in_directory, with_threads};
use cosparse::network::Workload;
use cosparse::training::{Parameters, to_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const MNIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist");

/// Untrained values of a shipped network.
fn weights(at: &Path, name: &str) {
    let network = Workload::find(name).expect("it is shipped").network;
    let bytes = to_safetensors(&Parameters::init(&network, 3), false, None).expect("its form");
    fs::write(at.join(format!("{name}.safetensors")), bytes).expect("a writable directory");
}

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).expect("a CSV file");
    reader
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("rows of named cells")
}

fn measured<'a>(out: &'a str, samples: &'a str) -> Vec<&'a str> {
    let head = ["estimate", "lenet-300-100", "--hw", "scnn-like-16nm"];
    let tail = [
        "--activations",
        "measured",
        "--weights",
        "lenet-300-100.safetensors",
    ];
    let rest = ["--data", MNIST, "--activation-samples", samples, "--out", out];
    [&head[..], &tail, &rest].concat()
}

/// Measured densities are simulated, written, and read back to the same costs; on any number of threads.
#[test]
fn what_is_measured_is_written_and_read_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path();
    weights(at, "lenet-300-100");
    for (out, threads) in [("one", "1"), ("two", "2")] {
        let run = with_threads(at, &measured(out, "50"), threads);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(
            run.stdout
                .contains("activation densities measured with lenet-300-100.safetensors on 50 samples"),
            "{}",
            run.stdout
        );
    }
    for file in [
        "activations.csv",
        "layers.csv",
        "summary.csv",
        "traffic.csv",
        "run.toml",
    ] {
        let read = |out: &str| fs::read(at.join(out).join(file)).expect("a report");
        assert_eq!(read("one"), read("two"), "{file}");
    }
    let counted = rows(&at.join("one/activations.csv"));
    let names: Vec<&str> = counted.iter().map(|row| row["layer"].as_str()).collect();
    assert_eq!(names, ["fc1", "fc2", "fc3"]);
    assert_eq!(
        [&counted[0]["elements"], &counted[2]["elements"]],
        ["39200", "5000"]
    );
    for (row, counted) in rows(&at.join("one/layers.csv")).iter().zip(&counted) {
        assert_eq!(row["activation_density"], counted["density"]);
        assert_eq!(row["activation_source"], "measured");
        let density: f64 = row["activation_density"].parse().expect("a number");
        assert!(density > 0.0 && density < 1.0);
    }
    let run = cosparse(
        at,
        &[
            "estimate",
            "lenet-300-100",
            "--hw",
            "scnn-like-16nm",
            "--activations",
            "one/activations.csv",
            "--out",
            "read",
        ],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let dense = cosparse(
        at,
        &[
            "estimate",
            "lenet-300-100",
            "--hw",
            "scnn-like-16nm",
            "--out",
            "dense",
        ],
    );
    assert_eq!(dense.code, 0, "{}", dense.stderr);
    let [one, read, dense] = ["one", "read", "dense"].map(|out| rows(&at.join(out).join("layers.csv")));
    for ((one, read), dense) in one.iter().zip(&read).zip(&dense) {
        for column in ["cycles", "energy_pj", "dram_inputs_bits", "activation_density"] {
            assert_eq!(one[column], read[column]);
        }
        assert_eq!(
            (
                read["activation_source"].as_str(),
                dense["activation_source"].as_str()
            ),
            ("file", "assumed")
        );
        let cycles = |row: &BTreeMap<String, String>| row["cycles"].parse::<u64>().expect("a count");
        assert!(cycles(one) <= cycles(dense), "the engine skips zeros");
    }
}

const RECIPE: &str = "source = \"by hand\"\n\n[layer.fc2]\nstructure = \"unstructured\"\ndensity = 1.0\n\
                      precision = { kind = \"equal-interval\", bits = 8 }\nencoding = { kind = \"dense\" }\nactivation-bits = ";

/// A recipe's width reaches the reports: its layer's inputs, and the outputs of the layer before.
#[test]
fn recipes_set_activation_bits() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path();
    fs::write(at.join("four.toml"), format!("{RECIPE}4\n")).expect("a writable directory");
    let run = cosparse(
        at,
        &[
            "estimate",
            "lenet-300-100",
            "--hw",
            "eyeriss-65nm",
            "--recipe",
            "four.toml",
            "--out",
            "out",
        ],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("takes as many cycles to multiply them: fc2"),
        "{}",
        run.stdout
    );
    let all = rows(&at.join("out/layers.csv"));
    let of = |candidate: &str| {
        let here = all.iter().filter(|row| row["candidate"] == candidate);
        here.map(|row| ["activation_bits", "input_bits", "output_bits"].map(|c| row[c].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("dense"), [["16", "16", "16"]; 3]);
    assert_eq!(
        of("recipe"),
        [["16", "16", "4"], ["4", "4", "16"], ["16", "16", "16"]]
    );
}

/// The multipliers of a bitstream are as wide as the widest activations of all layers.
#[test]
fn a_bitstream_takes_the_widest_activations() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path();
    let layer = |name: &str, bits: u8| {
        let lines = RECIPE.replace("source = \"by hand\"\n\n", "");
        format!("{}{bits}\n", lines.replace("fc2", name))
    };
    let recipe = |bits: [u8; 3]| {
        let layers: String = ["fc1", "fc2", "fc3"]
            .iter()
            .zip(bits)
            .map(|(n, b)| layer(n, b))
            .collect();
        format!("source = \"by hand\"\n{layers}")
    };
    for (name, bits, widest) in [("a", [4, 4, 4], "4"), ("b", [2, 6, 3], "6")] {
        fs::write(at.join("recipe.toml"), recipe(bits)).expect("a writable directory");
        let run = cosparse(
            at,
            &[
                "estimate",
                "lenet-300-100",
                "--hw",
                "zynq-7020",
                "--recipe",
                "recipe.toml",
                "--out",
                name,
            ],
        );
        assert_eq!(run.code, 0, "{}", run.stderr);
        let all = rows(&at.join(name).join("resources.csv"));
        let here = all.iter().filter(|row| row["candidate"] == "recipe");
        let widths: Vec<&str> = here.map(|row| row["activation_bits"].as_str()).collect();
        assert!(
            !widths.is_empty() && widths.iter().all(|w| *w == widest),
            "{widths:?}"
        );
    }
}

#[test]
fn wrong_requests_name_their_cure() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path();
    weights(at, "lenet-300-100");
    weights(at, "lenet5");
    let file = |name: &str, text: &str| fs::write(at.join(name), text).expect("a writable directory");
    file("names.csv", "layer,density\nfc1,0.5\nfc4,0.5\nrelu1,0.5\n");
    file("range.csv", "layer,density\nfc1,1.5\nfc2,-0.1\nfc3,half\n");
    file("columns.csv", "name,density\nfc1,0.5\n");
    file("text.safetensors", "no tensors");
    file("wide.toml", &format!("{RECIPE}12\n"));
    file("most.toml", &format!("{RECIPE}17\n"));
    fs::create_dir(at.join("none")).expect("a directory");
    let base = ["estimate", "lenet-300-100", "--hw", "tpu-v1-28nm", "--out", "out"];
    let measure = ["--activations", "measured"];
    let with = |more: &[&'static str]| [&measure[..], more].concat();
    let cases: Vec<(&str, Vec<&str>)> = vec![
        ("missing", vec!["--activations", "none.csv"]),
        ("names", vec!["--activations", "names.csv"]),
        ("range", vec!["--activations", "range.csv"]),
        ("columns", vec!["--activations", "columns.csv"]),
        (
            "idle",
            vec![
                "--activations",
                "names.csv",
                "--weights",
                "lenet-300-100.safetensors",
            ],
        ),
        ("no_weights", with(&[])),
        ("lost_weights", with(&["--weights", "lost.safetensors"])),
        ("not_weights", with(&["--weights", "text.safetensors"])),
        ("other_weights", with(&["--weights", "lenet5.safetensors"])),
        (
            "no_data",
            with(&["--weights", "lenet-300-100.safetensors", "--data", "none"]),
        ),
        ("alone", vec!["--weights", "lenet-300-100.safetensors"]),
        ("wide", vec!["--recipe", "wide.toml"]),
        ("most", vec!["--recipe", "most.toml"]),
    ];
    for (name, more) in cases {
        let run = cosparse(at, &[&base[..], &more].concat());
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{name}: {}", run.stderr);
        assert!(!at.join("out/layers.csv").exists(), "{name}: nothing is reported");
        insta::assert_snapshot!(name, in_directory(&run));
    }
    let many = measured("out", "55001");
    let run = cosparse(at, &many);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("has 55000 to train on"), "{}", run.stderr);
    let run = cosparse(
        at,
        &[
            "estimate",
            "alexnet",
            "--hw",
            "tpu-v1-28nm",
            "--activations",
            "measured",
            "--weights",
            "lenet5.safetensors",
        ],
    );
    assert_eq!(run.code, 2, "{}", run.stderr);
}

/// Wider activations than a profile's run where an engine composes them.
#[test]
fn composing_engines_take_wide_activations() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path();
    fs::write(at.join("wide.toml"), format!("{RECIPE}16\n")).expect("a writable directory");
    let run = cosparse(
        at,
        &[
            "estimate",
            "lenet-300-100",
            "--hw",
            "bitfusion-like-45nm",
            "--recipe",
            "wide.toml",
            "--out",
            "out",
        ],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stdout.contains("as many cycles"), "{}", run.stdout);
}
