//! Robust training from the outside: what it writes, that it repeats itself to the byte, and what it refuses.

mod command;
mod tiny;

use command::{cosparse, in_directory, with_threads};
use cosparse::training::robust::{Robustness, zoo};
use std::fs;
use std::path::Path;
use tiny::{WORKLOAD, files, place};

const SPEC: &str = r#"source = "made up for this test"
gamma = 0.5
step = 0.05

[[domain]]
name = "clean"
change = { kind = "clean" }

[[domain]]
name = "attack"
change = { kind = "pgd", norm = "linf", radius = 0.15, step-size = 0.08, steps = 2, test-steps = 6 }

[[domain]]
name = "moved"
change = { kind = "shift", pixels = 1 }

[[domain]]
name = "noisy"
train = false
change = { kind = "noise", deviation = 0.1 }
"#;

fn train<'a>(out: &'a str, spec: &'a str) -> [&'a str; 9] {
    [
        "--quiet", "train", "net.toml", "--epochs", "3", "--out", out, "--robust", spec,
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
fn weights_and_accuracies_are_written_and_repeat_on_any_threads() {
    let directory = place(WORKLOAD);
    fs::write(directory.path().join("spec.toml"), SPEC).expect("a writable directory");
    let run = with_threads(directory.path(), &train("one", "spec.toml"), "1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let again = with_threads(directory.path(), &train("two", "spec.toml"), "2");
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(run.stdout, again.stdout);
    let out = directory.path().join("one");
    assert_eq!(files(&out), files(&directory.path().join("two")));

    // run, epoch, domain, weight, loss, accuracy_pct
    let log = rows(&out, "robust.csv");
    assert_eq!(log.len(), 9);
    for epoch in log.chunks(3) {
        let names: Vec<&str> = epoch.iter().map(|r| &r[2]).collect();
        assert_eq!(names, ["clean", "attack", "moved"]);
        let number = |r: &csv::StringRecord, i: usize| r[i].parse::<f64>().expect("a number");
        let weights: f64 = epoch.iter().map(|r| number(r, 3)).sum();
        assert!((weights - 1.0).abs() < 1e-9, "{epoch:?}");
        assert!(
            number(&epoch[1], 3) > number(&epoch[0], 3),
            "the attack is harder: {epoch:?}"
        );
        assert!(epoch.iter().all(|r| number(r, 5) > 20.0), "{epoch:?}");
    }
    // run, network, domain, trained, accuracy_pct, loss
    let test = rows(&out, "robust-test.csv");
    let names: Vec<&str> = test.iter().map(|r| &r[2]).collect();
    assert_eq!(names, ["clean", "attack", "moved", "noisy", "worst", "every"]);
    let accuracy = |i: usize| test[i][4].parse::<f64>().expect("a number");
    let lowest = (0..4).map(accuracy).fold(100.0, f64::min);
    assert!((accuracy(4) - lowest).abs() < 1e-12 && accuracy(5) <= lowest);
    assert!(
        run.stdout.contains("validation of the worst domain"),
        "{}",
        run.stdout
    );
}

/// Against the same attack, the network that was trained on it holds better than one that was not.
#[test]
fn training_on_an_attack_helps_against_it() {
    let directory = place(WORKLOAD);
    let spec = SPEC.replace("0.15", "0.2");
    fs::write(directory.path().join("with.toml"), &spec).expect("a writable directory");
    let without = spec.replace("name = \"attack\"\n", "name = \"attack\"\ntrain = false\n");
    fs::write(directory.path().join("without.toml"), without).expect("a writable directory");
    let attacked = |name: &str| -> f64 {
        let run = cosparse(directory.path(), &train(name, &format!("{name}.toml")));
        assert_eq!(run.code, 0, "{}", run.stderr);
        rows(&directory.path().join(name), "robust-test.csv")[1][4]
            .parse()
            .expect("a number")
    };
    let (with, without) = (attacked("with"), attacked("without"));
    assert!(with > without, "{with} against {without}");
}

#[test]
fn wrong_files_are_refused_at_their_place() {
    let directory = place(WORKLOAD);
    let refused = |from: &str, to: &str, words: &str| {
        assert!(SPEC.contains(from), "{from}");
        fs::write(directory.path().join("spec.toml"), SPEC.replace(from, to)).expect("a writable directory");
        let run = cosparse(directory.path(), &train("out", "spec.toml"));
        assert_eq!(run.code, 2, "{to}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{to}: {}", run.stderr);
        assert!(run.stderr.contains("spec.toml"), "{}", run.stderr);
    };
    refused("radius = 0.15", "radius = 0", "radius");
    refused("radius = 0.15", "radius = -0.1", "radius");
    refused("steps = 2", "steps = 0", "steps");
    refused("gamma = 0.5", "gamma = -1", "gamma");
    refused("step = 0.05", "step = nan", "finite");
    refused("\"linf\"", "\"l3\"", "linf");
    refused("kind = \"pgd\"", "kind = \"pdg\"", "pgd");
    refused("name = \"moved\"", "name = \"clean\"", "two domains");
    refused("test-steps = 6", "test-step = 6", "test-steps");
    let spec = SPEC.replace("name = ", "train = false\nname = ").replacen(
        "train = false\ntrain = false",
        "train = false",
        1,
    );
    let spec = spec.replace("name = \"noisy\"\ntrain = false", "name = \"noisy\"");
    fs::write(directory.path().join("spec.toml"), spec).expect("a writable directory");
    let run = cosparse(directory.path(), &train("out", "spec.toml"));
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("no domain is trained on"), "{}", run.stderr);

    let run = cosparse(directory.path(), &train("out", "mnist-lin"));
    assert_eq!(run.code, 2);
    insta::assert_snapshot!("no_such_robustness", in_directory(&run));
}

/// Sentences have no pixels to attack.
#[test]
fn sentences_are_refused() {
    let directory = place(WORKLOAD);
    fs::create_dir_all(directory.path().join("text")).expect("a writable directory");
    for name in ["train", "test", "dev"] {
        fs::write(
            directory.path().join(format!("text/{name}.tsv")),
            "a good film\t1\na bad film\t0\na good day\t1\na bad day\t0\n",
        )
        .expect("a writable directory");
    }
    let workload = r#"name = "words"
description = "a table of words and one layer"
source = "made up for this test"
input = { name = "tokens", shape = [4] }

[data]
format = "text-tsv"
directory = "text"
validation = 1

[training]
optimiser = "adam"
epochs = 1
batch = 2
learning-rate = 1e-3
schedule = "cosine"

[[layer]]
name = "table"
op = "embedding"
vocabulary = 16
features = 4

[[layer]]
name = "flatten"
op = "flatten"

[[layer]]
name = "out"
op = "linear"
out-features = 2
"#;
    fs::write(directory.path().join("net.toml"), workload).expect("a writable directory");
    let run = cosparse(directory.path(), &train("out", "mnist-linf"));
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("sentences"), "{}", run.stderr);
}

/// What is shipped is correct, and listed.
#[test]
fn shipped_files_are_correct() {
    let listed = cosparse(Path::new("."), &["workload", "robustness"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    for (name, _) in zoo::list() {
        let source = zoo::find(name).expect("it is listed");
        let file: Robustness = source.parse().expect("it is correct");
        assert!(file.faults(&source).is_empty());
        assert!(listed.stdout.contains(name), "{}", listed.stdout);
    }
}

const PROCEDURE: &str = r#"source = "made up for this test"
max-drop = 30

[[step]]
kind = "prune"
name = "cut"
weights = [700]
admm = { iterations = 2, epochs = 1, rate = 3e-3, rho = 1e-2, growth = 2 }
retrain = { epochs = 2, rate = 3e-3 }

[[step]]
kind = "levels"
name = "levels"
bits = [{ conv = 4, fc1 = 4, fc2 = 4 }]
admm = { iterations = 2, epochs = 1, rate = 1e-3, rho = 1e-2, growth = 2 }
retrain = { epochs = 1, rate = 1e-3 }
"#;

/// ADMM under adversarial training: every stage has its weights, every chosen network its accuracy in every domain, and a
/// run that finds its stages again writes the same bytes.
#[test]
fn compressed_networks_are_trained_and_measured_against_attacks() {
    let directory = place(&WORKLOAD.replace("epochs = 6", "epochs = 4"));
    fs::write(directory.path().join("spec.toml"), SPEC).expect("a writable directory");
    fs::write(directory.path().join("steps.toml"), PROCEDURE).expect("a writable directory");
    let arguments = |out: &'static str, robust: bool| {
        let mut all = vec![
            "--quiet",
            "compress",
            "net.toml",
            "--procedure",
            "steps.toml",
            "--cache",
            "cache",
        ];
        all.extend(["--out", out]);
        if robust {
            all.extend(["--robust", "spec.toml"]);
        }
        all
    };
    let run = with_threads(directory.path(), &arguments("one", true), "1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let again = with_threads(directory.path(), &arguments("two", true), "2");
    assert_eq!(again.code, 0, "{}", again.stderr);
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    assert_eq!(files(&one), files(&two));

    let log = rows(&one, "robust.csv");
    let stages: Vec<&str> = log.iter().step_by(3).map(|r| &r[1]).collect();
    assert!(stages[0] == "dense" && stages.contains(&"cut-700"), "{stages:?}");
    let test = rows(&one, "robust-test.csv");
    let networks: Vec<&str> = test.iter().step_by(6).map(|r| &r[1]).collect();
    assert_eq!(networks, ["dense", "pruned", "levels"]);
    let head = csv::Reader::from_path(one.join("chosen.csv"))
        .expect("the run wrote it")
        .headers()
        .expect("a head")
        .clone();
    let column = |name: &str| head.iter().position(|h| h == name).expect("a column");
    let (worst, every) = (column("robust_worst_pct"), column("robust_every_pct"));
    for (chosen, test) in rows(&one, "chosen.csv").iter().zip(test.chunks(6)) {
        let of = |cell: &str| cell.parse::<f64>().expect("a number");
        assert!((of(&chosen[worst]) - of(&test[4][4])).abs() < 1e-5);
        assert!((of(&chosen[every]) - of(&test[5][4])).abs() < 1e-5);
        assert!(of(&chosen[worst]) > 25.0, "better than a guess: {chosen:?}");
    }

    // without the attacks the stages are others, and the columns are empty
    let plain = cosparse(directory.path(), &arguments("plain", false));
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    let chosen = rows(&directory.path().join("plain"), "chosen.csv");
    assert!(chosen.iter().all(|r| r[worst].is_empty()));
    assert_ne!(
        fs::read(one.join("dense.safetensors")).expect("written"),
        fs::read(directory.path().join("plain/dense.safetensors")).expect("written")
    );
}
