//! Several samples at once, on every engine: features scale with the batch, weights do not.
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;

use common::{buffer, dense, dram, engine, profile, random_mask, slices, systolic, work};
use cosparse::compression::Mask;
use cosparse::hardware::{
    BitFusion, BitSerial, Dataflow, DotProduct, EngineKind, FeaturePort, Flexible, MemoryKind, Partition,
    Profile, RowStationary, Scatter, SerialOperand, Slices, Structured, Synchronisation, TensorKind, zoo,
};
use cosparse::network::{LoopNest, Workload};
use cosparse::simulate::{
    ArrayRun, Fusion, LayerCost, LayerWork, MEMORY, Pick, Weights, array, layer_on, network_fused,
};
use cosparse::units::Capacity;
use proptest::prelude::*;

/// One sample, strides and dilations included.
fn nest() -> impl Strategy<Value = LoopNest> {
    let extents = (1..4u64, 1..9u64, 1..6u64, 1..6u64, 1..6u64, 1..4u64, 1..4u64);
    (extents, [1..3u64, 1..3u64], [1..3u64, 1..3u64]).prop_map(|((g, k, c, p, q, r, s), stride, dilation)| {
        LoopNest {
            n: 1,
            g,
            k,
            c,
            p,
            q,
            r,
            s,
            stride,
            dilation,
        }
    })
}

/// One engine of each kind and variant, of sizes that follow from a few numbers.
fn engines(a: u32, b: u32, c: u32) -> Vec<(&'static str, EngineKind)> {
    [dense_engines(a, b, c), sparse_engines(a, b, c)].concat()
}

fn dense_engines(a: u32, b: u32, c: u32) -> Vec<(&'static str, EngineKind)> {
    vec![
        ("ws", systolic(a, b, Dataflow::WeightStationary)),
        ("os", systolic(a, b, Dataflow::OutputStationary)),
        ("is", systolic(a, b, Dataflow::InputStationary)),
        (
            "row-stationary",
            EngineKind::RowStationary(RowStationary {
                rows: 3 * b,
                cols: a,
                filter_words: 12 * c,
                input_words: 6 * c,
                psum_words: b,
                psums_per_cycle: b,
                weights_per_cycle: c,
                inputs_per_cycle: a,
                banks: 1 << 10,
                bank: Capacity::new(4096.0).expect("a capacity"),
                gates_zero_inputs: true,
                run_length: None,
            }),
        ),
        (
            "dot-product",
            EngineKind::DotProduct(DotProduct {
                kernels: a,
                channels: b,
                accumulators: 1 + 2 * c,
                weights_per_cycle: c,
                latency: b,
            }),
        ),
    ]
}

fn sparse_engines(a: u32, b: u32, c: u32) -> Vec<(&'static str, EngineKind)> {
    let contiguous = |synchronisation, skip_zero_activations, feature_port| {
        EngineKind::Slices(Slices {
            macs_per_pe: b,
            cycles_per_entry: c,
            synchronisation,
            skip_zero_activations,
            feature_port,
            ..slices(a)
        })
    };
    let interleaved = |synchronisation, accumulators| {
        EngineKind::Slices(Slices {
            partition: Partition::RowInterleaved,
            macs_per_pe: b,
            synchronisation,
            accumulators,
            skip_zero_activations: true,
            ..slices(a)
        })
    };
    let port = FeaturePort {
        group: 1 + a,
        words_per_cycle: b,
    };
    vec![
        (
            "slices, barrier",
            contiguous(Synchronisation::Barrier, true, Some(port)),
        ),
        (
            "slices, queues",
            contiguous(Synchronisation::Fifo { depth: 4 }, false, None),
        ),
        (
            "rows, barrier",
            interleaved(Synchronisation::Barrier, Some(1 + c)),
        ),
        (
            "rows, queues",
            interleaved(Synchronisation::Fifo { depth: 3 }, None),
        ),
        (
            "flexible",
            EngineKind::Flexible(Flexible {
                multipliers: 1 << (1 + a % 5),
                distribution_words: b,
                output_lines: c,
                sparse: true,
            }),
        ),
        (
            "structured",
            EngineKind::Structured(Structured {
                keep: 1,
                group: 4,
                rows: a,
                cols: b,
                lanes: c,
            }),
        ),
        (
            "bit-fusion",
            EngineKind::BitFusion(BitFusion { rows: a, cols: b }),
        ),
        (
            "bit-serial",
            EngineKind::BitSerial(BitSerial {
                rows: a,
                cols: b,
                lanes: c,
                serial: SerialOperand::Activations,
            }),
        ),
        (
            "scatter",
            EngineKind::Scatter(Scatter {
                rows: 1 + a % 3,
                cols: b,
                weights: c,
                activations: b,
                banks: a,
                queue_depth: 2,
                accumulators: 400,
                output_channels: c,
                index_bits: 4,
            }),
        ),
    ]
}

