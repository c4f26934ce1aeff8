//! A dot-product tree array (NVDLA-like): what a profile says of it.

use super::{EngineForm, EngineKind, doubled};
use crate::compression::encoding::Encoding;
use crate::hardware::read::{MAX_COUNT, Reader};
use crate::hardware::resources::{Fabric, Resources, ResourcesError, registers};
use crate::units::mul;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// Dot-product trees: in each cycle one position's channels meet the held weights of several kernels, and each
/// kernel's products are summed by a tree into an accumulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DotProduct {
    /// Kernels (output channels) side by side.
    pub kernels: u32,
    /// Input channels of one dot product.
    pub channels: u32,
    /// Accumulators of one kernel: output positions whose sums stay in the array.
    pub accumulators: u32,
    /// Weights a cycle into the shadow registers, while the held ones work.
    pub weights_per_cycle: u32,
    /// Cycles from the operands to the accumulator, beyond the first.
    pub latency: u32,
}

/// Dot-product trees (NVDLA-like).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "DotProduct")]
pub(crate) struct RawDotProduct {
    /// Kernels (output channels) side by side.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) kernels: Spanned<u64>,
    /// Input channels of one dot product.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) channels: Spanned<u64>,
    /// Accumulators of one kernel: output positions whose sums stay in the array.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) accumulators: Spanned<u64>,
    /// Weights a cycle into the shadow registers, while the held ones work.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) weights_per_cycle: Spanned<u64>,
    /// Cycles from the operands to the accumulator, beyond the first.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) latency: Spanned<u64>,
    /// Where the structure comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

impl RawDotProduct {
    /// The checked array.
    pub(super) fn read(&self, reader: &mut Reader) -> Option<DotProduct> {
        let kernels = reader.count(&self.kernels, "`kernels`", MAX_COUNT);
        let channels = reader.count(&self.channels, "`channels`", MAX_COUNT);
        let accumulators = reader.count(&self.accumulators, "`accumulators`", MAX_COUNT);
        let weights_per_cycle = reader.count(&self.weights_per_cycle, "`weights-per-cycle`", MAX_COUNT);
        let latency = reader.count(&self.latency, "`latency`", MAX_COUNT);
        reader.source(&self.source);
        Some(DotProduct {
            kernels: kernels?,
            channels: channels?,
            accumulators: accumulators?,
            weights_per_cycle: weights_per_cycle?,
            latency: latency?,
        })
    }
}

impl EngineForm for DotProduct {
    fn encoding(&self) -> Encoding {
        Encoding::Dense
    }

    fn mapping(&self) -> String {
        format!("dot-{}x{}", self.kernels, self.channels)
    }

    fn label(&self) -> String {
        format!("dot products {}x{}", self.kernels, self.channels)
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "array",
                format!("{} kernels x {} channels a cycle", self.kernels, self.channels),
            ),
            (
                "accumulators",
                format!("{} positions of each kernel", self.accumulators),
            ),
            ("weights a cycle", self.weights_per_cycle.to_string()),
            ("latency", format!("{} cycles", self.latency)),
        ]
    }

    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)> {
        let twice = |what, count| doubled(self, EngineKind::DotProduct, what, count);
        match cause {
            "compute" | "unused" => vec![
                twice("kernels", |a| &mut a.kernels),
                twice("channels", |a| &mut a.channels),
            ],
            "fill_drain" => vec![
                twice("weights a cycle", |a| &mut a.weights_per_cycle),
                twice("accumulators", |a| &mut a.accumulators),
            ],
            _ => Vec::new(),
        }
    }

    fn resources(&self, _: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        let [kernels, channels] = [self.kernels, self.channels].map(u64::from);
        // an activation meets the weights of every kernel
        let trees = fabric.dots(channels, kernels, 1)?;
        // held and shadow weight
        let weights = registers(mul(2, mul(kernels, channels)?)?, fabric.widths.weight.into())?;
        // a look-up table is a RAM of 64 bits
        let sums = mul(
            u64::from(self.accumulators).div_ceil(64),
            fabric.widths.accumulator.into(),
        )?;
        let sums = Resources::logic(mul(sums, kernels)?, 0);
        Ok(Resources::sum(&[trees, weights, sums])?)
    }
}
