//! Every operator against central differences in double precision, on random small shapes and random graphs, and
//! convolution against its definition.
//!
//! With a step of 1e-6 the differences are exact to about 1e-9 of the loss; derivatives must agree to 1e-6, relative
//! above 1. Where the two one-sided differences disagree the function has a kink (`ReLU`, max pooling) and has no
//! derivative to compare; at most one position in ten may be such.

use super::engine::Engine;
use crate::compression::Mask;
use crate::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use crate::network::{Network, NetworkBuilder, Op, Shape};
use crate::training::parameters::specifications_of;
use crate::training::{Parameters, Role};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

const STEP: f64 = 1e-6;
const TOLERANCE: f64 = 1e-6;

/// Values in [-1, 1) that differ from each other, from a small generator.
fn values(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..len).map(|_| next()).collect()
}

/// Parameters of a network in double precision: gains away from 0, running variances positive.
fn parameters(network: &Network, seed: u64) -> Vec<Vec<f64>> {
    let specifications = specifications_of(network);
    let fresh = |(i, s): (usize, &crate::training::parameters::Specification)| {
        let mut v = values(seed + 100 * i as u64, s.shape.iter().product());
        match s.role {
            Role::Gain | Role::Statistic => v.iter_mut().for_each(|v| *v = 1.0 + 0.5 * *v),
            Role::Weight => {
                let fan_in = s.shape[1..].iter().product::<usize>() as f64;
                v.iter_mut().for_each(|v| *v *= (3.0 / fan_in).sqrt());
            }
            _ => {}
        }
        v
    };
    specifications.iter().enumerate().map(fresh).collect()
}

/// Σ weights · outputs in training mode: a loss whose derivative by the outputs is `weights`.
fn loss(
    engine: &mut Engine<f64>,
    parameters: &[Vec<f64>],
    inputs: &[f64],
    samples: usize,
    weights: &[f64],
) -> f64 {
    let lent: Vec<&[f64]> = parameters.iter().map(Vec::as_slice).collect();
    let outputs = engine
        .forward(&lent, inputs, samples, true, 7)
        .expect("the inputs suit the network");
    outputs.iter().zip(weights).map(|(a, b)| a * b).sum()
}

/// Compares all derivatives of `network` (at most `most` of each tensor) with differences.
fn check(
    network: &Network,
    inputs: &[f64],
    samples: usize,
    seed: u64,
    most: usize,
    derive_input: bool,
) -> Result<(), TestCaseError> {
    check_live(network, inputs, samples, seed, most, derive_input, &[])
}

/// The same with supports. A weight in a dead row or column changes nothing, and its derivative is zero.
fn check_live(
    network: &Network,
    inputs: &[f64],
    samples: usize,
    seed: u64,
    most: usize,
    derive_input: bool,
    supports: &[Option<&Mask>],
) -> Result<(), TestCaseError> {
    let mut engine = Engine::<f64>::new(network, derive_input, supports).expect("the network has one input");
    let mut parameters = parameters(network, seed);
    let mut inputs = inputs.to_vec();
    let weights = values(seed ^ 0x55, samples * engine.output_len());
    let middle = loss(&mut engine, &parameters, &inputs, samples, &weights);
    engine.output_and_gradient().1.copy_from_slice(&weights);
    // filled with rubbish, since every element is to be overwritten
    let mut gradients: Vec<Vec<f64>> = parameters.iter().map(|p| vec![f64::NAN; p.len()]).collect();
    let lent: Vec<&[f64]> = parameters.iter().map(Vec::as_slice).collect();
    engine.backward(&lent, 7, &mut gradients);
    let roles: Vec<(String, Role)> = specifications_of(network)
        .into_iter()
        .map(|s| (s.name, s.role))
        .collect();
    let input_gradient = if derive_input {
        engine.input_gradient().to_vec()
    } else {
        Vec::new()
    };
    let (mut kinks, mut compared) = (0, 0);
    for tensor in 0..=parameters.len() {
        let statistic = roles.get(tensor).is_some_and(|r| r.1 == Role::Statistic);
        let len = parameters.get(tensor).map_or(input_gradient.len(), Vec::len);
        for place in (0..len).step_by(len.div_ceil(most).max(1)) {
            let mut at = |delta: f64| {
                let slot = if tensor < parameters.len() {
                    &mut parameters[tensor][place]
                } else {
                    &mut inputs[place]
                };
                let kept = *slot;
                *slot = kept + delta;
                let value = loss(&mut engine, &parameters, &inputs, samples, &weights);
                *(if tensor < parameters.len() {
                    &mut parameters[tensor][place]
                } else {
                    &mut inputs[place]
                }) = kept;
                value
            };
            let (up, down) = (at(STEP), at(-STEP));
            let (right, left) = ((up - middle) / STEP, (middle - down) / STEP);
            let numeric = (up - down) / (2.0 * STEP);
            compared += 1;
            // a smooth function bends by about f″·1e-6, far below this
            if (right - left).abs() > 1e-3 * (1.0 + numeric.abs()) {
                kinks += 1;
                continue;
            }
            let analytic = if tensor < parameters.len() {
                gradients[tensor][place]
            } else {
                input_gradient[place]
            };
            let want = if statistic { 0.0 } else { numeric };
            let name = roles.get(tensor).map_or("input", |r| r.0.as_str());
            prop_assert!(
                (analytic - want).abs() <= TOLERANCE * (1.0 + want.abs()),
                "{name}[{place}]: derivative {analytic}, difference {want}, loss {middle}"
            );
        }
    }
    prop_assert!(
        kinks * 10 <= compared.max(10),
        "{kinks} of {compared} positions have no derivative"
    );
    Ok(())
}

