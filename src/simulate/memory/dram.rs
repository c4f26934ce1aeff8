//! Rows and banks of the DRAM: which rows a transfer opens, and what opening them costs.
//!
//! **Rows.** Each tensor begins at a row. A transfer of a tensor visits its bits in ascending order and opens a row
//! whenever it comes to another; between the transfers of two tensors, or of two tiles, no row stays open.
//!
//! **Banks.** Consecutive rows of a transfer lie in consecutive banks. A bank opens its next row, in `miss` cycles, as
//! soon as its last one has been moved; all begin with the transfer. The D cycles of data are spread evenly over the A rows,
//! D / A each. With n banks a row waits δ = max(0, miss − (n − 1) · D / A) for its bank, and only every n-th row has to,
//! so that a transfer takes miss + D + ⌊(A − 1) / n⌋ · δ cycles, rounded up.

use crate::hardware::{Memory, MemoryKind};
use crate::simulate::count::fit;
use crate::units::{Overflow, add};

/// Runs of contiguous bits of a tensor, equally long and equally far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Runs {
    /// Place of the first bit in the tensor.
    pub(super) start: u128,
    /// How many.
    pub(super) count: u64,
    /// From the beginning of one to that of the next; no less than `length`.
    pub(super) stride: u64,
    /// Bits of each.
    pub(super) length: u64,
}

impl Runs {
    /// One run.
    pub(super) fn one(start: u128, length: u64) -> Self {
        Self {
            start,
            count: 1,
            stride: length,
            length,
        }
    }

    /// Rows of `row` bits that are opened when the runs are visited in order.
    pub(super) fn rows(&self, row: u64) -> Result<u64, Overflow> {
        if self.count == 0 || self.length == 0 {
            return Ok(0);
        }
        let row = u128::from(row.max(1));
        let (count, stride, length) = (
            u128::from(self.count),
            u128::from(self.stride),
            u128::from(self.length),
        );
        let first = self.start % row;
        if stride - length < row {
            // no row lies between two runs: every row from the first to the last is opened
            let end = first.checked_add((count - 1) * stride).ok_or(Overflow)?;
            let end = end.checked_add(length - 1).ok_or(Overflow)?;
            return fit(end / row + 1);
        }
        // no two runs share a row: floor((s + length − 1) / row) − floor(s / row) + 1 of each
        let (whole, part) = ((length - 1) / row, (length - 1) % row);
        let step = stride % row;
        let crossings = floor_sum(count, row, step, first + part) - floor_sum(count, row, step, first);
        let each = count.checked_mul(whole + 1).ok_or(Overflow)?;
        fit(each.checked_add(crossings).ok_or(Overflow)?)
    }
}

/// Σ ⌊(a · i + b) / m⌋ over i < n, of a < m < 2^32, b < 2 · m and n < 2^64, by exchanging rows and columns of the
/// lattice points below the line as Euclid's algorithm does.
fn floor_sum(mut n: u128, mut m: u128, mut a: u128, mut b: u128) -> u128 {
    let mut sum = 0;
    loop {
        if n > 0 {
            sum += n * (n - 1) / 2 * (a / m) + n * (b / m);
        }
        (a, b) = (a % m, b % m);
        let top = a * n + b;
        if top < m {
            return sum;
        }
        (n, b) = (top / m, top % m);
        (a, m) = (m, a);
    }
}

/// Rows and banks of a profile's DRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rows {
    /// Bits of a row.
    pub(super) bits: u64,
    banks: u64,
    miss: u64,
}

impl Rows {
    /// Those of the memory, if it has any.
    pub(super) fn of(memory: &Memory) -> Option<Self> {
        let (Some(rows), MemoryKind::Dram { .. }) = (&memory.rows, memory.kind) else {
            return None;
        };
        Some(Self {
            bits: rows.row_bytes.saturating_mul(8).max(1),
            banks: rows.banks.max(1),
            miss: rows.row_miss_cycles,
        })
    }

