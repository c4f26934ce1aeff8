//! A mapping as a nest of loops to read.

use super::mapping::{Banks, RowStationaryMapping};
use crate::hardware::RowStationary;
use crate::simulate::LayerWork;
use crate::units::Overflow;

/// A mapping for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopForm {
    /// In one line, for a cell.
    pub word: String,
    /// Its loops from the outside in, each indented below the last.
    pub lines: Vec<String>,
}

pub(super) fn form(
    engine: &RowStationary,
    work: &LayerWork,
    mapping: &RowStationaryMapping,
) -> Result<LoopForm, Overflow> {
    let nest = &work.nest;
    let RowStationaryMapping {
        m,
        n,
        e,
        p,
        q,
        r,
        t,
        g,
    } = *mapping;
    let banks = Banks::of(engine, work, mapping)?;
    let loops = [
        if g > 1 {
            (nest.g.div_ceil(g), ["pack", "packs"], format!("of {g} groups"))
        } else {
            (nest.g, ["group", "groups"], String::new())
        },
        (
            nest.p.div_ceil(e),
            ["strip", "strips"],
            format!("of {e} output rows"),
        ),
        (
            nest.n.div_ceil(n),
            ["batch", "batches"],
            format!("of {n} samples"),
        ),
        (
            nest.k.div_ceil(m),
            ["block", "blocks"],
            format!("of {m} filters; partial sums in {} banks", banks.psums),
        ),
        (
            nest.c.div_ceil(q * r),
            ["channel piece", "channel pieces"],
            format!(
                "of {} channels; inputs in {} banks",
                (q * r).min(nest.c),
                banks.inputs
            ),
        ),
        (
            m.min(nest.k).div_ceil(p * t),
            ["pass", "passes"],
            format!("of {} filters", (p * t).min(nest.k)),
        ),
    ];
    let mut lines = Vec::new();
    let mut indent = String::new();
    for (count, what, of) in loops {
        if count > 1 || !of.is_empty() {
            let what = what[usize::from(count > 1)];
            lines.push(format!("{indent}for {count} {what} {of}").trim_end().to_owned());
            indent.push_str("  ");
        }
    }
    lines.push(format!(
        "{indent}in parallel: {r} sets along channels x {t} along filters{}, each {} kernel rows x {e} output rows: {} of {} PEs",
        if g > 1 { format!(" x {g} along groups") } else { String::new() },
        nest.r,
        mapping.active_pes(nest)?,
        u64::from(engine.rows) * u64::from(engine.cols),
    ));
    lines.push(format!(
        "{indent}in each PE: {n} samples x {} output columns x {p} filters x {q} channels x {} kernel columns",
        nest.q, nest.s
    ));
    Ok(LoopForm {
        word: mapping.to_string(),
        lines,
    })
}
