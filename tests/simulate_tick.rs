//! The simulator against the tick model, on everything small enough to step.

mod common;
mod tick;

use common::{engine, profile, random_mask, slices, work};
use cosparse::compression::Mask;
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{
    Dataflow, EngineKind, FeaturePort, Partition, Profile, Slices, Synchronisation, Systolic,
};
use cosparse::network::LoopNest;
use cosparse::simulate::{ArrayRun, LayerWork, Spatial, Weights, array};
use proptest::prelude::*;
use tick::contiguous::Ticked;

fn nest() -> impl Strategy<Value = LoopNest> {
    (
        1..3u64,
        1..4u64,
        1..7u64,
        1..5u64,
        1..4u64,
        1..3u64,
        1..4u64,
        1..3u64,
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

fn index() -> impl Strategy<Value = Option<Encoding>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Encoding::Bitmap)),
        4 => (1..6u8).prop_map(|bits| Some(Encoding::RelativeIndex { bits })),
    ]
}

fn contiguous() -> impl Strategy<Value = Slices> {
    let port = prop::option::of(
        (1..20u32, 1..5u32).prop_map(|(group, words_per_cycle)| FeaturePort {
            group,
            words_per_cycle,
        }),
    );
    let sync = prop_oneof![
        Just(Synchronisation::Barrier),
        (0..9u32).prop_map(|depth| Synchronisation::Fifo { depth })
    ];
    (1..12u32, 1..4u32, 1..4u32, index(), sync, any::<bool>(), port).prop_map(
        |(
            pes,
            macs_per_pe,
            cycles_per_entry,
            index,
            synchronisation,
            skip_zero_activations,
            feature_port,
        )| Slices {
            pes,
            macs_per_pe,
            cycles_per_entry,
            index,
            synchronisation,
            skip_zero_activations,
            feature_port,
            ..slices(1)
        },
    )
}

fn on(slices: &Slices) -> Profile {
    profile(vec![engine(
        "slices",
        500.0,
        9000.0,
        EngineKind::Slices(slices.clone()),
    )])
}

fn bits(mask: &Mask) -> Vec<bool> {
    (0..mask.len()).map(|i| mask.get(i)).collect()
}

/// A random mask of a layer's weights, its density from 0.02 to 1 by the square of a uniform draw.
fn weights_of(nest: &LoopNest, density: f64, seed: u64) -> Mask {
    random_mask(
        (nest.g * nest.k) as usize,
        (nest.c * nest.r * nest.s) as usize,
        density,
        seed,
    )
}

fn same(run: &ArrayRun, ticked: &Ticked, slices: &Slices) -> Result<(), TestCaseError> {
    prop_assert_eq!(run.cycles, ticked.cycles);
    prop_assert_eq!(run.macs, ticked.useful);
    prop_assert_eq!(run.causes.total(), Ok(run.cycles));
    prop_assert_eq!(run.stored.weights, 16 * ticked.stored);
    prop_assert_eq!(run.bits.weights, 16 * ticked.taken);
    prop_assert_eq!(run.decoded, if slices.index.is_some() { ticked.taken } else { 0 });
    // the roofline
    prop_assert!(run.cycles >= run.macs.div_ceil(run.peak));
    prop_assert_eq!(run.causes.compute, run.macs / run.peak);
    Ok(())
}

