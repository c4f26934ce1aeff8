//! Which units of a layer are which units of the layers it reads.

use super::SurgeryError;
use crate::network::op::Padding;
use crate::network::{Layer, LayerId, Network, Op, Shape};
use crate::training::{Parameter, Parameters, Role};

/// How a layer's units come from those of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// Every unit from every input unit, through a weight matrix.
    Dense {
        /// Whether zeros are added around the input.
        padded: bool,
    },
    /// The units of each group from those of the same group, through weights.
    Grouped { padded: bool },
    /// Each unit from given units of the inputs, without mixing.
    Tied,
    /// In a way that is not followed: all units stay, on both sides.
    Opaque,
}

/// A network with its units.
pub(super) struct Units<'a> {
    pub(super) network: &'a Network,
    pub(super) parameters: &'a Parameters,
    /// Layers in order.
    pub(super) layers: Vec<(LayerId, &'a Layer)>,
    /// By the index of a layer.
    relations: Vec<Relation>,
    counts: Vec<usize>,
}

/// The axis of the units: the first of a map, the last of others.
fn axis(shape: &Shape) -> Option<usize> {
    match shape.0.len() {
        1 | 3 => Some(0),
        2 => Some(1),
        _ => None,
    }
}

fn relation(layer: &Layer, inputs: &[&Shape]) -> Relation {
    if axis(&layer.output).is_none() || inputs.iter().any(|s| axis(s).is_none()) {
        return Relation::Opaque;
    }
    match &layer.op {
        Op::Conv2d(c) => {
            let padded = c.padding != Padding::default();
            if c.groups == 1 {
                Relation::Dense { padded }
            } else {
                Relation::Grouped { padded }
            }
        }
        Op::Linear { .. } if inputs[0].0.len() < 3 => Relation::Dense { padded: false },
        Op::BatchNorm { .. } if inputs[0].0.len() != 2 => Relation::Tied,
        Op::Pool(_)
        | Op::GlobalAveragePool
        | Op::Activation(_)
        | Op::Dropout { .. }
        | Op::Add
        | Op::Concat { .. }
        | Op::Flatten => Relation::Tied,
        _ => Relation::Opaque,
    }
}

impl<'a> Units<'a> {
    /// The units of a network whose parameters these are.
    pub(super) fn new(network: &'a Network, parameters: &'a Parameters) -> Result<Self, SurgeryError> {
        let layers: Vec<(LayerId, &Layer)> = network.layers().collect();
        let places = layers.iter().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
        let mut relations = vec![Relation::Opaque; places];
        let mut counts = vec![0; places];
        for &(id, layer) in &layers {
            let inputs: Vec<&Shape> = layer.inputs.iter().map(|&i| &network.layer(i).output).collect();
            relations[id.index()] = relation(layer, &inputs);
            counts[id.index()] = axis(&layer.output).map_or(0, |a| layer.output.0[a]);
        }
        let units = Self {
            network,
            parameters,
            layers,
            relations,
            counts,
        };
        for want in crate::training::parameters::specifications_of(network) {
            let fits = |p: &Parameter| {
                p.shape == want.shape
                    && p.values.len() == want.shape.iter().product::<usize>()
                    && p.support.as_ref().is_none_or(|s| s.len() == p.values.len())
            };
            if !parameters.find(&want.name).is_some_and(fits) {
                return Err(SurgeryError::Parameter { name: want.name });
            }
        }
        Ok(units)
    }

    pub(super) fn relation(&self, layer: LayerId) -> Relation {
        self.relations[layer.index()]
    }

    /// Units of a layer's output.
    pub(super) fn count(&self, layer: LayerId) -> usize {
        self.counts[layer.index()]
    }

    /// One value per unit of every layer, by the layers' indices.
    pub(super) fn each<T: Clone>(&self, value: T) -> Vec<Vec<T>> {
        self.counts.iter().map(|&n| vec![value.clone(); n]).collect()
    }

    /// The input units that a unit of a tied layer is made of, as (input, unit).
    pub(super) fn sources(&self, id: LayerId, unit: usize) -> Vec<(LayerId, usize)> {
        let layer = self.network.layer(id);
        match &layer.op {
            Op::Flatten => {
                let input = layer.inputs[0];
                vec![(input, self.unflattened(input, unit))]
            }
            Op::Concat { axis: joined } if axis(&layer.output) == Some(*joined) => {
                let mut first = 0;
                for &input in &layer.inputs {
                    if unit < first + self.count(input) {
                        return vec![(input, unit - first)];
                    }
                    first += self.count(input);
                }
                Vec::new()
            }
            _ => layer.inputs.iter().map(|&input| (input, unit)).collect(),
        }
    }

    /// The unit that holds element `at` of a layer's flattened output.
    fn unflattened(&self, layer: LayerId, at: usize) -> usize {
        let shape = &self.network.layer(layer).output;
        match axis(shape) {
            Some(axis) => at / shape.0[axis + 1..].iter().product::<usize>() % shape.0[axis],
            None => at,
        }
    }

    /// A parameter of a layer by its suffix.
    pub(super) fn values(&self, layer: &Layer, suffix: &str) -> Option<&'a [f32]> {
        let name = format!("{}.{suffix}", layer.name);
        self.parameters.find(&name).map(|p| p.values.as_slice())
    }

    /// The weights of a layer, if it has any.
    pub(super) fn weights(&self, layer: &Layer) -> Option<Weights<'a>> {
        let p = self
            .parameters
            .list
            .iter()
            .find(|p| p.role == Role::Weight && p.layer == layer.name)?;
        Some(Weights::new(layer, &p.values))
    }
}

/// A weight tensor as kernels.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    values: &'a [f32],
    pub(super) groups: usize,
    pub(super) rows: usize,
    /// Input units of a group.
    pub(super) channels: usize,
    /// Weights of a kernel.
    pub(super) positions: usize,
}

impl<'a> Weights<'a> {
    pub(super) fn new(layer: &Layer, values: &'a [f32]) -> Self {
        let shape = layer.weight_shape().unwrap_or_default();
        let axis = |i: usize| shape.get(i).copied().unwrap_or(1);
        let groups = match &layer.op {
            Op::Conv2d(c) => c.groups,
            _ => 1,
        };
        Self {
            values,
            groups,
            rows: axis(0),
            channels: axis(1),
            positions: axis(2) * axis(3),
        }
    }

    /// Where the kernel of an output unit and a channel of its group lies.
    pub(super) fn place(&self, row: usize, channel: usize) -> std::ops::Range<usize> {
        let start = (row * self.channels + channel) * self.positions;
        start..start + self.positions
    }

    pub(super) fn kernel(&self, row: usize, channel: usize) -> &'a [f32] {
        &self.values[self.place(row, channel)]
    }

    /// Whether a kernel holds anything but zeros.
    pub(super) fn reads(&self, row: usize, channel: usize) -> bool {
        self.kernel(row, channel).iter().any(|&v| v != 0.0)
    }

    /// What a kernel makes of a constant input.
    pub(super) fn of_constant(&self, row: usize, channel: usize, value: f64) -> f64 {
        value
            * self
                .kernel(row, channel)
                .iter()
                .map(|&v| f64::from(v))
                .sum::<f64>()
    }

    /// The input unit of a channel as an output unit sees it.
    pub(super) fn input(&self, row: usize, channel: usize) -> usize {
        row / (self.rows / self.groups).max(1) * self.channels + channel
    }
}
