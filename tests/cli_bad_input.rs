//! Bad input, verb by verb: a clear error with place and cure, and exit code 2.

mod command;

use command::{cosparse, in_directory};
use std::fs;
use std::path::Path;

const PROFILE: &str = include_str!("../hw_profiles/admm-nn-40nm.toml");

const WORKLOAD: &str = r#"name = "tiny"
description = "Two convolutions and a classifier."
source = "made up for this test"
input = { name = "image", shape = [1, 8, 8] }

[[layer]]
name = "conv1"
op = "conv"
out-channels = 4
kernel = 3

[[layer]]
name = "conv2"
op = "conv"
out-channels = 4
kernel = 3

[[layer]]
name = "flatten"
op = "flatten"

[[layer]]
name = "fc"
op = "linear"
out-features = 10
"#;

/// The one place where a text stands, replaced.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the fixture has lost `{from}`");
    text.replacen(from, to, 1)
}

/// Runs the verbs on a workload and a profile of these texts, and keeps their screens.
fn refused(name: &str, verbs: &[&str], workload: &str, profile: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("net.toml"), workload).expect("a writable directory");
    fs::write(directory.path().join("chip.toml"), profile).expect("a writable directory");
    for verb in verbs {
        refused_in(
            directory.path(),
            name,
            &[verb, "net.toml", "--hw", "chip.toml", "--out", "out"],
        );
        assert!(
            !directory.path().join("out/layers.csv").exists(),
            "{name}: nothing is reported"
        );
    }
}

fn refused_in(directory: &Path, name: &str, arguments: &[&str]) {
    let run = cosparse(directory, arguments);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{name}: {}", run.stderr);
    assert!(
        run.stderr.contains("help:"),
        "{name} names no cure:\n{}",
        run.stderr
    );
    insta::assert_snapshot!(format!("{name}_{}", arguments[0]), in_directory(&run));
}

const VERBS: &[&str] = &["breakeven", "codesign", "estimate"];

/// The fixtures are right but for what each test breaks.
#[test]
fn the_fixtures_are_good() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("net.toml"), WORKLOAD).expect("a writable directory");
    fs::write(directory.path().join("chip.toml"), PROFILE).expect("a writable directory");
    for verb in ["breakeven", "estimate"] {
        let run = cosparse(directory.path(), &[verb, "net.toml", "--hw", "chip.toml"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
}

#[test]
fn missing_files() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for verb in VERBS {
        refused_in(
            directory.path(),
            "missing_workload",
            &[verb, "nets/none.toml", "--hw", "admm-nn-40nm"],
        );
        refused_in(
            directory.path(),
            "missing_profile",
            &[verb, "lenet5", "--hw", "chips/none.toml"],
        );
        refused_in(
            directory.path(),
            "misspelt_names",
            &[verb, "lenet-5", "--hw", "admm-nn-40nm"],
        );
    }
}

#[test]
fn unknown_key() {
    refused(
        "unknown_key",
        VERBS,
        WORKLOAD,
        &with(PROFILE, "weight-bits = 16", "wieght-bits = 16\ncolour = \"blue\""),
    );
    refused(
        "unknown_workload_key",
        VERBS,
        &with(WORKLOAD, "kernel", "kernal"),
        PROFILE,
    );
}

#[test]
fn wrong_unit() {
    refused(
        "wrong_unit",
        VERBS,
        WORKLOAD,
        &with(
            &with(PROFILE, "\"500 MHz\"", "\"500 pJ\""),
            "\"4 MiB\"",
            "\"4194304\"",
        ),
    );
}

#[test]
fn zero_array() {
    refused(
        "zero_array",
        VERBS,
        WORKLOAD,
        &with(PROFILE, "pes = 128", "pes = 0"),
    );
}

#[test]
fn layer_too_large_for_its_buffer() {
    refused(
        "too_large",
        VERBS,
        WORKLOAD,
        &with(PROFILE, "\"4 MiB\"", "\"40 bit\""),
    );
}

#[test]
fn cyclic_graph() {
    refused(
        "cycle",
        VERBS,
        &with(
            WORKLOAD,
            "name = \"conv1\"\n",
            "name = \"conv1\"\ninputs = [\"conv2\"]\n",
        ),
        PROFILE,
    );
}

#[test]
fn shape_mismatch() {
    refused(
        "shape",
        VERBS,
        &with(WORKLOAD, "shape = [1, 8, 8]", "shape = [1, 4, 4]"),
        PROFILE,
    );
}

#[test]
fn unwritable_output() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("file"), "not a directory").expect("a writable directory");
    for verb in VERBS {
        refused_in(
            directory.path(),
            "unwritable",
            &[verb, "lenet5", "--hw", "admm-nn-40nm", "--out", "file/out"],
        );
    }
}

