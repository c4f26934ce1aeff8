//! Which layers that do not multiply run as part of the layer that makes their input: a pure pass over the network.
//!
//! A step is a layer that multiplies with the chain of layers fused behind it, or another layer on its own. Only what
//! leaves a chain is written; what lies inside it never reaches a memory.
//!
//! | layer | fused |
//! |---|---|
//! | batch norm, activation | element-wise: into the chain that makes its input |
//! | add | element-wise: into the chain of the operand that is made last; the others are read |
//! | pool, global average pool | with [`Fusion::Full`] |
//! | flatten, dropout (while nothing trains) | names for the same tensor: free, inside a chain or not |
//! | concatenation, softmax, layer norm, embeddings, heads split and merged, mean over tokens | never: steps of their own |
//!
//! A chain ends at a tensor that a second layer reads, and at the network's output: they are written, so whoever
//! reads them reads them from memory. It never begins at a layer that does not multiply.

use crate::network::{Layer, LayerId, Network, Op};
use std::collections::{BTreeMap, BTreeSet};

/// How layers that do not multiply are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fusion {
    /// They cost nothing, and outputs are stored before they act: no chain, no step of their own.
    #[default]
    Ideal,
    /// Each is a step of its own.
    None,
    /// Element-wise ones are fused, others are steps of their own.
    Elementwise,
    /// Pooling is fused too.
    Full,
}

impl Fusion {
    /// As users write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ideal => "ideal",
            Self::None => "none",
            Self::Elementwise => "elementwise",
            Self::Full => "full",
        }
    }

    /// Whether an operation is of a kind that joins a chain.
    fn takes(self, op: &Op) -> bool {
        match op {
            Op::BatchNorm { .. } | Op::Activation(_) | Op::Add => {
                matches!(self, Self::Elementwise | Self::Full)
            }
            Op::Pool(_) | Op::GlobalAveragePool => self == Self::Full,
            _ => false,
        }
    }
}

/// What runs at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The layer that multiplies, or the layer on its own.
    pub head: LayerId,
    /// The layers fused behind it, in order.
    pub fused: Vec<LayerId>,
    /// The tensors that the head reads, by the layer that makes them, each once.
    pub reads: Vec<LayerId>,
    /// The other operands of fused adds, each once.
    pub added: Vec<LayerId>,
    /// The tensor that leaves: that of the last layer.
    pub makes: LayerId,
}

impl Step {
    /// All tensors that it reads.
    pub(super) fn sources(&self) -> impl Iterator<Item = LayerId> + '_ {
        self.reads.iter().chain(&self.added).copied()
    }
}

/// The steps of a network and what is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// In the order of their heads. What a step reads is made by a step before it, or is the network's input.
    pub steps: Vec<Step>,
    /// Layers that make no tensor of their own.
    pub free: Vec<LayerId>,
    /// Layers that are left out: all that do not multiply, with [`Fusion::Ideal`].
    pub left_out: Vec<LayerId>,
}

/// Cuts a network into steps. With [`Fusion::Ideal`] a step reads the tensors of the layers that multiply, seen
/// through those between.
#[must_use]
pub fn fuse(network: &Network, fusion: Fusion) -> Steps {
    fuse_but(network, fusion, &BTreeSet::new())
}

/// As [`fuse`], with nothing fused behind the layers of `apart`.
pub(super) fn fuse_but(network: &Network, fusion: Fusion, apart: &BTreeSet<LayerId>) -> Steps {
    let mut found = Steps {
        steps: Vec::new(),
        free: Vec::new(),
        left_out: Vec::new(),
    };
    if fusion == Fusion::Ideal {
        for (id, layer) in network.layers().filter(|(_, l)| l.op != Op::Input) {
            if layer.nest.is_none() {
                found.left_out.push(id);
                continue;
            }
            let reads: BTreeSet<LayerId> = layer.inputs.iter().flat_map(|&i| origins(network, i)).collect();
            found.steps.push(alone(id, reads));
        }
        return found;
    }
    let readers = readers(network);
    let output = maker(network, network.output());
    let mut made = BTreeSet::from([network.input()]);
    let mut taken = BTreeSet::new();
    for (id, layer) in network.layers().filter(|(_, l)| l.op != Op::Input) {
        if is_view(layer) {
            found.free.push(id);
            continue;
        }
        if taken.contains(&id) {
            continue;
        }
        let mut step = alone(id, tensors(network, layer));
        while layer.nest.is_some() && !apart.contains(&id) && step.makes != output {
            let Some(&[next]) = readers.get(&step.makes).map(Vec::as_slice) else {
                break;
            };
            let mut others = tensors(network, network.layer(next));
            others.remove(&step.makes);
            // an operand that is not yet made leaves the add to the chain that makes it
            if !fusion.takes(&network.layer(next).op) || !others.is_subset(&made) {
                break;
            }
            taken.insert(next);
            step.fused.push(next);
            step.added.extend(others);
            step.makes = next;
        }
        step.added.sort_unstable();
        step.added.dedup();
        made.insert(step.makes);
        found.steps.push(step);
    }
    found
}

fn alone(head: LayerId, reads: BTreeSet<LayerId>) -> Step {
    Step {
        head,
        fused: Vec::new(),
        reads: reads.into_iter().collect(),
        added: Vec::new(),
        makes: head,
    }
}

/// Whether a layer only gives its input another shape or name.
fn is_view(layer: &Layer) -> bool {
    matches!(layer.op, Op::Flatten | Op::Dropout { .. })
}

/// The layer that makes the tensor which a layer hands on.
pub(super) fn maker(network: &Network, id: LayerId) -> LayerId {
    let mut at = id;
    while is_view(network.layer(at))
        && let Some(&input) = network.layer(at).inputs.first()
    {
        at = input;
    }
    at
}

/// The tensors that a layer reads.
fn tensors(network: &Network, layer: &Layer) -> BTreeSet<LayerId> {
    layer.inputs.iter().map(|&i| maker(network, i)).collect()
}

/// The layers that read each tensor.
fn readers(network: &Network) -> BTreeMap<LayerId, Vec<LayerId>> {
    let mut readers: BTreeMap<LayerId, Vec<LayerId>> = BTreeMap::new();
    for (id, layer) in network.layers().filter(|(_, l)| !is_view(l)) {
        for tensor in tensors(network, layer) {
            readers.entry(tensor).or_default().push(id);
        }
    }
    readers
}

/// The multiplying layers, or the network's input, that a layer's output comes from.
pub(super) fn origins(network: &Network, id: LayerId) -> Vec<LayerId> {
    let (mut found, mut seen, mut stack) = (BTreeSet::new(), BTreeSet::new(), vec![id]);
    while let Some(at) = stack.pop() {
        if !seen.insert(at) {
            continue;
        }
        let layer = network.layer(at);
        if layer.nest.is_some() || layer.op == Op::Input {
            found.insert(at);
        } else {
            stack.extend(layer.sources());
        }
    }
    found.into_iter().collect()
}
