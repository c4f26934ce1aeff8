//! Which units can leave together.

use super::constants::{constants, foldable};
use super::units::{Relation, Units};
use crate::network::LayerId;

/// What [`removed`] found.
pub(super) struct Removal {
    /// By layer and unit: whether it stays.
    pub(super) stays: Vec<Vec<bool>>,
    /// By layer and unit: the value it always holds, if it does.
    pub(super) constants: Vec<Vec<Option<f64>>>,
}

/// Sets of units that are joined for good.
struct Classes {
    parent: Vec<usize>,
    /// Where the units of a layer begin, by its index.
    first: Vec<usize>,
}

impl Classes {
    fn at(&self, layer: LayerId, unit: usize) -> usize {
        self.first[layer.index()] + unit
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

/// The classes of units that stay or leave together, and which of them must stay whatever their values.
fn classes(units: &Units<'_>) -> (Classes, Vec<bool>) {
    let counts = units.each(()).into_iter().map(|u| u.len());
    let mut total = 0;
    let first = counts
        .map(|n| {
            total += n;
            total - n
        })
        .collect();
    let mut classes = Classes {
        parent: (0..total).collect(),
        first,
    };
    let mut forced = vec![false; total];
    for &(id, layer) in &units.layers {
        match units.relation(id) {
            Relation::Dense { .. } => {}
            Relation::Tied => {
                for unit in 0..units.count(id) {
                    for (input, u) in units.sources(id, unit) {
                        let (a, b) = (classes.at(id, unit), classes.at(input, u));
                        classes.join(a, b);
                    }
                }
            }
            // a group leaves as a whole
            Relation::Grouped { .. } => {
                if let Some(weights) = units.weights(layer) {
                    for row in 0..weights.rows {
                        for channel in 0..weights.channels {
                            let a = classes.at(id, row);
                            let b = classes.at(layer.inputs[0], weights.input(row, channel));
                            classes.join(a, b);
                        }
                    }
                }
            }
            Relation::Opaque => {
                for &l in layer.inputs.iter().chain([&id]) {
                    (0..units.count(l)).for_each(|u| forced[classes.at(l, u)] = true);
                }
            }
        }
    }
    let output = units.network.output();
    (0..units.count(output)).for_each(|u| forced[classes.at(output, u)] = true);
    let mut held = vec![false; total];
    for at in (0..total).filter(|&at| forced[at]) {
        held[classes.root(at)] = true;
    }
    (classes, held)
}

/// The units that can leave: every matrix that reads them has zeros for them in the rows that stay, or they are constants
/// that can be folded. The largest such set in which each layer keeps a unit.
pub(super) fn removed(units: &Units<'_>) -> Removal {
    let constants = constants(units);
    let (mut classes, mut held) = classes(units);
    let roots: Vec<usize> = (0..classes.parent.len()).map(|at| classes.root(at)).collect();
    loop {
        let gone = leaving(units, &constants, &classes, &roots, &held);
        let stays: Vec<Vec<bool>> = units
            .each(())
            .iter()
            .zip(&classes.first)
            .map(|(u, &first)| (0..u.len()).map(|i| !gone[roots[first + i]]).collect())
            .collect();
        // a layer without units is none: keep the first unit of the first such layer
        let empty = units
            .layers
            .iter()
            .find(|(id, _)| units.count(*id) > 0 && !stays[id.index()].contains(&true));
        match empty {
            Some(&(id, _)) => held[roots[classes.at(id, 0)]] = true,
            None => return Removal { stays, constants },
        }
    }
}

/// By class: whether it leaves.
fn leaving(
    units: &Units<'_>,
    constants: &[Vec<Option<f64>>],
    classes: &Classes,
    roots: &[usize],
    held: &[bool],
) -> Vec<bool> {
    let mut gone = vec![false; roots.len()];
    loop {
        let mut needed = held.to_vec();
        for &(id, layer) in &units.layers {
            let (Relation::Dense { padded }, Some(weights)) = (units.relation(id), units.weights(layer))
            else {
                continue;
            };
            let input = layer.inputs[0];
            for row in (0..weights.rows).filter(|&r| !gone[roots[classes.at(id, r)]]) {
                for channel in 0..weights.channels {
                    let class = roots[classes.at(input, channel)];
                    let folds = constants[input.index()][channel].is_some_and(|v| foldable(v, padded));
                    if !needed[class] && !folds && weights.reads(row, channel) {
                        needed[class] = true;
                    }
                }
            }
        }
        let next: Vec<bool> = (0..roots.len()).map(|at| !needed[roots[at]]).collect();
        if next == gone {
            return gone;
        }
        gone = next;
    }
}
