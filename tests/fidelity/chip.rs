//! Eyeriss on the convolutions of `AlexNet`, batch 4: the chip's mapping, and what its paper counts.

use cosparse::document::Source;
use cosparse::hardware::{Profile, TensorKind, zoo};
use cosparse::network::Workload;
use cosparse::simulate::{ActivationBits, LayerCost, LayerWork, Mappings, Weights};

pub(crate) const LAYERS: [&str; 5] = ["conv1", "conv2", "conv3", "conv4", "conv5"];
/// Portions of zeros in the inputs of the layers, and as many in what the last one writes as in what it reads.
pub(crate) const ZEROS: [f64; 6] = [0.0001, 0.387, 0.725, 0.793, 0.776, 0.776];
pub(crate) const LATENCY_MS: [f64; 5] = [16.5, 39.2, 21.8, 16.0, 10.0];
pub(crate) const ACTIVE_PES: [u64; 5] = [154, 135, 156, 156, 156];
pub(crate) const BUFFER_MB: [f64; 5] = [18.5, 77.6, 50.2, 37.4, 24.9];
pub(crate) const DRAM_MB: [f64; 5] = [5.0, 4.0, 3.0, 2.1, 1.3];
pub(crate) const POWER_MW: [f64; 5] = [332.0, 288.0, 266.0, 235.0, 236.0];

pub(crate) fn eyeriss() -> Profile {
    zoo::find("eyeriss-65nm")
        .expect("shipped")
        .profile()
        .expect("valid")
}

pub(crate) fn pinned() -> Mappings {
    let text = include_str!("../../workloads/mappings/alexnet-eyeriss.toml");
    Mappings::from_source(&Source::new("alexnet-eyeriss.toml", text)).expect("valid")
}

/// Runs `each` on the five layers, their features in DRAM, as on the chip.
pub(crate) fn each_layer(mut each: impl FnMut(usize, &LayerWork)) {
    let alexnet = Workload::find("alexnet").expect("shipped").network;
    for (i, name) in LAYERS.into_iter().enumerate() {
        let layer = alexnet.layer(alexnet.find(name).expect("a layer"));
        let input = alexnet.layer(layer.inputs[0]);
        let work = LayerWork {
            name,
            nest: layer.nest.expect("multiplies").batch(4),
            weights: Weights::Density(1.0),
            weight_bits: 16,
            activation_bits: ActivationBits::all(16),
            activation_density: 1.0 - ZEROS[i],
            output_density: 1.0 - ZEROS[i + 1],
            input_elements: input.output.elements() as u64,
            output_elements: layer.output.elements() as u64,
            input_from_dram: true,
            output_to_dram: true,
            mapping: None,
            fused: None,
        };
        each(i, &work);
    }
}

fn traffic(cost: &LayerCost, memory: &str, bits: impl Fn(TensorKind, u64, u64) -> u64) -> f64 {
    let at = cost.traffic.iter().filter(|t| t.memory == memory);
    at.map(|t| bits(t.tensor, t.read_bits, t.write_bits)).sum::<u64>() as f64 / 8e6
}

/// What the paper counts as buffer traffic: inputs read, partial sums written and read; not the filling with inputs.
pub(crate) fn buffer_mb(cost: &LayerCost) -> f64 {
    traffic(cost, "global-buffer", |tensor, read, written| {
        if tensor == TensorKind::Outputs {
            read + written
        } else {
            read
        }
    })
}

pub(crate) fn dram_mb(cost: &LayerCost) -> f64 {
    traffic(cost, "dram", |_, read, written| read + written)
}

/// Power of the chip alone, without DRAM, while it processes.
pub(crate) fn power_mw(cost: &LayerCost, profile: &Profile, seconds: f64) -> f64 {
    let e = &cost.energy;
    let dynamic = e.mac + e.register.expect("modelled") + e.network.expect("modelled") + e.buffer;
    let constant = profile.energy.leakage.as_ref().expect("modelled").value.value();
    dynamic * 1e-9 / seconds + constant
}
