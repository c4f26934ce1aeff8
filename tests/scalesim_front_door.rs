//! The SCALE-Sim front door in compatible mode against runs of SCALE-Sim v3.0.0: every cell of every report, and the
//! files byte for byte.
#![allow(clippy::float_cmp)] // counts, and rates of whole numbers
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

#[path = "fidelity/golden.rs"]
mod golden;

use cosparse::document::Source;
use cosparse::scalesim::{Config, Mode, Reports, Topology, run};
use golden::{Tally, rows, source, text, topology_of};
use std::fs;
use std::path::{Path, PathBuf};

/// Compares, and says what was compared.
fn compare(root: &Path, take: impl Fn(&str) -> bool) -> Tally {
    let tally = golden::compare(root, take);
    println!(
        "{} runs, {} layers, {} of {} files equal in every byte",
        tally.runs, tally.layers, tally.equal_files, tally.files
    );
    for (file, (cells, wrong)) in &tally.cells {
        println!("{file}: {cells} cells, {wrong} differ");
    }
    for (mode, (time, name)) in &tally.slowest {
        println!("slowest {mode} run: {name}, {time:.1?}");
    }
    tally
}

fn assert_equal(tally: &Tally) {
    assert!(
        tally.first_differences.is_empty(),
        "{}",
        tally.first_differences.join("\n")
    );
    assert_eq!(tally.equal_files, tally.files);
}

#[test]
fn small_runs_are_equal_in_every_byte() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/scalesim");
    let tally = compare(&root, |_| true);
    assert_equal(&tally);
    assert_eq!((tally.runs, tally.layers), (73, 655));
}

#[test]
fn large_runs_are_equal_in_every_byte() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/scalesim");
    if !root.exists() {
        println!("skipped: ../shared not found");
        return;
    }
    let tally = compare(&root, |name| {
        !name.starts_with("mini_") && !name.starts_with("sp_")
    });
    assert_equal(&tally);
    assert_eq!(tally.runs, 4);
}

/// Cycles, mapping efficiency and SRAM counts of the tool's demand generation, to the six decimals printed.
#[test]
fn demand_generation_is_equal() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/scalesim");
    if !root.exists() {
        println!("skipped: ../shared not found");
        return;
    }
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("compute_only"))
        .expect("files")
        .map(|f| f.expect("a file").path())
        .collect();
    files.sort();
    let (mut cells, mut wrong) = (0, Vec::new());
    for file in &files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let mut parts = name.rsplit('_');
        let (dataflow, size) = (parts.next().expect("a dataflow"), parts.next().expect("a size"));
        let (height, width) = size.split_once('x').expect("rows and columns");
        let cfg = format!(
            "[general]\nrun_name = {name}\n[architecture_presets]\nArrayHeight = {height}\nArrayWidth = {width}\n\
             IfmapSramSzkB = 1048576\nFilterSramSzkB = 1048576\nOfmapSramSzkB = 1048576\nDataflow = {dataflow}\n\
             [run_presets]\nInterfaceBandwidth = CALC\n"
        );
        let config = Config::read(&Source::new("run.cfg", cfg)).expect("a good cfg");
        let topology = Topology::read(&source(&topology_of(&root, &name))).expect("a good topology");
        let reports = run(&config, &topology, Mode::Compatible).expect("it runs");
        let golden = text(file);
        for row in rows(&golden).iter().skip(1) {
            let layer: usize = row[0].parse().expect("a layer");
            let (compute, access) = (&reports.compute[layer], &reports.access[layer]);
            let ours = [
                compute.cycles as f64 + 1.0,
                compute.mapping_efficiency_pct,
                compute.compute_utilisation_pct,
                access.sram_ifmap.words,
                access.sram_filter.words,
                access.sram_ofmap.words,
            ];
            for (mine, theirs) in ours.iter().zip(&row[5..]) {
                let theirs: f64 = theirs.parse().expect("a number");
                cells += 1;
                if (mine - theirs).abs() > 0.5e-6 + 1e-9 {
                    wrong.push(format!("{name}, layer {layer}: {mine} is {theirs} there"));
                }
            }
        }
    }
    println!(
        "compute only: {} files, {cells} cells, {} differ",
        files.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((files.len(), cells), (31, 451 * 6));
}

