//! The sparse executor against a naive one in f64: loops over every weight, derivatives by central differences.

#![expect(clippy::float_cmp, reason = "the same bits are what is tested")]

use cosparse::compression::Mask;
use cosparse::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use cosparse::network::{Network, NetworkBuilder, Op, Shape};
use cosparse::training::SparseExecutor;
use cosparse::training::{Executor, Loss, Parameter, Parameters, Role, Step, TrainingError};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A chain `l1`, `l2`, … on an input.
fn chain(input: &[usize], ops: &[Op]) -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("l0", Shape(input.to_vec()));
    for (i, op) in ops.iter().enumerate() {
        builder.layer(&format!("l{}", i + 1), op.clone(), &[&format!("l{i}")]);
    }
    builder.build().expect("a valid chain")
}

/// Random values on random supports of a density.
fn parameters(network: &Network, density: f64, rng: &mut ChaCha8Rng) -> Parameters {
    let mut list = Vec::new();
    for layer in network.weighted() {
        let shape = layer.weight_shape().expect("it has weights");
        let (rows, cols) = (shape[0], shape[1..].iter().product::<usize>());
        let mut mask = Mask::empty(rows, cols);
        (0..rows * cols).for_each(|i| mask.set(i, rng.random_bool(density)));
        let scale = (2.0 / (cols as f32 * density as f32).max(1.0)).sqrt();
        let values = (0..rows * cols)
            .map(|i| {
                if mask.get(i) {
                    rng.random_range(-scale..scale)
                } else {
                    0.0
                }
            })
            .collect();
        let named = |what: &str| format!("{}.{what}", layer.name);
        let support = (density < 1.0).then_some(mask);
        list.push(Parameter {
            name: named("weight"),
            layer: layer.name.clone(),
            role: Role::Weight,
            shape,
            values,
            support,
        });
        if matches!(
            layer.op,
            Op::Conv2d(Conv2d { bias: true, .. }) | Op::Linear { bias: true, .. }
        ) {
            let values = (0..rows).map(|_| rng.random_range(-0.3..0.3)).collect();
            list.push(Parameter {
                name: named("bias"),
                layer: layer.name.clone(),
                role: Role::Bias,
                shape: vec![rows],
                values,
                support: None,
            });
        }
    }
    Parameters { list }
}

fn activation(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Gelu => 0.5 * x * (1.0 + statrs::function::erf::erf(x / 2f64.sqrt())),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
    }
}

