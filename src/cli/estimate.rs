//! `cosparse estimate`: what a network costs, without training.

use super::activations::{self, ActivationArguments, Chosen as Active};
use super::costs;
use super::failure::Failure;
use super::fusion::{self, FusionMode};
use super::mapping;
use super::masks::{Chosen, MaskArguments};
use super::measure::Measure;
use super::recipe;
use super::reports::{ReportArguments, finish};
use super::request::{self, Given};
use super::scalesim;
use super::screen::Screen;
use crate::codesign::ActivationRow;
use crate::compression::{Mask, Recipe, Target};
use crate::hardware::Profile;
use crate::network::Workload;
use crate::report::{
    Accuracy, ActivationShare, Files, LayerRow, LayerShare, MaskRow, ResourceRow, RunFile, Subject,
    SummaryRow, TrafficRow, layer_table, mask_table, resource_rows, resource_table, summarise, summary_table,
    traffic_rows,
};
use crate::scalesim::Mode;
use crate::simulate::{Mappings, NetworkCost, Pick};
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::PathBuf;

/// What every layer of a network costs on an accelerator, without training
///
/// Cycles by cause, time, energy by component, traffic by memory. Writes summary.csv, layers.csv, traffic.csv, and for
/// FPGAs resources.csv: costs are given for a design that does not fit its part, too, and say that it does not.
///
/// The dense network is always estimated. With a recipe, the network at the recipe's densities and precisions is
/// set beside it, its non-zeros at random positions: costs are expectations then. With masks, from files or drawn
/// from a model, the network is simulated on them as well, and masks.csv sets each layer's cycles beside what random
/// positions of the same density would take. Accuracy is not measured.
///
/// With `--scalesim`, WORKLOAD is a topology of SCALE-Sim v3, and its reports are written: `COMPUTE_REPORT.csv`,
/// `BANDWIDTH_REPORT.csv`, `DETAILED_ACCESS_REPORT.csv`, and `SPARSE_REPORT.csv` for sparse runs.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The network: a file, or a name from `cosparse workload list`
    workload: String,
    /// The accelerator: a file, or a name from `cosparse profile list`; may be given several times
    #[arg(
        long = "hw",
        value_name = "PROFILE",
        required_unless_present = "scalesim",
        conflicts_with_all = ["scalesim", "scalesim_compat"]
    )]
    profiles: Vec<String>,
    /// Densities, precisions and encodings per layer: a file, or a name from `cosparse workload recipes`
    #[arg(long, value_name = "RECIPE", conflicts_with = "scalesim")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    masks: MaskArguments,
    #[command(flatten)]
    activations: ActivationArguments,
    /// Samples that run at once
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "scalesim")]
    batch: NonZeroU64,
    /// What the engines of an accelerator are compared by; every layer takes the cheapest
    #[arg(long, value_enum, default_value_t = Measure::Energy, conflicts_with = "scalesim")]
    pick: Measure,
    /// How layers that do not multiply (pooling, normalisation, activations, adds, ...) are run
    #[arg(long, value_enum, default_value_t = FusionMode::Ideal, conflicts_with = "scalesim")]
    fusion: FusionMode,
    /// A configuration of SCALE-Sim v3 instead of profiles; WORKLOAD is a topology CSV then
    #[arg(long, value_name = "CFG")]
    scalesim: Option<PathBuf>,
    /// Copy the known faults of SCALE-Sim 3.0.0 too, to compare with its reports byte for byte
    #[arg(long, requires = "scalesim")]
    scalesim_compat: bool,
    /// Mappings of layers: row-stationary ones, or tiles and spatial splits on other engines; layers that are left
    /// out are mapped as without the file
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Try every spatial split and tiling of each layer and take the best by `--pick`, instead of the groups
    /// at once that take the fewest cycles and the tiling that loads least
    #[arg(long, conflicts_with = "scalesim")]
    search_mapping: bool,
    /// Print each layer's mapping as loops
    #[arg(long)]
    show_mapping: bool,
    #[command(flatten)]
    report: ReportArguments,
}

#[derive(Serialize)]
struct Answer<'a> {
    run: &'a RunFile,
    summary: &'a [SummaryRow],
    layers: &'a [LayerRow],
    traffic: &'a [TrafficRow],
    #[serde(skip_serializing_if = "<[ResourceRow]>::is_empty")]
    resources: &'a [ResourceRow],
    #[serde(skip_serializing_if = "<[MaskRow]>::is_empty")]
    masks: &'a [MaskRow],
    #[serde(skip_serializing_if = "<[ActivationRow]>::is_empty")]
    activations: &'a [ActivationRow],
}