fn on(kind: &EngineKind) -> Profile {
    profile(vec![engine("engine", 500.0, 9000.0, kind.clone())])
}

/// The weights as an engine takes them: N:M engines only masks of their form or none, others any.
fn weights_of<'a>(name: &str, mask: &'a Mask, real: bool) -> Weights<'a> {
    match (name, real) {
        ("structured", _) => Weights::Density(0.25),
        (_, true) => Weights::Pattern(mask),
        (_, false) => Weights::Density(mask.density().max(0.01)),
    }
}

/// What an array does for a batch against what it does for a sample: multiplications, gated ones, outputs and the bits of
/// features scale exactly, except where samples of active inputs are rounded together; weights are stored once.
fn scales(one: &ArrayRun, many: &ArrayRun, n: u64, name: &str, slack: u64) -> Result<(), TestCaseError> {
    prop_assert_eq!(many.causes.total(), Ok(many.cycles), "{}", name);
    prop_assert!(
        many.cycles <= n * one.cycles + slack,
        "{}: {} > {n} x {}",
        name,
        many.cycles,
        one.cycles
    );
    prop_assert!(many.cycles >= one.cycles, "{}", name);
    prop_assert_eq!(many.stored, one.stored, "{}", name);
    prop_assert_eq!(many.peak, one.peak, "{}", name);
    let finished = |run: &ArrayRun| run.bits.outputs_written - run.bits.outputs_read;
    prop_assert_eq!(finished(many), n * finished(one), "{}", name);
    // how often an array takes weights that it does not hold is its mapping's choice, made for cycles: rows of a
    // row-stationary array, groups side by side in an input-stationary one
    prop_assert!(
        ["row-stationary", "is"].contains(&name) || many.bits.weights <= n * one.bits.weights,
        "{}: {} {} cycles {} {}",
        name,
        many.bits.weights,
        one.bits.weights,
        many.cycles,
        one.cycles
    );
    Ok(())
}

/// Cycles that a batch may take more than its samples. A dot-product tree deals the positions of all samples out over tiles
/// of its accumulators: fewer tiles, but the last may be so small that it waits for all its weights, one a cycle at least.
fn slack(name: &str, nest: &LoopNest) -> u64 {
    if name == "dot-product" { nest.weights() } else { 0 }
}

/// Multiplications scale; expectations of a sample and of a batch are each rounded.
fn multiplies(one: u64, many: u64, n: u64, real: bool, name: &str) -> Result<(), TestCaseError> {
    if real {
        prop_assert_eq!(many, n * one, "{}", name);
    }
    prop_assert!(
        many.abs_diff(n * one) <= n,
        "{}: {} for {n} x {}",
        name,
        many,
        one
    );
    Ok(())
}

