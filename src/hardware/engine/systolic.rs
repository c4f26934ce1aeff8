//! The dense systolic array: what a profile says of it.

use super::{EngineForm, EngineKind};
use crate::compression::encoding::Encoding;
use crate::hardware::read::{MAX_COUNT, Reader};
use crate::hardware::resources::{Fabric, Resources, ResourcesError, registers};
use crate::units::mul;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// What stays in a systolic PE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dataflow {
    /// ws
    WeightStationary,
    /// os
    OutputStationary,
    /// is
    InputStationary,
}

/// A dense systolic array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Systolic {
    /// Rows of PEs.
    pub rows: u32,
    /// Columns of PEs.
    pub cols: u32,
    /// What stays.
    pub dataflow: Dataflow,
}

/// What stays in a systolic PE.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Dataflow")]
#[expect(
    clippy::enum_variant_names,
    reason = "the field's terms, as they stand in the file"
)]
pub(crate) enum RawDataflow {
    /// ws
    WeightStationary,
    /// os
    OutputStationary,
    /// is
    InputStationary,
}

/// A dense systolic array.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Systolic")]
pub(crate) struct RawSystolic {
    /// Rows of PEs.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) rows: Spanned<u64>,
    /// Columns of PEs.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) cols: Spanned<u64>,
    /// What stays.
    pub(crate) dataflow: RawDataflow,
    /// Where the array comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

impl RawSystolic {
    /// The checked array.
    pub(super) fn read(&self, reader: &mut Reader) -> Option<Systolic> {
        let rows = reader.count(&self.rows, "`rows`", MAX_COUNT);
        let cols = reader.count(&self.cols, "`cols`", MAX_COUNT);
        reader.source(&self.source);
        let dataflow = match self.dataflow {
            RawDataflow::WeightStationary => Dataflow::WeightStationary,
            RawDataflow::OutputStationary => Dataflow::OutputStationary,
            RawDataflow::InputStationary => Dataflow::InputStationary,
        };
        Some(Systolic {
            rows: rows?,
            cols: cols?,
            dataflow,
        })
    }
}

impl EngineForm for Systolic {
    fn encoding(&self) -> Encoding {
        Encoding::Dense
    }

    fn mapping(&self) -> String {
        let dataflow = match self.dataflow {
            Dataflow::WeightStationary => "ws",
            Dataflow::OutputStationary => "os",
            Dataflow::InputStationary => "is",
        };
        format!("{dataflow}-{}x{}", self.rows, self.cols)
    }

    fn label(&self) -> String {
        format!("systolic {}x{}", self.rows, self.cols)
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        let dataflow = match self.dataflow {
            Dataflow::WeightStationary => "weight-stationary",
            Dataflow::OutputStationary => "output-stationary",
            Dataflow::InputStationary => "input-stationary",
        };
        vec![(
            "array",
            format!("{} x {} systolic, {dataflow}", self.rows, self.cols),
        )]
    }

    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)> {
        let size = |rows: u32, cols: u32| {
            let what = format!("array {}x{} → {rows}x{cols}", self.rows, self.cols);
            (what, EngineKind::Systolic(Self { rows, cols, ..*self }))
        };
        let flows = [
            ("weight-stationary", Dataflow::WeightStationary),
            ("output-stationary", Dataflow::OutputStationary),
            ("input-stationary", Dataflow::InputStationary),
        ];
        let others = flows
            .into_iter()
            .filter(|(_, dataflow)| *dataflow != self.dataflow)
            .map(|(what, dataflow)| (what.into(), EngineKind::Systolic(Self { dataflow, ..*self })));
        let (rows, cols) = (self.rows, self.cols);
        match cause {
            "compute" => vec![
                size(rows.saturating_mul(2), cols),
                size(rows, cols.saturating_mul(2)),
            ],
            "fill_drain" | "unused" => others
                .chain([
                    size((rows / 2).max(1), cols),
                    size(rows, (cols / 2).max(1)),
                    size(rows.saturating_mul(2), cols),
                    size(rows, cols.saturating_mul(2)),
                ])
                .collect(),
            _ => Vec::new(),
        }
    }

    fn resources(&self, _: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        let [rows, cols] = [self.rows, self.cols].map(u64::from);
        // which PEs meet the same operand, and so may share a DSP slice
        let macs = match self.dataflow {
            Dataflow::OutputStationary => fabric.macs(cols, rows)?,
            Dataflow::WeightStationary => fabric.macs(cols, 1)?.times(rows)?,
            Dataflow::InputStationary => fabric.macs(1, cols)?.times(rows)?,
        };
        // operands are registered and passed on to the neighbour
        let operands = u64::from(fabric.widths.weight) + u64::from(fabric.widths.activation);
        Ok(macs.plus(registers(mul(rows, cols)?, operands)?)?)
    }
}
