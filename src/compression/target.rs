//! What a layer shall become, and the recipe that says so for every layer.

use super::encoding::Encoding;
use super::precision::Precision;
use super::structure::Structure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The target of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// Where zeros may stand.
    pub structure: Structure,
    /// Portion of the weights kept, in (0, 1].
    #[schemars(range(min = 0.0, max = 1.0))]
    pub density: f64,
    /// How a surviving weight is stored.
    pub precision: Precision,
    /// How the tensor lies in memory.
    pub encoding: Encoding,
    /// Bits at which the layer's inputs are multiplied and stored; the accelerator's own where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub activation_bits: Option<u8>,
}

impl Target {
    /// The layer as it is: every weight, `float32`.
    pub const DENSE: Self = Self {
        structure: Structure::Unstructured,
        density: 1.0,
        precision: Precision::Float32,
        encoding: Encoding::Dense,
        activation_bits: None,
    };

    /// Weights kept of `total`: the density's share, rounded to the nearest, at least one.
    #[must_use]
    pub fn kept(&self, total: usize) -> usize {
        weights_kept(self.density, total)
    }
}

/// A density's share of `total` weights, rounded to the nearest, at least one where there are any.
pub(crate) fn weights_kept(density: f64, total: usize) -> usize {
    ((density * total as f64).round() as usize).clamp(usize::from(total > 0), total)
}

/// A target for every layer with weights; layers that are not named stay dense.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recipe {
    /// Layer name to target.
    pub layers: BTreeMap<String, Target>,
}

impl Recipe {
    /// The target of a layer.
    #[must_use]
    pub fn target(&self, layer: &str) -> Target {
        self.layers.get(layer).copied().unwrap_or(Target::DENSE)
    }
}

/// The form of a recipe file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecipeFile {
    /// Where the targets come from: the command that chose them, or a paper and its table.
    pub source: String,
    /// Layer name to target.
    pub layer: BTreeMap<String, Target>,
}
