//! Compressing by a procedure from the outside: what it writes, that it repeats itself to the byte, and what it refuses.

mod command;
mod tiny;

use command::{cosparse, in_directory, with_threads};
use std::fs;
use std::path::Path;
use tiny::{WORKLOAD, files, place};

const PROCEDURE: &str = r#"source = "made up for this test"
max-drop = 20

[[step]]
kind = "prune"
name = "first"
density = { fc1 = 0.3 }
admm = { iterations = 3, epochs = 1, rate = 3e-3, rho = 1e-2, growth = 2 }
retrain = { epochs = 1, rate = 3e-3 }

[[step]]
kind = "prune"
name = "cut"
weights = [600, 300]
look-back = 2
admm = { iterations = 2, epochs = 1, rate = 3e-3, rho = 1e-2, growth = 2 }
retrain = { epochs = 2, rate = 3e-3, average = 0.5 }

[[step]]
kind = "levels"
name = "levels"
bits = [{ conv = 4, fc1 = 3, fc2 = 4 }, { conv = 2, fc1 = 2, fc2 = 2 }]
admm = { iterations = 3, epochs = 1, rate = 1e-3, rho = 1e-2, growth = 2 }
retrain = { epochs = 1, rate = 1e-3 }
"#;

fn compress<'a>(out: &'a str, cache: &'a str) -> [&'a str; 9] {
    [
        "--quiet",
        "compress",
        "net.toml",
        "--procedure",
        "steps.toml",
        "--out",
        out,
        "--cache",
        cache,
    ]
}

fn rows(directory: &Path, file: &str) -> Vec<csv::StringRecord> {
    csv::Reader::from_path(directory.join(file))
        .expect("the run wrote it")
        .records()
        .map(|r| r.expect("a row"))
        .collect()
}

