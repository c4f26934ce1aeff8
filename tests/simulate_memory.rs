//! Memories: a pipeline added up by hand, traffic, errors with their numbers, and energy.

mod common;

use common::{buffer, dram, engine, gemm, profile, slices, work};
use cosparse::hardware;
use cosparse::hardware::{EngineKind, MacEnergy, MemoryKind, Profile, Slices, TensorKind};
use cosparse::network::LoopNest;
use cosparse::simulate::{Causes, SimulateError, Weights, area, layer_on};
use cosparse::units::Energy;

/// One dense PE, 16 bits a cycle from DRAM in bursts of 16, and a weight buffer of so many bits.
fn small(weight_buffer: u64) -> Profile {
    let one = Slices {
        index: None,
        ..slices(1)
    };
    let mut profile = profile(vec![engine("one", 100.0, 9000.0, EngineKind::Slices(one))]);
    profile.memories[0] = buffer(
        "weight-buffer",
        weight_buffer,
        1024,
        &[TensorKind::Weights, TensorKind::Indices],
    );
    let mut dram = dram(16);
    dram.kind = MemoryKind::Dram { burst_bits: 16 };
    profile.memories[2] = dram;
    profile
}

/// 4 channels of 4 products at one position, 16 bits: 4 tiles of one channel, 4 cycles of compute each.
///
/// ```text
/// load 0: 64 weight + 64 input bits         8      4 weights, 4 inputs
/// tile 0: load 1 takes 4                    4
/// tile 1: load 2 and store 0: 80 bits, 5    5      1, to the larger (weights)
/// tile 2: load 3 and store 1                5      1
/// tile 3: store 2 takes 1                   4
/// store 3                                   1      1 outputs
/// ```
#[test]
fn pipeline_by_hand() {
    let cost = layer_on(&work(gemm(1, 4, 4), Weights::Density(1.0)), &small(128), 0).expect("a cost");
    assert_eq!(cost.cycles, 27);
    let causes = Causes {
        compute: 16,
        stall_weights: 6,
        stall_inputs: 4,
        stall_outputs: 1,
        ..Causes::default()
    };
    assert_eq!(cost.causes, causes);
    assert!((cost.seconds - 27.0 / 100e6).abs() < 1e-18);
    let bits = |memory: &str, tensor| {
        let found = cost
            .traffic
            .iter()
            .find(|t| t.memory == memory && t.tensor == tensor)
            .expect("traffic");
        (found.read_bits, found.write_bits)
    };
    assert_eq!(bits("dram", TensorKind::Weights), (256, 0));
    assert_eq!(bits("dram", TensorKind::Inputs), (64, 0));
    assert_eq!(bits("dram", TensorKind::Outputs), (0, 64));
    // filled once, read once
    assert_eq!(bits("weight-buffer", TensorKind::Weights), (256, 256));
    // 16 multiplications read an input each; the fill is 64
    assert_eq!(bits("feature-buffer", TensorKind::Inputs), (256, 64));
    assert_eq!(bits("feature-buffer", TensorKind::Outputs), (64, 64));
    let e = &cost.energy;
    assert!((e.dram - 384.0 * 4.0).abs() < 1e-9);
    assert!((e.buffer - (0.05 * (256.0 + 256.0 + 64.0) + 0.06 * (256.0 + 64.0 + 64.0))).abs() < 1e-9);
    assert!((e.mac - 16.0 * 0.9).abs() < 1e-9);
    assert_eq!((e.decode, e.register), (Some(0.0), Some(16.0 * 0.3)));
    // 10 mW for 270 ns is 2700 pJ
    assert!((e.leakage.expect("modelled") - 2700.0).abs() < 1e-6);
}

#[test]
fn a_tile_that_does_not_fit_says_its_numbers() {
    let error = layer_on(&work(gemm(1, 4, 4), Weights::Density(1.0)), &small(127), 0).expect_err("too small");
    assert_eq!(
        error,
        SimulateError::Tile {
            layer: "layer".into(),
            memory: "weight-buffer".into(),
            needed: 128,
            available: 127,
            cure: "prune the layer, or store it in fewer bits"
        }
    );
    assert!(
        error
            .to_string()
            .contains("needs 128 bits of `weight-buffer`, which has 127")
    );
}

