//! SCALE-Sim v3.0.0: cells of its reports that are the same here.

use super::golden::compare;
use super::{Row, Study, Tolerance};
use std::path::Path;

/// One row per report: cells compared, and cells that are equal.
pub(crate) fn cells() -> Study {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/scalesim");
    let tally = compare(&root, |_| true);
    let row = |subject: String, quantity, published: usize, modelled: usize| Row {
        source: "SCALE-Sim 3.0.0, tests/data/scalesim",
        subject,
        quantity,
        published: published as f64,
        modelled: modelled as f64,
        tolerance: Tolerance::Exact,
    };
    let of = format!("{} runs, {} layers", tally.runs, tally.layers);
    let mut rows: Vec<Row> = tally
        .cells
        .iter()
        .map(|(file, (all, wrong))| row(format!("{file}, {of}"), "equal cells", *all, all - wrong))
        .collect();
    rows.push(row(
        of,
        "files equal in every byte",
        tally.files,
        tally.equal_files,
    ));
    Study {
        name: "scalesim",
        title: "SCALE-Sim 3.0.0, `--scalesim-compat`: cells of its reports",
        note: "USER stalls, CALC traffic with re-fetches and N:M runs included. Without `--scalesim-compat` its known faults are \
               not copied (ARCHITECTURE.md lists them).",
        may_miss: 0.0,
        rows,
    }
}
