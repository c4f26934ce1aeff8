//! What a layer computes.

use serde::{Deserialize, Serialize};

/// Rows and columns that are added around a feature map, side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same padding on all four sides.
    #[must_use]
    pub const fn same(n: usize) -> Self {
        Self {
            top: n,
            bottom: n,
            left: n,
            right: n,
        }
    }
}

/// A 2-D convolution on a `C×H×W` map. Weights are `K × C/groups × R × S`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Output channels K, over all groups.
    pub out_channels: usize,
    /// Kernel rows and columns R×S.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Zero padding.
    pub padding: Padding,
    /// Dilation in rows and columns; 1 is a plain convolution.
    pub dilation: [usize; 2],
    /// Groups; equal to the input channels for a depthwise convolution.
    pub groups: usize,
    /// Whether a bias is added per output channel.
    pub bias: bool,
}

/// What a pooling window computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// The largest value; padding never wins.
    Max,
    /// The mean over the window positions that lie inside the map.
    Average,
}

/// Pooling over windows of a `C×H×W` map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool {
    /// What a window computes.
    pub kind: PoolKind,
    /// Window rows and columns.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Padding.
    pub padding: Padding,
    /// Whether a last window that hangs over the edge counts (Caffe) or not (`PyTorch`'s default).
    pub ceil: bool,
}

/// An element-wise function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// x·Φ(x), the exact form with erf
    Gelu,
    /// x·sigmoid(x)
    Silu,
    /// 1/(1 + e^-x)
    Sigmoid,
    /// tanh x
    Tanh,
}

/// The token that fills a sentence up to the network's length. It takes no part in masked operations.
pub const PADDING_TOKEN: u32 = 0;

/// A layer's operation. Inputs are ordered; their number is fixed by the operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// The network's input.
    Input,
    /// 2-D convolution.
    Conv2d(Conv2d),
    /// `y = W x + b` on the last axis; weights are `out × in`.
    Linear {
        /// Output features.
        out_features: usize,
        /// Whether a bias is added.
        bias: bool,
    },
    /// The product of two activations `[…, M, K] × [… , K, N]` (`[…, N, K]` when `transpose_b`).
    MatMul {
        /// Whether the second operand is transposed.
        transpose_b: bool,
    },
    /// Pooling with windows.
    Pool(Pool),
    /// The mean of each channel: `C×H×W` to `C`.
    GlobalAveragePool,
    /// An element-wise function.
    Activation(Activation),
    /// Batch normalisation per channel (axis 0) with running statistics (momentum 0.1).
    BatchNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// Layer normalisation over the last axis.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// The element-wise sum of two or more equal shapes.
    Add,
    /// Concatenation along an axis.
    Concat {
        /// The axis, batch not counted.
        axis: usize,
    },
    /// One axis of all elements.
    Flatten,
    /// Softmax over the last axis.
    Softmax,
    /// Softmax of `scale · x` over the last axis, the keys of an attention: `[…, Q, K]` and the tokens `[K]` that the
    /// keys stand for. Keys of token 0 ([`PADDING_TOKEN`]) take no part; a sample of padding alone gives zeros.
    MaskedSoftmax {
        /// What the scores are multiplied by first, as 1/√d.
        scale: f32,
    },
    /// The heads of an attention side by side become matrices of their own: `[T, heads·D]` to `[heads, T, D]`.
    SplitHeads {
        /// How many heads there are.
        heads: usize,
    },
    /// The inverse of [`Op::SplitHeads`]: `[heads, T, D]` to `[T, heads·D]`.
    MergeHeads,
    /// The mean of each feature over the tokens that are not padding: `[T, F]` and the tokens `[T]` to `[F]`. A sample
    /// of padding alone gives zeros.
    MaskedMean,
    /// A trained row is added for every position: `[T, F]` to the same. Its table is `T × F`.
    PositionEmbedding,
    /// Rows of a table `vocabulary × features` picked by integer tokens: `[T]` to `[T, features]`.
    Embedding {
        /// Rows of the table.
        vocabulary: usize,
        /// Columns of the table.
        features: usize,
    },
    /// Inverted dropout while training, the identity otherwise.
    Dropout {
        /// The portion set to zero, in [0, 1).
        rate: f32,
    },
}

impl Op {
    /// The operation's name in workload files and reports.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv2d(_) => "conv",
            Self::Linear { .. } => "linear",
            Self::MatMul { .. } => "matmul",
            Self::Pool(p) if p.kind == PoolKind::Max => "max-pool",
            Self::Pool(_) => "average-pool",
            Self::GlobalAveragePool => "global-average-pool",
            Self::Activation(_) => "activation",
            Self::BatchNorm { .. } => "batch-norm",
            Self::LayerNorm { .. } => "layer-norm",
            Self::Add => "add",
            Self::Concat { .. } => "concat",
            Self::Flatten => "flatten",
            Self::Softmax => "softmax",
            Self::MaskedSoftmax { .. } => "masked-softmax",
            Self::SplitHeads { .. } => "split-heads",
            Self::MergeHeads => "merge-heads",
            Self::MaskedMean => "masked-mean",
            Self::PositionEmbedding => "position-embedding",
            Self::Embedding { .. } => "embedding",
            Self::Dropout { .. } => "dropout",
        }
    }
}
