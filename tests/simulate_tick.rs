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
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
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

/// Encodings, and the index bits that a decoder reads a cycle.
fn index() -> impl Strategy<Value = (Option<Encoding>, Option<u32>)> {
    let encoding = prop_oneof![
        1 => Just(None),
        1 => Just(Some(Encoding::Bitmap)),
        3 => (1..6u8).prop_map(|bits| Some(Encoding::RelativeIndex { bits })),
        1 => Just(Some(Encoding::Csr)),
        1 => Just(Some(Encoding::Csc)),
        1 => Just(Some(Encoding::Coordinate)),
        2 => (1..5u32, 1..5u32).prop_map(|(rows, cols)| Some(Encoding::BlockMap { rows, cols })),
        2 => Just(Some(Encoding::GolombRice)),
    ];
    (encoding, prop::option::of(1..9u32))
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
            (index, decode_bits_per_cycle),
            synchronisation,
            skip_zero_activations,
            feature_port,
        )| Slices {
            pes,
            macs_per_pe,
            cycles_per_entry,
            index,
            decode_bits_per_cycle,
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

/// A random mask of a layer's weights: uniform, with rows from empty to full, or in runs, a third of the seeds each.
fn weights_of(nest: &LoopNest, density: f64, seed: u64) -> Mask {
    let (rows, cols) = ((nest.g * nest.k) as usize, (nest.c * nest.r * nest.s) as usize);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut mask = Mask::empty(rows, cols);
    match seed % 3 {
        0 => return random_mask(rows, cols, density, seed),
        1 => {
            for row in 0..rows {
                let density = (density * rng.random_range(0.0..2.5)).min(1.0);
                for col in 0..cols {
                    mask.set(row * cols + col, rng.random_bool(density));
                }
            }
        }
        _ => {
            let mut at = 0;
            while at < mask.len() {
                let (alive, run) = (rng.random_bool(density), rng.random_range(1..9));
                for i in at..mask.len().min(at + run) {
                    mask.set(i, alive);
                }
                at += run;
            }
        }
    }
    mask
}

fn same(run: &ArrayRun, ticked: &Ticked, slices: &Slices) -> Result<(), TestCaseError> {
    prop_assert_eq!(run.cycles, ticked.cycles);
    prop_assert_eq!(run.macs, ticked.useful);
    prop_assert_eq!(run.causes.total(), Ok(run.cycles));
    prop_assert_eq!(run.stored.weights, 16 * ticked.stored);
    prop_assert_eq!(run.bits.weights, 16 * ticked.taken);
    if slices.partition == Partition::Contiguous {
        prop_assert_eq!(run.stored.indices, ticked.index_stored);
        prop_assert_eq!(run.bits.indices, ticked.index_read);
    }
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
        let ticked = tick::contiguous::run(&slices, (&bits(&mask), mask.cols()), positions, &active);
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
        let stored = tick::encoder::stored(&alive, mask.cols(), slices.index);
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
        let mut ticked = tick::contiguous::run(&slices, (&alive, mask.cols()), positions, &active);
        let work = LayerWork { activation_density: eighths as f64 / 8.0, ..work(nest, Weights::Pattern(&mask)) };
        let run = array(&work, &on(&slices), 0, None).expect("a run");
        prop_assert_eq!(run.cycles, ticked.cycles);
        prop_assert_eq!(run.causes.total(), Ok(run.cycles));
        if slices.synchronisation != Synchronisation::Barrier {
            if matches!(slices.index, Some(Encoding::BlockMap { .. })) {
                // which of a block's positions are active is not known: of its weights the same portion as of all
                ticked.useful = run.macs;
            }
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
        // what broadcast columns cannot be read from
        let index = match slices.index {
            Some(Encoding::Csr) => Some(Encoding::Csc),
            Some(Encoding::Coordinate) if slices.skip_zero_activations => Some(Encoding::Csc),
            other => other,
        };
        let slices = Slices { partition: Partition::RowInterleaved, feature_port: None, accumulators, index, ..slices };
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
        let alive_rows: Vec<Vec<bool>> = bits(&mask).chunks(products).map(<[bool]>::to_vec).collect();
        let kept_rows = tick::interleaved::kept_rows(&bits(&mask), products, slices.index);
        let pes = slices.pes as usize;
        let block = accumulators.map_or(rows, |a| (a * slices.pes) as usize).min(rows);
        let blocks: Vec<(usize, usize)> = (0..groups)
            .flat_map(|group| (0..rows).step_by(block).map(move |first| (group, first)))
            .collect();
        let rows_of = |group: usize, first: usize| group * rows + first..group * rows + rows.min(first + block);
        let mut gaps = Vec::new();
        for &(group, first) in &blocks {
            for (p, j) in (0..pes).flat_map(|p| (0..products).map(move |j| (p, j))) {
                let own: Vec<bool> = alive_rows[rows_of(group, first)].iter().skip(p).step_by(pes).map(|r| r[j]).collect();
                gaps.extend(tick::encoder::gaps(&own));
            }
        }
        let k = tick::encoder::best_rice(&gaps);
        let (mut held, mut index_stored, mut columns_read) = (vec![0; pes], 0, 0);
        for group in 0..groups {
            for first in (0..rows).step_by(block) {
                let part = tick::interleaved::Rows {
                    alive: &alive_rows[rows_of(group, first)],
                    kept: &kept_rows[rows_of(group, first)],
                    k,
                    own: block.div_ceil(pes),
                };
                for (p, held) in held.iter_mut().enumerate() {
                    for j in 0..products {
                        let (entries, _, bits) = tick::interleaved::part(&slices, &part, p, j);
                        ticked.stored += entries as u64;
                        let code = slices.index == Some(Encoding::GolombRice);
                        *held += if code { bits + 16 * entries } else { entries };
                        // a block's bit is stored once for its columns
                        let first = |wide: u32| j.is_multiple_of(wide as usize);
                        index_stored += match slices.index {
                            Some(Encoding::BlockMap { cols, .. }) if !first(cols) => 0,
                            _ => bits,
                        };
                    }
                }
                for x in 0..positions {
                    let x = if by_density { 0 } else { x };
                    let on = |j: usize| !slices.skip_zero_activations || inputs.get(x * inputs.cols() + group * products + j);
                    let columns: Vec<usize> = (0..products).filter(|&j| on(j)).collect();
                    columns_read += columns.len();
                    tick::interleaved::product(&slices, &part, &columns, &mut ticked);
                }
            }
        }
        if slices.index.is_none() {
            ticked.useful = ticked.taken;
        }
        let work = LayerWork { activation_density: eighths as f64 / 8.0, ..work(nest, Weights::Pattern(&mask)) };
        let run = array(&work, &on(&slices), 0, (!by_density).then_some(&inputs)).expect("a run");
        same(&run, &ticked, &slices)?;
        let most = held.iter().copied().max().unwrap_or(0);
        let pointer = match slices.index {
            None | Some(Encoding::Coordinate) => 0,
            _ => tick::encoder::bits_for(most + 1),
        };
        let once = if slices.index == Some(Encoding::GolombRice) && mask.count() > 0 { 5 } else { 0 };
        let pointers = pes * blocks.len() / groups * (groups * products + 1);
        prop_assert_eq!(run.stored.indices as usize, index_stored + once + pointers * pointer);
        prop_assert_eq!(run.bits.indices as usize, ticked.index_read as usize + once + 2 * columns_read * pes * pointer);
    }
}
