//! `explain.csv`, and a layer's explanation in words.

use super::layers::Subject;
use super::table::{Align, count, number, percent, table};
use crate::simulate::Explanation;
use serde::Serialize;
use std::fmt::Write as _;

/// A change of the hardware, simulated: one row of `explain.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)] // the columns are defined in ARCHITECTURE.md
pub struct ChangeRow {
    pub run: String,
    pub profile: String,
    pub workload: String,
    pub layer: String,
    pub engine: String,
    pub cause: String,
    pub cause_cycles: u64,
    pub change: String,
    pub cycles_before: u64,
    pub cycles_after: Option<u64>,
    pub speedup: f64,
    pub energy_ratio: f64,
    pub refused: String,
    pub version: String,
    pub workload_sha256: String,
    pub profile_sha256: String,
}

/// The rows of an explanation.
#[must_use]
pub fn change_rows(subject: &Subject<'_>, layer: &str, explained: &Explanation) -> Vec<ChangeRow> {
    let row = |change: &crate::simulate::Change| ChangeRow {
        run: subject.run.into(),
        profile: subject.profile.name.clone(),
        workload: subject.workload.name.clone(),
        layer: layer.into(),
        engine: explained.cost.engine.clone(),
        cause: change.cause.into(),
        cause_cycles: explained
            .causes
            .iter()
            .find(|c| c.name == change.cause)
            .map_or(0, |c| c.cycles),
        change: change.what.clone(),
        cycles_before: explained.cost.cycles,
        cycles_after: change.outcome.as_ref().ok().map(|c| c.cycles),
        speedup: change.speedup,
        energy_ratio: change.energy_ratio,
        refused: change
            .outcome
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").into(),
        workload_sha256: subject.workload.sha256.clone(),
        profile_sha256: subject.profile_input.sha256.clone(),
    };
    explained.changes.iter().map(row).collect()
}

/// The explanation in words: the formula, the causes with their ceilings, the advice, and all that was tried.
#[must_use]
pub fn explanation(layer: &str, profile: &str, explained: &Explanation) -> String {
    let cost = &explained.cost;
    let mut text = format!("{layer} on {profile}, engine `{}`\n\n", cost.engine);
    for line in &explained.formula {
        let _ = writeln!(text, "  {line}");
    }
    let causes = explained.causes.iter().map(|c| {
        vec![
            c.name.replace('_', " "),
            count(c.cycles),
            percent(c.cycles as f64 / cost.cycles.max(1) as f64),
            c.ceiling.map_or_else(|| "-".into(), |x| format!("{x:.2}x")),
        ]
    });
    let _ = writeln!(
        text,
        "\n{}",
        table(
            &[
                ("cause", Align::Left),
                ("cycles", Align::Right),
                ("%", Align::Right),
                ("without it", Align::Right),
            ],
            causes
        )
    );
    let sum: u64 = explained.causes.iter().map(|c| c.cycles).sum();
    let _ = writeln!(
        text,
        "sum of causes {} = cycles {}\n",
        count(sum),
        count(cost.cycles)
    );
    match explained.advice() {
        Some(change) => {
            let _ = writeln!(
                text,
                "first change to make, simulated: {}: {:.2}x the speed, {} of the energy\n",
                change.what,
                change.speedup,
                percent(change.energy_ratio) + " %"
            );
        }
        None => text.push_str("none of the changes that were simulated makes it faster\n\n"),
    }
    if !explained.changes.is_empty() {
        let tried = explained.changes.iter().map(|c| {
            vec![
                c.cause.replace('_', " "),
                c.what.clone(),
                c.outcome
                    .as_ref()
                    .map_or_else(|_| "refused".into(), |after| count(after.cycles)),
                number(c.speedup),
                number(c.energy_ratio),
            ]
        });
        text.push_str(&table(
            &[
                ("against", Align::Left),
                ("change, one at a time", Align::Left),
                ("cycles", Align::Right),
                ("speed x", Align::Right),
                ("energy x", Align::Right),
            ],
            tried,
        ));
        text.push('\n');
    }
    text
}
