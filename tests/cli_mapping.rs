//! Mapping files on the command line: what they do, and what a wrong one is told.

mod command;

use command::{cosparse, in_directory};
use std::fs;

const MAPPING: &str = include_str!("../workloads/mappings/alexnet-eyeriss.toml");
const PROFILE: &str = include_str!("../hw_profiles/eyeriss-65nm.toml");

/// The one place where a text stands, replaced.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the fixture has lost `{from}`");
    text.replacen(from, to, 1)
}

/// Estimates `AlexNet`, batch 4, with this mapping file; the run must be refused, and its screen is kept.
fn refused(name: &str, mapping: &str, profile: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("map.toml"), mapping).expect("a writable directory");
    fs::write(directory.path().join("chip.toml"), profile).expect("a writable directory");
    let arguments = [
        "estimate",
        "alexnet",
        "--hw",
        "chip.toml",
        "--batch",
        "4",
        "--mapping",
        "map.toml",
        "--out",
        "out",
    ];
    let run = cosparse(directory.path(), &arguments);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{name}: {}", run.stderr);
    assert!(
        run.stderr.contains("help:"),
        "{name} names no cure:\n{}",
        run.stderr
    );
    assert!(
        !directory.path().join("out/layers.csv").exists(),
        "{name}: nothing is reported"
    );
    insta::assert_snapshot!(name, in_directory(&run));
}

#[test]
fn the_chips_mapping_is_run_and_shown() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("map.toml"), MAPPING).expect("a writable directory");
    let arguments = [
        "estimate",
        "alexnet",
        "--hw",
        "eyeriss-65nm",
        "--batch",
        "4",
        "--mapping",
        "map.toml",
        "--show-mapping",
        "--out",
        "out",
    ];
    let run = cosparse(directory.path(), &arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let shown = run.stdout.find("conv3: rs-12x14").expect("the loops of conv3");
    insta::assert_snapshot!(
        "loops",
        run.stdout[shown..].lines().take(9).collect::<Vec<_>>().join("\n")
    );
    let rows = fs::read_to_string(directory.path().join("out/layers.csv")).expect("written");
    assert!(rows.contains("rs-12x14 m=96 n=1 e=7 p=16 q=1 r=1 t=2"), "{rows}");
}

#[test]
fn a_mapping_that_does_not_fit() {
    // too many sets, too many words in a register file, too many banks, more than the layer has
    refused(
        "too_many_sets",
        &with(
            MAPPING,
            "e = 7\np = 16\nq = 1\nr = 1\nt = 2",
            "e = 7\np = 16\nq = 1\nr = 1\nt = 3",
        ),
        PROFILE,
    );
    refused("registers", &with(MAPPING, "q = 2", "q = 3"), PROFILE);
    refused(
        "banks",
        &with(MAPPING, "m = 64\nn = 4\ne = 13", "m = 96\nn = 4\ne = 13"),
        PROFILE,
    );
    refused(
        "more_groups",
        &with(MAPPING, "[layer.conv2]", "[layer.conv2]\ng = 3"),
        PROFILE,
    );
    refused("batch", &with(MAPPING, "n = 1\ne = 7", "n = 8\ne = 7"), PROFILE);
}

#[test]
fn a_mapping_file_with_faults() {
    refused(
        "unknown_layer",
        &with(MAPPING, "[layer.conv5]", "[layer.conv6]"),
        PROFILE,
    );
    refused(
        "zero",
        &with(&with(MAPPING, "q = 2", "q = 0"), "e = 7", "e = 0"),
        PROFILE,
    );
    refused("unknown_key", &with(MAPPING, "m = 96", "M = 96"), PROFILE);
    refused(
        "another_engine",
        MAPPING,
        include_str!("../hw_profiles/nvdla-like-28nm.toml"),
    );
}

#[test]
fn a_profile_with_faults() {
    refused("no_rows", MAPPING, &with(PROFILE, "rows = 12", "rows = 0"));
    refused(
        "more_banks_than_buffer",
        MAPPING,
        &with(PROFILE, "banks = 25", "banks = 26"),
    );
    let trees = include_str!("../hw_profiles/nvdla-like-28nm.toml");
    refused("no_kernels", MAPPING, &with(trees, "kernels = 32", "kernels = 0"));
}

/// `AlexNet`'s conv1 has a kernel of 11 rows.
#[test]
fn a_kernel_taller_than_the_array() {
    let unmapped = MAPPING.find("[layer.conv1]").expect("a table");
    let rest = MAPPING.find("[layer.conv2]").expect("a table");
    let without_conv1 = format!("{}{}", &MAPPING[..unmapped], &MAPPING[rest..]);
    refused("kernel", &without_conv1, &with(PROFILE, "rows = 12", "rows = 10"));
}

/// A depthwise layer between two convolutions.
const MOBILE: &str = r#"
name = "mobile"
description = "a depthwise layer between two convolutions"
source = "made for this test"
input = { name = "image", shape = [3, 32, 32] }

