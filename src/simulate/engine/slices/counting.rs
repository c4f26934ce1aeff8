//! Entries of every column on every PE, rows dealt out to PEs, counted for hundreds of columns at a time.
//!
//! Counts are bit-sliced: bit j of plane b is bit b of column j's count, so that a row of the mask is added to all columns
//! by a few logical operations a word. Fillers take two more counters: the zeros since the last non-zero, modulo the gap
//! L = 2^span that an entry spans, and the fillers that a next non-zero will need; they are added with it, and forgotten
//! if none comes. The planes of 64 PEs are then transposed, which gives every column's counts.

use crate::compression::Mask;
use pulp::NullaryFnOnce;

/// Words of 64 columns that are counted together.
pub(in crate::simulate::engine) const WORDS: usize = 8;
/// Columns that are counted together.
pub(in crate::simulate::engine) const COLUMNS: usize = 64 * WORDS;

/// So many columns, a bit each.
pub(in crate::simulate::engine) type Bits = [u64; WORDS];

/// Rows of a mask on PEs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dealt<'a> {
    pub(super) mask: &'a Mask,
    /// The first row.
    pub(super) first: usize,
    /// Rows, the i-th at PE i mod `pes`.
    pub(super) rows: usize,
    pub(super) pes: usize,
    /// log2 of the largest gap that an entry spans; any gap where it is 63.
    pub(super) span: u32,
}

/// The counts of a block of columns.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// For each word of columns, then each plane, a word per PE; after [`Counts::transpose`] a word of PEs for each of the
    /// 64 columns, 64 PEs after another.
    planes: Vec<u64>,
    /// Planes of a count.
    depth: usize,
    /// PEs with rows, up to a multiple of 64.
    padded: usize,
    /// Columns of the block.
    columns: usize,
    counter: Counter,
}

/// What one PE holds of a block of columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Entries, fillers included.
    pub(super) entries: u64,
    /// The same in columns that are alive.
    pub(super) alive_entries: u64,
    /// Non-zeros in columns that are alive.
    pub(super) alive_nonzeros: u64,
}

/// Counters of a PE's columns.
#[derive(Debug, Default)]
struct Counter {
    count: Vec<Bits>,
    run: Vec<Bits>,
    pending: Vec<Bits>,
}

/// Bits that a number takes.
pub(in crate::simulate::engine) fn width(n: u64) -> usize {
    (u64::BITS - n.leading_zeros()) as usize
}

/// Adds one where `carry` is set to counters that hold less than 2^planes afterwards; what overflows is returned.
#[inline(always)]
pub(in crate::simulate::engine) fn increment(planes: &mut [Bits], mut carry: Bits) -> Bits {
    for plane in planes {
        for (bits, carry) in plane.iter_mut().zip(&mut carry) {
            let over = *bits & *carry;
            *bits ^= *carry;
            *carry = over;
        }
    }
    carry
}

impl Counter {
    fn reset(&mut self, depth: usize, run: usize, pending: usize) {
        for (planes, depth) in [
            (&mut self.count, depth),
            (&mut self.run, run),
            (&mut self.pending, pending),
        ] {
            planes.clear();
            planes.resize(depth, [0; WORDS]);
        }
    }

    /// Adds a row of a mask on which no gap needs a filler. `local` rows came before.
    #[inline(always)]
    fn plain(&mut self, row: &Bits, local: u64) {
        let depth = width(local + 1);
        increment(&mut self.count[..depth], *row);
    }

    /// Adds a row of a mask with fillers. `local` rows came before.
    #[inline(always)]
    fn gapped(&mut self, row: &Bits, local: u64, span: u32) {
        let zeros = row.map(|bits| !bits);
        // a full gap wraps the run and needs one filler more, if a non-zero follows
        let mut wrapped = zeros;
        for plane in &mut self.run {
            for ((bits, carry), zeros) in plane.iter_mut().zip(&mut wrapped).zip(&zeros) {
                let over = *bits & *carry;
                *bits = (*bits ^ *carry) & zeros;
                *carry = over;
            }
        }
        // the fillers of this gap, and one for the non-zero itself
        let fillers = width(local >> span).min(self.pending.len());
        let (low, high) = self.count[..width(local + 1)].split_at_mut(fillers);
        let mut carry = *row;
        for (plane, pending) in low.iter_mut().zip(&mut self.pending) {
            for (((bits, carry), pending), row) in plane.iter_mut().zip(&mut carry).zip(pending).zip(row) {
                let more = *pending & row;
                *pending &= !row;
                let half = *bits ^ more;
                let over = (*bits & more) | (half & *carry);
                *bits = half ^ *carry;
                *carry = over;
            }
        }
        increment(high, carry);
        increment(&mut self.pending, wrapped);
    }
}

