//! The form of a workload file.

use super::spec::{Baseline, DataSpec, TrainingForm};
use crate::document::At;
use crate::network::Op;
use crate::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// A workload file: a network, layer by layer, and what is known about it.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorkloadFile {
    /// The workload's name, as `lenet5`
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// What it is, in a sentence or two
    pub(super) description: String,
    /// Where the shapes and counts come from: paper and table, or program and version
    #[schemars(length(min = 1))]
    pub(super) source: String,
    /// The network's input
    pub(super) input: At<InputForm>,
    /// The layers; each reads the one before it unless it names its inputs
    #[schemars(length(min = 1))]
    pub(super) layer: Vec<LayerForm>,
    /// The data set, if there is one to train and measure on
    pub(super) data: Option<DataSpec>,
    /// How the dense baseline is trained
    pub(super) training: Option<TrainingForm>,
    /// The published accuracy of the dense network
    pub(super) baseline: Option<Baseline>,
    /// Densities at which others have pruned this network, where a search may start
    pub(super) prior: Option<PriorForm>,
}

/// Densities at which others have pruned this network.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PriorForm {
    /// Paper and table, or how they were measured
    #[schemars(length(min = 1))]
    pub(super) source: String,
    /// Layer name to the portion of its weights that are kept, in (0, 1]
    pub(super) density: BTreeMap<String, At<f64>>,
}

/// The network's input.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct InputForm {
    /// Its name, to be read by layers
    #[serde(default = "input_name")]
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// Axes of one sample, outermost first: channels, rows, columns, or features, or tokens
    #[schemars(length(min = 1, max = 8))]
    pub(super) shape: Vec<NonZeroUsize>,
}

fn input_name() -> String {
    "input".into()
}

/// One layer.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub(super) struct LayerForm {
    /// Its name, unique in the network
    #[schemars(length(min = 1))]
    pub(super) name: At<String>,
    /// The layer it reads, if not the one before it
    pub(super) input: Option<At<String>>,
    /// The layers it reads, in order
    #[schemars(length(min = 1))]
    pub(super) inputs: Option<Vec<At<String>>>,
    /// Portion of its input activations that are not zero, in (0, 1]
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub(super) activation_density: Option<At<f64>>,
    /// Where the activation density comes from
    #[schemars(length(min = 1))]
    pub(super) activation_source: Option<At<String>>,
    /// What it computes
    #[serde(flatten)]
    pub(super) op: OpForm,
}

/// What a layer computes.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "op", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(super) enum OpForm {
    /// 2-D convolution
    Conv {
        /// Output channels, over all groups
        out_channels: NonZeroUsize,
        /// Kernel rows and columns: one number, or [rows, columns]
        kernel: Pair,
        /// Stride in rows and columns
        #[serde(default)]
        stride: Pair,
        /// Zero padding: one number, or [top, bottom, left, right]
        #[serde(default)]
        padding: Sides,
        /// Dilation in rows and columns
        #[serde(default)]
        dilation: Pair,
        /// Groups; equal to the input channels for a depthwise convolution
        #[serde(default = "one")]
        groups: NonZeroUsize,
        /// Whether a bias is added per output channel
        #[serde(default = "yes")]
        bias: bool,
    },
    /// A matrix times the last axis
    Linear {
        /// Output features
        out_features: NonZeroUsize,
        /// Whether a bias is added
        #[serde(default = "yes")]
        bias: bool,
    },
    /// The product of two activations
    Matmul {
        /// Whether the second operand is transposed
        #[serde(default)]
        transpose_b: bool,
    },
    /// The largest value of each window
    MaxPool {
        /// Window rows and columns
        kernel: Pair,
        /// Stride in rows and columns; the window's size if not given
        stride: Option<Pair>,
        /// Padding: one number, or [top, bottom, left, right]
        #[serde(default)]
        padding: Sides,
        /// Whether a last window that hangs over the edge counts
        #[serde(default)]
        ceil: bool,
    },
    /// The mean of each window
    AveragePool {
        /// Window rows and columns
        kernel: Pair,
        /// Stride in rows and columns; the window's size if not given
        stride: Option<Pair>,
        /// Padding: one number, or [top, bottom, left, right]
        #[serde(default)]
        padding: Sides,
        /// Whether a last window that hangs over the edge counts
        #[serde(default)]
        ceil: bool,
    },
    /// The mean of each channel
    GlobalAveragePool,
    /// An element-wise function
    Activation {
        /// The function
        function: Activation,
    },
    /// Batch normalisation per channel
    BatchNorm {
        /// Added to the variance
        #[serde(default = "batch_eps")]
        #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
        eps: f32,
    },
    /// Layer normalisation over the last axis
    LayerNorm {
        /// Added to the variance
        #[serde(default = "layer_eps")]
        #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
        eps: f32,
    },
    /// The element-wise sum of its inputs
    Add,
    /// Its inputs joined along an axis
    Concat {
        /// The axis, batch not counted
        #[serde(default)]
        axis: usize,
    },
    /// One axis of all elements
    Flatten,
    /// Softmax over the last axis
    Softmax,
    /// Softmax of scaled scores over keys, given with the tokens of the keys: keys of token 0 take no part
    MaskedSoftmax {
        /// What the scores are multiplied by first
        #[serde(default = "unit")]
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        scale: f32,
    },
    /// `[tokens, features]` to `[heads, tokens, features of a head]`
    SplitHeads {
        /// Heads; they divide the features
        heads: NonZeroUsize,
    },
    /// `[heads, tokens, features of a head]` to `[tokens, features]`
    MergeHeads,
    /// The mean over tokens that are not 0; its inputs are `[tokens, features]` and the tokens
    MaskedMean,
    /// Adds a trained row to every position
    PositionEmbedding,
    /// Rows of a table picked by tokens
    Embedding {
        /// Rows of the table
        vocabulary: NonZeroUsize,
        /// Columns of the table
        features: NonZeroUsize,
    },
    /// Values set to zero at random while training
    Dropout {
        /// The portion set to zero, in [0, 1)
        #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
        rate: f32,
    },
}

