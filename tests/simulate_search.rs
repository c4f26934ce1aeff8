//! The search for splits and tiles: against every split and tiling run one by one, against what runs without a search,
//! and what is pinned.
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;

use common::{buffer, dram, engine, profile, slices, systolic, work};
use cosparse::hardware::{
    BitFusion, BitSerial, Dataflow, DotProduct, EngineKind, Flexible, MemoryKind, Profile, SerialOperand,
    Slices, TensorKind, zoo,
};
use cosparse::network::{Layer, LoopNest, Workload};
use cosparse::simulate::{
    ActivationBits, Estimator, LayerCost, LayerSetting, LayerWork, Mapping, Pick, SimulateError, Spatial,
    TileOrder, Tiling, Total, Weights, layer, layer_on, network,
};
use proptest::prelude::*;

const PICKS: [Pick; 3] = [Pick::Latency, Pick::Energy, Pick::EnergyDelay];

/// Small buffers and narrow ports around a systolic array and a sparse engine.
fn tight(
    buffers: [u64; 2],
    port: u64,
    dram_port: u64,
    burst: u64,
    double: [bool; 2],
    shared: bool,
) -> Profile {
    let mut profile = profile(vec![
        engine("dense", 500.0, 9000.0, systolic(4, 4, Dataflow::WeightStationary)),
        engine(
            "sparse",
            400.0,
            9000.0,
            EngineKind::Slices(Slices { pes: 8, ..slices(8) }),
        ),
        engine("inputs", 500.0, 9000.0, systolic(5, 6, Dataflow::InputStationary)),
        engine(
            "trees",
            400.0,
            9000.0,
            EngineKind::DotProduct(DotProduct {
                kernels: 4,
                channels: 6,
                accumulators: 16,
                weights_per_cycle: 3,
                latency: 2,
            }),
        ),
        engine(
            "fusion",
            300.0,
            9000.0,
            EngineKind::BitFusion(BitFusion { rows: 3, cols: 4 }),
        ),
        engine(
            "serial",
            600.0,
            9000.0,
            EngineKind::BitSerial(BitSerial {
                rows: 4,
                cols: 2,
                lanes: 3,
                serial: SerialOperand::Weights,
            }),
        ),
        engine(
            "flexible",
            400.0,
            9000.0,
            EngineKind::Flexible(Flexible {
                multipliers: 16,
                distribution_words: 4,
                output_lines: 4,
                sparse: true,
            }),
        ),
    ]);
    let weights = [TensorKind::Weights, TensorKind::Indices];
    let features = [TensorKind::Inputs, TensorKind::Outputs];
    let all = [weights, features].concat();
    let mut main = dram(dram_port);
    main.kind = MemoryKind::Dram { burst_bits: burst };
    let mut memories = if shared {
        vec![buffer("buffer", buffers[0] + buffers[1], port, &all)]
    } else {
        vec![
            buffer("weights", buffers[0], port, &weights),
            buffer("features", buffers[1], port, &features),
        ]
    };
    for (memory, wanted) in memories.iter_mut().zip(double) {
        if let MemoryKind::Buffer { double_buffered, .. } = &mut memory.kind {
            *double_buffered = wanted;
        }
    }
    memories.push(main);
    profile.memories = memories;
    profile
}

prop_compose! {
    fn any_profile()(
        buffers in [400u64..6000, 400u64..6000],
        port in 8u64..200,
        dram_port in 1u64..100,
        burst in prop::sample::select(vec![1u64, 16, 64]),
        double in any::<[bool; 2]>(),
        shared in any::<bool>(),
    ) -> Profile {
        tight(buffers, port, dram_port, burst, double, shared)
    }
}

prop_compose! {
    fn any_nest(most: u64)(
        n in 1u64..3, g in 1u64..5, k in 1u64..=most, c in 1u64..5, p in 1u64..=most, q in 1u64..5,
        r in 1u64..4, stride in 1u64..3,
    ) -> LoopNest {
        LoopNest { n, g, k, c, p, q, r, s: r, stride: [stride, stride], dilation: [1, 1] }
    }
}

/// Every split that any of the engines above could hold.
fn splits(nest: &LoopNest) -> Vec<Spatial> {
    let mut all = Vec::new();
    for groups in 1..=nest.g {
        for positions in 1..=nest.gemm().m.min(6) {
            for columns in 1..=nest.s {
                all.push(Spatial {
                    groups,
                    positions,
                    columns,
                });
            }
        }
    }
    all
}

