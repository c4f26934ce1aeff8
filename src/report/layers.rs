//! `layers.csv`: what every layer of every candidate costs on every profile, and the table of it.

use super::run::Input;
use super::table::{self, Align, table};
use super::word::word;
use crate::compression::Target;
use crate::compression::encoding::Encoding;
use crate::hardware::{Engine, MemoryKind, Profile, TensorKind};
use crate::network::Layer;
use crate::simulate::{LayerCost, MEMORY, NetworkLayer};
use serde::Serialize;

/// How an accuracy was obtained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Accuracy {
    /// No data: nothing was measured.
    NotMeasured,
    /// On held-out samples.
    Measured {
        /// Share of right answers on the validation samples, 0 to 1: what choices were made on.
        validation: f64,
        /// Share of right answers on the test samples, 0 to 1.
        test: f64,
    },
}

impl Accuracy {
    /// The cell that says how.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::NotMeasured => "not measured",
            Self::Measured { .. } => "measured on the test set",
        }
    }

    /// Test accuracy in per cent.
    #[must_use]
    pub fn test_pct(self) -> Option<f64> {
        match self {
            Self::NotMeasured => None,
            Self::Measured { test, .. } => Some(100.0 * test),
        }
    }

    /// Validation accuracy in per cent.
    #[must_use]
    pub fn validation_pct(self) -> Option<f64> {
        match self {
            Self::NotMeasured => None,
            Self::Measured { validation, .. } => Some(100.0 * validation),
        }
    }
}

/// What all rows of one candidate on one profile share.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The run's name.
    pub run: &'a str,
    /// The workload.
    pub workload: &'a Input,
    /// The profile's file.
    pub profile_input: &'a Input,
    /// The profile.
    pub profile: &'a Profile,
    /// The candidate.
    pub candidate: &'a str,
    /// Samples that run at once.
    pub batch: u64,
    /// The candidate's accuracy.
    pub accuracy: Accuracy,
    /// Seed, where anything is random.
    pub seed: Option<u64>,
}

/// Who says how many of a layer's inputs are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationSource {
    /// Nobody: none is taken to be zero.
    Assumed,
    /// The workload, which names where its figure comes from.
    Workload,
    /// A file of densities.
    File,
    /// The network itself, run on samples.
    Measured,
}

impl ActivationSource {
    /// The word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Assumed => "assumed",
            Self::Workload => "workload",
            Self::File => "file",
            Self::Measured => "measured",
        }
    }
}

/// A layer's activations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActivationShare {
    /// Portion of its inputs that are not zero, and who says so; `None` for a layer that does not multiply.
    pub density: Option<(f64, ActivationSource)>,
    /// Bits at which its inputs are multiplied; `None` for a layer that does not multiply.
    pub bits: Option<u32>,
    /// Bits of its inputs in the memories.
    pub input_bits: u32,
    /// Bits of its outputs in the memories.
    pub output_bits: u32,
}

impl ActivationShare {
    /// The activations of a simulated layer, with its density and the width that its target asks for.
    #[must_use]
    pub fn new(
        layer: &Layer,
        density: (f64, ActivationSource),
        bits: Option<u8>,
        simulated: &NetworkLayer,
        profile: &Profile,
    ) -> Self {
        let multiplies = layer.nest.is_some();
        Self {
            density: multiplies.then_some(density),
            bits: multiplies.then(|| bits.map_or(profile.activation_bits, u32::from)),
            input_bits: simulated.around.input_bits,
            output_bits: simulated.around.output_bits,
        }
    }
}

/// One layer of a candidate with its share of the work.
#[derive(Debug, Clone, Copy)]
pub struct LayerShare<'a> {
    /// The layer.
    pub layer: &'a Layer,
    /// Its target.
    pub target: Target,
    /// Weights that are not zero.
    pub kept: u64,
    /// Its activations.
    pub activations: ActivationShare,
    /// What it costs on the profile.
    pub cost: &'a LayerCost,
}

