//! The interval of the analytic model against the cycles of real random masks.

#![allow(clippy::print_stdout)] // a test says what it measured

mod common;

use common::{dram, engine, gemm, profile, slices, work};
use cosparse::compression::MaskModel;
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{EngineKind, FeaturePort, Partition, Slices, Synchronisation};
use cosparse::simulate::{LayerWork, Weights, array, array_interval, interval, layer_on};
use proptest::prelude::*;

/// How many of 200 uniformly random masks lie in the interval of 95 %, and the interval.
fn coverage(slices: Slices, (rows, cols): (usize, usize), density: f64, active: f64) -> (usize, (u64, u64)) {
    let profile = profile(vec![engine("sparse", 800.0, 1.0, EngineKind::Slices(slices))]);
    let nest = gemm(3, cols as u64, rows as u64);
    let kept = (density * (rows * cols) as f64).round() as usize;
    let expected = LayerWork {
        activation_density: active,
        ..work(nest, Weights::Density(kept as f64 / (rows * cols) as f64))
    };
    let (low, high) = array_interval(&expected, &profile, 0, 0.95)
        .expect("a layer")
        .expect("slices with an index");
    let inside = (0..200)
        .filter(|&seed| {
            let mask = MaskModel::Uniform.draw(rows, cols, kept as f64 / (rows * cols) as f64, seed);
            let real = LayerWork {
                weights: Weights::Pattern(&mask),
                ..expected
            };
            let cycles = array(&real, &profile, 0, None).expect("a layer").cycles;
            (low..=high).contains(&cycles)
        })
        .count();
    (inside, (low, high))
}