/// The logits of one sample, by the definition of each operation, and how near it came to a kink: the smallest
/// distance of a maximum from its runner-up or of an input of relu from 0. Equal values do not count: they come
/// from padding or saturation, where the derivatives are 0 on both sides.
#[expect(clippy::too_many_lines, reason = "one arm per operation")]
fn naive(network: &Network, parameters: &[(String, Role, Vec<f64>)], input: &[f32]) -> (Vec<f64>, f64) {
    let mut kink = f64::INFINITY;
    let mut near = |distance: f64| kink = if distance > 0.0 { kink.min(distance) } else { kink };
    let mut x: Vec<f64> = input.iter().map(|&v| f64::from(v)).collect();
    let mut axes: Vec<usize> = Vec::new();
    for (_, layer) in network.layers() {
        let of = |role| {
            parameters
                .iter()
                .find(|(l, r, _)| *l == layer.name && *r == role)
                .map(|(.., v)| v)
        };
        let out = &layer.output.0;
        let inside = |at: usize, k: usize, before: usize, size: usize| {
            (at + k).checked_sub(before).filter(|&i| i < size)
        };
        match &layer.op {
            Op::Conv2d(c) => {
                let (w, bias) = (of(Role::Weight).expect("weights"), of(Role::Bias));
                let (per, [r, s]) = (axes[0] / c.groups, c.kernel);
                let mut y = Vec::new();
                for k in 0..out[0] {
                    let first = k / (out[0] / c.groups) * per;
                    for (p, q) in (0..out[1]).flat_map(|p| (0..out[2]).map(move |q| (p, q))) {
                        let mut sum = bias.map_or(0.0, |b| b[k]);
                        for (ci, i, j) in
                            (0..per).flat_map(|a| (0..r).flat_map(move |b| (0..s).map(move |c| (a, b, c))))
                        {
                            let row = inside(p * c.stride[0], i * c.dilation[0], c.padding.top, axes[1]);
                            let col = inside(q * c.stride[1], j * c.dilation[1], c.padding.left, axes[2]);
                            if let (Some(row), Some(col)) = (row, col) {
                                sum += w[((k * per + ci) * r + i) * s + j]
                                    * x[((first + ci) * axes[1] + row) * axes[2] + col];
                            }
                        }
                        y.push(sum);
                    }
                }
                x = y;
            }
            Op::Linear { out_features, .. } => {
                let (w, bias) = (of(Role::Weight).expect("weights"), of(Role::Bias));
                let row = |o: usize| {
                    x.iter()
                        .enumerate()
                        .map(|(i, v)| w[o * x.len() + i] * v)
                        .sum::<f64>()
                };
                x = (0..*out_features)
                    .map(|o| bias.map_or(0.0, |b| b[o]) + row(o))
                    .collect();
            }
            Op::Pool(pool) => {
                let mut y = Vec::new();
                for (c, p, q) in (0..out[0])
                    .flat_map(|a| (0..out[1]).flat_map(move |b| (0..out[2]).map(move |c| (a, b, c))))
                {
                    let mut seen = Vec::new();
                    for (i, j) in (0..pool.kernel[0]).flat_map(|i| (0..pool.kernel[1]).map(move |j| (i, j))) {
                        let row = inside(p * pool.stride[0], i, pool.padding.top, axes[1]);
                        let col = inside(q * pool.stride[1], j, pool.padding.left, axes[2]);
                        if let (Some(row), Some(col)) = (row, col) {
                            seen.push(x[(c * axes[1] + row) * axes[2] + col]);
                        }
                    }
                    y.push(match pool.kind {
                        PoolKind::Max => {
                            seen.sort_by(f64::total_cmp);
                            let top = seen[seen.len() - 1];
                            for v in &seen {
                                near(top - v);
                            }
                            top
                        }
                        PoolKind::Average => seen.iter().sum::<f64>() / seen.len() as f64,
                    });
                }
                x = y;
            }
            Op::GlobalAveragePool => {
                let plane = axes[1] * axes[2];
                x = x
                    .chunks(plane)
                    .map(|c| c.iter().sum::<f64>() / plane as f64)
                    .collect();
            }
            Op::Activation(kind) => {
                if matches!(kind, Activation::Relu | Activation::Relu6) {
                    for v in &x {
                        near(v.abs().min((v - 6.0).abs()));
                    }
                }
                for v in &mut x {
                    *v = activation(*kind, *v);
                }
            }
            Op::Input | Op::Flatten | Op::Dropout { .. } => {}
            other => panic!("{} is not in these chains", other.kind()),
        }
        axes.clone_from(out);
    }
    (x, kink)
}

fn log_softmax(z: &[f64], temperature: f64) -> Vec<f64> {
    let sum: f64 = z.iter().map(|v| (v / temperature).exp()).sum();
    z.iter().map(|v| v / temperature - sum.ln()).collect()
}

fn naive_loss(network: &Network, parameters: &[(String, Role, Vec<f64>)], step: &Step<'_>) -> f64 {
    let n = step.labels.len();
    let (elements, mut sum) = (step.inputs.len() / n, 0.0);
    for (i, &label) in step.labels.iter().enumerate() {
        let (z, _) = naive(
            network,
            parameters,
            &step.inputs[i * elements..(i + 1) * elements],
        );
        let hard = -log_softmax(&z, 1.0)[label as usize];
        sum += match (step.loss, step.teacher) {
            (Loss::Distilled { temperature, weight }, Some(teacher)) => {
                let (t, a) = (f64::from(temperature), f64::from(weight));
                let teacher: Vec<f64> = teacher[i * z.len()..(i + 1) * z.len()]
                    .iter()
                    .map(|&v| f64::from(v))
                    .collect();
                let (p, s) = (log_softmax(&teacher, t), log_softmax(&z, t));
                let kl: f64 = p.iter().zip(&s).map(|(p, s)| p.exp() * (p - s)).sum();
                (1.0 - a) * hard + a * t * t * kl
            }
            _ => hard,
        };
    }
    sum / n as f64
}

