//! A small network, layer by layer.

mod common;

use common::{buffer, engine, profile, slices, systolic};
use cosparse::compression::Target;
use cosparse::compression::encoding::Encoding;
use cosparse::compression::precision::Precision;
use cosparse::hardware::{Dataflow, EngineKind, Profile, Slices, TensorKind};
use cosparse::network::op::{Activation, Conv2d, Padding};
use cosparse::network::{Layer, Network, NetworkBuilder, Op, Shape};
use cosparse::simulate::{LayerSetting, NetworkCost, Pick, SimulateError, network};

fn net() -> Network {
    let conv = |out_channels| {
        Op::Conv2d(Conv2d {
            out_channels,
            kernel: [3, 3],
            stride: [1, 1],
            padding: Padding::same(1),
            dilation: [1, 1],
            groups: 1,
            bias: false,
        })
    };
    let mut builder = NetworkBuilder::new();
    builder.input("image", Shape(vec![3, 8, 8]));
    builder.layer("conv1", conv(16), &["image"]);
    builder.layer("relu", Op::Activation(Activation::Relu), &["conv1"]);
    builder.layer("conv2", conv(16), &["relu"]);
    builder.layer("add", Op::Add, &["conv2", "relu"]);
    builder.layer("flat", Op::Flatten, &["add"]);
    builder.layer(
        "fc",
        Op::Linear {
            out_features: 10,
            bias: true,
        },
        &["flat"],
    );
    builder.build().expect("a network")
}

fn two_engines() -> Profile {
    profile(vec![
        engine("dense", 500.0, 8000.0, systolic(8, 8, Dataflow::WeightStationary)),
        engine("sparse", 400.0, 19_000.0, EngineKind::Slices(slices(24))),
    ])
}

fn cost(profile: &Profile, density: f64, batch: u64) -> Result<NetworkCost, SimulateError> {
    let target = Target {
        density,
        precision: Precision::equal_interval(4),
        encoding: Encoding::RelativeIndex { bits: 4 },
        ..Target::DENSE
    };
    let setting = |layer: &Layer| {
        assert!(layer.weights() > 0);
        LayerSetting::of_target(&target, profile)
    };
    network(&net(), profile, batch, Pick::Latency, &setting)
}

#[test]
fn layers_add_up_and_the_rest_is_listed() {
    let profile = two_engines();
    let cost = cost(&profile, 0.1, 1).expect("a cost");
    assert_eq!(cost.not_modelled, ["relu", "add", "flat"]);
    assert_eq!(
        cost.layers.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(),
        ["conv1", "conv2", "fc"]
    );
    let dram: Vec<_> = cost
        .layers
        .iter()
        .map(|l| (l.around.input_from_dram, l.around.output_to_dram))
        .collect();
    assert_eq!(dram, [(true, false), (false, false), (false, true)]);
    assert_eq!(
        cost.cycles,
        cost.layers.iter().map(|l| l.outcome.cost.cycles).sum::<u64>()
    );
    let total: f64 = cost.layers.iter().map(|l| l.outcome.cost.energy.total()).sum();
    assert!((cost.energy.total() / total - 1.0).abs() < 1e-12);
    // at a tenth of the weights conv2 is faster on the sparse engine, at nine tenths on the dense one
    assert_eq!(cost.layers[1].outcome.cost.engine, "sparse");
    let dense = self::cost(&profile, 0.9, 1).expect("a cost");
    assert_eq!(dense.layers[1].outcome.cost.engine, "dense");
    // float32 weights are stored as the profile's engines take them: 16 bits
    let plain = network(&net(), &profile, 1, Pick::Latency, &|_: &Layer| {
        LayerSetting::of_target(&Target::DENSE, &profile)
    })
    .expect("a cost");
    assert_eq!(plain.stored.weights, 16 * net().weights() as u64);
}

/// 1024 features of 16 bits stay in half of 32 kbit; in less they go through DRAM, and so does the batch.
#[test]
fn features_that_do_not_fit_go_through_dram() {
    let mut profile = two_engines();
    profile.memories[1] = buffer(
        "feature-buffer",
        32_768,
        1 << 20,
        &[TensorKind::Inputs, TensorKind::Outputs],
    );
    let dram = |cost: &NetworkCost| {
        cost.layers
            .iter()
            .map(|l| (l.around.input_from_dram, l.around.output_to_dram))
            .collect::<Vec<_>>()
    };
    let on_chip = cost(&profile, 0.1, 1).expect("a cost");
    assert_eq!(dram(&on_chip), [(true, false), (false, false), (false, true)]);
    // one sample of the batch, twice, takes 32768 bits: the outputs need a little more
    profile.memories[1] = buffer(
        "feature-buffer",
        33_000,
        1 << 20,
        &[TensorKind::Inputs, TensorKind::Outputs],
    );
    let batch = cost(&profile, 0.1, 4).expect("a cost");
    assert_eq!(dram(&batch), [(true, true); 3]);
    profile.memories[1] = buffer(
        "feature-buffer",
        32_767,
        1 << 20,
        &[TensorKind::Inputs, TensorKind::Outputs],
    );
    assert_eq!(dram(&cost(&profile, 0.1, 1).expect("a cost")), [(true, true); 3]);
    profile.memories[1] = buffer(
        "feature-buffer",
        100,
        1 << 20,
        &[TensorKind::Inputs, TensorKind::Outputs],
    );
    let error = cost(&profile, 0.1, 1).expect_err("no tile fits");
    assert!(
        matches!(&error, SimulateError::NoEngine { layer, .. } if layer == "conv1"),
        "{error}"
    );
}

/// The input of `fc` stays on chip at first: three samples of 1024 · 16 bits are half of the shared buffer. Beside
/// them there is no room for two tiles of one channel (1024 weights and indices of 16 bits each), beside two
/// single samples there is. So its input goes through DRAM, and with it the outputs of `conv1` and `conv2`, which
/// the add reads.
#[test]
fn a_layer_without_room_moves_its_features() {
    let wide_index = Slices {
        index: Some(Encoding::RelativeIndex { bits: 16 }),
        ..slices(24)
    };
    let mut profile = profile(vec![engine(
        "sparse",
        400.0,
        19_000.0,
        EngineKind::Slices(wide_index),
    )]);
    profile.memories[0] = buffer("outputs", 98_304, 1 << 20, &[TensorKind::Outputs]);
    profile.memories[1] = buffer(
        "shared",
        98_304,
        1 << 20,
        &[TensorKind::Weights, TensorKind::Indices, TensorKind::Inputs],
    );
    let dense = |_: &Layer| LayerSetting::of_target(&Target::DENSE, &profile);
    let found = network(&net(), &profile, 3, Pick::Latency, &dense).expect("a cost");
    assert_eq!(
        found
            .layers
            .iter()
            .map(|l| (l.around.input_from_dram, l.around.output_to_dram))
            .collect::<Vec<_>>(),
        [(true, true); 3]
    );
    // with room for both nothing moves
    profile.memories[1] = buffer(
        "shared",
        1 << 20,
        1 << 20,
        &[TensorKind::Weights, TensorKind::Indices, TensorKind::Inputs],
    );
    let dense = |_: &Layer| LayerSetting::of_target(&Target::DENSE, &profile);
    let found = network(&net(), &profile, 3, Pick::Latency, &dense).expect("a cost");
    assert!(!found.layers[1].around.input_from_dram);
}
