//! From which pruned portion on a sparse engine is faster than a dense one of the same area.
//!
//! `cargo run --release --example break_even`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use cosparse::network::Workload;
use cosparse::simulate::break_even::{Pair, curve};
use cosparse::simulate::{ActivationBits, LayerWork, Weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let alexnet = Workload::find("alexnet")?;
    let profile = cosparse::hardware::zoo::find("admm-nn-40nm")
        .ok_or("no such profile")?
        .profile()?;
    let conv4 = alexnet
        .network
        .layer(alexnet.network.find("conv4").ok_or("no such layer")?);
    let work = LayerWork {
        name: &conv4.name,
        nest: conv4.nest.ok_or("conv4 multiplies")?,
        weights: Weights::Density(1.0),
        weight_bits: profile.weight_bits,
        activation_bits: ActivationBits::all(profile.activation_bits),
        activation_density: 1.0,
        input_elements: 0, // the arrays alone are compared, every operand at hand
        output_elements: 0,
        input_from_dram: false,
        output_to_dram: false,
        output_density: 1.0,
        mapping: None,
        fused: None,
    };
    let curve = curve(&work, &profile, Pair { dense: 0, sparse: 1 }, &[0.3, 0.6, 0.9])?;
    for point in &curve.points {
        println!(
            "{:.0} % pruned: {:.2} times as fast",
            100.0 * point.pruned_portion,
            point.speedup
        );
    }
    println!("break-even: {:?}", curve.crossing);
    Ok(())
}
