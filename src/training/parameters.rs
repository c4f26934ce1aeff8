//! A network's trained values as named slices: what optimisers, ADMM, masks and levels act on.

use super::executor::TrainingError;
use crate::compression::Mask;
use crate::network::op::Activation;
use crate::network::{Layer, Network, Op};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

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
}

/// All parameters of a network, in the order of its layers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// The slices.
    pub list: Vec<Parameter>,
}

impl Parameters {
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

    /// The weights that are pruned and quantised.
    pub fn weights(&self) -> impl Iterator<Item = &Parameter> + '_ {
        self.list.iter().filter(|p| p.role == Role::Weight)
    }
}

/// The parameters that a layer has: name's end, role, axes.
pub(super) fn slots(layer: &Layer) -> Vec<(&'static str, Role, Vec<usize>)> {
    let channels = layer.output.0.first().copied().unwrap_or(0);
    let last = layer.output.0.last().copied().unwrap_or(0);
    let mut slots = Vec::new();
    if let Some(shape) = layer.weight_shape() {
        slots.push(("weight", Role::Weight, shape));
    }
    match &layer.op {
        Op::Conv2d(c) if c.bias => slots.push(("bias", Role::Bias, vec![c.out_channels])),
        Op::Linear {
            out_features,
            bias: true,
        } => slots.push(("bias", Role::Bias, vec![*out_features])),
        Op::BatchNorm { .. } => slots.extend([
            ("gain", Role::Gain, vec![channels]),
            ("shift", Role::Shift, vec![channels]),
            ("mean", Role::Statistic, vec![channels]),
            ("variance", Role::Statistic, vec![channels]),
        ]),
        Op::LayerNorm { .. } => slots.extend([
            ("gain", Role::Gain, vec![last]),
            ("shift", Role::Shift, vec![last]),
        ]),
        Op::Embedding { vocabulary, features } => {
            slots.push(("table", Role::Table, vec![*vocabulary, *features]))
        }
        _ => {}
    }
    slots
}

impl Parameters {
    /// Fresh parameters: weights Gaussian with standard deviation √(1/fan-in), or √(2/fan-in) where a rectifier
    /// follows (He et al., ICCV 2015); zero biases and shifts; unit gains and variances; embedding rows Gaussian with
    /// standard deviation 0.02. Every parameter draws from its own stream of `seed`, named by the parameter, so that
    /// adding a layer does not move the others.
    #[must_use]
    pub fn init(network: &Network, seed: u64) -> Self {
        let mut list = Vec::new();
        for (id, layer) in network.layers() {
            let rectified = network.readers(id).iter().any(|&r| {
                matches!(
                    network.layer(r).op,
                    Op::Activation(Activation::Relu | Activation::Relu6)
                )
            });
            for (end, role, shape) in slots(layer) {
                let name = format!("{}.{end}", layer.name);
                let elements: usize = shape.iter().product();
                let fan_in = elements / shape[0].max(1);
                let deviation = match role {
                    Role::Weight => (if rectified { 2.0 } else { 1.0 } / fan_in.max(1) as f64).sqrt(),
                    Role::Table => 0.02,
                    _ => 0.0,
                };
                let values = match role {
                    Role::Weight | Role::Table => gaussian(elements, deviation, seed, &name),
                    Role::Gain => vec![1.0; elements],
                    Role::Statistic if end == "variance" => vec![1.0; elements],
                    _ => vec![0.0; elements],
                };
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

    /// Whether these are the parameters of a network: the same names and shapes in the same order.
    ///
    /// # Errors
    /// [`TrainingError::Unsupported`] naming the first that differs.
    pub fn check(&self, network: &Network) -> Result<(), TrainingError> {
        let mut have = self.list.iter();
        for (_, layer) in network.layers() {
            for (end, _, shape) in slots(layer) {
                let fits = have.next().is_some_and(|p| {
                    p.layer == layer.name
                        && p.name.ends_with(end)
                        && p.shape == shape
                        && p.values.len() == shape.iter().product::<usize>()
                });
                if !fits {
                    return Err(TrainingError::Unsupported {
                        layer: layer.name.clone(),
                        message: format!(
                            "its {end} must have shape {shape:?}; these parameters belong to another network"
                        ),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Box–Muller draws from the stream of a name.
fn gaussian(count: usize, deviation: f64, seed: u64, name: &str) -> Vec<f32> {
    let stream = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let u: f64 = 1.0 - random.random::<f64>();
        let v: f64 = random.random::<f64>();
        let (radius, angle) = (deviation * (-2.0 * u.ln()).sqrt(), std::f64::consts::TAU * v);
        values.push((radius * angle.cos()) as f32);
        values.push((radius * angle.sin()) as f32);
    }
    values.truncate(count);
    values
}