/// A network of one layer.
fn single(op: Op, shapes: &[&[usize]]) -> Network {
    let mut builder = NetworkBuilder::new();
    builder
        .input("in", Shape(shapes[0].to_vec()))
        .layer("layer", op, &["in"]);
    builder.build().expect("the shapes fit")
}

fn check_single(op: Op, shape: &[usize], samples: usize, seed: u64) -> Result<(), TestCaseError> {
    let network = single(op, &[shape]);
    let inputs = values(seed, samples * shape.iter().product::<usize>());
    check(&network, &inputs, samples, seed, 24, true)
}

fn padding() -> impl Strategy<Value = Padding> {
    [0..3usize, 0..3, 0..3, 0..3].prop_map(|[top, bottom, left, right]| Padding {
        top,
        bottom,
        left,
        right,
    })
}

prop_compose! {
    /// A convolution and an input `[C, H, W]` that it fits.
    fn any_convolution()(
        groups in 1..4usize, c in 1..4usize, k in 1..4usize, depthwise: bool,
        kernel in [1..4usize, 1..4], stride in [1..3usize, 1..3], dilation in [1..3usize, 1..3], padding in padding(),
        extra in [0..4usize, 0..4], bias: bool,
    ) -> (Conv2d, Vec<usize>) {
        let (c, k) = if depthwise { (1, 1) } else { (c, k) };
        let reach = |i: usize| dilation[i] * (kernel[i] - 1) + 1;
        let conv = Conv2d { out_channels: groups * k, kernel, stride, padding, dilation, groups, bias };
        let rows = (reach(0) + extra[0]).saturating_sub(padding.top + padding.bottom).max(1);
        let cols = (reach(1) + extra[1]).saturating_sub(padding.left + padding.right).max(1);
        (conv, vec![groups * c, rows, cols])
    }
}

/// A support without the rows and columns whose bits are set.
fn crossed([rows, columns]: [usize; 2], dead: [u16; 2]) -> Mask {
    let mut mask = Mask::empty(rows, columns);
    let alive = |i: usize, dead: u16| dead >> (i % 16) & 1 == 0;
    (0..rows * columns)
        .filter(|i| alive(i / columns, dead[0]) && alive(i % columns, dead[1]))
        .for_each(|i| mask.set(i, true));
    mask
}

