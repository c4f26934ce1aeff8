//! `cosparse train`: the dense network.

use super::data;
use super::failure::Failure;
use super::progress::Progress;
use super::reports::{ReportArguments, finish};
use super::request;
use super::robust;
use super::screen::Screen;
use crate::document::Fault;
use crate::procedure::Observer;
use crate::report::{Files, RobustRow, RobustTestRow, RunFile, robust_rows, robust_table, robust_test_rows};
use crate::training::robust::MinMax;
use crate::training::{
    Aim, DenseExecutor, Epoch, FitOptions, Parameters, Plain, TrainingError, evaluate, fit_epochs_for,
    to_safetensors,
};
use clap::Args;
use miette::Report;
use serde::Serialize;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Trains a network as its workload says, all weights kept
///
/// After every epoch the network is measured on the validation samples; the best one is kept, and measured on the test
/// samples once at the end. Training that diverges stops there. Writes weights.safetensors and training.csv; with --robust,
/// where the worst of the domains decides which epoch is best, also robust.csv (weights of the domains) and robust-test.csv.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The network: a file, or a name from `cosparse workload list`
    workload: String,
    /// Directory with the data set, instead of the one that the workload names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Passes over the training set, instead of the workload's
    #[arg(long, value_name = "N")]
    epochs: Option<NonZeroUsize>,
    /// Seed of initial weights, order of samples and augmentation, instead of the workload's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Train against attacks and changes of the picture: a file, or a name from `cosparse workload robustness`
    #[arg(long, value_name = "SPEC")]
    robust: Option<String>,
    #[command(flatten)]
    report: ReportArguments,
}

#[derive(Serialize)]
struct Answer<'a> {
    run: &'a RunFile,
    epochs: &'a [Epoch],
    best_epoch: u64,
    validation_accuracy: Option<f64>,
    test_accuracy: f64,
    diverged_at_step: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    robust: Option<RobustAnswer<'a>>,
}

#[derive(Serialize)]
struct RobustAnswer<'a> {
    epochs: &'a [RobustRow],
    test: &'a [RobustTestRow],
}

