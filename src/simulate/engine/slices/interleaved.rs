//! Rows dealt out to PEs, columns broadcast in order: EIE (ISCA 2016).
//!
//! Row i of a group's matrix belongs to PE i mod PEs. Each PE holds its part of a column as one index chain,
//! restarted at each column. With e(P, j) the entries of PE P in the j-th active column and
//! `cost = max(1, ceil(e / macs_per_pe) · cycles_per_entry, ceil(index bits / decode_bits_per_cycle))`:
//!
//! ```text
//! b(j)      = max(b(j−1) + 1, max_P fin(P, j−depth))      the broadcast waits for a free slot in every queue
//! fin(P, j) = max(fin(P, j−1), b(j)) + cost(P, j)          an empty column still takes its PE one cycle
//! ```
//!
//! A slot is held until its column is finished, so depth 1 makes all PEs meet at each column: that is what a
//! barrier, and a depth of 0, mean here. Every output position is a matrix-vector product of its own and ends
//! in a barrier, and so do the groups of a convolution, and the blocks of rows of a matrix with more rows than the
//! PEs have accumulators: each block broadcasts all columns again and starts its chains anew. Inputs that are zero are skipped, columns and all, if
//! the engine skips; where only a density d is known, column j of a position is active if it is in the evenly
//! spread pattern with ceil(n·d) of the first n columns.
//!
//! Indices are those of the PE's own rows: a run length, a row (CSC), a row and a column (coordinate, which needs no
//! pointers) or a Golomb-Rice code of the gap with every entry, a bit per row (bitmap) or per row and block (block map)
//! with every column. Pointers of a column are read ahead and take no time.
//!
//! Where only the density of the weights is known, a fixed pseudo-random pattern of up to 1024 columns and
//! about 2^20 weights is run and scaled: an estimate, the same on every machine.

use super::super::{ArrayBits, ArrayRun};
use super::counting::{Bits, COLUMNS, Counts, Dealt, WORDS};
use super::decoder::{RICE_BITS, RiceBits, rice, width};
use super::{Decoder, Stages};
use crate::compression::Mask;
use crate::hardware::{Slices, Synchronisation};
use crate::simulate::count::{Portion, fit, round_up};
use crate::simulate::{LayerWork, StoredBits, Weights};
use crate::units::{Overflow, product};
use pulp::NullaryFnOnce;
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::collections::VecDeque;

/// Columns of the pattern that stands for a density.
const SAMPLE: u64 = 1024;

/// Further patterns that say how far patterns lie apart.
const FURTHER: u64 = 64;

/// The most (PE, column) pairs that are counted at a time: 8 MB.
const BLOCK: usize = 1 << 20;

/// Sums over the columns that were run.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    useful: u128,
    entries: u128,
    occupied: u128,
    with_empty: u128,
    cycles: u128,
    columns: u128,
    /// Index bits that were read, without pointers.
    index: u128,
}

impl Totals {
    fn add(&mut self, other: Self, times: u128) {
        self.useful += other.useful * times;
        self.entries += other.entries * times;
        self.occupied += other.occupied * times;
        self.with_empty += other.with_empty * times;
        self.cycles += other.cycles * times;
        self.columns += other.columns * times;
        self.index += other.index * times;
    }

    /// Sums over `columns` instead of `sample` of them, `rows` instead of `sample_rows`, each position once.
    fn scale(self, columns: u128, sample: u128, positions: u128, rows: u128, sample_rows: u128) -> Self {
        let [useful, entries, occupied, with_empty, cycles, index] = [
            self.useful,
            self.entries,
            self.occupied,
            self.with_empty,
            self.cycles,
            self.index,
        ]
        .map(|v| (v * columns).div_ceil(sample) * rows / sample_rows * positions);
        Self {
            useful,
            entries,
            occupied,
            with_empty,
            cycles,
            columns: columns * positions,
            index,
        }
    }
}