/// Convolution as it is defined, on plain `C × H × W` maps.
fn convolve(
    conv: &Conv2d,
    input: &[f64],
    shape: &[usize],
    weight: &[f64],
    bias: Option<&Vec<f64>>,
    output: &[usize],
) -> Vec<f64> {
    let (c, k) = (shape[0] / conv.groups, conv.out_channels / conv.groups);
    let mut out = Vec::new();
    for o in 0..conv.out_channels {
        for p in 0..output[1] {
            for q in 0..output[2] {
                let mut sum = bias.map_or(0.0, |b| b[o]);
                for i in 0..c {
                    for r in 0..conv.kernel[0] {
                        for s in 0..conv.kernel[1] {
                            let y = (p * conv.stride[0] + r * conv.dilation[0]).checked_sub(conv.padding.top);
                            let x =
                                (q * conv.stride[1] + s * conv.dilation[1]).checked_sub(conv.padding.left);
                            if let (Some(y), Some(x)) =
                                (y.filter(|&y| y < shape[1]), x.filter(|&x| x < shape[2]))
                            {
                                let w = weight[((o * c + i) * conv.kernel[0] + r) * conv.kernel[1] + s];
                                sum += w * input[((o / k * c + i) * shape[1] + y) * shape[2] + x];
                            }
                        }
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

const ACTIVATIONS: [Activation; 6] = [
    Activation::Relu,
    Activation::Relu6,
    Activation::Gelu,
    Activation::Silu,
    Activation::Sigmoid,
    Activation::Tanh,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn convolution_is_its_definition((conv, shape) in any_convolution(), samples in 1..4usize, seed: u32) {
        let network = single(Op::Conv2d(conv), &[&shape]);
        let output = network.layer(network.output()).output.clone();
        let parameters = parameters(&network, u64::from(seed));
        let inputs = values(u64::from(seed), samples * shape.iter().product::<usize>());
        let mut engine = Engine::<f64>::new(&network, false, &[]).expect("one input");
        let lent: Vec<&[f64]> = parameters.iter().map(Vec::as_slice).collect();
        let got = engine.forward(&lent, &inputs, samples, false, 0).expect("the inputs fit").to_vec();
        let mut want = Vec::new();
        for input in inputs.chunks_exact(shape.iter().product()) {
            want.extend(convolve(&conv, input, &shape, &parameters[0], parameters.get(1), &output.0));
        }
        for (i, (a, b)) in got.iter().zip(&want).enumerate() {
            prop_assert!((a - b).abs() < 1e-12, "output {i}: {a}, by definition {b}");
        }
        prop_assert_eq!(got.len(), want.len());
    }

    #[test]
    fn convolution((conv, shape) in any_convolution(), samples in 1..4usize, seed: u32) {
        check_single(Op::Conv2d(conv), &shape, samples, u64::from(seed))?;
    }

    /// Wide convolutions take another path than narrow ones, and so do pruned ones: here by the definition, with
    /// weights outside the support zero, and by differences.
    #[test]
    fn convolution_with_a_support(
        (mut conv, shape) in any_convolution(), wide: bool, dead in any::<[u16; 2]>(), samples in 1..10usize, seed: u32,
    ) {
        conv.out_channels *= if wide { 16 } else { 1 };
        let network = single(Op::Conv2d(conv), &[&shape]);
        let matrix = [conv.out_channels, shape[0] / conv.groups * conv.kernel[0] * conv.kernel[1]];
        let mask = crossed(matrix, dead);
        let supports = [Some(&mask)];
        let inputs = values(u64::from(seed), samples * shape.iter().product::<usize>());
        check_live(&network, &inputs, samples, u64::from(seed), 16, true, &supports)?;
        let mut parameters = parameters(&network, u64::from(seed));
        (0..mask.len()).filter(|&i| !mask.get(i)).for_each(|i| parameters[0][i] = 0.0);
        let mut engine = Engine::<f64>::new(&network, false, &supports).expect("one input");
        let lent: Vec<&[f64]> = parameters.iter().map(Vec::as_slice).collect();
        let got = engine.forward(&lent, &inputs, samples, false, 0).expect("the inputs fit").to_vec();
        let output = network.layer(network.output()).output.clone();
        let maps = inputs.chunks_exact(shape.iter().product());
        let want = maps.flat_map(|map| convolve(&conv, map, &shape, &parameters[0], parameters.get(1), &output.0));
        for (i, (a, b)) in got.iter().zip(want).enumerate() {
            prop_assert!((a - b).abs() < 1e-12, "output {i}: {a}, by definition {b}");
        }
    }

    #[test]
    fn linear_with_a_support(
        lead in prop::collection::vec(1..4usize, 0..3), k in 1..9usize, out_features in 1..9usize, bias: bool,
        dead in any::<[u16; 2]>(), samples in 1..5usize, seed: u32,
    ) {
        let shape = [lead, vec![k]].concat();
        let network = single(Op::Linear { out_features, bias }, &[&shape]);
        let mask = crossed([out_features, k], dead);
        let inputs = values(u64::from(seed), samples * shape.iter().product::<usize>());
        check_live(&network, &inputs, samples, u64::from(seed), 24, true, &[Some(&mask)])?;
    }

    #[test]
    fn linear(lead in prop::collection::vec(1..4usize, 0..3), k in 1..6usize, out_features in 1..6usize, bias: bool, samples in 1..5usize, seed: u32) {
        let shape = [lead, vec![k]].concat();
        check_single(Op::Linear { out_features, bias }, &shape, samples, u64::from(seed))?;
    }

    #[test]
    fn pooling(max: bool, kernel in [1..4usize, 1..4], stride in [1..4usize, 1..4], pad in padding(), extra in [0..4usize, 0..4], c in 1..4usize, ceil: bool, samples in 1..4usize, seed: u32) {
        let kind = if max { PoolKind::Max } else { PoolKind::Average };
        let padding = Padding {
            top: pad.top.min(kernel[0] - 1), bottom: pad.bottom.min(kernel[0] - 1),
            left: pad.left.min(kernel[1] - 1), right: pad.right.min(kernel[1] - 1),
        };
        let pool = Pool { kind, kernel, stride, padding, ceil };
        check_single(Op::Pool(pool), &[c, kernel[0] + extra[0], kernel[1] + extra[1]], samples, u64::from(seed))?;
    }

    #[test]
    fn global_average(shape in [1..5usize, 1..5, 1..5], samples in 1..4usize, seed: u32) {
        check_single(Op::GlobalAveragePool, &shape, samples, u64::from(seed))?;
    }

    #[test]
    fn activations(which in 0..6usize, shape in prop::collection::vec(1..5usize, 1..4), samples in 1..4usize, seed: u32) {
        check_single(Op::Activation(ACTIVATIONS[which]), &shape, samples, u64::from(seed))?;
    }

    #[test]
    fn batch_normalisation(shape in prop::collection::vec(1..4usize, 1..4), samples in 3..6usize, seed: u32) {
        check_single(Op::BatchNorm { eps: 1e-2 }, &shape, samples, u64::from(seed))?;
    }

    #[test]
    fn layer_normalisation(lead in prop::collection::vec(1..4usize, 0..3), features in 2..6usize, samples in 1..4usize, seed: u32) {
        check_single(Op::LayerNorm { eps: 1e-2 }, &[lead, vec![features]].concat(), samples, u64::from(seed))?;
    }

    #[test]
    fn softmax(shape in prop::collection::vec(1..5usize, 1..4), samples in 1..4usize, seed: u32) {
        check_single(Op::Softmax, &shape, samples, u64::from(seed))?;
    }

    #[test]
    fn dropout(shape in prop::collection::vec(1..5usize, 1..4), rate in 0.0..0.9f32, samples in 1..4usize, seed: u32) {
        check_single(Op::Dropout { rate }, &shape, samples, u64::from(seed))?;
    }

    #[test]
    fn embedding(tokens in 1..5usize, vocabulary in 1..6usize, features in 1..5usize, samples in 1..4usize, seed: u32) {
        let network = single(Op::Embedding { vocabulary, features }, &[&[tokens]]);
        let inputs: Vec<f64> = values(u64::from(seed), samples * tokens).iter().map(|v| ((v + 1.0) / 2.0 * vocabulary as f64).floor()).collect();
        check(&network, &inputs, samples, u64::from(seed), 24, false)?;
    }

    #[test]
    fn positions(shape in [1..5usize, 1..5], samples in 1..4usize, seed: u32) {
        check_single(Op::PositionEmbedding, &shape, samples, u64::from(seed))?;
    }

    #[test]
    fn heads(heads in 1..4usize, tokens in 1..5usize, features in 1..4usize, samples in 1..4usize, seed: u32) {
        check_single(Op::SplitHeads { heads }, &[tokens, heads * features], samples, u64::from(seed))?;
        check_single(Op::MergeHeads, &[heads, tokens, features], samples, u64::from(seed))?;
    }

    /// A whole attention behind a table of tokens, some of them padding, and its mean; padding changes nothing.
    #[test]
    fn masked_attention(heads in 1..4usize, tokens in 1..6usize, features in 1..4usize, scale in 0.2..2.0f32, samples in 1..4usize, seed: u32) {
        let network = attention(heads, tokens, features, scale);
        // the first token is none of padding, others are at random; the last sample is padding alone
        let inputs: Vec<f64> = values(u64::from(seed), samples * tokens)
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let padding = (i % tokens != 0 && *v < 0.0) || (samples > 1 && i / tokens == samples - 1);
                if padding { 0.0 } else { 1.0 + (v.abs() * 6.0).floor() }
            })
            .collect();
        check(&network, &inputs, samples, u64::from(seed), 16, false)?;
        // with other values in the padding's row of the table the outputs are the same
        let mut engine = Engine::<f64>::new(&network, false, &[]).expect("one input");
        let mut parameters = parameters(&network, u64::from(seed));
        let run = |engine: &mut Engine<f64>, parameters: &[Vec<f64>]| {
            let lent: Vec<&[f64]> = parameters.iter().map(Vec::as_slice).collect();
            engine.forward(&lent, &inputs, samples, false, 0).expect("the inputs fit").to_vec()
        };
        let before = run(&mut engine, &parameters);
        parameters[0][..heads * features].iter_mut().for_each(|v| *v += 3.0);
        prop_assert_eq!(before, run(&mut engine, &parameters));
    }

    /// Both factors, with heads, come from one input by way of two linear layers.
    #[test]
    fn product(lead in prop::collection::vec(1..3usize, 0..2), m in 1..5usize, k in 1..5usize, transpose_b: bool, samples in 1..4usize, seed: u32) {
        let shape = [lead, vec![m, k]].concat();
        let width = if transpose_b { 3 } else { m }; // inner axis: features when transposed, rows otherwise
        let network = NetworkBuilder::new()
            .input("in", Shape(shape.clone()))
            .layer("a", Op::Linear { out_features: width, bias: true }, &["in"])
            .layer("b", Op::Linear { out_features: 3, bias: true }, &["in"])
            .layer("product", Op::MatMul { transpose_b }, &["a", "b"])
            .build()
            .expect("the shapes fit");
        let inputs = values(u64::from(seed), samples * shape.iter().product::<usize>());
        check(&network, &inputs, samples, u64::from(seed), 24, true)?;
    }

    /// Layers drawn at random on random earlier tensors; what is left unread is flattened, joined and mapped to
    /// the outputs. Exercises layouts, tensors with many readers, and sums of their gradients.
    #[test]
    fn random_graphs(choices in prop::collection::vec((0..12usize, any::<u8>(), any::<u8>()), 1..9), samples in 3..5usize, seed: u32) {
        let network = random_graph(&choices);
        let inputs = values(u64::from(seed), samples * network.layer(network.input()).output.elements());
        check(&network, &inputs, samples, u64::from(seed), 5, true)?;
    }
}

/// One attention with its position table, read by the mean over tokens.
fn attention(heads: usize, tokens: usize, features: usize, scale: f32) -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("tokens", Shape(vec![tokens]));
    let table = Op::Embedding {
        vocabulary: 8,
        features: heads * features,
    };
    builder.layer("words", table, &["tokens"]);
    builder.layer("x", Op::PositionEmbedding, &["words"]);
    for part in ["q", "k", "v"] {
        let linear = Op::Linear {
            out_features: heads * features,
            bias: true,
        };
        builder.layer(&format!("{part}-all"), linear, &["x"]);
        builder.layer(part, Op::SplitHeads { heads }, &[&format!("{part}-all")]);
    }
    builder.layer("score", Op::MatMul { transpose_b: true }, &["q", "k"]);
    builder.layer("portion", Op::MaskedSoftmax { scale }, &["score", "tokens"]);
    builder.layer("mix", Op::MatMul { transpose_b: false }, &["portion", "v"]);
    builder.layer("merged", Op::MergeHeads, &["mix"]);
    builder.layer("mean", Op::MaskedMean, &["merged", "tokens"]);
    builder.build().expect("the shapes fit")
}

/// Softmax of (ln 2, ln 6, anything) twice as steep without the third key: 4 and 36 of 40. Mean of rows 0 and 1.
#[test]
fn masks_leave_padding_out() {
    let mut builder = NetworkBuilder::new();
    builder.input("tokens", Shape(vec![3]));
    let table = Op::Embedding {
        vocabulary: 6,
        features: 3,
    };
    builder.layer("rows", table, &["tokens"]);
    builder.layer("portion", Op::MaskedSoftmax { scale: 2.0 }, &["rows", "tokens"]);
    builder.layer("mean", Op::MaskedMean, &["portion", "tokens"]);
    let network = builder.build().expect("the shapes fit");
    let mut engine = Engine::<f64>::new(&network, false, &[]).expect("one input");
    let mut rows = vec![9.0; 18];
    rows[12..15].copy_from_slice(&[2f64.ln(), 6f64.ln(), 50.0]);
    rows[15..18].copy_from_slice(&[6f64.ln(), 6f64.ln(), f64::INFINITY]);
    let out = engine
        .forward(&[&rows], &[4.0, 5.0, 0.0, 0.0, 0.0, 0.0], 2, false, 0)
        .expect("the tokens are rows")
        .to_vec();
    let want = [
        f64::midpoint(0.1, 0.5),
        f64::midpoint(0.9, 0.5),
        0.0,
        0.0,
        0.0,
        0.0,
    ];
    for (got, want) in out.iter().zip(want) {
        assert!((got - want).abs() < 1e-15, "{out:?}");
    }
}

fn random_graph(choices: &[(usize, u8, u8)]) -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("t0", Shape(vec![2, 5, 4]));
    let mut tensors = vec![vec![2usize, 5, 4]];
    let mut read = vec![false];
    for &(kind, a, b) in choices {
        let from = a as usize % tensors.len();
        // the second operand: another tensor of the same shape where there is one, else the first again
        let second = (0..tensors.len())
            .map(|i| (i + b as usize) % tensors.len())
            .find(|&i| tensors[i] == tensors[from])
            .unwrap_or(from);
        let map = tensors[from].len() == 3;
        let (op, inputs) = match kind {
            0 | 1 if map => {
                let size = |i: usize, b: u8| 1 + (b as usize >> i) % 3;
                let conv = Conv2d {
                    out_channels: if b & 64 == 0 { 2 } else { 3 },
                    kernel: [size(0, b), size(2, b)],
                    stride: [1 + (b as usize & 1), 1],
                    padding: Padding::same(1),
                    dilation: [1, 1],
                    groups: 1,
                    bias: kind == 0,
                };
                (Op::Conv2d(conv), vec![from])
            }
            2 if map => {
                let kind = if b & 1 == 0 {
                    PoolKind::Max
                } else {
                    PoolKind::Average
                };
                (
                    Op::Pool(Pool {
                        kind,
                        kernel: [2, 2],
                        stride: [1, 2],
                        padding: Padding::same(1),
                        ceil: b & 2 == 0,
                    }),
                    vec![from],
                )
            }
            3 => (Op::BatchNorm { eps: 1e-2 }, vec![from]),
            4 | 5 => (Op::Add, vec![from, second]),
            6 => (
                Op::Concat {
                    axis: b as usize % tensors[from].len(),
                },
                vec![from, second],
            ),
            7 => (Op::LayerNorm { eps: 1e-2 }, vec![from]),
            8 => (
                Op::Linear {
                    out_features: 1 + b as usize % 4,
                    bias: true,
                },
                vec![from],
            ),
            9 => (Op::Dropout { rate: 0.3 }, vec![from]),
            10 if tensors[from].len() > 1 => (Op::Flatten, vec![from]),
            10 => (Op::Softmax, vec![from]),
            _ => (Op::Activation(ACTIVATIONS[b as usize % 6]), vec![from]),
        };
        let name = format!("t{}", tensors.len());
        let names: Vec<String> = inputs.iter().map(|i| format!("t{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut trial = builder.clone();
        trial.layer(&name, op, &names);
        // the builder knows the shape; a trial that ends in several outputs is only closed to be asked
        let Some(shape) = shape_of(&trial, &name, tensors.len()) else {
            continue;
        };
        builder = trial;
        inputs.iter().for_each(|&i| read[i] = true);
        tensors.push(shape);
        read.push(false);
    }
    close(&builder, &read)
        .build()
        .expect("the closed graph is a network")
}

/// Joins everything unread into one output of three values.
fn close(builder: &NetworkBuilder, read: &[bool]) -> NetworkBuilder {
    let mut builder = builder.clone();
    let mut ends = Vec::new();
    for i in (0..read.len()).filter(|&i| !read[i]) {
        builder.layer(&format!("flat{i}"), Op::Flatten, &[&format!("t{i}")]);
        ends.push(format!("flat{i}"));
    }
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    let last = if ends.len() > 1 {
        builder.layer("join", Op::Concat { axis: 0 }, &ends);
        "join"
    } else {
        ends[0]
    };
    builder.layer(
        "out",
        Op::Linear {
            out_features: 3,
            bias: true,
        },
        &[last],
    );
    builder
}

/// The shape of a tensor in a graph whose ends are closed, if it fits.
fn shape_of(builder: &NetworkBuilder, name: &str, tensors: usize) -> Option<Vec<usize>> {
    let read: Vec<bool> = vec![false; tensors + 1];
    let network = close(builder, &read).build().ok()?;
    network.find(name).map(|id| network.layer(id).output.0.clone())
}

/// Evaluation uses running statistics and drops nothing: worked by hand.
#[test]
fn evaluation_uses_running_statistics() {
    let network = NetworkBuilder::new()
        .input("in", Shape(vec![2]))
        .layer("norm", Op::BatchNorm { eps: 0.0 }, &["in"])
        .layer("drop", Op::Dropout { rate: 0.5 }, &["norm"])
        .build()
        .expect("a network");
    let mut engine = Engine::<f64>::new(&network, false, &[]).expect("one input");
    let parameters = [[2.0, 1.0], [0.5, 0.0], [1.0, 3.0], [4.0, 1.0]];
    let lent: Vec<&[f64]> = parameters.iter().map(<[f64; 2]>::as_slice).collect();
    let out = engine
        .forward(&lent, &[3.0, 5.0], 1, false, 0)
        .expect("it fits")
        .to_vec();
    // (3 − 1)/2·2 + 0.5 and (5 − 3)/1·1 + 0
    assert_eq!(out, [2.5, 2.0]);
}

/// About `rate` of the values are dropped, and the others are scaled so that the mean stays.
#[test]
fn dropout_keeps_the_mean() {
    let network = single(Op::Dropout { rate: 0.25 }, &[&[1000]]);
    let mut engine = Engine::<f64>::new(&network, false, &[]).expect("one input");
    let ones = vec![1.0; 20_000];
    let first = engine.forward(&[], &ones, 20, true, 1).expect("it fits").to_vec();
    let dropped = first.iter().filter(|&&v| v == 0.0).count() as f64 / 20_000.0;
    // five standard errors: 5·√(0.25·0.75/20000) = 0.0153
    assert!((dropped - 0.25).abs() < 0.0153, "{dropped}");
    assert!(first.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-12));
    assert_ne!(first[..1000], first[1000..2000], "samples differ");
    assert_ne!(
        first,
        engine.forward(&[], &ones, 20, true, 2).expect("it fits"),
        "steps differ"
    );
    // a sample's choice depends on its place, not on the batch around it
    assert_eq!(
        first[..3000],
        *engine.forward(&[], &ones[..3000], 3, true, 1).expect("it fits")
    );
}

#[test]
fn a_token_outside_the_table_is_refused() {
    let network = single(
        Op::Embedding {
            vocabulary: 3,
            features: 2,
        },
        &[&[2]],
    );
    let mut engine = Engine::<f32>::new(&network, false, &[]).expect("one input");
    let parameters = Parameters::init(&network, 1);
    let lent: Vec<&[f32]> = parameters.list.iter().map(|p| p.values.as_slice()).collect();
    for bad in [3.0, -1.0, 0.5, f32::NAN] {
        let error = engine
            .forward(&lent, &[0.0, bad], 1, true, 0)
            .expect_err("it is not a row")
            .to_string();
        assert!(error.starts_with("layer `layer`: token"), "{error}");
    }
}
