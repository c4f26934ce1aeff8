//! Profiles and layers for the simulator's tests.
#![allow(dead_code)] // each test binary uses its own part

use cosparse::compression::Mask;
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{
    Dataflow, EnergyTable, Engine, EngineKind, FeaturePort, FpgaMemory, MacEnergy, Memory, MemoryKind,
    Partition, Profile, SiliconArea, Slices, Sourced, Synchronisation, Systolic, TensorKind,
};
use cosparse::network::{Layer, LoopNest};
use cosparse::simulate::{ActivationBits, LayerSetting, LayerWork, Weights};
use cosparse::units::{Area, Capacity, Energy, Frequency, Power};
use proptest::test_runner::{Config as ProptestConfig, FileFailurePersistence};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) fn sourced<T>(value: T) -> Sourced<T> {
    Sourced {
        value,
        source: "assumed for this test".into(),
    }
}

pub(crate) fn pj(value: f64) -> Sourced<Energy> {
    sourced(Energy::new(value).expect("an energy"))
}

pub(crate) fn engine(name: &str, mhz: f64, pe_um2: f64, kind: EngineKind) -> Engine {
    Engine {
        name: name.into(),
        clock: sourced(Frequency::new(mhz).expect("a clock")),
        pe_area: Some(sourced(Area::new(pe_um2).expect("an area"))),
        kind,
    }
}

pub(crate) fn systolic(rows: u32, cols: u32, dataflow: Dataflow) -> EngineKind {
    EngineKind::Systolic(Systolic { rows, cols, dataflow })
}

/// A contiguous sparse engine with a 4-bit relative index, one entry a cycle, a barrier and no port limit.
pub(crate) fn slices(pes: u32) -> Slices {
    Slices {
        pes,
        macs_per_pe: 1,
        cycles_per_entry: 1,
        partition: Partition::Contiguous,
        index: Some(Encoding::RelativeIndex { bits: 4 }),
        decode_bits_per_cycle: None,
        synchronisation: Synchronisation::Barrier,
        accumulators: None,
        skip_zero_activations: false,
        feature_port: None,
    }
}

pub(crate) fn dram(bits_per_cycle: u64) -> Memory {
    Memory {
        name: "dram".into(),
        kind: MemoryKind::Dram { burst_bits: 512 },
        bits_per_cycle: sourced(bits_per_cycle),
        holds: vec![
            TensorKind::Weights,
            TensorKind::Indices,
            TensorKind::Inputs,
            TensorKind::Outputs,
        ],
        rows: None,
        ports: None,
        fpga_memory: FpgaMemory::Bram,
        read_per_bit: pj(4.0),
        write_per_bit: pj(4.0),
    }
}

pub(crate) fn buffer(name: &str, bits: u64, bits_per_cycle: u64, holds: &[TensorKind]) -> Memory {
    Memory {
        name: name.into(),
        kind: MemoryKind::Buffer {
            capacity: Capacity::new(bits as f64).expect("a capacity"),
            double_buffered: true,
        },
        bits_per_cycle: sourced(bits_per_cycle),
        holds: holds.to_vec(),
        rows: None,
        ports: None,
        fpga_memory: FpgaMemory::Bram,
        read_per_bit: pj(0.05),
        write_per_bit: pj(0.06),
    }
}

/// So many cases, or as many as `COSPARSE_CASES` says; a failing one is kept beside the test.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var("COSPARSE_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource(
            "proptest-regressions",
        ))),
        ..ProptestConfig::default()
    }
}