pub(super) fn run(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    activations: Option<&Mask>,
) -> Result<ArrayRun, Overflow> {
    let gemm = work.nest.gemm();
    product(&[work.nest.weights(), u64::from(slices.cycles_per_entry)])?;
    let skip = slices.skip_zero_activations;
    let active = Portion::new(if skip { work.activation_density } else { 1.0 });
    let mut totals = Totals::default();
    let held = match work.weights {
        Weights::Pattern(alive) if decoder != Decoder::None => {
            let mask = &*decoder.stored(alive);
            let groups = (0..gemm.groups).map(|group| group * gemm.n);
            let mut parts =
                groups.flat_map(|row| blocks(slices, gemm.n).map(move |(first, rows)| (row + first, rows)));
            let layout = Layout::new(slices, decoder, gemm.n, gemm.k, mask, &mut parts);
            let mut held = vec![(0u128, 0u128); slices.pes as usize];
            for group in 0..gemm.groups {
                let offset = group * gemm.k;
                for (first, rows) in blocks(slices, gemm.n) {
                    let part = Part {
                        slices,
                        layout,
                        mask,
                        alive,
                        first: group * gemm.n + first,
                        rows,
                    };
                    if let Some(pattern) = activations {
                        let times = if pattern.rows() == 1 {
                            u128::from(gemm.m)
                        } else {
                            1
                        };
                        for x in 0..pattern.rows() as u64 {
                            let alive =
                                |j: u64| pattern.get((x * pattern.cols() as u64 + offset + j) as usize);
                            totals.add(part.product(&alive, (x == 0).then_some(&mut held)), times);
                        }
                    } else {
                        let alive = |j: u64| !skip || active.alive(offset + j);
                        totals.add(part.product(&alive, Some(&mut held)), gemm.m.into());
                    }
                }
            }
            Stored::of(&held, layout, work.weight_bits)
        }
        Weights::Density(d) if decoder != Decoder::None && d < 1.0 => {
            sampled(slices, decoder, work, d, 0, &mut totals)
        }
        _ => dense(slices, decoder, work, active, activations, &mut totals),
    };
    finish(slices, decoder, work, totals, held)
}

/// Adds to `totals` what a pseudo-random pattern of a density does, scaled to the layer; what it stores, likewise.
fn sampled(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    density: f64,
    pattern: u64,
    totals: &mut Totals,
) -> Stored {
    let gemm = work.nest.gemm();
    let active = if slices.skip_zero_activations {
        work.activation_density
    } else {
        1.0
    };
    let active = Portion::new(active);
    let all = u128::from(gemm.groups) * u128::from(gemm.k);
    let columns = active.of_up(all).max(1);
    let mut all_held = Stored::default();
    for (rows, times) in block_sizes(slices, gemm.n) {
        let sampled = sample_rows(rows, slices.pes.into());
        let sample = SAMPLE.min(((1 << 20) / sampled).max(16)).min(gemm.k);
        let alive = pseudo_random(sampled, sample, density, pattern);
        let mask = &*decoder.stored(&alive);
        let layout = Layout::new(
            slices,
            decoder,
            gemm.n,
            gemm.k,
            mask,
            &mut std::iter::once((0, sampled)),
        );
        let mut stored = vec![(0u128, 0u128); slices.pes as usize];
        let part = Part {
            slices,
            layout,
            mask,
            alive: &alive,
            first: 0,
            rows: sampled,
        }
        .product(&|_| true, Some(&mut stored));
        let whole = |v: u128| (v * u128::from(rows) * all).div_ceil(u128::from(sampled) * u128::from(sample));
        totals.add(
            part.scale(columns, sample.into(), gemm.m.into(), rows.into(), sampled.into()),
            times.into(),
        );
        let found = Stored::of(&stored, layout, work.weight_bits);
        all_held.entries += whole(found.entries) * u128::from(times);
        all_held.codes += whole(found.codes) * u128::from(times);
        all_held.widest += whole(found.widest) * u128::from(times);
    }
    all_held
}

/// How often a layer is larger than its sample, the smaller of its parts counting.
fn enlargement(slices: &Slices, work: &LayerWork, active: Portion) -> f64 {
    let gemm = work.nest.gemm();
    let all = u128::from(gemm.groups) * u128::from(gemm.k);
    let columns = active.of_up(all).max(1) as f64;
    let sizes = block_sizes(slices, gemm.n);
    let most = sizes.iter().map(|&(rows, _)| rows).max().unwrap_or(1);
    let sampled_rows = sample_rows(most, slices.pes.into());
    let (mut run, mut whole) = (0.0, 0.0);
    for (rows, times) in sizes {
        let sample = SAMPLE
            .min(((1 << 20) / sample_rows(rows, slices.pes.into())).max(16))
            .min(gemm.k);
        run = f64::max(run, sample as f64 * sampled_rows as f64);
        whole += columns * rows as f64 * times as f64;
    }
    whole / run
}

