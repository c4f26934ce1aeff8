//! Tensor shapes and the rule by which each operation makes its output shape.

use super::op::{Conv2d, Op, Padding, Pool};
use std::fmt;

/// The axes of one sample's tensor, outermost first: `[C, H, W]`, `[features]`, `[tokens, features]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape(pub Vec<usize>);

/// No tensor of one sample, and no table, may hold more elements than this: 2^40.
const MAX_ELEMENTS: usize = 1 << 40;
/// No kernel, stride, dilation or padding may be larger than this: 2^24. With it, no window arithmetic overflows.
const MAX_EXTENT: usize = 1 << 24;

impl Shape {
    /// The number of elements; shapes in a [`super::Network`] never exceed 2^40.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    fn checked(self) -> Result<Self, String> {
        let n = self.0.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        match n {
            Some(n) if n > 0 && n <= MAX_ELEMENTS => Ok(self),
            Some(0) => Err(format!("its output {self} is empty")),
            _ => Err(format!("its output {self} has more than 2^40 elements")),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "[{}]", axes.join(", "))
    }
}

/// Positions of a window along one axis, or why there is none.
fn positions(
    input: usize,
    pads: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    ceil: bool,
) -> Result<usize, String> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        return Err("kernel, stride and dilation must be at least 1".into());
    }
    if [pads, kernel, stride, dilation].iter().any(|&n| n > MAX_EXTENT) {
        return Err("kernel, stride, dilation and padding must be at most 2^24".into());
    }
    let reach = dilation * (kernel - 1) + 1;
    let padded = input + pads;
    if reach > padded {
        return Err(format!(
            "its window reaches over {reach} rows or columns, the padded input has {padded}"
        ));
    }
    let span = padded - reach;
    Ok(if ceil {
        span.div_ceil(stride)
    } else {
        span / stride
    } + 1)
}

fn map(shape: &Shape) -> Result<[usize; 3], String> {
    <[usize; 3]>::try_from(shape.0.as_slice()).map_err(|_| format!("it needs a [C, H, W] input, not {shape}"))
}

fn windows(
    h: usize,
    w: usize,
    pad: Padding,
    k: [usize; 2],
    s: [usize; 2],
    d: [usize; 2],
    ceil: bool,
) -> Result<[usize; 2], String> {
    let add = |a: usize, b: usize| a.checked_add(b).ok_or("its padding overflows");
    Ok([
        positions(h, add(pad.top, pad.bottom)?, k[0], s[0], d[0], ceil)?,
        positions(w, add(pad.left, pad.right)?, k[1], s[1], d[1], ceil)?,
    ])
}

fn conv(c: &Conv2d, input: &Shape) -> Result<Shape, String> {
    let [ch, h, w] = map(input)?;
    if c.groups == 0 || !ch.is_multiple_of(c.groups) || !c.out_channels.is_multiple_of(c.groups) {
        return Err(format!(
            "its {} groups must divide both {ch} input and {} output channels",
            c.groups, c.out_channels
        ));
    }
    let [p, q] = windows(h, w, c.padding, c.kernel, c.stride, c.dilation, false)?;
    Ok(Shape(vec![c.out_channels, p, q]))
}

fn pool(p: &Pool, input: &Shape) -> Result<Shape, String> {
    let [ch, h, w] = map(input)?;
    if p.padding.top.max(p.padding.bottom) >= p.kernel[0].max(1)
        || p.padding.left.max(p.padding.right) >= p.kernel[1].max(1)
    {
        return Err("its padding must be smaller than its window".into());
    }
    let [mut rows, mut cols] = windows(h, w, p.padding, p.kernel, p.stride, [1, 1], p.ceil)?;
    // a window may hang over the far edge, but must start inside the map or its leading padding
    if (rows - 1) * p.stride[0] >= h + p.padding.top {
        rows -= 1;
    }
    if (cols - 1) * p.stride[1] >= w + p.padding.left {
        cols -= 1;
    }
    Ok(Shape(vec![ch, rows, cols]))
}

/// The shape of the network's input, if it is neither empty nor too large.
pub(super) fn input(shape: &Shape) -> Result<Shape, String> {
    if shape.0.is_empty() {
        return Err("an input needs at least one axis".into());
    }
    shape.clone().checked()
}

/// How many inputs an operation takes: lower and upper limit.
fn arity(op: &Op) -> (usize, usize) {
    match op {
        Op::Input => (0, 0),
        Op::MatMul { .. } | Op::MaskedSoftmax { .. } | Op::MaskedMean => (2, 2),
        Op::Add | Op::Concat { .. } => (2, usize::MAX),
        _ => (1, 1),
    }
}

