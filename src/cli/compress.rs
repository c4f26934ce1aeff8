//! `cosparse compress`: ADMM alone, without an accelerator.

use super::codesign::job_failure;
use super::data;
use super::failure::Failure;
use super::progress::Progress;
use super::reports::{ReportArguments, finish};
use super::request::{self, Given};
use super::robust;
use super::screen::Screen;
use crate::document::{Source, nearest};
use crate::network::{Network, Workload};
use crate::procedure::{self, Outcome, Procedure, Robust, Store};
use crate::report::{
    AdmmRow, ChosenRow, Files, Input, RobustRow, RobustTestRow, RunFile, StepRow, admm_rows, chosen_rows,
    chosen_table, robust_rows, robust_table, robust_test_rows, sha256, step_rows,
};
use crate::training::robust::Robustness;
use crate::training::to_safetensors;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Prune and quantise a network by a procedure, without an accelerator
///
/// Trains the dense network, follows the procedure's steps, chooses on validation samples the smallest network that holds
/// the accuracy asked for, and reads the test set once at the end. A job that was stopped goes on where it was.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The network: a file, or a name from `cosparse workload list`
    workload: String,
    /// The steps: a file, or a name from `cosparse workload procedures`
    #[arg(long, value_name = "PROCEDURE")]
    procedure: String,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Train every step against attacks and changes of the picture, and choose by the domain that is worst: a file, or a
    /// name from `cosparse workload robustness`
    #[arg(long, value_name = "SPEC")]
    robust: Option<String>,
    /// Directory with the data set, instead of the one that the workload names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Directory for finished stages; a job that is started again finds them there
    #[arg(long, value_name = "DIR", default_value = "reports/runs/.cache")]
    cache: PathBuf,
    #[command(flatten)]
    report: ReportArguments,
}

#[derive(Serialize)]
struct Answer<'a> {
    run: &'a RunFile,
    chosen: &'a [ChosenRow],
    steps: &'a [StepRow],
    admm: &'a [AdmmRow],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    robust: &'a [RobustRow],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    robust_test: &'a [RobustTestRow],
    log: &'a [String],
}

pub(super) fn run(arguments: &Arguments, screen: Screen) -> Result<(), Failure> {
    let workload = request::workload(&arguments.workload)?;
    let procedure = open(&arguments.procedure, &workload.value.network)?;
    let mut run = RunFile::new("compress", workload.input.clone(), Vec::new());
    run.run = name(&workload.input.name, &procedure.input.name, arguments.seed);
    run.seed = Some(arguments.seed);
    run = run
        .option("procedure", &procedure.input.name)
        .option("procedure-sha256", &procedure.input.sha256);
    let robust = arguments.robust.as_deref().map(robust::open).transpose()?;
    if let Some(robust) = &robust {
        run.run = format!("{}-{}", run.run, robust.input.name);
        run = run
            .option("robust", &robust.input.name)
            .option("robust-sha256", &robust.input.sha256);
    }
    let out = arguments.report.open(&run.run)?;
    let (data, input) = data::load(&workload, arguments.data.as_deref(), "to train on")?;
    let store = Store::at(&arguments.cache);
    let pixels = match &robust {
        Some(robust) => Some(robust::pixels(robust, &workload, &data.train)?),
        None => None,
    };
    let source = procedure::Source {
        workload: &workload.value,
        data: &data,
        inputs: [&workload.input.sha256, &input.sha256],
        seed: arguments.seed,
        store: &store,
        robust: robust.as_ref().zip(pixels.as_ref()).map(|(r, pixels)| Robust {
            robustness: &r.value,
            pixels,
            sha256: &r.input.sha256,
        }),
    };
    let mut progress = Progress::new(screen);
    let outcome =
        procedure::run(source, &procedure.value, &mut progress).map_err(|e| job_failure(&e, &workload))?;
    progress.clear();
    run.data = Some(input);
    let chosen = chosen_rows(&run.run, arguments.seed, &outcome);
    let steps = step_rows(&run.run, &outcome.path);
    let admm = admm_rows(&run.run, &outcome.records)?;
    let mut files = Files::new();
    files.csv("chosen.csv", &chosen)?;
    files.csv("steps.csv", &steps)?;
    files.csv("admm.csv", &admm)?;
    let (weighed, hardened) = robust_files(&run.run, robust.as_ref(), &outcome);
    if robust.is_some() {
        files.csv("robust.csv", &weighed)?;
        files.csv("robust-test.csv", &hardened)?;
    }
    for network in &outcome.chosen {
        if let Some(artefact) = &network.artefact {
            files.bytes(format!("{}.cosparse", network.name), artefact.bytes.clone());
        }
        let smaller = &network.node.point.network;
        if smaller.weights() != workload.value.network.weights() {
            let smaller = Workload {
                network: Network::clone(smaller),
                prior: None,
                activations: std::collections::BTreeMap::new(),
                ..workload.value.clone()
            };
            files.bytes(format!("{}.toml", network.name), smaller.to_toml().into_bytes());
        }
        let bytes = to_safetensors(&network.node.point.stage.parameters, false, None)
            .map_err(|e| Failure::job(e.to_string(), "report this network"))?;
        files.bytes(format!("{}.safetensors", network.name), bytes);
    }
    let log = outcome.log.iter().flat_map(|line| [line.as_str(), "\n"]);
    files.bytes("log.txt", log.collect::<String>().into_bytes());
    let answer = Answer {
        run: &run,
        chosen: &chosen,
        steps: &steps,
        admm: &admm,
        robust: &weighed,
        robust_test: &hardened,
        log: &outcome.log,
    };
    let mut tables = chosen_table(&chosen);
    if robust.is_some() {
        tables = format!("{tables}\n\n{}", robust_table(&hardened));
    }
    finish(screen, &arguments.report, &out, &run, &files, &answer, &tables)?;
    match outcome.diverged {
        None => Ok(()),
        Some(step) => Err(Failure::job(
            format!("training diverged in step `{step}`; what is reported was reached before it"),
            format!("lower `rate` in `{step}` and run again: finished stages are found in the cache"),
        )),
    }
}

