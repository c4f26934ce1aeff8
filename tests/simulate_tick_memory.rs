//! Memories against their tick model: DRAM rows and banks, shared ports, intermediate levels and double buffers, on
//! random profiles and layers. `COSPARSE_CASES` sets how many (500 without it).

mod common;
#[path = "tick/memory.rs"]
mod memory;

use common::{buffer, dram, engine, pj, profile, slices, systolic, work};
use cosparse::hardware::{
    Dataflow, DramRows, EngineKind, Memory, MemoryKind, Ports, Profile, RowStationary, RunLength, TensorKind,
};
use cosparse::network::LoopNest;
use cosparse::simulate::{
    ActivationBits, LayerCost, LayerWork, Mapping, Pick, Spatial, TileOrder, Tiling, Weights, array, explain,
    layer_on,
};
use cosparse::units::Capacity;
use memory::{Machine, Ticked};
use proptest::prelude::*;

const TENSORS: [TensorKind; 4] = [
    TensorKind::Weights,
    TensorKind::Indices,
    TensorKind::Inputs,
    TensorKind::Outputs,
];

/// Something that is made better about a memory.
type Change = Box<dyn Fn(&mut Memory)>;

fn ports() -> impl Strategy<Value = Option<Ports>> {
    prop_oneof![
        Just(None),
        Just(Some(Ports::Separate)),
        Just(Some(Ports::Shared { banks: 1 })),
        (2u64..9).prop_map(|banks| Some(Ports::Shared { banks })),
    ]
}

/// A buffer with room for everything, so that any of them may be the largest.
fn one_buffer() -> impl Strategy<Value = Memory> {
    (8u64..400, any::<[bool; 4]>(), any::<bool>(), 0u64..64, ports()).prop_map(
        |(width, holds, double, more, ports)| {
            let held: Vec<_> = (0..4).filter(|&t| holds[t]).map(|t| TENSORS[t]).collect();
            let mut memory = buffer("buffer", (1 << 30) + more, width, &held);
            if let MemoryKind::Buffer { double_buffered, .. } = &mut memory.kind {
                *double_buffered = double;
            }
            memory.ports = ports;
            memory
        },
    )
}

fn main_memory() -> impl Strategy<Value = Memory> {
    let rows = prop::option::weighted(0.8, (3u32..9, 1u64..6, 1u64..40));
    (8u64..400, 0u32..4, rows).prop_map(|(width, log, rows)| {
        let mut memory = dram(width);
        memory.kind = MemoryKind::Dram { burst_bits: 8 << log };
        memory.rows = rows.map(|(log, banks, row_miss_cycles)| DramRows {
            row_bytes: 1 << log,
            banks,
            row_miss_cycles,
            activate_energy: Some(pj(7.0)),
        });
        memory
    })
}

/// None to three buffers with any tensors in them, and the DRAM.
fn memories() -> impl Strategy<Value = Vec<Memory>> {
    (prop::collection::vec(one_buffer(), 0..4), main_memory()).prop_map(|(mut memories, dram)| {
        for (i, memory) in memories.iter_mut().enumerate() {
            memory.name = format!("buffer{i}");
        }
        memories.push(dram);
        memories
    })
}

prop_compose! {
    /// A layer in tiles: blocks lie in a group or a sample, or hold whole ones.
    fn tiled()(
        n in 1u64..4, g in prop_oneof![3 => Just(1u64), 1 => 2u64..4], c in 1u64..5, k in 1u64..12, p in 1u64..9, q in 1u64..5,
        r in 1u64..4, stride in 1u64..3,
    )(
        channels in prop_oneof![1..=k, (1..=g).prop_map(move |groups| groups * k)],
        rows in prop_oneof![1..=p, (1..=n).prop_map(move |samples| samples * p)],
        outer in any::<bool>(),
        nest in Just(LoopNest { n, g, k, c, p, q, r, s: 2, stride: [stride; 2], dilation: [1; 2] }),
    ) -> (LoopNest, Tiling) {
        let order = if outer { TileOrder::ChannelsOuter } else { TileOrder::RowsOuter };
        (nest, Tiling { channels, rows, order })
    }
}

