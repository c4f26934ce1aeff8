//! `cosparse estimate --scalesim` as a user runs it: the reports it writes, and bad input with place, cure and exit code 2.

mod command;

use command::{cosparse, in_directory};
use std::fs;
use std::path::Path;

const CFG: &str = "\
[general]
run_name = small

[architecture_presets]
ArrayHeight : 16
ArrayWidth : 16
IfmapSramSzkB : 64
FilterSramSzkB : 64
OfmapSramSzkB : 64
Bandwidth : 10
Dataflow : ws

[run_presets]
InterfaceBandwidth : USER
";

const TOPOLOGY: &str = "\
Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
conv1, 16, 16, 3, 3, 16, 32, 1,
conv2, 14, 14, 3, 3, 32, 32, 1,
";

fn golden(run: &str, file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/scalesim/full_runs")
        .join(run)
        .join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The one place where a text stands, replaced.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the fixture has lost `{from}`");
    text.replacen(from, to, 1)
}

fn directory_with(cfg: &str, topology: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("run.cfg"), cfg).expect("a writable directory");
    fs::write(directory.path().join("net.csv"), topology).expect("a writable directory");
    directory
}

fn refused_in(directory: &Path, name: &str, arguments: &[&str]) {
    let run = cosparse(directory, arguments);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{name}: {}", run.stderr);
    assert!(
        run.stderr.contains("help:"),
        "{name} names no cure:\n{}",
        run.stderr
    );
    assert!(
        !directory.join("out/COMPUTE_REPORT.csv").exists(),
        "{name}: nothing is reported"
    );
    insta::assert_snapshot!(name, in_directory(&run));
}

fn refused(name: &str, cfg: &str, topology: &str, more: &[&str]) {
    let directory = directory_with(cfg, topology);
    let mut arguments = vec!["estimate", "--scalesim", "run.cfg", "net.csv", "--out", "out"];
    arguments.extend(more);
    refused_in(directory.path(), name, &arguments);
}

#[test]
fn compatible_reports_are_scale_sims_files() {
    let run = "sp_conv_2of4_csr_16x16_ws_calc";
    let topology = include_str!("data/scalesim/topologies/sp_conv_2of4.csv");
    let directory = directory_with(&golden(run, "run.cfg"), topology);
    let answer = cosparse(
        directory.path(),
        &[
            "estimate",
            "--scalesim",
            "run.cfg",
            "net.csv",
            "--scalesim-compat",
            "--out",
            "out",
        ],
    );
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    for file in [
        "COMPUTE_REPORT.csv",
        "BANDWIDTH_REPORT.csv",
        "DETAILED_ACCESS_REPORT.csv",
        "SPARSE_REPORT.csv",
    ] {
        let ours = fs::read_to_string(directory.path().join("out").join(file)).expect("it was written");
        assert_eq!(ours, golden(run, file), "{file}");
    }
    let record = fs::read_to_string(directory.path().join("out/run.toml")).expect("it was written");
    assert!(record.contains("scalesim-compat = \"true\""), "{record}");
    insta::assert_snapshot!("compatible_table", in_directory(&answer));
}

#[test]
fn corrected_reports_and_json() {
    let directory = directory_with(CFG, TOPOLOGY);
    let arguments = ["estimate", "--scalesim", "run.cfg", "net.csv"];
    let answer = cosparse(directory.path(), &arguments);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    insta::assert_snapshot!("corrected_table", in_directory(&answer));
    let out = directory.path().join("reports/runs/net-small-estimate");
    assert!(out.join("COMPUTE_REPORT.csv").exists() && !out.join("SPARSE_REPORT.csv").exists());
    let json = cosparse(directory.path(), &[&arguments[..], &["--json"]].concat());
    let value: serde_json::Value = serde_json::from_str(&json.stdout).expect("one JSON document");
    let row = &value["compute"][1];
    assert_eq!(
        (row["layer"].as_str(), row["layer_id"].as_u64()),
        (Some("conv2"), Some(1))
    );
    // E = 144, K = 288, F = 32 on 16 x 16: 18 x 2 folds of 2*16 + 16 + 144 - 2 cycles
    let stalls = row["stall_cycles"].as_i64().expect("a count");
    assert_eq!(row["cycles"].as_i64(), Some(36 * 190 + stalls));
    assert!(value["access"][0]["dram_ifmap"]["words"].is_number());
}

