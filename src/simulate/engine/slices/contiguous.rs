//! Contiguous slices, one index chain per PE.
//!
//! At output position x PE i goes through its fillers and through those of its non-zeros whose input is active,
//! behind the pointers of its lines, while its decoder reads their index bits:
//! `busy(x, i) = max(ceil((fillers_i + active(x, i)) / macs_per_pe) · cycles_per_entry + lines_i,
//! ceil(index bits(x, i) / decode_bits_per_cycle))` cycles. [`super::held`] says what each encoding holds.
//!
//! * **Barrier**: the PEs and the feature port meet after each position:
//!   `Σ_x max(max_i busy(x, i), ceil(alive groups / words))`.
//! * **FIFO** (any depth): inputs are queued far enough ahead that they meet only at the layer's end:
//!   `max(max_i Σ_x busy(x, i), ceil(positions · alive groups / words))`.
//!
//! Without zero skipping every non-zero is active and the two agree but for the port's rounding. Where only a
//! density d of active inputs is known, the active ones are spread evenly: after x positions a PE with z
//! non-zeros has done floor(x·z·d) of them under a FIFO; under a barrier every position costs the rounded-up
//! ceil(z·d).

use super::super::{ArrayBits, ArrayRun};
use super::held::{self, Held, Holding};
use super::{Decoder, Stages, entries, expectation};
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
    /// Cycles that PEs were occupied by entries.
    pub(super) occupied: u128,
    /// Cycles that PEs were occupied by entries, pointers or decoding.
    pub(super) busy: u128,
    /// Cycles until the slowest PE was done.
    pub(super) slowest: u128,
    /// Cycles until the feature port was done as well.
    pub(super) total: u128,
    /// Stored entries.
    pub(super) stored: u128,
    /// Words the feature port delivered.
    pub(super) fetched: u128,
    /// Index bits of an entry.
    pub(super) entry_bits: u64,
    /// Index bits of all PEs beside those of the entries, read at every position.
    pub(super) beside: u128,
    /// Index bits that are read once.
    pub(super) once: u64,
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
    let gemm = work.nest.gemm();
    let (holding, groups, stored) = match work.weights {
        Weights::Pattern(mask) if decoder != Decoder::None => {
            let stored = decoder.stored(mask);
            let groups = slices
                .feature_port
                .map_or(0, |_| entries::alive_groups(&stored, group));
            (held::holding(decoder, mask, &stored, pes), groups, Some(stored))
        }
        Weights::Density(d) if decoder != Decoder::None && d < 1.0 => {
            return expectation::run(slices, decoder, work, d);
        }
        // every weight is an entry
        _ => {
            let rows = product(&[gemm.groups, gemm.n])?;
            (
                held::full(decoder, rows, gemm.k, pes),
                weights.div_ceil(group),
                None,
            )
        }
    };
    let mut totals = match (activations, work.weights) {
        (Some(active), Weights::Pattern(mask)) => {
            let all = Mask::full(if stored.is_none() { mask.rows() } else { 0 }, mask.cols());
            let stored = stored.as_deref().unwrap_or(&all);
            let alive = if decoder == Decoder::None { stored } else { mask };
            if decoder == Decoder::None {
                let length = |i| held::Slice::new(i, pes, weights, gemm.k).length();
                let each = (0..pes).map(|i| (Held::of_weights(length(i)), 1)).collect();
                let holding = Holding {
                    each,
                    ..holding.clone()
                };
                measured(slices, work, &holding, groups, (stored, alive), active)
            } else {
                measured(slices, work, &holding, groups, (stored, alive), active)
            }
        }
        _ => spread(slices, work, &holding, groups),
    };
    let sum = |of: fn(&Held) -> u64| -> u128 {
        let each = holding.each.iter();
        each.map(|(held, times)| u128::from(of(held)) * u128::from(*times))
            .sum()
    };
    totals.stored = sum(|held| held.entries());
    totals.beside = sum(|held| held.beside);
    (totals.entry_bits, totals.once) = (holding.entry_bits, holding.once);
    finish(slices, decoder, work, totals)
}

/// Cycles in which a PE starts so many entries.
fn slots(slices: &Slices, entries: u64) -> u128 {
    u128::from(entries.div_ceil(u64::from(slices.macs_per_pe))) * u128::from(slices.cycles_per_entry)
}

/// Cycles in which a PE goes through so many entries of what it holds: pointers and entries, or their decoding.
fn busy(slices: &Slices, held: &Held, entry_bits: u64, entries: u64) -> u128 {
    let bits = u128::from(entries) * u128::from(entry_bits) + u128::from(held.beside);
    let decode = slices
        .decode_bits_per_cycle
        .map_or(0, |rate| bits.div_ceil(u128::from(rate)));
    (slots(slices, entries) + u128::from(held.lines)).max(decode)
}

/// Cycles of the feature port for so many words.
fn port(slices: &Slices, words: u128) -> u128 {
    slices
        .feature_port
        .map_or(0, |p| words.div_ceil(u128::from(p.words_per_cycle)))
}

