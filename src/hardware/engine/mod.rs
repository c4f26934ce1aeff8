//! The engines that a profile may have. An engine is a file here, which says what may stand in a profile, reads it
//! and describes it; a model in `simulate::engine`; and a line in each of the lists below.

mod bit_fusion;
mod bit_serial;
mod dot_product;
mod flexible;
mod row_stationary;
mod scatter;
mod slices;
mod structured;
mod systolic;

pub use bit_fusion::BitFusion;
pub use bit_serial::{BitSerial, SerialOperand};
pub use dot_product::DotProduct;
pub use flexible::Flexible;
pub use row_stationary::{RowStationary, RunLength};
pub use scatter::Scatter;
pub use slices::{FeaturePort, Partition, Slices, Synchronisation};
pub use structured::Structured;
pub use systolic::{Dataflow, Systolic};

use super::Engine;
use super::raw::{RawProfile, RawSourced};
use super::read::Reader;
use super::resources::{Fabric, Resources, ResourcesError};
use crate::compression::encoding::Encoding;
use crate::units::{Area, Frequency};
use bit_fusion::RawBitFusion;
use bit_serial::RawBitSerial;
use dot_product::RawDotProduct;
use flexible::RawFlexible;
use row_stationary::RawRowStationary;
use scatter::RawScatter;
use schemars::JsonSchema;
use serde::Deserialize;
use slices::RawSlices;
use structured::RawStructured;
use systolic::RawSystolic;
use toml::Spanned;

/// What an engine says of itself.
trait EngineForm {
    /// The encoding in which it takes weights.
    fn encoding(&self) -> Encoding;

    /// The spatial mapping in a word of reports, as `ws-16x16`.
    fn mapping(&self) -> String;

    /// What it is in a few words, for lists.
    fn label(&self) -> String;

    /// What it is, line by line.
    fn describe(&self) -> Vec<(&'static str, String)>;

    /// What could be changed to lower a cause of cycles (a name of `simulate::Causes::parts`): in words, and the
    /// engine with the change.
    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)>;

    /// What its PEs take of an FPGA. `name` is the engine's, for errors.
    fn resources(&self, name: &str, fabric: &Fabric) -> Result<Resources, ResourcesError>;
}

/// An engine with one count doubled, and the change in words: `banks 4 → 8`.
fn doubled<E: Clone>(
    engine: &E,
    kind: fn(E) -> EngineKind,
    what: &str,
    count: fn(&mut E) -> &mut u32,
) -> (String, EngineKind) {
    let mut changed = engine.clone();
    let count = count(&mut changed);
    let twice = count.saturating_mul(2);
    let words = format!("{what} {count} → {twice}");
    *count = twice;
    (words, kind(changed))
}

/// The engines.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineKind {
    /// A dense systolic array (SCALE-Sim's folds).
    Systolic(Systolic),
    /// PEs that each hold a slice of the weights: dense, or sparse with an index per entry.
    Slices(Slices),
    /// A row-stationary array (Eyeriss).
    RowStationary(RowStationary),
    /// Dot-product trees (NVDLA-like).
    DotProduct(DotProduct),
    /// Multipliers under a forwarding adder tree, weights packed by a bitmap (SIGMA) or dense (MAERI).
    Flexible(Flexible),
    /// Dot-product units that take N of every M weights.
    Structured(Structured),
    /// A systolic array of fusion units that run narrower operands faster.
    BitFusion(BitFusion),
    /// Units that take one operand bit by bit.
    BitSerial(BitSerial),
    /// PEs that scatter Cartesian products of non-zeros over banked accumulators (SCNN).
    Scatter(Scatter),
}

/// One way an array runs a layer: exactly one of the tables that say what it is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Engine")]
pub(crate) struct RawEngine {
    /// Unique in the profile.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) name: Spanned<String>,
    /// Its clock.
    pub(crate) clock: RawSourced<Frequency>,
    /// Area of one PE with its registers, its decoder and its share of the array.
    pub(crate) pe_area: Option<RawSourced<Area>>,
    /// A dense systolic array.
    pub(crate) systolic: Option<RawSystolic>,
    /// PEs that each hold a slice of the weights.
    pub(crate) slices: Option<RawSlices>,
    /// A row-stationary array (Eyeriss).
    pub(crate) row_stationary: Option<RawRowStationary>,
    /// Dot-product trees (NVDLA-like).
    pub(crate) dot_product: Option<RawDotProduct>,
    /// Multipliers under a forwarding adder tree.
    pub(crate) flexible: Option<RawFlexible>,
    /// Dot-product units that take N of every M weights.
    pub(crate) structured: Option<RawStructured>,
    /// A systolic array of fusion units that run narrower operands faster.
    pub(crate) bit_fusion: Option<RawBitFusion>,
    /// Units that take one operand bit by bit.
    pub(crate) bit_serial: Option<RawBitSerial>,
    /// PEs that scatter Cartesian products of non-zeros over banked accumulators.
    pub(crate) scatter: Option<RawScatter>,
}