/// The runs at both ends of the interval in which the cycles of a uniformly random mask lie with probability `level`.
///
/// Samples, each enlarged to the layer, say what to expect at its number of non-zeros (by linear regression on theirs)
/// and how far samples of one number of non-zeros lie apart; a layer e times as large as a sample varies by 1/√e of
/// that. The interval, by Student's t, is for both. The model's expectation is by one sample: where it lies outside, the
/// interval reaches to it.
pub(super) fn interval(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    density: f64,
    level: f64,
) -> Result<[ArrayRun; 2], Overflow> {
    let active = Portion::new(if slices.skip_zero_activations {
        work.activation_density
    } else {
        1.0
    });
    let e = enlargement(slices, work, active).max(1.0);
    let mut middle = Totals::default();
    let held = sampled(slices, decoder, work, density, 0, &mut middle);
    let runs: Vec<(Totals, Stored)> = (1..=FURTHER)
        .map(|pattern| {
            let mut totals = Totals::default();
            let held = sampled(slices, decoder, work, density, pattern, &mut totals);
            (totals, held)
        })
        .collect();
    let freedom = FURTHER as f64 - 2.0;
    let t = StudentsT::new(0.0, 1.0, freedom).map_or(2.0, |t| t.inverse_cdf(0.5 + 0.5 * level));
    let gemm = work.nest.gemm();
    let columns = active.of_up(u128::from(gemm.groups) * u128::from(gemm.k)).max(1);
    let known = density * (columns * u128::from(gemm.n) * u128::from(gemm.m)) as f64;
    let ends = |of: &dyn Fn(&(Totals, Stored)) -> f64| {
        let of: Vec<f64> = runs.iter().map(of).collect();
        let kept: Vec<f64> = runs.iter().map(|(totals, _)| totals.useful as f64).collect();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let (of_mean, kept_mean) = (mean(&of), mean(&kept));
        let product = |a: &[f64], am: f64, b: &[f64], bm: f64| -> f64 {
            a.iter().zip(b).map(|(a, b)| (a - am) * (b - bm)).sum()
        };
        let with = product(&of, of_mean, &kept, kept_mean);
        let of_kept = product(&kept, kept_mean, &kept, kept_mean);
        let slope = if of_kept > 0.0 { with / of_kept } else { 0.0 };
        let left = (product(&of, of_mean, &of, of_mean) - slope * with).max(0.0) / freedom;
        let apart = known - kept_mean;
        let doubt = 1.0 / e
            + 1.0 / FURTHER as f64
            + if of_kept > 0.0 {
                apart * apart / of_kept
            } else {
                0.0
            };
        let (middle, reach) = (of_mean + slope * apart, t * (left * doubt).sqrt());
        [middle - reach, middle + reach]
    };
    let cycles = ends(&|(totals, _)| totals.cycles as f64);
    let stored = ends(&|(_, held)| held.entries as f64);
    let end = |up: usize| {
        let at = |expected: u128, ends: [f64; 2]| -> Result<u128, Overflow> {
            let (end, expected) = (ends[up].max(0.0), expected as f64);
            let whole = if up == 1 {
                end.ceil().max(expected)
            } else {
                end.floor().min(expected)
            };
            round_up(whole).map(u128::from)
        };
        let totals = Totals {
            cycles: at(middle.cycles, cycles)?,
            ..middle
        };
        let held = Stored {
            entries: at(held.entries, stored)?,
            ..held
        };
        finish(slices, decoder, work, totals, held)
    };
    Ok([end(0)?, end(1)?])
}

/// What the PEs store.
#[derive(Debug, Clone, Copy, Default)]
struct Stored {
    entries: u128,
    /// Bits of Golomb-Rice codes.
    codes: u128,
    /// Of the PE that holds the most: entries, or bits where entries are of no fixed width.
    widest: u128,
}

impl Stored {
    /// From the entries and the bits of codes of each PE.
    fn of(held: &[(u128, u128)], layout: Layout, weight_bits: u32) -> Self {
        let length = |&(entries, codes): &(u128, u128)| {
            if layout.decoder == Decoder::Rice {
                codes + entries * u128::from(weight_bits)
            } else {
                entries
            }
        };
        Self {
            entries: held.iter().map(|h| h.0).sum(),
            codes: held.iter().map(|h| h.1).sum(),
            widest: held.iter().map(length).max().unwrap_or(0),
        }
    }
}