/// The whole layer in one tile needs no second half.
#[test]
fn one_tile_fills_a_double_buffer() {
    let cost = layer_on(&work(gemm(1, 4, 4), Weights::Density(1.0)), &small(256), 0).expect("a cost");
    // 20 cycles of loads, 16 of compute, 4 of stores
    assert_eq!(
        (
            cost.cycles,
            cost.causes.stall_weights,
            cost.causes.stall_inputs,
            cost.causes.stall_outputs
        ),
        (40, 16, 4, 4)
    );
}

#[test]
fn without_double_buffering_transfers_wait_for_compute() {
    let mut profile = small(128);
    if let MemoryKind::Buffer { double_buffered, .. } = &mut profile.memories[0].kind {
        *double_buffered = false;
    }
    let cost = layer_on(&work(gemm(1, 4, 4), Weights::Density(1.0)), &profile, 0).expect("a cost");
    // two tiles of two channels: 8 + 8 of weights in turn with 8 + 8 of compute, 4 for inputs, 2 for the last store
    assert_eq!(cost.cycles, 16 + 16 + 4 + 2);
    assert_eq!(cost.causes.total(), Ok(cost.cycles));
}

#[test]
fn features_that_stay_on_chip_do_not_move() {
    let mut work = work(
        LoopNest {
            n: 3,
            ..gemm(7, 5, 4)
        },
        Weights::Density(1.0),
    );
    (work.input_from_dram, work.output_to_dram) = (false, false);
    let cost = layer_on(&work, &small(4096), 0).expect("a cost");
    assert!(
        cost.traffic
            .iter()
            .all(|t| t.memory != "dram" || t.tensor == TensorKind::Weights)
    );
    assert_eq!((cost.causes.stall_inputs, cost.causes.stall_outputs), (0, 0));
    let mut profile = small(4096);
    profile.memories[1] = buffer(
        "feature-buffer",
        3 * (35 + 28) * 16 - 1,
        1024,
        &[TensorKind::Inputs, TensorKind::Outputs],
    );
    let error = layer_on(&work, &profile, 0).expect_err("too small");
    assert!(
        matches!(
            error,
            SimulateError::Tile {
                needed: 3024,
                available: 3023,
                ..
            }
        ),
        "{error}"
    );
}

/// A batch of 2^40 samples, one at a time: refused at once rather than stepped through.
#[test]
fn endless_tiles_are_refused() {
    let mut profile = small(4096);
    profile.memories[1] = buffer(
        "feature-buffer",
        1024,
        1024,
        &[TensorKind::Inputs, TensorKind::Outputs],
    );
    let many = work(
        LoopNest {
            n: 1 << 40,
            ..gemm(1, 4, 4)
        },
        Weights::Density(1.0),
    );
    let error = layer_on(&many, &profile, 0).expect_err("too many");
    assert!(
        matches!(error, SimulateError::TooManyTiles { tiles, .. } if tiles > 1 << 24),
        "{error}"
    );
}

#[test]
fn multipliers_scale_with_the_product_of_widths() {
    let mut table = hardware::zoo::find("admm-nn-40nm")
        .expect("shipped")
        .profile()
        .expect("valid")
        .energy;
    table.mac.value = MacEnergy {
        bits: 16,
        multiply: Energy::new(0.8).expect("pJ"),
        accumulate: Energy::new(0.1).expect("pJ"),
    };
    assert!((table.mac_energy(16, 16) - 0.9).abs() < 1e-12);
    assert!((table.mac_energy(4, 8) - (0.8 * 32.0 / 256.0 + 0.1 * 12.0 / 32.0)).abs() < 1e-12);
}

#[test]
fn area_of_pes_and_buffers() {
    let mut profile = small(1000);
    profile.memories[1] = buffer(
        "feature-buffer",
        3000,
        16,
        &[TensorKind::Inputs, TensorKind::Outputs],
    );
    let found = area(&profile, 0).expect("an engine");
    assert_eq!((found.pes, found.sram), (Some(9000.0), Some(1800.0)));
    profile.engines[0].pe_area = None;
    assert_eq!(area(&profile, 0).expect("an engine").total(), None);
    assert_eq!(area(&profile, 1), None);
}
