//! Graph surgery: the smaller network computes what the masked one did, trains on, and costs less.

use cosparse::admm::{AdmmOptions, Problem, PruneOptions, prune};
use cosparse::compression::Mask;
use cosparse::compression::structure::Structure;
use cosparse::document::Source;
use cosparse::hardware::zoo;
use cosparse::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use cosparse::network::{Layer, Network, NetworkBuilder, Op, Shape, Workload};
use cosparse::simulate::{Estimator, LayerSetting, Pick, Weights};
use cosparse::training::data::Samples;
use cosparse::training::surgery::{SurgeryError, arrange, purify, shrink, silence};
use cosparse::training::{
    DenseExecutor, Executor, FitOptions, Loss, OptimiserOptions, Parameters, Plain, Role, Schedule, fit,
};
use proptest::prelude::*;

fn conv(out_channels: usize, kernel: usize, padding: usize, groups: usize, bias: bool) -> Op {
    Op::Conv2d(Conv2d {
        out_channels,
        kernel: [kernel; 2],
        stride: [1, 1],
        padding: Padding::same(padding),
        dilation: [1, 1],
        groups,
        bias,
    })
}

fn linear(out_features: usize) -> Op {
    Op::Linear {
        out_features,
        bias: true,
    }
}

fn pool(kind: PoolKind) -> Op {
    Op::Pool(Pool {
        kind,
        kernel: [2, 2],
        stride: [2, 2],
        padding: Padding::same(0),
        ceil: false,
    })
}

const RELU: Op = Op::Activation(Activation::Relu);
const NORM: Op = Op::BatchNorm { eps: 1e-5 };

fn network(shape: [usize; 3], layers: &[(&str, Op, &[&str])]) -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("x", Shape(shape.to_vec()));
    for (name, op, inputs) in layers {
        builder.layer(name, op.clone(), inputs);
    }
    builder.build().expect("a network")
}

/// LeNet-5 with a third of its units.
fn lenet() -> Network {
    network(
        [1, 12, 12],
        &[
            ("conv1", conv(6, 3, 0, 1, true), &["x"]),
            ("pool1", pool(PoolKind::Max), &["conv1"]),
            ("conv2", conv(8, 2, 0, 1, true), &["pool1"]),
            ("pool2", pool(PoolKind::Max), &["conv2"]),
            ("flat", Op::Flatten, &["pool2"]),
            ("fc1", linear(12), &["flat"]),
            ("relu1", RELU, &["fc1"]),
            ("drop", Op::Dropout { rate: 0.2 }, &["relu1"]),
            ("fc2", linear(5), &["drop"]),
        ],
    )
}

/// Padded convolutions with normalisations, as VGG has them.
fn vgg() -> Network {
    network(
        [3, 8, 8],
        &[
            ("c1", conv(5, 3, 1, 1, false), &["x"]),
            ("n1", NORM, &["c1"]),
            ("r1", RELU, &["n1"]),
            ("c2", conv(6, 3, 1, 1, true), &["r1"]),
            ("r2", RELU, &["c2"]),
            ("p2", pool(PoolKind::Average), &["r2"]),
            ("c3", conv(6, 3, 0, 1, false), &["p2"]),
            ("n3", NORM, &["c3"]),
            ("r3", Op::Activation(Activation::Silu), &["n3"]),
            ("g", Op::GlobalAveragePool, &["r3"]),
            ("fc", linear(4), &["g"]),
        ],
    )
}

/// Two residual blocks, the second with a projection.
fn resnet() -> Network {
    network(
        [2, 6, 6],
        &[
            ("stem", conv(6, 3, 1, 1, false), &["x"]),
            ("n0", NORM, &["stem"]),
            ("r0", RELU, &["n0"]),
            ("a1", conv(5, 3, 1, 1, false), &["r0"]),
            ("an1", NORM, &["a1"]),
            ("ar1", RELU, &["an1"]),
            ("a2", conv(6, 3, 1, 1, false), &["ar1"]),
            ("an2", NORM, &["a2"]),
            ("add1", Op::Add, &["an2", "r0"]),
            ("r1", RELU, &["add1"]),
            ("b1", conv(7, 3, 1, 1, false), &["r1"]),
            ("bn1", NORM, &["b1"]),
            ("br1", RELU, &["bn1"]),
            ("b2", conv(8, 1, 0, 1, false), &["br1"]),
            ("skip", conv(8, 1, 0, 1, false), &["r1"]),
            ("add2", Op::Add, &["b2", "skip"]),
            ("g", Op::GlobalAveragePool, &["add2"]),
            ("fc", linear(4), &["g"]),
        ],
    )
}

