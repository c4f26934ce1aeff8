//! From a chain of layers and the supports of its weights to lists of kept weights.

use super::conv::Convolution;
use super::linear::Linear;
use super::pool::Pooling;
use super::slots::Slots;
use super::stage::{Elements, Stage};
use crate::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use crate::network::{Layer, Network, Op};
use crate::training::{Parameter, Parameters, Role, TrainingError};

/// The most values that one sample may need between the layers: 2^26, 4 GiB for a block of sixteen samples.
const MAX_ELEMENTS: usize = 1 << 26;

/// What is run for a block of samples, in order.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) stages: Vec<Stage>,
    /// The first stage with trained values; nothing before it needs derivatives.
    pub(super) first_trained: usize,
    /// Values of one input.
    pub(super) inputs: usize,
    /// Values of one output.
    pub(super) classes: usize,
    /// Kept weights and biases that reach the output.
    pub(super) values: usize,
    /// The layer that ends the network, to name it in errors.
    pub(super) last: String,
}

/// A layer with the maps that it reads and writes.
struct Draft<'a> {
    layer: &'a Layer,
    op: Op,
    input: [usize; 3],
    output: [usize; 3],
    /// Its place in the network, which seeds dropout.
    place: usize,
}

pub(super) fn unsupported(layer: &str, message: impl Into<String>) -> TrainingError {
    TrainingError::Unsupported {
        layer: layer.into(),
        message: message.into(),
    }
}

impl Plan {
    pub(super) fn new(network: &Network, parameters: &Parameters) -> Result<Self, TrainingError> {
        let mut drafts = chain(network)?;
        pool_before_activation(&mut drafts);
        let last = &network.layer(network.output()).name;
        let inputs = network.layer(network.input()).output.elements();
        let classes = network.layer(network.output()).output.elements();

        // backwards, so that weights whose output nobody reads are left out
        let mut stages = Vec::new();
        let mut read = vec![true; classes];
        let mut values = 0;
        let mut i = drafts.len();
        while i > 0 {
            i -= 1;
            let draft = &drafts[i];
            let stage = match draft.op {
                Op::Conv2d(conv) => {
                    Stage::Convolution(convolution(draft, conv, None, parameters, values, &mut read)?)
                }
                Op::Linear { .. } => Stage::Linear(linear(draft, parameters, values, &mut read)?),
                Op::Pool(pool) => match i
                    .checked_sub(1)
                    .map(|before| (&drafts[before], &drafts[before].op))
                {
                    Some((before, &Op::Conv2d(conv))) if tiles(&pool) => {
                        i -= 1;
                        let pool = Some((pool, draft.output));
                        Stage::Convolution(convolution(before, conv, pool, parameters, values, &mut read)?)
                    }
                    _ => {
                        read = channels(&read, draft.output[0], draft.input);
                        Stage::Pooling(Pooling {
                            pool,
                            input: draft.input,
                            output: draft.output,
                        })
                    }
                },
                Op::Activation(kind) => Stage::Activation(kind, elements(&read)),
                Op::Dropout { rate } => Stage::Dropout(rate, draft.place, elements(&read)),
                _ => return Err(unsupported(&draft.layer.name, kinds(draft.op.kind()))),
            };
            values += stage.slots().map_or(0, Slots::len);
            stages.push(stage);
        }
        stages.reverse();
        let first_trained = stages
            .iter()
            .position(|s| s.slots().is_some())
            .unwrap_or(stages.len());
        Ok(Self {
            stages,
            first_trained,
            inputs,
            classes,
            values,
            last: last.clone(),
        })
    }
}

fn kinds(kind: &str) -> String {
    format!(
        "{kind} is not run on kept weights; conv, linear, pooling, activation, flatten and dropout in a chain are: \
         use the dense executor"
    )
}