#[test]
fn no_pair_of_engines() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    refused_in(
        directory.path(),
        "no_pair",
        &["breakeven", "lenet5", "--hw", "tpu-v1-28nm"],
    );
    refused_in(
        directory.path(),
        "unknown_layer",
        &["breakeven", "lenet5", "--hw", "admm-nn-40nm", "--layer", "conv3"],
    );
    refused_in(
        directory.path(),
        "twice",
        &[
            "estimate",
            "lenet5",
            "--hw",
            "admm-nn-40nm",
            "--hw",
            "admm-nn-40nm",
        ],
    );
}

#[test]
fn a_memory_that_may_hold_no_weights() {
    refused(
        "no_weights",
        &["estimate"],
        WORKLOAD,
        &with(
            PROFILE,
            "holds = [\"weights\", \"indices\"]",
            "holds = [\"indices\"]",
        ),
    );
}

#[test]
fn energies_below_zero_or_no_number() {
    let pj = PROFILE.find("multiply = \"").expect("an energy") + "multiply = \"".len();
    let end = pj + PROFILE[pj..].find('"').expect("its end");
    for (name, energy) in [
        ("negative", "-0.5 pJ"),
        ("nan", "NaN pJ"),
        ("infinite", "inf pJ"),
        ("huge", "1e400 pJ"),
    ] {
        let profile = format!("{}{energy}{}", &PROFILE[..pj], &PROFILE[end..]);
        refused(&format!("energy_{name}"), &["estimate"], WORKLOAD, &profile);
    }
}

/// Fusion units take 16 bits at most, serial ones too.
#[test]
fn an_engine_without_the_precision() {
    let fusion = include_str!("../hw_profiles/bitfusion-like-45nm.toml");
    refused(
        "precision",
        &["estimate"],
        WORKLOAD,
        &with(fusion, "weight-bits = 8", "weight-bits = 32"),
    );
}

#[test]
fn channels_that_overflow() {
    refused(
        "channels",
        VERBS,
        &with(WORKLOAD, "out-channels = 4", "out-channels = 1_099_511_627_776"),
        PROFILE,
    );
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("net.toml"), WORKLOAD).expect("a writable directory");
    refused_in(
        directory.path(),
        "batch",
        &[
            "estimate",
            "net.toml",
            "--hw",
            "admm-nn-40nm",
            "--batch",
            "18446744073709551615",
        ],
    );
}

#[test]
fn a_pinned_tile_that_is_too_large() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("net.toml"), WORKLOAD).expect("a writable directory");
    fs::write(
        directory.path().join("chip.toml"),
        with(PROFILE, "\"4 MiB\"", "\"600 bit\""),
    )
    .expect("a writable directory");
    fs::write(
        directory.path().join("tiles.toml"),
        "name = \"tiles\"\ndescription = \"One tile.\"\nsource = \"made up for this test\"\n\n[layer.conv2]\nchannels = 4\nrows = 4\norder = \"rows-outer\"\n",
    )
    .expect("a writable directory");
    refused_in(
        directory.path(),
        "pinned_tile",
        &[
            "estimate",
            "net.toml",
            "--hw",
            "chip.toml",
            "--mapping",
            "tiles.toml",
        ],
    );
}

/// Masks whose text does not hold together.
#[test]
fn masks_with_faults() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("net.toml"), WORKLOAD).expect("a writable directory");
    for (name, text) in [
        ("empty", ""),
        ("huge", "1099511627776, 1099511627776, 1\n0 1\n0\n"),
        ("overflow", "99999999999999999999999, 64, 1\n0\n\n"),
        ("no_number", "10, x, 3\n"),
        ("column", "10, 64, 1\n0 1 1 1 1 1 1 1 1 1 1\n64\n"),
        ("shape", "2, 10, 1\n0 1 1\n3\n"),
    ] {
        let masks = directory.path().join(name);
        fs::create_dir(&masks).expect("a directory");
        fs::write(masks.join("fc.smtx"), text).expect("a file");
        refused_in(
            directory.path(),
            &format!("mask_{name}"),
            &["estimate", "net.toml", "--hw", "admm-nn-40nm", "--masks", name],
        );
    }
}
