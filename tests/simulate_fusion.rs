//! Layers that do not multiply: which are fused, what a chain moves, what a layer on its own takes.
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;

use common::{buffer, dram, engine, profile, slices, systolic};
use cosparse::hardware::{Dataflow, EngineKind, MemoryKind, Profile, TensorKind, zoo};
use cosparse::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use cosparse::network::{Layer, Network, NetworkBuilder, Op, Shape, Workload};
use cosparse::simulate::{
    Estimator, Fusion, LayerSetting, MEMORY, NetworkCost, NetworkLayer, Pick, SimulateError, Total, Weights,
    fuse, network, network_fused,
};
use proptest::prelude::*;

const MODES: [Fusion; 4] = [Fusion::Ideal, Fusion::None, Fusion::Elementwise, Fusion::Full];
const RELU: Op = Op::Activation(Activation::Relu);
const NORM: Op = Op::BatchNorm { eps: 1e-5 };

fn conv(out_channels: usize, kernel: usize) -> Op {
    Op::Conv2d(Conv2d {
        out_channels,
        kernel: [kernel; 2],
        stride: [1, 1],
        padding: Padding::same(kernel / 2),
        dilation: [1, 1],
        groups: 1,
        bias: false,
    })
}

fn pool(kernel: usize) -> Op {
    Op::Pool(Pool {
        kind: PoolKind::Max,
        kernel: [kernel; 2],
        stride: [kernel; 2],
        padding: Padding::default(),
        ceil: false,
    })
}

fn linear(out_features: usize) -> Op {
    Op::Linear {
        out_features,
        bias: true,
    }
}

/// A network on a map of 4 channels, 8 × 8.
fn net(layers: &[(&str, Op, &[&str])]) -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("image", Shape(vec![4, 8, 8]));
    for (name, op, inputs) in layers {
        builder.layer(name, op.clone(), inputs);
    }
    builder.build().expect("a network")
}

/// The steps in words: `head+fused+fused`, and `<operand` for each other operand of its adds.
fn words(network: &Network, fusion: Fusion) -> Vec<String> {
    let name = |id| network.layer(id).name.clone();
    fuse(network, fusion)
        .steps
        .iter()
        .map(|step| {
            let mut word = name(step.head);
            for &id in &step.fused {
                word = format!("{word}+{}", name(id));
            }
            for &id in &step.added {
                word = format!("{word}<{}", name(id));
            }
            word
        })
        .collect()
}

#[test]
fn chains_hold_what_their_mode_allows() {
    let network = net(&[
        ("conv", conv(4, 3), &["image"]),
        ("norm", NORM, &["conv"]),
        ("relu", RELU, &["norm"]),
        ("pool", pool(2), &["relu"]),
        ("flat", Op::Flatten, &["pool"]),
        ("fc", linear(10), &["flat"]),
        ("drop", Op::Dropout { rate: 0.5 }, &["fc"]),
        ("relu2", RELU, &["drop"]),
        ("soft", Op::Softmax, &["relu2"]),
    ]);
    assert_eq!(words(&network, Fusion::Ideal), ["conv", "fc"]);
    assert_eq!(
        words(&network, Fusion::None),
        ["conv", "norm", "relu", "pool", "fc", "relu2", "soft"]
    );
    assert_eq!(
        words(&network, Fusion::Elementwise),
        ["conv+norm+relu", "pool", "fc+relu2", "soft"]
    );
    assert_eq!(
        words(&network, Fusion::Full),
        ["conv+norm+relu+pool", "fc+relu2", "soft"]
    );
    // names for the same tensor are free, whatever is fused
    for fusion in &MODES[1..] {
        let free = fuse(&network, *fusion).free;
        assert_eq!(
            free.iter()
                .map(|&f| network.layer(f).name.as_str())
                .collect::<Vec<_>>(),
            ["flat", "drop"]
        );
    }
    assert_eq!(fuse(&network, Fusion::Ideal).left_out.len(), 7);
}