#[test]
fn steps_are_followed_and_repeat_on_any_threads() {
    let directory = place(WORKLOAD);
    fs::write(directory.path().join("steps.toml"), PROCEDURE).expect("a writable directory");
    let run = with_threads(directory.path(), &compress("one", "c1"), "1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let again = with_threads(directory.path(), &compress("two", "c2"), "2");
    assert_eq!(again.code, 0, "{}", again.stderr);
    let (one, two) = (
        files(&directory.path().join("one")),
        files(&directory.path().join("two")),
    );
    assert_eq!(one, two);

    // totals are met, whatever layer gives them up, less what no output depends on; layers never grow
    let steps = rows(&directory.path().join("one"), "steps.csv");
    let of = |step: &str| -> Vec<u64> {
        let rows = steps.iter().filter(|r| &r[1] == step);
        rows.map(|r| r[4].parse().expect("a count")).collect()
    };
    let total = |step| of(step).iter().sum::<u64>();
    assert!((480..=600).contains(&total("cut-600")), "{}", total("cut-600"));
    assert!((240..=300).contains(&total("cut-300")), "{}", total("cut-300"));
    assert!(of("cut-300").iter().zip(of("cut-600")).all(|(a, b)| *a <= b));
    let chosen = rows(&directory.path().join("one"), "chosen.csv");
    let names: Vec<&str> = chosen.iter().map(|r| &r[1]).collect();
    assert_eq!(names, ["dense", "pruned", "levels"]);
    // on levels a layer has no more values than its bits allow
    let bytes = fs::read(directory.path().join("one/levels.safetensors")).expect("written");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let fc1 = file.tensor("fc1.weight").expect("a layer of the network");
    let mut values: Vec<[u8; 4]> = fc1
        .data()
        .chunks_exact(4)
        .map(|b| [b[0], b[1], b[2], b[3]])
        .collect();
    values.sort_unstable();
    values.dedup();
    assert!(values.len() <= 9, "{} values in 3 bits and zero", values.len());
}

/// The residuals of every ADMM run fall: the last is below the first.
#[test]
fn residuals_fall() {
    let directory = place(WORKLOAD);
    fs::write(
        directory.path().join("steps.toml"),
        PROCEDURE.replace(
            "iterations = 3, epochs = 1, rate = 3e-3",
            "iterations = 8, epochs = 6, rate = 3e-3",
        ),
    )
    .expect("a writable directory");
    let run = cosparse(directory.path(), &compress("out", "cache"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let rows = rows(&directory.path().join("out"), "admm.csv");
    let primal = |step: &str| -> Vec<f64> {
        let rows = rows.iter().filter(|r| &r[1] == step && &r[4] == "fc1");
        rows.map(|r| r[7].parse().expect("a residual")).collect()
    };
    let first = primal("first");
    assert_eq!(first.len(), 8);
    assert!(first[7] < 0.5 * first[0], "{first:?}");
}

const SMALLER: &str = r#"source = "made up for this test"
max-drop = 30
activation-bits = [2, 8]

[[step]]
kind = "prune"
name = "filters"
density = { conv = 0.5, fc1 = 0.5 }
structure = "filter"
admm = { iterations = 3, epochs = 1, rate = 3e-3, rho = 1e-2, growth = 2 }
retrain = { epochs = 1, rate = 3e-3 }

[[step]]
kind = "shrink"
name = "smaller"
retrain = { epochs = 3, rate = 3e-3 }

[[step]]
kind = "levels"
name = "levels"
precision = [{ conv = { kind = "power-of-two", bits = 3, scale = "per-channel" }, fc1 = { kind = "binary" }, fc2 = { kind = "codebook", bits = 4 } }]
admm = { iterations = 2, epochs = 1, rate = 1e-3, rho = 1e-2, growth = 2 }
through = { epochs = 1, rate = 1e-3 }
portions = [0.5, 0.8]
between = { epochs = 1, rate = 1e-3 }
retrain = { epochs = 1, rate = 1e-3 }
"#;

/// Filters leave the network; what follows works on the smaller one, and its file is verified with the workload that was
/// written beside it.
#[test]
fn filters_leave_and_the_smaller_network_goes_on() {
    let directory = place(WORKLOAD);
    fs::write(directory.path().join("steps.toml"), SMALLER).expect("a writable directory");
    let run = cosparse(directory.path(), &compress("out", "cache"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let out = directory.path().join("out");
    let chosen = rows(&out, "chosen.csv");
    let number = |row: usize, column: usize| -> f64 { chosen[row][column].parse().expect("a number") };
    let (macs, activation_bits) = (5, 13);
    for row in [1, 2] {
        assert!(number(row, macs) <= 0.55 * number(0, macs), "{:?}", chosen[row]);
        assert!([2.0, 8.0].contains(&number(row, activation_bits)));
        assert_eq!(
            number(row, 3),
            number(0, 3),
            "ratios are over the dense network's weights"
        );
    }
    for name in ["pruned", "levels"] {
        let args = [
            "verify",
            &format!("out/{name}.cosparse"),
            "--workload",
            &format!("out/{name}.toml"),
        ];
        let verified = cosparse(directory.path(), &args);
        assert_eq!(verified.code, 0, "{}", verified.stderr);
        let test = &chosen[if name == "pruned" { 1 } else { 2 }][12];
        let test: f64 = test.parse().expect("a number");
        assert!(
            verified.stdout.contains(&format!("{test:.2} %")),
            "{test} in {}",
            verified.stdout
        );
        // against the network before surgery it is refused
        let refused = cosparse(
            directory.path(),
            &[
                "verify",
                &format!("out/{name}.cosparse"),
                "--workload",
                "net.toml",
            ],
        );
        assert_eq!(refused.code, 2, "{}", refused.stderr);
    }
}

/// A step whose training diverges ends the procedure: what was reached before is chosen from and written, and the exit
/// code says that not all was done.
#[test]
fn a_step_that_diverges_loses_nothing() {
    let directory = place(WORKLOAD);
    let wild = "retrain = { epochs = 2, rate = 3e-3, average = 0.5 }";
    assert!(PROCEDURE.contains(wild));
    let procedure = PROCEDURE.replace(wild, "retrain = { epochs = 2, rate = 1e38 }");
    fs::write(directory.path().join("steps.toml"), procedure).expect("a writable directory");
    let run = cosparse(directory.path(), &compress("out", "cache"));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("diverged in step `cut`"), "{}", run.stderr);
    assert!(run.stderr.contains("lower `rate`"), "{}", run.stderr);
    let chosen = rows(&directory.path().join("out"), "chosen.csv");
    let names: Vec<&str> = chosen.iter().map(|r| &r[2]).collect();
    assert!(
        names == ["dense", "first"] || names == ["dense", "magnitude"],
        "{names:?}"
    );
    assert!(directory.path().join("out/pruned.cosparse").exists());
}

#[test]
fn wrong_procedures_are_refused_at_their_place() {
    let directory = place(WORKLOAD);
    let refused = |from: &str, to: &str, words: &str| {
        assert!(PROCEDURE.contains(from), "{from}");
        fs::write(directory.path().join("steps.toml"), PROCEDURE.replace(from, to))
            .expect("a writable directory");
        let run = cosparse(directory.path(), &compress("out", "cache"));
        assert_eq!(run.code, 2, "{to}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{to}: {}", run.stderr);
        assert!(run.stderr.contains("steps.toml"), "{}", run.stderr);
    };
    refused("fc1 = 0.3", "fc1 = 1.5", "not in (0, 1]");
    refused("fc1 = 0.3", "fc1 = 0", "not in (0, 1]");
    refused("fc1 = 0.3", "fc9 = 0.3", "fc9");
    refused("fc2 = 4 }", "fc2 = 40 }", "40 bits");
    refused("fc2 = 4 }", "fc2 = 0 }", "0 bits");
    refused("growth = 2 }", "grows = 2 }", "growth");
    refused("weights = [600, 300]", "weights = [0]", "0");
    refused("density = { fc1 = 0.3 }", "", "either `density`");
    refused(
        "weights = [600, 300]",
        "density = { conv = 0.5 }\nstructure = { kind = \"pattern\", entries = 9, library = 4 }",
        "structure",
    );
    refused("bits = [{", "portions = [0.8, 0.5]\nbits = [{", "ascending");
    refused(
        "max-drop = 20",
        "max-drop = 20\nactivation-bits = [1]",
        "activation-bits",
    );
    refused("kind = \"levels\"", "kind = \"level\"", "levels");
    let run = cosparse(
        directory.path(),
        &["compress", "net.toml", "--procedure", "lenet5-thoroug"],
    );
    assert_eq!(run.code, 2);
    insta::assert_snapshot!("no_such_procedure", in_directory(&run));
}

const PENALTIES: &str = r#"source = "made up for this test"
max-drop = 20

[[step]]
kind = "reweight"
name = "light"
layers = ["fc1"]
structure = { kind = "block", rows = 4, cols = 4 }
lambda = [0.02, 2]
rounds = 3
round = { epochs = 2, rate = 3e-3 }
retrain = { epochs = 1, rate = 3e-3 }

[[step]]
kind = "dynamic"
name = "rising"
structure = "filter"
layers = ["fc1"]
weights = [1000]
rounds = 3
rise = 5
round = { epochs = 1, rate = 3e-3 }
retrain = { epochs = 1, rate = 3e-3 }

[[step]]
kind = "prune"
name = "blocks"
weights = [600]
structure = { kind = "block-row", cols = 3 }
admm = { iterations = 2, epochs = 1, rate = 3e-3, rho = 1e-2, growth = 2 }
retrain = { epochs = 1, rate = 3e-3 }
"#;

#[test]
fn penalties_need_no_target_for_a_layer() {
    let directory = place(WORKLOAD);
    fs::write(directory.path().join("steps.toml"), PENALTIES).expect("a writable directory");
    let run = with_threads(directory.path(), &compress("one", "c1"), "1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let again = with_threads(directory.path(), &compress("two", "c2"), "2");
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(
        files(&directory.path().join("one")),
        files(&directory.path().join("two"))
    );
    let steps = rows(&directory.path().join("one"), "steps.csv");
    let of = |step: &str, layer: &str| -> u64 {
        let row = steps.iter().find(|r| &r[1] == step && &r[2] == layer);
        row.expect("a row of the layer")[4].parse().expect("a count")
    };
    // a larger parameter leaves fewer weights; layers that are not named keep theirs
    let (light, heavy) = (of("light-0.02", "fc1"), of("light-2", "fc1"));
    assert!(heavy < light && heavy > 0, "{heavy} of {light}");
    assert_eq!(of("light-0.02", "conv"), 54);
    assert!(of("rising-1000", "fc1") <= 1000);
    let all: u64 = ["conv", "fc1", "fc2"].iter().map(|l| of("blocks-600", l)).sum();
    assert!(all <= 600, "{all}");
    // round by round, fewer groups are above the threshold, and what leaves comes to less
    let rows = rows(&directory.path().join("one"), "admm.csv");
    let column = |step: &str, column: usize| -> Vec<f64> {
        let rows = rows.iter().filter(|r| &r[1] == step && &r[4] == "fc1");
        rows.map(|r| r[column].parse().expect("a number")).collect()
    };
    let (kept, residual) = (column("light-2", 9), column("rising-1000", 7));
    assert!(kept.len() == 3 && kept[2] < kept[0], "{kept:?}");
    assert!(residual.len() == 3 && residual[2] < residual[0], "{residual:?}");
}

#[test]
fn wrong_penalties_are_refused_at_their_place() {
    let directory = place(WORKLOAD);
    for (from, to, words) in [
        ("[\"fc1\"]", "[\"fc9\"]", "fc9"),
        ("[0.02, 2]", "[0]", "lambda"),
        ("[0.02, 2]", "[]", "lambda"),
        ("rows = 4, cols = 4", "rows = 400, cols = 4", "smaller blocks"),
        ("\"filter\"", "\"balanced-rows\"", "no groups"),
        (
            "lambda =",
            "weights = 9\ndensity = { fc1 = 0.5 }\nlambda =",
            "not both",
        ),
        (
            "lambda =",
            "density = { fc1 = 0.5 }\nlambda =",
            "leave `layers` out",
        ),
        ("rise = 5", "rise = 0", "rise"),
        (
            "{ kind = \"block-row\", cols = 3 }",
            "\"balanced-rows\"",
            "no groups",
        ),
    ] {
        assert!(PENALTIES.contains(from), "{from}");
        let text = PENALTIES.replacen(from, to, 1);
        fs::write(directory.path().join("steps.toml"), text).expect("a writable directory");
        let run = cosparse(directory.path(), &compress("out", "cache"));
        assert_eq!(run.code, 2, "{to}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{to}: {}", run.stderr);
        assert!(run.stderr.contains("steps.toml"), "{}", run.stderr);
    }
}