/// A profile with buffers and ports so large that only the array takes time beside the first load.
pub(crate) fn profile(engines: Vec<Engine>) -> Profile {
    Profile {
        name: "test".into(),
        description: "a profile for tests".into(),
        technology_nm: sourced(40),
        activation_bits: 16,
        accumulator_bits: 32,
        weight_bits: 16,
        engines,
        memories: vec![
            buffer(
                "weight-buffer",
                1 << 40,
                1 << 40,
                &[TensorKind::Weights, TensorKind::Indices],
            ),
            buffer(
                "feature-buffer",
                1 << 40,
                1 << 40,
                &[TensorKind::Inputs, TensorKind::Outputs],
            ),
            dram(1 << 40),
        ],
        energy: EnergyTable {
            mac: sourced(MacEnergy {
                bits: 16,
                multiply: Energy::new(0.8).expect("pJ"),
                accumulate: Energy::new(0.1).expect("pJ"),
            }),
            decode_per_entry: Some(pj(0.1)),
            register_per_mac: Some(pj(0.3)),
            hop_per_word: Some(pj(0.2)),
            leakage: Some(sourced(Power::new(10.0).expect("mW"))),
        },
        area: Some(SiliconArea {
            sram_per_bit: sourced(Area::new(0.45).expect("um2")),
        }),
        fpga: None,
    }
}

pub(crate) fn gemm(positions: u64, products: u64, channels: u64) -> LoopNest {
    LoopNest {
        n: 1,
        g: 1,
        k: channels,
        c: products,
        p: positions,
        q: 1,
        r: 1,
        s: 1,
        stride: [1, 1],
        dilation: [1, 1],
    }
}

pub(crate) fn work(nest: LoopNest, weights: Weights<'_>) -> LayerWork<'_> {
    let map = [
        (nest.p - 1) * nest.stride[0] + nest.r,
        (nest.q - 1) * nest.stride[1] + nest.s,
    ];
    LayerWork {
        name: "layer",
        nest,
        weights,
        weight_bits: 16,
        activation_bits: ActivationBits::all(16),
        activation_density: 1.0,
        input_elements: nest.g * nest.c * map[0] * map[1],
        output_elements: nest.g * nest.k * nest.p * nest.q,
        input_from_dram: true,
        output_to_dram: true,
        output_density: 1.0,
        mapping: None,
        fused: None,
    }
}

/// A mask in which each position is alive with probability `density`.
pub(crate) fn random_mask(rows: usize, cols: usize, density: f64, seed: u64) -> Mask {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut mask = Mask::empty(rows, cols);
    for i in 0..rows * cols {
        mask.set(i, rng.random_bool(density));
    }
    mask
}

/// The engines of the calibration to ADMM-NN Fig. 4: 128 dense PEs, and sparse PEs of 2.4 times their area at
/// 0.8 of their clock, two cycles an entry, 16 feature words a cycle, each for 72 weights.
pub(crate) fn admm_nn_profile() -> Profile {
    let dense = Slices {
        pes: 128,
        index: None,
        ..slices(128)
    };
    let sparse = Slices {
        cycles_per_entry: 2,
        feature_port: Some(FeaturePort {
            group: 72,
            words_per_cycle: 16,
        }),
        ..slices(1)
    };
    profile(vec![
        engine("dense", 1000.0, 8200.0, EngineKind::Slices(dense)),
        engine("sparse", 800.0, 19_800.0, EngineKind::Slices(sparse)),
    ])
}

/// `AlexNet` CONV4: two groups of 192 × 192 channels, 3×3, on 13×13 positions.
pub(crate) fn alexnet_conv4() -> LoopNest {
    LoopNest {
        n: 1,
        g: 2,
        k: 192,
        c: 192,
        p: 13,
        q: 13,
        r: 3,
        s: 3,
        stride: [1, 1],
        dilation: [1, 1],
    }
}

/// Every layer dense, at the profile's widths.
pub(crate) fn dense(profile: &Profile) -> impl Fn(&Layer) -> LayerSetting<'static> {
    let weight_bits = profile.weight_bits;
    move |_| LayerSetting {
        weights: Weights::Density(1.0),
        weight_bits,
        activation_density: 1.0,
        activation_bits: None,
        mapping: None,
    }
}
