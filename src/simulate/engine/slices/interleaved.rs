//! Rows dealt out to PEs, columns broadcast in order: EIE (ISCA 2016).
//!
//! Row i of a group's matrix belongs to PE i mod PEs. Each PE holds its part of a column as one index chain,
//! restarted at each column. With e(P, j) the entries of PE P in the j-th active column and
//! `cost = max(1, ceil(e / macs_per_pe) · cycles_per_entry)`:
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
//! Where only the density of the weights is known, a fixed pseudo-random pattern of up to 1024 columns and
//! about 2^20 weights is run and scaled: an estimate, the same on every machine.

use super::super::{ArrayBits, ArrayRun};
use super::counting::{Bits, COLUMNS, Counts, Dealt, WORDS};
use super::{Decoder, Stages};
use crate::compression::Mask;
use crate::hardware::{Slices, Synchronisation};
use crate::simulate::count::{Portion, fit};
use crate::simulate::{LayerWork, StoredBits, Weights};
use crate::units::{Overflow, product};
use pulp::NullaryFnOnce;
use std::collections::VecDeque;

/// Columns of the pattern that stands for a density.
const SAMPLE: u64 = 1024;

/// Sums over the columns that were run.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    useful: u128,
    entries: u128,
    occupied: u128,
    with_empty: u128,
    cycles: u128,
    columns: u128,
}

impl Totals {
    fn add(&mut self, other: Self, times: u128) {
        self.useful += other.useful * times;
        self.entries += other.entries * times;
        self.occupied += other.occupied * times;
        self.with_empty += other.with_empty * times;
        self.cycles += other.cycles * times;
        self.columns += other.columns * times;
    }

