//! PEs that multiply all non-zero weights with all non-zero activations of a channel and scatter the products: what
//! a profile says of them.

use super::{EngineForm, EngineKind, doubled};
use crate::compression::encoding::Encoding;
use crate::hardware::read::{MAX_COUNT, Reader};
use crate::hardware::resources::{Fabric, Resources, ResourcesError, pieces, registers};
use crate::units::{add, mul};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// A grid of PEs that each own a tile of the input plane and form Cartesian products of compressed weights and
/// activations, scattered over banked accumulators (SCNN, ISCA 2017).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scatter {
    /// PE rows; the input's rows are dealt out over them.
    pub rows: u32,
    /// PE columns.
    pub cols: u32,
    /// Non-zero weights that a PE takes a cycle (SCNN's F).
    pub weights: u32,
    /// Non-zero activations that a PE takes a cycle (SCNN's I).
    pub activations: u32,
    /// Accumulator banks of a PE (SCNN's A); each adds one product a cycle.
    pub banks: u32,
    /// Products that wait before each bank; 0 holds the multipliers until all products of a cycle are added.
    pub queue_depth: u32,
    /// Accumulators of a PE, all banks together.
    pub accumulators: u32,
    /// The most output channels that are computed together (SCNN's Kc).
    pub output_channels: u32,
    /// Bits of a relative index, with each weight and each activation.
    pub index_bits: u8,
}

/// PEs that scatter Cartesian products over banked accumulators.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Scatter")]
pub(crate) struct RawScatter {
    /// PE rows.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) rows: Spanned<u64>,
    /// PE columns.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) cols: Spanned<u64>,
    /// Non-zero weights that a PE takes a cycle.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) weights: Spanned<u64>,
    /// Non-zero activations that a PE takes a cycle.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) activations: Spanned<u64>,
    /// Accumulator banks of a PE.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) banks: Spanned<u64>,
    /// Products that wait before each bank; without it none do.
    #[schemars(with = "Option<u32>", range(min = 1, max = 65_536))]
    pub(crate) queue_depth: Option<Spanned<u64>>,
    /// Accumulators of a PE, all banks together.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) accumulators: Spanned<u64>,
    /// The most output channels that are computed together.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) output_channels: Spanned<u64>,
    /// Bits of a relative index.
    #[schemars(with = "u32", range(min = 1, max = 16))]
    pub(crate) index_bits: Spanned<u64>,
    /// Where the structure comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

impl RawScatter {
    /// The checked engine.
    pub(super) fn read(&self, reader: &mut Reader) -> Option<Scatter> {
        let rows = reader.count(&self.rows, "`rows`", MAX_COUNT);
        let cols = reader.count(&self.cols, "`cols`", MAX_COUNT);
        let weights = reader.count(&self.weights, "`weights`", MAX_COUNT);
        let activations = reader.count(&self.activations, "`activations`", MAX_COUNT);
        let banks = reader.count(&self.banks, "`banks`", MAX_COUNT);
        let queue_depth = match &self.queue_depth {
            Some(depth) => reader.count(depth, "`queue-depth`", MAX_COUNT),
            None => Some(0),
        };
        let accumulators = reader.count(&self.accumulators, "`accumulators`", MAX_COUNT);
        let output_channels = reader.count(&self.output_channels, "`output-channels`", MAX_COUNT);
        let index_bits = reader.count(&self.index_bits, "`index-bits`", 16);
        reader.source(&self.source);
        let (banks, accumulators) = (banks?, accumulators?);
        if accumulators < banks {
            reader.fault(
                self.accumulators.span(),
                format!("{accumulators} accumulators in {banks} banks"),
                "write at least one accumulator for each bank",
            );
            return None;
        }
        Some(Scatter {
            rows: rows?,
            cols: cols?,
            weights: weights?,
            activations: activations?,
            banks,
            queue_depth: queue_depth?,
            accumulators,
            output_channels: output_channels?,
            index_bits: index_bits? as u8,
        })
    }
}

impl EngineForm for Scatter {
    fn encoding(&self) -> Encoding {
        Encoding::RelativeIndex {
            bits: self.index_bits,
        }
    }

    fn mapping(&self) -> String {
        format!(
            "scatter-{}x{}-{}x{}",
            self.rows, self.cols, self.weights, self.activations
        )
    }

    fn label(&self) -> String {
        format!(
            "scatter {}x{} of {}x{}",
            self.rows, self.cols, self.weights, self.activations
        )
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        let queue = match self.queue_depth {
            0 => "without queues".into(),
            depth => format!("behind queues of {depth}"),
        };
        vec![
            (
                "array",
                format!(
                    "{} x {} PEs, each {} non-zero weights x {} non-zero activations a cycle",
                    self.rows, self.cols, self.weights, self.activations
                ),
            ),
            (
                "accumulators",
                format!("{} a PE in {} banks {queue}", self.accumulators, self.banks),
            ),
            (
                "order",
                format!(
                    "at most {} output channels together, then a barrier",
                    self.output_channels
                ),
            ),
            (
                "index",
                format!("relative, {} bits, weights and activations", self.index_bits),
            ),
        ]
    }

    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)> {
        let twice = |what, count| doubled(self, EngineKind::Scatter, what, count);
        match cause {
            "compute" => vec![
                twice("PE rows", |a| &mut a.rows),
                twice("weights a cycle", |a| &mut a.weights),
            ],
            // wider output-channel groups fill the last vector of weights better
            "unused" | "imbalance" => vec![twice("output channels together", |a| &mut a.output_channels)],
            "feature_port" => {
                let queues = if self.queue_depth == 0 {
                    let deeper = Self {
                        queue_depth: 4,
                        ..*self
                    };
                    ("queues before banks 0 → 4".into(), EngineKind::Scatter(deeper))
                } else {
                    twice("queues before banks", |a| &mut a.queue_depth)
                };
                vec![twice("banks", |a| &mut a.banks), queues]
            }
            _ => Vec::new(),
        }
    }

    /// Composed: an outer product of multipliers, index adders for the coordinates of operands and products, a crossbar
    /// with an arbiter before the banks, their queues, and double-buffered accumulators in look-up tables.
    fn resources(&self, _: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        let [weights, activations, banks] = [self.weights, self.activations, self.banks].map(u64::from);
        let [weight, activation, accumulator] = [
            fabric.widths.weight,
            fabric.widths.activation,
            fabric.widths.accumulator,
        ]
        .map(u64::from);
        let (operands, products) = (add(weights, activations)?, mul(weights, activations)?);
        let address = u64::from(self.accumulators.next_power_of_two().trailing_zeros()).max(1);
        let entry = weight + activation + address;
        let held = registers(weights, weight)?.plus(registers(activations, activation)?)?;
        let coordinates = Resources::logic(address, address).times(add(operands, products)?)?;
        let crossbar = pieces::crossbar(products, banks, entry)?;
        // does a product want this bank, and does an earlier one
        let arbiter = mul(2, mul(products, banks)?)?;
        let per_bank = u64::from(self.accumulators).div_ceil(banks);
        let tables = mul(2, mul(per_bank.div_ceil(64), accumulator)?)?;
        let bank = Resources::logic(add(tables, weight + activation)?, 0);
        let bank = bank.plus(pieces::queue(entry, self.queue_depth))?;
        let pe = Resources::sum(&[
            fabric.products(weights, activations)?,
            held,
            coordinates,
            Resources::logic(add(crossbar, arbiter)?, 0),
            bank.times(banks)?,
        ])?;
        Ok(pe.times(mul(self.rows.into(), self.cols.into())?)?)
    }
}
