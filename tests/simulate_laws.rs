//! What must hold whatever the numbers are.
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;

use common::{buffer, dram, engine, profile, random_mask, slices, systolic, work};
use cosparse::compression::Mask;
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{
    Dataflow, EngineKind, FeaturePort, Partition, Profile, Slices, Synchronisation, TensorKind,
};
use cosparse::network::LoopNest;
use cosparse::simulate::{
    ArrayRun, LayerWork, Pick, SimulateError, Weights, array, layer, layer_on, slice_entries,
};
use proptest::prelude::*;

fn nest() -> impl Strategy<Value = LoopNest> {
    (
        1..3u64,
        1..4u64,
        1..20u64,
        1..9u64,
        1..9u64,
        1..5u64,
        1..4u64,
        1..4u64,
    )
        .prop_map(|(n, g, k, c, p, q, r, s)| LoopNest {
            n,
            g,
            k,
            c,
            p,
            q,
            r,
            s,
            stride: [1, 1],
            dilation: [1, 1],
        })
}

fn any_slices() -> impl Strategy<Value = Slices> {
    let port = prop::option::of(
        (1..40u32, 1..5u32).prop_map(|(group, words_per_cycle)| FeaturePort {
            group,
            words_per_cycle,
        }),
    );
    let sync = prop_oneof![
        Just(Synchronisation::Barrier),
        (0..9u32).prop_map(|depth| Synchronisation::Fifo { depth })
    ];
    (
        1..20u32,
        1..4u32,
        1..4u32,
        1..6u8,
        sync,
        any::<bool>(),
        any::<bool>(),
        port,
    )
        .prop_map(
            |(
                pes,
                macs_per_pe,
                cycles_per_entry,
                bits,
                synchronisation,
                skip_zero_activations,
                rows,
                port,
            )| Slices {
                pes,
                macs_per_pe,
                cycles_per_entry,
                partition: if rows {
                    Partition::RowInterleaved
                } else {
                    Partition::Contiguous
                },
                index: Some(Encoding::RelativeIndex { bits }),
                decode_bits_per_cycle: None,
                synchronisation,
                accumulators: None,
                skip_zero_activations,
                feature_port: if rows { None } else { port },
            },
        )
}

fn on(slices: Slices) -> Profile {
    profile(vec![engine("slices", 500.0, 9000.0, EngineKind::Slices(slices))])
}

fn mask_of(nest: &LoopNest, density: f64, seed: u64) -> Mask {
    random_mask(
        (nest.g * nest.k) as usize,
        (nest.c * nest.r * nest.s) as usize,
        density,
        seed,
    )
}

fn run(slices: Slices, work: &LayerWork) -> ArrayRun {
    array(work, &on(slices), 0, None).expect("a run")
}

/// Small buffers and narrow ports, so that tiles and stalls appear.
fn tight(
    engines: Vec<cosparse::hardware::Engine>,
    weights: u64,
    features: u64,
    port: u64,
    dram_port: u64,
) -> Profile {
    let mut profile = profile(engines);
    profile.memories = vec![
        buffer(
            "weight-buffer",
            weights,
            port,
            &[TensorKind::Weights, TensorKind::Indices],
        ),
        buffer(
            "feature-buffer",
            features,
            port,
            &[TensorKind::Inputs, TensorKind::Outputs],
        ),
        dram(dram_port),
    ];
    profile
}