/// [`Counts::fill`] with the vector instructions of the machine. A closure's own body would be inlined where it runs with
/// them, but not the shim around it.
struct Fill<'a, 'm, 'e> {
    counts: &'a mut Counts,
    dealt: Dealt<'m>,
    from: usize,
    alive: &'a Bits,
    each: &'a mut (dyn FnMut(usize, Held) + 'e),
}

impl NullaryFnOnce for Fill<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for pe in 0..self.dealt.pes.min(self.dealt.rows) {
            let held = self.counts.one(self.dealt, pe, self.from, self.alive);
            (self.each)(pe, held);
        }
        self.counts.transpose();
    }
}

impl Counts {
    /// Counts the columns from `from` on, [`COLUMNS`] of them or as many as there are; `alive` says which of them count
    /// for [`Held`], and `each` is called with every PE that has rows.
    pub(super) fn fill(
        &mut self,
        dealt: Dealt<'_>,
        from: usize,
        alive: &Bits,
        each: &mut dyn FnMut(usize, Held),
    ) {
        let Dealt { mask, rows, pes, .. } = dealt;
        let working = pes.min(rows);
        let most = rows.div_ceil(pes.max(1)) as u64;
        self.columns = (mask.cols() - from).min(COLUMNS);
        self.depth = width(most);
        self.padded = working.next_multiple_of(64);
        self.planes.clear();
        self.planes.resize(WORDS * self.depth * self.padded, 0);
        pulp::Arch::new().dispatch(Fill {
            counts: self,
            dealt,
            from,
            alive,
            each,
        });
    }

    /// Counts one PE's rows.
    #[inline(always)]
    fn one(&mut self, dealt: Dealt<'_>, pe: usize, from: usize, alive: &Bits) -> Held {
        let Dealt {
            mask,
            first,
            rows,
            pes,
            span,
        } = dealt;
        let most = rows.div_ceil(pes) as u64;
        let gapped = span < 63 && most > 1 << span;
        let (run, pending) = if gapped {
            (span as usize, width(most >> span))
        } else {
            (0, 0)
        };
        self.counter.reset(self.depth, run, pending);
        let inside: Bits = std::array::from_fn(|i| below(self.columns.saturating_sub(64 * i)));
        let mut held = Held::default();
        for (local, row) in (pe..rows).step_by(pes).enumerate() {
            let mut bits = window(mask.words(), (first + row) * mask.cols() + from);
            for (bits, inside) in bits.iter_mut().zip(&inside) {
                *bits &= inside;
            }
            for (bits, alive) in bits.iter().zip(alive) {
                held.alive_nonzeros += u64::from((bits & alive).count_ones());
            }
            if gapped {
                self.counter.gapped(&bits, local as u64, span);
            } else {
                self.counter.plain(&bits, local as u64);
            }
        }
        for (b, plane) in self.counter.count.iter().enumerate() {
            for (i, (bits, alive)) in plane.iter().zip(alive).enumerate() {
                held.entries += u64::from(bits.count_ones()) << b;
                held.alive_entries += u64::from((bits & alive).count_ones()) << b;
                self.planes[(i * self.depth + b) * self.padded + pe] = *bits;
            }
        }
        held
    }

    /// Turns a word of columns per PE into a word of PEs per column.
    #[inline(always)]
    fn transpose(&mut self) {
        let words = self.columns.div_ceil(64);
        for square in self.planes[..words * self.depth * self.padded].chunks_exact_mut(64) {
            transpose(square);
        }
    }

    /// Writes the counts of a column of the block, one per PE with rows (and zeros up to a multiple of 64), and returns
    /// how many of them are not zero.
    #[inline(always)]
    pub(super) fn column(&self, column: usize, counts: &mut Vec<u32>) -> u64 {
        let (word, bit) = (column / 64, column % 64);
        let base = word * self.depth * self.padded + bit;
        counts.clear();
        counts.resize(self.padded, 0);
        let mut used = 0;
        for (group, lanes) in counts.chunks_exact_mut(64).enumerate() {
            let mut any = 0;
            for low in (0..self.depth).step_by(8) {
                let mut bytes = [0u64; 8];
                for b in low..self.depth.min(low + 8) {
                    let plane = self.planes[base + b * self.padded + 64 * group];
                    any |= plane;
                    for (i, bytes) in bytes.iter_mut().enumerate() {
                        *bytes |= spread(plane >> (8 * i)).wrapping_shl((b - low) as u32);
                    }
                }
                for (lanes, bytes) in lanes.chunks_exact_mut(8).zip(bytes) {
                    for (lane, byte) in lanes.iter_mut().zip(bytes.to_le_bytes()) {
                        *lane |= u32::from(byte) << low;
                    }
                }
            }
            used += u64::from(any.count_ones());
        }
        used
    }
}

