//! Rows of `robust.csv` and `robust-test.csv`, and the table of domains.

use super::table::{Align, table};
use crate::training::robust::{Domain, DomainPeriod, RobustAccuracy};
use serde::Serialize;

/// One domain after one epoch, or after one stage, of min-max training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RobustRow {
    /// The run.
    pub run: String,
    /// The epoch from 1, or the stage.
    pub epoch: String,
    /// The domain.
    pub domain: String,
    /// Its weight in the end.
    pub weight: f64,
    /// Its mean training loss.
    pub loss: f64,
    /// Its accuracy on the validation samples, in per cent; absent without any.
    pub accuracy_pct: Option<f64>,
}

/// One network in one domain on the test samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RobustTestRow {
    /// The run.
    pub run: String,
    /// The network.
    pub network: String,
    /// The domain; `worst` is the lowest of them, `every` counts samples that are right in all.
    pub domain: String,
    /// Whether the network was trained on the domain.
    pub trained: Option<bool>,
    /// Accuracy in per cent.
    pub accuracy_pct: f64,
    /// Cross-entropy in nats.
    pub loss: Option<f64>,
}

/// A row per domain of an epoch or a stage.
#[must_use]
pub fn robust_rows(run: &str, epoch: &str, periods: &[DomainPeriod]) -> Vec<RobustRow> {
    let row = |p: &DomainPeriod| RobustRow {
        run: run.into(),
        epoch: epoch.into(),
        domain: p.domain.clone(),
        weight: p.weight,
        loss: p.loss,
        accuracy_pct: p.accuracy.map(|a| 100.0 * a),
    };
    periods.iter().map(row).collect()
}

/// A row per domain of a measured network, then `worst` and `every`.
#[must_use]
pub fn robust_test_rows(
    run: &str,
    network: &str,
    domains: &[Domain],
    measured: &RobustAccuracy,
) -> Vec<RobustTestRow> {
    let row = |domain: &str, trained, accuracy: f64, loss| RobustTestRow {
        run: run.into(),
        network: network.into(),
        domain: domain.into(),
        trained,
        accuracy_pct: 100.0 * accuracy,
        loss,
    };
    let mut rows: Vec<RobustTestRow> = domains
        .iter()
        .zip(&measured.domains)
        .map(|(domain, m)| row(&m.domain, Some(domain.train), m.accuracy, Some(m.loss)))
        .collect();
    rows.push(row("worst", None, measured.worst, None));
    rows.push(row("every", None, measured.every, None));
    rows
}

/// The domains of measured networks.
#[must_use]
pub fn robust_table(rows: &[RobustTestRow]) -> String {
    let columns = [
        ("network", Align::Left),
        ("domain", Align::Left),
        ("trained on", Align::Left),
        ("test", Align::Right),
    ];
    let rows = rows.iter().map(|r| {
        let trained = match r.trained {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        vec![
            r.network.clone(),
            r.domain.clone(),
            trained.into(),
            format!("{:.2} %", r.accuracy_pct),
        ]
    });
    table(&columns, rows.collect::<Vec<_>>())
}
