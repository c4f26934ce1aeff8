//! Activations of so many bits a layer: what they store, move, cost and take.

mod common;

use common::{buffer, engine, gemm, profile, systolic, work};
use cosparse::hardware::{
    BitFusion, BitSerial, Dataflow, EngineKind, Profile, SerialOperand, TensorKind, zoo,
};
use cosparse::network::op::{Activation, Conv2d, Padding};
use cosparse::network::{Layer, LoopNest, Network, NetworkBuilder, Op, Shape};
use cosparse::simulate::{
    ActivationBits, Fusion, LayerSetting, LayerWork, Mapping, NetworkCost, NetworkLayer, Pick,
    RowStationaryMapping, SimulateError, TileOrder, Tiling, Weights, layer_on, network, network_fused,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// 64 → 32 → 16 → 8, activations between.
fn perceptron() -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("image", Shape(vec![64]));
    let mut before = "image".to_owned();
    for (i, out_features) in [32, 16, 8].into_iter().enumerate() {
        let (fc, relu) = (format!("fc{}", i + 1), format!("relu{}", i + 1));
        let linear = Op::Linear {
            out_features,
            bias: false,
        };
        builder.layer(&fc, linear, &[&before]);
        if out_features > 8 {
            builder.layer(&relu, Op::Activation(Activation::Relu), &[&fc]);
        }
        before = relu;
    }
    builder.build().expect("a network")
}

fn setting(bits: Option<u32>) -> LayerSetting<'static> {
    LayerSetting {
        weights: Weights::Density(1.0),
        weight_bits: 16,
        activation_density: 1.0,
        activation_bits: bits,
        mapping: None,
    }
}

fn chip() -> Profile {
    profile(vec![engine(
        "dense",
        500.0,
        8000.0,
        systolic(8, 8, Dataflow::WeightStationary),
    )])
}

fn find<'a>(cost: &'a NetworkCost, name: &str) -> &'a NetworkLayer {
    cost.layers.iter().find(|l| l.name == name).expect("a layer")
}

/// Bits read and written at a memory.
fn moved(layer: &NetworkLayer, memory: &str, tensor: TensorKind) -> [u64; 2] {
    let traffic = &layer.outcome.cost.traffic;
    let at = traffic
        .iter()
        .filter(|t| t.memory == memory && t.tensor == tensor);
    at.fold([0, 0], |sum, t| [sum[0] + t.read_bits, sum[1] + t.write_bits])
}

/// Inputs at 8, 4 and the profile's 16 bits on 8×8 PEs. fc1 has 64 / 8 = 8 row folds and 32 / 8 = 4 column folds: it
/// reads its 64 inputs 4 times at 8 bits, and of 8 · 32 outputs writes 7 · 32 as partial sums of 16 bits, which it reads
/// back, and 32 at the 4 bits that fc2 asks for. fc2 has 4 and 2 folds, and its outputs are fc3's of 16 bits.
#[test]
fn a_perceptron_by_hand() {
    let net = perceptron();
    let bits = |layer: &Layer| match layer.name.as_str() {
        "fc1" => Some(8),
        "fc2" => Some(4),
        _ => None,
    };
    let at = |l: &Layer| setting(bits(l));
    let cost = network(&net, &chip(), 1, Pick::Energy, &at).expect("a cost");
    let dense = network(&net, &chip(), 1, Pick::Energy, &|_: &Layer| setting(None)).expect("a cost");
    let (fc1, fc2, fc3) = (find(&cost, "fc1"), find(&cost, "fc2"), find(&cost, "fc3"));
    let stored = [fc1, fc2, fc3].map(|l| [l.around.input_bits, l.around.output_bits]);
    assert_eq!(stored, [[8, 4], [4, 16], [16, 16]]);
    let features = |l, tensor| moved(l, "feature-buffer", tensor);
    assert_eq!(moved(fc1, "dram", TensorKind::Inputs), [64 * 8, 0]);
    assert_eq!(features(fc1, TensorKind::Inputs), [4 * 64 * 8, 64 * 8]);
    assert_eq!(
        features(fc1, TensorKind::Outputs),
        [7 * 32 * 16, 7 * 32 * 16 + 32 * 4]
    );
    assert_eq!(features(fc2, TensorKind::Inputs), [2 * 32 * 4, 0]);
    assert_eq!(
        features(fc2, TensorKind::Outputs),
        [3 * 16 * 16, 3 * 16 * 16 + 16 * 16]
    );
    // 0.8 pJ · (16 · 4) / 16² + 0.1 pJ · (16 + 4) / 32
    let mac = 32.0 * 16.0 * (0.2 + 0.0625);
    assert!((fc2.outcome.cost.energy.mac - mac).abs() < 1e-9);
    // a systolic array is as fast at any width
    let cycles = |cost: &NetworkCost| {
        let layers = cost.layers.iter();
        layers.map(|l| l.outcome.cost.causes.compute).collect::<Vec<_>>()
    };
    assert_eq!(cycles(&cost), cycles(&dense));
    assert_eq!(fc3.outcome.cost, find(&dense, "fc3").outcome.cost);
}