/// How a PE stores its part of a column.
#[derive(Debug, Clone, Copy)]
struct Layout {
    decoder: Decoder,
    /// Index bits of an entry.
    entry_bits: u64,
    /// The parameter of Golomb-Rice codes.
    rice: u32,
}

impl Layout {
    /// For blocks of `rows` rows and `cols` columns; `parts` are the first rows and rows that codes run over.
    fn new(
        slices: &Slices,
        decoder: Decoder,
        rows: u64,
        cols: u64,
        mask: &Mask,
        parts: &mut dyn Iterator<Item = (u64, u64)>,
    ) -> Self {
        let own = block_rows(slices, rows).div_ceil(slices.pes.into());
        let mut gaps = RiceBits::default();
        if decoder == Decoder::Rice {
            let (pes, cols) = (slices.pes as usize, mask.cols());
            let mut next = vec![0; pes.min(mask.rows()) * cols];
            for (first, rows) in parts {
                next.fill(0);
                for row in 0..rows as usize {
                    let (pe, own) = (row % pes, (row / pes) as u64);
                    let base = (first as usize + row) * cols;
                    for_each_one(mask.words(), base, base + cols, |at| {
                        gaps.add(own - next[pe * cols + at - base]);
                        next[pe * cols + at - base] = own + 1;
                    });
                }
            }
        }
        Self {
            decoder,
            entry_bits: match decoder {
                Decoder::Relative(bits) => bits.into(),
                Decoder::Csc => width(own),
                Decoder::Coordinate => width(own) + width(cols),
                _ => 0,
            },
            rice: gaps.best(),
        }
    }

    /// Index bits of a column of a PE with so many rows, entries and bits of codes.
    fn bits(self, rows: u64, entries: u64, codes: u64) -> u64 {
        match self.decoder {
            Decoder::Bitmap | Decoder::Blocks { .. } => rows,
            _ => entries * self.entry_bits + codes,
        }
    }
}

/// Every weight an entry: the PE with the most rows sets the pace of every column, whatever the depth, since a
/// broadcast never comes later than it can take it.
fn dense(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    active: Portion,
    activations: Option<&Mask>,
    totals: &mut Totals,
) -> Stored {
    let gemm = work.nest.gemm();
    let layout = Layout::new(
        slices,
        if decoder == Decoder::Rice {
            Decoder::None
        } else {
            decoder
        },
        gemm.n,
        gemm.k,
        &Mask::empty(0, 0),
        &mut std::iter::empty(),
    );
    // every gap is one of no zeros, which takes one bit
    let codes = |entries: u64| if decoder == Decoder::Rice { entries } else { 0 };
    let cost = |rows: u64| cost(slices, rows, layout.bits(rows, rows, codes(rows)));
    let (pes, rows) = (u64::from(slices.pes), gemm.n);
    let columns = match activations {
        Some(pattern) => {
            pattern.count() as u128
                * if pattern.rows() == 1 {
                    u128::from(gemm.m)
                } else {
                    1
                }
        }
        None => active.of_up(u128::from(gemm.groups) * u128::from(gemm.k)) * u128::from(gemm.m),
    };
    let mut longest = 0;
    for (rows, times) in block_sizes(slices, rows) {
        let (long, short) = (rows.div_ceil(pes), rows / pes);
        let with_long = rows - short * pes;
        let occupied = cost(long) * u128::from(if long > short { with_long } else { 0 })
            + if short > 0 {
                cost(short) * u128::from(pes - if long > short { with_long } else { 0 })
            } else {
                0
            };
        let block = Totals {
            useful: columns * u128::from(rows),
            entries: columns * u128::from(rows),
            occupied: columns * occupied,
            with_empty: columns * occupied,
            cycles: columns * cost(long),
            columns,
            index: columns * u128::from(layout.bits(rows, rows, codes(rows))),
        };
        totals.add(block, times.into());
        longest += u128::from(long) * u128::from(times);
    }
    let weights = u128::from(work.nest.weights());
    let (codes, each) = if decoder == Decoder::Rice {
        (weights, 1 + u128::from(work.weight_bits))
    } else {
        (0, 1)
    };
    Stored {
        entries: weights,
        codes,
        widest: longest * u128::from(gemm.groups) * u128::from(gemm.k) * each,
    }
}

/// The most rows that run at a time.
fn block_rows(slices: &Slices, rows: u64) -> u64 {
    slices
        .accumulators
        .map_or(rows, |a| (u64::from(a) * u64::from(slices.pes)).min(rows))
}