struct Batch {
    inputs: Vec<f32>,
    labels: Vec<u32>,
    teacher: Vec<f32>,
}

fn batch(network: &Network, samples: usize, rng: &mut ChaCha8Rng) -> Batch {
    let elements = network.layer(network.input()).output.elements();
    let classes = network.layer(network.output()).output.elements();
    Batch {
        inputs: (0..samples * elements)
            .map(|_| rng.random_range(-1.0..1.0))
            .collect(),
        labels: (0..samples)
            .map(|_| rng.random_range(0..classes as u32))
            .collect(),
        teacher: (0..samples * classes)
            .map(|_| rng.random_range(-2.0..2.0))
            .collect(),
    }
}

impl Batch {
    fn step(&self, loss: Loss, seed: u64) -> Step<'_> {
        Step {
            inputs: &self.inputs,
            labels: &self.labels,
            teacher: Some(&self.teacher),
            loss,
            seed,
        }
    }
}

fn empty_gradients(parameters: &Parameters) -> Vec<Vec<f32>> {
    // what was there before must not matter
    parameters
        .list
        .iter()
        .map(|p| vec![7.0; p.values.len()])
        .collect()
}

/// Loss, outputs and derivatives of a network without dropout agree with the naive ones. f32 sums of fewer than
/// a thousand terms against f64: 2e-4 of the largest derivative of the tensor, and 1e-5.
fn agrees(
    network: &Network,
    density: f64,
    samples: usize,
    loss: Loss,
    seed: u64,
) -> Result<(), TestCaseError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let parameters = parameters(network, density, &mut rng);
    let data = batch(network, samples, &mut rng);
    let step = data.step(loss, seed);
    let mut executor = SparseExecutor::new(network, parameters.clone()).expect("a supported chain");
    let mut gradients = empty_gradients(&parameters);
    let value = executor.gradients(&step, &mut gradients).expect("finite");

    let mut exact: Vec<(String, Role, Vec<f64>)> = parameters
        .list
        .iter()
        .map(|p| {
            (
                p.layer.clone(),
                p.role,
                p.values.iter().map(|&v| f64::from(v)).collect(),
            )
        })
        .collect();
    let expected = naive_loss(network, &exact, &step);
    prop_assert!(
        (f64::from(value) - expected).abs() < 1e-4 * (1.0 + expected),
        "loss {value}, expected {expected}"
    );
    let outputs = executor.infer(&data.inputs, samples).expect("it ran before");
    let elements = data.inputs.len() / samples;
    for (i, z) in outputs.chunks(outputs.len() / samples).enumerate() {
        let (expected, kink) = naive(network, &exact, &data.inputs[i * elements..(i + 1) * elements]);
        if kink < 2e-5 {
            // f32 may see the other side
            return Err(TestCaseError::reject("a kink within rounding"));
        }
        for (z, e) in z.iter().zip(expected) {
            prop_assert!(
                (f64::from(*z) - e).abs() < 1e-4 * (1.0 + e.abs()),
                "output {z}, expected {e}"
            );
        }
    }
    for (n, p) in parameters.list.iter().enumerate() {
        let alive = |i: usize| p.support.as_ref().is_none_or(|m| m.get(i));
        let mut numeric = vec![0.0; p.values.len()];
        for i in (0..p.values.len()).filter(|&i| alive(i)) {
            let at = exact[n].2[i];
            exact[n].2[i] = at + 1e-6;
            let above = naive_loss(network, &exact, &step);
            exact[n].2[i] = at - 1e-6;
            let below = naive_loss(network, &exact, &step);
            exact[n].2[i] = at;
            numeric[i] = (above - below) / 2e-6;
        }
        let largest = numeric.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (i, (&g, &e)) in gradients[n].iter().zip(&numeric).enumerate() {
            let gap = (f64::from(g) - e).abs();
            prop_assert!(
                gap <= 2e-4 * largest + 1e-5,
                "{} [{i}]: {g}, expected {e}",
                p.name
            );
            prop_assert!(alive(i) || g == 0.0, "{} [{i}] is outside the support", p.name);
        }
    }
    Ok(())
}

