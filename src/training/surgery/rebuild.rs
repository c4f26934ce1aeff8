//! The smaller network and its parameters.

use super::SurgeryError;
use super::removal::{Removal, removed};
use super::units::{Relation, Units, Weights};
use crate::compression::Mask;
use crate::network::{Layer, LayerId, Network, NetworkBuilder, Op};
use crate::training::{Parameter, Parameters, Role};
use std::collections::BTreeMap;

/// A network without the units that it did not need.
#[derive(Debug, Clone)]
pub struct Smaller {
    /// The network: the same layers by the same names, with fewer units. A layer that gained a bias by folding has one.
    pub network: Network,
    /// Its parameters, supports included.
    pub parameters: Parameters,
    /// Layer name to the units that stayed, as numbered before; for layers that lost some.
    pub kept: BTreeMap<String, Vec<usize>>,
}

/// The smaller network that computes the same.
///
/// Units leave where nothing reads them or where they are constants that their readers' biases take in (see
/// [the module](crate::training::surgery)); a layer keeps at least one. Weights that are zero decide, whatever the
/// supports say. In training, outputs differ where a constant went through dropout.
///
/// # Errors
/// When the parameters are not those of the network.
pub fn shrink(network: &Network, parameters: &Parameters) -> Result<Smaller, SurgeryError> {
    let mut smaller = once(network, parameters)?;
    // a grouped convolution of which one group is left is a plain one, whose units leave one by one
    loop {
        let next = once(&smaller.network, &smaller.parameters)?;
        if next.kept.is_empty() {
            return Ok(smaller);
        }
        let mut kept = smaller.kept;
        for (layer, units) in next.kept {
            let before = kept.remove(&layer);
            let named = |u: usize| before.as_ref().map_or(u, |b| b[u]);
            kept.insert(layer, units.into_iter().map(named).collect());
        }
        smaller = Smaller { kept, ..next };
    }
}

fn once(network: &Network, parameters: &Parameters) -> Result<Smaller, SurgeryError> {
    let units = Units::new(network, parameters)?;
    let removal = removed(&units);
    let mut builder = NetworkBuilder::new();
    let mut list = Vec::new();
    let mut kept = BTreeMap::new();
    // in the order of definition, which decides the order of layers where the graph leaves a choice
    let mut defined = units.layers.clone();
    defined.sort_by_key(|(id, _)| *id);
    for (id, layer) in defined {
        let op = smaller_op(&units, &removal, id, layer);
        if op == Op::Input {
            builder.input(&layer.name, layer.output.clone());
        } else {
            let names: Vec<&str> = layer
                .inputs
                .iter()
                .map(|&i| network.layer(i).name.as_str())
                .collect();
            builder.layer(&layer.name, op, &names);
        }
    }
    for &(id, layer) in &units.layers {
        let stays = indices(&removal.stays[id.index()]);
        list.extend(smaller_parameters(&units, &removal, id, layer, &stays));
        if stays.len() < units.count(id) {
            kept.insert(layer.name.clone(), stays);
        }
    }
    Ok(Smaller {
        network: builder.build()?,
        parameters: Parameters { list },
        kept,
    })
}

fn indices(stays: &[bool]) -> Vec<usize> {
    (0..stays.len()).filter(|&u| stays[u]).collect()
}

/// What folded constants add to each output unit of a layer; `None` where they add nothing.
fn folded(units: &Units<'_>, removal: &Removal, id: LayerId, layer: &Layer) -> Option<Vec<f64>> {
    let (Relation::Dense { .. }, Some(weights)) = (units.relation(id), units.weights(layer)) else {
        return None;
    };
    let input = layer.inputs[0].index();
    let constant = |c: usize| removal.constants[input][c].filter(|_| !removal.stays[input][c]);
    let added: Vec<f64> = (0..weights.rows)
        .map(|row| {
            let channels = (0..weights.channels).filter(|&c| weights.reads(row, c));
            channels
                .filter_map(|c| Some(weights.of_constant(row, c, constant(c)?)))
                .sum()
        })
        .collect();
    let stays = &removal.stays[id.index()];
    added
        .iter()
        .zip(stays)
        .any(|(&a, &s)| s && a != 0.0)
        .then_some(added)
}