impl RawEngine {
    /// The tables that are there, read; `None` for one with faults.
    fn kinds(&self, reader: &mut Reader) -> Vec<Option<EngineKind>> {
        let mut kinds = Vec::new();
        kinds.extend(
            self.systolic
                .as_ref()
                .map(|s| s.read(reader).map(EngineKind::Systolic)),
        );
        kinds.extend(
            self.slices
                .as_ref()
                .map(|s| s.read(reader).map(EngineKind::Slices)),
        );
        kinds.extend(
            self.row_stationary
                .as_ref()
                .map(|s| s.read(reader).map(EngineKind::RowStationary)),
        );
        kinds.extend(
            self.dot_product
                .as_ref()
                .map(|s| s.read(reader).map(EngineKind::DotProduct)),
        );
        kinds.extend(
            self.flexible
                .as_ref()
                .map(|s| s.read(reader).map(EngineKind::Flexible)),
        );
        kinds.extend(
            self.structured
                .as_ref()
                .map(|s| s.read(reader).map(EngineKind::Structured)),
        );
        kinds.extend(
            self.bit_fusion
                .as_ref()
                .map(|s| s.read(reader).map(EngineKind::BitFusion)),
        );
        kinds.extend(
            self.bit_serial
                .as_ref()
                .map(|s| s.read(reader).map(EngineKind::BitSerial)),
        );
        kinds.extend(
            self.scatter
                .as_ref()
                .map(|s| s.read(reader).map(EngineKind::Scatter)),
        );
        kinds
    }
}

/// Names of the tables, for errors.
const TABLES: &str = "`systolic`, `slices`, `row-stationary`, `dot-product`, `flexible`, `structured`, `bit-fusion`, `bit-serial` or `scatter`";

impl EngineKind {
    fn form(&self) -> &dyn EngineForm {
        match self {
            Self::Systolic(engine) => engine,
            Self::Slices(engine) => engine,
            Self::RowStationary(engine) => engine,
            Self::DotProduct(engine) => engine,
            Self::Flexible(engine) => engine,
            Self::Structured(engine) => engine,
            Self::BitFusion(engine) => engine,
            Self::BitSerial(engine) => engine,
            Self::Scatter(engine) => engine,
        }
    }

    /// The encoding in which the engine takes weights.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.form().encoding()
    }

    /// Whether it skips zero weights by an index.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        self.encoding() != Encoding::Dense
    }

    /// The spatial mapping in a word of reports, as `ws-16x16`.
    #[must_use]
    pub fn mapping(&self) -> String {
        self.form().mapping()
    }

    /// What it is in a few words.
    #[must_use]
    pub fn label(&self) -> String {
        self.form().label()
    }

    /// What it is, line by line: term and value.
    #[must_use]
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        self.form().describe()
    }

    /// What could be changed to lower a cause of cycles (a name of `simulate::Causes::parts`): in words, and the
    /// engine with the change.
    #[must_use]
    pub fn changes(&self, cause: &str) -> Vec<(String, Self)> {
        self.form().changes(cause)
    }

    pub(super) fn resources(&self, name: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        self.form().resources(name, fabric)
    }
}

impl Reader {
    pub(in crate::hardware) fn engines(&mut self, raw: &RawProfile) -> Option<Vec<Engine>> {
        if raw.engines.is_empty() {
            self.fault(
                raw.name.span(),
                "the profile has no engine",
                format!("add `[[engines]]` with a {TABLES} table"),
            );
            return None;
        }
        let names: Vec<_> = raw.engines.iter().map(|e| &e.get_ref().name).collect();
        self.unique(&names, "an engine");
        for engine in &raw.engines {
            if let (Some(pe_area), None) = (&engine.get_ref().pe_area, &raw.area) {
                self.fault(
                    pe_area.value.span(),
                    "an engine has a `pe-area`, but the profile has no `[area]`",
                    "add `[area]` with `sram-per-bit`, or leave `pe-area` out; area is modelled whole or not at all",
                );
            }
        }
        let engines: Vec<_> = raw.engines.iter().map(|e| self.engine(e)).collect();
        engines.into_iter().collect()
    }

    fn engine(&mut self, spanned: &Spanned<RawEngine>) -> Option<Engine> {
        let raw = spanned.get_ref();
        let name = self.text(&raw.name, "the engine's name", "give the engine a name");
        let clock = self.sourced(&raw.clock);
        let pe_area = self.optional(raw.pe_area.as_ref());
        let mut kinds = raw.kinds(self);
        let kind = match (kinds.pop(), kinds.is_empty()) {
            (Some(kind), true) => kind,
            (None, _) => {
                self.fault(
                    raw.name.span(),
                    "the engine has no array",
                    format!("add a {TABLES} table to it"),
                );
                None
            }
            (Some(_), false) => {
                self.fault(
                    raw.name.span(),
                    "the engine has more than one of the tables that say what it is",
                    "make an engine of each; a layer takes the cheapest",
                );
                None
            }
        };
        Some(Engine {
            name: name?,
            clock: clock?,
            pe_area: pe_area?,
            kind: kind?,
        })
    }
}