/// One line of `layers.csv`. A component of energy that the profile does not model is an empty cell, and
/// `not_modelled` names it; `energy_activation_pj` is empty where the energy of a DRAM bit has it. The cells of DRAM rows
/// are empty where the profile has none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(
    missing_docs,
    reason = "the names are the documentation: each carries its unit, and ARCHITECTURE.md defines the terms"
)]
pub struct LayerRow {
    pub run: String,
    pub profile: String,
    pub workload: String,
    pub candidate: String,
    pub layer: String,
    pub op: String,
    pub engine: String,
    pub mapping: String,
    pub structure: String,
    pub density: f64,
    pub kept: u64,
    pub weights: u64,
    pub precision: String,
    pub encoding: String,
    pub activation_density: Option<f64>,
    pub activation_source: &'static str,
    pub activation_bits: Option<u32>,
    pub input_bits: u32,
    pub output_bits: u32,
    pub batch: u64,
    pub macs: u64,
    pub macs_left: u64,
    pub macs_done: u64,
    pub cycles: u64,
    pub cycles_compute: u64,
    pub cycles_fill_drain: u64,
    pub cycles_decode: u64,
    pub cycles_imbalance: u64,
    pub cycles_unused: u64,
    pub cycles_feature_port: u64,
    pub cycles_stall_weights: u64,
    pub cycles_stall_indices: u64,
    pub cycles_stall_inputs: u64,
    pub cycles_stall_outputs: u64,
    pub seconds: f64,
    pub energy_pj: f64,
    pub energy_mac_pj: f64,
    pub energy_decode_pj: Option<f64>,
    pub energy_register_pj: Option<f64>,
    pub energy_network_pj: Option<f64>,
    pub energy_buffer_pj: f64,
    pub energy_dram_pj: f64,
    pub energy_activation_pj: Option<f64>,
    pub energy_leakage_pj: Option<f64>,
    pub not_modelled: String,
    pub stored_weights_bits: u64,
    pub stored_indices_bits: u64,
    pub buffer_weights_bits: u64,
    pub buffer_indices_bits: u64,
    pub buffer_inputs_bits: u64,
    pub buffer_outputs_bits: u64,
    pub dram_weights_bits: u64,
    pub dram_indices_bits: u64,
    pub dram_inputs_bits: u64,
    pub dram_outputs_bits: u64,
    pub dram_row_activations: Option<u64>,
    pub dram_row_efficiency: Option<f64>,
    pub utilisation: f64,
    pub bottleneck: &'static str,
    pub accuracy_pct: Option<f64>,
    pub accuracy_source: &'static str,
    pub seed: Option<u64>,
    pub version: &'static str,
    pub workload_sha256: String,
    pub profile_sha256: String,
}