/// The shape of an operation's output, or what is wrong, as the end of "layer `x`: …".
pub(super) fn infer(op: &Op, inputs: &[&Shape]) -> Result<Shape, String> {
    let (least, most) = arity(op);
    if inputs.len() < least || inputs.len() > most {
        let want = if least == most {
            least.to_string()
        } else {
            format!("at least {least}")
        };
        return Err(format!(
            "{} takes {want} inputs, it has {}",
            op.kind(),
            inputs.len()
        ));
    }
    let shape = match op {
        Op::Input => return Err("an input has no inferred shape".into()),
        Op::Conv2d(c) => conv(c, inputs[0])?,
        Op::Linear { out_features, .. } => {
            let mut axes = inputs[0].0.clone();
            *axes.last_mut().ok_or("its input has no axis")? = *out_features;
            Shape(axes)
        }
        Op::MatMul { transpose_b } => matmul(*transpose_b, inputs[0], inputs[1])?,
        Op::Pool(p) => pool(p, inputs[0])?,
        Op::GlobalAveragePool => Shape(vec![map(inputs[0])?[0]]),
        Op::Activation(_) | Op::BatchNorm { .. } | Op::LayerNorm { .. } | Op::Softmax => inputs[0].clone(),
        Op::Dropout { rate } => {
            if !(0.0..1.0).contains(rate) {
                return Err(format!("its rate {rate} must lie in [0, 1)"));
            }
            inputs[0].clone()
        }
        Op::MaskedSoftmax { scale } => masked_softmax(*scale, inputs[0], inputs[1])?,
        Op::SplitHeads { heads } => match inputs[0].0.as_slice() {
            &[tokens, features] if *heads > 0 && features.is_multiple_of(*heads) => {
                Shape(vec![*heads, tokens, features / heads])
            }
            _ => {
                return Err(format!(
                    "it needs a [tokens, features] input whose features divide among {heads} heads, not {}",
                    inputs[0]
                ));
            }
        },
        Op::MergeHeads => match inputs[0].0.as_slice() {
            &[heads, tokens, features] => Shape(vec![
                tokens,
                heads
                    .checked_mul(features)
                    .ok_or("the features of its heads overflow")?,
            ]),
            _ => {
                return Err(format!(
                    "it needs a [heads, tokens, features] input, not {}",
                    inputs[0]
                ));
            }
        },
        Op::MaskedMean => match (inputs[0].0.as_slice(), inputs[1].0.as_slice()) {
            (&[rows, features], &[tokens]) if rows == tokens => Shape(vec![features]),
            _ => {
                return Err(format!(
                    "it takes the mean of [tokens, features] where [tokens] are not padding, not of {} by {}",
                    inputs[0], inputs[1]
                ));
            }
        },
        Op::PositionEmbedding => match inputs[0].0.as_slice() {
            [_, _] => inputs[0].clone(),
            _ => return Err(format!("it needs a [tokens, features] input, not {}", inputs[0])),
        },
        Op::Add => {
            if let Some(other) = inputs.iter().find(|s| **s != inputs[0]) {
                return Err(format!(
                    "it adds {} and {other}; all inputs must have one shape",
                    inputs[0]
                ));
            }
            inputs[0].clone()
        }
        Op::Concat { axis } => concat(*axis, inputs)?,
        Op::Flatten => Shape(vec![inputs[0].elements()]),
        Op::Embedding { vocabulary, features } => match inputs[0].0.as_slice() {
            &[tokens] if *vocabulary > 0 => {
                Shape(vec![*vocabulary, *features])
                    .checked()
                    .map_err(|_| "its table is empty or has more than 2^40 elements")?;
                Shape(vec![tokens, *features])
            }
            _ => {
                return Err(format!(
                    "it needs a [tokens] input and a vocabulary, not {}",
                    inputs[0]
                ));
            }
        },
    };
    shape.checked()
}

fn masked_softmax(scale: f32, scores: &Shape, tokens: &Shape) -> Result<Shape, String> {
    if !scale.is_finite() || scale <= 0.0 {
        return Err(format!("its scale {scale} must be a number greater than 0"));
    }
    match (scores.0.last(), tokens.0.as_slice()) {
        (Some(keys), [tokens]) if keys == tokens => Ok(scores.clone()),
        _ => Err(format!(
            "it masks the last axis of {scores} by {tokens}; the tokens must be one axis as long as it"
        )),
    }
}

fn matmul(transpose_b: bool, a: &Shape, b: &Shape) -> Result<Shape, String> {
    let n = a.0.len();
    if n < 2 || b.0.len() != n || a.0[..n - 2] != b.0[..n - 2] {
        return Err(format!(
            "it multiplies {a} and {b}; both need the same leading axes and at least two axes"
        ));
    }
    let (k, cols) = if transpose_b {
        (b.0[n - 1], b.0[n - 2])
    } else {
        (b.0[n - 2], b.0[n - 1])
    };
    if a.0[n - 1] != k {
        return Err(format!(
            "it multiplies {a} and {b}; the inner axes {} and {k} differ",
            a.0[n - 1]
        ));
    }
    let mut axes = a.0.clone();
    axes[n - 1] = cols;
    Ok(Shape(axes))
}

fn concat(axis: usize, inputs: &[&Shape]) -> Result<Shape, String> {
    let mut axes = inputs[0].0.clone();
    if axis >= axes.len() {
        return Err(format!("its axis {axis} is outside {}", inputs[0]));
    }
    for other in &inputs[1..] {
        let fits = other.0.len() == axes.len() && (0..axes.len()).all(|i| i == axis || other.0[i] == axes[i]);
        if !fits {
            return Err(format!(
                "it joins {} and {other}; they must agree but for axis {axis}",
                inputs[0]
            ));
        }
        axes[axis] = axes[axis]
            .checked_add(other.0[axis])
            .ok_or("its output overflows")?;
    }
    Ok(Shape(axes))
}
