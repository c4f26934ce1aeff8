//! `cosparse codesign`: the main job.

use super::failure::Failure;
use super::progress::Progress;
use super::reports::{ReportArguments, finish};
use super::request::{self, Given};
use super::screen::Screen;
use super::{activations, breakeven, costs, data};
use crate::codesign::{self, Candidate, CodesignError, Objective, Outcome, Preset, Request};
use crate::compression::Recipe;
use crate::document::Fault;
use crate::hardware::Profile;
use crate::network::Workload;
use crate::procedure::{JobError, Store};
use crate::report::{
    Accuracy, ActivationShare, ActivationSource, AdmmRow, Files, LayerRow, LayerShare, OutDirectory, RunFile,
    Subject, SummaryRow, TrafficRow, admm_rows, layer_table, model_files, summarise, summary_table,
    traffic_rows,
};
use crate::simulate::Pick;
use crate::training::TrainingError;
use clap::Args;
use miette::Report;
use serde::Serialize;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// How far each layer should be pruned and quantised for an accelerator
///
/// Trains the network with ADMM under measured accuracy, simulates the accelerator on the real zeros, and shows
/// dense, chosen for size and chosen for the objective side by side.
///
/// Writes summary.csv, layers.csv, traffic.csv, admm.csv, the recipes and the packed models. The same seed gives
/// the same bytes. A job that was stopped goes on where it was when it is started again.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The network: a file, or a name from `cosparse workload list`
    workload: String,
    /// The accelerator: a file, or a name from `cosparse profile list`; may be given several times
    #[arg(long = "hw", value_name = "PROFILE", required = true)]
    profiles: Vec<String>,
    /// What is minimised
    #[arg(long, value_enum, default_value_t = Objective::Energy)]
    objective: Objective,
    /// How much effort is taken
    #[arg(long, value_enum, default_value_t = Preset::Default)]
    preset: Preset,
    /// Percentage points of validation accuracy that may be lost against the dense network
    #[arg(long, value_name = "POINTS", default_value_t = 0.2, value_parser = points)]
    max_drop: f64,
    /// How many activations the costs of the candidates take to be zero: as the workload says, or counted while each
    /// runs on its training data. Targets are searched for as the workload says
    #[arg(long, value_enum, default_value_t = Activations::Given)]
    activations: Activations,
    /// Training samples to count on, the first ones [default: 1000, or all if there are fewer]
    #[arg(long, value_name = "N")]
    activation_samples: Option<NonZeroUsize>,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Directory with the data set, instead of the one that the workload names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Directory for finished stages; a job that is started again finds them there
    #[arg(long, value_name = "DIR", default_value = "reports/runs/.cache")]
    cache: PathBuf,
    #[command(flatten)]
    report: ReportArguments,
}

/// Where activation densities come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Activations {
    /// The workload says them; layers of which it says nothing read no zeros
    Given,
    /// Each candidate is run
    Measured,
}