[[layer]]
name = "conv1"
op = "conv"
out-channels = 32
kernel = 3
padding = 1

[[layer]]
name = "depthwise"
op = "conv"
out-channels = 32
kernel = 3
padding = 1
groups = 32

[[layer]]
name = "grouped"
op = "conv"
out-channels = 64
kernel = 3
padding = 1
groups = 4
"#;

/// Estimates [`MOBILE`] on a shipped profile; `layers` are the tables of the mapping file, if there is one.
fn mobile(profile: &str, layers: Option<&str>, more: &[&str]) -> command::Run {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("mobile.toml"), MOBILE).expect("a writable directory");
    let mut arguments = vec!["estimate", "mobile.toml", "--hw", profile, "--out", "out"];
    if let Some(layers) = layers {
        let head = "name = \"pinned\"\ndescription = \"for a test\"\nsource = \"made for this test\"\n\n";
        fs::write(directory.path().join("map.toml"), format!("{head}{layers}"))
            .expect("a writable directory");
        arguments.extend(["--mapping", "map.toml"]);
    }
    arguments.extend(more);
    let mut run = cosparse(directory.path(), &arguments);
    if run.code != 0 {
        run.stderr = in_directory(&run);
    }
    run
}

/// What `--show-mapping` prints, and nothing after it.
fn shown(run: &command::Run) -> String {
    assert_eq!(run.code, 0, "{}", run.stderr);
    let from = run.stdout.find("mappings of mobile").expect("the mappings");
    let loops = run.stdout[from..].lines();
    loops
        .take_while(|line| line.starts_with(' ') || line.contains(':') || line.starts_with("mappings"))
        .collect::<Vec<_>>()
        .join("\n")
}

const TREES: &str = "nvdla-like-28nm";

#[test]
fn pinned_tiles_and_splits_are_run_and_shown() {
    // what runs without a file: as many groups at once as help
    insta::assert_snapshot!(
        "splits_by_default",
        shown(&mobile(TREES, None, &["--show-mapping"]))
    );
    // the search also splits the first layer, over the columns of its kernel
    let searched = &["--search-mapping", "--pick", "latency", "--show-mapping"];
    insta::assert_snapshot!("splits_by_search", shown(&mobile(TREES, None, searched)));
    let pinned = "[layer.conv1]\nkernel-columns = 3\n\n\
        [layer.depthwise]\ngroups = 8\nchannels = 16\nrows = 8\norder = \"rows-outer\"\n\n\
        [layer.grouped]\nchannels = 16\nrows = 32\norder = \"channels-outer\"\n";
    insta::assert_snapshot!(
        "tiles_and_splits",
        shown(&mobile(TREES, Some(pinned), &["--show-mapping"]))
    );
    // positions, on an array whose rows have feeds of their own
    let copies = "[layer.conv1]\npositions = 4\n";
    insta::assert_snapshot!(
        "copies",
        shown(&mobile("tpu-v1-28nm", Some(copies), &["--show-mapping"]))
    );
}

#[test]
fn tiles_and_splits_that_do_not_fit() {
    let refused = |name: &str, profile: &str, layers: &str| {
        let run = mobile(profile, Some(layers), &[]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{name}: {}", run.stderr);
        assert!(
            run.stderr.contains("help:"),
            "{name} names no cure:\n{}",
            run.stderr
        );
        insta::assert_snapshot!(name, run.stderr);
    };
    let tile = |layer: &str, channels: u64, rows: u64, more: &str| {
        format!("[layer.{layer}]\nchannels = {channels}\nrows = {rows}\norder = \"channels-outer\"\n{more}")
    };
    // 64 channels of 32 rows and 32 columns are more than the output buffer holds
    refused("tile_over_buffer", TREES, &tile("grouped", 64, 32, ""));
    // blocks of 24 channels straddle groups of 16
    refused("tile_straddles_groups", TREES, &tile("grouped", 24, 4, ""));
    refused("tile_below_pack", TREES, &tile("depthwise", 4, 8, "groups = 8\n"));
    refused("too_many_groups", TREES, "[layer.grouped]\ngroups = 5\n");
    refused("too_many_columns", TREES, "[layer.conv1]\nkernel-columns = 4\n");
    refused(
        "columns_of_groups",
        TREES,
        "[layer.grouped]\nkernel-columns = 2\n",
    );
    refused("no_room_for_copies", TREES, "[layer.conv1]\npositions = 2\n");
    refused("no_splits", "admm-nn-40nm", "[layer.depthwise]\ngroups = 2\n");
    refused(
        "split_and_letters",
        TREES,
        "[layer.depthwise]\ngroups = 2\nq = 1\n",
    );
    refused(
        "tiles_without_order",
        TREES,
        "[layer.depthwise]\ngroups = 0\nchannels = 4\n",
    );
}
