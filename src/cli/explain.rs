//! `cosparse explain`: why a layer takes its time, and what would change it.

use super::costs;
use super::failure::Failure;
use super::measure::Measure;
use super::recipe;
use super::reports::{ReportArguments, finish};
use super::request;
use super::screen::Screen;
use crate::compression::Recipe;
use crate::document::nearest;
use crate::report::{Accuracy, ChangeRow, Files, RunFile, Subject, change_rows, explanation};
use crate::simulate::{explain, work_of};
use clap::Args;
use serde::Serialize;
use std::num::NonZeroU64;
use std::path::PathBuf;

/// Why a layer takes the time it takes, and what would help
///
/// The formula of its cycles with its numbers, the cycles by cause with the speed-up if a cause vanished, and
/// changes of the engine and its memories, each simulated one at a time. Writes explain.csv.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The network: a file, or a name from `cosparse workload list`
    workload: String,
    /// The layer
    layer: String,
    /// The accelerator: a file, or a name from `cosparse profile list`; may be given several times
    #[arg(long = "hw", value_name = "PROFILE", required = true)]
    profiles: Vec<String>,
    /// Densities, precisions and encodings per layer: a file, or a name from `cosparse workload recipes`
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// Samples that run at once
    #[arg(long, value_name = "N", default_value = "1")]
    batch: NonZeroU64,
    /// What the engines of an accelerator are compared by; the layer takes the cheapest
    #[arg(long, value_enum, default_value_t = Measure::Energy)]
    pick: Measure,
    #[command(flatten)]
    report: ReportArguments,
}

#[derive(Serialize)]
struct Answer<'a> {
    run: &'a RunFile,
    changes: &'a [ChangeRow],
}

pub(super) fn run(arguments: &Arguments, screen: Screen) -> Result<(), Failure> {
    let workload = request::workload(&arguments.workload)?;
    let profiles = request::profiles(&arguments.profiles)?;
    let network = &workload.value.network;
    let recipe = recipe::given(arguments.recipe.as_deref(), network, &profiles)?;
    let multiplying: Vec<&str> = network
        .layers()
        .filter(|(_, l)| l.nest.is_some())
        .map(|(_, l)| l.name.as_str())
        .collect();
    let layer = network
        .find(&arguments.layer)
        .map(|id| network.layer(id))
        .filter(|l| l.nest.is_some())
        .ok_or_else(|| {
            let near = nearest(&arguments.layer, multiplying.iter().copied())
                .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
            Failure::input(
                format!(
                    "`{}` has no layer `{}` that multiplies",
                    workload.input.given, arguments.layer
                ),
                format!("{near}layers that multiply: {}", multiplying.join(", ")),
            )
        })?;
    let mut run = RunFile::new(
        "explain",
        workload.input.clone(),
        profiles.iter().map(|p| p.input.clone()).collect(),
    )
    .option("layer", &arguments.layer)
    .option("batch", &arguments.batch)
    .option("pick", &arguments.pick.word());
    run.recipe = recipe.as_ref().map(|r| r.input.clone());
    let out = arguments.report.open(&run.run)?;
    let targets = recipe.map_or_else(Recipe::default, |r| r.value);
    let (batch, pick) = (arguments.batch.get(), arguments.pick.pick());
    let (mut rows, mut text) = (Vec::new(), String::new());
    for profile in &profiles {
        let total = costs::expected(
            &workload,
            profile,
            &targets,
            batch,
            pick,
            &costs::Mapped::default(),
        )?;
        let Some(around) = total
            .layers
            .iter()
            .find(|l| l.name == layer.name)
            .map(|l| l.around)
        else {
            continue;
        };
        let setting = costs::setting(
            &workload,
            profile,
            &targets,
            (&costs::Mapped::default(), pick),
            layer,
        );
        let Some(work) = work_of(network, layer, &profile.value, batch, setting, around) else {
            continue;
        };
        let explained = explain(&work, &profile.value, pick).map_err(|error| {
            Failure::simulate(&error, &workload.input.given, &profile.source, &profile.value)
        })?;
        let subject = Subject {
            run: &run.run,
            workload: &workload.input,
            profile_input: &profile.input,
            profile: &profile.value,
            candidate: "layer",
            batch,
            accuracy: Accuracy::NotMeasured,
            seed: None,
        };
        rows.extend(change_rows(&subject, &layer.name, &explained));
        text.push_str(&explanation(
            &format!("{} of {}", layer.name, workload.value.name),
            &profile.value.name,
            &explained,
        ));
    }
    let mut files = Files::new();
    files.csv("explain.csv", &rows)?;
    let answer = Answer {
        run: &run,
        changes: &rows,
    };
    finish(screen, &arguments.report, &out, &run, &files, &answer, &text)
}