impl OpForm {
    /// The operation.
    pub(super) fn op(self) -> Op {
        let pool = |kind, kernel: Pair, stride: Option<Pair>, padding: Sides, ceil| {
            Op::Pool(Pool {
                kind,
                kernel: kernel.get(),
                stride: stride.unwrap_or(kernel).get(),
                padding: padding.get(),
                ceil,
            })
        };
        match self {
            Self::Conv {
                out_channels,
                kernel,
                stride,
                padding,
                dilation,
                groups,
                bias,
            } => Op::Conv2d(Conv2d {
                out_channels: out_channels.get(),
                kernel: kernel.get(),
                stride: stride.get(),
                padding: padding.get(),
                dilation: dilation.get(),
                groups: groups.get(),
                bias,
            }),
            Self::Linear { out_features, bias } => Op::Linear {
                out_features: out_features.get(),
                bias,
            },
            Self::Matmul { transpose_b } => Op::MatMul { transpose_b },
            Self::MaxPool {
                kernel,
                stride,
                padding,
                ceil,
            } => pool(PoolKind::Max, kernel, stride, padding, ceil),
            Self::AveragePool {
                kernel,
                stride,
                padding,
                ceil,
            } => pool(PoolKind::Average, kernel, stride, padding, ceil),
            Self::GlobalAveragePool => Op::GlobalAveragePool,
            Self::Activation { function } => Op::Activation(function),
            Self::BatchNorm { eps } => Op::BatchNorm { eps },
            Self::LayerNorm { eps } => Op::LayerNorm { eps },
            Self::Add => Op::Add,
            Self::Concat { axis } => Op::Concat { axis },
            Self::Flatten => Op::Flatten,
            Self::Softmax => Op::Softmax,
            Self::MaskedSoftmax { scale } => Op::MaskedSoftmax { scale },
            Self::SplitHeads { heads } => Op::SplitHeads { heads: heads.get() },
            Self::MergeHeads => Op::MergeHeads,
            Self::MaskedMean => Op::MaskedMean,
            Self::PositionEmbedding => Op::PositionEmbedding,
            Self::Embedding { vocabulary, features } => Op::Embedding {
                vocabulary: vocabulary.get(),
                features: features.get(),
            },
            Self::Dropout { rate } => Op::Dropout { rate },
        }
    }
}

/// One number for rows and columns, or one for each.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Pair {
    /// Rows and columns alike
    Both(NonZeroUsize),
    /// Rows, columns
    Each([NonZeroUsize; 2]),
}

impl Pair {
    fn get(self) -> [usize; 2] {
        match self {
            Self::Both(n) => [n.get(); 2],
            Self::Each(pair) => pair.map(NonZeroUsize::get),
        }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::Both(NonZeroUsize::MIN)
    }
}

/// One number for all four sides, or one for each.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Sides {
    /// All sides alike
    All(usize),
    /// Top, bottom, left, right
    Each([usize; 4]),
}

impl Sides {
    fn get(self) -> Padding {
        match self {
            Self::All(n) => Padding::same(n),
            Self::Each([top, bottom, left, right]) => Padding {
                top,
                bottom,
                left,
                right,
            },
        }
    }
}

impl Default for Sides {
    fn default() -> Self {
        Self::All(0)
    }
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn unit() -> f32 {
    1.0
}

fn yes() -> bool {
    true
}

/// `PyTorch`'s default for batch normalisation.
fn batch_eps() -> f32 {
    1e-5
}

/// `PyTorch`'s default for layer normalisation.
fn layer_eps() -> f32 {
    1e-5
}