proptest! {
    #![proptest_config(common::cases(150))]

    /// n samples take no longer than n times one, on every engine: on real weights with the same inputs active everywhere,
    /// and by density. (Active inputs by density are dealt out over the whole batch: a sample of few has none.)
    #[test]
    fn a_batch_is_never_slower_than_its_samples(
        nest in nest(),
        (a, b, c) in (1..9u32, 1..6u32, 1..5u32),
        n in 2..6u64,
        (density, active) in (0.05..1.0f64, 0.2..1.0f64),
        real in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (rows, cols) = ((nest.g * nest.k) as usize, (nest.c * nest.r * nest.s) as usize);
        let mask = random_mask(rows, cols, density, seed);
        let active = random_mask(1, nest.g as usize * cols, active, seed ^ 1);
        for (name, kind) in engines(a, b, c) {
            let profile = on(&kind);
            let one = work(nest, weights_of(name, &mask, real));
            let many = LayerWork { nest: nest.batch(n), ..one };
            let run = |work: &LayerWork| array(work, &profile, 0, real.then_some(&active));
            let (Ok(one), Ok(many)) = (run(&one), run(&many)) else { continue };
            scales(&one, &many, n, name, slack(name, &nest))?;
            multiplies(one.macs, many.macs, n, real, name)?;
        }
    }

    /// The same with memories, features through DRAM: where all weights and two samples fit, weights are loaded once.
    /// Blocks of channels inside blocks of rows load them again.
    #[test]
    fn weights_that_fit_are_loaded_once(
        nest in nest(),
        (a, b, c) in (1..9u32, 1..6u32, 1..5u32),
        n in 2..6u64,
        (density, real) in (0.05..1.0f64, any::<bool>()),
        (features, port, dram_port) in (1500..200_000u64, 16..400u64, 1..200u64),
        burst in prop::sample::select(vec![1u64, 64, 512]),
        seed in any::<u64>(),
    ) {
        let mask = random_mask((nest.g * nest.k) as usize, (nest.c * nest.r * nest.s) as usize, density, seed);
        for (name, kind) in engines(a, b, c) {
            let mut profile = on(&kind);
            let mut main = dram(dram_port);
            main.kind = MemoryKind::Dram { burst_bits: burst };
            profile.memories = vec![
                buffer("weights", 1 << 20, port, &[TensorKind::Weights, TensorKind::Indices]),
                buffer("features", features, port, &[TensorKind::Inputs, TensorKind::Outputs]),
                main,
            ];
            let one = work(nest, weights_of(name, &mask, real));
            let many = LayerWork { nest: nest.batch(n), ..one };
            let room = 2 * 16 * (one.input_elements + one.output_elements);
            let (Ok(one), Ok(many)) = (layer_on(&one, &profile, 0), layer_on(&many, &profile, 0)) else { continue };
            let loaded = |cost: &LayerCost| -> u64 {
                let at = cost.traffic.iter().filter(|t| t.memory == "dram" && matches!(t.tensor, TensorKind::Weights | TensorKind::Indices));
                at.map(|t| t.read_bits).sum()
            };
            // a row-stationary array keeps weights in no buffer: how often they come is its mapping's choice
            if name != "row-stationary" && features >= room {
                // whole bursts: each block of channels rounds its weights and its indices up
                let stored = many.stored.weights + many.stored.indices;
                let once = stored..stored + 2 * burst * nest.g * nest.k;
                prop_assert!(once.contains(&loaded(&many)), "{}: {} of {}", name, loaded(&many), stored);
            }
            multiplies(one.macs, many.macs, n, real, name)?;
            prop_assert_eq!(many.causes.total(), Ok(many.cycles), "{}", name);
            // a batch goes sample by sample only where both halves of the buffer hold one; otherwise smaller tiles load
            // rows again that a lone sample, in one piece, does not
            if features >= room {
                let most = n * one.cycles + slack(name, &nest);
                prop_assert!(many.cycles <= most, "{}: {} > {} of {}: {:?} {:?}", name, many.cycles, most, one.cycles, many.mapping, one.mapping);
            }
        }
    }
}

/// Shipped networks on shipped profiles, in every mode: multiplications scale; a layer whose features live where they lived
/// before takes no longer a sample, and the layers that only move take as much DRAM a sample.
#[test]
fn shipped_layers_take_no_longer_a_sample() {
    let mut cheaper = 0;
    for shipped in zoo::list() {
        let profile = shipped.profile().expect("it is valid");
        for (name, fusion) in [
            ("lenet5", Fusion::Full),
            ("alexnet", Fusion::None),
            ("alexnet", Fusion::Full),
        ] {
            let net = Workload::find(name).expect("it is shipped").network;
            let run = |batch| {
                network_fused(&net, &profile, batch, Pick::Latency, fusion, &dense(&profile)).expect("a cost")
            };
            let (one, many) = (run(1), run(4));
            for layer in &many.layers {
                let Some(before) = one.layers.iter().find(|l| l.name == layer.name) else {
                    continue;
                };
                let (a, b) = (&before.outcome.cost, &layer.outcome.cost);
                if a.engine == b.engine {
                    assert_eq!(b.macs, 4 * a.macs, "{name} {} on {}", layer.name, profile.name);
                }
                if before.fused != layer.fused || before.around != layer.around {
                    continue;
                }
                assert!(
                    b.seconds <= 4.0 * a.seconds * (1.0 + 1e-12),
                    "{name} {} on {}: {} > 4 x {}: {:?} {:?}",
                    layer.name,
                    profile.name,
                    b.cycles,
                    a.cycles,
                    b.mapping,
                    a.mapping
                );
                // a layer that waits for its weights gets cheaper
                if a.causes.stall_weights > a.cycles / 2
                    && b.engine != MEMORY
                    && b.engine == a.engine
                    && b.seconds < 2.5 * a.seconds
                {
                    cheaper += 1;
                }
            }
        }
    }
    println!("{cheaper} layers that wait for weights take less than 2.5 times as long for four samples");
    assert!(cheaper > 30, "{cheaper}");
}