/// Buffers that neither fill up nor lack ports, beside a DRAM.
fn beside(dram: Memory) -> Vec<Memory> {
    vec![
        buffer("weights", 1 << 20, 1 << 20, &TENSORS[..2]),
        buffer("features", 1 << 20, 1 << 20, &TENSORS[2..]),
        dram,
    ]
}

fn machine(sparse: bool, pes: u32, memories: Vec<Memory>) -> Profile {
    let kind = if sparse {
        EngineKind::Slices(slices(pes))
    } else {
        systolic(pes, 3, Dataflow::WeightStationary)
    };
    Profile {
        memories,
        ..profile(vec![engine("engine", 500.0, 9000.0, kind)])
    }
}

fn row_stationary() -> RowStationary {
    RowStationary {
        rows: 12,
        cols: 14,
        filter_words: 224,
        input_words: 12,
        psum_words: 24,
        psums_per_cycle: 4,
        weights_per_cycle: 4,
        inputs_per_cycle: 1,
        banks: 1 << 16,
        bank: Capacity::new(32_768.0).expect("a capacity"),
        gates_zero_inputs: false,
        run_length: None,
    }
}

fn layer<'a>(nest: LoopNest, tiling: Tiling, dram: [bool; 2], bits: u32, sparse: bool) -> LayerWork<'a> {
    LayerWork {
        activation_bits: ActivationBits {
            output: 16,
            ..ActivationBits::all(bits)
        },
        input_from_dram: dram[0],
        output_to_dram: dram[1],
        mapping: Some(if sparse {
            Mapping::Tiled(tiling)
        } else {
            Mapping::Spatial(Spatial::ONE, Some(tiling))
        }),
        ..work(nest, Weights::Density(if sparse { 0.4 } else { 1.0 }))
    }
}

/// Bits read from the DRAM and written there, by tensor.
fn at_dram(cost: &LayerCost) -> ([u64; 4], [u64; 4]) {
    let of = |t: usize| {
        let mut found = cost.traffic.iter();
        let found = found.find(|at| at.memory == "dram" && at.tensor == TENSORS[t]);
        found.map_or((0, 0), |at| (at.read_bits, at.write_bits))
    };
    (std::array::from_fn(|t| of(t).0), std::array::from_fn(|t| of(t).1))
}