#[allow(
    clippy::too_many_lines,
    reason = "request, job and answer of one verb, in order"
)]
pub(super) fn run(arguments: &Arguments, screen: Screen) -> Result<(), Failure> {
    let workload = request::workload(&arguments.workload)?;
    let name = &workload.input.given;
    let network = &workload.value.network;
    let mut spec = workload.value.training.clone().ok_or_else(|| {
        Failure::input(
            format!("workload `{name}` says nothing of training"),
            "add a `[training]` table to it",
        )
    })?;
    spec.epochs = arguments.epochs.map_or(spec.epochs, NonZeroUsize::get);
    spec.seed = arguments.seed.unwrap_or(spec.seed);
    let mut run = RunFile::new("train", workload.input.clone(), Vec::new()).option("epochs", &spec.epochs);
    run.run = format!("{}-train", workload.input.name);
    run.seed = Some(spec.seed);
    let robust = arguments.robust.as_deref().map(robust::open).transpose()?;
    if let Some(robust) = &robust {
        run.run = format!("{}-{}-train", workload.input.name, robust.input.name);
        run = run
            .option("robust", &robust.input.name)
            .option("robust-sha256", &robust.input.sha256);
    }
    let out = arguments.report.open(&run.run)?;
    let (data, input) = data::load(&workload, arguments.data.as_deref(), "to train on")?;
    run.data = Some(input);
    let held_out = workload.value.data.as_ref().map_or(0, |d| d.validation);
    let kept = data.train.len().saturating_sub(held_out);
    if kept == 0 {
        return Err(Failure::input(
            format!(
                "workload `{name}` holds {held_out} of {} samples out to validate",
                data.train.len()
            ),
            "lower `validation` in its `[data]` table, or give more data",
        ));
    }
    let outputs = network.layer(network.output()).output.elements();
    let inputs = network.layer(network.input()).output.elements();
    if inputs != data.train.elements() {
        return Err(Failure::input(
            format!(
                "workload `{name}` reads {inputs} values, a sample has {} ({:?})",
                data.train.elements(),
                data.train.shape
            ),
            "give data of the network's input size with `--data DIR`, or change the network's input",
        ));
    }
    for samples in [&data.train, &data.test] {
        samples.check_labels(outputs).map_err(|e| data::refused(&e))?;
    }
    let (train, validation) = data.train.split(kept, held_out).map_err(|e| data::refused(&e))?;

    let min_max = match &robust {
        Some(robust) => {
            let pixels = robust::pixels(robust, &workload, &train)?;
            Some(MinMax::new(&robust.value, pixels, &train.shape, spec.seed))
        }
        None => None,
    };
    let aim: &dyn Aim = min_max.as_ref().map_or(&Plain, |m| m);

    let failed = |error: TrainingError| failure(&error, &workload);
    let options = FitOptions::of(&spec, 1.0, spec.seed);
    let mut executor = DenseExecutor::new(network, Parameters::init(network, spec.seed)).map_err(failed)?;
    let mut progress = Progress::new(screen);
    progress.begin("epoch 1");
    // both closures below show progress, never at once
    let shown = std::cell::RefCell::new(&mut progress);
    let per_epoch = train.len().div_ceil(spec.batch) as u64;
    let mut weighed = Vec::new();
    let trained = fit_epochs_for(
        aim,
        &mut executor,
        &train,
        &validation,
        &options,
        spec.augment_flip,
        &mut |p| {
            let done = (p.step - 1) % per_epoch + 1;
            shown.borrow_mut().progress(done as f64 / per_epoch as f64);
        },
        &mut |epoch, best| {
            if let Some(min_max) = &min_max {
                let periods = min_max.end_period();
                weighed.extend(robust_rows(&run.run, &epoch.epoch.to_string(), &periods));
            }
            let mut shown = shown.borrow_mut();
            shown.say(&line(epoch, best.is_some()));
            shown.begin(&format!("epoch {}", epoch.epoch + 1));
        },
    )
    .map_err(failed)?;
    progress.clear();
    let mut executor = DenseExecutor::new(network, trained.parameters.clone()).map_err(failed)?;
    let test = evaluate(&mut executor, &data.test, spec.batch).map_err(failed)?;
    let mut hardened = Vec::new();
    if let Some(min_max) = &min_max {
        let measured = min_max
            .test(&mut executor, &data.test, spec.batch)
            .map_err(failed)?;
        hardened = robust_test_rows(&run.run, "dense", min_max.domains(), &measured);
    }

    let mut files = Files::new();
    files.csv("training.csv", &trained.epochs)?;
    if robust.is_some() {
        files.csv("robust.csv", &weighed)?;
        files.csv("robust-test.csv", &hardened)?;
    }
    let weights = to_safetensors(&trained.parameters, false, None).map_err(|e| {
        Failure::job(
            e.to_string(),
            "the format cannot hold this network; give its layers other names",
        )
    })?;
    files.bytes("weights.safetensors", weights);
    if let Some(step) = trained.diverged {
        screen.note(&format!(
            "training diverged at step {step}; the network of epoch {} is kept. Lower `learning-rate`, or raise `warm-up`",
            trained.best.epoch
        ));
    }
    let answer = Answer {
        run: &run,
        epochs: &trained.epochs,
        best_epoch: trained.best.epoch,
        validation_accuracy: trained.best.validation_accuracy,
        test_accuracy: test,
        diverged_at_step: trained.diverged,
        robust: robust.as_ref().map(|_| RobustAnswer {
            epochs: &weighed,
            test: &hardened,
        }),
    };
    let validation = if robust.is_some() {
        "validation of the worst domain"
    } else {
        "validation"
    };
    let validated = trained
        .best
        .validation_accuracy
        .map_or_else(String::new, |a| format!(", {validation} {:.2} %", 100.0 * a));
    let mut text = format!(
        "{}: best epoch {} of {}{validated}, test {:.2} %",
        workload.value.name,
        trained.best.epoch,
        trained.epochs.len(),
        100.0 * test
    );
    if robust.is_some() {
        text = format!("{text}\n{}", robust_table(&hardened));
    }
    finish(screen, &arguments.report, &out, &run, &files, &answer, &text)
}

fn line(epoch: &Epoch, best: bool) -> String {
    let validated = epoch
        .validation_accuracy
        .map_or_else(String::new, |a| format!(", validation {:.2} %", 100.0 * a));
    let mark = if best { ", best so far" } else { "" };
    format!("epoch {}: loss {:.4}{validated}{mark}", epoch.epoch, epoch.loss)
}

fn failure(error: &TrainingError, workload: &request::Given<crate::network::Workload>) -> Failure {
    match error {
        TrainingError::NotFinite { .. } => {
            let source = &workload.source;
            let fault = Fault::new(
                source.place(&["training", "learning-rate"]),
                format!("{error}, before an epoch ended"),
                "lower the learning rate that is marked, or raise `warm-up`",
            );
            Failure::Failed(vec![Report::new(source.faults(vec![fault]))])
        }
        TrainingError::Option { .. } => Failure::input(
            format!("workload `{}`: {error}", workload.input.given),
            "change it in the `[training]` table",
        ),
        _ => Failure::job(
            format!("workload `{}`: {error}", workload.input.given),
            "change the layer: every operation of the network must be one that can be trained",
        ),
    }
}
