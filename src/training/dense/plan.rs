//! Turns a network into a list of operators on numbered buffers, and chooses the layout of every tensor.
//!
//! Convolutions, pooling and batch normalisation want their channels last: windows are then long adjacent runs and
//! every inner loop runs over channels. All other operators want the plain order of the network's shapes, or take
//! what they are given. Where a reader wants the other order, a permutation is inserted, once per tensor.

use super::float::Float;
use super::live::Live;
use super::ops;
use super::ops::Operator;
use crate::compression::Mask;
use crate::network::op::Conv2d;
use crate::network::{Layer, Network, Op};
use crate::training::TrainingError;
use std::ops::Range;

/// One operator on its buffers.
pub(super) struct Node<T> {
    /// The layer that it runs, or a permutation for it.
    pub(super) layer: String,
    /// What it does.
    pub(super) op: Box<dyn Operator<T>>,
    /// Buffers that it reads.
    pub(super) inputs: Vec<usize>,
    /// The buffer that it writes.
    pub(super) output: usize,
    /// Its parameters among the network's.
    pub(super) parameters: Range<usize>,
}

/// One tensor of the mini-batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer {
    /// Elements of one sample.
    pub(super) elements: usize,
    /// How often it is read.
    pub(super) uses: usize,
    /// Whether the loss is derived by it.
    pub(super) derived: bool,
}

/// The nodes in order, their buffers, and which buffers are the network's own.
pub(super) struct Plan<T> {
    pub(super) nodes: Vec<Node<T>>,
    pub(super) buffers: Vec<Buffer>,
    pub(super) input: usize,
    pub(super) output: usize,
    /// The layers that multiply, each with the buffer of its first input.
    pub(super) operands: Vec<(String, usize)>,
}

/// The order of a sample's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// As the shape says: `C × H × W`.
    Plain,
    /// The first axis moved to the end: `H × W × C`.
    ChannelsLast,
}

/// A layer's output: the buffers that hold it in either layout.
#[derive(Debug, Clone, Copy, Default)]
struct Tensor {
    plain: Option<usize>,
    channels_last: Option<usize>,
}

impl<T: Float> Plan<T> {
    /// A plan; `derive_input` asks for the derivative by the input as well. `supports` holds one place for each
    /// parameter, or none at all.
    pub(super) fn new(
        network: &Network,
        derive_input: bool,
        supports: &[Option<&Mask>],
    ) -> Result<Self, TrainingError> {
        let mut plan = Self {
            nodes: Vec::new(),
            buffers: Vec::new(),
            input: 0,
            output: 0,
            operands: Vec::new(),
        };
        let places = network
            .layers()
            .map(|(id, _)| id.index())
            .max()
            .map_or(0, |m| m + 1);
        let mut tensors = vec![Tensor::default(); places];
        let mut parameters = 0;
        for (place, (id, layer)) in network.layers().enumerate() {
            let fail = |message: &str| TrainingError::Unsupported {
                layer: layer.name.clone(),
                message: message.into(),
            };
            let shapes: Vec<&[usize]> = layer
                .inputs
                .iter()
                .map(|&i| network.layer(i).output.0.as_slice())
                .collect();
            let count =
                crate::training::parameters::specifications(layer, shapes.first().copied().unwrap_or(&[]))
                    .len();
            let range = parameters..parameters + count;
            parameters += count;
            if layer.op == Op::Input {
                if id != network.input() {
                    return Err(fail("a second input; the executor takes networks with one"));
                }
                plan.input = plan.buffer(layer.output.elements(), derive_input);
                tensors[id.index()] = Tensor::holding(plan.input, Layout::Plain, &layer.output.0);
                continue;
            }
            let layout = match layer.op {
                Op::Conv2d(_) | Op::Pool(_) | Op::GlobalAveragePool | Op::BatchNorm { .. } => {
                    Layout::ChannelsLast
                }
                Op::Activation(_) | Op::Add | Op::Concat { .. } | Op::Dropout { .. }
                    if tensors[layer.inputs[0].index()].channels_last.is_some() =>
                {
                    Layout::ChannelsLast
                }
                _ => Layout::Plain,
            };
            let mut inputs = Vec::with_capacity(shapes.len());
            for (&from, shape) in layer.inputs.iter().zip(&shapes) {
                inputs.push(plan.in_layout(&mut tensors[from.index()], layout, shape, &layer.name));
            }
            if layer.op == Op::Flatten {
                tensors[id.index()] = Tensor {
                    plain: Some(inputs[0]),
                    channels_last: Some(inputs[0]),
                };
                continue;
            }
            let support = supports.get(range.start).copied().flatten().filter(|_| count > 0);
            let op = operator(layer, place, &shapes, layout, support)
                .ok_or_else(|| fail("its shapes do not fit"))?;
            if layer.nest.is_some() {
                plan.operands.push((layer.name.clone(), inputs[0]));
            }
            let output = plan.push(&layer.name, op, inputs, range, layer.output.elements());
            // a global average leaves one axis, so both layouts are the same
            tensors[id.index()] = Tensor::holding(output, layout, &layer.output.0);
        }
        let last = network.layer(network.output());
        plan.output = plan.in_layout(
            &mut tensors[network.output().index()],
            Layout::Plain,
            &last.output.0,
            &last.name,
        );
        Ok(plan)
    }

