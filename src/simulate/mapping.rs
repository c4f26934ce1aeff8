//! Mapping files: which mapping each layer runs, in strict TOML.

use super::engine::RowStationaryMapping;
use crate::document::{At, Fault, Faults, Source};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Larger extents are no layer's.
const MAX_EXTENT: u64 = 1 << 20;

/// Mappings by layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mappings {
    /// The file's name for itself.
    pub name: String,
    /// Where the mappings come from.
    pub source: String,
    /// Layer name to its mapping; layers that are not named are mapped by search.
    pub layers: BTreeMap<String, RowStationaryMapping>,
}

/// Row-stationary mappings of a network's layers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "Mapping file")]
struct MappingFile {
    /// Its name.
    name: At<String>,
    /// What it stands for, in a sentence.
    #[allow(dead_code, reason = "for people; its presence is checked")]
    description: At<String>,
    /// Paper and table, or `assumed: …`.
    source: At<String>,
    /// The mapping of each layer, as `[layer.conv1]`.
    layer: BTreeMap<String, LayerMapping>,
}

/// The letters of Chen et al., JSSC 2017.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LayerMapping {
    /// Output channels of a group whose partial sums stay in the buffer.
    m: At<u64>,
    /// Samples of a pass.
    n: At<u64>,
    /// Output rows of a strip.
    e: At<u64>,
    /// Filters that a PE interleaves.
    p: At<u64>,
    /// Channels that a PE interleaves.
    q: At<u64>,
    /// Sets of PEs on other channels.
    r: At<u64>,
    /// Sets of PEs on other filters.
    t: At<u64>,
}

impl Mappings {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// Every fault of the text at its place: unknown and missing keys, wrong types, counts that are 0 or over 2^20.
    /// Whether a mapping fits its layer is known when the layer is simulated.
    pub fn from_source(source: &Source) -> Result<Self, Faults> {
        let file: MappingFile = source.parse()?;
        let mut faults = Vec::new();
        for (what, text) in [("name", &file.name), ("source", &file.source)] {
            if text.value.trim().is_empty() {
                faults.push(text.fault(format!("`{what}` is empty"), "say where the mappings come from"));
            }
        }
        let mut layers = BTreeMap::new();
        for (name, at) in &file.layer {
            let mut count = |key: &str, at: &At<u64>| {
                if !(1..=MAX_EXTENT).contains(&at.value) {
                    faults.push(at.fault(
                        format!("`{key}` of layer `{name}` is {}", at.value),
                        format!("write a count from 1 to {MAX_EXTENT}"),
                    ));
                }
                at.value
            };
            let mapping = RowStationaryMapping {
                m: count("m", &at.m),
                n: count("n", &at.n),
                e: count("e", &at.e),
                p: count("p", &at.p),
                q: count("q", &at.q),
                r: count("r", &at.r),
                t: count("t", &at.t),
            };
            layers.insert(name.clone(), mapping);
        }
        if faults.is_empty() {
            Ok(Self {
                name: file.name.value,
                source: file.source.value,
                layers,
            })
        } else {
            Err(source.faults(faults))
        }
    }

    /// Whether every layer of the file is one of `names`, the network's layers that multiply.
    ///
    /// # Errors
    /// Each layer that is not, at its place in `source`, the file's text.
    pub fn check_layers(&self, source: &Source, names: &[&str]) -> Result<(), Faults> {
        let unknown = self
            .layers
            .keys()
            .filter(|layer| !names.contains(&layer.as_str()));
        let faults: Vec<Fault> = unknown
            .map(|layer| {
                let near = crate::document::nearest(layer, names.iter().copied())
                    .map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                Fault::new(
                    source.place(&["layer", layer]),
                    format!("the network has no layer `{layer}` that multiplies"),
                    format!("{near}layers that multiply: {}", names.join(", ")),
                )
            })
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(source.faults(faults))
        }
    }
}