/// Without the faults: no use of the array above 100 %, no stall where DRAM is fast, `USER` fetches what `CALC`
/// fetches, every word is written once, and a slower DRAM never makes a layer faster.
#[test]
fn corrected_runs_obey_their_laws() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/scalesim");
    let mut layers = 0;
    for name in [
        "mini_conv_s4k_bw4_16x16_ws_user",
        "mini_gemm_s4k_bw4_16x16_os_user",
        "mini_conv_s4k_bw4_32x32_is_user",
        "sp_row_block4_16x16_ws_user",
    ] {
        let cfg = text(&root.join("full_runs").join(name).join("run.cfg"));
        let topology = Topology::read(&source(&topology_of(&root, name))).expect("a good topology");
        let at = |cfg: String, mode| {
            run(
                &Config::read(&Source::new("run.cfg", cfg)).expect("a good cfg"),
                &topology,
                mode,
            )
            .expect("it runs")
        };
        let with = |bandwidth: u64| {
            let line = cfg
                .lines()
                .find(|l| l.starts_with("Bandwidth"))
                .expect("a bandwidth");
            at(
                cfg.replacen(line, &format!("Bandwidth : {bandwidth}"), 1),
                Mode::Corrected,
            )
        };
        let calc = at(cfg.replacen("USER", "CALC", 1), Mode::Corrected);
        let tool = at(cfg.replacen("USER", "CALC", 1), Mode::Compatible);
        let runs: Vec<Reports> = [1, 4, 16, 1 << 20].map(with).into();
        for i in 0..topology.layers.len() {
            let place = format!("{name}, layer {i}");
            let fast = &runs[3];
            assert_eq!(fast.compute[i].stall_cycles, 0, "{place}");
            assert_eq!(fast.compute[i].cycles, calc.compute[i].cycles, "{place}");
            if !name.starts_with("sp_row") {
                assert_eq!(calc.compute[i].cycles, tool.compute[i].cycles + 1, "{place}");
            }
            for run in &runs {
                assert_eq!(
                    run.access[i].dram_ifmap.words, calc.access[i].dram_ifmap.words,
                    "{place}"
                );
                assert_eq!(
                    run.access[i].dram_ofmap.words, run.access[i].sram_ofmap.words,
                    "{place}"
                );
                assert!(run.compute[i].overall_utilisation_pct <= 100.0, "{place}");
                assert_eq!(
                    run.compute[i].cycles,
                    calc.compute[i].cycles + run.compute[i].stall_cycles,
                    "{place}"
                );
            }
            for pair in runs.windows(2) {
                assert!(pair[0].compute[i].cycles >= pair[1].compute[i].cycles, "{place}");
            }
            layers += 1;
        }
    }
    assert_eq!(layers, 35);
}

/// E = 4, K = 2, F = 1 on one row and one column, output stationary, 1 kB SRAMs, a word a cycle: 4 folds of
/// 1 + 1 + 2 - 2 cycles; 8 inputs and 2 weights are there before cycle 0; 4 outputs leave after the last cycle.
#[test]
fn a_small_layer_by_hand() {
    let cfg = "[general]\nrun_name = hand\n[architecture_presets]\nArrayHeight = 1\nArrayWidth = 1\nIfmapSramSzkB = 1\n\
               FilterSramSzkB = 1\nOfmapSramSzkB = 1\nBandwidth = 1\nDataflow = os\n[run_presets]\nInterfaceBandwidth = USER\n";
    let config = Config::read(&Source::new("run.cfg", cfg)).expect("a good cfg");
    let topology =
        Topology::read(&Source::new("net.csv", "Layer, M, N, K,\nhand, 4, 1, 2")).expect("a good topology");
    let reports = run(&config, &topology, Mode::Corrected).expect("it runs");
    let compute = &reports.compute[0];
    assert_eq!((compute.cycles, compute.stall_cycles), (8, 0));
    assert_eq!(compute.overall_utilisation_pct, 100.0);
    let access = &reports.access[0];
    let moves = |at: &cosparse::scalesim::Moves| (at.start_cycle, at.stop_cycle, at.words);
    assert_eq!(moves(&access.dram_ifmap), (-8, -1, 8.0));
    assert_eq!(moves(&access.dram_filter), (-2, -1, 2.0));
    assert_eq!(moves(&access.sram_ofmap), (1, 7, 4.0));
    assert_eq!(moves(&access.dram_ofmap), (7, 10, 4.0));
    assert_eq!(compute.cycles_incl_prefetch, 19);
}