    fn buffer(&mut self, elements: usize, derived: bool) -> usize {
        self.buffers.push(Buffer {
            elements,
            uses: 0,
            derived,
        });
        self.buffers.len() - 1
    }

    fn push(
        &mut self,
        layer: &str,
        op: Box<dyn Operator<T>>,
        inputs: Vec<usize>,
        parameters: Range<usize>,
        elements: usize,
    ) -> usize {
        let derived = !parameters.is_empty() || inputs.iter().any(|&i| self.buffers[i].derived);
        inputs.iter().for_each(|&i| self.buffers[i].uses += 1);
        let output = self.buffer(elements, derived);
        self.nodes.push(Node {
            layer: layer.into(),
            op,
            inputs,
            output,
            parameters,
        });
        output
    }

    /// The buffer that holds a tensor in a layout; permutes it if there is none yet.
    fn in_layout(&mut self, tensor: &mut Tensor, layout: Layout, shape: &[usize], layer: &str) -> usize {
        let elements: usize = shape.iter().product();
        let channels = shape.first().copied().unwrap_or(1);
        let (rows, cols, from, to) = match layout {
            Layout::Plain => (
                elements / channels,
                channels,
                tensor.channels_last,
                &mut tensor.plain,
            ),
            Layout::ChannelsLast => (
                channels,
                elements / channels,
                tensor.plain,
                &mut tensor.channels_last,
            ),
        };
        if let Some(buffer) = *to {
            return buffer;
        }
        let from = from.expect("a tensor that is read was produced in one layout");
        let buffer = self.push(
            layer,
            Box::new(ops::Permute { rows, cols }),
            vec![from],
            0..0,
            elements,
        );
        *to = Some(buffer);
        buffer
    }
}

impl Tensor {
    /// A tensor in one layout; in both where they are the same.
    fn holding(buffer: usize, layout: Layout, shape: &[usize]) -> Self {
        let channels = shape.first().copied().unwrap_or(1);
        let same = channels == 1 || channels == shape.iter().product::<usize>();
        Self {
            plain: (same || layout == Layout::Plain).then_some(buffer),
            channels_last: (same || layout == Layout::ChannelsLast).then_some(buffer),
        }
    }
}

/// A convolution with its live rows and columns alone, where windows need not be copied or few of them are left.
fn convolution<T: Float>(
    conv: Conv2d,
    input: &[usize],
    output: &[usize],
    support: Option<&Mask>,
) -> Box<dyn Operator<T>> {
    let columns = input[0] / conv.groups * conv.kernel[0] * conv.kernel[1];
    let matrix = [conv.out_channels, columns];
    let live = support.map(|s| Live::of(s, matrix, conv.groups));
    let smaller = |s: &Mask| live.as_ref().is_some_and(|live| live.is_smaller(s, s.len()));
    if ops::Direct::<T>::suits(&conv) || support.is_some_and(smaller) {
        let live = live.unwrap_or_else(|| Live::all(matrix, conv.groups));
        Box::new(ops::Direct::new(conv, input, output, &live))
    } else {
        Box::new(ops::Conv::new(conv, input, output))
    }
}