proptest! {
    #![proptest_config(common::cases(400))]

    /// Twice the PEs halve every slice, so no PE gets more to do.
    #[test]
    fn twice_the_pes_are_never_slower(nest in nest(), slices in any_slices(), d in 0.1..1.0f64, a in 0.1..1.0f64, seed in any::<u64>()) {
        let mask = mask_of(&nest, d * d, seed);
        let work = LayerWork { activation_density: a, ..work(nest, Weights::Pattern(&mask)) };
        let more = Slices { pes: 2 * slices.pes, ..slices.clone() };
        prop_assert!(run(more, &work).cycles <= run(slices, &work).cycles);
    }

    /// Any further dense PE never makes it slower.
    #[test]
    fn more_dense_pes_are_never_slower(nest in nest(), slices in any_slices(), extra in 0..20u32) {
        let work = work(nest, Weights::Density(1.0));
        let more = Slices { pes: slices.pes + extra, ..slices.clone() };
        prop_assert!(run(more, &work).cycles <= run(slices, &work).cycles);
    }

    /// A pruned weight never makes it slower: what fillers it needs it took as an entry before.
    #[test]
    fn fewer_non_zeros_are_never_slower(nest in nest(), slices in any_slices(), d in 0.1..1.0f64, at in any::<prop::sample::Index>(), seed in any::<u64>()) {
        let mask = mask_of(&nest, d, seed);
        let mut fewer = mask.clone();
        fewer.set(at.index(mask.len()), false);
        let before = run(slices.clone(), &work(nest, Weights::Pattern(&mask)));
        let after = run(slices, &work(nest, Weights::Pattern(&fewer)));
        prop_assert!(after.cycles <= before.cycles && after.stored.weights <= before.stored.weights);
    }

    /// With every weight alive a sparse engine is the dense one that also reads indices.
    #[test]
    fn density_one_is_dense(nest in nest(), slices in any_slices(), a in 0.1..1.0f64) {
        let full = Mask::full((nest.g * nest.k) as usize, (nest.c * nest.r * nest.s) as usize);
        let pattern = LayerWork { activation_density: a, ..work(nest, Weights::Pattern(&full)) };
        let density = LayerWork { weights: Weights::Density(1.0), ..pattern };
        let sparse = run(slices.clone(), &pattern);
        let expected = run(slices.clone(), &density);
        let dense = run(Slices { index: None, ..slices }, &density);
        prop_assert_eq!(sparse.cycles, dense.cycles);
        prop_assert_eq!(expected.cycles, dense.cycles);
        prop_assert_eq!(sparse.causes, dense.causes);
        prop_assert_eq!((sparse.macs, sparse.stored.weights), (dense.macs, dense.stored.weights));
        prop_assert!(sparse.stored.indices > 0 && dense.stored.indices == 0);
    }

    /// The expectation obeys the roofline and its causes sum.
    #[test]
    fn expectations_obey_the_roofline(nest in nest(), slices in any_slices(), d in 0.001..1.0f64, a in 0.01..1.0f64) {
        let work = LayerWork { activation_density: a, ..work(nest, Weights::Density(d)) };
        let run = run(slices, &work);
        prop_assert!(run.cycles >= run.macs.div_ceil(run.peak));
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
    }

    /// Memories only add stalls; wider ports never make it slower; causes sum.
    #[test]
    fn wider_ports_are_never_slower(
        nest in nest(),
        slices in any_slices(),
        d in 0.1..1.0f64,
        (weights, features) in (2_000..40_000u64, 5_000..80_000u64),
        (port, dram_port) in (1..200u64, 1..200u64),
        (extra_port, extra_dram) in (0..200u64, 0..200u64),
        (from_dram, to_dram) in (any::<bool>(), any::<bool>()),
        seed in any::<u64>(),
    ) {
        let mask = mask_of(&nest, d, seed);
        let mut work = work(nest, Weights::Pattern(&mask));
        (work.input_from_dram, work.output_to_dram) = (from_dram, to_dram);
        let engines = vec![
            engine("slices", 500.0, 9000.0, EngineKind::Slices(slices)),
            engine("array", 500.0, 9000.0, systolic(4, 4, Dataflow::WeightStationary)),
        ];
        let narrow = tight(engines.clone(), weights, features, port, dram_port);
        let wide = tight(engines, weights, features, port + extra_port, dram_port + extra_dram);
        for e in 0..2 {
            let alone = array(&work, &narrow, e, None).expect("a run");
            match (layer_on(&work, &narrow, e), layer_on(&work, &wide, e)) {
                (Ok(narrow), Ok(wide)) => {
                    prop_assert!(wide.cycles <= narrow.cycles);
                    prop_assert!(wide.cycles >= alone.cycles);
                    prop_assert_eq!(narrow.causes.total(), Ok(narrow.cycles));
                    prop_assert!(narrow.utilisation <= 1.0 && narrow.energy.total() > 0.0);
                    // what the array reads is at least loaded once, and never more than once a tile
                    let loaded: u64 = narrow.traffic.iter().filter(|t| t.memory == "dram" && t.tensor == TensorKind::Weights).map(|t| t.read_bits).sum();
                    prop_assert!(loaded >= narrow.stored.weights && loaded.is_multiple_of(512));
                }
                (Err(SimulateError::Tile { needed, available, .. }), Err(_)) => prop_assert!(needed > available),
                (a, b) => prop_assert!(false, "{:?} {:?}", a, b),
            }
        }
    }

    /// The layer takes the cheapest engine by every measure.
    #[test]
    fn the_cheapest_engine_is_taken(nest in nest(), slices in any_slices(), d in 0.1..1.0f64, seed in any::<u64>()) {
        let mask = mask_of(&nest, d, seed);
        let work = work(nest, Weights::Pattern(&mask));
        let profile = profile(vec![
            engine("array", 700.0, 9000.0, systolic(4, 4, Dataflow::OutputStationary)),
            engine("slices", 500.0, 9000.0, EngineKind::Slices(slices)),
        ]);
        for pick in [Pick::Latency, Pick::Energy, Pick::EnergyDelay] {
            let outcome = layer(&work, &profile, pick).expect("an outcome");
            let costs: Vec<f64> = outcome.all.iter().map(|c| pick.of(c.as_ref().expect("a cost"))).collect();
            prop_assert!(costs.iter().all(|&c| pick.of(&outcome.cost) <= c));
            prop_assert_eq!(outcome.all[outcome.engine].as_ref(), Ok(&outcome.cost));
        }
    }
}