/// Whoever else reads a tensor reads it from memory: the chain ends there.
#[test]
fn a_second_reader_ends_a_chain() {
    let network = net(&[
        ("conv", conv(4, 3), &["image"]),
        ("pool", pool(2), &["conv"]),
        ("relu", RELU, &["conv"]),
        ("pool2", pool(2), &["relu"]),
        ("add", Op::Add, &["pool", "pool2"]),
    ]);
    assert_eq!(
        words(&network, Fusion::Full),
        ["conv", "pool", "relu", "pool2", "add"]
    );
    // two readers behind a free layer are two readers
    let network = net(&[
        ("conv", conv(4, 1), &["image"]),
        ("flat", Op::Flatten, &["conv"]),
        ("a", linear(8), &["flat"]),
        ("relu", RELU, &["flat"]),
        ("b", linear(8), &["relu"]),
        ("add", Op::Add, &["a", "b"]),
    ]);
    assert_eq!(words(&network, Fusion::Full)[0], "conv");
    // a layer that reads it twice is one
    let network = net(&[
        ("conv", conv(4, 1), &["image"]),
        ("twice", Op::Add, &["conv", "conv"]),
    ]);
    assert_eq!(words(&network, Fusion::Full), ["conv+twice"]);
}

/// The chain of the operand that is made last takes the add; it reads the other, which may be the network's input.
#[test]
fn an_add_joins_its_later_producer() {
    let network = net(&[
        ("a", conv(4, 3), &["image"]),
        ("na", NORM, &["a"]),
        ("b", conv(4, 3), &["image"]),
        ("nb", NORM, &["b"]),
        ("add", Op::Add, &["na", "nb"]),
        ("relu", RELU, &["add"]),
        ("c", conv(4, 3), &["relu"]),
        ("sum", Op::Add, &["c", "image"]),
    ]);
    for fusion in [Fusion::Elementwise, Fusion::Full] {
        let found = words(&network, fusion);
        let order: Vec<&str> = network.layers().map(|(_, l)| l.name.as_str()).collect();
        let place = |name: &str| order.iter().position(|n| *n == name);
        let (first, last) = if place("a") < place("b") {
            ("a", "b")
        } else {
            ("b", "a")
        };
        assert_eq!(
            found,
            [
                format!("{first}+n{first}"),
                format!("{last}+n{last}+add+relu<n{first}"),
                "c+sum<image".to_string()
            ]
        );
    }
}

/// A chain begins at a layer that multiplies, and these never join one.
#[test]
fn concatenations_and_normalisations_over_an_axis_are_on_their_own() {
    let network = net(&[
        ("a", conv(4, 3), &["image"]),
        ("b", conv(4, 3), &["a"]),
        ("both", Op::Concat { axis: 0 }, &["a", "b"]),
        ("relu", RELU, &["both"]),
        ("gap", Op::GlobalAveragePool, &["relu"]),
        ("fc", linear(8), &["gap"]),
        ("ln", Op::LayerNorm { eps: 1e-5 }, &["fc"]),
        ("fc2", linear(8), &["ln"]),
        ("soft", Op::Softmax, &["fc2"]),
    ]);
    assert_eq!(
        words(&network, Fusion::Full),
        ["a", "b", "both", "relu", "gap", "fc", "ln", "fc2", "soft"]
    );
}

/// `LeNet-5` of Caffe pools behind both convolutions and has an activation behind `fc1`.
#[test]
fn lenet_pools_in_its_convolutions() {
    let lenet = Workload::find("lenet5").expect("it is shipped").network;
    assert_eq!(
        words(&lenet, Fusion::Full),
        ["conv1+pool1", "conv2+pool2", "fc1+relu1", "fc2"]
    );
    assert_eq!(
        words(&lenet, Fusion::Elementwise),
        ["conv1", "pool1", "conv2", "pool2", "fc1+relu1", "fc2"]
    );
}

