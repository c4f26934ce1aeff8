//! With how many bits each tensor is stored: as many as the layers that multiply it ask for.
//!
//! Layers that do not multiply hand widths on: what they read is stored as wide as what they make. A tensor that
//! leaves the network, or that no layer multiplies, has the profile's width. Of several readers the widest decides,
//! and all of them read the tensor as it is stored.

use super::network::LayerSetting;
use crate::hardware::Profile;
use crate::network::{Layer, LayerId, Network};

/// Who reads a tensor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tensor {
    /// The layers that multiply it, seen through those that do not multiply.
    pub(super) readers: Vec<LayerId>,
    /// Whether it leaves the network, seen the same way.
    pub(super) leaves: bool,
}

/// Bits of an element of a tensor, from those that its readers multiply.
#[inline]
pub(super) fn stored_bits(
    profile: &Profile,
    leaves: bool,
    readers: impl Iterator<Item = Option<u32>>,
) -> u32 {
    match readers.map(|bits| bits.unwrap_or(profile.activation_bits)).max() {
        Some(asked) if !leaves => asked,
        asked => asked.unwrap_or(0).max(profile.activation_bits),
    }
}

/// The tensors of a network by the layer that makes them.
#[derive(Debug, Clone)]
pub(super) struct Tensors(Vec<Tensor>);

impl Tensors {
    pub(super) fn of(network: &Network) -> Self {
        let layers: Vec<(LayerId, &Layer)> = network.layers().collect();
        let places = layers.iter().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
        let mut tensors = vec![Tensor::default(); places];
        // readers first
        for &(id, _) in layers.iter().rev() {
            let mut tensor = Tensor {
                readers: Vec::new(),
                leaves: id == network.output(),
            };
            for reader in network.readers(id) {
                if network.layer(reader).nest.is_some() {
                    tensor.readers.push(reader);
                } else {
                    tensor.readers.extend(&tensors[reader.index()].readers);
                    tensor.leaves |= tensors[reader.index()].leaves;
                }
            }
            tensor.readers.sort_unstable();
            tensor.readers.dedup();
            tensors[id.index()] = tensor;
        }
        Self(tensors)
    }

    /// The tensor that a layer makes.
    pub(super) fn get(&self, id: LayerId) -> &Tensor {
        &self.0[id.index()]
    }

    /// Bits of an element of each tensor, at a setting of each layer.
    pub(super) fn bits<'a>(
        &self,
        network: &Network,
        profile: &Profile,
        setting: &dyn Fn(&Layer) -> LayerSetting<'a>,
    ) -> StoredWidths {
        let widths = self.0.iter().map(|tensor| {
            let readers = tensor.readers.iter().map(|&id| network.layer(id));
            stored_bits(
                profile,
                tensor.leaves,
                readers.map(|l| setting(l).activation_bits),
            )
        });
        StoredWidths(widths.collect())
    }
}

/// Bits of an element of each tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredWidths(Vec<u32>);

impl StoredWidths {
    /// Bits of an element of what a layer makes.
    pub(super) fn of(&self, id: LayerId) -> u32 {
        self.0[id.index()]
    }
}