proptest! {
    #![proptest_config(common::cases(800))]

    #[test]
    fn systolic(
        (rows, cols) in (1..9u32, 1..9u32),
        (e, k, f) in (1..12usize, 1..12usize, 1..9usize),
        dataflow in prop_oneof![Just(Dataflow::WeightStationary), Just(Dataflow::OutputStationary), Just(Dataflow::InputStationary)],
        (groups, at_once, copies) in (1..6u64, 1..6u64, 1..5u64),
        seed in 0..1000i32,
    ) {
        let value = |i: usize, j: usize, salt: i32| i64::from(((i * 7 + j * 13) as u32).cast_signed() + seed + salt) % 11 - 5;
        let matrix = |rows: usize, cols: usize, salt: u64| -> Vec<Vec<i64>> {
            (0..rows).map(|i| (0..cols).map(|j| value(i, j, salt as i32)).collect()).collect()
        };
        let inputs: Vec<_> = (0..groups).map(|g| matrix(e, k, 5 * g)).collect();
        let weights: Vec<_> = (0..groups).map(|g| matrix(k, f, 3 + 7 * g)).collect();
        let systolic = Systolic { rows, cols, dataflow };
        // a split that the array has room for
        let blocks = u64::from(rows.min(cols));
        let at_once = if dataflow == Dataflow::OutputStationary { 1 } else { at_once.min(groups).min(blocks) };
        let copies = if dataflow == Dataflow::WeightStationary { copies.min(e as u64).min(blocks / at_once) } else { 1 };
        let split = Spatial { groups: at_once, positions: copies, columns: 1 };
        let ticked = tick::systolic::run(systolic, split, &inputs, &weights);
        for g in 0..groups as usize {
            for (i, row) in inputs[g].iter().enumerate() {
                for j in 0..f {
                    let dot: i64 = row.iter().zip(&weights[g]).map(|(a, w)| a * w[j]).sum();
                    prop_assert_eq!(ticked.output[g][i][j], dot, "the array computes the product");
                }
            }
        }
        let profile = profile(vec![engine("array", 500.0, 8000.0, EngineKind::Systolic(systolic))]);
        let nest = LoopNest { g: groups, ..common::gemm(e as u64, k as u64, f as u64) };
        let work = work(nest, Weights::Density(1.0));
        let run = array(&LayerWork { mapping: Some(split.into()), ..work }, &profile, 0, None).expect("a run");
        prop_assert_eq!(run.cycles, ticked.cycles);
        prop_assert_eq!(run.macs, ticked.useful);
        prop_assert_eq!(run.hops, ticked.hops);
        // without a split none of so many groups is faster
        let free = array(&work, &profile, 0, None).expect("a run");
        prop_assert!(free.cycles <= run.cycles || copies > 1);
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
        prop_assert!(run.cycles >= run.macs.div_ceil(run.peak));
        prop_assert_eq!(run.bits.inputs, 16 * ticked.ifmap_reads);
        prop_assert_eq!(run.bits.weights, 16 * ticked.filter_reads);
        prop_assert_eq!(run.bits.outputs_written, 16 * ticked.ofmap_writes);
    }

    /// Contiguous slices with the real pattern of active inputs (or none skipped).
    #[test]
    fn contiguous_slices(nest in nest(), slices in contiguous(), d in 0.1..1.0f64, a in 0.1..1.0f64, seed in any::<u64>()) {
        let mask = weights_of(&nest, d * d, seed);
        let gemm = nest.gemm();
        let (positions, products) = (gemm.m as usize, gemm.k as usize);
        let inputs = random_mask(if seed % 5 == 0 { 1 } else { positions }, products * nest.g as usize, a, !seed);
        let active = |x: usize, at: usize| {
            let (row, col) = (at / products, at % products);
            let x = if inputs.rows() == 1 { 0 } else { x };
            !slices.skip_zero_activations || inputs.get(x * inputs.cols() + row / nest.k as usize * products + col)
        };
        let ticked = tick::contiguous::run(&slices, &bits(&mask), positions, &active);
        let run = array(&work(nest, Weights::Pattern(&mask)), &on(&slices), 0, Some(&inputs)).expect("a run");
        same(&run, &ticked, &slices)?;
    }

    /// Contiguous slices that know the density of active inputs only: after x positions a PE with z non-zeros has
    /// done floor(x·z·d) under a FIFO, and ceil(z·d) at every position under a barrier.
    #[test]
    fn contiguous_slices_by_density(nest in nest(), slices in contiguous(), d in 0.1..1.0f64, eighths in 1..9usize, seed in any::<u64>()) {
        let mask = weights_of(&nest, d * d, seed);
        let slices = Slices { skip_zero_activations: true, ..slices };
        let (alive, pes) = (bits(&mask), slices.pes as usize);
        let stored: Vec<bool> = if slices.index.is_none() { vec![true; alive.len()] } else { alive.clone() };
        let active = |x: usize, at: usize| {
            let pe = (0..pes).find(|i| at < (i + 1) * alive.len() / pes).expect("a slice");
            let slice = pe * alive.len() / pes..(pe + 1) * alive.len() / pes;
            let before = stored[slice.start..at].iter().filter(|&&b| b).count();
            let z = stored[slice].iter().filter(|&&b| b).count();
            let now = match slices.synchronisation {
                Synchronisation::Barrier => (z * eighths).div_ceil(8),
                Synchronisation::Fifo { .. } => (x + 1) * z * eighths / 8 - x * z * eighths / 8,
            };
            before < now
        };
        let positions = nest.gemm().m as usize;
        let ticked = tick::contiguous::run(&slices, &alive, positions, &active);
        let work = LayerWork { activation_density: eighths as f64 / 8.0, ..work(nest, Weights::Pattern(&mask)) };
        let run = array(&work, &on(&slices), 0, None).expect("a run");
        prop_assert_eq!(run.cycles, ticked.cycles);
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
        if slices.synchronisation != Synchronisation::Barrier {
            same(&run, &ticked, &slices)?;
        }
    }

    /// Rows dealt out, columns broadcast; the inputs by pattern or by density.
    #[test]
    fn row_interleaved_slices(
        nest in nest(),
        slices in contiguous(),
        d in 0.1..1.0f64,
        eighths in 1..9usize,
        seed in any::<u64>(),
        by_density in any::<bool>(),
        accumulators in prop::option::of(1..4u32),
    ) {
        let slices = Slices { partition: Partition::RowInterleaved, feature_port: None, accumulators, ..slices };
        let mask = weights_of(&nest, d * d, seed);
        let gemm = nest.gemm();
        let (positions, products, rows, groups) = (gemm.m as usize, gemm.k as usize, gemm.n as usize, nest.g as usize);
        // of the first n columns ceil(n·d) are active
        let mut spread = Mask::empty(1, products * groups);
        for j in 0..spread.len() {
            spread.set(j, ((j + 1) * eighths).div_ceil(8) > (j * eighths).div_ceil(8));
        }
        let inputs = if by_density { spread } else { random_mask(positions, products * groups, eighths as f64 / 8.0, !seed) };
        let mut ticked = Ticked::default();
        for group in 0..groups {
            let block = accumulators.map_or(rows, |a| (a * slices.pes) as usize);
            for first in (0..rows).step_by(block) {
                let alive: Vec<Vec<bool>> = (first..rows.min(first + block))
                    .map(|i| (0..products).map(|j| mask.get((group * rows + i) * products + j)).collect())
                    .collect();
                for p in 0..slices.pes as usize {
                    ticked.stored += (0..products).map(|j| tick::interleaved::part(&slices, &alive, p, j).len() as u64).sum::<u64>();
                }
                for x in 0..positions {
                    let x = if by_density { 0 } else { x };
                    let on = |j: usize| !slices.skip_zero_activations || inputs.get(x * inputs.cols() + group * products + j);
                    let columns: Vec<usize> = (0..products).filter(|&j| on(j)).collect();
                    tick::interleaved::product(&slices, &alive, &columns, &mut ticked);
                }
            }
        }
        if slices.index.is_none() {
            ticked.useful = ticked.taken;
        }
        let work = LayerWork { activation_density: eighths as f64 / 8.0, ..work(nest, Weights::Pattern(&mask)) };
        let run = array(&work, &on(&slices), 0, (!by_density).then_some(&inputs)).expect("a run");
        same(&run, &ticked, &slices)?;
    }
}
