//! Weights that no output depends on.

use super::SurgeryError;
use super::constants::{constants, foldable};
use super::units::{Relation, Units, Weights};
use crate::compression::Mask;
use crate::network::{Layer, Network, Op};
use crate::training::{Parameters, Role};

/// Parameters without the weights that did nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Purified {
    /// The parameters of the same network; supports of weights are smaller.
    pub parameters: Parameters,
    /// Positions that were in a support and no longer are.
    pub removed: usize,
}

/// Removes the weights of units without outputs (what no later weight reads) and without inputs (constants, which the
/// readers' biases take in), in both directions until nothing changes. The outputs in evaluation stay the same.
///
/// A constant that is not zero stays where a reader has no bias or pads its input.
///
/// # Errors
/// When the parameters are not those of the network.
pub fn purify(network: &Network, parameters: &Parameters) -> Result<Purified, SurgeryError> {
    let mut now = parameters.clone();
    let mut removed = 0;
    loop {
        let found;
        (now, found) = pass(network, &now)?;
        removed += found;
        if found == 0 {
            return Ok(Purified {
                parameters: now,
                removed,
            });
        }
    }
}

/// The value of an input unit that this reader's bias can take in.
fn folds(units: &Units<'_>, layer: &Layer, padded: bool, value: Option<f64>) -> Option<f64> {
    let biased = units.values(layer, "bias").is_some();
    value.filter(|&v| v == 0.0 || (biased && foldable(v, padded)))
}

fn pass(network: &Network, parameters: &Parameters) -> Result<(Parameters, usize), SurgeryError> {
    let units = Units::new(network, parameters)?;
    let constants = constants(&units);
    let needed = needed(&units, &constants);
    let mut next = parameters.clone();
    let mut removed = 0;
    for &(id, layer) in &units.layers {
        let needed = &needed[id.index()];
        match units.relation(id) {
            Relation::Dense { padded } | Relation::Grouped { padded } => {
                let Some(weights) = units.weights(layer) else {
                    continue;
                };
                let input = &constants[layer.inputs[0].index()];
                let mut added = vec![0.0; weights.rows];
                let mut dead = Vec::new();
                for row in 0..weights.rows {
                    for channel in 0..weights.channels {
                        let value = input[weights.input(row, channel)];
                        let constant = folds(&units, layer, padded, value);
                        if needed[row] && constant.is_none() {
                            continue;
                        }
                        if let Some(value) = constant {
                            added[row] += weights.of_constant(row, channel, value);
                        }
                        dead.push(weights.place(row, channel));
                    }
                }
                removed += kill(&mut next, layer, &weights, &dead);
                let bias = next
                    .list
                    .iter_mut()
                    .find(|p| p.role == Role::Bias && p.layer == layer.name);
                if let Some(bias) = bias {
                    for (row, value) in bias.values.iter_mut().enumerate() {
                        *value = if needed[row] {
                            (f64::from(*value) + added[row]) as f32
                        } else {
                            0.0
                        };
                    }
                    if added.iter().any(|&a| a != 0.0) {
                        bias.support = None;
                    }
                }
            }
            Relation::Tied if matches!(layer.op, Op::BatchNorm { .. }) => {
                let own = |p: &&mut crate::training::Parameter| {
                    p.layer == layer.name && matches!(p.role, Role::Gain | Role::Shift)
                };
                for p in next.list.iter_mut().filter(own) {
                    for (value, _) in p.values.iter_mut().zip(needed).filter(|(_, n)| !**n) {
                        *value = 0.0;
                    }
                }
            }
            _ => {}
        }
    }
    Ok((next, removed))
}

/// By layer and unit: whether an output depends on it.
fn needed(units: &Units<'_>, constants: &[Vec<Option<f64>>]) -> Vec<Vec<bool>> {
    let mut needed = units.each(false);
    needed[units.network.output().index()].fill(true);
    for &(id, layer) in units.layers.iter().rev() {
        let own: Vec<bool> = needed[id.index()].clone();
        match units.relation(id) {
            Relation::Opaque => {
                for &input in &layer.inputs {
                    needed[input.index()].fill(true);
                }
            }
            Relation::Tied => {
                for unit in (0..own.len()).filter(|&u| own[u]) {
                    for (input, u) in units.sources(id, unit) {
                        needed[input.index()][u] = true;
                    }
                }
            }
            Relation::Dense { padded } | Relation::Grouped { padded } => {
                let Some(weights) = units.weights(layer) else {
                    continue;
                };
                let input = layer.inputs[0];
                for row in (0..weights.rows).filter(|&r| own[r]) {
                    for channel in (0..weights.channels).filter(|&c| weights.reads(row, c)) {
                        let unit = weights.input(row, channel);
                        if folds(units, layer, padded, constants[input.index()][unit]).is_none() {
                            needed[input.index()][unit] = true;
                        }
                    }
                }
            }
        }
    }
    needed
}

/// Zeroes weights and takes them out of the support; how many positions that were in it.
fn kill(
    parameters: &mut Parameters,
    layer: &Layer,
    weights: &Weights<'_>,
    dead: &[std::ops::Range<usize>],
) -> usize {
    let Some(p) = parameters.weight_mut(&layer.name) else {
        return 0;
    };
    if dead.is_empty() {
        return 0;
    }
    let (rows, cols) = (weights.rows, weights.channels * weights.positions);
    let mut support = p.support.take().unwrap_or_else(|| Mask::full(rows, cols));
    let before = support.count();
    for i in dead.iter().cloned().flatten() {
        support.set(i, false);
        p.values[i] = 0.0;
    }
    let removed = before - support.count();
    p.support = Some(support);
    removed
}
