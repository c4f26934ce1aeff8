//! `cosparse estimate --scalesim`: reports with SCALE-Sim's columns from its configuration and topology.

use super::failure::Failure;
use super::reports::{ReportArguments, finish};
use super::screen::Screen;
use crate::document::Source;
use crate::report::{Files, Input, RunFile, sha256};
use crate::scalesim::{Config, Mode, Reports, Topology, run as simulate, scalesim_table};
use miette::Diagnostic;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Answer<'a> {
    run: &'a RunFile,
    #[serde(flatten)]
    reports: &'a Reports,
}

/// Reads both files, runs the layers, writes SCALE-Sim's reports.
pub(super) fn run(
    cfg: &Path,
    topology: &str,
    mode: Mode,
    arguments: &ReportArguments,
    screen: Screen,
) -> Result<(), Failure> {
    let cfg = Source::read(cfg)?;
    let table = Source::read(Path::new(topology))?;
    let config = Config::read(&cfg)?;
    let layers = Topology::read(&table)?;
    let input = |name: &str, source: &Source| Input {
        name: file_name(name),
        given: source.name.clone(),
        sha256: sha256(source.text.as_bytes()),
    };
    let stem = Path::new(topology)
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let run = RunFile::new(
        "estimate",
        input(&stem, &table),
        vec![input(&config.run_name, &cfg)],
    )
    .option("scalesim", &"3.0.0")
    .option("scalesim-compat", &(mode == Mode::Compatible));
    let out = arguments.open(&run.run)?;
    let reports = simulate(&config, &layers, mode).map_err(|error| {
        let help = error.help().map_or_else(String::new, |help| help.to_string());
        Failure::input(format!("topology `{}`, {error}", table.name), help)
    })?;
    let mut files = Files::new();
    for (name, text) in reports.files() {
        files.bytes(name, text.into_bytes());
    }
    let answer = Answer {
        run: &run,
        reports: &reports,
    };
    let way = match mode {
        Mode::Corrected => "without the known faults of SCALE-Sim",
        Mode::Compatible => "with the numbers of SCALE-Sim 3.0.0, faults included",
    };
    let tables = format!(
        "{stem} on {}, {way}\n{}\ncycles of the array; words at DRAM, and read from it in a cycle of the reads",
        config.run_name,
        scalesim_table(&reports)
    );
    if mode == Mode::Corrected && config.sparse.is_some_and(|sparse| sparse.row_wise.is_some()) {
        screen.note(
            "`OptimizedMapping`: a topology has no weights; the N:M of each layer is taken for all its rows",
        );
    }
    finish(screen, arguments, &out, &run, &files, &answer, &tables)
}

/// A name that can be part of a directory's.
fn file_name(name: &str) -> String {
    let kept = |c: char| {
        if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') {
            c
        } else {
            '-'
        }
    };
    name.chars().take(100).map(kept).collect()
}