fn conv(out_channels: usize, kernel: [usize; 2]) -> Conv2d {
    Conv2d {
        out_channels,
        kernel,
        stride: [1, 1],
        padding: Padding::default(),
        dilation: [1, 1],
        groups: 1,
        bias: true,
    }
}

fn pool(kind: PoolKind, kernel: [usize; 2], stride: [usize; 2]) -> Op {
    Op::Pool(Pool {
        kind,
        kernel,
        stride,
        padding: Padding::default(),
        ceil: false,
    })
}

const DISTILLED: Loss = Loss::Distilled {
    temperature: 2.0,
    weight: 0.7,
};

/// The shape of LeNet-5, small: conv, pool, conv, pool, flatten, linear, relu, linear.
#[test]
fn small_lenet_agrees() {
    let ops = [
        Op::Conv2d(conv(4, [3, 3])),
        pool(PoolKind::Max, [2, 2], [2, 2]),
        Op::Conv2d(conv(5, [2, 2])),
        pool(PoolKind::Max, [2, 2], [2, 2]),
        Op::Flatten,
        Op::Linear {
            out_features: 8,
            bias: true,
        },
        Op::Activation(Activation::Relu),
        Op::Linear {
            out_features: 4,
            bias: true,
        },
    ];
    let network = chain(&[1, 12, 12], &ops);
    for (density, samples, loss) in [
        (1.0, 3, Loss::CrossEntropy),
        (0.4, 11, DISTILLED),
        (0.1, 8, Loss::CrossEntropy),
    ] {
        let away_from_kinks = (0..20)
            .map(|seed| agrees(&network, density, samples, loss, seed))
            .find(|r| !matches!(r, Err(TestCaseError::Reject(_))));
        away_from_kinks.expect("one of twenty").expect("agreement");
    }
}

fn padding() -> impl Strategy<Value = Padding> {
    [0usize..3, 0..3, 0..3, 0..3].prop_map(|[top, bottom, left, right]| Padding {
        top,
        bottom,
        left,
        right,
    })
}

prop_compose! {
    fn convolution()(
        groups in 1usize..3, per in 1usize..3, kernel in [1usize..4, 1usize..4], stride in [1usize..3, 1usize..3],
        padding in padding(), dilation in [1usize..3, 1usize..3], bias in any::<bool>(),
    ) -> Conv2d {
        Conv2d { out_channels: 2 * per, kernel, stride, padding, dilation, groups, bias }
    }
}

fn pooling() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(PoolKind::Max), Just(PoolKind::Average)];
    (
        kind,
        [1usize..4, 1usize..4],
        [1usize..3, 1usize..3],
        any::<[bool; 3]>(),
    )
        .prop_map(|(kind, kernel, stride, [tile, pad, ceil])| {
            let edge = |k: usize| if pad && !tile { k / 2 } else { 0 };
            let (v, h) = (edge(kernel[0]), edge(kernel[1]));
            let padding = Padding {
                top: v,
                bottom: v,
                left: h,
                right: 0,
            };
            Op::Pool(Pool {
                kind,
                kernel,
                stride: if tile { kernel } else { stride },
                padding,
                ceil: ceil && !tile,
            })
        })
}

fn activations() -> impl Strategy<Value = Op> {
    use Activation::{Gelu, Relu, Relu6, Sigmoid, Silu, Tanh};
    prop::sample::select(vec![Relu, Relu6, Gelu, Silu, Sigmoid, Tanh]).prop_map(Op::Activation)
}