/// Branches that are joined, then read by a padded and by a pointwise convolution.
fn joined() -> Network {
    network(
        [2, 6, 6],
        &[
            ("a", conv(4, 3, 1, 1, true), &["x"]),
            ("ra", RELU, &["a"]),
            ("b", conv(5, 1, 0, 1, true), &["x"]),
            ("rb", Op::Activation(Activation::Tanh), &["b"]),
            ("cat", Op::Concat { axis: 0 }, &["ra", "rb"]),
            ("c", conv(6, 3, 1, 1, true), &["cat"]),
            ("d", conv(6, 1, 0, 1, true), &["cat"]),
            ("cat2", Op::Concat { axis: 0 }, &["c", "d", "x"]),
            ("p", pool(PoolKind::Max), &["cat2"]),
            ("flat", Op::Flatten, &["p"]),
            ("fc", linear(3), &["flat"]),
        ],
    )
}

/// An inverted residual with a depthwise convolution, and a grouped convolution behind it.
fn depthwise() -> Network {
    network(
        [3, 6, 6],
        &[
            ("up", conv(8, 1, 0, 1, false), &["x"]),
            ("n1", NORM, &["up"]),
            ("r1", Op::Activation(Activation::Relu6), &["n1"]),
            ("dw", conv(8, 3, 1, 8, false), &["r1"]),
            ("n2", NORM, &["dw"]),
            ("r2", Op::Activation(Activation::Relu6), &["n2"]),
            ("down", conv(6, 1, 0, 1, true), &["r2"]),
            ("grouped", conv(6, 3, 1, 3, true), &["down"]),
            ("g", Op::GlobalAveragePool, &["grouped"]),
            ("fc", linear(4), &["g"]),
        ],
    )
}

/// Features of tokens, with a normalisation that is not followed.
fn tokens() -> Network {
    network(
        [1, 4, 4],
        &[
            ("c", conv(6, 2, 0, 1, true), &["x"]),
            ("flat", Op::Flatten, &["c"]),
            ("f1", linear(9), &["flat"]),
            ("gelu", Op::Activation(Activation::Gelu), &["f1"]),
            ("f2", linear(7), &["gelu"]),
            ("ln", Op::LayerNorm { eps: 1e-5 }, &["f2"]),
            ("f3", linear(5), &["ln"]),
            ("soft", Op::Softmax, &["f3"]),
        ],
    )
}

fn networks() -> [Network; 6] {
    [lenet(), vgg(), resnet(), joined(), depthwise(), tokens()]
}

/// Numbers that look random, the same on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }

    fn portion(&mut self) -> f32 {
        0.5 * (self.next() + 1.0)
    }
}

/// Random values everywhere, biases, shifts and running statistics included.
fn filled(net: &Network, seed: u64) -> Parameters {
    let mut parameters = Parameters::init(net, seed);
    let mut numbers = Numbers(seed);
    for p in parameters.list.iter_mut().filter(|p| p.role != Role::Weight) {
        let positive = p.name.ends_with(".variance");
        for v in &mut p.values {
            *v = if positive {
                0.5 + numbers.portion()
            } else {
                *v + 0.3 * numbers.next()
            };
        }
    }
    parameters
}