/// The layers from the input to the output, flattening left out: elements lie in the same order on both sides.
fn chain(network: &Network) -> Result<Vec<Draft<'_>>, TrainingError> {
    let mut drafts = Vec::new();
    let mut total = network.layer(network.input()).output.elements();
    let mut at = network.input();
    for place in 1.. {
        let next = match network.readers(at)[..] {
            [] => break,
            [next] => next,
            _ => {
                return Err(unsupported(
                    &network.layer(at).name,
                    kinds("a layer with several readers"),
                ));
            }
        };
        let layer = network.layer(next);
        if layer.inputs.len() != 1 {
            return Err(unsupported(&layer.name, kinds(layer.op.kind())));
        }
        let map = |axes: &[usize]| match *axes {
            [c, h, w] => Some([c, h, w]),
            [n] => Some([n, 1, 1]),
            _ => None,
        };
        let from = &network.layer(at).output;
        let (Some(input), Some(output)) = (map(&from.0), map(&layer.output.0)) else {
            return Err(unsupported(
                &layer.name,
                "it needs one axis or a [C, H, W] map on both sides",
            ));
        };
        total = total.saturating_add(layer.output.elements());
        if let Op::Conv2d(c) = layer.op {
            let padded = (input[1] + c.padding.top + c.padding.bottom)
                .checked_mul(input[2] + c.padding.left + c.padding.right)
                .and_then(|plane| plane.checked_mul(input[0]));
            total = total.saturating_add(padded.unwrap_or(usize::MAX));
        }
        if total > MAX_ELEMENTS {
            return Err(unsupported(
                &layer.name,
                "up to here a sample needs more than 2^26 values: use a smaller input",
            ));
        }
        let op = match layer.op {
            Op::Linear { .. } if from.0.len() != 1 => {
                return Err(unsupported(
                    &layer.name,
                    format!("it reads {from}, not one axis: put a flatten before it"),
                ));
            }
            Op::GlobalAveragePool => {
                let window = [input[1], input[2]];
                Op::Pool(Pool {
                    kind: PoolKind::Average,
                    kernel: window,
                    stride: window,
                    padding: Padding::default(),
                    ceil: false,
                })
            }
            ref op => op.clone(),
        };
        if op != Op::Flatten {
            drafts.push(Draft {
                layer,
                op,
                input,
                output,
                place,
            });
        }
        at = next;
    }
    Ok(drafts)
}