    /// Sums over `columns` instead of `sample` of them, `rows` instead of `sample_rows`, each position once.
    fn scale(self, columns: u128, sample: u128, positions: u128, rows: u128, sample_rows: u128) -> Self {
        let [useful, entries, occupied, with_empty, cycles] = [
            self.useful,
            self.entries,
            self.occupied,
            self.with_empty,
            self.cycles,
        ]
        .map(|v| (v * columns).div_ceil(sample) * rows / sample_rows * positions);
        Self {
            useful,
            entries,
            occupied,
            with_empty,
            cycles,
            columns: columns * positions,
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
    let (stored, widest) = match work.weights {
        Weights::Pattern(mask) if decoder != Decoder::None => {
            let mut held = vec![0u128; slices.pes as usize];
            for group in 0..gemm.groups {
                let offset = group * gemm.k;
                for (first, rows) in blocks(slices, gemm.n) {
                    let part = Part {
                        slices,
                        decoder,
                        mask,
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
            (held.iter().sum(), held.into_iter().max().unwrap_or(0))
        }
        Weights::Density(d) if decoder != Decoder::None && d < 1.0 => {
            let all = u128::from(gemm.groups) * u128::from(gemm.k);
            let columns = active.of_up(all).max(1);
            let mut held = (0u128, 0u128);
            for (rows, times) in block_sizes(slices, gemm.n) {
                let sampled = sample_rows(rows, slices.pes.into());
                let sample = SAMPLE.min(((1 << 20) / sampled).max(16)).min(gemm.k);
                let mask = pseudo_random(sampled, sample, d);
                let mut stored = vec![0u128; slices.pes as usize];
                let part = Part {
                    slices,
                    decoder,
                    mask: &mask,
                    first: 0,
                    rows: sampled,
                }
                .product(&|_| true, Some(&mut stored));
                let whole =
                    |v: u128| (v * u128::from(rows) * all).div_ceil(u128::from(sampled) * u128::from(sample));
                totals.add(
                    part.scale(columns, sample.into(), gemm.m.into(), rows.into(), sampled.into()),
                    times.into(),
                );
                held.0 += whole(stored.iter().sum()) * u128::from(times);
                held.1 += whole(stored.into_iter().max().unwrap_or(0)) * u128::from(times);
            }
            held
        }
        _ => dense(slices, work, active, activations, &mut totals),
    };
    finish(slices, decoder, work, totals, stored, widest)
}

/// Every weight an entry: the PE with the most rows sets the pace of every column, whatever the depth, since a
/// broadcast never comes later than it can take it.
fn dense(
    slices: &Slices,
    work: &LayerWork,
    active: Portion,
    activations: Option<&Mask>,
    totals: &mut Totals,
) -> (u128, u128) {
    let gemm = work.nest.gemm();
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
        let occupied = cost(slices, long) * u128::from(if long > short { with_long } else { 0 })
            + if short > 0 {
                cost(slices, short) * u128::from(pes - if long > short { with_long } else { 0 })
            } else {
                0
            };
        let block = Totals {
            useful: columns * u128::from(rows),
            entries: columns * u128::from(rows),
            occupied: columns * occupied,
            with_empty: columns * occupied,
            cycles: columns * cost(slices, long),
            columns,
        };
        totals.add(block, times.into());
        longest += u128::from(long) * u128::from(times);
    }
    let weights = u128::from(work.nest.weights());
    (weights, longest * u128::from(gemm.groups) * u128::from(gemm.k))
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

/// Cycles of so many entries of one column, at least one.
fn cost(slices: &Slices, entries: u64) -> u128 {
    (u128::from(entries.div_ceil(u64::from(slices.macs_per_pe))) * u128::from(slices.cycles_per_entry)).max(1)
}

/// The rows of one block of a group on the PEs.
#[derive(Clone, Copy)]
struct Part<'a> {
    slices: &'a Slices,
    decoder: Decoder,
    mask: &'a Mask,
    /// Its first row in the mask.
    first: u64,
    rows: u64,
}

impl Part<'_> {
    /// One matrix-vector product over the columns that are alive; `held` gains the stored entries of each PE.
    fn product(&self, alive: &dyn Fn(u64) -> bool, mut held: Option<&mut Vec<u128>>) -> Totals {
        let dealt = Dealt {
            mask: self.mask,
            first: self.first as usize,
            rows: self.rows as usize,
            pes: self.slices.pes as usize,
            span: self.decoder.span(),
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
                    held[pe] += u128::from(part.entries);
                }
                totals.entries += u128::from(part.alive_entries);
                totals.useful += u128::from(part.alive_nonzeros);
            });
            broadcast.columns(&counts, &living);
        }
        totals.columns = broadcast.columns;
        totals.occupied = broadcast.occupied;
        totals.with_empty = broadcast.with_empty;
        totals.cycles = broadcast.latest.into();
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
                    .map(|n| u32::try_from(cost(slices, n)).unwrap_or(u32::MAX))
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

/// Rows of the pattern that stands for a density: all, or for very tall layers whole rounds over the PEs.
fn sample_rows(rows: u64, pes: u64) -> u64 {
    const TALL: u64 = 1 << 16;
    if rows <= TALL {
        rows
    } else {
        rows.min(TALL.div_ceil(pes) * pes)
    }
}

/// A fixed pattern of the wanted density: position i is alive where a mixing function of i (the finaliser of
/// `SplitMix64`) falls below it.
fn pseudo_random(rows: u64, cols: u64, density: f64) -> Mask {
    let threshold = (density * 18_446_744_073_709_551_615.0) as u64;
    let mut mask = Mask::empty(rows as usize, cols as usize);
    for i in 0..mask.len() {
        let mut z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
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
    stored: u128,
    widest: u128,
) -> Result<ArrayRun, Overflow> {
    let gemm = work.nest.gemm();
    let peak = product(&[u64::from(slices.pes), u64::from(slices.macs_per_pe)])?;
    let rate = u128::from(peak);
    let working = u128::from(slices.pes).min(gemm.n.into());
    let stages = Stages {
        useful: fit(totals.useful / rate)?,
        entries: fit(totals.entries * u128::from(slices.cycles_per_entry) / rate)?,
        lanes: fit(totals.occupied / working)?,
        empty_columns: fit(totals.with_empty / working)?,
        slowest: fit(totals.cycles)?,
        total: fit(totals.cycles)?,
    };
    let (weight_bits, act_bits) = (u64::from(work.weight_bits), u64::from(work.activation_bits));
    let (entries, useful, columns) = (fit(totals.entries)?, fit(totals.useful)?, fit(totals.columns)?);
    let stored = fit(stored)?;
    // a pointer per PE and column, and one past the end, wide enough for the PE that holds the most
    let pointer_bits = u128::from(128 - widest.leading_zeros());
    let blocks = gemm.n.div_ceil(block_rows(slices, gemm.n));
    let pointers = u128::from(slices.pes)
        * u128::from(blocks)
        * (u128::from(gemm.groups) * u128::from(gemm.k) + 1)
        * pointer_bits;
    let (index, read, pointers) = match decoder {
        Decoder::None => (0, 0, 0),
        Decoder::Relative(bits) => (
            u128::from(stored) * u128::from(bits) + pointers,
            u128::from(entries) * u128::from(bits),
            2 * u128::from(columns) * u128::from(slices.pes) * pointer_bits,
        ),
        Decoder::Bitmap => (
            u128::from(work.nest.weights()) + pointers,
            u128::from(columns) * u128::from(gemm.n),
            2 * u128::from(columns) * u128::from(slices.pes) * pointer_bits,
        ),
    };
    Ok(ArrayRun {
        cycles: stages.total,
        causes: stages.causes(),
        macs: useful,
        decoded: if decoder == Decoder::None { 0 } else { entries },
        hops: product(&[columns, u64::from(slices.pes)])?,
        stored: StoredBits {
            weights: product(&[stored, weight_bits])?,
            indices: fit(index)?,
        },
        bits: ArrayBits {
            weights: product(&[entries, weight_bits])?,
            indices: fit(read + pointers)?,
            inputs: product(&[columns, act_bits])?,
            outputs_written: product(&[gemm.m, gemm.groups, gemm.n, act_bits])?,
            outputs_read: 0,
        },
        peak,
        ..ArrayRun::default()
    })
}
