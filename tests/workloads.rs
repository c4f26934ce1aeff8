//! The workloads that come with the program, against published counts.
#![allow(clippy::print_stdout)] // a skipped comparison and a measured time are told to whoever runs the tests

use cosparse::document::{Source, write_schema};
use cosparse::network::workload::{DataFormat, OptimiserSpec, ScheduleSpec, TrainingSpec, WorkloadFile};
use cosparse::network::{Network, Workload, zoo};
use std::collections::BTreeMap;

fn workload(name: &str) -> Workload {
    let source = zoo::find(name).expect("a shipped workload");
    Workload::from_source(&source).unwrap_or_else(|faults| panic!("{:?}", miette::Report::new(faults)))
}

fn weights_of(network: &Network) -> Vec<(&str, usize)> {
    network
        .weighted()
        .map(|l| (l.name.as_str(), l.weights()))
        .collect()
}

fn macs_of(network: &Network, layer: &str) -> u64 {
    let id = network.find(layer).expect("a layer of this name");
    network.layer(id).nest.map_or(0, |n| n.macs())
}

#[test]
fn every_shipped_workload_is_valid_and_named_as_its_file() {
    for (name, _) in zoo::list() {
        let workload = workload(name);
        assert_eq!(workload.name, *name);
        let published = workload.baseline.map(|b| b.accuracy);
        // networks made for this program have no published accuracy, embeddings none of their own
        let own = ["vgg-like", "text-transformer", "minilm-l6"].contains(name);
        assert!(published.map_or(own, |a| a > 0.5), "{name}: {published:?}");
    }
    assert!(zoo::find("lenet6").is_none());
}

/// arXiv:1804.03294, Table 1.
#[test]
fn lenet_300_100_has_266_200_weights() {
    let network = workload("lenet-300-100").network;
    assert_eq!(
        weights_of(&network),
        [("fc1", 235_200), ("fc2", 30_000), ("fc3", 1_000)]
    );
    assert_eq!(network.weights(), 266_200);
    assert_eq!(network.parameters(), 266_200 + 410);
}

/// arXiv:1804.03294, Table 2. Work: conv1 24·24·500, conv2 8·8·25,000, fc as its weights.
#[test]
fn lenet5_has_430_500_weights() {
    let network = workload("lenet5").network;
    assert_eq!(
        weights_of(&network),
        [
            ("conv1", 500),
            ("conv2", 25_000),
            ("fc1", 400_000),
            ("fc2", 5_000)
        ]
    );
    assert_eq!(network.weights(), 430_500);
    assert_eq!(network.macs(), 576 * 500 + 64 * 25_000 + 405_000);
}

/// Weights: arXiv:1812.11677, Table 7 (FC layers rounded there). Work: the same paper's Table 8 counts a
/// multiply-accumulate as two operations and rounds to a million.
#[test]
fn alexnet_has_the_published_weights_and_work() {
    let network = workload("alexnet").network;
    let conv = [
        ("conv1", 34_848),
        ("conv2", 307_200),
        ("conv3", 884_736),
        ("conv4", 663_552),
        ("conv5", 442_368),
    ];
    let fc = [("fc1", 37_748_736), ("fc2", 16_777_216), ("fc3", 4_096_000)];
    assert_eq!(weights_of(&network), [&conv[..], &fc[..]].concat());
    assert!(
        network.weights().abs_diff(60_900_000) < 100_000,
        "{}",
        network.weights()
    );
    for (layer, macs, published) in [
        ("conv1", 105_415_200, 211),
        ("conv2", 223_948_800, 448),
        ("conv3", 149_520_384, 299),
        ("conv4", 112_140_288, 224),
        ("conv5", 74_760_192, 150),
        ("fc1", 37_748_736, 75),
        ("fc2", 16_777_216, 34),
        ("fc3", 4_096_000, 8),
    ] {
        assert_eq!(macs_of(&network, layer), macs, "{layer}");
        assert!(
            (2 * macs).abs_diff(published * 1_000_000) <= 1_000_000,
            "{layer}: {macs}"
        );
    }
}

/// Simonyan and Zisserman, arXiv:1409.1556, Table 2: 138 million parameters; 15.5 billion multiply-accumulates.
#[test]
fn vgg16_has_138_million_parameters() {
    let network = workload("vgg16").network;
    assert_eq!(network.parameters(), 138_357_544);
    assert_eq!(network.macs(), 15_470_264_320);
}

/// torchvision's model table: 11,689,512 parameters, 1.81 GMACs.
#[test]
fn resnet18_has_11_69_million_parameters() {
    let network = workload("resnet18").network;
    assert_eq!(network.parameters(), 11_689_512);
    assert!(
        network.macs().abs_diff(1_814_000_000) < 1_000_000,
        "{}",
        network.macs()
    );
    assert_eq!(network.weighted().count(), 21);
}