/// A name, the engine, rows and columns, density, portion of active inputs.
type Case = (&'static str, Slices, (usize, usize), f64, f64);

fn with(index: Encoding) -> Slices {
    Slices {
        index: Some(index),
        ..slices(64)
    }
}

/// What every encoding, read as fast as it comes or by a decoder of so many bits a cycle, takes.
fn encodings() -> Vec<Case> {
    let slow = |index, bits| Slices {
        decode_bits_per_cycle: Some(bits),
        ..with(index)
    };
    vec![
        ("csr", with(Encoding::Csr), (256, 512), 0.1, 1.0),
        ("csc", with(Encoding::Csc), (256, 512), 0.1, 1.0),
        ("coordinate", with(Encoding::Coordinate), (256, 512), 0.1, 1.0),
        ("golomb-rice", with(Encoding::GolombRice), (256, 512), 0.1, 1.0),
        (
            "golomb-rice, 2 bits a cycle",
            slow(Encoding::GolombRice, 2),
            (256, 512),
            0.1,
            1.0,
        ),
        (
            "coordinate, 4 bits a cycle",
            slow(Encoding::Coordinate, 4),
            (256, 512),
            0.1,
            1.0,
        ),
        (
            "bitmap, 8 bits a cycle",
            slow(Encoding::Bitmap, 8),
            (256, 512),
            0.15,
            1.0,
        ),
        (
            "blocks of 1 x 4",
            with(Encoding::BlockMap { rows: 1, cols: 4 }),
            (256, 512),
            0.1,
            1.0,
        ),
        (
            "blocks of 2 x 2",
            with(Encoding::BlockMap { rows: 2, cols: 2 }),
            (256, 512),
            0.1,
            1.0,
        ),
    ]
}

/// PEs, ports and queues.
fn engines() -> Vec<Case> {
    let base = || slices(64);
    let layer_end = Synchronisation::Fifo { depth: 1 };
    let port = FeaturePort {
        group: 16,
        words_per_cycle: 4,
    };
    vec![
        ("half dense", base(), (256, 512), 0.5, 1.0),
        ("a tenth", base(), (256, 512), 0.1, 1.0),
        ("a fiftieth, fillers rule", base(), (256, 512), 0.02, 1.0),
        (
            "2-bit index",
            with(Encoding::RelativeIndex { bits: 2 }),
            (256, 512),
            0.1,
            1.0,
        ),
        ("bitmap", with(Encoding::Bitmap), (256, 512), 0.2, 1.0),
        ("16 PEs", slices(16), (128, 300), 0.15, 1.0),
        ("1024 PEs", slices(1024), (512, 1024), 0.1, 1.0),
        (
            "4 MACs a PE",
            Slices {
                macs_per_pe: 4,
                ..base()
            },
            (256, 512),
            0.1,
            1.0,
        ),
        (
            "2 cycles an entry",
            Slices {
                cycles_per_entry: 2,
                ..base()
            },
            (256, 512),
            0.1,
            1.0,
        ),
        (
            "skips, barrier",
            Slices {
                skip_zero_activations: true,
                ..base()
            },
            (256, 512),
            0.1,
            0.4,
        ),
        (
            "skips, layer end",
            Slices {
                skip_zero_activations: true,
                synchronisation: layer_end,
                ..base()
            },
            (256, 512),
            0.1,
            0.4,
        ),
        (
            "port binds",
            Slices {
                feature_port: Some(port),
                ..slices(512)
            },
            (256, 512),
            0.05,
            1.0,
        ),
    ]
}

#[test]
fn the_interval_of_95_per_cent_holds_random_masks() {
    let mut worst = 200;
    for (name, engine, shape, density, active) in engines().into_iter().chain(encodings()) {
        let (inside, (low, high)) = coverage(engine, shape, density, active);
        println!("{name}: {inside} of 200 in {low}..={high}");
        assert!(inside >= 180, "{name}: {inside} of 200 in {low}..={high}");
        // an interval that holds everything would say nothing
        assert!(
            (high - low) as f64 <= 0.35 * high as f64,
            "{name}: {low}..={high}"
        );
        worst = worst.min(inside);
    }
    println!("worst {worst} of 200");
}

/// Columns broadcast to rows: deviations are estimated on 64 samples, and the interval reaches to an expectation by one
/// sample. What is stated as 95 % held 86 to 100 % of 200 masks.
#[test]
fn the_interval_of_row_interleaved_slices_holds_random_masks() {
    let fifo = |depth| Synchronisation::Fifo { depth };
    for (name, synchronisation, index, shape, density, active) in [
        (
            "barrier",
            Synchronisation::Barrier,
            Encoding::RelativeIndex { bits: 4 },
            (256, 512),
            0.1,
            1.0,
        ),
        (
            "barrier, tall",
            Synchronisation::Barrier,
            Encoding::Csc,
            (1000, 300),
            0.05,
            1.0,
        ),
        (
            "barrier, wide",
            Synchronisation::Barrier,
            Encoding::RelativeIndex { bits: 4 },
            (128, 3000),
            0.3,
            1.0,
        ),
        (
            "queues of 2",
            fifo(2),
            Encoding::RelativeIndex { bits: 2 },
            (256, 512),
            0.1,
            1.0,
        ),
        (
            "queues of 8",
            fifo(8),
            Encoding::RelativeIndex { bits: 4 },
            (256, 512),
            0.1,
            1.0,
        ),
        (
            "queues of 8, tall",
            fifo(8),
            Encoding::Bitmap,
            (1000, 300),
            0.05,
            1.0,
        ),
        (
            "queues of 8, wide, skips",
            fifo(8),
            Encoding::RelativeIndex { bits: 4 },
            (512, 4096),
            0.1,
            0.4,
        ),
        (
            "queues of 8, Golomb-Rice",
            fifo(8),
            Encoding::GolombRice,
            (256, 512),
            0.1,
            1.0,
        ),
    ] {
        let engine = Slices {
            partition: Partition::RowInterleaved,
            synchronisation,
            index: Some(index),
            skip_zero_activations: active < 1.0,
            ..slices(64)
        };
        let (inside, (low, high)) = coverage(engine, shape, density, active);
        println!("{name}: {inside} of 200 in {low}..={high}");
        assert!(inside >= 170, "{name}: {inside} of 200 in {low}..={high}");
        assert!((high - low) as f64 <= 0.2 * high as f64, "{name}: {low}..={high}");
    }
}

proptest! {
    #![proptest_config(common::cases(500))]

    /// The expectation lies between both ends, memories included, on any contiguous slices.
    #[test]
    fn the_expectation_lies_in_its_interval(
        (pes, macs_per_pe, cycles_per_entry) in (1..200u32, 1..5u32, 1..4u32),
        (rows, cols, positions) in (1..200u64, 1..400u64, 1..40u64),
        density in 0.001..1.0f64,
        active in prop_oneof![Just(1.0), 0.05..1.0f64],
        index in prop_oneof![
            4 => (1..8u8).prop_map(|bits| Encoding::RelativeIndex { bits }),
            1 => Just(Encoding::Bitmap),
            1 => Just(Encoding::Csr),
            1 => Just(Encoding::Csc),
            1 => Just(Encoding::Coordinate),
            1 => Just(Encoding::GolombRice),
            1 => (1..9u32, 1..9u32).prop_map(|(rows, cols)| Encoding::BlockMap { rows, cols }),
        ],
        decode_bits_per_cycle in prop::option::of(1..9u32),
        barrier in any::<bool>(),
        port in prop::option::of((1..80u32, 1..17u32)),
        dram_bits in prop_oneof![Just(1u64 << 40), 8..200u64],
        level in 0.2..0.999f64,
    ) {
        let slices = Slices {
            macs_per_pe,
            cycles_per_entry,
            index: Some(index),
            decode_bits_per_cycle,
            synchronisation: if barrier { Synchronisation::Barrier } else { Synchronisation::Fifo { depth: 1 } },
            skip_zero_activations: active < 1.0,
            feature_port: port.map(|(group, words_per_cycle)| FeaturePort { group, words_per_cycle }),
            ..slices(pes)
        };
        let mut profile = profile(vec![engine("sparse", 800.0, 1.0, EngineKind::Slices(slices))]);
        profile.memories[2] = dram(dram_bits);
        let work = LayerWork { activation_density: active, ..work(gemm(positions, cols, rows), Weights::Density(density)) };
        let (low, high) = array_interval(&work, &profile, 0, level).expect("a layer").expect("an interval");
        let run = array(&work, &profile, 0, None).expect("a layer");
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
        prop_assert!((low..=high).contains(&run.cycles), "{} in {}..={}", run.cycles, low, high);
        let (low, high) = interval(&work, &profile, 0, level).expect("a layer").expect("an interval");
        let cycles = layer_on(&work, &profile, 0).expect("a layer").cycles;
        prop_assert!((low..=high).contains(&cycles), "{} in {}..={}, memories included", cycles, low, high);
    }
}

#[test]
fn nothing_random_has_no_interval() {
    let dense = Slices {
        index: None,
        ..slices(64)
    };
    let of = |engine_kind, density| {
        let profile = profile(vec![engine("e", 800.0, 1.0, EngineKind::Slices(engine_kind))]);
        array_interval(
            &work(gemm(1, 64, 64), Weights::Density(density)),
            &profile,
            0,
            0.95,
        )
        .expect("a layer")
    };
    assert_eq!(of(dense, 0.5), None);
    assert_eq!(of(slices(64), 1.0), None);
    assert!(of(slices(64), 0.5).is_some());
}

/// Where loading the entries takes longest, the interval follows their number. Slices of 200 weights, with 14 non-zeros
/// each, are not quite normal any more: what is stated as 95 % holds a little less than 90 % of them.
#[test]
fn the_interval_holds_layers_that_wait_for_their_weights() {
    for (rows, cols, density, bits, least) in [
        (256, 512, 0.1, 4, 180),
        (256, 512, 0.1, 2, 180),
        (256, 512, 0.02, 4, 180),
        (512, 1024, 0.3, 4, 180),
        (64, 200, 0.07, 4, 170),
    ] {
        let engine_kind = Slices {
            index: Some(Encoding::RelativeIndex { bits }),
            ..slices(64)
        };
        let mut profile = profile(vec![engine(
            "sparse",
            800.0,
            1.0,
            EngineKind::Slices(engine_kind),
        )]);
        profile.memories[2] = dram(16); // a word a cycle
        let kept = (density * f64::from(rows * cols)).round();
        let expected = work(
            gemm(1, cols as u64, rows as u64),
            Weights::Density(kept / f64::from(rows * cols)),
        );
        let (low, high) = interval(&expected, &profile, 0, 0.95)
            .expect("a layer")
            .expect("an interval");
        let on = |weights: Weights<'_>| {
            let work = LayerWork { weights, ..expected };
            layer_on(&work, &profile, 0).expect("a layer")
        };
        let cycles: Vec<u64> = (0..200)
            .map(|seed| {
                let density = kept / f64::from(rows * cols);
                let mask = MaskModel::Uniform.draw(rows as usize, cols as usize, density, seed);
                let cost = on(Weights::Pattern(&mask));
                let waits = cost.causes.stall_weights + cost.causes.stall_indices;
                assert!(waits > cost.cycles / 2, "{:?}", cost.causes);
                cost.cycles
            })
            .collect();
        let inside = cycles.iter().filter(|&&c| (low..=high).contains(&c)).count();
        println!(
            "{rows} x {cols}, {bits} bits: {inside} of 200 in {low}..={high}, mean {}, expected {}",
            cycles.iter().sum::<u64>() / 200,
            on(expected.weights).cycles
        );
        assert!(
            inside >= least,
            "{rows} x {cols}: {inside} of 200 in {low}..={high}"
        );
        assert!((high - low) as f64 <= 0.2 * high as f64, "{low}..={high}");
    }
}