/// First row and rows of each block.
fn blocks(slices: &Slices, rows: u64) -> impl Iterator<Item = (u64, u64)> {
    let block = block_rows(slices, rows);
    (0..rows.div_ceil(block)).map(move |b| (b * block, block.min(rows - b * block)))
}

/// Rows of the blocks, and how many there are of each.
fn block_sizes(slices: &Slices, rows: u64) -> Vec<(u64, u64)> {
    let block = block_rows(slices, rows);
    [(block, rows / block), (rows % block, 1)]
        .into_iter()
        .filter(|&(rows, times)| rows > 0 && times > 0)
        .collect()
}

/// Cycles of so many entries and index bits of one column, at least one.
fn cost(slices: &Slices, entries: u64, bits: u64) -> u128 {
    let decode = slices
        .decode_bits_per_cycle
        .map_or(0, |rate| bits.div_ceil(u64::from(rate)));
    slots(slices, entries).max(u128::from(decode)).max(1)
}

/// Cycles that so many entries of one column take the multipliers.
fn slots(slices: &Slices, entries: u64) -> u128 {
    u128::from(entries.div_ceil(u64::from(slices.macs_per_pe))) * u128::from(slices.cycles_per_entry)
}

/// The rows of one block of a group on the PEs.
#[derive(Clone, Copy)]
struct Part<'a> {
    slices: &'a Slices,
    layout: Layout,
    /// Positions that are entries.
    mask: &'a Mask,
    /// Those of them that are weights.
    alive: &'a Mask,
    /// Its first row in the mask.
    first: u64,
    rows: u64,
}

/// Takes a column's number, each PE's entries and bits of codes in it, and its non-zeros.
type ColumnVisit<'a> = dyn FnMut(u64, &[u32], &[u32], u64) + 'a;

