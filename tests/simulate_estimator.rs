//! The prepared estimator against the whole simulation of a network: the same totals to the bit.

mod common;

use cosparse::hardware::zoo;
use cosparse::network::{Layer, Workload};
use cosparse::simulate::{Estimator, LayerSetting, Pick, Total, Weights, network};
use proptest::prelude::*;

/// A density that depends on the layer's name, so that layers of one shape differ.
fn density(layer: &Layer, base: f64, spread: f64) -> f64 {
    let salt: u32 = layer
        .name
        .bytes()
        .fold(7, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
    (base + spread * f64::from(salt % 17) / 17.0).clamp(0.005, 1.0)
}

/// Activations at one of these widths, by the layer's name; `None` is the profile's.
fn activation_bits(layer: &Layer, widths: &[Option<u32>]) -> Option<u32> {
    let salt: usize = layer.name.bytes().map(usize::from).sum();
    widths[salt % widths.len()]
}

proptest! {
    #![proptest_config(common::cases(60))]

    #[test]
    fn totals_are_those_of_the_network(
        name in prop::sample::select(vec!["lenet5", "lenet-300-100", "alexnet", "resnet18", "resnet50"]),
        profile in prop::sample::select(vec!["admm-nn-40nm", "tpu-v1-28nm", "eyeriss-65nm", "bitfusion-like-45nm"]),
        (base, spread) in (0.005..1.0f64, prop_oneof![Just(0.0), 0.0..0.5f64]),
        weight_bits in 1..17u32,
        activation_density in 0.1..1.0f64,
        widths in prop_oneof![Just(vec![None]), prop::collection::vec(prop::option::of(1..18u32), 1..5)],
        batch in 1..5u64,
        pick in prop::sample::select(vec![Pick::Latency, Pick::Energy, Pick::EnergyDelay]),
    ) {
        let workload = Workload::find(name).expect("it is shipped");
        let profile = zoo::find(profile).expect("it is shipped").profile().expect("it is valid");
        let setting = |layer: &Layer| LayerSetting {
            weights: Weights::Density(density(layer, base, spread)),
            weight_bits,
            activation_density,
            activation_bits: activation_bits(layer, &widths),
            mapping: None,
        };
        let estimator = Estimator::new(&workload.network, &profile, batch, pick);
        let whole = network(&workload.network, &profile, batch, pick, &setting);
        let total = estimator.total(&setting);
        match (whole, total) {
            (Ok(whole), Ok(total)) => prop_assert_eq!(Total::from(&whole), total),
            (Err(whole), Err(total)) => prop_assert_eq!(whole, total),
            (whole, total) => prop_assert!(false, "{:?} against {:?}", whole.map(|w| w.cycles), total),
        }
    }
}

/// A mapping that was searched for serves every density: the totals of `AlexNet` on Eyeriss, asked again, are those of
/// the network simulated anew.
#[test]
fn mappings_found_once_serve_other_densities() {
    let workload = Workload::find("alexnet").expect("it is shipped");
    let profile = zoo::find("eyeriss-65nm")
        .expect("it is shipped")
        .profile()
        .expect("it is valid");
    let estimator = Estimator::new(&workload.network, &profile, 1, Pick::Energy);
    for activation_density in [1.0, 0.6, 0.3] {
        let setting = |_: &Layer| LayerSetting {
            weights: Weights::Density(activation_density),
            weight_bits: 16,
            activation_density,
            activation_bits: None,
            mapping: None,
        };
        let anew = network(&workload.network, &profile, 1, Pick::Energy, &setting).expect("it runs");
        assert_eq!(estimator.total(&setting), Ok(Total::from(&anew)));
        assert_eq!(estimator.network(&setting), Ok(anew));
    }
}