proptest! {
    #![proptest_config(common::cases(500))]

    /// Cycles, rows opened and bits moved are those of the tick model.
    #[test]
    fn memories_are_as_ticked(
        (nest, tiling) in tiled(),
        memories in memories(),
        through in any::<[bool; 2]>(),
        bits in prop_oneof![Just(8u32), 3u32..17],
        sparse in any::<bool>(),
        pes in 1u32..9,
    ) {
        let profile = machine(sparse, pes, memories);
        let work = layer(nest, tiling, through, bits, sparse);
        let cost = layer_on(&work, &profile, 0).expect("a small layer runs");
        let run = array(&work, &profile, 0, None).expect("a small layer runs");
        let machine = Machine { work: &work, array: &run, memories: &profile.memories, tiling: Some(tiling) };
        let (read, written) = at_dram(&cost);
        let found = Ticked {
            cycles: cost.cycles,
            activations: cost.rows.map_or(0, |rows| rows.activations),
            read,
            written,
        };
        prop_assert_eq!(&found, &machine.run());
        prop_assert_eq!(cost.causes.total(), Ok(cost.cycles));
        if let Some(rows) = cost.rows {
            // rows hold what is moved, and their energy is a component
            let moved = read.iter().chain(&written).sum::<u64>();
            prop_assert_eq!(rows.moved_bits, moved);
            prop_assert!(rows.activations >= moved.div_ceil(rows.row_bits));
            if let Some(efficiency) = rows.efficiency() {
                prop_assert!(efficiency > 0.0 && efficiency <= 1.0);
            }
            prop_assert_eq!(cost.energy.activation, Some(7.0 * rows.activations as f64));
        } else {
            prop_assert_eq!(cost.energy.activation, None);
        }
    }

    /// Where the array says what moves, too: row-stationary mappings, with features compressed in the DRAM or not.
    #[test]
    fn given_transfers_are_as_ticked(
        (nest, _) in tiled(),
        memories in memories(),
        through in any::<[bool; 2]>(),
        compressed in any::<bool>(),
        density in 0.2f64..1.0,
    ) {
        let kind = EngineKind::RowStationary(RowStationary {
            run_length: compressed.then_some(RunLength { values: 3, word_bits: 64 }),
            ..row_stationary()
        });
        let profile = Profile {
            memories,
            ..profile(vec![engine("engine", 500.0, 9000.0, kind)])
        };
        // of one sample no other mapping is tried
        let nest = LoopNest { n: 1, ..nest };
        let work = LayerWork {
            input_from_dram: through[0],
            output_to_dram: through[1],
            activation_density: density,
            output_density: density,
            ..work(nest, Weights::Density(1.0))
        };
        let cost = layer_on(&work, &profile, 0).expect("a small layer runs");
        let run = array(&work, &profile, 0, None).expect("a small layer runs");
        prop_assert!(run.transfers.is_some());
        let machine = Machine { work: &work, array: &run, memories: &profile.memories, tiling: None };
        let (read, written) = at_dram(&cost);
        let found = Ticked {
            cycles: cost.cycles,
            activations: cost.rows.map_or(0, |rows| rows.activations),
            read,
            written,
        };
        prop_assert_eq!(&found, &machine.run());
    }

    /// More banks and larger rows are never slower, rows twice as large are never opened more often, and neither are
    /// more ports slower.
    #[test]
    fn more_of_anything_is_never_slower(
        (nest, tiling) in tiled(),
        memories in memories(),
        through in any::<[bool; 2]>(),
        sparse in any::<bool>(),
        pes in 1u32..9,
    ) {
        let profile = machine(sparse, pes, memories);
        let work = layer(nest, tiling, through, 8, sparse);
        let run = |profile: &Profile| layer_on(&work, profile, 0).expect("a small layer runs");
        let here = run(&profile);
        for m in 0..profile.memories.len() {
            let memory = &profile.memories[m];
            let mut changes: Vec<Change> = vec![
                Box::new(|m| m.ports = None),
                Box::new(|m| m.rows = None),
                Box::new(|m| m.bits_per_cycle.value += 1),
            ];
            if let Some(Ports::Shared { banks }) = memory.ports {
                changes.push(Box::new(move |m| m.ports = Some(Ports::Shared { banks: banks + 1 })));
                changes.push(Box::new(|m| m.ports = Some(Ports::Separate)));
            }
            if let Some(rows) = memory.rows.clone() {
                let more = DramRows { banks: rows.banks + 1, ..rows.clone() };
                changes.push(Box::new(move |m| m.rows = Some(more.clone())));
                let larger = DramRows { row_bytes: 2 * rows.row_bytes, ..rows };
                changes.push(Box::new(move |m| m.rows = Some(larger.clone())));
            }
            for change in changes {
                let mut other = profile.clone();
                change(&mut other.memories[m]);
                let there = run(&other);
                prop_assert!(there.cycles <= here.cycles);
                if let (Some(there), Some(here)) = (there.rows, here.rows) {
                    prop_assert!(there.activations <= here.activations);
                }
            }
        }
    }
}