impl Part<'_> {
    /// Calls `column` with each column's number, each PE's entries and bits of codes in it, and its non-zeros, in order.
    fn for_each_column(&self, column: &mut ColumnVisit<'_>) {
        let (span, with_codes) = (self.layout.decoder.span(), self.layout.decoder == Decoder::Rice);
        let stored_zeros = matches!(self.layout.decoder, Decoder::Blocks { .. });
        let (pes, cols) = (self.slices.pes as usize, self.mask.cols());
        let width = (BLOCK / pes).clamp(1, cols.max(1));
        // entries and last local row + 1 of each (column, PE)
        let mut entries = vec![0u32; width * pes];
        let mut last = vec![0u32; width * pes];
        let mut codes = vec![0u32; if with_codes { width * pes } else { 0 }];
        let mut nonzeros = vec![0u64; width];
        for from in (0..cols).step_by(width) {
            let to = cols.min(from + width);
            entries.fill(0);
            last.fill(0);
            codes.fill(0);
            nonzeros.fill(0);
            for row in 0..self.rows as usize {
                let (pe, local) = (row % pes, (row / pes) as u32 + 1);
                let base = (self.first as usize + row) * cols;
                for_each_one(self.mask.words(), base + from, base + to, |at| {
                    let j = at - base - from;
                    let slot = j * pes + pe;
                    let gap = u64::from(local - last[slot]);
                    entries[slot] += ((gap - 1) >> span) as u32 + 1;
                    if with_codes {
                        codes[slot] += rice(gap - 1, self.layout.rice) as u32;
                    }
                    last[slot] = local;
                    nonzeros[j] += u64::from(!stored_zeros || self.alive.get(at));
                });
            }
            for (j, &nonzeros) in nonzeros.iter().enumerate().take(to - from) {
                let of = j * pes..(j + 1) * pes;
                let codes = if with_codes { &codes[of.clone()] } else { &[] };
                column((from + j) as u64, &entries[of], codes, nonzeros);
            }
        }
    }

    /// One matrix-vector product over the columns that are alive; `held` gains the stored entries and bits of codes
    /// of each PE.
    fn product(&self, alive: &dyn Fn(u64) -> bool, held: Option<&mut Vec<(u128, u128)>>) -> Totals {
        let decoder = self.layout.decoder;
        let plain = decoder != Decoder::Rice && !matches!(decoder, Decoder::Blocks { .. });
        if plain && self.slices.decode_bits_per_cycle.is_none() {
            self.counted(alive, held)
        } else {
            self.walked(alive, held)
        }
    }

    /// The same by counts alone, hundreds of columns at a time: where entries take their time and nothing else does.
    fn counted(&self, alive: &dyn Fn(u64) -> bool, mut held: Option<&mut Vec<(u128, u128)>>) -> Totals {
        let dealt = Dealt {
            mask: self.mask,
            first: self.first as usize,
            rows: self.rows as usize,
            pes: self.slices.pes as usize,
            span: self.layout.decoder.span(),
        };
        let mut totals = Totals::default();
        let mut broadcast = Broadcast::new(self.slices, self.rows);
        let mut counts = Counts::default();
        for from in (0..self.mask.cols()).step_by(COLUMNS) {
            let columns = (self.mask.cols() - from).min(COLUMNS);
            let mut living = [0u64; WORDS];
            for column in (0..columns).filter(|c| alive((from + c) as u64)) {
                living[column / 64] |= 1 << (column % 64);
            }
            counts.fill(dealt, from, &living, &mut |pe, part| {
                if let Some(held) = held.as_mut() {
                    held[pe].0 += u128::from(part.entries);
                }
                totals.entries += u128::from(part.alive_entries);
                totals.useful += u128::from(part.alive_nonzeros);
            });
            broadcast.columns(&counts, &living);
        }
        totals.index = match self.layout.decoder {
            Decoder::Bitmap => broadcast.columns * u128::from(self.rows),
            _ => totals.entries * u128::from(self.layout.entry_bits),
        };
        totals.columns = broadcast.columns;
        totals.occupied = broadcast.occupied;
        totals.with_empty = broadcast.with_empty;
        totals.cycles = broadcast.latest.into();
        totals
    }

    /// The same column by column.
    fn walked(&self, alive: &dyn Fn(u64) -> bool, mut held: Option<&mut Vec<(u128, u128)>>) -> Totals {
        let depth = match self.slices.synchronisation {
            Synchronisation::Barrier => 1,
            Synchronisation::Fifo { depth } => depth.max(1) as usize,
        };
        let working = (self.slices.pes as usize).min(self.rows as usize);
        let mut totals = Totals::default();
        let mut done = vec![0u64; working];
        let mut finished = VecDeque::new(); // latest end of each of the last `depth` columns, oldest first
        let mut next = 0u64; // the earliest cycle of the next broadcast
        let pes = u64::from(self.slices.pes);
        self.for_each_column(&mut |column, entries, codes, nonzeros| {
            let code = |p: usize| codes.get(p).copied().unwrap_or(0);
            if let Some(held) = held.as_mut() {
                for (p, (held, &count)) in held.iter_mut().zip(entries).enumerate() {
                    held.0 += u128::from(count);
                    held.1 += u128::from(code(p));
                }
            }
            if !alive(column) {
                return;
            }
            let free = if finished.len() == depth {
                finished.pop_front().unwrap_or(0)
            } else {
                0
            };
            let broadcast = next.max(free);
            let mut latest = broadcast + 1; // a PE without rows passes the column by in its cycle
            let (mut count_all, mut occupied, mut with_empty) = (0u64, 0u64, 0u64);
            for (p, (done, &count)) in done.iter_mut().zip(entries).enumerate() {
                let rows = (self.rows - p as u64).div_ceil(pes);
                let bits = self.layout.bits(rows, count.into(), code(p).into());
                let taken = cost(self.slices, count.into(), bits) as u64;
                *done = (*done).max(broadcast) + taken;
                latest = latest.max(*done);
                count_all += u64::from(count);
                occupied += slots(self.slices, count.into()) as u64;
                totals.index += u128::from(bits);
                with_empty += taken;
            }
            totals.entries += u128::from(count_all);
            totals.occupied += u128::from(occupied);
            totals.with_empty += u128::from(with_empty);
            totals.useful += u128::from(nonzeros);
            totals.columns += 1;
            totals.cycles = totals.cycles.max(latest.into());
            finished.push_back(latest);
            next = broadcast + 1;
        });
        totals
    }
}

/// The columns on their way through the PEs' queues.
struct Broadcast {
    depth: usize,
    /// PEs with rows.
    working: usize,
    /// Cycles that so many entries of a column take, at least one.
    taken: Taken,
    /// When each PE has finished its last column; the PEs above `working` follow along and decide nothing.
    done: Vec<u64>,
    /// Latest end of each of the last `depth` columns, oldest first.
    finished: VecDeque<u64>,
    /// The earliest cycle of the next broadcast.
    next: u64,
    latest: u64,
    counts: Vec<u32>,
    columns: u128,
    occupied: u128,
    with_empty: u128,
}