/// He et al., arXiv:1512.03385, Table 6: 0.27 million parameters. Shortcuts are 1 x 1 convolutions (option B) and carry
/// 2,560 weights and two normalisations. Work: 3x3 convolutions of each stage at 32², 16² and 8² positions.
#[test]
fn resnet20_has_0_27_million_parameters() {
    let network = workload("resnet20").network;
    let weights = 432 + 6 * 2_304 + (4_608 + 5 * 9_216) + (18_432 + 5 * 36_864) + 512 + 2_048 + 640;
    assert_eq!(network.weights(), weights);
    assert_eq!(network.parameters(), weights + 10 + 2 * 784);
    let macs = (432 + 6 * 2_304) * 1_024
        + (4_608 + 5 * 9_216 + 512) * 256
        + (18_432 + 5 * 36_864 + 2_048) * 64
        + 640;
    assert_eq!(network.macs(), macs as u64);
}

/// 3x3 convolutions of 32, 32, 64, 64, 128 and 128 channels in three stages, and one linear layer of 4 x 4 x 128.
#[test]
fn vgg_like_has_38_million_macs() {
    let network = workload("vgg-like").network;
    let conv = [864, 9_216, 18_432, 36_864, 73_728, 147_456];
    assert_eq!(network.weights(), conv.iter().sum::<usize>() + 20_480);
    let macs = (864 + 9_216) * 1_024 + (18_432 + 36_864) * 256 + (73_728 + 147_456) * 64 + 20_480;
    assert_eq!(network.macs(), macs);
}

/// Two layers of 4 d² weights of attention and 2 d f of the network behind it, d = 128 and f = 256, and the classifier;
/// every product of activations takes T² d multiplications.
#[test]
fn text_transformer_has_two_layers() {
    let network = workload("text-transformer").network;
    let (d, f, t) = (128, 256, 56);
    let layer = 4 * d * d + 2 * d * f;
    assert_eq!(network.weights(), 2 * layer + 2 * d);
    assert_eq!(network.macs(), (2 * (t * layer + 2 * t * t * d) + 2 * d) as u64);
}

/// config.json of all-MiniLM-L6-v2: hidden 384, intermediate 1,536, six layers, 30,522 pieces. A published file of 22.7 M
/// values holds 512 positions, two token types and a pooler besides.
#[test]
fn minilm_has_22_6_million_parameters() {
    let network = workload("minilm-l6").network;
    let (d, f, layers) = (384, 1536, 6);
    assert_eq!(network.weights(), layers * (4 * d * d + 2 * d * f));
    let vectors = layers * (4 * d + f + d + 4 * d) + 2 * d;
    let published = network.parameters() + (512 - 64) * d + 2 * d + d * d + d;
    assert_eq!(
        network.parameters(),
        network.weights() + vectors + (30_522 + 64) * d
    );
    assert_eq!(published, 22_713_216);
}

/// torchvision's model table: 25,557,032 parameters, 4.09 GMACs.
#[test]
fn resnet50_has_25_56_million_parameters() {
    let network = workload("resnet50").network;
    assert_eq!(network.parameters(), 25_557_032);
    assert!(
        network.macs().abs_diff(4_089_000_000) < 1_000_000,
        "{}",
        network.macs()
    );
    assert_eq!(network.weighted().count(), 54);
}

/// The recipe by which LeNet-5's dense baseline is trained: Adam, batch 128, 9 epochs, peak 2e-3 after 10 % of
/// the steps, cosine to 0, shifts of 2 pixels; 55,000 images train and 5,000 validate.
#[test]
fn lenet5_names_its_data_and_training() {
    let workload = workload("lenet5");
    let data = workload.data.expect("MNIST");
    assert_eq!(
        (data.format, data.directory.as_str(), data.validation),
        (DataFormat::Idx, "data/mnist", 5_000)
    );
    let expected = TrainingSpec {
        optimiser: OptimiserSpec::Adam,
        epochs: 9,
        batch: 128,
        learning_rate: 2e-3,
        weight_decay: 5e-5,
        schedule: ScheduleSpec::Cosine,
        warm_up: 0.1,
        augment_shift: 2,
        augment_flip: false,
        seed: 1,
    };
    assert_eq!(workload.training, Some(expected));
}

/// The schema that editors use is the one the program checks. `UPDATE_SCHEMAS=1` writes it anew.
#[test]
fn the_schema_file_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads/schema.json");
    let schema = write_schema::<WorkloadFile>();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(path, &schema).expect("writing the schema");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == schema,
        "workloads/schema.json is out of date: run the tests with UPDATE_SCHEMAS=1 and look at the change"
    );
}

