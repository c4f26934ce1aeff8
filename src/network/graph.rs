//! The DAG itself: layers with their shapes, in an order in which each follows its inputs.

use super::nest::LoopNest;
use super::op::Op;
use super::shape::Shape;
use petgraph::graph::{DiGraph, NodeIndex};

/// A layer's place in its network.
pub type LayerId = NodeIndex<u32>;

/// One layer: a name, an operation, and the shape it produces.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Unique in its network.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it produces for one sample.
    pub output: Shape,
    /// What it reads, in order.
    pub inputs: Vec<LayerId>,
    /// The loops it needs, if it multiplies (convolution, linear, product of activations).
    pub nest: Option<LoopNest>,
}

impl Layer {
    /// The shape of the weight tensor, if the layer has one that is pruned and quantised:
    /// `K × C/groups × R × S` or `out × in`.
    #[must_use]
    pub fn weight_shape(&self) -> Option<Vec<usize>> {
        let nest = self.nest.as_ref()?;
        let [g, k, c, r, s] = [nest.g, nest.k, nest.c, nest.r, nest.s].map(|v| v as usize);
        match self.op {
            Op::Conv2d(_) => Some(vec![g * k, c, r, s]),
            Op::Linear { .. } => Some(vec![k, c]),
            _ => None,
        }
    }

    /// Weights that are pruned and quantised; 0 for layers without.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.weight_shape().map_or(0, |s| s.iter().product())
    }

    /// The inputs whose values its output is made of; a mask only says which of them count.
    #[must_use]
    pub fn sources(&self) -> &[LayerId] {
        match self.op {
            Op::MaskedSoftmax { .. } | Op::MaskedMean => &self.inputs[..1.min(self.inputs.len())],
            _ => &self.inputs,
        }
    }

    /// All trained values: weights, biases, gains and shifts, table rows.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let channels = self.output.0.first().copied().unwrap_or(0);
        let last = self.output.0.last().copied().unwrap_or(0);
        match &self.op {
            Op::Conv2d(c) => self.weights() + if c.bias { c.out_channels } else { 0 },
            Op::Linear { out_features, bias } => self.weights() + if *bias { *out_features } else { 0 },
            Op::BatchNorm { .. } => 2 * channels,
            Op::LayerNorm { .. } => 2 * last,
            Op::Embedding { vocabulary, features } => vocabulary * features,
            Op::PositionEmbedding => self.output.elements(),
            _ => 0,
        }
    }
}

/// A network: valid by construction, with every shape known.
#[derive(Debug, Clone)]
pub struct Network {
    pub(super) graph: DiGraph<Layer, usize>,
    pub(super) order: Vec<LayerId>,
    pub(super) input: LayerId,
    pub(super) output: LayerId,
}

impl Network {
    /// The layers in an order in which each follows its inputs.
    #[must_use]
    pub fn layers(&self) -> impl ExactSizeIterator<Item = (LayerId, &Layer)> + '_ {
        self.order.iter().map(|&id| (id, &self.graph[id]))
    }

    /// The layers with weights that are pruned and quantised, in order.
    pub fn weighted(&self) -> impl Iterator<Item = &Layer> + '_ {
        self.layers().map(|(_, l)| l).filter(|l| l.weights() > 0)
    }

    /// The layer at a place.
    #[must_use]
    pub fn layer(&self, id: LayerId) -> &Layer {
        &self.graph[id]
    }

    /// The layer of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<LayerId> {
        self.order.iter().copied().find(|&i| self.graph[i].name == name)
    }

    /// The layers that read a layer's output, in order of their definition.
    #[must_use]
    pub fn readers(&self, id: LayerId) -> Vec<LayerId> {
        let mut readers: Vec<_> = self.graph.neighbors(id).collect();
        readers.sort_unstable();
        readers.dedup();
        readers
    }

    /// The same network with every dropout rate times a factor in [0, 1].
    #[must_use]
    pub fn scale_dropout(&self, factor: f32) -> Self {
        let mut scaled = self.clone();
        for layer in scaled.graph.node_weights_mut() {
            if let Op::Dropout { rate } = &mut layer.op {
                *rate *= factor.clamp(0.0, 1.0);
            }
        }
        scaled
    }

    /// The input layer.
    #[must_use]
    pub fn input(&self) -> LayerId {
        self.input
    }

    /// The layer whose output is the network's.
    #[must_use]
    pub fn output(&self) -> LayerId {
        self.output
    }

    /// Multiply-accumulates for one sample.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.layers().filter_map(|(_, l)| l.nest).map(|n| n.macs()).sum()
    }

    /// Trained values.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers().map(|(_, l)| l.parameters()).sum()
    }

    /// Weights that are pruned and quantised.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.layers().map(|(_, l)| l.weights()).sum()
    }
}