/// `ResNet-50`: every layer joins one of its 53 convolutions; each of 16 blocks adds once, four of them what a convolution
/// made beside the block, the others what the block before made. The stem's max pool and the global pool are the last to join.
#[test]
fn resnet_blocks_add_in_their_last_convolution() {
    let resnet = Workload::find("resnet50").expect("it is shipped").network;
    let full = words(&resnet, Fusion::Full);
    assert_eq!(full.len(), 54);
    assert_eq!(full[0], "conv1+bn1+relu+maxpool");
    assert_eq!(full.iter().filter(|w| w.contains('<')).count(), 16);
    let find = |head: &str| {
        full.iter()
            .find(|w| w.starts_with(head))
            .expect("a step")
            .as_str()
    };
    assert_eq!(
        find("layer1.1.conv3+"),
        "layer1.1.conv3+layer1.1.bn3+layer1.1.add+layer1.1.relu<layer1.0.relu"
    );
    let ends = [find("layer1.0.conv3+"), find("layer1.0.downsample.0+")];
    let with = |end: &str, other: &str| format!("layer1.0.{end}+layer1.0.add+layer1.0.relu<layer1.0.{other}");
    assert!(
        ends == [
            &with("conv3+layer1.0.bn3", "downsample.1"),
            "layer1.0.downsample.0+layer1.0.downsample.1"
        ] || ends
            == [
                "layer1.0.conv3+layer1.0.bn3",
                &with("downsample.0+layer1.0.downsample.1", "bn3")
            ],
        "{ends:?}"
    );
    assert!(
        find("layer4.2.conv3+").ends_with("relu+avgpool<layer4.1.relu"),
        "{}",
        find("layer4.2.conv3+")
    );
    // the pools are on their own without `full`
    let some = words(&resnet, Fusion::Elementwise);
    assert_eq!(some.len(), 56);
    assert!(some.contains(&"maxpool".to_string()) && some.contains(&"avgpool".to_string()));
    // every layer has one place
    for fusion in MODES {
        let found = fuse(&resnet, fusion);
        let placed = found.steps.iter().map(|s| 1 + s.fused.len()).sum::<usize>();
        assert_eq!(
            placed + found.free.len() + found.left_out.len() + 1,
            resnet.layers().len()
        );
    }
}

/// Features of 16 bits never stay: the feature buffer has 6000 bits, a map of 4 × 8 × 8 takes 4096. Transfers are in bursts
/// of 64 bits, the DRAM moves 32 bits a cycle and the buffer 128.
fn narrow() -> Profile {
    let mut profile = profile(vec![engine(
        "array",
        500.0,
        8000.0,
        systolic(4, 4, Dataflow::WeightStationary),
    )]);
    let mut main = dram(32);
    main.kind = MemoryKind::Dram { burst_bits: 64 };
    profile.memories = vec![
        buffer(
            "weight-buffer",
            1 << 20,
            1 << 20,
            &[TensorKind::Weights, TensorKind::Indices],
        ),
        buffer(
            "feature-buffer",
            6000,
            128,
            &[TensorKind::Inputs, TensorKind::Outputs],
        ),
        main,
    ];
    profile
}

fn dense(layer: &Layer) -> LayerSetting<'static> {
    let _ = layer;
    LayerSetting {
        weights: Weights::Density(1.0),
        weight_bits: 16,
        activation_density: 1.0,
        activation_bits: None,
        mapping: None,
    }
}

fn run(network: &Network, profile: &Profile, fusion: Fusion) -> NetworkCost {
    network_fused(network, profile, 1, Pick::Latency, fusion, &dense).expect("a cost")
}

fn moved(layer: &NetworkLayer, memory: &str, tensor: TensorKind) -> (u64, u64) {
    let traffic = &layer.outcome.cost.traffic;
    let at = traffic.iter().find(|t| t.memory == memory && t.tensor == tensor);
    at.map_or((0, 0), |t| (t.read_bits, t.write_bits))
}