/// Rising functions and maxima may change places: the pooling shrinks the map first, and can be fused.
fn pool_before_activation(drafts: &mut [Draft<'_>]) {
    use Activation::{Relu, Relu6, Sigmoid, Tanh};
    for i in 1..drafts.len() {
        let (before, after) = drafts.split_at_mut(i);
        let (a, b) = (&mut before[i - 1], &mut after[0]);
        let rising = matches!(a.op, Op::Activation(Relu | Relu6 | Sigmoid | Tanh));
        if rising && matches!(b.op, Op::Pool(p) if p.kind == PoolKind::Max) {
            a.output = b.output;
            let input = b.input;
            std::mem::swap(a, b);
            a.input = input;
            b.input = b.output;
        }
    }
}

/// Whether the windows cover a map without gaps, overlaps and borders.
fn tiles(pool: &Pool) -> bool {
    pool.kernel == pool.stride && pool.padding == Padding::default() && !pool.ceil
}

fn elements(read: &[bool]) -> Elements {
    Elements {
        count: read.len(),
        live: (0u32..).zip(read).filter(|&(_, &r)| r).map(|(e, _)| e).collect(),
    }
}

/// Which elements of a map are read if every output channel with a read element needs its whole input channel.
fn channels(read: &[bool], count: usize, input: [usize; 3]) -> Vec<bool> {
    let plane = read.len() / count;
    let live = read.chunks(plane).map(|c| c.contains(&true));
    live.flat_map(|l| std::iter::repeat_n(l, input[1] * input[2]))
        .collect()
}

/// The place of a layer's parameter of a role, checked against the length it must have.
fn find(parameters: &Parameters, layer: &str, role: Role, shape: &[usize]) -> Result<usize, TrainingError> {
    let what = if role == Role::Weight { "weight" } else { "bias" };
    let place = parameters
        .list
        .iter()
        .position(|p| p.role == role && p.layer == layer);
    let place =
        place.ok_or_else(|| unsupported(layer, format!("its {what} is missing from the parameters")))?;
    let (p, length) = (&parameters.list[place], shape.iter().product::<usize>());
    let bits = p.support.as_ref().map_or(length, crate::compression::Mask::len);
    if p.values.len() != length || bits != length || u32::try_from(length).is_err() {
        let have = p.values.len();
        return Err(unsupported(
            layer,
            format!("its {what} has {have} values and {bits} mask bits, {shape:?} are needed"),
        ));
    }
    Ok(place)
}

/// The kept positions of a parameter that pass a filter, ascending.
fn kept(parameter: &Parameter, wanted: impl Fn(usize) -> bool) -> Vec<u32> {
    let pick = |positions: &mut dyn Iterator<Item = usize>| {
        positions.filter(|&p| wanted(p)).map(|p| p as u32).collect()
    };
    match &parameter.support {
        Some(mask) => pick(&mut mask.ones()),
        None => pick(&mut (0..parameter.values.len())),
    }
}

/// The kept values of a layer with `live.len()` outputs of `columns` weights each; those of dead outputs left out.
fn slots(
    layer: &Layer,
    parameters: &Parameters,
    first: usize,
    live: &[bool],
    has_bias: bool,
) -> Result<(Slots, Vec<usize>), TrainingError> {
    let shape = layer
        .weight_shape()
        .ok_or_else(|| unsupported(&layer.name, "it has no weights"))?;
    let columns = shape[1..].iter().product::<usize>();
    let weight = find(parameters, &layer.name, Role::Weight, &shape)?;
    let positions = kept(&parameters.list[weight], |p| live[p / columns]);
    let starts = (0..=live.len())
        .map(|o| positions.partition_point(|&p| (p as usize) < o * columns))
        .collect();
    let mut bias_of = vec![u32::MAX; live.len()];
    let bias = if has_bias {
        let place = find(parameters, &layer.name, Role::Bias, &[live.len()])?;
        let positions = kept(&parameters.list[place], |o| live[o]);
        for (at, &o) in (0u32..).zip(&positions) {
            bias_of[o as usize] = at;
        }
        Some((place, positions))
    } else {
        None
    };
    Ok((
        Slots {
            first,
            weight: (weight, positions),
            bias,
            bias_of,
        },
        starts,
    ))
}

fn linear(
    draft: &Draft<'_>,
    parameters: &Parameters,
    first: usize,
    read: &mut Vec<bool>,
) -> Result<Linear, TrainingError> {
    let Op::Linear { bias, .. } = draft.op else {
        return Err(unsupported(&draft.layer.name, "it is not linear"));
    };
    let (slots, starts) = slots(draft.layer, parameters, first, read, bias)?;
    let columns = draft.input[0] as u32;
    let inputs: Vec<u32> = slots.weight.1.iter().map(|p| p % columns).collect();
    *read = vec![false; draft.input[0]];
    for &i in &inputs {
        read[i as usize] = true;
    }
    Ok(Linear {
        slots,
        starts,
        inputs,
    })
}

fn convolution(
    draft: &Draft<'_>,
    conv: Conv2d,
    pool: Option<(Pool, [usize; 3])>,
    parameters: &Parameters,
    first: usize,
    read: &mut Vec<bool>,
) -> Result<Convolution, TrainingError> {
    let plane = read.len() / draft.output[0];
    let live: Vec<bool> = read.chunks(plane).map(|c| c.contains(&true)).collect();
    let (slots, starts) = slots(draft.layer, parameters, first, &live, conv.bias)?;
    let [c, h, w] = draft.input;
    let (height, width) = (
        h + conv.padding.top + conv.padding.bottom,
        w + conv.padding.left + conv.padding.right,
    );
    let ([r, s], per_group) = (conv.kernel, c / conv.groups);
    let outputs_per_group = conv.out_channels / conv.groups;
    let mut offsets = Vec::with_capacity(slots.weight.1.len());
    let mut sources = Vec::with_capacity(slots.weight.1.len());
    for (slot, &position) in (0u32..).zip(&slots.weight.1) {
        let position = position as usize;
        let (column, row, rest) = (position % s, position / s % r, position / (s * r));
        let output = rest / per_group;
        let input = output / outputs_per_group * per_group + rest % per_group;
        offsets.push(((input * height + row * conv.dilation[0]) * width + column * conv.dilation[1]) as u32);
        sources.push((input as u32, slot, output as u32));
    }
    sources.sort_unstable();
    let mut inputs = vec![false; c];
    for &(input, ..) in &sources {
        inputs[input as usize] = true;
    }
    *read = inputs
        .into_iter()
        .flat_map(|l| std::iter::repeat_n(l, h * w))
        .collect();
    let output = match pool {
        Some((pool, [k, p, q])) => [k, p * pool.kernel[0], q * pool.kernel[1]],
        None => draft.output,
    };
    Ok(Convolution {
        slots,
        input: draft.input,
        padding: conv.padding,
        stride: conv.stride,
        output,
        starts,
        offsets,
        by_input: sources
            .into_iter()
            .map(|(_, slot, output)| (slot, output))
            .collect(),
        live,
        pool: pool.map(|(p, _)| (p.kind, p.kernel)),
    })
}