/// Convolution, then an activation and a pooling in any order or not at all.
fn stage() -> impl Strategy<Value = Vec<Op>> {
    (
        convolution(),
        prop::option::of(activations()),
        prop::option::of(pooling()),
        any::<bool>(),
    )
        .prop_map(|(conv, a, p, swap)| {
            let mut ops = vec![Op::Conv2d(conv)];
            if swap {
                ops.extend(p.into_iter().chain(a));
            } else {
                ops.extend(a.into_iter().chain(p));
            }
            ops
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever the strides, paddings, dilations, groups, pooling windows, functions and supports.
    #[test]
    fn chains_agree_with_the_naive_ones(
        stages in prop::collection::vec(stage(), 1..3), global in any::<bool>(), width in 4usize..12, height in 4usize..9,
        density in prop_oneof![Just(1.0), 0.05..0.9f64], samples in 1usize..10, distilled in any::<bool>(), seed in any::<u64>(),
    ) {
        let mut ops: Vec<Op> = stages.concat();
        ops.push(if global { Op::GlobalAveragePool } else { Op::Flatten });
        ops.push(Op::Linear { out_features: 3, bias: true });
        let mut builder = NetworkBuilder::new();
        builder.input("l0", Shape(vec![2, height, width]));
        for (i, op) in ops.iter().enumerate() {
            builder.layer(&format!("l{}", i + 1), op.clone(), &[&format!("l{i}")]);
        }
        // windows that do not fit, and large flattened maps, are left to others
        if let Ok(network) = builder.build() {
            prop_assume!(network.parameters() < 600);
            agrees(&network, density, samples, if distilled { DISTILLED } else { Loss::CrossEntropy }, seed)?;
        }
    }
}

fn dropout_lenet() -> Network {
    let ops = [
        Op::Conv2d(conv(6, [5, 5])),
        pool(PoolKind::Max, [2, 2], [2, 2]),
        Op::Conv2d(conv(7, [5, 5])),
        pool(PoolKind::Max, [2, 2], [2, 2]),
        Op::Flatten,
        Op::Linear {
            out_features: 40,
            bias: true,
        },
        Op::Activation(Activation::Relu),
        Op::Dropout { rate: 0.25 },
        Op::Linear {
            out_features: 10,
            bias: true,
        },
    ];
    chain(&[1, 28, 28], &ops)
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let network = dropout_lenet();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let parameters = parameters(&network, 0.2, &mut rng);
    let data = batch(&network, 61, &mut rng);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(|| {
            let mut executor = SparseExecutor::new(&network, parameters.clone()).expect("a supported chain");
            let mut gradients = empty_gradients(&parameters);
            let losses = [1, 2, 3].map(|seed| {
                executor
                    .gradients(&data.step(DISTILLED, seed), &mut gradients)
                    .expect("finite")
            });
            let bits: Vec<Vec<u32>> = gradients
                .iter()
                .map(|g| g.iter().map(|v| v.to_bits()).collect())
                .collect();
            (
                losses,
                bits,
                executor.infer(&data.inputs, 61).expect("it ran before"),
            )
        })
    };
    let one = run(1);
    assert_ne!(one.0[0], one.0[1], "another seed drops others");
    assert_eq!(one, run(2));
    assert_eq!(one, run(4));
}

/// A sample's outputs do not depend on the samples around it.
#[test]
fn inference_does_not_mix_samples() {
    let network = dropout_lenet();
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let parameters = parameters(&network, 0.2, &mut rng);
    let data = batch(&network, 21, &mut rng);
    let mut executor = SparseExecutor::new(&network, parameters).expect("a supported chain");
    let together = executor.infer(&data.inputs, 21).expect("it runs");
    for (i, z) in together.chunks(10).enumerate() {
        assert_eq!(
            executor
                .infer(&data.inputs[i * 784..(i + 1) * 784], 1)
                .expect("it runs"),
            z
        );
    }
    assert_eq!(executor.infer(&[], 0).expect("nothing to do"), Vec::<f32>::new());
}

/// A step with the derivative of the dropped network: expectation of the loss at rate 0 is the plain loss.
#[test]
fn dropout_at_rate_zero_is_no_dropout() {
    let ops = |rate| {
        [
            Op::Linear {
                out_features: 9,
                bias: true,
            },
            Op::Dropout { rate },
            Op::Linear {
                out_features: 3,
                bias: true,
            },
        ]
    };
    let [plain, dropped] = [0.0, 0.5].map(|rate| chain(&[6], &ops(rate)));
    agrees(&plain, 0.7, 5, Loss::CrossEntropy, 1).expect("agreement");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let parameters = parameters(&plain, 0.7, &mut rng);
    let data = batch(&plain, 5, &mut rng);
    let loss = |network: &Network, seed| {
        let mut executor = SparseExecutor::new(network, parameters.clone()).expect("a supported chain");
        executor
            .gradients(
                &data.step(Loss::CrossEntropy, seed),
                &mut empty_gradients(&parameters),
            )
            .expect("finite")
    };
    assert_eq!(loss(&plain, 1), loss(&plain, 2));
    assert_ne!(loss(&dropped, 1), loss(&dropped, 2));
    assert_eq!(loss(&dropped, 1), loss(&dropped, 1));
}

/// Shrinking supports and rebuilding is building anew; weights whose output nobody reads do not count.
#[test]
fn rebuilding_follows_the_supports() {
    let network = chain(
        &[6],
        &[
            Op::Linear {
                out_features: 4,
                bias: true,
            },
            Op::Linear {
                out_features: 2,
                bias: true,
            },
        ],
    );
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let parameters = parameters(&network, 1.0, &mut rng);
    let mut executor = SparseExecutor::new(&network, parameters).expect("a supported chain");
    assert_eq!((executor.kept(), executor.density()), (32, 1.0));
    let second = executor
        .parameters_mut()
        .weight_mut("l2")
        .expect("it has weights");
    let mut mask = Mask::full(2, 4);
    for i in [0, 4, 1] {
        mask.set(i, false);
    }
    second
        .values
        .iter_mut()
        .enumerate()
        .for_each(|(i, v)| *v = if mask.get(i) { *v } else { 0.0 });
    second.support = Some(mask);
    let mut executor = executor.rebuild().expect("the same layers");
    // output 0 of l1 has no reader left: its six weights go, and three of l2
    assert_eq!((executor.kept(), executor.density()), (23, 23.0 / 32.0));
    let data = batch(&network, 4, &mut rng);
    let mut gradients = empty_gradients(executor.parameters());
    executor
        .gradients(&data.step(Loss::CrossEntropy, 0), &mut gradients)
        .expect("finite");
    assert!(
        gradients[0][..6]
            .iter()
            .chain(&gradients[1][..1])
            .all(|&g| g == 0.0)
    );
    assert!(gradients[0][6..].iter().all(|&g| g != 0.0));
}

#[test]
fn what_cannot_run_is_named() {
    let linear = Op::Linear {
        out_features: 2,
        bias: true,
    };
    let message = |network: &Network, parameters: Parameters| match SparseExecutor::new(network, parameters) {
        Err(TrainingError::Unsupported { layer, message }) => format!("{layer}: {message}"),
        other => panic!("{other:?}"),
    };
    let network = chain(
        &[2, 4, 4],
        &[Op::BatchNorm { eps: 1e-5 }, Op::Flatten, linear.clone()],
    );
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let normed = message(&network, parameters(&network, 1.0, &mut rng));
    assert!(
        normed.starts_with("l1: batch-norm is not run on kept weights"),
        "{normed}"
    );
    let unflattened = chain(&[2, 4, 4], &[linear.clone(), Op::Flatten]);
    assert!(message(&unflattened, Parameters::default()).starts_with("l1: it reads [2, 4, 4], not one axis"));
    let network = chain(&[3], &[linear]);
    assert_eq!(
        message(&network, Parameters::default()),
        "l1: its weight is missing from the parameters"
    );

    let parameters = parameters(&network, 1.0, &mut rng);
    let mut executor = SparseExecutor::new(&network, parameters.clone()).expect("a supported chain");
    let (inputs, mut gradients) = ([0.1, 0.2, f32::NAN], empty_gradients(&parameters));
    let step = |labels, teacher, loss| Step {
        inputs: &inputs,
        labels,
        teacher,
        loss,
        seed: 0,
    };
    for (labels, teacher, loss) in [
        (&[2u32][..], None, Loss::CrossEntropy),
        (&[0, 1], None, Loss::CrossEntropy),
        (&[], None, Loss::CrossEntropy),
        (&[0], Some(&[0.0][..]), DISTILLED),
        (&[0], None, DISTILLED),
    ] {
        let refused = executor.gradients(&step(labels, teacher, loss), &mut gradients);
        assert!(
            matches!(refused, Err(TrainingError::Unsupported { .. })),
            "{refused:?}"
        );
    }
    let nan = executor.gradients(&step(&[0], None, Loss::CrossEntropy), &mut gradients);
    assert_eq!(nan, Err(TrainingError::NotFinite { step: 0 }));
    assert!(executor.infer(&inputs, 2).is_err());
    executor.parameters_mut().list.clear();
    assert!(executor.infer(&inputs, 1).is_err());
}