/// A map of 4 × 8 × 8 · 16 bits is 4096 bits, pooled 1024.
#[test]
fn a_fused_pool_stores_the_pooled_map() {
    let network = net(&[
        ("conv", conv(4, 1), &["image"]),
        ("pool", pool(2), &["conv"]),
        ("conv2", conv(4, 1), &["pool"]),
    ]);
    let profile = narrow();
    let stored = |fusion, layer: usize, memory| {
        moved(
            &run(&network, &profile, fusion).layers[layer],
            memory,
            TensorKind::Outputs,
        )
    };
    for fusion in [Fusion::Ideal, Fusion::None, Fusion::Elementwise] {
        assert_eq!(stored(fusion, 0, "dram"), (0, 4096), "{fusion:?}");
    }
    let full = run(&network, &profile, Fusion::Full);
    assert_eq!(full.layers.len(), 2);
    assert_eq!(full.layers[0].fused, ["pool"]);
    // what leaves is at most half of the buffer: it stays there, and the second convolution finds it there
    assert_eq!(
        moved(&full.layers[0], "feature-buffer", TensorKind::Outputs),
        (0, 1024)
    );
    assert_eq!(stored(Fusion::Full, 0, "dram"), (0, 0));
    assert_eq!(moved(&full.layers[1], "dram", TensorKind::Inputs), (0, 0));
    // where it does not, the store reads it once more
    let last = net(&[("conv", conv(4, 1), &["image"]), ("pool", pool(2), &["conv"])]);
    let full = run(&last, &profile, Fusion::Full);
    assert_eq!(
        moved(&full.layers[0], "feature-buffer", TensorKind::Outputs),
        (1024, 1024)
    );
    assert_eq!(moved(&full.layers[0], "dram", TensorKind::Outputs), (0, 1024));
}

/// The other operand is read once at the array's edge, and before that loaded, written and kept like an input.
#[test]
fn a_fused_add_reads_its_other_operand() {
    let network = net(&[
        ("conv", conv(4, 1), &["image"]),
        ("add", Op::Add, &["conv", "image"]),
    ]);
    let profile = narrow();
    let none = run(&network, &profile, Fusion::None);
    let full = run(&network, &profile, Fusion::Full);
    let inputs =
        |cost: &NetworkCost, layer: usize, memory| moved(&cost.layers[layer], memory, TensorKind::Inputs);
    // alone: the sum reads both operands, the convolution its input
    assert_eq!(
        (inputs(&none, 0, "dram"), inputs(&none, 1, "dram")),
        ((4096, 0), (8192, 0))
    );
    assert_eq!(inputs(&full, 0, "dram"), (8192, 0));
    let [alone, fused] = [&none, &full].map(|cost| inputs(cost, 0, "feature-buffer"));
    assert_eq!((fused.0, fused.1), (alone.0 + 4096, alone.1 + 4096));
    // with room the operand stays on chip: it takes no DRAM and is read at the buffer
    let mut roomy = narrow();
    roomy.memories[1] = buffer(
        "feature-buffer",
        1 << 20,
        128,
        &[TensorKind::Inputs, TensorKind::Outputs],
    );
    let network = net(&[
        ("a", conv(4, 1), &["image"]),
        ("b", conv(4, 1), &["a"]),
        ("add", Op::Add, &["b", "a"]),
        ("c", conv(4, 1), &["add"]),
    ]);
    let [none, full] = [Fusion::None, Fusion::Full].map(|fusion| run(&network, &roomy, fusion));
    assert_eq!(
        (inputs(&none, 2, "dram"), inputs(&full, 1, "dram")),
        ((0, 0), (0, 0))
    );
    assert_eq!(inputs(&none, 2, "feature-buffer"), (8192, 0));
    assert_eq!(
        inputs(&full, 1, "feature-buffer").0,
        inputs(&none, 1, "feature-buffer").0 + 4096
    );
}

