//! A systolic array of fusion units, decomposable into 2-bit bricks: what a profile says of it.

use super::{EngineForm, EngineKind, doubled};
use crate::compression::encoding::Encoding;
use crate::hardware::read::{MAX_COUNT, Reader};
use crate::hardware::resources::{Fabric, Resources, ResourcesError, registers};
use crate::units::mul;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// A weight-stationary systolic array of fusion units, each of 16 bricks that multiply 2 × 2 bits (Bit Fusion,
/// ISCA 2018): narrower operands fuse fewer bricks, and a unit does more products a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitFusion {
    /// Rows of fusion units.
    pub rows: u32,
    /// Columns of fusion units.
    pub cols: u32,
}

/// A systolic array of fusion units.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "BitFusion")]
pub(crate) struct RawBitFusion {
    /// Rows of fusion units.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) rows: Spanned<u64>,
    /// Columns of fusion units.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) cols: Spanned<u64>,
    /// Where the array comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

impl RawBitFusion {
    /// The checked array.
    pub(super) fn read(&self, reader: &mut Reader) -> Option<BitFusion> {
        let rows = reader.count(&self.rows, "`rows`", MAX_COUNT);
        let cols = reader.count(&self.cols, "`cols`", MAX_COUNT);
        reader.source(&self.source);
        Some(BitFusion {
            rows: rows?,
            cols: cols?,
        })
    }
}

impl EngineForm for BitFusion {
    fn encoding(&self) -> Encoding {
        Encoding::Dense
    }

    fn mapping(&self) -> String {
        format!("bit-fusion-{}x{}", self.rows, self.cols)
    }

    fn label(&self) -> String {
        format!("bit fusion {}x{}", self.rows, self.cols)
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "array",
                format!(
                    "{} x {} fusion units of 16 bricks, weight-stationary",
                    self.rows, self.cols
                ),
            ),
            (
                "widths",
                "2, 4 and 8 bits, narrower ones faster; 16 bits in two passes".into(),
            ),
        ]
    }

    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)> {
        let twice = |what, count| doubled(self, EngineKind::BitFusion, what, count);
        match cause {
            "compute" | "unused" => vec![twice("rows", |a| &mut a.rows), twice("columns", |a| &mut a.cols)],
            _ => Vec::new(),
        }
    }

    /// Composed, but for the unit itself: 16 bricks, 15 adders behind shifts, each registered, as synthesised.
    fn resources(&self, _: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        let accumulator = u64::from(fabric.widths.accumulator);
        let unit = Resources::logic(360, 284).plus(Resources::logic(accumulator, accumulator))?;
        let units = mul(self.rows.into(), self.cols.into())?;
        // a unit holds 16 digits of 2 bits of each operand
        Ok(unit.times(units)?.plus(registers(units, 2 * 32)?)?)
    }
}
