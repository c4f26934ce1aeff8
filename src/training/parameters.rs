//! A network's trained values as named slices: what optimisers, ADMM, masks and levels act on.

use crate::compression::Mask;
use crate::compression::structure::TensorShape;
use crate::network::op::Activation;
use crate::network::{Layer, LayerId, Network, Op};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a parameter is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A weight tensor that is pruned and quantised.
    Weight,
    /// A bias.
    Bias,
    /// The gain of a normalisation.
    Gain,
    /// The shift of a normalisation.
    Shift,
    /// The rows of an embedding.
    Table,
    /// A running statistic of a batch normalisation: stored, never trained.
    Statistic,
}

/// One named slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// `layer.weight`, `layer.bias`, `layer.gain`, `layer.shift`, `layer.table`, `layer.mean`, `layer.variance`.
    pub name: String,
    /// The layer's name.
    pub layer: String,
    /// What it is to the layer.
    pub role: Role,
    /// Axes, outermost first.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Vec<f32>,
    /// The positions that may be non-zero; `None` means all. Values outside are zero and get no gradient.
    pub support: Option<Mask>,
}

impl Parameter {
    /// GEMM rows (first axis) and columns (all others).
    #[must_use]
    pub fn matrix(&self) -> (usize, usize) {
        let rows = self.shape.first().copied().unwrap_or(1);
        (rows, self.values.len().checked_div(rows).unwrap_or(0))
    }

    /// The axes as filters, channels and kernel, which the sparsity sets of a weight need.
    #[must_use]
    pub fn tensor_shape(&self) -> TensorShape {
        TensorShape::of(&self.shape)
    }
}

/// All parameters of a network, in the order of its layers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// The slices.
    pub list: Vec<Parameter>,
}

/// A parameter without its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Specification {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) shape: Vec<usize>,
}

/// The parameters of one layer that reads an input of shape `input`, in order.
pub(super) fn specifications(layer: &Layer, input: &[usize]) -> Vec<Specification> {
    let one = |suffix: &str, role, shape| Specification {
        name: format!("{}.{suffix}", layer.name),
        role,
        shape,
    };
    let weight = || one("weight", Role::Weight, layer.weight_shape().unwrap_or_default());
    let last = || vec![input.last().copied().unwrap_or(1)];
    match &layer.op {
        Op::Conv2d(c) if c.bias => vec![weight(), one("bias", Role::Bias, vec![c.out_channels])],
        Op::Linear {
            out_features,
            bias: true,
        } => vec![weight(), one("bias", Role::Bias, vec![*out_features])],
        Op::Conv2d(_) | Op::Linear { .. } => vec![weight()],
        Op::BatchNorm { .. } => {
            let channels = || vec![input.first().copied().unwrap_or(1)];
            vec![
                one("gain", Role::Gain, channels()),
                one("shift", Role::Shift, channels()),
                one("mean", Role::Statistic, channels()),
                one("variance", Role::Statistic, channels()),
            ]
        }
        Op::LayerNorm { .. } => vec![one("gain", Role::Gain, last()), one("shift", Role::Shift, last())],
        Op::PositionEmbedding => vec![one("table", Role::Table, input.to_vec())],
        Op::Embedding { vocabulary, features } => {
            vec![one("table", Role::Table, vec![*vocabulary, *features])]
        }
        _ => Vec::new(),
    }
}

/// The parameters of a network, in order.
pub(super) fn specifications_of(network: &Network) -> Vec<Specification> {
    let input = |layer: &Layer| {
        layer
            .inputs
            .first()
            .map_or_else(Vec::new, |&i| network.layer(i).output.0.clone())
    };
    network
        .layers()
        .flat_map(|(_, layer)| specifications(layer, &input(layer)))
        .collect()
}

/// Whether each layer's output (by its index) reaches a `ReLU` on some path before any other weight or function.
fn feeding_relu(network: &Network) -> Vec<bool> {
    let layers: Vec<(LayerId, &Layer)> = network.layers().collect();
    let places = layers.iter().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
    let mut feeds = vec![false; places];
    // readers first
    for &(id, _) in layers.iter().rev() {
        feeds[id.index()] = network
            .readers(id)
            .into_iter()
            .any(|reader| match &network.layer(reader).op {
                Op::Activation(a) => matches!(a, Activation::Relu | Activation::Relu6),
                Op::BatchNorm { .. }
                | Op::LayerNorm { .. }
                | Op::Pool(_)
                | Op::Dropout { .. }
                | Op::Flatten
                | Op::Add
                | Op::Concat { .. } => feeds[reader.index()],
                _ => false,
            });
    }
    feeds
}