impl LayerRow {
    /// The row of a layer.
    #[must_use]
    pub fn new(subject: &Subject<'_>, share: &LayerShare<'_>) -> Self {
        let (layer, cost) = (share.layer, share.cost);
        let c = &cost.causes;
        let e = &cost.energy;
        let weights = layer.weights() as u64;
        let (macs, macs_left) = macs(layer, share.kept, subject.batch);
        let engine = subject.profile.engines.iter().find(|e| e.name == cost.engine);
        let moved = |on_chip: bool, tensor: TensorKind| moved(subject.profile, cost, on_chip, tensor);
        Self {
            run: subject.run.into(),
            profile: subject.profile.name.clone(),
            workload: subject.workload.name.clone(),
            candidate: subject.candidate.into(),
            layer: layer.name.clone(),
            op: layer.op.kind().into(),
            engine: cost.engine.clone(),
            mapping: mapping(engine, cost),
            structure: word(&share.target.structure),
            density: if weights == 0 {
                1.0
            } else {
                share.kept as f64 / weights as f64
            },
            kept: share.kept,
            weights,
            precision: word(&share.target.precision),
            encoding: word(&engine.map_or(Encoding::Dense, |e| e.kind.encoding())),
            activation_density: share.activations.density.map(|(density, _)| density),
            activation_source: share.activations.density.map_or("", |(_, source)| source.word()),
            activation_bits: share.activations.bits,
            input_bits: share.activations.input_bits,
            output_bits: share.activations.output_bits,
            batch: subject.batch,
            macs,
            macs_left,
            macs_done: cost.macs,
            cycles: cost.cycles,
            cycles_compute: c.compute,
            cycles_fill_drain: c.fill_drain,
            cycles_decode: c.decode,
            cycles_imbalance: c.imbalance,
            cycles_unused: c.unused,
            cycles_feature_port: c.feature_port,
            cycles_stall_weights: c.stall_weights,
            cycles_stall_indices: c.stall_indices,
            cycles_stall_inputs: c.stall_inputs,
            cycles_stall_outputs: c.stall_outputs,
            seconds: cost.seconds,
            energy_pj: e.total(),
            energy_mac_pj: e.mac,
            energy_decode_pj: e.decode,
            energy_register_pj: e.register,
            energy_network_pj: e.network,
            energy_buffer_pj: e.buffer,
            energy_dram_pj: e.dram,
            energy_activation_pj: e.activation,
            energy_leakage_pj: e.leakage,
            not_modelled: not_modelled(cost),
            stored_weights_bits: cost.stored.weights,
            stored_indices_bits: cost.stored.indices,
            buffer_weights_bits: moved(true, TensorKind::Weights),
            buffer_indices_bits: moved(true, TensorKind::Indices),
            buffer_inputs_bits: moved(true, TensorKind::Inputs),
            buffer_outputs_bits: moved(true, TensorKind::Outputs),
            dram_weights_bits: moved(false, TensorKind::Weights),
            dram_indices_bits: moved(false, TensorKind::Indices),
            dram_inputs_bits: moved(false, TensorKind::Inputs),
            dram_outputs_bits: moved(false, TensorKind::Outputs),
            dram_row_activations: cost.rows.map(|rows| rows.activations),
            dram_row_efficiency: cost.rows.and_then(|rows| rows.efficiency()),
            utilisation: cost.utilisation,
            bottleneck: bottleneck(cost),
            accuracy_pct: subject.accuracy.test_pct(),
            accuracy_source: subject.accuracy.source(),
            seed: subject.seed,
            version: env!("CARGO_PKG_VERSION"),
            workload_sha256: subject.workload.sha256.clone(),
            profile_sha256: subject.profile_input.sha256.clone(),
        }
    }

    /// The row of a layer with what is fused behind it, or of one on its own: `op` joins them by `+`, and
    /// `not_modelled` names their arithmetic.
    #[must_use]
    pub fn fused(mut self, ops: &[&str]) -> Self {
        for op in ops {
            self.op.push('+');
            self.op.push_str(op);
        }
        if !ops.is_empty() || self.engine == MEMORY {
            if !self.not_modelled.is_empty() {
                self.not_modelled.push('+');
            }
            self.not_modelled.push_str("arithmetic");
        }
        self
    }

    /// Bits read from and written to DRAM.
    #[must_use]
    pub fn dram_bits(&self) -> u64 {
        self.dram_weights_bits + self.dram_indices_bits + self.dram_inputs_bits + self.dram_outputs_bits
    }
}

/// The engine's array and, where it chose one, the layer's mapping on it.
fn mapping(engine: Option<&Engine>, cost: &LayerCost) -> String {
    let array = engine.map(|e| e.kind.mapping()).unwrap_or_default();
    match &cost.mapping {
        Some(form) => format!("{array} {}", form.word),
        None => array,
    }
}

/// Multiplications of a layer, and those that its surviving weights ask for: each weight of a layer is used
/// once per output position.
fn macs(layer: &Layer, kept: u64, batch: u64) -> (u64, u64) {
    let Some(nest) = layer.nest else { return (0, 0) };
    let all = nest.macs().saturating_mul(batch);
    if layer.weights() == 0 {
        return (all, all);
    }
    (all, kept.saturating_mul(nest.p * nest.q).saturating_mul(batch))
}

