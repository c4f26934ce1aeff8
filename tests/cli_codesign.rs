//! The main job from the outside, on a small made-up data set: what it writes, that it repeats itself to the byte
//! on any number of threads and after a kill, and how it fails.

mod command;
mod tiny;

use command::{Run, cosparse, in_directory, with_threads};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tiny::{WORKLOAD, files, place};

fn arguments<'a>(out: &'a str, cache: &'a str) -> Vec<&'a str> {
    vec![
        "codesign",
        "net.toml",
        "--hw",
        "admm-nn-40nm",
        "--preset",
        "quick",
        "--max-drop",
        "2",
        "--out",
        out,
        "--cache",
        cache,
    ]
}

fn rows(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(bytes)
        .deserialize()
        .map(|row| row.expect("a row under a header"))
        .collect()
}

fn ok(run: &Run) {
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
}

#[test]
fn reports_are_whole_and_repeat_on_any_threads_and_after_a_kill() {
    let directory = place(WORKLOAD);
    let at = directory.path();
    ok(&with_threads(at, &arguments("one", "cache-one"), "1"));
    let one = files(&at.join("one"));

    // threads do not matter, neither do the places of reports and cache
    ok(&with_threads(at, &arguments("deep/two", "cache-two"), "2"));
    assert!(
        one == files(&at.join("deep/two")),
        "one and two threads give the same bytes"
    );

    // killed when its second stage is kept, started again: the same bytes
    let mut child = Command::new(env!("CARGO_BIN_EXE_cosparse"))
        .args(arguments("killed", "cache-killed"))
        .current_dir(at)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let kept = || {
        fs::read_dir(at.join("cache-killed")).map_or(0, |d| {
            d.filter_map(Result::ok)
                .filter(|e| e.path().extension().is_some_and(|x| x == "safetensors"))
                .count()
        })
    };
    let began = Instant::now();
    while kept() < 2 && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it still runs, or has just ended");
    child.wait().expect("it ends");
    assert!(kept() >= 2, "stages are kept while the job runs");
    ok(&cosparse(at, &arguments("killed", "cache-killed")));
    assert!(
        one == files(&at.join("killed")),
        "a killed job gives the same bytes when it is started again"
    );

    reports_agree(&one);
}

/// Each candidate's activations are counted on its own weights; targets, weights and accuracies stay, and so do costs
/// but for zeros that are gated or skipped.
#[test]
fn candidates_may_be_costed_with_measured_activations() {
    let directory = place(WORKLOAD);
    let at = directory.path();
    let with = |out: &'static str, more: &[&'static str]| {
        let mut all = arguments(out, "cache");
        let hw = all.iter().position(|a| *a == "--hw").expect("a profile") + 1;
        all[hw] = "eyeriss-65nm";
        all.extend(more);
        cosparse(at, &all)
    };
    ok(&with("given", &[]));
    ok(&with(
        "measured",
        &["--activations", "measured", "--activation-samples", "64"],
    ));
    let (given, measured) = (files(&at.join("given")), files(&at.join("measured")));
    let mut counted = 0;
    for (path, bytes) in &measured {
        let name = path.to_string_lossy();
        if name.starts_with("activations-") {
            counted += 1;
            let rows = rows(bytes);
            let layers: Vec<&str> = rows.iter().map(|row| row["layer"].as_str()).collect();
            assert_eq!(layers, ["conv", "fc1", "fc2"]);
            // 64 samples of 64 pixels, 216 features and 32 units
            let elements: Vec<&str> = rows.iter().map(|row| row["elements"].as_str()).collect();
            assert_eq!(elements, ["4096", "13824", "2048"]);
        } else if name.starts_with("model") || name.starts_with("recipe") || name == "admm.csv" {
            let same = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("measured", "given");
            assert_eq!(
                same(bytes),
                same(given.get(path).expect("the same files")),
                "{name}"
            );
        }
    }
    let layers = |files: &BTreeMap<PathBuf, Vec<u8>>| rows(&files[Path::new("layers.csv")]);
    let (given, measured) = (layers(&given), layers(&measured));
    assert_eq!(counted * 3, measured.len());
    let number = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<f64>().expect("a number");
    for (given, measured) in given.iter().zip(&measured) {
        assert_eq!(
            [&given["activation_source"], &measured["activation_source"]],
            ["assumed", "measured"]
        );
        assert!(number(measured, "activation_density") <= number(given, "activation_density"));
        assert!(number(measured, "energy_mac_pj") <= number(given, "energy_mac_pj"));
    }
    assert!(
        measured.iter().any(|row| number(row, "activation_density") < 1.0),
        "some unit is off"
    );

    let refused = with("idle", &["--activation-samples", "64"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("--activations measured"));
    let refused = with(
        "many",
        &["--activations", "measured", "--activation-samples", "100000"],
    );
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("to train on"));
}

