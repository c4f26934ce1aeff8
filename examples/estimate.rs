//! What a network costs on an accelerator, by the weights that are left: cycles and energy, no training.
//!
//! `cargo run --release --example estimate`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use cosparse::network::{Layer, Workload};
use cosparse::simulate::{LayerSetting, Pick, Weights, network};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let alexnet = Workload::find("alexnet")?;
    let profile = cosparse::hardware::zoo::find("zynq-7020")
        .ok_or("no such profile")?
        .profile()?;
    for density in [1.0, 0.5, 0.1] {
        let setting = |_: &Layer| LayerSetting {
            weights: Weights::Density(density),
            weight_bits: profile.weight_bits,
            activation_density: 1.0,
            activation_bits: None,
            mapping: None,
        };
        let cost = network(&alexnet.network, &profile, 1, Pick::Energy, &setting)?;
        let (ms, mj) = (1e3 * cost.seconds, 1e-9 * cost.energy.total());
        println!(
            "{density:.1} of the weights: {} cycles, {ms:.2} ms, {mj:.2} mJ",
            cost.cycles
        );
    }
    Ok(())
}