/// The operator of a layer, `None` when its shapes lack an axis (which a built network rules out).
fn operator<T: Float>(
    layer: &Layer,
    place: usize,
    inputs: &[&[usize]],
    layout: Layout,
    support: Option<&Mask>,
) -> Option<Box<dyn Operator<T>>> {
    let (input, output) = (*inputs.first()?, layer.output.0.as_slice());
    let last = *input.last()?;
    Some(match &layer.op {
        Op::Input | Op::Flatten => return None,
        Op::Conv2d(c) if c.groups > 1 && c.groups == input[0] && c.out_channels == input[0] => {
            Box::new(ops::Depthwise::new(*c, input, output))
        }
        Op::Conv2d(c) => convolution(*c, input, output, support),
        Op::Linear { out_features, .. } => {
            let matrix = [*out_features, last];
            let live = support
                .map(|s| (Live::of(s, matrix, 1), s))
                .filter(|(live, s)| live.is_smaller(s, out_features * last));
            match live {
                Some((mut live, _)) => Box::new(ops::LiveLinear::new(matrix, live.groups.remove(0))),
                None => Box::new(ops::Linear {
                    features: last,
                    out_features: *out_features,
                }),
            }
        }
        Op::MatMul { transpose_b } => {
            let m = input[input.len().checked_sub(2)?];
            Box::new(ops::Product {
                sizes: [m, last, *output.last()?],
                transpose_b: *transpose_b,
            })
        }
        Op::Pool(p) => Box::new(ops::Pooling::new(*p, input, output)),
        Op::GlobalAveragePool => Box::new(ops::GlobalAverage {
            positions: input[1..].iter().product(),
            channels: input[0],
        }),
        Op::Activation(a) => Box::new(ops::Activate(*a)),
        Op::BatchNorm { eps } => Box::new(ops::BatchNorm::new(input[0], *eps)),
        Op::LayerNorm { eps } => Box::new(ops::LayerNorm::new(last, *eps)),
        Op::Add => Box::new(ops::Add),
        Op::Concat { axis } => {
            let stretch = |shape: &[usize]| -> usize {
                match layout {
                    Layout::Plain => shape[*axis..].iter().product(),
                    // the first axis stands last: it ends every stretch, and alone makes one
                    Layout::ChannelsLast if *axis == 0 => shape[0],
                    Layout::ChannelsLast => shape[*axis..].iter().product::<usize>() * shape[0],
                }
            };
            Box::new(ops::Concat {
                stretches: inputs.iter().map(|s| stretch(s)).collect(),
            })
        }
        Op::Softmax => Box::new(ops::Softmax(last)),
        Op::MaskedSoftmax { scale } => Box::new(ops::MaskedSoftmax {
            keys: last,
            rows: input.iter().product::<usize>() / last,
            scale: T::of(f64::from(*scale)),
        }),
        Op::SplitHeads { heads } => Box::new(ops::Heads {
            tokens: *input.first()?,
            heads: *heads,
            features: last / heads,
            split: true,
        }),
        Op::MergeHeads => Box::new(ops::Heads {
            tokens: *input.get(1)?,
            heads: *input.first()?,
            features: last,
            split: false,
        }),
        Op::MaskedMean => Box::new(ops::MaskedMean { features: last }),
        Op::PositionEmbedding => Box::new(ops::Position {
            elements: input.iter().product(),
        }),
        Op::Embedding { vocabulary, features } => Box::new(ops::Embedding {
            vocabulary: *vocabulary,
            features: *features,
        }),
        Op::Dropout { rate } => Box::new(ops::Dropout::new(*rate, place, layer.output.elements())),
    })
}