/// Candidates, sizes and sums of one run.
fn reports_agree(files: &BTreeMap<PathBuf, Vec<u8>>) {
    let file = |name: &str| {
        files
            .get(Path::new(name))
            .unwrap_or_else(|| panic!("no {name} among {:?}", files.keys()))
    };
    let summary = rows(file("summary.csv"));
    let names: Vec<&str> = summary.iter().map(|r| r["candidate"].as_str()).collect();
    assert_eq!(names, ["dense", "size", "energy"]);
    let layers = rows(file("layers.csv"));
    assert_eq!(
        layers.len(),
        3 * 3,
        "three candidates, three layers that multiply"
    );
    for row in &summary {
        let own: Vec<_> = layers
            .iter()
            .filter(|l| l["candidate"] == row["candidate"])
            .collect();
        for column in ["kept", "weights", "cycles", "macs_left"] {
            let sum: u64 = own
                .iter()
                .map(|l| l[column].parse::<u64>().expect("a count"))
                .sum();
            assert_eq!(sum.to_string(), row[column], "{column} of {}", row["candidate"]);
        }
        let prefix = format!("model/{}/", row["candidate"]);
        let packed: usize = files
            .iter()
            .filter(|(path, _)| path.to_string_lossy().starts_with(&prefix))
            .map(|(_, bytes)| bytes.len())
            .sum();
        assert_eq!(packed.to_string(), row["model_bytes"], "sizes are file sizes");
        assert_eq!(row["accuracy_source"], "measured on the test set");
        // the packed layers hold as many weights as the report says
        for layer in &own {
            let path = files.keys().find(|p| {
                p.to_string_lossy().starts_with(&prefix)
                    && p.to_string_lossy()
                        .ends_with(&format!("-{}.cspl", layer["layer"]))
            });
            let bytes = &files[path.expect("a file per layer")];
            let unpacked = cosparse::compression::pack::unpack(bytes).expect("a packed layer");
            assert_eq!(
                unpacked.values.iter().filter(|&&v| v != 0.0).count().to_string(),
                layer["kept"]
            );
        }
        assert!(files.contains_key(Path::new(&format!("model/{}.safetensors", row["candidate"]))));
        assert!(files.contains_key(Path::new(&format!("recipe-{}.toml", row["candidate"]))));
    }
    let number = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<f64>().expect("a number");
    assert!(
        number(&summary[1], "weights_ratio") > 2.0,
        "chosen for size is smaller than dense"
    );
    assert!(
        number(&summary[2], "energy_pj") <= number(&summary[1], "energy_pj") * 1.000_001,
        "chosen for energy takes no more than chosen for size"
    );
    assert!(!rows(file("admm.csv")).is_empty());
    let record = String::from_utf8_lossy(file("run.toml"));
    assert!(
        record.contains("seed = 1") && record.contains("[data]") && !record.contains("cache"),
        "{record}"
    );
}

#[test]
fn a_truncated_data_file_is_bad_input() {
    let directory = place(WORKLOAD);
    let path = directory.path().join("data/train-images-idx3-ubyte");
    let bytes = fs::read(&path).expect("it was written");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("a writable directory");
    let run = cosparse(directory.path(), &arguments("out", "cache"));
    assert_eq!(run.code, 2);
    insta::assert_snapshot!("truncated_idx", in_directory(&run));
}

#[test]
fn no_data_are_bad_input() {
    let directory = place(WORKLOAD);
    let gone = cosparse(
        directory.path(),
        &[arguments("out", "cache"), vec!["--data", "nowhere"]].concat(),
    );
    assert_eq!(gone.code, 2);
    insta::assert_snapshot!("missing_data", in_directory(&gone));
    let none = cosparse(directory.path(), &["codesign", "alexnet", "--hw", "admm-nn-40nm"]);
    assert_eq!(none.code, 2);
    insta::assert_snapshot!("no_data", in_directory(&none));
    let other = cosparse(
        directory.path(),
        &["codesign", "lenet5", "--hw", "admm-nn-40nm", "--data", "data"],
    );
    assert_eq!(other.code, 2);
    insta::assert_snapshot!("other_data", in_directory(&other));
}

#[test]
fn a_loss_that_is_not_a_number_fails_the_job() {
    let directory = place(&WORKLOAD.replace("learning-rate = 5e-3", "learning-rate = 1e30"));
    let run = cosparse(directory.path(), &arguments("out", "cache"));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(run.stdout, "");
    assert!(!directory.path().join("out/summary.csv").exists());
    insta::assert_snapshot!("nan_loss", in_directory(&run));
}

#[test]
fn an_unwritable_cache_is_refused_before_anything_is_trained() {
    let directory = place(WORKLOAD);
    fs::write(directory.path().join("file"), "not a directory").expect("a writable directory");
    let run = cosparse(directory.path(), &arguments("out", "file/cache"));
    assert_eq!(run.code, 2);
    insta::assert_snapshot!("unwritable_cache", in_directory(&run));
}