/// The lowest `n` bits, all for 64 and more.
pub(in crate::simulate::engine) fn below(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// The lowest 8 bits, each in the lowest bit of a byte.
#[inline(always)]
fn spread(bits: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut copies = bits & 0xFF;
    copies |= copies << 8;
    copies |= copies << 16;
    copies |= copies << 32;
    // byte i keeps bit i, which then becomes its highest
    ((copies & 0x8040_2010_0804_0201).wrapping_add(0x7F * EACH) >> 7) & EACH
}

/// The bits from position `at` on, zeros past the end.
#[inline(always)]
pub(in crate::simulate::engine) fn window(words: &[u64], at: usize) -> Bits {
    let (word, shift) = (at / 64, (at % 64) as u32);
    let mut near = [0u64; WORDS + 1];
    if let Some(whole) = words.get(word..=word + WORDS) {
        near.copy_from_slice(whole);
    } else if let Some(rest) = words.get(word..) {
        near[..rest.len()].copy_from_slice(rest);
    }
    // a shift by 64 is two shifts
    std::array::from_fn(|i| near[i] >> shift | (near[i + 1] << 1) << (63 - shift))
}

/// Transposes a square of 64 × 64 bits: halves of shrinking size change places.
#[inline(always)]
fn transpose(square: &mut [u64]) {
    for half in [32, 16, 8, 4, 2, 1] {
        // the lower half of every 2 · half bits
        let lower = u64::MAX / ((1 << half) + 1);
        for start in (0..64).step_by(2 * half) {
            let (above, below) = square[start..start + 2 * half].split_at_mut(half);
            for (above, below) in above.iter_mut().zip(below) {
                let swap = (*above >> half ^ *below) & lower;
                *above ^= swap << half;
                *below ^= swap;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Entries of each (column, PE), row after row.
    fn slowly(dealt: Dealt<'_>) -> Vec<Vec<u32>> {
        let cols = dealt.mask.cols();
        let mut counts = vec![vec![0; dealt.pes.min(dealt.rows)]; cols];
        for (column, counts) in counts.iter_mut().enumerate() {
            for (pe, count) in counts.iter_mut().enumerate() {
                let mut zeros = 0u64;
                for row in (pe..dealt.rows).step_by(dealt.pes) {
                    if dealt.mask.get((dealt.first + row) * cols + column) {
                        *count += (zeros >> dealt.span) as u32 + 1;
                        zeros = 0;
                    } else {
                        zeros += 1;
                    }
                }
            }
        }
        counts
    }

    #[test]
    fn counts_equal_a_walk_over_rows() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for case in 0..60 {
            let (rows, cols) = (random.random_range(1..400), random.random_range(1..700));
            let density = [0.02, 0.1, 0.5, 0.98][case % 4];
            let mut mask = Mask::empty(rows + 3, cols);
            for i in 0..mask.len() {
                mask.set(i, random.random_bool(density));
            }
            let dealt = Dealt {
                mask: &mask,
                first: case % 3,
                rows,
                pes: [1, 3, 64, 70, 200][case % 5],
                span: [1, 2, 4, 63][case % 4],
            };
            let want = slowly(dealt);
            let mut counts = Counts::default();
            let mut lanes = Vec::new();
            for from in (0..cols).step_by(COLUMNS) {
                let alive: Bits = std::array::from_fn(|i| 0x5555_5555_5555_5555 << (i % 2));
                counts.fill(dealt, from, &alive, &mut |pe, held| {
                    let columns = from..cols.min(from + COLUMNS);
                    let all: u64 = columns.clone().map(|c| u64::from(want[c][pe])).sum();
                    let living = |c: &usize| alive[(c - from) / 64] >> ((c - from) % 64) & 1 == 1;
                    let some: u64 = columns.filter(living).map(|c| u64::from(want[c][pe])).sum();
                    assert_eq!((held.entries, held.alive_entries), (all, some));
                });
                for column in from..cols.min(from + COLUMNS) {
                    let used = counts.column(column - from, &mut lanes);
                    assert_eq!(lanes[..want[column].len()], want[column]);
                    assert!(lanes[want[column].len()..].iter().all(|&n| n == 0));
                    assert_eq!(used, want[column].iter().filter(|&&n| n > 0).count() as u64);
                }
            }
        }
    }

    #[test]
    fn a_square_turned_twice_is_itself() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let square: Vec<u64> = (0..64).map(|_| random.random()).collect();
        let mut turned = square.clone();
        transpose(&mut turned);
        assert!((0..64).all(|i| (0..64).all(|j| square[i] >> j & 1 == turned[j] >> i & 1)));
        transpose(&mut turned);
        assert_eq!(turned, square);
    }
}