fn points(text: &str) -> Result<f64, String> {
    let value: f64 = text
        .parse()
        .map_err(|_| "write percentage points as a plain number, as in 0.2".to_string())?;
    if (0.0..=100.0).contains(&value) {
        Ok(value)
    } else {
        Err("write 0 to 100 percentage points".into())
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    run: &'a RunFile,
    summary: &'a [SummaryRow],
    layers: &'a [LayerRow],
    traffic: &'a [TrafficRow],
    admm: &'a [AdmmRow],
    log: &'a [String],
}

pub(super) fn run(arguments: &Arguments, screen: Screen) -> Result<(), Failure> {
    let workload = request::workload(&arguments.workload)?;
    let profiles = request::profiles(&arguments.profiles)?;
    if arguments.activations == Activations::Given && arguments.activation_samples.is_some() {
        return Err(Failure::input(
            "`--activation-samples` is for measuring, and the workload gives the densities",
            "leave it out, or add `--activations measured`",
        ));
    }
    for profile in &profiles {
        // a layer that no engine can run is found before anything is trained
        costs::expected(
            &workload,
            profile,
            &Recipe::default(),
            1,
            Pick::Energy,
            &costs::Mapped::default(),
        )?;
    }
    let mut run = RunFile::new(
        "codesign",
        workload.input.clone(),
        profiles.iter().map(|p| p.input.clone()).collect(),
    )
    .option("objective", &arguments.objective)
    .option("preset", &word(arguments.preset))
    .option("max-drop", &arguments.max_drop);
    run.seed = Some(arguments.seed);
    let out = arguments.report.open(&run.run)?;
    OutDirectory::open(&arguments.cache).map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(String::new, |e| format!(": {e}"));
        Failure::input(
            format!(
                "finished stages cannot be kept in `{}`{cause}",
                arguments.cache.display()
            ),
            "give a directory that can be written with `--cache DIR`",
        )
    })?;
    let (data, input) = data::load(&workload, arguments.data.as_deref(), "to train on")?;

    let values: Vec<Profile> = profiles.iter().map(|p| p.value.clone()).collect();
    let store = Store::at(&arguments.cache);
    let measured_samples = match arguments.activations {
        Activations::Given => None,
        Activations::Measured => Some(activations::count(
            arguments.activation_samples,
            &workload,
            &data,
            &input,
        )?),
    };
    if let Some(samples) = measured_samples {
        run = run
            .option("activations", &"measured")
            .option("activation_samples", &samples);
    }
    let request = Request {
        measured_samples,
        workload: &workload.value,
        data: &data,
        inputs: [&workload.input.sha256, &input.sha256],
        profiles: &values,
        objective: arguments.objective,
        preset: arguments.preset,
        max_drop: arguments.max_drop,
        seed: arguments.seed,
        store: &store,
    };
    let mut progress = Progress::new(screen);
    let outcome =
        codesign::run(&request, &mut progress).map_err(|error| failure(&error, &workload, &profiles))?;
    progress.clear();
    run.data = Some(input);
    report(arguments, screen, &out, &run, &workload, &profiles, &outcome)
}

fn word(preset: Preset) -> String {
    clap::ValueEnum::to_possible_value(&preset).map_or_else(String::new, |v| v.get_name().to_string())
}

fn failure(error: &CodesignError, workload: &Given<Workload>, profiles: &[Given<Profile>]) -> Failure {
    match error {
        CodesignError::Simulate(e) => match profiles.first() {
            Some(profile) => Failure::simulate(e, &workload.input.given, &profile.source, &profile.value),
            None => Failure::input(e.to_string(), "change the layer or the profile"),
        },
        CodesignError::Job(e) => job_failure(e, workload),
    }
}

/// What to do about a job that failed.
pub(super) fn job_failure(error: &JobError, workload: &Given<Workload>) -> Failure {
    match error {
        JobError::Data { .. } => Failure::input(
            format!("workload `{}`: {error}", workload.input.given),
            "give data of the network's input size with `--data DIR`, or change the network's input and last layer",
        ),
        JobError::Training(TrainingError::NotFinite { .. }) => {
            let source = &workload.source;
            let help = "lower the learning rate that is marked, or raise `warm-up`";
            let fault = Fault::new(
                source.place(&["training", "learning-rate"]),
                error.to_string(),
                help,
            );
            Failure::Failed(vec![Report::new(source.faults(vec![fault]))])
        }
        JobError::Training(_) => Failure::job(
            format!("workload `{}`: {error}", workload.input.given),
            "change the layer: every operation of the network must be one that can be trained",
        ),
        JobError::Samples(e) => data::refused(e),
        JobError::Artefact(_) | JobError::Surgery(_) => Failure::job(
            error.to_string(),
            "report this network: it should have a file, and units that can leave it",
        ),
        JobError::Store(_) => Failure::job(
            error.to_string(),
            "free space on the disk, or give another directory with `--cache DIR`; finished stages are kept",
        ),
    }
}

