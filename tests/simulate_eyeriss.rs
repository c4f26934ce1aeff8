//! Eyeriss on the convolutions of `AlexNet`, batch 4, against the chip's measurements (Chen et al., JSSC 2017, Table V).
#![allow(clippy::print_stdout)] // the figures are told to whoever runs the tests

use cosparse::document::Source;
use cosparse::hardware::{Profile, TensorKind, zoo};
use cosparse::network::{Layer, Workload};
use cosparse::simulate::{
    LayerCost, LayerSetting, LayerWork, Mapping, Mappings, Pick, Weights, array, layer_on, network,
};

const LAYERS: [&str; 5] = ["conv1", "conv2", "conv3", "conv4", "conv5"];
/// Portions of zeros in the inputs of the layers, and as many in what the last one writes as in what it reads.
const ZEROS: [f64; 6] = [0.0001, 0.387, 0.725, 0.793, 0.776, 0.776];
const LATENCY_MS: [f64; 5] = [16.5, 39.2, 21.8, 16.0, 10.0];
const ACTIVE_PES: [u64; 5] = [154, 135, 156, 156, 156];
const BUFFER_MB: [f64; 5] = [18.5, 77.6, 50.2, 37.4, 24.9];
const DRAM_MB: [f64; 5] = [5.0, 4.0, 3.0, 2.1, 1.3];
const POWER_MW: [f64; 5] = [332.0, 288.0, 266.0, 235.0, 236.0];

fn eyeriss() -> Profile {
    zoo::find("eyeriss-65nm")
        .expect("shipped")
        .profile()
        .expect("valid")
}

fn pinned() -> Mappings {
    let text = include_str!("../workloads/mappings/alexnet-eyeriss.toml");
    Mappings::from_source(&Source::new("alexnet-eyeriss.toml", text)).expect("valid")
}

/// Runs `each` on the five layers, their features in DRAM, as on the chip.
fn each_layer(mut each: impl FnMut(usize, &LayerWork)) {
    let alexnet = Workload::find("alexnet").expect("shipped").network;
    for (i, name) in LAYERS.into_iter().enumerate() {
        let layer = alexnet.layer(alexnet.find(name).expect("a layer"));
        let input = alexnet.layer(layer.inputs[0]);
        let work = LayerWork {
            name,
            nest: layer.nest.expect("multiplies").batch(4),
            weights: Weights::Density(1.0),
            weight_bits: 16,
            activation_bits: 16,
            activation_density: 1.0 - ZEROS[i],
            output_density: 1.0 - ZEROS[i + 1],
            input_elements: input.output.elements() as u64,
            output_elements: layer.output.elements() as u64,
            input_from_dram: true,
            output_to_dram: true,
            mapping: None,
        };
        each(i, &work);
    }
}

fn traffic(cost: &LayerCost, memory: &str, bits: impl Fn(TensorKind, u64, u64) -> u64) -> f64 {
    let at = cost.traffic.iter().filter(|t| t.memory == memory);
    at.map(|t| bits(t.tensor, t.read_bits, t.write_bits)).sum::<u64>() as f64 / 8e6
}

/// What the paper counts as buffer traffic: inputs read, partial sums written and read; not the filling with inputs.
fn buffer_mb(cost: &LayerCost) -> f64 {
    traffic(cost, "global-buffer", |tensor, read, written| {
        if tensor == TensorKind::Outputs {
            read + written
        } else {
            read
        }
    })
}

fn dram_mb(cost: &LayerCost) -> f64 {
    traffic(cost, "dram", |_, read, written| read + written)
}

/// Power of the chip alone, without DRAM, while it processes.
fn power_mw(cost: &LayerCost, profile: &Profile, seconds: f64) -> f64 {
    let e = &cost.energy;
    let dynamic = e.mac + e.register.expect("modelled") + e.network.expect("modelled") + e.buffer;
    let constant = profile.energy.leakage.as_ref().expect("modelled").value.value();
    dynamic * 1e-9 / seconds + constant
}

#[test]
fn the_chips_mapping_gives_the_chips_figures() {
    let (profile, mappings) = (eyeriss(), pinned());
    let (mut processing, mut total) = (0.0, 0.0);
    println!("layer  latency ms        active PEs  buffer MB         DRAM MB           power mW");
    each_layer(|i, work| {
        let pinned = *mappings.layers.get(work.name).expect("a mapping");
        let Mapping::RowStationary(mapping) = pinned else {
            panic!("the chip's mapping is row-stationary")
        };
        let work = LayerWork {
            mapping: Some(pinned),
            ..*work
        };
        let run = array(&work, &profile, 0, None).expect("a run");
        let cost = layer_on(&work, &profile, 0).expect("a cost");
        assert_eq!(run.causes.total(), Ok(run.cycles));
        assert_eq!(cost.causes.total(), Ok(cost.cycles));
        let seconds = run.cycles as f64 / 200e6;
        let pes = mapping.active_pes(&work.nest).expect("small");
        let figures = [
            ("latency", 1e3 * seconds, LATENCY_MS[i], 0.10),
            ("buffer", buffer_mb(&cost), BUFFER_MB[i], 0.02),
            ("DRAM", dram_mb(&cost), DRAM_MB[i], 0.20),
            ("power", power_mw(&cost, &profile, seconds), POWER_MW[i], 0.10),
        ];
        let cell = |k: usize| {
            let (_, model, paper, _) = figures[k];
            format!("{model:6.2}/{paper} ({:+.1} %)", 100.0 * (model / paper - 1.0))
        };
        println!(
            "{} {} {pes}/{} {} {} {}; total {:.1} ms",
            work.name,
            cell(0),
            ACTIVE_PES[i],
            cell(1),
            cell(2),
            cell(3),
            1e3 * cost.seconds
        );
        processing += seconds;
        total += cost.seconds;
        assert_eq!(pes, ACTIVE_PES[i], "{}", work.name);
        for (what, model, paper, tolerance) in figures {
            assert!(
                (model / paper - 1.0).abs() < tolerance,
                "{} {what}: {model} for {paper}",
                work.name
            );
        }
    });
    println!(
        "processing {:.1} ms, with input loads {:.1} ms",
        1e3 * processing,
        1e3 * total
    );
}

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