/// A pool that reads 4096 bits and writes 1024 in its four rows: 1024 and 256 bits each. DRAM to buffer takes 32 cycles a
/// row, the array's edge (1024 + 256) / 128 = 10, the way out 8. The first load stands alone (32), then each step takes
/// the longest of 10 at the buffer and the next load with the last store at the DRAM: 32, 32 + 8, 32 + 8, then the last
/// row's edge beside the third store, 10; the last store 8. In all 32 + 32 + 40 + 40 + 10 + 8 = 162.
#[test]
fn a_pool_alone_by_hand() {
    let network = net(&[("conv", conv(4, 1), &["image"]), ("pool", pool(2), &["conv"])]);
    let profile = narrow();
    let cost = run(&network, &profile, Fusion::None);
    let pool = &cost.layers[1];
    let found = &pool.outcome.cost;
    assert_eq!((pool.name.as_str(), found.engine.as_str()), ("pool", MEMORY));
    assert_eq!(found.cycles, 162);
    assert_eq!(found.causes.total(), Ok(162));
    assert_eq!(found.causes.stall_inputs + found.causes.stall_outputs, 162);
    assert_eq!(
        (found.macs, found.stored.weights, found.utilisation.to_bits()),
        (0, 0, 0)
    );
    assert_eq!(moved(pool, "dram", TensorKind::Inputs), (4096, 0));
    assert_eq!(moved(pool, "dram", TensorKind::Outputs), (0, 1024));
    assert_eq!(moved(pool, "feature-buffer", TensorKind::Inputs), (4096, 4096));
    assert_eq!(moved(pool, "feature-buffer", TensorKind::Outputs), (1024, 1024));
    // 5120 bits at 4 pJ; each moves in and out of the buffer: read at 0.05, written at 0.06 pJ
    assert!((found.energy.dram - 5120.0 * 4.0).abs() < 1e-9);
    assert!((found.energy.buffer - 5120.0 * 0.11).abs() < 1e-9);
    assert_eq!(found.energy.mac.to_bits(), 0);
    // 500 MHz, the clock of the profile's first engine
    assert!((found.seconds - 162.0 / 500e6).abs() < 1e-15);
}

/// An embedding reads one row of its table for each token, 8 features of 16 bits, as weights.
#[test]
fn an_embedding_reads_its_rows() {
    let mut builder = NetworkBuilder::new();
    builder.input("tokens", Shape(vec![6]));
    let table = Op::Embedding {
        vocabulary: 1000,
        features: 8,
    };
    builder.layer("table", table, &["tokens"]);
    builder.layer("fc", linear(4), &["table"]);
    let network = builder.build().expect("a network");
    let cost = run(&network, &narrow(), Fusion::Full);
    assert_eq!(
        moved(&cost.layers[0], "dram", TensorKind::Weights),
        (6 * 8 * 16, 0)
    );
    // 96 bits of tokens are two bursts
    assert_eq!(moved(&cost.layers[0], "dram", TensorKind::Inputs), (128, 0));
}

/// Three maps that stay take more than the buffer in which each may take half: they move through DRAM.
#[test]
fn what_does_not_fit_beside_each_other_moves() {
    let network = net(&[
        ("a", conv(4, 1), &["image"]),
        ("b", conv(4, 1), &["a"]),
        ("c", conv(4, 1), &["b"]),
        ("add", Op::Add, &["c", "a", "b"]),
        ("d", conv(4, 1), &["add"]),
    ]);
    let mut profile = narrow();
    let features = [TensorKind::Inputs, TensorKind::Outputs];
    profile.memories[1] = buffer("feature-buffer", 8500, 128, &features);
    let cost = run(&network, &profile, Fusion::None);
    let add = cost.layers.iter().find(|l| l.name == "add").expect("a row");
    assert!(add.around.input_from_dram && add.around.output_to_dram);
    profile.memories[1] = buffer("feature-buffer", 5 * 4096, 128, &features);
    let cost = run(&network, &profile, Fusion::None);
    let add = cost.layers.iter().find(|l| l.name == "add").expect("a row");
    assert!(!add.around.input_from_dram && !add.around.output_to_dram);
    // a buffer that holds no piece at all is an error with its numbers
    profile.memories[1] = buffer("feature-buffer", 3, 128, &features);
    let found = network_fused(&network, &profile, 1, Pick::Latency, Fusion::None, &dense);
    assert!(matches!(found, Err(SimulateError::Tile { .. })), "{found:?}");
}