/// Every split and tiling there is, run one by one: the least measure.
fn brute(work: &LayerWork<'_>, profile: &Profile, engine: usize, pick: Pick) -> Option<f64> {
    let mut least: Option<f64> = None;
    for split in splits(&work.nest) {
        let array = LayerWork {
            mapping: Some(split.into()),
            ..*work
        };
        if cosparse::simulate::array(&array, profile, engine, None).is_err() {
            continue; // a split that the array has no room for
        }
        for channels in 1..=work.nest.g * work.nest.k {
            for rows in 1..=work.nest.n * work.nest.p {
                for order in [TileOrder::ChannelsOuter, TileOrder::RowsOuter] {
                    let tiling = Tiling {
                        channels,
                        rows,
                        order,
                    };
                    let mapping = Some(Mapping::Spatial(split, Some(tiling)));
                    // blocks that straddle groups or samples, and tiles that do not fit, are refused
                    if let Ok(cost) = layer_on(&LayerWork { mapping, ..*work }, profile, engine) {
                        let value = pick.of(&cost);
                        least = Some(least.map_or(value, |l| l.min(value)));
                    }
                }
            }
        }
    }
    least
}

proptest! {
    #![proptest_config(common::cases(200))]

    #[test]
    fn the_search_equals_brute_force(
        nest in any_nest(7), profile in any_profile(), density in 0.1..1.0f64,
        pick in prop::sample::select(PICKS.to_vec()), stays in any::<[bool; 2]>(), engine in 0usize..7,
    ) {
        let work = LayerWork { input_from_dram: !stays[0], output_to_dram: !stays[1], ..work(nest, Weights::Density(density)) };
        // narrow enough for all engines
        let work = LayerWork { weight_bits: 8, activation_bits: ActivationBits::all(8), ..work };
        let searched = LayerWork { mapping: Some(Mapping::Searched(pick)), ..work };
        match (layer_on(&searched, &profile, engine), brute(&work, &profile, engine, pick)) {
            (Ok(cost), Some(least)) => prop_assert_eq!(pick.of(&cost), least),
            (Err(SimulateError::Tile { .. }), None) => {}
            (cost, least) => prop_assert!(false, "{:?} against {:?}", cost, least),
        }
    }

    #[test]
    fn the_search_never_loses_to_the_fewest_loads(
        nest in any_nest(80), profile in any_profile(), density in 0.1..1.0f64,
        pick in prop::sample::select(PICKS.to_vec()),
    ) {
        let work = work(nest, Weights::Density(density));
        let searched = LayerWork { mapping: Some(Mapping::Searched(pick)), ..work };
        match (layer(&searched, &profile, pick), layer(&work, &profile, pick)) {
            (Ok(searched), Ok(today)) => {
                prop_assert!(pick.of(&searched.cost) <= pick.of(&today.cost));
                // the engine it takes is the cheapest of the searched ones
                for cost in searched.all.iter().flatten() {
                    prop_assert!(pick.of(&searched.cost) <= pick.of(cost));
                }
                for (searched, today) in searched.all.iter().zip(&today.all) {
                    prop_assert_eq!(searched.is_ok(), today.is_ok());
                }
                prop_assert_eq!(searched.cost.causes.total(), Ok(searched.cost.cycles));
            }
            (searched, today) => prop_assert_eq!(searched.err(), today.err()),
        }
    }
}

/// The mapping that a cell of the report says.
fn pinned(word: &str) -> Mapping {
    let mut split = Spatial::ONE;
    let mut tiling = Tiling {
        channels: 0,
        rows: 0,
        order: TileOrder::ChannelsOuter,
    };
    for part in word.split(' ') {
        match part
            .split_once('=')
            .map(|(key, count)| (key, count.parse().expect("a count")))
        {
            Some(("groups", count)) => split.groups = count,
            Some(("positions", count)) => split.positions = count,
            Some(("kernel-columns", count)) => split.columns = count,
            Some(("channels", count)) => tiling.channels = count,
            Some(("rows", count)) => tiling.rows = count,
            Some((key, _)) => panic!("a key `{key}`"),
            None if part == "rows-outer" => tiling.order = TileOrder::RowsOuter,
            None => assert_eq!(part, "channels-outer"),
        }
    }
    Mapping::Spatial(split, Some(tiling))
}

