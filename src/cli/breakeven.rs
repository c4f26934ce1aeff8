//! `cosparse breakeven`: the equal-area curve.

use super::costs;
use super::failure::Failure;
use super::reports::{ReportArguments, finish};
use super::request::{self, Given};
use super::screen::Screen;
use crate::compression::Recipe;
use crate::document::nearest;
use crate::hardware::{Engine, Profile};
use crate::network::{Layer, Workload};
use crate::report::{Accuracy, BreakEvenRow, Files, RunFile, Subject, break_even_rows, break_even_table};
use crate::simulate::break_even::{self, Pair};
use crate::simulate::{ActivationBits, LayerWork, Pick, Weights};
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;

/// From which pruned portion on a layer's zeros make an accelerator faster
///
/// Shows the speed-up of the accelerator's sparse engine over its dense one on the same silicon area: weights,
/// indices and PEs share it, and each engine has its own clock. The curve has nine pruned portions; break-even is
/// the smallest portion at which the sparse engine is not slower. Writes breakeven.csv.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The network: a file, or a name from `cosparse workload list`
    workload: String,
    /// The accelerator: a file, or a name from `cosparse profile list`; may be given several times
    #[arg(long = "hw", value_name = "PROFILE", required = true)]
    profiles: Vec<String>,
    /// Only this layer; may be given several times
    #[arg(long = "layer", value_name = "NAME")]
    layers: Vec<String>,
    #[command(flatten)]
    report: ReportArguments,
}

/// The portions of the published curve (ADMM-NN, arXiv 1812.11677, Fig. 4).
const PORTIONS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

#[derive(Serialize)]
struct Answer<'a> {
    run: &'a RunFile,
    break_even: &'a [BreakEvenRow],
}

pub(super) fn run(arguments: &Arguments, screen: Screen) -> Result<(), Failure> {
    let workload = request::workload(&arguments.workload)?;
    let profiles = request::profiles(&arguments.profiles)?;
    let layers = layers(&workload, &arguments.layers)?;
    let mut run = RunFile::new(
        "breakeven",
        workload.input.clone(),
        profiles.iter().map(|p| p.input.clone()).collect(),
    );
    if !arguments.layers.is_empty() {
        run = run.option("layer", &arguments.layers.join(","));
    }
    let out = arguments.report.open(&run.run)?;

    let mut rows = Vec::new();
    let mut tables = String::new();
    for profile in &profiles {
        // the curve leaves the memories out, but a layer that cannot run at all has none
        costs::expected(
            &workload,
            profile,
            &Recipe::default(),
            1,
            Pick::Energy,
            &costs::Mapped::default(),
        )?;
        for pair in pairs(profile)? {
            let from = rows.len();
            for layer in &layers {
                rows.extend(curve(&run, &workload, profile, pair, layer)?);
            }
            let (dense, sparse) = (
                &profile.value.engines[pair.dense],
                &profile.value.engines[pair.sparse],
            );
            let shown: Vec<&BreakEvenRow> = rows[from..].iter().collect();
            let _ = write!(
                tables,
                "{} on {}: speed-up of `{}` over `{}` on equal area, by pruned portion\n{}\n",
                workload.value.name,
                profile.value.name,
                sparse.name,
                dense.name,
                break_even_table(&shown)
            );
        }
    }
    let mut files = Files::new();
    files.csv("breakeven.csv", &rows)?;
    finish(
        screen,
        &arguments.report,
        &out,
        &run,
        &files,
        &Answer {
            run: &run,
            break_even: &rows,
        },
        &tables,
    )
}

/// The curves of every weighted layer on a profile; none where the profile has nothing to compare: no pair of a dense and
/// a sparse engine, or no areas.
pub(super) fn of_profile(
    run: &RunFile,
    workload: &Given<Workload>,
    profile: &Given<Profile>,
) -> Result<Vec<BreakEvenRow>, Failure> {
    let engines = &profile.value.engines;
    if profile.value.area.is_none() || engines.iter().any(|e| e.pe_area.is_none()) {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for pair in comparable(engines) {
        for layer in workload.value.network.weighted() {
            rows.extend(curve(run, workload, profile, pair, layer)?);
        }
    }
    Ok(rows)
}

fn layers<'w>(workload: &'w Given<Workload>, names: &[String]) -> Result<Vec<&'w Layer>, Failure> {
    let network = &workload.value.network;
    let all: Vec<&Layer> = network.weighted().collect();
    if names.is_empty() {
        return Ok(all);
    }
    for name in names {
        if !all.iter().any(|l| l.name == *name) {
            let known: Vec<&str> = all.iter().map(|l| l.name.as_str()).collect();
            let near = nearest(name, known.iter().copied())
                .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
            return Err(Failure::input(
                format!("`{}` has no layer `{name}` with weights", workload.input.given),
                format!("{near}layers with weights: {}", known.join(", ")),
            ));
        }
    }
    Ok(all.into_iter().filter(|l| names.contains(&l.name)).collect())
}

/// Every dense engine against every sparse one, in the profile's order.
fn comparable(engines: &[Engine]) -> Vec<Pair> {
    let places = |sparse: bool| (0..engines.len()).filter(move |&i| engines[i].kind.is_sparse() == sparse);
    places(false)
        .flat_map(|dense| places(true).map(move |sparse| Pair { dense, sparse }))
        .collect()
}

/// The pairs of a profile, of which there must be one.
fn pairs(profile: &Given<Profile>) -> Result<Vec<Pair>, Failure> {
    let engines = &profile.value.engines;
    let pairs = comparable(engines);
    if pairs.is_empty() {
        let missing = if engines.iter().any(|e| e.kind.is_sparse()) {
            "dense"
        } else {
            "sparse"
        };
        return Err(Failure::input(
            format!(
                "profile `{}` has no {missing} engine to compare",
                profile.input.given
            ),
            "a break-even curve needs a dense engine and one of `slices` with an `index`; `cosparse profile list` shows the engines of the shipped ones",
        ));
    }
    Ok(pairs)
}

fn curve(
    run: &RunFile,
    workload: &Given<Workload>,
    profile: &Given<Profile>,
    pair: Pair,
    layer: &Layer,
) -> Result<Vec<BreakEvenRow>, Failure> {
    let Some(nest) = layer.nest else {
        return Ok(Vec::new());
    };
    let network = &workload.value.network;
    let inputs = layer
        .inputs
        .iter()
        .map(|&id| network.layer(id).output.elements() as u64)
        .sum();
    let work = LayerWork {
        name: &layer.name,
        nest,
        weights: Weights::Density(1.0),
        weight_bits: profile.value.weight_bits,
        activation_bits: ActivationBits::all(profile.value.activation_bits),
        activation_density: workload.value.activation_density(layer),
        input_elements: inputs,
        output_elements: layer.output.elements() as u64,
        // the arrays are compared with every operand at hand
        input_from_dram: false,
        output_to_dram: false,
        output_density: 1.0,
        mapping: None,
        fused: None,
    };
    let curve = break_even::curve(&work, &profile.value, pair, &PORTIONS)
        .map_err(|error| Failure::simulate(&error, &workload.input.given, &profile.source, &profile.value))?;
    let subject = Subject {
        run: &run.run,
        workload: &workload.input,
        profile_input: &profile.input,
        profile: &profile.value,
        candidate: "",
        batch: 1,
        accuracy: Accuracy::NotMeasured,
        seed: None,
    };
    let (dense, sparse) = (
        &profile.value.engines[pair.dense],
        &profile.value.engines[pair.sparse],
    );
    Ok(break_even_rows(&subject, &layer.name, dense, sparse, &curve))
}