fn dram_bits(layer: &NetworkLayer) -> u64 {
    let traffic = layer.outcome.cost.traffic.iter().filter(|t| t.memory == "dram");
    traffic.map(|t| t.read_bits + t.write_bits).sum()
}

fn all_dram_bits(cost: &NetworkCost) -> u64 {
    cost.layers.iter().map(dram_bits).sum()
}

/// Parts sum to the whole, in every mode.
fn adds_up(cost: &NetworkCost) {
    let costs = || cost.layers.iter().map(|l| &l.outcome.cost);
    for found in costs() {
        assert_eq!(found.causes.total(), Ok(found.cycles));
    }
    assert_eq!(costs().map(|c| c.cycles).sum::<u64>(), cost.cycles);
    assert_eq!(costs().map(|c| c.macs).sum::<u64>(), cost.macs);
    assert_eq!(
        costs().map(|c| c.stored.weights).sum::<u64>(),
        cost.stored.weights
    );
    let energy: f64 = costs().map(|c| c.energy.total()).sum();
    assert!((energy / cost.energy.total() - 1.0).abs() < 1e-9);
}

/// One layer of a random network: what it does and which earlier tensors it reads.
type Plan = Vec<(u8, prop::sample::Index, prop::sample::Index)>;

/// Maps of 4 channels and of one size each, so that any two of a size may be added; all ends are joined at last.
fn random(plan: &Plan) -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("x0", Shape(vec![4, 8, 8]));
    let mut sizes = vec![8usize];
    let mut read = vec![false];
    for (i, (kind, at, other)) in plan.iter().enumerate() {
        let a = at.index(sizes.len());
        let alike: Vec<usize> = (0..sizes.len()).filter(|&j| sizes[j] == sizes[a]).collect();
        let b = alike[other.index(alike.len())];
        let (op, inputs, size) = match kind % 8 {
            0..=2 => (conv(4, 3), vec![a], sizes[a]),
            3 => (NORM, vec![a], sizes[a]),
            4 => (RELU, vec![a], sizes[a]),
            5 if sizes[a] >= 4 => (pool(2), vec![a], sizes[a] / 2),
            6 => (Op::Dropout { rate: 0.1 }, vec![a], sizes[a]),
            _ => (Op::Add, vec![a, b], sizes[a]),
        };
        let names: Vec<String> = inputs.iter().map(|j| format!("x{j}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        builder.layer(&format!("x{}", i + 1), op, &names);
        for j in inputs {
            read[j] = true;
        }
        sizes.push(size);
        read.push(false);
    }
    let mut ends = Vec::new();
    for j in (0..sizes.len()).filter(|&j| !read[j]) {
        builder.layer(&format!("g{j}"), Op::GlobalAveragePool, &[&format!("x{j}")]);
        ends.push(format!("g{j}"));
    }
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    if ends.len() > 1 {
        builder.layer("ends", Op::Concat { axis: 0 }, &ends);
    }
    let last = if ends.len() > 1 { "ends" } else { ends[0] };
    builder.layer("fc", linear(3), &[last]);
    builder.build().expect("a network")
}

prop_compose! {
    /// Small buffers, apart or shared, and narrow ports.
    fn any_profile()(
        weights in 700u64..12_000,
        features in 2000u64..40_000,
        port in 1u64..300,
        dram_port in 1u64..200,
        burst in prop::sample::select(vec![1u64, 64, 512]),
        double in any::<[bool; 2]>(),
        shared in any::<bool>(),
    ) -> Profile {
        let mut profile = profile(vec![
            engine("dense", 500.0, 9000.0, systolic(4, 4, Dataflow::WeightStationary)),
            engine("sparse", 400.0, 9000.0, EngineKind::Slices(slices(8))),
        ]);
        let kinds = [
            [TensorKind::Weights, TensorKind::Indices],
            [TensorKind::Inputs, TensorKind::Outputs],
        ];
        let mut main = dram(dram_port);
        main.kind = MemoryKind::Dram { burst_bits: burst };
        let mut memories = if shared {
            vec![buffer("buffer", weights + features, port, &kinds.concat())]
        } else {
            vec![buffer("weights", weights, port, &kinds[0]), buffer("features", features, port, &kinds[1])]
        };
        for (memory, wanted) in memories.iter_mut().zip(double) {
            if let MemoryKind::Buffer { double_buffered, .. } = &mut memory.kind {
                *double_buffered = wanted;
            }
        }
        memories.push(main);
        profile.memories = memories;
        profile
    }
}

proptest! {
    #![proptest_config(common::cases(300))]

    /// Every layer has one place; what a step reads is made before it; fusing never moves more DRAM bits, changes no
    /// multiplication and adds up.
    #[test]
    fn fusing_never_moves_more(
        plan in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..14),
        profile in any_profile(),
        density in 0.05..1.0f64,
        batch in 1..4u64,
        pick in prop::sample::select(vec![Pick::Latency, Pick::Energy]),
    ) {
        let net = random(&plan);
        for fusion in MODES {
            let found = fuse(&net, fusion);
            let mut made = vec![net.input()];
            let mut placed: Vec<_> = found.free.iter().chain(&found.left_out).copied().collect();
            for step in &found.steps {
                prop_assert!(step.reads.iter().chain(&step.added).all(|t| made.contains(t)));
                made.push(step.makes);
                placed.push(step.head);
                placed.extend(&step.fused);
            }
            placed.sort_unstable();
            placed.dedup();
            prop_assert_eq!(placed.len() + 1, net.layers().len());
        }
        let setting = |_: &Layer| LayerSetting { weights: Weights::Density(density), ..dense(net.layer(net.output())) };
        let run = |fusion| network_fused(&net, &profile, batch, pick, fusion, &setting);
        let Ok(none) = run(Fusion::None) else { return Ok(()) };
        adds_up(&none);
        for fusion in [Fusion::Elementwise, Fusion::Full] {
            let fused = run(fusion).expect("what runs in parts runs fused, or in parts");
            adds_up(&fused);
            prop_assert!(all_dram_bits(&fused) <= all_dram_bits(&none), "{:?} {} {}", fusion, all_dram_bits(&fused), all_dram_bits(&none));
            let total = Estimator::new(&net, &profile, batch, pick).fused(fusion).total(&setting);
            prop_assert_eq!(total, Ok(Total::from(&fused)));
        }
        if let Ok(ideal) = run(Fusion::Ideal) {
            prop_assert_eq!(network(&net, &profile, batch, pick, &setting), Ok(ideal));
        }
    }
}

/// On shipped networks and profiles each mode moves no more than the one before it, and multiplies as much.
#[test]
fn shipped_networks_move_less_the_more_is_fused() {
    for shipped in zoo::list() {
        let profile = shipped.profile().expect("it is valid");
        for name in ["lenet5", "alexnet", "resnet18"] {
            let net = Workload::find(name).expect("it is shipped").network;
            let setting = |layer: &Layer| LayerSetting {
                weight_bits: profile.weight_bits,
                ..dense(layer)
            };
            let costs = MODES.map(|fusion| {
                network_fused(&net, &profile, 1, Pick::Energy, fusion, &setting).expect("a cost")
            });
            for cost in &costs {
                adds_up(cost);
            }
            let bits = costs.each_ref().map(all_dram_bits);
            println!("{name} on {}: DRAM bits {bits:?}", profile.name);
            assert!(
                bits[1] >= bits[2] && bits[2] >= bits[3],
                "{name} on {}: {bits:?}",
                profile.name
            );
            // with one engine no layer changes its own
            if profile.engines.len() == 1 {
                assert!(costs.iter().all(|c| c.macs == costs[0].macs), "{name}");
            }
        }
    }
}