pub(super) fn run(arguments: &Arguments, screen: Screen) -> Result<(), Failure> {
    if let Some(cfg) = &arguments.scalesim {
        let mode = if arguments.scalesim_compat {
            Mode::Compatible
        } else {
            Mode::Corrected
        };
        return scalesim::run(cfg, &arguments.workload, mode, &arguments.report, screen);
    }
    let workload = request::workload(&arguments.workload)?;
    let profiles = request::profiles(&arguments.profiles)?;
    let recipe = recipe::given(arguments.recipe.as_deref(), &workload.value.network, &profiles)?;
    let mappings = mapping::given(arguments.mapping.as_deref(), &workload.value.network, &profiles)?;
    let mut run = run_file(
        arguments,
        &workload,
        &profiles,
        recipe.as_ref(),
        mappings.as_ref(),
    );
    let chosen = arguments.masks.open(&workload.value, recipe.as_ref())?;
    if let Some(chosen) = &chosen {
        run = with_masks(run, chosen);
        if !chosen.without.is_empty() {
            screen.note(&format!(
                "no mask, so at the recipe's density or dense: {}",
                chosen.without.join(", ")
            ));
        }
    }
    let active = arguments.activations.open(&workload)?;
    if let Some(active) = &active {
        run = active.record(run);
    }
    let out = arguments.report.open(&run.run)?;

    let dense = Recipe::default();
    let at_recipe = recipe.as_ref().map_or(&dense, |r| &r.value);
    let mut candidates = vec![("dense", &dense, None)];
    candidates.extend(recipe.as_ref().map(|r| ("recipe", &r.value, None)));
    candidates.extend(chosen.as_ref().map(|c| (c.candidate, at_recipe, Some(c))));
    let mut rows = Rows::default();
    let mut tables = String::new();
    for profile in &profiles {
        let from = rows.summary.len();
        for &(candidate, recipe, chosen) in &candidates {
            let mapped = costs::Mapped {
                mappings: mappings.as_ref(),
                search: arguments.search_mapping,
                masks: chosen.map(|c| &c.masks),
                activations: active.as_ref().map(Active::known),
                fusion: arguments.fusion.fusion(),
            };
            let seed = chosen.and_then(|c| c.drawn).map(|(_, seed)| seed);
            let given = (candidate, recipe, seed);
            let text = rows.add(&run, &workload, profile, given, arguments, &mapped)?;
            let _ = write!(
                tables,
                "{} on {}, {candidate}\n{text}\n",
                workload.value.name, profile.value.name
            );
        }
        let shown: Vec<&SummaryRow> = rows.summary[from..].iter().collect();
        if shown.len() > 1 {
            let _ = write!(
                tables,
                "{} on {}, side by side\n{}\n",
                workload.value.name,
                profile.value.name,
                summary_table(&shown)
            );
        }
        if let Some(missing) = shown.first().map(|s| &s.not_modelled).filter(|m| !m.is_empty()) {
            let _ = writeln!(
                tables,
                "energy of {} is not modelled by {}",
                missing.replace('+', ", "),
                profile.value.name
            );
        }
    }
    if let Some(active) = &active {
        let _ = writeln!(tables, "{}", active.note());
    }
    let counted = active.as_ref().map_or(&[][..], |active| &active.rows);
    let mut files = rows.files()?;
    files.csv("activations.csv", counted)?;
    let answer = Answer {
        run: &run,
        summary: &rows.summary,
        layers: &rows.layers,
        traffic: &rows.traffic,
        resources: &rows.resources,
        masks: &rows.masks,
        activations: counted,
    };
    finish(screen, &arguments.report, &out, &run, &files, &answer, &tables)
}

/// What was asked.
fn run_file(
    arguments: &Arguments,
    workload: &Given<Workload>,
    profiles: &[Given<Profile>],
    recipe: Option<&Given<Recipe>>,
    mappings: Option<&Given<Mappings>>,
) -> RunFile {
    let mut run = RunFile::new(
        "estimate",
        workload.input.clone(),
        profiles.iter().map(|p| p.input.clone()).collect(),
    )
    .option("batch", &arguments.batch)
    .option("pick", &arguments.pick.word())
    .option("fusion", &arguments.fusion.fusion().word());
    run.recipe = recipe.map(|r| r.input.clone());
    if arguments.search_mapping {
        run = run.option("search_mapping", &true);
    }
    if let Some(mappings) = mappings {
        run = run
            .option("mapping", &mappings.input.given)
            .option("mapping_sha256", &mappings.input.sha256);
    }
    run
}

/// The record with where the masks came from.
fn with_masks(mut run: RunFile, chosen: &Chosen) -> RunFile {
    run.masks.clone_from(&chosen.input);
    if let Some((model, seed)) = chosen.drawn {
        run.seed = Some(seed);
        run = run.option("mask_model", &model);
    }
    run
}

#[derive(Default)]
struct Rows {
    summary: Vec<SummaryRow>,
    layers: Vec<LayerRow>,
    traffic: Vec<TrafficRow>,
    resources: Vec<ResourceRow>,
    masks: Vec<MaskRow>,
}