/// Output shapes that ONNX's shape inference found for torchvision's exported networks.
#[test]
fn resnet_shapes_are_those_of_the_exported_networks() {
    for (name, file) in [("resnet18", "resnet18_ts"), ("resnet50", "resnet50_ts")] {
        let path = format!(
            "{}/../shared/data/onnx/{file}.shapes.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let Ok(text) = std::fs::read_to_string(path) else {
            println!("skipped: ../shared not found");
            return;
        };
        let shapes: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&text).expect("a table of shapes");
        let network = workload(name).network;
        let mut compared = 0;
        for (_, layer) in network.layers() {
            // `/layer1/layer1.0/conv1/Conv_output_0` is the output of `layer1.0.conv1`
            let module = match layer.name.split_once('.') {
                Some((stage, rest)) => {
                    let (block, rest) = rest.split_once('.').expect("stage.block.layer");
                    let rest = rest.replace("downsample.", "downsample/downsample.");
                    format!("/{stage}/{stage}.{block}/{rest}/")
                }
                None => format!("/{}/", layer.name),
            };
            let Some(shape) = shapes
                .iter()
                .find(|(k, _)| k.starts_with(&module) && k.contains("Conv_output_0"))
            else {
                continue;
            };
            let axes: Vec<usize> = serde_json::from_value(shape.1.clone()).expect("a list of axes");
            assert_eq!(axes[1..], layer.output.0, "{name} {}", layer.name);
            compared += 1;
        }
        assert_eq!(
            compared,
            network.weighted().count() - 1,
            "every convolution of {name} is compared"
        );
    }
}

/// Reading the longest shipped file is a matter of milliseconds in an optimised build; the bound here leaves room
/// for unoptimised ones on busy machines.
#[test]
fn resnet50_is_read_quickly() {
    let source = zoo::find("resnet50").expect("a shipped workload");
    let best = (0..5).map(|_| {
        let start = std::time::Instant::now();
        let workload = Workload::from_source(&source).expect("valid");
        assert_eq!(workload.name, "resnet50");
        start.elapsed()
    });
    let best = best.min().expect("five runs");
    println!("resnet50 is read in {best:?}");
    assert!(best.as_millis() < 100, "{best:?}");
}

/// Activation densities are read with their source, layers without one are dense; the optional training keys of
/// `sgd` and of the `step` schedule reach the checked form.
#[test]
fn densities_and_step_schedules_are_read() {
    let text = r#"
name = "net"
description = "a test"
source = "made up"
input = { shape = [3, 9, 9] }

[training]
optimiser = "sgd"
epochs = 90
batch = 256
learning-rate = 1e-1
schedule = "step"
step-epochs = 30
step-factor = 0.1

[[layer]]
name = "conv1"
op = "conv"
out-channels = 4
kernel = [3, 5]
stride = [2, 1]
padding = [1, 0, 2, 2]

[[layer]]
name = "conv2"
op = "conv"
out-channels = 2
kernel = 1
activation-density = 0.25
activation-source = "counted on ten images"
"#;
    let workload = Workload::from_source(&Source::new("net.toml", text)).expect("valid");
    let network = &workload.network;
    let layer = |name: &str| network.layer(network.find(name).expect("a layer of this name"));
    // rows: (1 + 9 + 0 - 3) / 2 + 1 = 4; columns: (2 + 9 + 2 - 5) / 1 + 1 = 9
    assert_eq!(layer("conv1").output.0, [4, 4, 9]);
    assert!((workload.activation_density(layer("conv1")) - 1.0).abs() < f64::EPSILON);
    assert!((workload.activation_density(layer("conv2")) - 0.25).abs() < f64::EPSILON);
    assert_eq!(workload.activations["conv2"].source, "counted on ten images");
    let training = workload.training.expect("a training table");
    assert_eq!(training.optimiser, OptimiserSpec::Sgd { momentum: 0.9 });
    assert_eq!(
        training.schedule,
        ScheduleSpec::Step {
            epochs: 30,
            factor: 0.1
        }
    );
}

/// A large file full of faults is refused in a moment, and so is one that nests without end.
#[test]
fn hostile_files_are_refused_quickly() {
    let head = "name = \"n\"\ndescription = \"\"\nsource = \"s\"\ninput = { shape = [3, 9, 9] }\n";
    let layers: Vec<String> = (0..20_000)
        .map(|i| {
            format!(
                "[[layer]]\nname = \"layer{i}\"\nop = \"flatten\"\ninput = \"layr{}\"\n",
                i + 1
            )
        })
        .collect();
    let nested = format!("name = {}1{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let dotted = format!("{}name = 1\n", "input.".repeat(100_000));
    let start = std::time::Instant::now();
    for text in [format!("{head}{}", layers.concat()), nested, dotted] {
        let faults = Workload::from_source(&Source::new("net.toml", text))
            .expect_err("faults")
            .faults;
        assert!((1..=50).contains(&faults.len()), "{}", faults.len());
    }
    println!("refused in {:?}", start.elapsed());
    assert!(start.elapsed().as_secs() < 20);
}