/// Active inputs known by their density only, or not skipped at all.
fn spread(slices: &Slices, work: &LayerWork, holding: &Holding, groups: u64) -> Totals {
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
    for (held, times) in holding.each.iter().filter(|(_, times)| *times > 0) {
        let times = u128::from(*times);
        let fillers = held.chain.fillers;
        let taken = active.of(positions * u128::from(held.placed()));
        // every position does `each` active entries, `more` of the positions one more
        let (each, more) = if barrier {
            (active.of_up(held.placed().into()), 0)
        } else {
            let each = active.of(held.placed().into());
            (each, taken - positions * each)
        };
        let over = |cycles: &dyn Fn(u64) -> u128| {
            let base = fillers + each as u64;
            (positions - more) * cycles(base) + if more > 0 { more * cycles(base + 1) } else { 0 }
        };
        let busy = over(&|entries| busy(slices, held, holding.entry_bits, entries));
        totals.useful += active.of(positions * u128::from(held.chain.nonzeros)) * times;
        totals.entries += (positions * u128::from(fillers) + taken) * times;
        totals.occupied += over(&|entries| slots(slices, entries)) * times;
        totals.busy += busy * times;
        totals.slowest = totals.slowest.max(busy);
    }
    totals.total = if barrier {
        (positions * port(slices, groups.into())).max(totals.slowest)
    } else {
        port(slices, totals.fetched).max(totals.slowest)
    };
    totals
}

/// Active inputs known one by one; the positions that are entries, and those of them that are weights.
fn measured(
    slices: &Slices,
    work: &LayerWork,
    holding: &Holding,
    groups: u64,
    (stored, alive): (&Mask, &Mask),
    active: &Mask,
) -> Totals {
    let gemm = work.nest.gemm();
    let (products, channels, weights) = (gemm.k as usize, gemm.n as usize, stored.len() as u64);
    let pes = holding.each.len() as u64;
    let barrier = slices.synchronisation == Synchronisation::Barrier;
    let mut done = vec![0u128; holding.each.len()];
    let mut counts = vec![0u64; holding.each.len()];
    let mut totals = Totals {
        fetched: u128::from(gemm.m) * u128::from(groups),
        ..Totals::default()
    };
    let replays = if active.rows() == 1 { gemm.m } else { 1 };
    let each_port = port(slices, groups.into());
    let (mut slowest, mut total) = (0u128, 0u128);
    for x in 0..active.rows() {
        counts.fill(0);
        let (mut pe, mut useful) = (0, 0u64);
        for at in stored.ones() {
            while entries::start(pe as u64 + 1, pes, weights) <= at as u64 {
                pe += 1;
            }
            let (row, col) = (at / products, at % products);
            if active.get(x * active.cols() + row / channels * products + col) {
                counts[pe] += 1;
                useful += u64::from(alive.get(at));
            }
        }
        totals.useful += u128::from(useful) * u128::from(replays);
        let mut longest = 0;
        for ((done, (held, _)), &count) in done.iter_mut().zip(&holding.each).zip(&counts) {
            let taken = held.chain.fillers + count;
            let cycles = busy(slices, held, holding.entry_bits, taken);
            longest = longest.max(cycles);
            *done += cycles * u128::from(replays);
            totals.entries += u128::from(taken) * u128::from(replays);
            totals.occupied += slots(slices, taken) * u128::from(replays);
        }
        slowest += longest * u128::from(replays);
        total += longest.max(each_port) * u128::from(replays);
    }
    totals.busy = done.iter().sum();
    (totals.slowest, totals.total) = if barrier {
        (slowest, total)
    } else {
        let slowest = done.iter().copied().max().unwrap_or(0);
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
    let working = pes.min(u128::from(weights));
    let stages = Stages {
        useful: fit(totals.useful / rate)?,
        entries: fit(totals.entries * u128::from(slices.cycles_per_entry) / rate)?,
        lanes: fit(totals.occupied / working)?,
        decoded: fit(totals.busy / working)?,
        slowest: fit(totals.slowest)?,
        total: fit(totals.total)?,
    };
    let weight_bits = u64::from(work.weight_bits);
    let [input_bits, output_bits] = [work.activation_bits.input, work.activation_bits.output].map(u64::from);
    let entries = fit(totals.entries)?;
    let (stored, useful) = (fit(totals.stored)?, fit(totals.useful)?);
    let index = u128::from(totals.entry_bits);
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
            indices: fit(u128::from(stored) * index + totals.beside + u128::from(totals.once))?,
        },
        bits: ArrayBits {
            weights: product(&[entries, weight_bits])?,
            indices: fit(u128::from(entries) * index
                + u128::from(positions) * totals.beside
                + u128::from(totals.once))?,
            inputs: product(&[inputs, input_bits])?,
            outputs_written: product(&[positions, work.nest.g, work.nest.k, output_bits])?,
            outputs_read: 0,
        },
        peak,
        ..ArrayRun::default()
    })
}
