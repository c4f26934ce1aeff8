//! Eyeriss' row-stationary array on large networks, its mapping pinned and free. The chip's published figures are held by
//! `tests/fidelity.rs`.
#![allow(clippy::print_stdout)] // the figures are told to whoever runs the tests

#[allow(dead_code, reason = "the figures are compared in tests/fidelity.rs")]
#[path = "fidelity/chip.rs"]
mod chip;

use chip::{buffer_mb, dram_mb, each_layer, eyeriss, pinned};
use cosparse::network::{Layer, Workload};
use cosparse::simulate::{LayerSetting, LayerWork, Pick, Weights, array, layer_on, network};

#[test]
fn the_free_mapper_is_never_slower_than_the_chip() {
    let (profile, mappings) = (eyeriss(), pinned());
    each_layer(|_, work| {
        let chip = LayerWork {
            mapping: mappings.layers.get(work.name).copied(),
            ..*work
        };
        let on_chip = array(&chip, &profile, 0, None).expect("a run");
        let free = array(work, &profile, 0, None).expect("a run");
        let cost = layer_on(work, &profile, 0).expect("a cost");
        println!(
            "{}: {} for the chip's {} cycles ({:+.1} %), buffer {:.1} MB, DRAM {:.2} MB: {}",
            work.name,
            free.cycles,
            on_chip.cycles,
            100.0 * (free.cycles as f64 / on_chip.cycles as f64 - 1.0),
            buffer_mb(&cost),
            dram_mb(&cost),
            free.mapping.expect("chosen").word
        );
        assert!(free.cycles <= on_chip.cycles, "{}", work.name);
        // the same question, the same answer
        assert_eq!(array(work, &profile, 0, None).expect("a run").cycles, free.cycles);
    });
}

#[test]
fn every_layer_of_the_large_networks_has_a_mapping() {
    let profile = eyeriss();
    for (name, batch) in [
        ("alexnet", 1),
        ("alexnet", 4),
        ("vgg16", 1),
        ("resnet18", 1),
        ("resnet50", 1),
    ] {
        let workload = Workload::find(name).expect("shipped");
        let setting = |_: &Layer| LayerSetting {
            weights: Weights::Density(1.0),
            weight_bits: 16,
            activation_density: 1.0,
            activation_bits: None,
            mapping: None,
        };
        let cost = network(&workload.network, &profile, batch, Pick::Latency, &setting).expect("a cost");
        println!("{name}, batch {batch}: {:.1} ms", 1e3 * cost.seconds);
        for layer in &cost.layers {
            let cost = &layer.outcome.cost;
            assert!(
                cost.utilisation > 0.0 && cost.utilisation <= 1.0,
                "{}",
                layer.name
            );
            assert!(cost.mapping.is_some(), "{}", layer.name);
        }
    }
}
