//! Contiguous slices, one index chain per PE.
//!
//! At output position x PE i goes through its fillers and through those of its non-zeros whose input is active:
//! `slots(x, i) = ceil((fillers_i + active(x, i)) / macs_per_pe) · cycles_per_entry` cycles.
//!
//! * **Barrier**: the PEs and the feature port meet after each position:
//!   `Σ_x max(max_i slots(x, i), ceil(alive groups / words))`.
//! * **FIFO** (any depth): inputs are queued far enough ahead that they meet only at the layer's end:
//!   `max(max_i Σ_x slots(x, i), ceil(positions · alive groups / words))`.
//!
//! Without zero skipping every non-zero is active and the two agree but for the port's rounding. Where only a
//! density d of active inputs is known, the active ones are spread evenly: after x positions a PE with z
//! non-zeros has done floor(x·z·d) of them under a FIFO; under a barrier every position costs the rounded-up
//! ceil(z·d).

use super::super::{ArrayBits, ArrayRun};
use super::entries::{self, SliceEntries};
use super::{Decoder, Stages, expectation};
use crate::compression::Mask;
use crate::hardware::{Slices, Synchronisation};
use crate::simulate::count::{Portion, fit};
use crate::simulate::{LayerWork, StoredBits, Weights};
use crate::units::{Overflow, product};

/// Totals over the PEs and positions, from which everything else follows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    /// Multiplications of a non-zero and an active input.
    pub(super) useful: u128,
    /// Entries that took a slot.
    pub(super) entries: u128,
    /// Cycles that PEs were occupied.
    pub(super) occupied: u128,
    /// Cycles until the slowest PE was done.
    pub(super) slowest: u128,
    /// Cycles until the feature port was done as well.
    pub(super) total: u128,
    /// Stored entries.
    pub(super) stored: u128,
    /// Words the feature port delivered.
    pub(super) fetched: u128,
}

pub(super) fn run(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    activations: Option<&Mask>,
) -> Result<ArrayRun, Overflow> {
    let weights = work.nest.weights();
    let pes = u64::from(slices.pes);
    let group = slices.feature_port.map_or(1, |p| u64::from(p.group));
    let (chains, groups) = match work.weights {
        Weights::Pattern(mask) if decoder != Decoder::None => {
            let groups = slices
                .feature_port
                .map_or(0, |_| entries::alive_groups(mask, group));
            let chains = entries::slice_entries(mask, pes, decoder.span());
            (chains.into_iter().map(|c| (c, 1)).collect(), groups)
        }
        Weights::Density(d) if decoder != Decoder::None && d < 1.0 => {
            return expectation::run(slices, decoder, work, d);
        }
        // every weight is an entry
        _ => {
            let slice = |nonzeros| SliceEntries { nonzeros, fillers: 0 };
            let (short, longer) = (weights / pes, weights % pes);
            (
                vec![(slice(short), pes - longer), (slice(short + 1), longer)],
                weights.div_ceil(group),
            )
        }
    };
    let mut totals = match (activations, work.weights) {
        (Some(active), Weights::Pattern(mask)) => {
            let each: Vec<SliceEntries> = if decoder == Decoder::None {
                let nonzeros = |i| entries::start(i + 1, pes, weights) - entries::start(i, pes, weights);
                (0..pes)
                    .map(|i| SliceEntries {
                        nonzeros: nonzeros(i),
                        fillers: 0,
                    })
                    .collect()
            } else {
                chains.iter().map(|(c, _)| *c).collect()
            };
            measured(slices, decoder, work, &each, groups, mask, active)
        }
        _ => spread(slices, work, &chains, groups),
    };
    totals.stored = chains
        .iter()
        .map(|(c, times)| u128::from(c.entries()) * u128::from(*times))
        .sum();
    finish(slices, decoder, work, totals)
}

/// Cycles in which a PE starts so many entries.
fn slots(slices: &Slices, entries: u64) -> u128 {
    u128::from(entries.div_ceil(u64::from(slices.macs_per_pe))) * u128::from(slices.cycles_per_entry)
}

/// Cycles of the feature port for so many words.
fn port(slices: &Slices, words: u128) -> u128 {
    slices
        .feature_port
        .map_or(0, |p| words.div_ceil(u128::from(p.words_per_cycle)))
}

