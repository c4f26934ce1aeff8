//! How layers that do not multiply are run, on the command line and in the notes below a table.

use crate::network::Network;
use crate::simulate::{Fusion, MEMORY, NetworkCost, NetworkLayer};
use clap::ValueEnum;

/// A way of running layers that do not multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FusionMode {
    /// They cost nothing, and outputs are stored before they act
    Ideal,
    /// Each is a layer of its own that reads its inputs and writes its output
    None,
    /// Batch norms, activations and adds are fused into the layer that makes their input; others are on their own
    Elementwise,
    /// Pooling is fused too
    Full,
}

impl FusionMode {
    pub(super) fn fusion(self) -> Fusion {
        match self {
            Self::Ideal => Fusion::Ideal,
            Self::None => Fusion::None,
            Self::Elementwise => Fusion::Elementwise,
            Self::Full => Fusion::Full,
        }
    }
}

/// The operations that are fused behind a layer.
pub(super) fn ops(network: &Network, layer: &NetworkLayer) -> Vec<&'static str> {
    let found = layer.fused.iter().filter_map(|name| network.find(name));
    found.map(|id| network.layer(id).op.kind()).collect()
}

/// What became of the layers that do not multiply: lines for below a table.
pub(super) fn note(total: &NetworkCost) -> String {
    let mut note = String::new();
    if !total.not_modelled.is_empty() {
        let others = total.not_modelled.len();
        note = format!("\nnot modelled: {others} layers that do not multiply");
    }
    let fused: usize = total.layers.iter().map(|layer| layer.fused.len()).sum();
    let moving = total
        .layers
        .iter()
        .filter(|layer| layer.outcome.cost.engine == MEMORY);
    let (moving, free) = (moving.count(), total.free.len());
    if fused + moving + free > 0 {
        note = format!(
            "{note}\nlayers that do not multiply: {fused} fused, {moving} on their own (`{MEMORY}`), {free} free; their arithmetic is not modelled"
        );
    }
    note
}
