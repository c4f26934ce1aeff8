//! Depthwise and grouped layers, as those of `MobileNet`, on every kind of engine: no slower than one group after another, never
//! above the roofline, and how much of the engine they use before and after.
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;

use common::{engine, profile, slices, systolic, work};
use cosparse::hardware::{
    BitFusion, BitSerial, Dataflow, DotProduct, Engine, EngineKind, Flexible, Partition, Profile,
    RowStationary, SerialOperand, Slices, Structured, zoo,
};
use cosparse::network::LoopNest;
use cosparse::simulate::{
    ActivationBits, ArrayRun, LayerWork, Mapping, Pick, Spatial, Weights, array, layer_on,
};
use cosparse::units::Capacity;

/// Depthwise layers of the sizes of `MobileNet`, and convolutions of groups.
fn layers() -> Vec<(&'static str, LoopNest)> {
    let nest = |g, k, c, p, stride| LoopNest {
        n: 1,
        g,
        k,
        c,
        p,
        q: p,
        r: 3,
        s: 3,
        stride: [stride, stride],
        dilation: [1, 1],
    };
    vec![
        ("dw 32 x 112", nest(32, 1, 1, 112, 1)),
        ("dw 128 x 56", nest(128, 1, 1, 56, 1)),
        ("dw 256 x 14 /2", nest(256, 1, 1, 14, 2)),
        ("dw 512 x 14", nest(512, 1, 1, 14, 1)),
        ("32 groups of 4", nest(32, 4, 4, 56, 1)),
        ("3 groups of 80", nest(3, 80, 80, 28, 1)),
    ]
}

/// One of each kind, and the engines of the shipped profiles that the layers run on.
fn profiles() -> Vec<Profile> {
    let dense = |name: &str, kind: EngineKind| engine(name, 500.0, 9000.0, kind);
    let engines: Vec<Engine> = vec![
        dense("systolic ws", systolic(32, 32, Dataflow::WeightStationary)),
        dense("systolic is", systolic(32, 32, Dataflow::InputStationary)),
        dense("systolic os", systolic(32, 32, Dataflow::OutputStationary)),
        dense(
            "trees",
            EngineKind::DotProduct(DotProduct {
                kernels: 32,
                channels: 64,
                accumulators: 256,
                weights_per_cycle: 64,
                latency: 4,
            }),
        ),
        dense("fusion", EngineKind::BitFusion(BitFusion { rows: 16, cols: 32 })),
        dense(
            "serial",
            EngineKind::BitSerial(BitSerial {
                rows: 16,
                cols: 16,
                lanes: 16,
                serial: SerialOperand::Activations,
            }),
        ),
        dense(
            "n of m",
            EngineKind::Structured(Structured {
                keep: 2,
                group: 4,
                rows: 16,
                cols: 16,
                lanes: 32,
            }),
        ),
        dense(
            "flexible",
            EngineKind::Flexible(Flexible {
                multipliers: 256,
                distribution_words: 128,
                output_lines: 128,
                sparse: true,
            }),
        ),
        dense(
            "row-stationary",
            EngineKind::RowStationary(RowStationary {
                rows: 12,
                cols: 14,
                filter_words: 224,
                input_words: 12,
                psum_words: 24,
                psums_per_cycle: 32,
                weights_per_cycle: 32,
                inputs_per_cycle: 32,
                banks: 1 << 10,
                bank: Capacity::new(32_768.0).expect("a capacity"),
                gates_zero_inputs: false,
                run_length: None,
            }),
        ),
        dense(
            "slices",
            EngineKind::Slices(Slices {
                pes: 64,
                ..slices(64)
            }),
        ),
        dense(
            "interleaved",
            EngineKind::Slices(Slices {
                partition: Partition::RowInterleaved,
                ..slices(64)
            }),
        ),
    ];
    let mut all = vec![profile(engines)];
    for name in [
        "tpu-v1-28nm",
        "nvdla-like-28nm",
        "bitfusion-like-45nm",
        "nm-like",
        "sigma-like-28nm",
        "eyeriss-65nm",
        "scnn-like-16nm",
        "eie-45nm",
        "admm-nn-40nm",
    ] {
        let shipped = zoo::find(name).expect("shipped");
        all.push(shipped.profile().expect("valid"));
    }
    all
}