/// Kills random filters, channels and single weights.
fn masked(net: &Network, seed: u64, portion: f32) -> Parameters {
    let mut parameters = filled(net, seed);
    let mut numbers = Numbers(seed ^ 0x5555);
    for p in parameters.list.iter_mut().filter(|p| p.role == Role::Weight) {
        let shape = p.tensor_shape();
        let (rows, cols) = (shape.rows(), shape.cols());
        let row: Vec<bool> = (0..rows).map(|_| numbers.portion() < portion).collect();
        let channel: Vec<bool> = (0..shape.channels)
            .map(|_| numbers.portion() < 0.5 * portion)
            .collect();
        let mut mask = Mask::full(rows, cols);
        for i in 0..rows * cols {
            let dead = row[i / cols] || channel[i % cols / shape.kernel_positions()];
            if dead || numbers.portion() < 0.3 {
                mask.set(i, false);
            }
        }
        mask.apply(&mut p.values);
        p.support = Some(mask);
    }
    // some biases are zero, so that some dead filters are silent
    for p in parameters
        .list
        .iter_mut()
        .filter(|p| matches!(p.role, Role::Bias | Role::Shift))
    {
        for v in &mut p.values {
            if numbers.portion() < 0.4 {
                *v = 0.0;
            }
        }
    }
    parameters
}

fn inputs(net: &Network, samples: usize) -> Vec<f32> {
    let mut numbers = Numbers(99);
    let n = net.layer(net.input()).output.elements() * samples;
    (0..n).map(|_| numbers.next()).collect()
}

fn outputs(net: &Network, parameters: &Parameters) -> Vec<f32> {
    let mut executor = DenseExecutor::new(net, parameters.clone()).expect("they belong together");
    executor.infer(&inputs(net, 5), 5).expect("outputs")
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = a.iter().fold(1.0f32, |m, v| m.max(v.abs()));
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs() / scale)
        .fold(0.0, f32::max)
}