proptest! {
    #![proptest_config(common::cases(200))]

    /// What was chosen, with and without a search, gives the same cost when it is pinned as the report says it.
    #[test]
    fn what_was_chosen_can_be_pinned(
        nest in any_nest(20), profile in any_profile(), density in 0.1..1.0f64,
        pick in prop::sample::select(PICKS.to_vec()), search in any::<bool>(), engine in 0usize..7,
    ) {
        let mapping = search.then_some(Mapping::Searched(pick));
        let work = LayerWork { mapping, weight_bits: 8, activation_bits: ActivationBits::all(8), ..work(nest, Weights::Density(density)) };
        if let Ok(cost) = layer_on(&work, &profile, engine) {
            let word = &cost.mapping.as_ref().expect("tiles").word;
            let mapping = Some(pinned(word));
            let again: LayerCost = layer_on(&LayerWork { mapping, ..work }, &profile, engine).expect("it fits");
            prop_assert_eq!(again, cost);
        }
    }
}

/// Networks: never worse than without the search in any layer, the same whole as the estimator, equal layers equal.
#[test]
fn networks_are_searched_layer_by_layer() {
    for (name, profile_name) in [
        ("resnet18", "tpu-v1-28nm"),
        ("alexnet", "admm-nn-40nm"),
        ("lenet5", "nvdla-like-28nm"),
    ] {
        let workload = Workload::find(name).expect("it is shipped");
        let profile = zoo::find(profile_name)
            .expect("it is shipped")
            .profile()
            .expect("it is valid");
        for pick in PICKS {
            let with = |mapping: Option<Mapping>| {
                move |_: &Layer| LayerSetting {
                    weights: Weights::Density(0.5),
                    weight_bits: 8,
                    activation_density: 1.0,
                    activation_bits: None,
                    mapping,
                }
            };
            let searching = with(Some(Mapping::Searched(pick)));
            let today = network(&workload.network, &profile, 1, pick, &with(None)).expect("it runs");
            let searched = network(&workload.network, &profile, 1, pick, &searching).expect("it runs");
            for (a, b) in searched.layers.iter().zip(&today.layers) {
                assert!(
                    pick.of(&a.outcome.cost) <= pick.of(&b.outcome.cost),
                    "{name} {}",
                    a.name
                );
            }
            println!(
                "{name} on {profile_name} by {pick:?}: {} cycles, {:.4e} pJ; fewest loads {} cycles, {:.4e} pJ",
                searched.cycles,
                searched.energy.total(),
                today.cycles,
                today.energy.total()
            );
            let estimator = Estimator::new(&workload.network, &profile, 1, pick);
            assert_eq!(estimator.total(&searching), Ok(Total::from(&searched)));
        }
    }
}

#[test]
fn pinned_tiles_that_cannot_be_say_why() {
    let profile = tight([2000, 20_000], 64, 16, 16, [true, true], false);
    let nest = LoopNest {
        n: 2,
        g: 2,
        k: 4,
        c: 4,
        p: 8,
        q: 8,
        r: 3,
        s: 3,
        stride: [1, 1],
        dilation: [1, 1],
    };
    let tell = |channels, rows| {
        let tiling = Tiling {
            channels,
            rows,
            order: TileOrder::ChannelsOuter,
        };
        let pinned = LayerWork {
            mapping: Some(tiling.into()),
            ..work(nest, Weights::Density(1.0))
        };
        match layer_on(&pinned, &profile, 0) {
            Err(SimulateError::Mapping { key, message, .. }) => (key, message),
            other => panic!("{channels} x {rows}: {other:?}"),
        }
    };
    assert_eq!(tell(0, 1).0, "channels");
    assert_eq!(
        tell(5, 1),
        (
            "channels",
            "`channels` is 5; the layer has 8 channels, 4 in a group".into()
        )
    );
    assert_eq!(
        tell(1, 12),
        (
            "rows",
            "`rows` is 12; the layer has 16 rows, 8 in a sample".into()
        )
    );
    // 4 channels of 36 weights of 16 bits, twice
    assert_eq!(
        tell(4, 1),
        (
            "channels",
            "a tile of 4 channels x 1 rows needs 4608 bits of `weights`, which has 2000".into()
        )
    );
}