/// The random stream of a parameter: the FNV-1a hash of its name, so that it does not depend on other layers.
fn stream(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Standard normal values by the Box–Muller transform.
fn gaussian(seed: u64, name: &str, std: f64, values: &mut [f32]) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream(name));
    let mut uniform = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    for pair in values.chunks_mut(2) {
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt(); // 1 − u is never 0
        let (sin, cos) = (std::f64::consts::TAU * uniform()).sin_cos();
        for (value, part) in pair.iter_mut().zip([cos, sin]) {
            *value = (std * radius * part) as f32;
        }
    }
}

/// The standard deviation of fresh rows of positions: small beside those of tokens.
const POSITION_STD: f64 = 0.02;

impl Parameters {
    /// Fresh values: weights are Gaussian with standard deviation √(1/n) for n products per output, √(2/n) where
    /// the layer feeds a `ReLU` (He et al., ICCV 2015); table rows are standard Gaussian, rows of positions
    /// Gaussian with standard deviation 0.02 (as in BERT, arXiv:1810.04805); biases and shifts are 0,
    /// gains 1; running means are 0 and running variances 1.
    ///
    /// Every parameter draws from a random stream of its own name, so that a layer added elsewhere does not change it.
    #[must_use]
    pub fn init(network: &Network, seed: u64) -> Self {
        let feeds = feeding_relu(network);
        let mut list = Vec::new();
        for (id, layer) in network.layers() {
            let input = layer
                .inputs
                .first()
                .map_or(&[][..], |&i| network.layer(i).output.0.as_slice());
            for Specification { name, role, shape } in specifications(layer, input) {
                let mut values = vec![0.0; shape.iter().product()];
                match role {
                    Role::Weight => {
                        let fan_in = shape[1..].iter().product::<usize>() as f64;
                        let gain = if feeds[id.index()] { 2.0 } else { 1.0 };
                        gaussian(seed, &name, (gain / fan_in).sqrt(), &mut values);
                    }
                    Role::Table if layer.op == Op::PositionEmbedding => {
                        gaussian(seed, &name, POSITION_STD, &mut values);
                    }
                    Role::Table => gaussian(seed, &name, 1.0, &mut values),
                    Role::Gain => values.fill(1.0),
                    Role::Statistic if name.ends_with(".variance") => values.fill(1.0),
                    Role::Bias | Role::Shift | Role::Statistic => {}
                }
                list.push(Parameter {
                    name,
                    layer: layer.name.clone(),
                    role,
                    shape,
                    values,
                    support: None,
                });
            }
        }
        Self { list }
    }

    /// One zero vector per parameter, to hold gradients.
    #[must_use]
    pub fn zeros(&self) -> Vec<Vec<f32>> {
        self.list.iter().map(|p| vec![0.0; p.values.len()]).collect()
    }

    /// The parameter of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Parameter> {
        self.list.iter().find(|p| p.name == name)
    }

    /// The weight of a layer.
    #[must_use]
    pub fn weight(&self, layer: &str) -> Option<&Parameter> {
        self.list
            .iter()
            .find(|p| p.role == Role::Weight && p.layer == layer)
    }

    /// The weight of a layer, to change it.
    pub fn weight_mut(&mut self, layer: &str) -> Option<&mut Parameter> {
        self.list
            .iter_mut()
            .find(|p| p.role == Role::Weight && p.layer == layer)
    }

    /// Where the weights that are pruned and quantised stand in the list.
    #[must_use]
    pub fn weight_indices(&self) -> Vec<usize> {
        (0..self.list.len())
            .filter(|&i| self.list[i].role == Role::Weight)
            .collect()
    }

    /// The weights that are pruned and quantised.
    pub fn weights(&self) -> impl Iterator<Item = &Parameter> + '_ {
        self.list.iter().filter(|p| p.role == Role::Weight)
    }
}
