//! A matrix product whose left factor is read where it stands: its rows and columns are places in a map.
//!
//! Element (m, i) of the left factor is `data[rows[m] + columns[i]]`. The windows of a convolution are such a matrix
//! without being copied, whole or with some columns left out; so is the transpose that its weight gradient asks for.

use super::float::Float;
use pulp::{Arch, Simd, WithSimd};

/// Columns of the product that are computed at a time.
pub(super) const BLOCK: usize = 16;

/// The factors of one block of [`BLOCK`] columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors<'a, T> {
    /// What the left factor's elements are among.
    pub(super) data: &'a [T],
    /// Where each row begins.
    pub(super) rows: &'a [u32],
    /// How far each column is from there.
    pub(super) columns: &'a [u32],
    /// No column is further.
    pub(super) reach: usize,
    /// The right factor: [`BLOCK`] values of each row.
    pub(super) right: &'a [T],
    /// Distance between its rows, a multiple of [`BLOCK`].
    pub(super) stride: usize,
}

impl<T: Float> Factors<'_, T> {
    /// Calls `store(m, row)` for every row of the product. Each element is one chain of fused multiply-adds in the
    /// order of the columns, so its bits depend neither on the vectors of the machine nor on the rows beside it.
    ///
    /// # Panics
    /// When an element lies outside its slice.
    #[inline(always)]
    pub(super) fn multiply(self, store: impl FnMut(usize, &[T; BLOCK])) {
        debug_assert!(self.columns.iter().all(|&c| c as usize <= self.reach));
        assert!(
            self.stride.is_multiple_of(BLOCK),
            "rows of the right factor are whole blocks"
        );
        Arch::new().dispatch(Product { factors: self, store });
    }
}

struct Product<'a, T, F> {
    factors: Factors<'a, T>,
    store: F,
}

impl<T: Float, F: FnMut(usize, &[T; BLOCK])> WithSimd for Product<'_, T, F> {
    type Output = ();

    /// As many rows at a time as the registers hold: twelve vectors of sums where vectors are wide.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match BLOCK / T::lanes::<S>() {
            1 => self.run::<S, 12, 1>(simd),
            2 => self.run::<S, 6, 2>(simd),
            4 => self.run::<S, 6, 4>(simd),
            8 => self.run::<S, 2, 8>(simd),
            _ => self.run::<S, 1, 16>(simd),
        }
    }
}

impl<T: Float, F: FnMut(usize, &[T; BLOCK])> Product<'_, T, F> {
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const VECTORS: usize>(mut self, simd: S) {
        let Factors {
            data,
            rows,
            columns,
            reach,
            right,
            stride,
        } = self.factors;
        let right = T::vectors::<S>(right);
        let step = stride / T::lanes::<S>();
        for (tile, rows) in rows.chunks(ROWS).enumerate() {
            // the last tile repeats its last row
            let mut left: [&[T]; ROWS] = [&[]; ROWS];
            for (i, left) in left.iter_mut().enumerate() {
                *left = &data[rows[i.min(rows.len() - 1)] as usize..][..=reach];
            }
            let mut sums = [[T::ZERO.splat(simd); VECTORS]; ROWS];
            let mut at = 0;
            for &column in columns {
                let column = column as usize;
                if column > reach {
                    break; // never so; spares a check for each row
                }
                let right = &right[at..at + VECTORS];
                at += step;
                for i in 0..ROWS {
                    let x = left[i][column].splat(simd);
                    for v in 0..VECTORS {
                        sums[i][v] = T::fused(simd, x, right[v], sums[i][v]);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate().take(rows.len()) {
                let mut row = [T::ZERO; BLOCK];
                T::vectors_mut::<S>(&mut row).copy_from_slice(sums);
                (self.store)(tile * ROWS + i, &row);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // whole numbers, exact in f32
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Equals the triple loop on any places, for any number of rows. Whole numbers, so every order is exact.
        #[test]
        fn equals_the_triple_loop(
            rows in prop::collection::vec(0..40u32, 1..30),
            columns in prop::collection::vec(0..20u32, 1..12),
            gap in 0..2usize,
        ) {
            let data: Vec<f32> = (0..60).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
            let stride = BLOCK * (1 + gap);
            let right: Vec<f32> = (0..stride * columns.len()).map(|i| ((i * 5) % 13) as f32 - 6.0).collect();
            let mut seen = 0;
            let factors = Factors { data: &data, rows: &rows, columns: &columns, reach: 19, right: &right, stride };
            let mut product = vec![[0.0f32; BLOCK]; rows.len()];
            factors.multiply(|m, row| {
                product[m] = *row;
                seen += 1;
            });
            prop_assert_eq!(seen, rows.len());
            for (m, &row) in rows.iter().enumerate() {
                for n in 0..BLOCK {
                    let terms = columns.iter().enumerate();
                    let want: f32 = terms.map(|(i, &c)| data[(row + c) as usize] * right[i * stride + n]).sum();
                    prop_assert_eq!(product[m][n], want);
                }
            }
        }
    }
}