/// Depthwise layers on engines whose time is that of a port, whatever the groups: one input, or one column, a cycle.
fn no_split_would_help(kind: &EngineKind, nest: LoopNest, run: &ArrayRun, name: &str) {
    match kind {
        EngineKind::RowStationary(engine) if engine.inputs_per_cycle == 1 => {
            let port = run.bits.inputs / 8;
            assert!(
                port as f64 > 0.96 * run.cycles as f64,
                "{name}: {port} of {}",
                run.cycles
            );
        }
        EngineKind::Slices(engine) if engine.partition == Partition::RowInterleaved => {
            let gemm = nest.gemm();
            assert_eq!(run.cycles, nest.g * gemm.m * gemm.k);
        }
        _ => {}
    }
}

#[test]
fn groups_side_by_side_are_never_slower() {
    for profile in profiles() {
        for (e, unit) in profile.engines.iter().enumerate() {
            let mut faster = Vec::new();
            for (name, nest) in layers() {
                let free = LayerWork {
                    weight_bits: 8,
                    activation_bits: ActivationBits::all(8),
                    ..work(nest, Weights::Density(1.0))
                };
                let mapping = Some(Mapping::from(Spatial::ONE));
                let alone = LayerWork { mapping, ..free };
                // a row-stationary mapping splits groups by itself: one group, so many times
                let times = if matches!(unit.kind, EngineKind::RowStationary(_)) {
                    nest.g
                } else {
                    1
                };
                let single = work(
                    LoopNest {
                        g: nest.g / times,
                        ..nest
                    },
                    Weights::Density(1.0),
                );
                let single = LayerWork {
                    weight_bits: 8,
                    activation_bits: ActivationBits::all(8),
                    mapping,
                    ..single
                };
                let (run, before) = match (array(&free, &profile, e, None), array(&single, &profile, e, None))
                {
                    (Ok(run), Ok(before)) => (run, before),
                    (Err(error), _) => {
                        // EIE multiplies vectors; nothing else refuses
                        assert!(
                            unit.name.contains("vector"),
                            "{} refuses {name}: {error}",
                            unit.name
                        );
                        continue;
                    }
                    (Ok(_), Err(error)) => panic!("{} refuses one group at a time: {error}", unit.name),
                };
                let cycles_before = times * before.cycles;
                assert!(run.cycles <= cycles_before, "{name} on {}", unit.name);
                for run in [&run, &before] {
                    assert!(
                        run.cycles >= run.macs.div_ceil(run.peak),
                        "{name} on {}",
                        unit.name
                    );
                    assert_eq!(run.causes.total(), Ok(run.cycles));
                }
                assert_eq!(
                    run.macs,
                    times * before.macs,
                    "the split changes no multiplication"
                );
                let (cost, cost_before) = (
                    layer_on(&free, &profile, e).expect("it fits"),
                    layer_on(&alone, &profile, e).expect("it fits"),
                );
                assert!(cost.cycles <= cost_before.cycles, "{name} on {}", unit.name);
                for pick in [Pick::Latency, Pick::Energy] {
                    let mapping = Some(Mapping::Searched(pick));
                    let searched = layer_on(&LayerWork { mapping, ..free }, &profile, e).expect("it fits");
                    assert!(pick.of(&searched) <= pick.of(&cost));
                }
                if nest.k == 1 {
                    no_split_would_help(&unit.kind, nest, &run, name);
                }
                let percent = |cycles: u64| 100.0 * run.macs as f64 / (cycles as f64 * run.peak as f64);
                println!(
                    "{} {} {name}: {} groups at once, {} with memories, array {:.2} % -> {:.2} %, with memories {:.2} % -> {:.2} %",
                    profile.name,
                    unit.name,
                    run.spatial.groups,
                    cost.mapping.as_ref().map_or("", |form| &form.word),
                    percent(cycles_before),
                    percent(run.cycles),
                    percent(cost_before.cycles),
                    percent(cost.cycles),
                );
                faster.push(cycles_before as f64 / run.cycles as f64);
            }
            // those whose data paths allow it use several times more of the array on depthwise layers
            let packs = matches!(
                unit.kind,
                EngineKind::DotProduct(_) | EngineKind::Flexible(_) | EngineKind::BitFusion(_)
            ) || ["systolic ws", "row-stationary"].contains(&unit.name.as_str())
                && profile.name == "test";
            if packs && let Some(&first) = faster.first() {
                let most = faster.iter().copied().fold(first, f64::max);
                assert!(most > 1.5, "{}: {faster:?}", unit.name);
            }
        }
    }
}