/// Active inputs known by their density only, or not skipped at all. Chains come with how many there are of each.
fn spread(slices: &Slices, work: &LayerWork, chains: &[(SliceEntries, u64)], groups: u64) -> Totals {
    let positions = u128::from(work.nest.gemm().m);
    let active = Portion::new(if slices.skip_zero_activations {
        work.activation_density
    } else {
        1.0
    });
    let barrier = slices.synchronisation == Synchronisation::Barrier;
    let mut totals = Totals {
        fetched: positions * u128::from(groups),
        ..Totals::default()
    };
    for &(chain, times) in chains.iter().filter(|(_, times)| *times > 0) {
        let times = u128::from(times);
        let useful = active.of(positions * u128::from(chain.nonzeros));
        let occupied = if barrier {
            positions * slots(slices, chain.fillers + active.of_up(chain.nonzeros.into()) as u64)
        } else {
            // every position does `each` active non-zeros, `more` of the positions one more
            let each = active.of(chain.nonzeros.into());
            let more = useful - positions * each;
            let base = chain.fillers + each as u64;
            (positions - more) * slots(slices, base)
                + if more > 0 {
                    more * slots(slices, base + 1)
                } else {
                    0
                }
        };
        totals.useful += useful * times;
        totals.entries += (positions * u128::from(chain.fillers) + useful) * times;
        totals.occupied += occupied * times;
        totals.slowest = totals.slowest.max(occupied);
    }
    totals.total = if barrier {
        (positions * port(slices, groups.into())).max(totals.slowest)
    } else {
        port(slices, totals.fetched).max(totals.slowest)
    };
    totals
}

/// Active inputs known one by one.
fn measured(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    chains: &[SliceEntries],
    groups: u64,
    mask: &Mask,
    active: &Mask,
) -> Totals {
    let gemm = work.nest.gemm();
    let (products, channels, weights) = (gemm.k as usize, gemm.n as usize, mask.len() as u64);
    let pes = chains.len() as u64;
    let barrier = slices.synchronisation == Synchronisation::Barrier;
    let mut busy = vec![0u128; chains.len()];
    let mut counts = vec![0u64; chains.len()];
    let mut totals = Totals {
        fetched: u128::from(gemm.m) * u128::from(groups),
        ..Totals::default()
    };
    let replays = if active.rows() == 1 { gemm.m } else { 1 };
    let each_port = port(slices, groups.into());
    let (mut slowest, mut total) = (0u128, 0u128);
    let all = Mask::full(
        if decoder == Decoder::None { mask.rows() } else { 0 },
        mask.cols(),
    );
    let stored = if decoder == Decoder::None { &all } else { mask };
    for x in 0..active.rows() {
        counts.fill(0);
        let mut pe = 0;
        for at in stored.ones() {
            while entries::start(pe as u64 + 1, pes, weights) <= at as u64 {
                pe += 1;
            }
            let (row, col) = (at / products, at % products);
            counts[pe] += u64::from(active.get(x * active.cols() + row / channels * products + col));
        }
        let mut longest = 0;
        for ((busy, chain), &count) in busy.iter_mut().zip(chains).zip(&counts) {
            let cycles = slots(slices, chain.fillers + count);
            longest = longest.max(cycles);
            *busy += cycles * u128::from(replays);
            totals.useful += u128::from(count) * u128::from(replays);
            totals.entries += u128::from(chain.fillers + count) * u128::from(replays);
        }
        slowest += longest * u128::from(replays);
        total += longest.max(each_port) * u128::from(replays);
    }
    totals.occupied = busy.iter().sum();
    (totals.slowest, totals.total) = if barrier {
        (slowest, total)
    } else {
        let slowest = busy.iter().copied().max().unwrap_or(0);
        (slowest, slowest.max(port(slices, totals.fetched)))
    };
    totals
}

/// Costs from totals.
pub(super) fn finish(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    totals: Totals,
) -> Result<ArrayRun, Overflow> {
    let weights = work.nest.weights();
    let positions = work.nest.gemm().m;
    let pes = u128::from(slices.pes);
    let peak = product(&[u64::from(slices.pes), u64::from(slices.macs_per_pe)])?;
    let rate = u128::from(peak);
    let lanes = totals.occupied / pes.min(u128::from(weights));
    let stages = Stages {
        useful: fit(totals.useful / rate)?,
        entries: fit(totals.entries * u128::from(slices.cycles_per_entry) / rate)?,
        lanes: fit(lanes)?,
        empty_columns: 0,
        slowest: fit(totals.slowest)?,
        total: fit(totals.total)?,
    };
    let (weight_bits, act_bits) = (u64::from(work.weight_bits), u64::from(work.activation_bits));
    let entries = fit(totals.entries)?;
    let (stored, useful) = (fit(totals.stored)?, fit(totals.useful)?);
    let bitmap = if decoder == Decoder::Bitmap { weights } else { 0 };
    let index = decoder.bits_per_entry();
    let inputs = if slices.feature_port.is_some() {
        fit(totals.fetched)?
    } else {
        useful
    };
    Ok(ArrayRun {
        cycles: stages.total,
        causes: stages.causes(),
        macs: useful,
        decoded: if decoder == Decoder::None { 0 } else { entries },
        hops: useful,
        stored: StoredBits {
            weights: product(&[stored, weight_bits])?,
            indices: fit(u128::from(stored) * u128::from(index) + u128::from(bitmap))?,
        },
        bits: ArrayBits {
            weights: product(&[entries, weight_bits])?,
            indices: fit(
                u128::from(entries) * u128::from(index) + u128::from(positions) * u128::from(bitmap)
            )?,
            inputs: product(&[inputs, act_bits])?,
            outputs_written: product(&[positions, work.nest.g, work.nest.k, act_bits])?,
            outputs_read: 0,
        },
        peak,
        ..ArrayRun::default()
    })
}