/// How long a PE takes for the entries of a column.
enum Taken {
    /// As many cycles as entries, times a factor.
    Times(u32),
    /// By number of entries.
    Table(Vec<u32>),
}

impl Broadcast {
    fn new(slices: &Slices, rows: u64) -> Self {
        let pes = u64::from(slices.pes);
        let working = pes.min(rows) as usize;
        let most = rows.div_ceil(pes);
        let taken = if slices.macs_per_pe == 1 {
            Taken::Times(slices.cycles_per_entry)
        } else {
            // rows x cycles per entry fit 64 bits, and so few rows are on a PE that they fit 32
            Taken::Table(
                (0..=most)
                    .map(|n| u32::try_from(slots(slices, n).max(1)).unwrap_or(u32::MAX))
                    .collect(),
            )
        };
        Self {
            depth: match slices.synchronisation {
                Synchronisation::Barrier => 1,
                Synchronisation::Fifo { depth } => depth.max(1) as usize,
            },
            working,
            taken,
            done: vec![0; working.next_multiple_of(64)],
            finished: VecDeque::new(),
            next: 0,
            latest: 0,
            counts: Vec::new(),
            columns: 0,
            occupied: 0,
            with_empty: 0,
        }
    }

    /// Broadcasts the columns of a block that are alive.
    fn columns(&mut self, counts: &Counts, living: &Bits) {
        pulp::Arch::new().dispatch(Columns {
            broadcast: self,
            counts,
            living,
        });
    }

    #[inline(always)]
    fn column(&mut self, counts: &Counts, column: usize) {
        let used = counts.column(column, &mut self.counts);
        let free = if self.finished.len() == self.depth {
            self.finished.pop_front().unwrap_or(0)
        } else {
            0
        };
        let broadcast = self.next.max(free);
        let (latest, all) = match &self.taken {
            // an empty column still takes its PE a cycle
            Taken::Times(factor) => {
                let factor = u64::from(*factor);
                take(&mut self.done, broadcast, &self.counts, |n| {
                    u64::from(n).wrapping_mul(factor).max(1)
                })
            }
            Taken::Table(table) => take(&mut self.done, broadcast, &self.counts, |n| {
                table.get(n as usize).copied().unwrap_or(1).into()
            }),
        };
        let idle = (self.done.len() - self.working) as u64;
        let empty = self.working as u64 - used;
        self.with_empty += u128::from(all - idle);
        self.occupied += u128::from(all - idle - empty);
        self.columns += 1;
        self.latest = self.latest.max(latest);
        self.finished.push_back(latest);
        self.next = broadcast + 1;
    }
}

/// [`Broadcast::columns`] with the vector instructions of the machine.
struct Columns<'a> {
    broadcast: &'a mut Broadcast,
    counts: &'a Counts,
    living: &'a Bits,
}

impl NullaryFnOnce for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (word, &bits) in self.living.iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                let column = 64 * word + bits.trailing_zeros() as usize;
                self.broadcast.column(self.counts, column);
                bits &= bits - 1;
            }
        }
    }
}

/// Moves every PE's end past a column, and returns the latest end and the sum of the cycles taken.
///
/// Sums cannot overflow: weights × cycles per entry fit 64 bits, and a mask has fewer positions than 2^63.
#[inline(always)]
fn take(done: &mut [u64], broadcast: u64, counts: &[u32], cycles: impl Fn(u32) -> u64) -> (u64, u64) {
    let (mut latest, mut all) = (0u64, 0u64);
    for (done, &n) in done.iter_mut().zip(counts) {
        let cycles = cycles(n);
        let end = (*done).max(broadcast).wrapping_add(cycles);
        *done = end;
        latest = latest.max(end);
        all = all.wrapping_add(cycles);
    }
    (latest, all)
}

/// Calls `visit` with the positions of the ones in `from..to`, ascending.
fn for_each_one(words: &[u64], from: usize, to: usize, mut visit: impl FnMut(usize)) {
    if from >= to {
        return;
    }
    let (first, last) = (from / 64, (to - 1) / 64);
    for (w, &word) in words.iter().enumerate().take(last + 1).skip(first) {
        let mut word = word;
        if w == first {
            word &= u64::MAX << (from % 64);
        }
        if w == last {
            word &= u64::MAX >> (63 - (to - 1) % 64);
        }
        while word != 0 {
            visit(w * 64 + word.trailing_zeros() as usize);
            word &= word - 1;
        }
    }
}