/// The domains after each stage, and the chosen networks in each domain.
fn robust_files(
    run: &str,
    robust: Option<&Given<Robustness>>,
    outcome: &Outcome,
) -> (Vec<RobustRow>, Vec<RobustTestRow>) {
    let stages = outcome.domains.iter();
    let weighed = stages.flat_map(|(stage, periods)| robust_rows(run, stage, periods));
    let hardened = robust.into_iter().flat_map(|robust| {
        outcome.chosen.iter().flat_map(|chosen| {
            let measured = chosen.robust.iter();
            measured.flat_map(|m| robust_test_rows(run, &chosen.name, &robust.value.domain, m))
        })
    });
    (weighed.collect(), hardened.collect())
}

/// Reads a procedure for a network: a shipped one by its name, or a file.
fn open(given: &str, network: &Network) -> Result<Given<Procedure>, Failure> {
    let path = Path::new(given);
    let source = match procedure::zoo::find(given) {
        Some(source) => source,
        None if path.components().count() == 1 && path.extension().is_none() && !path.exists() => {
            let names = || procedure::zoo::list().iter().map(|(name, _)| *name);
            let near = nearest(given, names()).map_or_else(String::new, |n| format!("did you mean `{n}`? "));
            return Err(Failure::input(
                format!("there is no procedure named `{given}`, and no such file"),
                format!("{near}`cosparse workload procedures` shows what is shipped"),
            ));
        }
        None => Source::read(path)?,
    };
    let value: Procedure = source.parse()?;
    let faults = procedure::step::faults(&value.step, &source, network);
    if !faults.is_empty() {
        return Err(source.faults(faults).into());
    }
    let name = path
        .file_stem()
        .map_or_else(|| given.to_owned(), |stem| stem.to_string_lossy().into_owned());
    let input = Input {
        name,
        given: given.into(),
        sha256: sha256(source.text.as_bytes()),
    };
    Ok(Given { value, source, input })
}

/// The run's name; shipped procedures begin with their workload's.
fn name(workload: &str, procedure: &str, seed: u64) -> String {
    let own = procedure
        .strip_prefix(workload)
        .is_some_and(|rest| rest.starts_with('-'));
    let prefix = if own {
        String::new()
    } else {
        format!("{workload}-")
    };
    format!("{prefix}{procedure}-seed-{seed}")
}
