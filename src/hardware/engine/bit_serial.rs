//! Units that take one operand bit by bit: what a profile says of them.

use super::{EngineForm, EngineKind, doubled};
use crate::compression::encoding::Encoding;
use crate::hardware::read::{MAX_COUNT, Reader};
use crate::hardware::resources::{Fabric, Resources, ResourcesError, pieces, registers, xnor_popcount};
use crate::units::{add, mul};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// Inner-product units that take one operand bit by bit, the other whole (Stripes, MICRO 2016, with serial
/// activations).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitSerial {
    /// Output channels at a time.
    pub rows: u32,
    /// Output positions at a time.
    pub cols: u32,
    /// Products a unit works on at once.
    pub lanes: u32,
    /// The operand that comes bit by bit.
    pub serial: SerialOperand,
}

/// The operand that comes bit by bit: its width is the number of cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SerialOperand {
    /// Activations, as in Stripes.
    Activations,
    /// Weights.
    Weights,
}

/// Inner-product units that take one operand bit by bit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "BitSerial")]
pub(crate) struct RawBitSerial {
    /// Output channels at a time.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) rows: Spanned<u64>,
    /// Output positions at a time.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) cols: Spanned<u64>,
    /// Products a unit works on at once.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) lanes: Spanned<u64>,
    /// The operand that comes bit by bit.
    pub(crate) serial: SerialOperand,
    /// Where the array comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

impl RawBitSerial {
    /// The checked array.
    pub(super) fn read(&self, reader: &mut Reader) -> Option<BitSerial> {
        let rows = reader.count(&self.rows, "`rows`", MAX_COUNT);
        let cols = reader.count(&self.cols, "`cols`", MAX_COUNT);
        let lanes = reader.count(&self.lanes, "`lanes`", MAX_COUNT);
        reader.source(&self.source);
        Some(BitSerial {
            rows: rows?,
            cols: cols?,
            lanes: lanes?,
            serial: self.serial,
        })
    }
}

impl BitSerial {
    fn operand(&self) -> &'static str {
        match self.serial {
            SerialOperand::Activations => "activations",
            SerialOperand::Weights => "weights",
        }
    }
}

impl EngineForm for BitSerial {
    fn encoding(&self) -> Encoding {
        Encoding::Dense
    }

    fn mapping(&self) -> String {
        format!(
            "serial-{}-{}x{}x{}",
            self.operand(),
            self.rows,
            self.cols,
            self.lanes
        )
    }

    fn label(&self) -> String {
        format!("bit-serial {}x{}", self.rows, self.cols)
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "array",
                format!(
                    "{} channels x {} positions of serial units, {} lanes each",
                    self.rows, self.cols, self.lanes
                ),
            ),
            ("serial operand", self.operand().into()),
        ]
    }

    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)> {
        let twice = |what, count| doubled(self, EngineKind::BitSerial, what, count);
        match cause {
            "compute" | "unused" => vec![
                twice("rows", |a| &mut a.rows),
                twice("columns", |a| &mut a.cols),
                twice("lanes", |a| &mut a.lanes),
            ],
            _ => Vec::new(),
        }
    }

    /// Composed: gates on the operand that is whole, a registered adder tree, and an accumulator that shifts.
    fn resources(&self, _: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        let [rows, cols, lanes] = [self.rows, self.cols, self.lanes].map(u64::from);
        let (widths, accumulator) = (fabric.widths, u64::from(fabric.widths.accumulator));
        let (whole, holders, serial) = match self.serial {
            SerialOperand::Activations => (u64::from(widths.weight), rows, cols),
            SerialOperand::Weights => (u64::from(widths.activation), cols, rows),
        };
        let unit = if whole == 1 {
            xnor_popcount(fabric.family, lanes, widths.accumulator)
        } else {
            let gates = mul(lanes, whole)?;
            let sum = Resources::logic(add(gates, accumulator)?, accumulator);
            pieces::adder_tree(lanes, whole)?.plus(sum)?
        };
        let held = registers(mul(lanes, holders)?, whole)?;
        let bits = registers(mul(lanes, serial)?, 1)?;
        Ok(Resources::sum(&[unit.times(mul(rows, cols)?)?, held, bits])?)
    }
}