/// Bits moved at the on-chip memories, or at the DRAM, for one tensor.
fn moved(profile: &Profile, cost: &LayerCost, on_chip: bool, tensor: TensorKind) -> u64 {
    let here = |name: &str| {
        profile
            .memories
            .iter()
            .any(|m| m.name == name && matches!(m.kind, MemoryKind::Buffer { .. }) == on_chip)
    };
    let at = cost
        .traffic
        .iter()
        .filter(|t| t.tensor == tensor && here(&t.memory));
    at.fold(0, |sum: u64, t| {
        sum.saturating_add(t.read_bits).saturating_add(t.write_bits)
    })
}

/// Names of the energy components that have no figure, joined by `+`.
fn not_modelled(cost: &LayerCost) -> String {
    let e = &cost.energy;
    let parts = [
        ("decode", e.decode),
        ("register", e.register),
        ("network", e.network),
        ("leakage", e.leakage),
    ];
    parts
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join("+")
}

/// The cause with the most cycles; of equals the first.
fn bottleneck(cost: &LayerCost) -> &'static str {
    let mut worst = ("compute", 0);
    for (name, cycles) in cost.causes.parts() {
        if cycles > worst.1 {
            worst = (name, cycles);
        }
    }
    worst.0
}

/// The table of one candidate on one profile: rows of one candidate and profile, in order. Columns that would say
/// the same in every line (one engine, no zeros) are left out.
#[must_use]
pub fn layer_table(rows: &[&LayerRow]) -> String {
    let engines = rows.iter().any(|r| r.engine != rows[0].engine);
    let densities = rows.iter().any(|r| r.kept != r.weights);
    let mut columns = vec![("layer", Align::Left)];
    columns.extend(engines.then_some(("engine", Align::Left)));
    columns.extend(densities.then_some(("density %", Align::Right)));
    columns.extend([
        ("MMACs left", Align::Right),
        ("cycles", Align::Right),
        ("time us", Align::Right),
        ("energy uJ", Align::Right),
        ("DRAM KiB", Align::Right),
        ("use %", Align::Right),
        ("most cycles", Align::Left),
    ]);
    let line = |layer: &str,
                engine: &str,
                density: f64,
                [macs, cycles, dram]: [u64; 3],
                [seconds, energy]: [f64; 2],
                last: [String; 2]| {
        let mut cells = vec![layer.to_string()];
        cells.extend(engines.then(|| engine.to_string()));
        cells.extend(densities.then(|| table::percent(density)));
        cells.extend([
            table::number(1e-6 * macs as f64),
            table::count(cycles),
            table::number(1e6 * seconds),
            table::number(1e-6 * energy),
            table::number(dram as f64 / 8192.0),
        ]);
        cells.extend(last);
        cells
    };
    let mut lines: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            let last = [table::percent(r.utilisation), r.bottleneck.replace('_', " ")];
            line(
                &r.layer,
                &r.engine,
                r.density,
                [r.macs_left, r.cycles, r.dram_bits()],
                [r.seconds, r.energy_pj],
                last,
            )
        })
        .collect();
    let sum = |f: fn(&LayerRow) -> u64| rows.iter().fold(0u64, |a, r| a.saturating_add(f(r)));
    let add = |f: fn(&LayerRow) -> f64| rows.iter().map(|r| f(r)).sum::<f64>();
    let (kept, weights) = (sum(|r| r.kept), sum(|r| r.weights));
    let density = if weights == 0 {
        1.0
    } else {
        kept as f64 / weights as f64
    };
    let counts = [sum(|r| r.macs_left), sum(|r| r.cycles), sum(LayerRow::dram_bits)];
    lines.push(line(
        "total",
        "",
        density,
        counts,
        [add(|r| r.seconds), add(|r| r.energy_pj)],
        [String::new(), String::new()],
    ));
    let text = table(&columns, lines);
    match rows.first().filter(|_| !engines) {
        Some(row) => format!("{text}\nevery layer runs on engine `{}`", row.engine),
        None => text,
    }
}