/// 4 channels of 4 products at one position, 16 bits, 4 tiles of one channel, all through 16 bits a cycle. Rows of 8
/// bytes: each tile's weights are a row, all inputs are one, and each output opens one. One bank, 3 cycles a miss.
///
/// ```text
/// load 0: 128 bits, 2 rows           8 + 6
/// tile 0 (4): load 1, 64 bits        4 + 3
/// tile 1 (4): load 2 and store 0     5 + 6
/// tile 2 (4): load 3 and store 1     5 + 6
/// tile 3 (4): store 2                1 + 3, or 4
/// store 3                            1 + 3
/// ```
#[test]
fn rows_by_hand() {
    let mut main = dram(16);
    main.kind = MemoryKind::Dram { burst_bits: 16 };
    main.rows = Some(DramRows {
        row_bytes: 8,
        banks: 1,
        row_miss_cycles: 3,
        activate_energy: None,
    });
    let profile = machine(true, 1, beside(main));
    let mut dense = profile.clone();
    dense.engines[0].kind = EngineKind::Slices(cosparse::hardware::Slices {
        index: None,
        ..slices(1)
    });
    let tiling = Tiling {
        channels: 1,
        rows: 1,
        order: TileOrder::ChannelsOuter,
    };
    let work = LayerWork {
        mapping: Some(Mapping::Tiled(tiling)),
        ..work(common::gemm(1, 4, 4), Weights::Density(1.0))
    };
    let cost = layer_on(&work, &dense, 0).expect("a cost");
    assert_eq!(cost.cycles, 14 + 7 + 11 + 11 + 4 + 4);
    let rows = cost.rows.expect("the profile has rows");
    // four of weights, one of inputs, four of outputs
    assert_eq!((rows.activations, rows.moved_bits), (9, 256 + 64 + 64));
    assert_eq!(rows.efficiency(), Some(384.0 / (9.0 * 64.0)));
    // the profile says nothing of their energy: it is in that of a bit
    assert_eq!(cost.energy.activation, None);
}

/// A tile of 64 bits passes an intermediate level of 2 bits a cycle: 32 cycles, although the DRAM takes 4.
#[test]
fn an_intermediate_level_bounds_what_passes_it() {
    let mut main = dram(16);
    main.kind = MemoryKind::Dram { burst_bits: 16 };
    let features = || buffer("features", 1 << 20, 1 << 20, &TENSORS[2..]);
    let direct = machine(
        false,
        1,
        vec![
            buffer("weights", 1 << 20, 1 << 20, &TENSORS[..2]),
            features(),
            main,
        ],
    );
    let mut through = direct.clone();
    through
        .memories
        .insert(1, buffer("level", 1 << 21, 2, &TENSORS[..1]));
    let work = work(common::gemm(1, 4, 1), Weights::Density(1.0));
    let (direct, through) = (
        layer_on(&work, &direct, 0).expect("a cost"),
        layer_on(&work, &through, 0).expect("a cost"),
    );
    // the first load: 64 bits of weights and 64 of inputs, 8 cycles at the DRAM
    assert_eq!(through.cycles - direct.cycles, 32 - 8);
    assert_eq!(through.causes.stall_weights - direct.causes.stall_weights, 32 - 4);
}

/// A layer that opens a row for every burst is told what helps, and the advice holds when it is simulated by hand.
#[test]
fn misses_are_explained() {
    let mut main = dram(64);
    main.kind = MemoryKind::Dram { burst_bits: 64 };
    main.rows = Some(DramRows {
        row_bytes: 64,
        banks: 1,
        row_miss_cycles: 20,
        activate_energy: None,
    });
    let profile = machine(false, 8, beside(main));
    let work = work(common::gemm(1, 64, 64), Weights::Density(1.0));
    let explained = explain(&work, &profile, Pick::Latency).expect("an explanation");
    let named = |what: &str| explained.changes.iter().find(|change| change.what == what);
    let banks = named("dram: banks 1 → 2").expect("banks help");
    let mut more = profile.clone();
    more.memories[2].rows.as_mut().expect("rows").banks = 2;
    let after = layer_on(&work, &more, 0).expect("a cost");
    assert_eq!(banks.outcome.as_ref().map(|cost| cost.cycles), Ok(after.cycles));
    assert!(banks.speedup > 1.02 && named("dram: rows 64 → 128 bytes").is_some());
    // whole bursts already: shorter ones do not help, and are not named
    assert!(named("dram: bursts 64 → 32 bits").is_none());
}
