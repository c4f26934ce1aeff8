//! Mapping files: which mapping each layer runs, in strict TOML.

use super::engine::RowStationaryMapping;
use super::memory::{TileOrder, Tiling};
use super::spatial::Spatial;
use super::work::Mapping;
use crate::document::{At, Fault, Faults, Source};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;

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
    pub layers: BTreeMap<String, Mapping>,
}

/// Mappings of a network's layers.
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

/// For a row-stationary array all of `m` to `t`, the letters of Chen et al., JSSC 2017; for other engines tiles
/// (`channels`, `rows` and `order`), a spatial split (any of `groups`, `positions` and `kernel-columns`), or both.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LayerMapping {
    /// Output channels of a group whose partial sums stay in the buffer.
    m: Option<At<u64>>,
    /// Samples of a pass.
    n: Option<At<u64>>,
    /// Output rows of a strip.
    e: Option<At<u64>>,
    /// Filters that a PE interleaves.
    p: Option<At<u64>>,
    /// Channels that a PE interleaves.
    q: Option<At<u64>>,
    /// Sets of PEs on other channels.
    r: Option<At<u64>>,
    /// Sets of PEs on other filters.
    t: Option<At<u64>>,
    /// Sets of PEs on other groups, 1 without it.
    g: Option<At<u64>>,
    /// Output channels of a tile, all groups counted.
    channels: Option<At<u64>>,
    /// Output rows of a tile, all samples counted.
    rows: Option<At<u64>>,
    /// Which loop over tiles is the outer one.
    order: Option<At<OrderWord>>,
    /// Groups that run at once on the array; of a split that is given, 1 without it.
    groups: Option<At<u64>>,
    /// Parts of the output positions that run at once, each with a copy of the weights.
    positions: Option<At<u64>>,
    /// Kernel columns that run at once on the lanes of input channels.
    #[serde(rename = "kernel-columns")]
    kernel_columns: Option<At<u64>>,
}

/// Which loop over tiles is the outer one.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OrderWord {
    /// Weights are loaded once.
    ChannelsOuter,
    /// Inputs are loaded once.
    RowsOuter,
}

impl LayerMapping {
    /// The mapping, or what is wrong with it; `table` is the layer's place in the file.
    fn read(&self, name: &str, table: Range<usize>) -> Result<Mapping, Vec<Fault>> {
        let letters = [
            ("m", &self.m),
            ("n", &self.n),
            ("e", &self.e),
            ("p", &self.p),
            ("q", &self.q),
            ("r", &self.r),
            ("t", &self.t),
        ];
        let sets = [("g", &self.g)];
        let sizes = [("channels", &self.channels), ("rows", &self.rows)];
        let split = [
            ("groups", &self.groups),
            ("positions", &self.positions),
            ("kernel-columns", &self.kernel_columns),
        ];
        let mut faults = Vec::new();
        for (key, at) in letters.iter().chain(&sets).chain(&sizes).chain(&split) {
            if let Some(at) = at
                && !(1..=MAX_EXTENT).contains(&at.value)
            {
                faults.push(at.fault(
                    format!("`{key}` of layer `{name}` is {}", at.value),
                    format!("write a count from 1 to {MAX_EXTENT}"),
                ));
            }
        }
        let tiled = sizes.iter().any(|(_, at)| at.is_some()) || self.order.is_some();
        let is_split = split.iter().any(|(_, at)| at.is_some());
        if let (true, Some((key, Some(at)))) = (
            tiled || is_split,
            letters.iter().chain(&sets).find(|(_, at)| at.is_some()),
        ) {
            faults.push(at.fault(
                format!(
                    "layer `{name}` has {} and `{key}`, which belongs to a row-stationary mapping",
                    if tiled { "tiles" } else { "a spatial split" }
                ),
                "write `channels`, `rows` and `order`, or `m`, `n`, `e`, `p`, `q`, `r` and `t`",
            ));
            return Err(faults);
        }
        let mut missing: Vec<&str> = Vec::new();
        let wanted = match (tiled, is_split) {
            (true, _) => &sizes[..],
            (false, true) => &[],
            (false, false) => &letters[..],
        };
        missing.extend(wanted.iter().filter(|(_, at)| at.is_none()).map(|(key, _)| *key));
        if tiled && self.order.is_none() {
            missing.push("order");
        }
        if !missing.is_empty() {
            let help = if tiled {
                "tiles are `channels`, `rows` and `order = \"channels-outer\"` or `\"rows-outer\"`"
            } else {
                "a row-stationary mapping is `m`, `n`, `e`, `p`, `q`, `r` and `t`; tiles are `channels`, `rows` and `order`; a spatial split is any of `groups`, `positions` and `kernel-columns`"
            };
            let keys: Vec<String> = missing.iter().map(|key| format!("`{key}`")).collect();
            faults.push(Fault::new(
                table,
                format!("layer `{name}` lacks {}", keys.join(", ")),
                help,
            ));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let count = |at: &Option<At<u64>>| at.as_ref().map_or(1, |at| at.value);
        let tiling = self.order.as_ref().map(|order| Tiling {
            channels: count(&self.channels),
            rows: count(&self.rows),
            order: match order.value {
                OrderWord::ChannelsOuter => TileOrder::ChannelsOuter,
                OrderWord::RowsOuter => TileOrder::RowsOuter,
            },
        });
        let spatial = Spatial {
            groups: count(&self.groups),
            positions: count(&self.positions),
            columns: count(&self.kernel_columns),
        };
        Ok(match tiling {
            _ if is_split => Mapping::Spatial(spatial, tiling),
            Some(tiling) => Mapping::Tiled(tiling),
            None => Mapping::RowStationary(RowStationaryMapping {
                m: count(&self.m),
                n: count(&self.n),
                e: count(&self.e),
                p: count(&self.p),
                q: count(&self.q),
                r: count(&self.r),
                t: count(&self.t),
                g: count(&self.g),
            }),
        })
    }
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
            match at.read(name, source.place(&["layer", name])) {
                Ok(mapping) => {
                    layers.insert(name.clone(), mapping);
                }
                Err(found) => faults.extend(found),
            }
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