    /// Cycles of a transfer that moves data for `data` cycles and opens so many rows.
    pub(super) fn cycles(&self, data: u64, opened: u64) -> Result<u64, Overflow> {
        if opened == 0 {
            return Ok(data);
        }
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        // of all rows together, so that nothing is rounded before the end
        let wait = product(self.miss, opened).saturating_sub(product(self.banks - 1, data));
        let waits = wait
            .checked_mul(((opened - 1) / self.banks).into())
            .ok_or(Overflow)?;
        add(add(self.miss, data)?, fit(waits.div_ceil(opened.into()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rows visited one by one.
    fn visited(runs: Runs, row: u64) -> u64 {
        let (mut open, mut opened) = (None, 0);
        for run in 0..u128::from(runs.count) {
            let start = runs.start + run * u128::from(runs.stride);
            let end = start + u128::from(runs.length);
            for place in start / u128::from(row)..end.div_ceil(u128::from(row)) {
                if runs.length > 0 && open != Some(place) {
                    (open, opened) = (Some(place), opened + 1);
                }
            }
        }
        opened
    }

    proptest! {
        #[test]
        fn rows_are_those_that_are_visited(
            start in 0u64..5000, count in 0u64..40, gap in 0u64..700, length in 0u64..600, row in 1u64..300,
        ) {
            let runs = Runs { start: start.into(), count, stride: length + gap, length };
            prop_assert_eq!(runs.rows(row), Ok(visited(runs, row)));
        }

        /// Rows twice as long are never opened more often, and rows hold what is moved.
        #[test]
        fn longer_rows_are_opened_less_often(
            start in any::<u32>(), count in 1u64..1 << 40, gap in 0u64..1 << 20, length in 1u64..1 << 20, log in 3u32..23,
        ) {
            let runs = Runs { start: start.into(), count, stride: length + gap, length };
            let opened = runs.rows(1 << log).expect("small");
            prop_assert!(runs.rows(2 << log).expect("small") <= opened);
            prop_assert!(u128::from(opened) << log >= u128::from(count) * u128::from(length));
        }

        /// More banks, a shorter miss, fewer rows and less data never make a transfer slower.
        #[test]
        fn banks_hide_misses(data in 0u64..10_000, opened in 1u64..500, banks in 1u64..20, miss in 1u64..200) {
            let of = |banks, miss, opened, data| {
                Rows { bits: 8, banks, miss }.cycles(data, opened).expect("small")
            };
            let cycles = |banks, miss, opened| of(banks, miss, opened, data);
            let here = cycles(banks, miss, opened);
            prop_assert!(cycles(banks + 1, miss, opened) <= here);
            prop_assert!(cycles(banks, miss - 1, opened) <= here);
            prop_assert!(cycles(banks, miss, opened - 1) <= here);
            prop_assert!(here <= of(banks, miss, opened, data + 1));
            prop_assert!(here >= data + miss && here <= data + miss * opened);
        }
    }

    /// Counts at the end of their range are sums or an overflow, never a panic.
    #[test]
    fn the_largest_runs_overflow_or_count() {
        let runs = |start, stride, length| Runs {
            start,
            count: u64::MAX,
            stride,
            length,
        };
        assert_eq!(runs(0, u64::MAX, u64::MAX).rows(8), Err(Overflow));
        assert_eq!(runs(u128::MAX, u64::MAX, 1).rows(1 << 23), Ok(u64::MAX));
        assert_eq!(runs(7, 9, 1).rows(8), Ok(u64::MAX));
        let rows = Rows {
            bits: 8,
            banks: 1,
            miss: 2,
        };
        assert_eq!(rows.cycles(1, u64::MAX), Err(Overflow));
    }

    /// 3 banks, 10 cycles a miss, 8 rows of 4.25 cycles each: rows 0 to 2 are ready after 10 cycles and moved by 22.75, but
    /// bank 0 is ready again only at 24.25. 1.5 cycles are lost each time it comes round, for rows 3 and 6:
    /// 10 + 34 + 2 · 1.5 = 47.
    #[test]
    fn banks_by_hand() {
        let rows = Rows {
            bits: 8,
            banks: 3,
            miss: 10,
        };
        assert_eq!(rows.cycles(34, 8), Ok(47));
    }
}
