//! Whole runs of SCALE-Sim v3.0.0 against the front door in compatible mode.

use cosparse::document::Source;
use cosparse::scalesim::{Config, Mode, Reports, Topology, run};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub(crate) fn source(path: &Path) -> Source {
    Source::new(path.display().to_string(), text(path))
}

pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split(',').map(str::trim).filter(|c| !c.is_empty()).collect())
        .collect()
}

/// The topology that a run's name begins with; row-wise runs took 2:4.
pub(crate) fn topology_of(root: &Path, run: &str) -> PathBuf {
    let mut tables: Vec<String> = fs::read_dir(root.join("topologies"))
        .expect("topologies")
        .map(|f| f.expect("a file").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    tables.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let table = tables
        .iter()
        .find(|table| run.starts_with(&format!("{table}_")))
        .map_or("sp_conv_2of4", String::as_str);
    root.join("topologies").join(format!("{table}.csv"))
}

pub(crate) fn simulated(root: &Path, directory: &Path, name: &str, mode: Mode) -> Reports {
    let config = Config::read(&source(&directory.join("run.cfg"))).expect("a good cfg");
    let topology = Topology::read(&source(&topology_of(root, name))).expect("a good topology");
    run(&config, &topology, mode).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: usize,
    pub(crate) layers: usize,
    /// Report: cells compared, cells that differ.
    pub(crate) cells: BTreeMap<&'static str, (usize, usize)>,
    pub(crate) equal_files: usize,
    pub(crate) files: usize,
    pub(crate) slowest: BTreeMap<&'static str, (Duration, String)>,
    pub(crate) first_differences: Vec<String>,
}

/// Compares every run below `root` that `take` takes.
pub(crate) fn compare(root: &Path, take: impl Fn(&str) -> bool) -> Tally {
    let mut tally = Tally::default();
    let mut directories: Vec<PathBuf> = fs::read_dir(root.join("full_runs"))
        .expect("runs")
        .map(|d| d.expect("a run").path())
        .collect();
    directories.sort();
    for directory in directories {
        let name = directory
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if !take(&name) {
            continue;
        }
        let begun = Instant::now();
        let reports = simulated(root, &directory, &name, Mode::Compatible);
        let files = reports.files();
        let taken = begun.elapsed();
        let mode = if name.ends_with("_user") { "user" } else { "calc" };
        let slowest = tally.slowest.entry(mode).or_default();
        if taken > slowest.0 {
            *slowest = (taken, name.clone());
        }
        let written = fs::read_dir(&directory).expect("a directory");
        let reports_there = written
            .filter(|f| {
                f.as_ref()
                    .is_ok_and(|f| f.file_name().to_string_lossy().ends_with("_REPORT.csv"))
            })
            .count();
        assert_eq!(files.len(), reports_there, "{name}: files");
        for (file, ours) in files {
            let theirs = text(&directory.join(file));
            tally.files += 1;
            tally.equal_files += usize::from(ours == theirs);
            let (ours, theirs) = (rows(&ours), rows(&theirs));
            assert_eq!(ours.len(), theirs.len(), "{name}, {file}: rows");
            assert_eq!(ours[0], theirs[0], "{name}, {file}: header");
            if file == "COMPUTE_REPORT.csv" {
                tally.layers += ours.len() - 1;
            }
            for (ours, theirs) in ours.iter().zip(&theirs).skip(1) {
                assert_eq!(ours.len(), theirs.len(), "{name}, {file}: cells");
                for (column, (mine, golden)) in ours.iter().zip(theirs).enumerate().skip(1) {
                    let cells = tally.cells.entry(file).or_default();
                    cells.0 += 1;
                    if mine != golden {
                        cells.1 += 1;
                        if tally.first_differences.len() < 40 {
                            tally.first_differences.push(format!(
                                "{name}, {file}, layer {}, column {column}: {mine} is {golden} there",
                                ours[0]
                            ));
                        }
                    }
                }
            }
        }
        tally.runs += 1;
    }
    tally
}