fn smaller_op(units: &Units<'_>, removal: &Removal, id: LayerId, layer: &Layer) -> Op {
    let stays = &removal.stays[id.index()];
    let left = stays.iter().filter(|s| **s).count();
    let folds = || folded(units, removal, id, layer).is_some();
    match (&layer.op, units.relation(id)) {
        (Op::Conv2d(c), Relation::Dense { .. }) => Op::Conv2d(crate::network::op::Conv2d {
            out_channels: left,
            bias: c.bias || folds(),
            ..*c
        }),
        (Op::Conv2d(c), Relation::Grouped { .. }) => Op::Conv2d(crate::network::op::Conv2d {
            out_channels: left,
            groups: c.groups * left / stays.len().max(1),
            ..*c
        }),
        (Op::Linear { bias, .. }, Relation::Dense { .. }) => Op::Linear {
            out_features: left,
            bias: *bias || folds(),
        },
        (op, _) => op.clone(),
    }
}

fn smaller_parameters(
    units: &Units<'_>,
    removal: &Removal,
    id: LayerId,
    layer: &Layer,
    stays: &[usize],
) -> Vec<Parameter> {
    let relation = units.relation(id);
    let added = folded(units, removal, id, layer);
    let own = units.parameters.list.iter().filter(|p| p.layer == layer.name);
    let mut list: Vec<Parameter> = own
        .map(|p| match (p.role, relation) {
            (_, Relation::Opaque) => p.clone(),
            (Role::Weight, Relation::Dense { .. }) => {
                let columns = indices(&removal.stays[layer.inputs[0].index()]);
                cut(layer, p, stays, &columns)
            }
            (Role::Weight, _) => {
                let channels = p.shape.get(1).copied().unwrap_or(1);
                cut(layer, p, stays, &(0..channels).collect::<Vec<_>>())
            }
            _ => rows(p, stays),
        })
        .collect();
    if let Some(added) = added {
        let bias = format!("{}.bias", layer.name);
        if !list.iter().any(|p| p.name == bias) {
            let after = list
                .iter()
                .position(|p| p.role == Role::Weight)
                .map_or(0, |i| i + 1);
            list.insert(
                after,
                Parameter {
                    name: bias.clone(),
                    layer: layer.name.clone(),
                    role: Role::Bias,
                    shape: vec![stays.len()],
                    values: vec![0.0; stays.len()],
                    support: None,
                },
            );
        }
        for p in list.iter_mut().filter(|p| p.name == bias) {
            for (value, &unit) in p.values.iter_mut().zip(stays) {
                *value = (f64::from(*value) + added[unit]) as f32;
            }
            // a bias that takes a constant in is alive
            p.support = None;
        }
    }
    list
}

/// The rows and channels of a weight tensor that stay.
pub(super) fn cut(layer: &Layer, p: &Parameter, stays: &[usize], channels: &[usize]) -> Parameter {
    let weights = Weights::new(layer, &p.values);
    let places: Vec<usize> = stays
        .iter()
        .flat_map(|&row| channels.iter().flat_map(move |&c| weights.place(row, c)))
        .collect();
    let mut shape = p.shape.clone();
    for (axis, left) in shape.iter_mut().zip([stays.len(), channels.len()]) {
        *axis = left;
    }
    picked(p, shape, &places)
}

/// The values of the units that stay.
pub(super) fn rows(p: &Parameter, stays: &[usize]) -> Parameter {
    picked(p, vec![stays.len()], stays)
}

fn picked(p: &Parameter, shape: Vec<usize>, places: &[usize]) -> Parameter {
    let rows = shape.first().copied().unwrap_or(1);
    let support = p.support.as_ref().map(|from| {
        let mut mask = Mask::empty(rows, places.len() / rows.max(1));
        for (i, _) in places.iter().enumerate().filter(|(_, at)| from.get(**at)) {
            mask.set(i, true);
        }
        mask
    });
    Parameter {
        name: p.name.clone(),
        layer: p.layer.clone(),
        role: p.role,
        shape,
        values: places.iter().map(|&i| p.values[i]).collect(),
        support,
    }
}