/// What two layers read is stored as wide as the wider one multiplies it, and both read it so.
#[test]
fn the_widest_reader_decides() {
    let mut builder = NetworkBuilder::new();
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
    builder.input("image", Shape(vec![3, 8, 8]));
    builder.layer("conv1", conv(16), &["image"]);
    builder.layer("relu", Op::Activation(Activation::Relu), &["conv1"]);
    builder.layer("conv2", conv(16), &["relu"]);
    builder.layer("add", Op::Add, &["conv2", "relu"]);
    builder.layer("conv3", conv(4), &["add"]);
    let net = builder.build().expect("a network");
    let at = |l: &Layer| {
        setting(match l.name.as_str() {
            "conv1" => None,
            "conv2" => Some(3),
            _ => Some(6),
        })
    };
    for fusion in [Fusion::Ideal, Fusion::None, Fusion::Full] {
        let cost = network_fused(&net, &chip(), 1, Pick::Energy, fusion, &at).expect("a cost");
        let widths = ["conv1", "conv2", "conv3"]
            .map(|name| find(&cost, name).around)
            .map(|a| [a.input_bits, a.output_bits]);
        // the sum's other operand goes to conv3 through the add
        assert_eq!(widths, [[16, 6], [6, 6], [6, 16]], "{fusion:?}");
        let mac = find(&cost, "conv2").outcome.cost.energy.mac;
        let each = 0.8 * 3.0 / 16.0 + 0.1 * 19.0 / 32.0;
        assert!((mac / (64.0 * 16.0 * 144.0) - each).abs() < 1e-12, "{fusion:?}");
    }
    let cost = network_fused(&net, &chip(), 1, Pick::Energy, Fusion::None, &at).expect("a cost");
    let add = moved(find(&cost, "add"), "feature-buffer", TensorKind::Inputs);
    assert_eq!(add[0], 2 * 16 * 64 * 6);
    let cost = network_fused(&net, &chip(), 1, Pick::Energy, Fusion::Full, &at).expect("a cost");
    assert_eq!(find(&cost, "conv2").around.fused.map(|f| f.added_bits), Some(6));
}

/// Features that go through DRAM at 16 bits stay on chip at 4: a buffer of 4096 bits keeps tensors of 2048.
#[test]
fn narrow_features_stay_on_chip() {
    let mut chip = chip();
    let both = [TensorKind::Inputs, TensorKind::Outputs];
    chip.memories[1] = buffer("feature-buffer", 4096, 64, &both);
    let mut builder = NetworkBuilder::new();
    builder.input("image", Shape(vec![8]));
    for (name, before, out_features) in [("fc1", "image", 200), ("fc2", "fc1", 8)] {
        let linear = Op::Linear {
            out_features,
            bias: false,
        };
        builder.layer(name, linear, &[before]);
    }
    let net = builder.build().expect("a network");
    for (bits, in_dram) in [
        (None, true),
        (Some(11), true),
        (Some(10), false),
        (Some(4), false),
    ] {
        let at = |l: &Layer| setting(bits.filter(|_| l.name == "fc2"));
        let cost = network(&net, &chip, 1, Pick::Energy, &at).expect("a cost");
        assert_eq!(find(&cost, "fc1").around.output_to_dram, in_dram, "{bits:?}");
        let total = cosparse::simulate::Estimator::new(&net, &chip, 1, Pick::Energy).total(&at);
        assert_eq!(total.expect("a cost"), (&cost).into());
    }
}

