//! What steps on groups of weights have in common: the layers that they act on, and where their zeros may stand.

use super::Place;
use crate::compression::structure::{Structure, TensorShape};
use crate::document::Fault;
use crate::network::{Layer, Network};

/// Whether a step that names these layers acts on one; no names are all layers with weights.
fn acts_on(layers: &[String], layer: &Layer) -> bool {
    layers.is_empty() || layers.contains(&layer.name)
}

/// The structure of each layer with weights that a step acts on.
pub(super) fn structures(
    network: &Network,
    layers: &[String],
    structure: Structure,
) -> Vec<Option<Structure>> {
    let of = |l: &Layer| acts_on(layers, l).then_some(structure);
    network.weighted().map(of).collect()
}

/// Layers that the network lacks, and structures that have no groups or that a layer cannot hold.
pub(super) fn faults(at: &Place<'_>, layers: &[String], structure: Structure) -> Vec<Fault> {
    let mut faults: Vec<Fault> = layers
        .iter()
        .filter_map(|layer| at.unknown(&["layers"], layer))
        .collect();
    for layer in at.network.weighted().filter(|l| acts_on(layers, l)) {
        let shape = TensorShape::of(&layer.weight_shape().unwrap_or_default());
        if let Err(error) = structure.fits(shape, 0) {
            faults.push(at.fault(
                &["structure"],
                format!("layer `{}` cannot have this structure: {error}", layer.name),
                "change the structure, or name in `layers` those that can",
            ));
        } else if structure.partition(shape).is_none() {
            faults.push(at.fault(
                &["structure"],
                "this structure has no groups of weights that live or die together",
                "take \"unstructured\", \"filter\", \"channel\", \"shape\", or a block, block-row or block-column",
            ));
            break;
        }
    }
    faults
}