/// Rows of the pattern that stands for a density: all, or for very tall layers whole rounds over the PEs.
fn sample_rows(rows: u64, pes: u64) -> u64 {
    const TALL: u64 = 1 << 16;
    if rows <= TALL {
        rows
    } else {
        rows.min(TALL.div_ceil(pes) * pes)
    }
}

/// One of many fixed patterns of the wanted density: position i is alive where a mixing function of i (the finaliser of
/// `SplitMix64`) falls below it.
fn pseudo_random(rows: u64, cols: u64, density: f64, pattern: u64) -> Mask {
    let threshold = (density * 18_446_744_073_709_551_615.0) as u64;
    let mut mask = Mask::empty(rows as usize, cols as usize);
    for i in 0..mask.len() {
        let mut z = (i as u64 + 1)
            .wrapping_add(pattern << 40)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mask.set(i, (z ^ (z >> 31)) < threshold);
    }
    mask
}

fn finish(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    totals: Totals,
    held: Stored,
) -> Result<ArrayRun, Overflow> {
    let gemm = work.nest.gemm();
    let peak = product(&[u64::from(slices.pes), u64::from(slices.macs_per_pe)])?;
    let rate = u128::from(peak);
    let working = u128::from(slices.pes).min(gemm.n.into());
    let stages = Stages {
        useful: fit(totals.useful / rate)?,
        entries: fit(totals.entries * u128::from(slices.cycles_per_entry) / rate)?,
        lanes: fit(totals.occupied / working)?,
        decoded: fit(totals.with_empty / working)?,
        slowest: fit(totals.cycles)?,
        total: fit(totals.cycles)?,
    };
    let weight_bits = u64::from(work.weight_bits);
    let [input_bits, output_bits] = [work.activation_bits.input, work.activation_bits.output].map(u64::from);
    let (entries, useful, columns) = (fit(totals.entries)?, fit(totals.useful)?, fit(totals.columns)?);
    let stored = fit(held.entries)?;
    let widest = held.widest;
    // a pointer per PE and column, and one past the end, wide enough for the PE that holds the most
    let pointer_bits = u128::from(128 - widest.leading_zeros());
    let blocks = gemm.n.div_ceil(block_rows(slices, gemm.n));
    let pointers = u128::from(slices.pes)
        * u128::from(blocks)
        * (u128::from(gemm.groups) * u128::from(gemm.k) + 1)
        * pointer_bits;
    let all = u128::from(stored);
    let own = block_rows(slices, gemm.n).div_ceil(u64::from(slices.pes));
    let to_columns = 2 * u128::from(columns) * u128::from(slices.pes) * pointer_bits;
    let once = if decoder == Decoder::Rice && stored > 0 {
        u128::from(RICE_BITS)
    } else {
        0
    };
    let (index, to_columns, pointers) = match decoder {
        Decoder::None | Decoder::Csr => (0, 0, 0),
        Decoder::Relative(bits) => (all * u128::from(bits), to_columns, pointers),
        Decoder::Csc => (all * u128::from(width(own)), to_columns, pointers),
        // entries say their columns: there is nothing to point to
        Decoder::Coordinate => (all * u128::from(width(own) + width(gemm.k)), 0, 0),
        Decoder::Bitmap => (work.nest.weights().into(), to_columns, pointers),
        Decoder::Blocks { cols, .. } => {
            let map = u128::from(gemm.groups * gemm.n) * u128::from(gemm.k.div_ceil(cols));
            (map, to_columns, pointers)
        }
        Decoder::Rice => (held.codes, to_columns, pointers),
    };
    Ok(ArrayRun {
        cycles: stages.total,
        causes: stages.causes(),
        macs: useful,
        decoded: if decoder == Decoder::None { 0 } else { entries },
        hops: product(&[columns, u64::from(slices.pes)])?,
        stored: StoredBits {
            weights: product(&[stored, weight_bits])?,
            indices: fit(index + once + pointers)?,
        },
        bits: ArrayBits {
            weights: product(&[entries, weight_bits])?,
            indices: fit(totals.index + once + to_columns)?,
            inputs: product(&[columns, input_bits])?,
            outputs_written: product(&[gemm.m, gemm.groups, gemm.n, output_bits])?,
            outputs_read: 0,
        },
        peak,
        ..ArrayRun::default()
    })
}