/// Bit Fusion: 16 bits take two passes, 8 one product a unit, 4 two; activations bit by bit take their bits.
#[test]
fn engines_that_compose_widths_follow_them() {
    let fusion = EngineKind::BitFusion(BitFusion { rows: 4, cols: 4 });
    let serial = |serial| {
        EngineKind::BitSerial(BitSerial {
            rows: 4,
            cols: 4,
            lanes: 16,
            serial,
        })
    };
    let streaming = |kind: &EngineKind, bits: u32| {
        let mut chip = profile(vec![engine("e", 500.0, 1.0, kind.clone())]);
        chip.activation_bits = 8;
        let work = LayerWork {
            weight_bits: 8,
            activation_bits: ActivationBits::of(&chip, bits, [bits, 8]),
            ..work(gemm(16, 64, 16), Weights::Density(1.0))
        };
        let cost = layer_on(&work, &chip, 0)?;
        Ok::<_, SimulateError>(cost.causes.compute + cost.causes.unused)
    };
    let of = |kind: &EngineKind| [16, 8, 4].map(|bits| streaming(kind, bits).ok());
    let folds = 64 / 4 * 16 / 4;
    assert_eq!(
        of(&fusion),
        [Some(folds * 16 * 2), Some(folds * 16), Some(folds * 16 / 2)]
    );
    let steps = 4 * 4 * 4;
    let by_activations = of(&serial(SerialOperand::Activations));
    assert_eq!(
        by_activations,
        [Some(steps * 16), Some(steps * 8), Some(steps * 4)]
    );
    // weights bit by bit: activations have the profile's width at most
    let by_weights = of(&serial(SerialOperand::Weights));
    assert_eq!(by_weights, [None, Some(steps * 8), Some(steps * 8)]);
    let error = streaming(&systolic(4, 4, Dataflow::WeightStationary), 9);
    assert!(
        matches!(error, Err(SimulateError::Unsupported { .. })),
        "{error:?}"
    );
}

/// On every engine of every shipped profile, in the same tiles: fewer bits of inputs and outputs never move more at
/// any memory, take no more cycles and no more energy, and run wherever more bits ran.
#[test]
fn fewer_bits_never_cost_more() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut compared = 0;
    for shipped in zoo::list() {
        let chip = shipped.profile().expect("it is valid");
        for (e, unit) in chip.engines.iter().enumerate() {
            let mut here = 0;
            for _ in 0..60 {
                let nest = LoopNest {
                    n: 1,
                    g: random.random_range(1..3),
                    k: random.random_range(1..40),
                    c: random.random_range(1..40),
                    p: random.random_range(1..12),
                    q: random.random_range(1..12),
                    r: random.random_range(1..4),
                    s: random.random_range(1..4),
                    stride: [1, 1],
                    dilation: [1, 1],
                };
                let tiling = Tiling {
                    channels: random.random_range(1..=nest.k),
                    rows: random.random_range(1..=nest.p),
                    order: [TileOrder::ChannelsOuter, TileOrder::RowsOuter][random.random_range(0..2)],
                };
                let one = RowStationaryMapping {
                    m: 1,
                    n: 1,
                    e: 1,
                    p: 1,
                    q: 1,
                    r: 1,
                    t: 1,
                    g: 1,
                };
                let mapping = if matches!(unit.kind, EngineKind::RowStationary(_)) {
                    Mapping::RowStationary(one)
                } else {
                    Mapping::Tiled(tiling)
                };
                let mut below = |most: u32| random.random_range(1..=most);
                let wide = [(); 3].map(|()| below(chip.activation_bits));
                let narrow = wide.map(below);
                let dram: [bool; 2] = random.random();
                let at = |[operand, input, output]: [u32; 3]| {
                    let work = LayerWork {
                        weight_bits: chip.weight_bits,
                        // stored as wide as multiplied, or wider
                        activation_bits: ActivationBits::of(&chip, operand, [input.max(operand), output]),
                        mapping: Some(mapping),
                        input_from_dram: dram[0],
                        output_to_dram: dram[1],
                        activation_density: 0.5,
                        output_density: 0.5,
                        ..work(nest, Weights::Density(1.0))
                    };
                    layer_on(&work, &chip, e)
                };
                let Ok(wide) = at(wide) else { continue };
                let narrow = at(narrow).expect("fewer bits run wherever more did");
                here += 1;
                assert!(narrow.cycles <= wide.cycles, "{} {nest:?}", unit.name);
                assert!(
                    narrow.energy.total() <= wide.energy.total(),
                    "{} {nest:?}",
                    unit.name
                );
                assert_eq!(narrow.traffic.len(), wide.traffic.len());
                for (n, w) in narrow.traffic.iter().zip(&wide.traffic) {
                    assert_eq!((&n.memory, n.tensor), (&w.memory, w.tensor));
                    assert!(
                        n.read_bits <= w.read_bits && n.write_bits <= w.write_bits,
                        "{} {nest:?} {n:?} {w:?}",
                        unit.name
                    );
                }
            }
            assert!(here > 5, "{} of {} ran {here}", unit.name, chip.name);
            compared += here;
        }
    }
    assert!(compared > 300, "{compared}");
}