fn report(
    arguments: &Arguments,
    screen: Screen,
    out: &OutDirectory,
    run: &RunFile,
    workload: &Given<Workload>,
    profiles: &[Given<Profile>],
    outcome: &Outcome,
) -> Result<(), Failure> {
    let mut files = Files::new();
    let mut bytes = Vec::new();
    for candidate in &outcome.candidates {
        let c = candidate;
        bytes.push(model_files(
            &mut files,
            &c.name,
            &c.parameters,
            &c.recipe,
            &c.levels,
        )?);
        let recipe = c.recipe.to_file(format!(
            "cosparse {} {}, run `{}`, candidate `{}`",
            run.verb, run.version, run.run, c.name
        ));
        files.bytes(format!("recipe-{}.toml", c.name), recipe.to_toml().into_bytes());
        if let Some((_, counted)) = &c.activations {
            files.csv(&format!("activations-{}.csv", c.name), counted)?;
        }
    }
    let mut rows = Rows::default();
    let mut tables = String::new();
    for (place, profile) in profiles.iter().enumerate() {
        let from = rows.summary.len();
        let dense = outcome.candidates.first().map(|c| 100.0 * c.test);
        let mut last = String::new();
        for (candidate, &bytes) in outcome.candidates.iter().zip(&bytes) {
            let table = rows.add(run, workload, profile, place, candidate, bytes, dense)?;
            last = format!(
                "{} on {}, chosen for {}\n{table}\n",
                workload.value.name, profile.value.name, candidate.name
            );
        }
        let shown: Vec<&SummaryRow> = rows.summary[from..].iter().collect();
        tables += &last;
        let _ = write!(
            tables,
            "{} on {}, side by side\n{}\n",
            workload.value.name,
            profile.value.name,
            summary_table(&shown)
        );
    }
    let admm = admm_rows(&run.run, &outcome.records)?;
    files.csv("summary.csv", &rows.summary)?;
    files.csv("layers.csv", &rows.layers)?;
    files.csv("traffic.csv", &rows.traffic)?;
    files.csv("admm.csv", &admm)?;
    let curves: Vec<_> = profiles
        .iter()
        .map(|profile| breakeven::of_profile(run, workload, profile))
        .collect::<Result<_, _>>()?;
    let curves: Vec<_> = curves.into_iter().flatten().collect();
    if !curves.is_empty() {
        files.csv("breakeven.csv", &curves)?;
    }
    files.bytes(
        "log.txt",
        outcome
            .log
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect::<String>()
            .into_bytes(),
    );
    let answer = Answer {
        run,
        summary: &rows.summary,
        layers: &rows.layers,
        traffic: &rows.traffic,
        admm: &admm,
        log: &outcome.log,
    };
    finish(screen, &arguments.report, out, run, &files, &answer, &tables)
}

#[derive(Default)]
struct Rows {
    summary: Vec<SummaryRow>,
    layers: Vec<LayerRow>,
    traffic: Vec<TrafficRow>,
}

impl Rows {
    /// Adds one candidate on the profile at `place`, and returns its table.
    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of one row's identity, each named at the call"
    )]
    fn add(
        &mut self,
        run: &RunFile,
        workload: &Given<Workload>,
        profile: &Given<Profile>,
        place: usize,
        candidate: &Candidate,
        bytes: u64,
        dense_test_pct: Option<f64>,
    ) -> Result<String, Failure> {
        let subject = Subject {
            run: &run.run,
            workload: &workload.input,
            profile_input: &profile.input,
            profile: &profile.value,
            candidate: &candidate.name,
            batch: 1,
            accuracy: Accuracy::Measured {
                validation: candidate.validation,
                test: candidate.test,
            },
            seed: run.seed,
        };
        let network = &workload.value.network;
        let mut rows = Vec::new();
        let costs = candidate.costs.get(place).into_iter();
        for (layer, simulated) in costs.flat_map(|total| costs::by_layer(network, total)) {
            let cost = &simulated.outcome.cost;
            let measured = candidate.activations.as_ref();
            let measured = measured.map(|(densities, _)| (densities, ActivationSource::Measured));
            let known = activations::density(&workload.value, measured, layer);
            let kept = candidate
                .parameters
                .weight(&layer.name)
                .map_or(0, |p| p.values.iter().filter(|&&v| v != 0.0).count());
            let share = LayerShare {
                layer,
                target: candidate.recipe.target(&layer.name),
                kept: kept as u64,
                activations: ActivationShare::new(layer, known, None, simulated, &profile.value),
                cost,
            };
            rows.push(LayerRow::new(&subject, &share));
            self.traffic.extend(traffic_rows(&subject, &layer.name, cost));
        }
        let shown: Vec<&LayerRow> = rows.iter().collect();
        self.summary.push(summarise(
            &subject,
            &shown,
            Some(candidate.bits_per_weight()),
            Some(bytes),
            dense_test_pct,
        )?);
        let table = layer_table(&shown);
        self.layers.extend(rows);
        Ok(table)
    }
}
