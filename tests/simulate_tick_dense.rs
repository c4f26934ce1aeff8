//! The row-stationary and dot-product engines against their tick models. `COSPARSE_CASES` sets the number of random
//! layers of each (500 without it).

mod common;
#[path = "tick/dot_product.rs"]
mod dot_product;
#[path = "tick/row_stationary.rs"]
mod row_stationary;

use common::{engine, profile, work};
use cosparse::hardware::{DotProduct, EngineKind, Profile, RowStationary};
use cosparse::network::LoopNest;
use cosparse::simulate::{
    ArrayRun, LayerWork, RowStationaryMapping, SimulateError, Spatial, Weights, array, layer_on,
};
use cosparse::units::Capacity;
use proptest::prelude::*;

fn cases() -> u32 {
    std::env::var("COSPARSE_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(500)
}

/// Depthwise layers (one channel and one kernel a group) included.
fn nest() -> impl Strategy<Value = LoopNest> {
    let extents = (
        1..3u64,
        1..4u64,
        1..7u64,
        1..6u64,
        1..6u64,
        1..5u64,
        1..4u64,
        1..4u64,
    );
    (extents, [1..4u64, 1..4u64], [1..3u64, 1..3u64]).prop_map(
        |((n, g, k, c, p, q, r, s), stride, dilation)| LoopNest {
            n,
            g,
            k,
            c,
            p,
            q,
            r,
            s,
            stride,
            dilation,
        },
    )
}

fn weight(at: [u64; 5]) -> i64 {
    (at.iter().fold(7, |h, x| h * 31 + x) % 13).cast_signed() - 6
}

fn input(at: [u64; 5]) -> i64 {
    (at.iter().fold(3, |h, x| h * 37 + x) % 11).cast_signed() - 5
}

/// The output at (group, kernel, sample, row, column), by the definition of a convolution.
fn convolved(nest: &LoopNest, [g, k, image, row, col]: [u64; 5]) -> i64 {
    let mut sum = 0;
    for c in 0..nest.c {
        for r in 0..nest.r {
            for s in 0..nest.s {
                let y = row * nest.stride[0] + r * nest.dilation[0];
                let x = col * nest.stride[1] + s * nest.dilation[1];
                sum += weight([g, k, c, r, s]) * input([image, g, c, y, x]);
            }
        }
    }
    sum
}

fn rs_engine() -> RowStationary {
    RowStationary {
        rows: 1,
        cols: 1,
        filter_words: 1,
        input_words: 1,
        psum_words: 1,
        psums_per_cycle: 1,
        weights_per_cycle: 1,
        inputs_per_cycle: 1,
        banks: 1 << 16,
        bank: Capacity::new(32_768.0).expect("a capacity"),
        gates_zero_inputs: false,
        run_length: None,
    }
}

fn on(kind: EngineKind) -> Profile {
    profile(vec![engine("dense", 200.0, 9000.0, kind)])
}

/// A mapping that fits the layer, taken from any numbers, and an array that just holds it.
fn fitting(nest: &LoopNest, any: [u64; 8], cols: u32, spare: u32) -> (RowStationary, RowStationaryMapping) {
    let within = |value: u64, most: u64| 1 + value % most;
    let [m, n, e, p, q, r, t, g] = any;
    let g = within(g, nest.g);
    let (n, e, p, q) = (
        within(n, nest.n),
        within(e, nest.p),
        within(p, nest.k),
        within(q, nest.c),
    );
    let (r, t) = (within(r, nest.c.div_ceil(q)), within(t, nest.k.div_ceil(p)));
    let m = p * t * within(m, nest.k.div_ceil(p * t));
    let folds = e.div_ceil(cols.into());
    let array = RowStationary {
        rows: (nest.r * r * t * g * folds) as u32 + spare,
        cols,
        filter_words: (p * q * nest.s) as u32 + spare,
        input_words: (q * nest.s) as u32 + spare,
        psum_words: p as u32,
        ..rs_engine()
    };
    (
        array,
        RowStationaryMapping {
            m,
            n,
            e,
            p,
            q,
            r,
            t,
            g,
        },
    )
}

fn sums(run: &ArrayRun) -> Result<(), TestCaseError> {
    prop_assert_eq!(run.causes.total(), Ok(run.cycles));
    prop_assert!(run.cycles >= run.macs.div_ceil(run.peak));
    prop_assert_eq!(run.causes.compute, run.macs / run.peak);
    Ok(())
}

proptest! {
    #![proptest_config(common::cases(cases()))]

    #[test]
    fn row_stationary_passes(
        nest in nest(),
        any in any::<[u16; 8]>(),
        (cols, spare) in (1..6u32, 0..3u32),
        ports in [1..6u32, 1..6u32, 1..6u32],
    ) {
        let (array_of, mapping) = fitting(&nest, any.map(u64::from), cols, spare);
        let [psums_per_cycle, weights_per_cycle, inputs_per_cycle] = ports;
        let array_of = RowStationary { psums_per_cycle, weights_per_cycle, inputs_per_cycle, ..array_of };
        let values = row_stationary::Values { weight: &weight, input: &input };
        let ticked = row_stationary::run(&array_of, &nest, &mapping, &values);
        let work = LayerWork { mapping: Some(mapping.into()), ..work(nest, Weights::Density(1.0)) };
        let run = array(&work, &on(EngineKind::RowStationary(array_of)), 0, None).expect("a legal mapping");
        // the first piece of channels reads no partial sums, and its pass takes the time of writing them
        prop_assert_eq!(run.cycles, ticked.cycles);
        prop_assert_eq!(run.causes.fill_drain, ticked.filling);
        prop_assert_eq!(run.causes.compute + run.causes.unused, ticked.working);
        prop_assert_eq!(run.macs, ticked.macs);
        prop_assert_eq!(run.bits.weights, 16 * ticked.weights);
        prop_assert_eq!(run.bits.inputs, 16 * ticked.inputs);
        prop_assert_eq!(run.bits.outputs_written, 16 * ticked.psums_out);
        prop_assert_eq!(run.bits.outputs_read, 16 * ticked.psums_in);
        prop_assert!(ticked.active <= mapping.active_pes(&nest).expect("small"));
        sums(&run)?;
        prop_assert_eq!(ticked.outputs.len() as u64, nest.n * nest.g * nest.k * nest.p * nest.q);
        for (&at, &value) in &ticked.outputs {
            prop_assert_eq!(value, convolved(&nest, at));
        }
    }

    #[test]
    fn dot_product_trees(
        nest in nest(),
        (kernels, channels, accumulators) in (1..9u32, 1..9u32, 1..30u32),
        (weights_per_cycle, latency) in (1..9u32, 1..5u32),
        (groups, columns, single) in (1..5u64, 1..4u64, any::<bool>()),
    ) {
        let trees = DotProduct { kernels, channels, accumulators, weights_per_cycle, latency };
        let nest = if single { LoopNest { g: 1, dilation: [nest.dilation[0], 1], ..nest } } else { nest };
        // a split that the array has room for
        let split = Spatial {
            groups: groups.min(nest.g).min(u64::from(kernels.min(channels))),
            positions: 1,
            columns: if single { columns.min(nest.s).min(u64::from(channels) / nest.c).max(1) } else { 1 },
        };
        let ticked = dot_product::run(trees, split, &nest, &weight, &input);
        let free = work(nest, Weights::Density(1.0));
        let pinned = LayerWork { mapping: Some(split.into()), ..free };
        let profile = on(EngineKind::DotProduct(trees));
        let run = array(&pinned, &profile, 0, None).expect("a run");
        // without a split none of so many groups is faster
        prop_assert!(split.columns > 1 || array(&free, &profile, 0, None).expect("a run").cycles <= run.cycles);
        prop_assert_eq!(run.cycles, ticked.cycles);
        prop_assert_eq!(run.causes.compute + run.causes.unused, ticked.streaming);
        prop_assert_eq!(run.macs, ticked.macs);
        prop_assert_eq!(run.bits.weights, 16 * ticked.weights);
        prop_assert_eq!(run.bits.inputs, 16 * ticked.inputs);
        prop_assert_eq!(run.bits.outputs_written, 16 * ticked.written);
        sums(&run)?;
        for (&[g, k, at], &value) in &ticked.outputs {
            let position = [g, k, at / (nest.p * nest.q), at / nest.q % nest.p, at % nest.q];
            prop_assert_eq!(value, convolved(&nest, position));
        }
    }

    /// Of all legal mappings, tried one by one, none is faster than the mapper's.
    #[test]
    fn the_mapper_finds_the_fewest_cycles(
        nest in nest(),
        (rows, cols) in (1..7u32, 1..6u32),
        registers in [1..25u32, 1..13u32, 1..6u32],
        ports in [1..6u32, 1..6u32, 1..6u32],
        banks in 2..40u32,
    ) {
        let [filter_words, input_words, psum_words] = registers;
        let [psums_per_cycle, weights_per_cycle, inputs_per_cycle] = ports;
        let small = RowStationary {
            rows,
            cols,
            filter_words,
            input_words,
            psum_words,
            psums_per_cycle,
            weights_per_cycle,
            inputs_per_cycle,
            banks,
            bank: Capacity::new(16.0 * 8.0).expect("a capacity"),
            ..rs_engine()
        };
        let profile = on(EngineKind::RowStationary(small));
        let work = work(nest, Weights::Density(1.0));
        let free = array(&work, &profile, 0, None);
        let mut least: Option<u64> = None;
        let mut every = |mapping: RowStationaryMapping| {
            let pinned = LayerWork { mapping: Some(mapping.into()), ..work };
            if let Ok(run) = array(&pinned, &profile, 0, None) {
                least = Some(least.map_or(run.cycles, |l| l.min(run.cycles)));
            }
        };
        for (n, e) in (1..=nest.n).flat_map(|n| (1..=nest.p).map(move |e| (n, e))) {
            for (p, q) in (1..=nest.k).flat_map(|p| (1..=nest.c).map(move |q| (p, q))) {
                for (r, t) in (1..=nest.c.div_ceil(q)).flat_map(|r| (1..=nest.k.div_ceil(p)).map(move |t| (r, t))) {
                    for m in 1..=nest.k.next_multiple_of(p * t) {
                        for g in 1..=nest.g {
                            every(RowStationaryMapping { m, n, e, p, q, r, t, g });
                        }
                    }
                }
            }
        }
        match (free, least) {
            (Ok(run), Some(least)) => prop_assert_eq!(run.cycles, least),
            (Err(SimulateError::Mapping { .. }), None) => {}
            (free, least) => prop_assert!(false, "the mapper says {free:?}, trying all gives {least:?}"),
        }
    }
}

/// A depthwise layer has one channel and one kernel a group: a tree and a lane each, 8 groups at once.
#[test]
fn depthwise_layers_leave_lanes_unused() {
    let nest = LoopNest {
        n: 1,
        g: 32,
        k: 1,
        c: 1,
        p: 12,
        q: 12,
        r: 3,
        s: 3,
        stride: [1, 1],
        dilation: [1, 1],
    };
    let work = work(nest, Weights::Density(1.0));
    let trees = DotProduct {
        kernels: 8,
        channels: 16,
        accumulators: 64,
        weights_per_cycle: 16,
        latency: 4,
    };
    let run = array(&work, &on(EngineKind::DotProduct(trees)), 0, None).expect("a run");
    // eight multiplications a cycle of 128: 32 / 8 · 9·144 steps, and the first weights and the latency
    let steps = 4 * 9 * 144;
    assert_eq!(run.cycles, steps + 1 + 4);
    assert_eq!(
        (run.causes.compute, run.causes.unused),
        (steps / 16, steps - steps / 16)
    );
    let mapping = Some(Spatial::ONE.into());
    let alone = array(
        &LayerWork { mapping, ..work },
        &on(EngineKind::DotProduct(trees)),
        0,
        None,
    );
    assert_eq!(alone.expect("a run").cycles, 8 * steps + 1 + 4);
    let eyeriss = cosparse::hardware::zoo::find("eyeriss-65nm")
        .expect("shipped")
        .profile()
        .expect("valid");
    let run = array(&work, &eyeriss, 0, None).expect("a run");
    // four groups at once, each 3 x 12 PEs with one strip of 12 rows, 12 columns x 3 places; 36 weights in 9 cycles,
    // 4 x 14 rows x 3 columns first; the other 4 x 14 x 11 inputs take 616 cycles, longer than the 36 multiplications
    assert_eq!(run.cycles, 8 * (9 + 168 + 616));
    assert_eq!(run.causes.feature_port, 8 * (616 - 36));
    // one after another: 9 weights in 3 cycles, then 42 and 154 inputs
    let mapping = RowStationaryMapping {
        m: 1,
        n: 1,
        e: 12,
        p: 1,
        q: 1,
        r: 1,
        t: 1,
        g: 1,
    };
    let alone = LayerWork {
        mapping: Some(mapping.into()),
        ..work
    };
    assert_eq!(
        array(&alone, &eyeriss, 0, None).expect("a run").cycles,
        32 * (3 + 42 + 154)
    );
    let cost = layer_on(&work, &eyeriss, 0).expect("a cost");
    assert_eq!(cost.causes.total(), Ok(cost.cycles));
}
