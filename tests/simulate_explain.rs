//! Explanations: the causes are all of the time, and what is advised was simulated.

mod common;

use common::{engine, gemm, profile, random_mask, slices, work};
use cosparse::hardware::{EngineKind, Partition, Slices, Synchronisation};
use cosparse::simulate::{Pick, Weights, explain, layer_on};
use proptest::prelude::*;

proptest! {
    #![proptest_config(common::cases(200))]

    /// Causes sum to the total and are ordered; ceilings are Amdahl's; speed-ups are those of the outcomes.
    #[test]
    fn causes_are_all_of_the_time(
        (m, k, n) in (1..20u64, 1..60u64, 1..40u64),
        density in 0.02..1.0f64,
        pes in 1..20u32,
        interleaved in any::<bool>(),
        port in 1..200u64,
        seed in any::<u64>(),
    ) {
        let unit = Slices {
            partition: if interleaved { Partition::RowInterleaved } else { Partition::Contiguous },
            synchronisation: Synchronisation::Fifo { depth: 2 },
            cycles_per_entry: 2,
            ..slices(pes)
        };
        let mut profile = profile(vec![engine("slices", 500.0, 9000.0, EngineKind::Slices(unit))]);
        for memory in &mut profile.memories {
            memory.bits_per_cycle.value = port;
        }
        let mask = random_mask(n as usize, k as usize, density, seed);
        let work = work(gemm(m, k, n), Weights::Pattern(&mask));
        let explained = explain(&work, &profile, Pick::Latency).expect("a small layer runs");
        let total = explained.cost.cycles;
        prop_assert_eq!(explained.causes.iter().map(|c| c.cycles).sum::<u64>(), total);
        prop_assert!(explained.causes.windows(2).all(|w| w[0].cycles >= w[1].cycles));
        for cause in &explained.causes {
            if let Some(ceiling) = cause.ceiling {
                prop_assert!((ceiling * (total - cause.cycles) as f64 - total as f64).abs() < 1e-6 * total as f64);
            }
        }
        for change in &explained.changes {
            if let Ok(after) = &change.outcome {
                prop_assert!((change.speedup - explained.cost.seconds / after.seconds).abs() < 1e-12);
                prop_assert_eq!(after.causes.total(), Ok(after.cycles));
            }
        }
        if let Some(advice) = explained.advice() {
            prop_assert!(advice.speedup > 1.02);
        }
    }
}

/// Weights that do not come fast enough: a wider DRAM port is the advice, and simulating it by hand gives its cycles.
#[test]
fn a_starved_layer_is_told_to_widen_its_port() {
    let mut profile = profile(vec![engine(
        "dense",
        500.0,
        9000.0,
        EngineKind::Slices(Slices {
            index: None,
            ..slices(64)
        }),
    )]);
    let dram = profile.memories.len() - 1;
    profile.memories[dram].bits_per_cycle.value = 8;
    let work = work(gemm(1, 512, 512), Weights::Density(1.0));
    let explained = explain(&work, &profile, Pick::Latency).expect("it runs");
    assert_eq!(explained.causes[0].name, "stall_weights");
    let advice = explained.advice().expect("a port helps");
    assert_eq!(advice.what, "dram: port 8 → 16 bits a cycle");
    profile.memories[dram].bits_per_cycle.value = 16;
    let by_hand = layer_on(&work, &profile, 0).expect("it runs");
    assert_eq!(advice.outcome, Ok(by_hand));
}