/// The fast count of a chain equals a walk over its positions, at sizes where words and slices do not align.
#[test]
fn entries_equal_a_walk_over_positions() {
    for (seed, density) in [0.5, 0.1, 0.02, 0.003, 0.9].into_iter().enumerate() {
        let mask = random_mask(37, 101, density, seed as u64);
        for pes in [1, 2, 3, 7, 64, 200] {
            for span in 1..=8u32 {
                let fast = slice_entries(&mask, pes, span);
                for (i, &found) in fast.iter().enumerate() {
                    let (from, to) = (i * 3737 / pes as usize, (i + 1) * 3737 / pes as usize);
                    let (mut gap, mut nonzeros, mut entries) = (0u64, 0, 0);
                    for at in from..to {
                        gap += 1;
                        if mask.get(at) {
                            entries += gap.div_ceil(1 << span);
                            nonzeros += 1;
                            gap = 0;
                        }
                    }
                    assert_eq!(
                        (found.nonzeros, found.entries()),
                        (nonzeros, entries),
                        "{pes} PEs, slice {i}, span {span}"
                    );
                }
            }
        }
    }
}

/// The expectation of large random layers lies close to what their masks take.
#[test]
fn expectations_are_close_to_real_masks() {
    let nest = LoopNest {
        n: 1,
        g: 1,
        k: 256,
        c: 128,
        p: 7,
        q: 7,
        r: 3,
        s: 3,
        stride: [1, 1],
        dilation: [1, 1],
    };
    for (density, partition, tolerance) in [
        (0.3, Partition::Contiguous, 0.02),
        (0.1, Partition::Contiguous, 0.02),
        (0.03, Partition::Contiguous, 0.03),
        (0.3, Partition::RowInterleaved, 0.03),
        (0.1, Partition::RowInterleaved, 0.03),
    ] {
        let mask = random_mask(256, 1152, density, 5);
        let slices = Slices {
            partition,
            synchronisation: Synchronisation::Fifo { depth: 8 },
            ..slices(64)
        };
        let counted = run(slices.clone(), &work(nest, Weights::Pattern(&mask)));
        let expected = run(slices, &work(nest, Weights::Density(mask.density())));
        let error = expected.cycles as f64 / counted.cycles as f64 - 1.0;
        println!(
            "{partition:?} {density}: {} expected, {} counted ({:+.2} %)",
            expected.cycles,
            counted.cycles,
            100.0 * error
        );
        assert!(error.abs() < tolerance, "{partition:?} {density}: {error}");
    }
}

#[test]
fn wrong_layers_are_refused() {
    let profile = on(slices(4));
    let nest = common::gemm(3, 5, 7);
    let mask = Mask::full(5, 7);
    let refused = |work: &LayerWork| layer(work, &profile, Pick::Latency).expect_err("refused");
    assert!(matches!(
        refused(&work(nest, Weights::Pattern(&mask))),
        SimulateError::MaskShape {
            want_rows: 7,
            want_cols: 5,
            ..
        }
    ));
    assert!(matches!(
        refused(&work(nest, Weights::Density(0.0))),
        SimulateError::Density { what: "weight", .. }
    ));
    assert!(matches!(
        refused(&LayerWork {
            nest: LoopNest { q: 0, ..nest },
            ..work(nest, Weights::Density(1.0))
        }),
        SimulateError::Empty { dimension: "Q", .. }
    ));
    let nan = LayerWork {
        activation_density: f64::NAN,
        ..work(nest, Weights::Density(1.0))
    };
    assert!(matches!(
        refused(&nan),
        SimulateError::Density {
            what: "activation",
            ..
        }
    ));
    let mut huge = work(nest, Weights::Density(0.5));
    huge.nest.n = 1 << 61;
    assert!(matches!(refused(&huge), SimulateError::Overflow { .. }));
    assert!(matches!(
        layer_on(&work(nest, Weights::Density(1.0)), &profile, 1),
        Err(SimulateError::UnknownEngine {
            engines: 1,
            index: 1,
            ..
        })
    ));
    let with_port = Slices {
        partition: Partition::RowInterleaved,
        feature_port: Some(FeaturePort {
            group: 8,
            words_per_cycle: 1,
        }),
        ..slices(4)
    };
    let error =
        layer(&work(nest, Weights::Density(0.5)), &on(with_port), Pick::Latency).expect_err("refused");
    assert!(
        error.to_string().contains("feature port has no meaning"),
        "{error}"
    );
}

#[test]
fn encodings_that_slices_cannot_read_are_refused() {
    let work = work(common::gemm(2, 8, 8), Weights::Density(0.5));
    for (index, partition, skips, cure) in [
        (Encoding::Csr, Partition::RowInterleaved, false, "use `csc`"),
        (
            Encoding::Coordinate,
            Partition::RowInterleaved,
            true,
            "do not skip",
        ),
        (
            Encoding::NM { keep: 2, group: 4 },
            Partition::Contiguous,
            false,
            "`structured`",
        ),
        (
            Encoding::RelativeIndex { bits: 17 },
            Partition::Contiguous,
            false,
            "out of range",
        ),
    ] {
        let slices = Slices {
            index: Some(index),
            partition,
            skip_zero_activations: skips,
            ..slices(4)
        };
        let error = array(&work, &on(slices), 0, None)
            .expect_err("refused")
            .to_string();
        assert!(error.contains(cure), "{error}");
    }
}
