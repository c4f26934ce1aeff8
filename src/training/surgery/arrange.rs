//! Units in an order of their own: the same network, whose pattern of weights is shorter to tell.

use super::SurgeryError;
use super::rebuild::{cut, rows};
use super::units::{Relation, Units};
use crate::network::{LayerId, Op};
use crate::training::{Parameters, Role};
use std::cmp::Reverse;

/// Parameters whose units have changed places.
#[derive(Debug, Clone, PartialEq)]
pub struct Arranged {
    /// The parameters, supports included.
    pub parameters: Parameters,
    /// For each weight parameter, in order: which GEMM row stood where each row stands now.
    pub rows: Vec<Vec<usize>>,
}

/// Orders the hidden units of a network: those with most weights first, those without last. Every layer that reads them
/// follows, so the network computes the same, up to the order of its sums.
///
/// Units whose place has a meaning stay: those of the input and the output, of concatenations, of grouped convolutions
/// other than depthwise ones, and of whatever operation mixes positions in a way that is not followed.
///
/// # Errors
/// When the parameters are not those of the network.
pub fn arrange(network: &crate::network::Network, parameters: &Parameters) -> Result<Arranged, SurgeryError> {
    let units = Units::new(network, parameters)?;
    let orders = orders(&units);
    let mut next = parameters.clone();
    let mut moved = Vec::new();
    for &(id, layer) in &units.layers {
        let order = &orders[id.index()];
        for p in next.list.iter_mut().filter(|p| p.layer == layer.name) {
            let dense = matches!(units.relation(id), Relation::Dense { .. });
            match (p.role, units.relation(id)) {
                (_, Relation::Opaque) => {}
                (Role::Weight, _) => {
                    let channels: Vec<usize> = if dense {
                        orders[layer.inputs[0].index()].clone()
                    } else {
                        (0..p.shape.get(1).copied().unwrap_or(1)).collect()
                    };
                    *p = cut(layer, p, order, &channels);
                }
                _ => *p = rows(p, order),
            }
        }
    }
    for p in parameters.weights() {
        let layer = units.layers.iter().find(|(_, l)| l.name == p.layer);
        let opaque = layer.is_none_or(|(id, _)| units.relation(*id) == Relation::Opaque);
        moved.push(match layer {
            Some((id, _)) if !opaque => orders[id.index()].clone(),
            _ => (0..p.matrix().0).collect(),
        });
    }
    Ok(Arranged {
        parameters: next,
        rows: moved,
    })
}

/// Layers whose units are the same ones, found by following what does not mix them.
struct Groups {
    parent: Vec<usize>,
    /// By root: whether the units must stay where they are.
    fixed: Vec<bool>,
}

impl Groups {
    fn root(&self, mut at: usize) -> usize {
        while self.parent[at] != at {
            at = self.parent[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let fixed = self.fixed[a] || self.fixed[b];
        self.parent[a.max(b)] = a.min(b);
        self.fixed[a.min(b)] = fixed;
    }

    fn fix(&mut self, at: usize) {
        let root = self.root(at);
        self.fixed[root] = true;
    }

    fn of(units: &Units<'_>) -> Self {
        let places = units.each(()).len();
        let mut groups = Self {
            parent: (0..places).collect(),
            fixed: vec![false; places],
        };
        groups.fix(units.network.input().index());
        groups.fix(units.network.output().index());
        for &(id, layer) in &units.layers {
            let relation = units.relation(id);
            if matches!(relation, Relation::Dense { .. }) {
                continue;
            }
            for &input in &layer.inputs {
                groups.join(id.index(), input.index());
            }
            let depthwise = || {
                let weights = units.weights(layer);
                weights.is_some_and(|w| w.channels == 1 && w.rows == w.groups)
            };
            let stays = match relation {
                Relation::Opaque => true,
                Relation::Grouped { .. } => !depthwise(),
                _ => matches!(layer.op, Op::Concat { .. }),
            };
            if stays {
                groups.fix(id.index());
            }
        }
        groups
    }
}

/// By layer: which unit stands where each unit will stand.
fn orders(units: &Units<'_>) -> Vec<Vec<usize>> {
    let groups = Groups::of(units);
    let mut orders: Vec<Vec<usize>> = units.each(()).iter().map(|u| (0..u.len()).collect()).collect();
    let members = |root: usize| -> Vec<LayerId> {
        let all = units.layers.iter().map(|(id, _)| *id);
        all.filter(|id| groups.root(id.index()) == root).collect()
    };
    for root in (0..orders.len()).filter(|&r| groups.parent[r] == r && !groups.fixed[r]) {
        let members = members(root);
        // what the matrices that make the units hold of them
        let makers: Vec<LayerId> = members
            .iter()
            .copied()
            .filter(|&id| matches!(units.relation(id), Relation::Dense { .. }))
            .collect();
        let Some(&first) = makers.first() else { continue };
        if makers.iter().any(|&m| units.count(m) != units.count(first)) {
            continue;
        }
        let held = |unit: usize| -> usize {
            let of = |&maker: &LayerId| {
                let weights = units.weights(units.network.layer(maker));
                weights.map_or(0, |w| {
                    let kernels = (0..w.channels).flat_map(|c| w.kernel(unit, c));
                    kernels.filter(|v| **v != 0.0).count()
                })
            };
            makers.iter().map(of).sum()
        };
        let mut order: Vec<usize> = (0..units.count(first)).collect();
        order.sort_by_cached_key(|&unit| (Reverse(held(unit)), unit));
        let mut rank = vec![0; order.len()];
        for (at, &unit) in order.iter().enumerate() {
            rank[unit] = at;
        }
        // layers in order: a layer's units take the ranks of those they come from
        let mut ranks: Vec<Vec<usize>> = vec![Vec::new(); orders.len()];
        for &id in &members {
            let own: Vec<usize> = if makers.contains(&id) {
                rank.clone()
            } else {
                (0..units.count(id))
                    .map(|unit| {
                        let source = units.sources(id, unit).into_iter().next();
                        source.map_or(unit, |(input, u)| ranks[input.index()][u])
                    })
                    .collect()
            };
            let mut order: Vec<usize> = (0..own.len()).collect();
            order.sort_by_key(|&unit| (own[unit], unit));
            orders[id.index()] = order;
            ranks[id.index()] = own;
        }
    }
    orders
}
