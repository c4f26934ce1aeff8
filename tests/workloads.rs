//! The workloads that come with the program, against published counts.

use cosparse::network::{Network, Workload, zoo};

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
        let accuracy = workload.baseline.map_or(0.0, |b| b.accuracy);
        assert!(accuracy > 0.5, "{name}: {accuracy}");
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
