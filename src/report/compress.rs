//! Rows of `steps.csv` and `chosen.csv`, and the tables of `cosparse compress`.

use super::table::{Align, count, table};
use crate::procedure::{Node, Outcome};
use serde::Serialize;

/// One network on a procedure's way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRow {
    /// The run.
    pub run: String,
    /// The step.
    pub step: String,
    /// One layer.
    pub layer: String,
    /// The layer's weights, zero or not.
    pub weights: u64,
    /// Weights kept.
    pub kept: u64,
    /// Bits of a kept weight, without index.
    pub bits: u32,
    /// Validation accuracy of the network, in per cent.
    pub validation_pct: f64,
    /// Cross-entropy on the validation samples, in nats.
    pub validation_loss: f64,
    /// Whether it holds the accuracy that the procedure asks.
    pub holds: bool,
}

/// One network that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChosenRow {
    /// The run.
    pub run: String,
    /// `dense`, `pruned` or `levels`.
    pub network: String,
    /// The step it comes from.
    pub step: String,
    /// Weights of the dense network.
    pub weights: u64,
    /// Weights kept.
    pub kept: u64,
    /// Multiply-accumulates of one sample in a network of this shape, zeros or not: surgery lowers them.
    pub macs: u64,
    /// Weights over weights kept.
    pub ratio: f64,
    /// Bytes of the kept weights without indices.
    pub data_bytes: u64,
    /// Bytes of all weights in float32 over those.
    pub data_ratio: f64,
    /// Bytes of the artefact: positions, codes, scales, biases, header, checksum; of the dense network its float32 weights.
    pub artefact_bytes: u64,
    /// Bytes of all weights in float32 over those.
    pub artefact_ratio: f64,
    /// Validation accuracy, in per cent.
    pub validation_pct: f64,
    /// Test accuracy, in per cent.
    pub test_pct: f64,
    /// Bits of activations in the next column; none where activations were not put on levels.
    pub activation_bits: Option<u8>,
    /// Test accuracy with activations on levels, in per cent.
    pub activations_test_pct: Option<f64>,
    /// Test accuracy in the worst domain, in per cent; only where the network was trained against attacks.
    pub robust_worst_pct: Option<f64>,
    /// The portion of test samples that are right in every domain, in per cent.
    pub robust_every_pct: Option<f64>,
    /// Seed.
    pub seed: u64,
}

fn layers(node: &Node) -> impl Iterator<Item = (String, usize, usize, u32)> + '_ {
    node.point.stage.parameters.weights().enumerate().map(|(i, p)| {
        let kept = p
            .support
            .as_ref()
            .map_or(p.values.len(), crate::compression::Mask::count);
        let bits = node.precisions.get(i).map_or(32, |p| p.bits());
        (p.layer.clone(), p.values.len(), kept, bits)
    })
}

/// A portion in per cent, to a millionth of a per cent: what a count of samples over another comes to.
fn per_cent(portion: f64) -> f64 {
    (1e8 * portion).round() / 1e6
}

/// A row per layer of every network on the way.
#[must_use]
pub fn step_rows(run: &str, path: &[Node]) -> Vec<StepRow> {
    path.iter()
        .flat_map(|node| {
            layers(node).map(move |(layer, weights, kept, bits)| StepRow {
                run: run.into(),
                step: node.name.clone(),
                layer,
                weights: weights as u64,
                kept: kept as u64,
                bits,
                validation_pct: per_cent(node.point.stage.validation),
                validation_loss: node.point.stage.loss,
                holds: node.holds,
            })
        })
        .collect()
}

/// A row per network that was chosen.
#[must_use]
pub fn chosen_rows(run: &str, seed: u64, outcome: &Outcome) -> Vec<ChosenRow> {
    let dense = outcome.chosen.first().map(|c| &c.node);
    let weights: usize = dense.into_iter().flat_map(layers).map(|l| l.1).sum();
    let rows = outcome.chosen.iter().map(|chosen| {
        let node = &chosen.node;
        let kept: usize = layers(node).map(|l| l.2).sum();
        let data_bytes = node.data_bits().div_ceil(8);
        let artefact_bytes = chosen
            .artefact
            .as_ref()
            .map_or(4 * weights as u64, |a| a.bytes.len() as u64);
        ChosenRow {
            run: run.into(),
            network: chosen.name.clone(),
            step: node.name.clone(),
            weights: weights as u64,
            kept: kept as u64,
            macs: node.point.network.macs(),
            ratio: weights as f64 / kept.max(1) as f64,
            data_bytes,
            data_ratio: 4.0 * weights as f64 / data_bytes.max(1) as f64,
            artefact_bytes,
            artefact_ratio: 4.0 * weights as f64 / artefact_bytes.max(1) as f64,
            validation_pct: per_cent(node.point.stage.validation),
            test_pct: per_cent(chosen.test),
            activation_bits: chosen.activations.map(|a| a.bits),
            activations_test_pct: chosen.activations.map(|a| per_cent(a.test)),
            robust_worst_pct: chosen.robust.as_ref().map(|r| per_cent(r.worst)),
            robust_every_pct: chosen.robust.as_ref().map(|r| per_cent(r.every)),
            seed,
        }
    });
    rows.collect()
}

/// The chosen networks side by side.
#[must_use]
pub fn chosen_table(rows: &[ChosenRow]) -> String {
    let columns = [
        ("network", Align::Left),
        ("weights", Align::Right),
        ("ratio", Align::Right),
        ("data bytes", Align::Right),
        ("data ratio", Align::Right),
        ("file bytes", Align::Right),
        ("file ratio", Align::Right),
        ("validation", Align::Right),
        ("test", Align::Right),
    ];
    let on_levels = rows.iter().any(|r| r.activation_bits.is_some());
    let mut columns = columns.to_vec();
    if on_levels {
        columns.push(("activations", Align::Right));
        columns.push(("test with them", Align::Right));
    }
    let rows = rows.iter().map(|r| {
        let mut cells = vec![
            r.network.clone(),
            count(r.kept),
            format!("{:.1}x", r.ratio),
            count(r.data_bytes),
            format!("{:.0}x", r.data_ratio),
            count(r.artefact_bytes),
            format!("{:.0}x", r.artefact_ratio),
            format!("{:.2} %", r.validation_pct),
            format!("{:.2} %", r.test_pct),
        ];
        if on_levels {
            cells.push(
                r.activation_bits
                    .map_or_else(String::new, |b| format!("{b} bits")),
            );
            cells.push(
                r.activations_test_pct
                    .map_or_else(String::new, |t| format!("{t:.2} %")),
            );
        }
        cells
    });
    table(&columns, rows.collect::<Vec<_>>())
}
