//! STONNE: cycles of published runs.

use super::stonne_runs::runs;
use super::{Row, Study, Tolerance};

/// Every run; none where the published ones are not at hand.
pub(crate) fn cycles() -> Study {
    let rows = runs().unwrap_or_default().into_iter().map(|run| Row {
        source: "STONNE, stonne_runs.csv",
        subject: format!("{}, {} rows in a fold", run.note, run.rows_in_fold),
        quantity: "cycles",
        published: run.cycles.0 as f64,
        modelled: run.cycles.1,
        tolerance: Tolerance::Portion(0.10),
    });
    Study {
        name: "stonne",
        title: "STONNE: sparse GEMM on a SIGMA-like engine, dense GEMM on an output-stationary array",
        note: "Held to a median of 10 %. The masks are not published; random ones with the printed number of non-zeros stand \
               in. The runs outside all have four or more rows of weights in a fold, where chance decides whether two rows \
               finish on one output line. The pipeline's four cycles of overhead were chosen on these runs.",
        may_miss: 0.5,
        rows: rows.collect(),
    }
}
