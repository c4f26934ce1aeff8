//! Dot-product units that take N of every M weights: what a profile says of them.

use super::{EngineForm, EngineKind, doubled};
use crate::compression::encoding::Encoding;
use crate::hardware::read::{MAX_COUNT, Reader};
use crate::hardware::resources::{Fabric, Resources, ResourcesError, pieces, registers};
use crate::units::mul;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// Dot-product units, each with multiplexers that pick the activations of the at most N weights kept of every M
/// along the reduction, as the sparse tensor cores of NVIDIA's A100 (2 of 4). N = M is a dense array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Structured {
    /// Weights kept of a group, N.
    pub keep: u32,
    /// Weights of a group along the reduction, M.
    pub group: u32,
    /// Output channels at a time.
    pub rows: u32,
    /// Output positions at a time.
    pub cols: u32,
    /// Multiplications of a unit a cycle, a multiple of N.
    pub lanes: u32,
}

/// Dot-product units that take N of every M weights.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Structured")]
pub(crate) struct RawStructured {
    /// Weights kept of a group, N.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) keep: Spanned<u64>,
    /// Weights of a group along the reduction, M; equal to `keep` for a dense array.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) group: Spanned<u64>,
    /// Output channels at a time.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) rows: Spanned<u64>,
    /// Output positions at a time.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) cols: Spanned<u64>,
    /// Multiplications of a unit a cycle, a multiple of `keep`.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) lanes: Spanned<u64>,
    /// Where the structure comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

impl RawStructured {
    /// The checked engine.
    pub(super) fn read(&self, reader: &mut Reader) -> Option<Structured> {
        let keep = reader.count(&self.keep, "`keep`", MAX_COUNT);
        let group = reader.count(&self.group, "`group`", MAX_COUNT);
        let rows = reader.count(&self.rows, "`rows`", MAX_COUNT);
        let cols = reader.count(&self.cols, "`cols`", MAX_COUNT);
        let lanes = reader.count(&self.lanes, "`lanes`", MAX_COUNT);
        reader.source(&self.source);
        let (keep, group, lanes) = (keep?, group?, lanes?);
        if keep > group {
            reader.fault(
                self.keep.span(),
                format!("{keep} weights cannot be kept of {group}"),
                "write at most the size of the group",
            );
            return None;
        }
        if lanes % keep != 0 {
            reader.fault(
                self.lanes.span(),
                format!("{lanes} lanes cannot be dealt to groups of {keep} weights"),
                "write a multiple of `keep`",
            );
            return None;
        }
        Some(Structured {
            keep,
            group,
            rows: rows?,
            cols: cols?,
            lanes,
        })
    }
}

impl EngineForm for Structured {
    fn encoding(&self) -> Encoding {
        if self.keep < self.group {
            Encoding::NM {
                keep: self.keep,
                group: self.group,
            }
        } else {
            Encoding::Dense
        }
    }

    fn mapping(&self) -> String {
        format!(
            "{}of{}-{}x{}x{}",
            self.keep, self.group, self.rows, self.cols, self.lanes
        )
    }

    fn label(&self) -> String {
        format!("{}:{} units {}x{}", self.keep, self.group, self.rows, self.cols)
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "array",
                format!(
                    "{} channels x {} positions of dot-product units, {} lanes each",
                    self.rows, self.cols, self.lanes
                ),
            ),
            (
                "weights",
                format!(
                    "at most {} of every {} along the reduction",
                    self.keep, self.group
                ),
            ),
        ]
    }

    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)> {
        let twice = |what, count| doubled(self, EngineKind::Structured, what, count);
        match cause {
            "compute" | "unused" => vec![
                twice("rows", |a| &mut a.rows),
                twice("columns", |a| &mut a.cols),
                twice("lanes", |a| &mut a.lanes),
            ],
            _ => Vec::new(),
        }
    }

    /// Composed: dot-product units, and before each multiplier the choice of an activation of the group.
    fn resources(&self, _: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        let [keep, group, rows, cols, lanes] =
            [self.keep, self.group, self.rows, self.cols, self.lanes].map(u64::from);
        let widths = fabric.widths;
        // a weight meets every position; an activation every channel only if none is chosen
        let dots = if keep < group {
            fabric.dots(lanes, 1, cols)?.times(rows)?
        } else {
            fabric.dots(lanes, rows, cols)?
        };
        let choice = if keep < group {
            pieces::mux(group, widths.activation.into())?
        } else {
            0
        };
        let choices = Resources::logic(mul(choice, mul(lanes, mul(rows, cols)?)?)?, 0);
        let index = u64::from((self.group - self.keep.min(self.group)).min(1))
            * u64::from(self.group.next_power_of_two().trailing_zeros());
        let weights = registers(mul(lanes, rows)?, u64::from(widths.weight) + index)?;
        let inputs = registers(mul(mul(lanes / keep, group)?, cols)?, widths.activation.into())?;
        Ok(Resources::sum(&[dots, choices, weights, inputs])?)
    }
}