/// Zeroes the weights, and the biases and shifts, of a layer's unit.
fn kill(parameters: &mut Parameters, layer: &str, unit: usize) {
    for p in parameters.list.iter_mut().filter(|p| p.layer == layer) {
        let width = p.values.len() / p.shape[0];
        if matches!(p.role, Role::Weight | Role::Bias | Role::Gain | Role::Shift) {
            p.values[unit * width..(unit + 1) * width].fill(0.0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is dead: outputs of the smaller network are those of the masked one, and it is not larger.
    #[test]
    fn the_smaller_network_computes_the_same(which in 0..6usize, seed: u64, portion in 0.0..0.9f32) {
        let net = &networks()[which];
        let parameters = masked(net, seed, portion);
        let smaller = shrink(net, &parameters).expect("surgery");
        prop_assert!(apart(&outputs(net, &parameters), &outputs(&smaller.network, &smaller.parameters)) < 1e-5);
        prop_assert!(smaller.network.macs() <= net.macs());
        // nothing is left to do
        let again = shrink(&smaller.network, &smaller.parameters).expect("surgery");
        prop_assert!(again.kept.is_empty(), "{:?}", again.kept);
    }

    /// Purified weights are fewer, the outputs the same; a second time finds nothing.
    #[test]
    fn purified_networks_compute_the_same(which in 0..6usize, seed: u64, portion in 0.0..0.9f32) {
        let net = &networks()[which];
        let parameters = masked(net, seed, portion);
        let pure = purify(net, &parameters).expect("surgery");
        prop_assert!(apart(&outputs(net, &parameters), &outputs(net, &pure.parameters)) < 1e-5);
        let alive = |p: &Parameters| p.weights().map(|w| w.support.as_ref().map_or(w.values.len(), Mask::count)).sum::<usize>();
        prop_assert_eq!(alive(&parameters) - alive(&pure.parameters), pure.removed);
        for (before, after) in parameters.weights().zip(pure.parameters.weights()) {
            if let (Some(before), Some(after)) = (&before.support, &after.support) {
                prop_assert!(after.is_subset_of(before));
            }
        }
        prop_assert_eq!(purify(net, &pure.parameters).expect("surgery").removed, 0);
        // and what was purified shrinks to the same outputs
        let smaller = shrink(net, &pure.parameters).expect("surgery");
        prop_assert!(apart(&outputs(net, &parameters), &outputs(&smaller.network, &smaller.parameters)) < 1e-5);
    }

    /// Units in another order compute the same; the same weights are there, the fullest units first, and a second time
    /// nothing moves.
    #[test]
    fn arranged_networks_compute_the_same(which in 0..6usize, seed: u64, portion in 0.0..0.9f32) {
        let net = &networks()[which];
        let parameters = masked(net, seed, portion);
        let arranged = arrange(net, &parameters).expect("surgery");
        prop_assert!(apart(&outputs(net, &parameters), &outputs(net, &arranged.parameters)) < 1e-5);
        for (before, after) in parameters.list.iter().zip(&arranged.parameters.list) {
            let sorted = |v: &[f32]| {
                let mut v = v.to_vec();
                v.sort_by(f32::total_cmp);
                v
            };
            prop_assert_eq!(sorted(&before.values), sorted(&after.values));
            let alive = |i: usize| after.support.as_ref().is_none_or(|s| s.get(i));
            prop_assert!((0..after.values.len()).all(|i| alive(i) || after.values[i] == 0.0));
        }
        let again = arrange(net, &arranged.parameters).expect("surgery");
        prop_assert_eq!(&again.parameters, &arranged.parameters);
        for ((before, after), rows) in parameters.weights().zip(arranged.parameters.weights()).zip(&arranged.rows) {
            let held = |p: &cosparse::training::Parameter, row: usize| {
                let (_, cols) = p.matrix();
                p.values[row * cols..(row + 1) * cols].iter().filter(|v| **v != 0.0).count()
            };
            for (now, &was) in rows.iter().enumerate() {
                prop_assert_eq!(held(after, now), held(before, was));
            }
        }
        if which == 0 {
            let fc1 = arranged.parameters.weights().nth(2).expect("a layer");
            let counts: Vec<usize> = fc1.values.chunks(fc1.matrix().1).map(|r| r.iter().filter(|v| **v != 0.0).count()).collect();
            prop_assert!(counts.windows(2).all(|w| w[0] >= w[1]), "{counts:?}");
        }
    }

    /// Silenced networks shrink to what the silenced network computes; a second time finds nothing to zero.
    #[test]
    fn silenced_networks_shrink_to_the_same(which in 0..6usize, seed: u64, portion in 0.1..0.7f32) {
        let net = &networks()[which];
        let parameters = masked(net, seed, portion);
        let (silent, _) = silence(net, &parameters).expect("surgery");
        let less = shrink(net, &silent).expect("surgery");
        prop_assert!(apart(&outputs(net, &silent), &outputs(&less.network, &less.parameters)) < 1e-5);
        prop_assert_eq!(silence(net, &silent).expect("surgery").1, 0);
    }
}

/// Filter 2 of `LeNet`'s first layer and unit 3 of its hidden layer are constants: they leave, and their values stand in
/// the biases of what read them.
#[test]
fn constants_move_into_the_biases_of_their_readers() {
    let net = lenet();
    let mut parameters = filled(&net, 3);
    for (layer, unit) in [("conv1", 2), ("fc1", 3)] {
        let weight = parameters.weight_mut(layer).expect("a weight");
        let width = weight.values.len() / weight.shape[0];
        weight.values[unit * width..(unit + 1) * width].fill(0.0);
    }
    let smaller = shrink(&net, &parameters).expect("surgery");
    assert_eq!(smaller.kept["conv1"], [0, 1, 3, 4, 5]);
    assert_eq!(smaller.kept["fc1"].len(), 11);
    let shape = |name: &str| smaller.parameters.find(name).expect("a parameter").shape.clone();
    assert_eq!(shape("conv2.weight"), [8, 5, 2, 2]);
    assert_eq!(shape("fc2.weight"), [5, 11]);
    let bias = |p: &Parameters, i: usize| p.find("conv2.bias").expect("a bias").values[i];
    let weight = &parameters.weight("conv2").expect("a weight").values;
    let constant = parameters.find("conv1.bias").expect("a bias").values[2];
    let added: f32 = weight[2 * 4..3 * 4].iter().map(|w| w * constant).sum();
    assert!((bias(&smaller.parameters, 0) - bias(&parameters, 0) - added).abs() < 1e-6);
}

/// A constant stays in front of a padded convolution, whose border it does not reach; a zero leaves.
#[test]
fn padding_holds_constants_but_not_zeros() {
    let net = vgg();
    let mut parameters = filled(&net, 5);
    let weight = parameters.weight_mut("c1").expect("a weight");
    weight.values[..27].fill(0.0);
    let shift = parameters
        .list
        .iter_mut()
        .find(|p| p.name == "n1.shift")
        .expect("a shift");
    shift.values[0] = 3.0; // passes the ReLU whatever gain and mean are
    let held = shrink(&net, &parameters).expect("surgery");
    assert!(held.kept.is_empty(), "{:?}", held.kept);
    let (silent, zeroed) = silence(&net, &parameters).expect("surgery");
    assert_eq!(zeroed, 2, "a gain and a shift");
    let smaller = shrink(&net, &silent).expect("surgery");
    assert_eq!(smaller.kept["c1"], [1, 2, 3, 4]);
    let norm = silent
        .find("n1.shift")
        .expect("a shift")
        .support
        .as_ref()
        .expect("a support");
    assert!(!norm.get(0) && norm.count() == 4);
}

/// A channel leaves a residual sum only when it is dead on every branch.
#[test]
fn residual_channels_leave_together() {
    let net = resnet();
    let mut parameters = filled(&net, 7);
    let unit = 4;
    for layer in ["a2", "an2"] {
        kill(&mut parameters, layer, unit);
    }
    assert!(shrink(&net, &parameters).expect("surgery").kept.is_empty());
    for layer in ["stem", "n0"] {
        kill(&mut parameters, layer, unit);
    }
    let smaller = shrink(&net, &parameters).expect("surgery");
    for layer in ["stem", "r0", "a2", "add1", "r1"] {
        assert_eq!(smaller.kept[layer], [0, 1, 2, 3, 5], "{layer}");
    }
    assert!(
        apart(
            &outputs(&net, &parameters),
            &outputs(&smaller.network, &smaller.parameters)
        ) < 1e-5
    );
}

/// A depthwise channel leaves with the filter that feeds it, a grouped convolution by whole groups.
#[test]
fn groups_leave_as_a_whole() {
    let net = depthwise();
    let mut parameters = filled(&net, 11);
    kill(&mut parameters, "dw", 5);
    kill(&mut parameters, "n2", 5);
    let smaller = shrink(&net, &parameters).expect("surgery");
    for layer in ["up", "n1", "dw", "r2"] {
        assert_eq!(smaller.kept[layer], [0, 1, 2, 3, 4, 6, 7], "{layer}");
    }
    let Op::Conv2d(dw) = &smaller.network.layer(smaller.network.find("dw").expect("dw")).op else {
        panic!("a convolution")
    };
    assert_eq!((dw.groups, dw.out_channels), (7, 7));
    // what group 1 of 3 computes is read by nothing
    let fc = parameters.weight_mut("fc").expect("a weight");
    (0..4).for_each(|row| fc.values[row * 6 + 2..row * 6 + 4].fill(0.0));
    let smaller = shrink(&net, &parameters).expect("surgery");
    assert_eq!(smaller.kept["grouped"], [0, 1, 4, 5]);
    assert_eq!(smaller.kept["down"], [0, 1, 4, 5]);
    assert!(
        apart(
            &outputs(&net, &parameters),
            &outputs(&smaller.network, &smaller.parameters)
        ) < 1e-5
    );
}

/// A layer that nothing needs keeps one unit, so that the network stays one.
#[test]
fn a_layer_keeps_a_unit() {
    let net = lenet();
    let mut parameters = filled(&net, 13);
    let weight = parameters.weight_mut("fc2").expect("a weight");
    weight.values.fill(0.0);
    let smaller = shrink(&net, &parameters).expect("surgery");
    assert_eq!(smaller.kept["fc1"], [0]);
    assert_eq!(smaller.network.layer(smaller.network.output()).output.0, [5]);
    assert!(
        apart(
            &outputs(&net, &parameters),
            &outputs(&smaller.network, &smaller.parameters)
        ) < 1e-6
    );
}

/// A chain of single weights: what is not read, and what reads nothing, goes in both directions.
#[test]
fn unused_paths_go_in_both_directions() {
    let net = network(
        [1, 1, 2],
        &[
            ("flat", Op::Flatten, &["x"]),
            ("f1", linear(2), &["flat"]),
            ("f2", linear(2), &["f1"]),
            ("f3", linear(1), &["f2"]),
        ],
    );
    let mut parameters = Parameters::init(&net, 1);
    let mut set = |layer: &str, values: &[f32]| {
        parameters.weight_mut(layer).expect("a weight").values = values.to_vec();
    };
    set("f1", &[1.0, 2.0, 0.0, 0.0]); // unit 1 reads nothing
    set("f2", &[0.0, 3.0, 4.0, 5.0]); // unit 0 reads unit 1 alone
    set("f3", &[6.0, 0.0]); // unit 1 is not read
    let pure = purify(&net, &parameters).expect("surgery");
    let left: Vec<f32> = pure.parameters.weights().flat_map(|p| p.values.clone()).collect();
    assert!(left.iter().all(|&v| v == 0.0), "{left:?}");
    assert_eq!(pure.removed, 10);
}

fn samples(shape: [usize; 3], classes: u32) -> Samples {
    let n = 24;
    let mut numbers = Numbers(17);
    Samples {
        inputs: (0..n * shape.iter().product::<usize>())
            .map(|_| numbers.portion())
            .collect(),
        labels: (0..n as u32).map(|i| i % classes).collect(),
        shape: shape.to_vec(),
    }
}

fn training() -> FitOptions {
    FitOptions {
        epochs: 2.0,
        batch: 8,
        optimiser: OptimiserOptions::adam(0.0),
        schedule: Schedule::Constant { rate: 0.01 },
        loss: Loss::CrossEntropy,
        augment_shift: 0,
        seed: 1,
    }
}

/// The whole way: ADMM onto filters, silence, retraining, surgery, more training, a workload file, fewer cycles.
#[test]
fn pruned_filters_leave_and_the_network_trains_on() {
    let net = vgg();
    let data = samples([3, 8, 8], 4);
    let problem = Problem {
        train: &data,
        teacher: None,
        validation: &data,
        aim: &Plain,
    };
    let options = PruneOptions {
        admm: AdmmOptions {
            rho: 0.01,
            rho_growth: 1.3,
            rho_max: 1.0,
            iterations: 3,
            w_step: training(),
        },
        retrain: training().into(),
    };
    let dense = Parameters::init(&net, 1);
    let keep: Vec<(Structure, usize)> = dense
        .weights()
        .map(|p| match p.layer.as_str() {
            "fc" => (Structure::Unstructured, p.values.len()),
            _ => (Structure::Filter, p.values.len() / 2),
        })
        .collect();
    let (pruned, _) = prune(&net, dense, &keep, &problem, &options, "test", &mut |_| {}).expect("it trains");
    for (p, &(structure, _)) in pruned.weights().zip(&keep) {
        let rows = p.support.as_ref().expect("a support").row_counts();
        let cols = p.matrix().1;
        assert!(structure == Structure::Unstructured || rows.iter().all(|&r| r == 0 || r == cols));
    }
    let (silent, _) = silence(&net, &pruned).expect("surgery");
    let train = |net: &Network, parameters: Parameters| {
        let mut executor = DenseExecutor::new(net, parameters).expect("they belong together");
        fit(
            &mut executor,
            &data,
            None,
            &training(),
            &mut |_, _| {},
            &mut |_| {},
        )
        .expect("it trains");
        executor.parameters().clone()
    };
    let retrained = train(&net, silent);
    let smaller = shrink(&net, &retrained).expect("surgery");
    let widths = ["c1", "c2", "c3"].map(|l| smaller.kept[l].len());
    assert_eq!(widths, [2, 3, 3]);
    assert!(
        apart(
            &outputs(&net, &retrained),
            &outputs(&smaller.network, &smaller.parameters)
        ) < 1e-5
    );
    let on = train(&smaller.network, smaller.parameters.clone());
    assert_ne!(on, smaller.parameters);

    let workload = |network: &Network| Workload {
        name: "small".into(),
        description: "what surgery left".into(),
        source: "this test".into(),
        network: network.clone(),
        data: None,
        training: None,
        baseline: None,
        prior: None,
        activations: std::collections::BTreeMap::new(),
    };
    let text = workload(&smaller.network).to_toml();
    let read = Workload::from_source(&Source::new("small", text)).expect("what is written can be read");
    assert!(2 * read.network.macs() < net.macs());
    let profile = zoo::find("admm-nn-40nm")
        .expect("it is shipped")
        .profile()
        .expect("it is valid");
    let cycles = |network: &Network| {
        let setting = |_: &Layer| LayerSetting {
            weights: Weights::Density(1.0),
            weight_bits: 16,
            activation_density: 1.0,
            activation_bits: None,
            mapping: None,
        };
        Estimator::new(network, &profile, 1, Pick::Latency)
            .total(&setting)
            .expect("a cost")
            .cycles
    };
    assert!(cycles(&read.network) < cycles(&net));
}

/// A workload whose layers have what the shipped ones have not: uneven kernels and padding, attention, other epsilons.
const UNUSUAL: &str = r#"
name = "unusual"
description = "a \"quoted\" word"
source = "by hand"
input = { name = "words", shape = [6] }

[training]
optimiser = "sgd"
momentum = 0.8
epochs = 3
batch = 7
learning-rate = 0.05
schedule = "step"
step-epochs = 2
step-factor = 0.3

[[layer]]
name = "table"
op = "embedding"
vocabulary = 9
features = 8

[[layer]]
name = "places"
op = "position-embedding"

[[layer]]
name = "q"
op = "linear"
out-features = 8
bias = false
input = "places"

[[layer]]
name = "heads"
op = "split-heads"
heads = 2

[[layer]]
name = "scores"
op = "matmul"
transpose-b = true
inputs = ["heads", "heads"]

[[layer]]
name = "share"
op = "masked-softmax"
scale = 0.35
inputs = ["scores", "words"]

[[layer]]
name = "mix"
op = "matmul"
inputs = ["share", "heads"]

[[layer]]
name = "merged"
op = "merge-heads"
activation-density = 0.7
activation-source = "measured by hand"

[[layer]]
name = "again"
op = "split-heads"
heads = 4

[[layer]]
name = "uneven"
op = "conv"
out-channels = 4
kernel = [3, 1]
stride = [2, 1]
padding = [1, 0, 0, 1]
dilation = [1, 2]
groups = 2

[[layer]]
name = "edge"
op = "average-pool"
kernel = [2, 1]
stride = 1
padding = [0, 1, 0, 0]
ceil = true

[[layer]]
name = "back"
op = "merge-heads"

[[layer]]
name = "norm"
op = "layer-norm"
eps = 1e-12

[[layer]]
name = "words2"
op = "concat"
axis = 1
inputs = ["norm", "back"]

[[layer]]
name = "drop"
op = "dropout"
rate = 0.1
"#;

/// Every shipped workload, and an unusual one, reads back from what is written of it.
#[test]
fn workloads_read_back_from_their_text() {
    let unusual =
        Workload::from_source(&Source::new("unusual", UNUSUAL)).unwrap_or_else(|e| panic!("{:?}", e.faults));
    let shipped = cosparse::network::zoo::list()
        .iter()
        .map(|(name, _)| Workload::find(name).expect("it is shipped"));
    for workload in shipped.chain([unusual]) {
        let name = &workload.name;
        let text = workload.to_toml();
        let read = Workload::from_source(&Source::new(name, text.clone()))
            .unwrap_or_else(|e| panic!("{name}: {:?}\n{text}", e.faults));
        let layers = |w: &Workload| -> Vec<_> { w.network.layers().map(|(_, l)| l.clone()).collect() };
        assert_eq!(layers(&read), layers(&workload), "{name}");
        assert_eq!(
            (
                &read.name,
                &read.description,
                &read.source,
                &read.data,
                &read.training,
                &read.baseline
            ),
            (
                &workload.name,
                &workload.description,
                &workload.source,
                &workload.data,
                &workload.training,
                &workload.baseline
            )
        );
        assert_eq!(
            (&read.prior, &read.activations),
            (&workload.prior, &workload.activations)
        );
        assert_eq!(read.to_toml(), text);
    }
}

#[test]
fn parameters_of_another_network_are_refused() {
    let fault = shrink(&lenet(), &Parameters::init(&vgg(), 1)).expect_err("they do not belong together");
    assert_eq!(
        fault,
        SurgeryError::Parameter {
            name: "conv1.weight".into()
        }
    );
}