#[test]
fn malformed_configurations() {
    let section = "[run_presets]\nInterfaceBandwidth : USER\n";
    refused("cfg_missing_section", &with(CFG, section, ""), TOPOLOGY, &[]);
    let numbers = with(
        &with(CFG, "ArrayHeight : 16", "ArrayHeight : sixteen"),
        "IfmapSramSzkB : 64",
        "IfmapSramSzkB : 0",
    );
    refused("cfg_wrong_number", &numbers, TOPOLOGY, &[]);
    let words = with(
        &with(CFG, "Dataflow : ws", "Dataflow : rs"),
        "ArrayWidth",
        "ArayWidth",
    );
    refused("cfg_wrong_word_and_missing_key", &words, TOPOLOGY, &[]);
    refused(
        "cfg_not_ini",
        &with(
            CFG,
            "run_name = small",
            "run_name small\nrun_name = a\nRUN_NAME = b",
        ),
        TOPOLOGY,
        &[],
    );
    refused(
        "cfg_wrong_bandwidth",
        &with(CFG, "Bandwidth : 10", "Bandwidth : 10, 10"),
        TOPOLOGY,
        &[],
    );
    let traced = format!("{CFG}UseRamulatorTrace : True\n");
    refused("cfg_dram_trace", &traced, TOPOLOGY, &[]);
    refused("cfg_without_banks", CFG, TOPOLOGY, &["--scalesim-compat"]);
    let row_wise = "[sparsity]\nSparsitySupport : true\nSparseRep : csr\nOptimizedMapping : true\nBlockSize : 4\nRandomNumberGeneratorSeed : 40\n";
    let row_wise = with(&format!("{CFG}{row_wise}"), "Dataflow : ws", "Dataflow : os");
    refused(
        "cfg_row_wise_output_stationary",
        &row_wise,
        TOPOLOGY,
        &["--scalesim-compat"],
    );
}

#[test]
fn malformed_topologies() {
    let conv1 = "conv1, 16, 16, 3, 3, 16, 32, 1,";
    let row = |text: &str| with(TOPOLOGY, conv1, text);
    refused(
        "topology_missing_column",
        CFG,
        &row("conv1, 16, 16, 3, 3, 16, 32,"),
        &[],
    );
    refused(
        "topology_not_a_number",
        CFG,
        &row("conv1, 16, 16, 3, three, 16, , 1,"),
        &[],
    );
    refused("topology_zero", CFG, &row("conv1, 16, 16, 3, 3, 16, 32, 0,"), &[]);
    refused(
        "topology_filter_too_large",
        CFG,
        &row("conv1, 16, 2, 3, 3, 16, 32, 1,"),
        &[],
    );
    refused(
        "topology_wrong_ratio",
        CFG,
        &row("conv1, 16, 16, 3, 3, 16, 32, 1, 4:2,"),
        &[],
    );
    refused(
        "topology_wrong_header",
        CFG,
        &with(TOPOLOGY, "Layer name, IFMAP Height", "name, height"),
        &[],
    );
    refused("topology_without_layers", CFG, "Layer, M, N, K,\n", &[]);
    refused(
        "topology_too_large",
        CFG,
        "Layer, M, N, K,\nhuge, 4294967296, 4294967296, 4294967296,\n",
        &[],
    );
    refused(
        "topology_too_many_words",
        CFG,
        "Layer, M, N, K,\nlarge, 100000, 16, 100000,\n",
        &[],
    );
    refused(
        "topology_too_long",
        CFG,
        "Layer, M, N, K,\nlong, 1000000, 1000000, 16,\n",
        &[],
    );
}

#[test]
fn files_and_directories() {
    let directory = directory_with(CFG, TOPOLOGY);
    let refused = |name: &str, arguments: &[&str]| refused_in(directory.path(), name, arguments);
    refused(
        "scalesim_missing_cfg",
        &["estimate", "--scalesim", "none.cfg", "net.csv"],
    );
    refused(
        "scalesim_missing_topology",
        &["estimate", "--scalesim", "run.cfg", "none.csv"],
    );
    refused(
        "scalesim_unwritable",
        &[
            "estimate",
            "--scalesim",
            "run.cfg",
            "net.csv",
            "--out",
            "run.cfg/out",
        ],
    );
}

#[test]
fn profiles_and_configurations_do_not_mix() {
    let directory = directory_with(CFG, TOPOLOGY);
    let run = cosparse(
        directory.path(),
        &[
            "estimate",
            "--scalesim",
            "run.cfg",
            "net.csv",
            "--hw",
            "eyeriss-65nm",
        ],
    );
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
    let run = cosparse(directory.path(), &["estimate", "net.csv", "--scalesim-compat"]);
    assert_eq!(run.code, 2);
}
