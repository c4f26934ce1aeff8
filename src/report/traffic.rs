//! `traffic.csv`: bits moved, memory by memory.

use super::layers::Subject;
use crate::hardware::TensorKind;
use crate::simulate::LayerCost;
use serde::Serialize;

/// Bits of one tensor at one memory while one layer runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrafficRow {
    /// The run.
    pub run: String,
    /// The accelerator.
    pub profile: String,
    /// The candidate.
    pub candidate: String,
    /// The layer.
    pub layer: String,
    /// The memory.
    pub memory: String,
    /// `weights`, `indices`, `inputs` or `outputs`.
    pub tensor: &'static str,
    /// Bits read.
    pub read_bits: u64,
    /// Bits written.
    pub write_bits: u64,
}

/// A tensor's name in reports.
pub(super) fn tensor(kind: TensorKind) -> &'static str {
    match kind {
        TensorKind::Weights => "weights",
        TensorKind::Indices => "indices",
        TensorKind::Inputs => "inputs",
        TensorKind::Outputs => "outputs",
    }
}

/// The rows of one layer, from the PE outwards.
#[must_use]
pub fn traffic_rows(subject: &Subject<'_>, layer: &str, cost: &LayerCost) -> Vec<TrafficRow> {
    let row = |t: &crate::simulate::Traffic| TrafficRow {
        run: subject.run.into(),
        profile: subject.profile.name.clone(),
        candidate: subject.candidate.into(),
        layer: layer.into(),
        memory: t.memory.clone(),
        tensor: tensor(t.tensor),
        read_bits: t.read_bits,
        write_bits: t.write_bits,
    };
    cost.traffic.iter().map(row).collect()
}