impl Rows {
    /// A file of each kind of which there are rows.
    fn files(&self) -> Result<Files, Failure> {
        let mut files = Files::new();
        files.csv("summary.csv", &self.summary)?;
        files.csv("layers.csv", &self.layers)?;
        files.csv("traffic.csv", &self.traffic)?;
        files.csv("resources.csv", &self.resources)?;
        files.csv("masks.csv", &self.masks)?;
        Ok(files)
    }

    /// Estimates one candidate on one profile, and returns its table.
    fn add(
        &mut self,
        run: &RunFile,
        workload: &Given<Workload>,
        profile: &Given<Profile>,
        (candidate, recipe, seed): (&str, &Recipe, Option<u64>),
        arguments: &Arguments,
        mapped: &costs::Mapped<'_>,
    ) -> Result<String, Failure> {
        let subject = Subject {
            run: &run.run,
            workload: &workload.input,
            profile_input: &profile.input,
            profile: &profile.value,
            candidate,
            batch: arguments.batch.get(),
            accuracy: Accuracy::NotMeasured,
            seed,
        };
        let (batch, pick) = (arguments.batch.get(), arguments.pick.pick());
        let total = costs::expected(workload, profile, recipe, batch, pick, mapped)?;
        let mut rows = Vec::new();
        let (mut kept, mut bits) = (0u64, 0.0);
        for (layer, simulated) in costs::by_layer(&workload.value.network, &total) {
            let cost = &simulated.outcome.cost;
            let known = activations::density(&workload.value, mapped.activations, layer);
            let target: Target = recipe.target(&layer.name);
            let share = LayerShare {
                layer,
                target,
                kept: mapped
                    .masks
                    .and_then(|masks| masks.get(&layer.name))
                    .map_or_else(|| target.kept(layer.weights()), Mask::count) as u64,
                activations: ActivationShare::new(
                    layer,
                    known,
                    target.activation_bits,
                    simulated,
                    &profile.value,
                ),
                cost,
            };
            kept += share.kept;
            bits += share.kept as f64 * f64::from(target.precision.bits());
            let ops = fusion::ops(&workload.value.network, simulated);
            rows.push(LayerRow::new(&subject, &share).fused(&ops));
            self.traffic.extend(traffic_rows(&subject, &layer.name, cost));
        }
        let shown: Vec<&LayerRow> = rows.iter().collect();
        let mut table = layer_table(&shown);
        table.push_str(&fusion::note(&total));
        table.push_str(&recipe::note(recipe, &profile.value, &total));
        if arguments.show_mapping {
            let _ = write!(
                table,
                "\n\n{}",
                mapping::text(workload, &profile.value, &total).trim_end()
            );
        }
        let masks = mask_rows(&subject, workload, profile, (recipe, batch, pick), mapped, &total)?;
        if !masks.is_empty() {
            let _ = write!(table, "\n\n{}", mask_table(&masks));
        }
        self.masks.extend(masks);
        // a bitstream serves every layer, so its PEs take the widest weight and the widest activation
        let layers = costs::by_layer(&workload.value.network, &total);
        let widths = layers.map(|(layer, _)| costs::weight_bits(recipe, &profile.value, layer));
        if let Some(width) = widths.max().filter(|_| profile.value.fpga.is_some()) {
            let layers = costs::by_layer(&workload.value.network, &total).filter(|(l, _)| l.nest.is_some());
            let widths = layers.map(|(layer, _)| costs::activation_bits(recipe, &profile.value, layer));
            let built = Profile {
                activation_bits: widths.max().unwrap_or(profile.value.activation_bits),
                ..profile.value.clone()
            };
            let _ = write!(table, "\n\n{}", resource_table(&built, width));
            let subject = Subject {
                profile: &built,
                ..subject
            };
            self.resources.extend(resource_rows(&subject, width));
        }
        self.summary.push(summarise(
            &subject,
            &shown,
            (kept > 0).then(|| bits / kept as f64),
            None,
            None,
        )?);
        self.layers.extend(rows);
        Ok(table)
    }
}

/// The rows of the layers that were simulated on masks.
fn mask_rows(
    subject: &Subject<'_>,
    workload: &Given<Workload>,
    profile: &Given<Profile>,
    (recipe, batch, pick): (&Recipe, u64, Pick),
    mapped: &costs::Mapped<'_>,
    total: &NetworkCost,
) -> Result<Vec<MaskRow>, Failure> {
    let mut rows = Vec::new();
    for simulated in &total.layers {
        let expected = costs::at_random(workload, profile, recipe, (batch, pick), mapped, simulated)?;
        let mask = mapped.masks.and_then(|masks| masks.get(&simulated.name));
        if let Some((expected, mask)) = expected.zip(mask) {
            let counts = (mask.count() as u64, mask.len() as u64);
            let cost = &simulated.outcome.cost;
            rows.push(MaskRow::new(subject, &simulated.name, counts, cost, expected));
        }
    }
    Ok(rows)
}
