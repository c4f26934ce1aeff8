//! `masks.csv`: the cycles of layers on real masks beside what random positions of the same density would take.

use super::layers::Subject;
use super::table::{self, Align, table};
use crate::simulate::{LayerCost, LayerExpectation};
use serde::Serialize;

/// One layer on its mask.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaskRow {
    /// The run.
    pub run: String,
    /// The accelerator.
    pub profile: String,
    /// The candidate.
    pub candidate: String,
    /// The layer.
    pub layer: String,
    /// The engine that the layer takes with its mask; the expectation is of the same.
    pub engine: String,
    /// Weights that are not zero.
    pub kept: u64,
    /// All weights.
    pub weights: u64,
    /// Portion of the weights that are not zero.
    pub density: f64,
    /// Cycles by density alone, the positions being uniformly random.
    pub expected_cycles: u64,
    /// Lower end of the interval in which the cycles of uniformly random masks lie with a probability of 95 %.
    /// Empty where the engine states no interval.
    pub interval_low: Option<u64>,
    /// Its upper end.
    pub interval_high: Option<u64>,
    /// Cycles on the mask.
    pub mask_cycles: u64,
    /// Cycles on the mask over those expected.
    pub ratio: f64,
}

impl MaskRow {
    /// The row of one layer.
    #[must_use]
    pub fn new(
        subject: &Subject<'_>,
        layer: &str,
        (kept, weights): (u64, u64),
        cost: &LayerCost,
        expected: LayerExpectation,
    ) -> Self {
        Self {
            run: subject.run.into(),
            profile: subject.profile.name.clone(),
            candidate: subject.candidate.into(),
            layer: layer.into(),
            engine: cost.engine.clone(),
            kept,
            weights,
            density: portion(kept, weights),
            expected_cycles: expected.cycles,
            interval_low: expected.interval.map(|(low, _)| low),
            interval_high: expected.interval.map(|(_, high)| high),
            mask_cycles: cost.cycles,
            ratio: portion(cost.cycles, expected.cycles),
        }
    }
}

fn portion(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The table of one candidate on one profile, the sum in the last line.
#[must_use]
pub fn mask_table(rows: &[MaskRow]) -> String {
    let interval = |r: &MaskRow| match (r.interval_low, r.interval_high) {
        (Some(low), Some(high)) => format!("{}..{}", table::count(low), table::count(high)),
        _ => String::new(),
    };
    let line = |layer: &str, density: f64, expected: u64, interval: String, mask: u64| {
        vec![
            layer.to_string(),
            table::percent(density),
            table::count(expected),
            interval,
            table::count(mask),
            format!("{:.3}", portion(mask, expected)),
        ]
    };
    let sum = |f: fn(&MaskRow) -> u64| rows.iter().fold(0u64, |a, r| a.saturating_add(f(r)));
    let mut lines: Vec<_> = rows
        .iter()
        .map(|r| line(&r.layer, r.density, r.expected_cycles, interval(r), r.mask_cycles))
        .collect();
    lines.push(line(
        "total",
        portion(sum(|r| r.kept), sum(|r| r.weights)),
        sum(|r| r.expected_cycles),
        String::new(),
        sum(|r| r.mask_cycles),
    ));
    table(
        &[
            ("layer", Align::Left),
            ("density %", Align::Right),
            ("cycles expected", Align::Right),
            ("95 % of random masks", Align::Right),
            ("cycles on the mask", Align::Right),
            ("ratio", Align::Right),
        ],
        lines,
    )
}
