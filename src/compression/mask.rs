//! The positions of a layer's non-zero weights.

use std::ops::Range;

/// One bit per weight of a layer's GEMM matrix: rows are output channels, columns are (input channel, kernel
/// row, kernel column), row-major, as the weights themselves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mask {
    rows: usize,
    cols: usize,
    words: Vec<u64>,
}

impl Mask {
    /// All positions alive.
    #[must_use]
    pub fn full(rows: usize, cols: usize) -> Self {
        let mut mask = Self {
            rows,
            cols,
            words: vec![u64::MAX; (rows * cols).div_ceil(64)],
        };
        mask.trim();
        mask
    }

    /// No position alive.
    #[must_use]
    pub fn empty(rows: usize, cols: usize) -> Self {
        Self {
            rows,
            cols,
            words: vec![0; (rows * cols).div_ceil(64)],
        }
    }

    /// The positions of the values that are not zero.
    ///
    /// # Panics
    /// When there are not `rows * cols` values.
    #[must_use]
    pub fn of(values: &[f32], rows: usize, cols: usize) -> Self {
        assert_eq!(values.len(), rows * cols, "a mask has one bit per value");
        let word = |block: &[f32]| {
            block
                .iter()
                .rev()
                .fold(0u64, |word, &v| word << 1 | u64::from(v != 0.0))
        };
        Self {
            rows,
            cols,
            words: values.chunks(64).map(word).collect(),
        }
    }

    /// The mask of these words (64 positions a word, lowest bit first), or `None` when there are not exactly as
    /// many words as the positions need. Bits past the end are cleared.
    #[must_use]
    pub fn from_words(rows: usize, cols: usize, words: Vec<u64>) -> Option<Self> {
        if rows.checked_mul(cols)?.div_ceil(64) != words.len() {
            return None;
        }
        let mut mask = Self { rows, cols, words };
        mask.trim();
        Some(mask)
    }

    fn trim(&mut self) {
        let spare = self.words.len() * 64 - self.len();
        if let Some(last) = self.words.last_mut().filter(|_| spare > 0) {
            *last &= u64::MAX >> spare;
        }
    }

    /// GEMM rows: output channels.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// GEMM columns: products per output.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Positions, alive or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows * self.cols
    }

    /// Whether the layer has no position at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether position `index` (row-major) is alive.
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// Sets position `index` (row-major).
    ///
    /// # Panics
    /// When the index is outside the mask.
    pub fn set(&mut self, index: usize, alive: bool) {
        assert!(index < self.len(), "position {index} of {}", self.len());
        let bit = 1u64 << (index % 64);
        if alive {
            self.words[index / 64] |= bit;
        } else {
            self.words[index / 64] &= !bit;
        }
    }

    /// Positions alive.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Portion of positions alive; 0 for a layer without positions.
    #[must_use]
    pub fn density(&self) -> f64 {
        if self.is_empty() {
            0.0
        } else {
            self.count() as f64 / self.len() as f64
        }
    }

    /// The positions alive, ascending.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(w, &word)| {
            std::iter::successors((word != 0).then_some(word), |&rest| {
                let next = rest & (rest - 1);
                (next != 0).then_some(next)
            })
            .map(move |rest| w * 64 + rest.trailing_zeros() as usize)
        })
    }

    /// The bits, 64 positions a word, lowest bit first; bits past the end are zero.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Kills every position that is not alive in `other`.
    ///
    /// # Panics
    /// When the masks have different shapes.
    pub fn intersect(&mut self, other: &Self) {
        assert_eq!(
            (self.rows, self.cols),
            (other.rows, other.cols),
            "masks of one shape"
        );
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
    }

    /// Whether every position alive here is alive in `other`; false for another shape.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        (self.rows, self.cols) == (other.rows, other.cols)
            && self.words.iter().zip(&other.words).all(|(a, b)| a & !b == 0)
    }

    /// Positions whose state differs between two masks of one shape.
    ///
    /// # Panics
    /// When the masks have different shapes.
    #[must_use]
    pub fn distance(&self, other: &Self) -> usize {
        assert_eq!(
            (self.rows, self.cols),
            (other.rows, other.cols),
            "masks of one shape"
        );
        self.words
            .iter()
            .zip(&other.words)
            .map(|(a, b)| (a ^ b).count_ones() as usize)
            .sum()
    }

    /// Positions alive in a range of row-major positions; the part of the range past the end counts none.
    #[must_use]
    pub fn count_in(&self, range: Range<usize>) -> usize {
        self.words_in(range)
            .map(|(_, word)| word.count_ones() as usize)
            .sum()
    }

    /// Positions alive in each row.
    #[must_use]
    pub fn row_counts(&self) -> Vec<usize> {
        (0..self.rows)
            .map(|r| self.count_in(r * self.cols..(r + 1) * self.cols))
            .collect()
    }

    /// Positions alive in each column.
    #[must_use]
    pub fn col_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.cols];
        for i in self.ones() {
            counts[i % self.cols] += 1;
        }
        counts
    }

    /// Sets the values of positions that are not alive to zero.
    ///
    /// # Panics
    /// When there is not one value per position.
    pub fn apply(&self, values: &mut [f32]) {
        assert_eq!(values.len(), self.len(), "a mask has one bit per value");
        for (block, &word) in values.chunks_mut(64).zip(&self.words) {
            if word != u64::MAX {
                block
                    .iter_mut()
                    .enumerate()
                    .filter(|(bit, _)| word >> bit & 1 == 0)
                    .for_each(|(_, v)| *v = 0.0);
            }
        }
    }

    /// The words that a range of positions touches, each with the position of its lowest bit and with the bits
    /// outside the range cleared.
    pub(crate) fn words_in(&self, range: Range<usize>) -> impl Iterator<Item = (usize, u64)> + '_ {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        (start / 64..end.div_ceil(64)).map(move |w| {
            let base = w * 64;
            let mut word = self.words[w];
            if base < start {
                word &= u64::MAX << (start - base);
            }
            if end - base < 64 {
                word &= (1 << (end - base)) - 1;
            }
            (base, word)
        })
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // the values compared are copied or exact, never computed
mod tests {
    use super::*;

    #[test]
    fn counts_agree_with_single_positions() {
        let (rows, cols) = (5, 37);
        let values: Vec<f32> = (0..rows * cols)
            .map(|i| if i * i % 7 < 3 { 1.0 } else { 0.0 })
            .collect();
        let mask = Mask::of(&values, rows, cols);
        let alive = |range: Range<usize>| range.filter(|&i| mask.get(i)).count();
        assert_eq!(mask.count(), alive(0..mask.len()));
        assert_eq!(
            mask.ones().collect::<Vec<_>>(),
            (0..mask.len()).filter(|&i| values[i] != 0.0).collect::<Vec<_>>()
        );
        for (start, end) in [(0, 0), (0, 1), (3, 64), (63, 65), (64, 128), (70, 71), (128, 185)] {
            assert_eq!(mask.count_in(start..end), alive(start..end), "{start}..{end}");
        }
        assert_eq!(mask.count_in(100..9999), alive(100..mask.len()));
        assert_eq!(
            mask.row_counts(),
            (0..rows)
                .map(|r| alive(r * cols..(r + 1) * cols))
                .collect::<Vec<_>>()
        );
        assert_eq!(mask.col_counts().iter().sum::<usize>(), mask.count());
        assert_eq!(
            mask.col_counts()[4],
            (0..rows).filter(|r| mask.get(r * cols + 4)).count()
        );
    }

    #[test]
    fn words_round_trip_and_spare_bits_are_cleared() {
        let mask = Mask::from_words(3, 30, vec![u64::MAX; 2]).expect("two words hold 90 positions");
        assert_eq!(mask, Mask::full(3, 30));
        assert_eq!(Mask::from_words(3, 30, vec![0; 3]), None);
        assert_eq!(Mask::from_words(usize::MAX, 2, vec![]), None);
    }

    #[test]
    fn intersection_keeps_common_positions() {
        let a = Mask::of(&[1.0, 1.0, 0.0, 0.0], 2, 2);
        let b = Mask::of(&[1.0, 0.0, 1.0, 0.0], 2, 2);
        let mut both = a.clone();
        both.intersect(&b);
        assert_eq!(both.ones().collect::<Vec<_>>(), [0]);
        assert!(both.is_subset_of(&a) && both.is_subset_of(&b) && !a.is_subset_of(&b));
        assert_eq!(a.distance(&b), 2);
        let mut values = [1.0, 2.0, 3.0, f32::NAN];
        both.apply(&mut values);
        assert_eq!(values, [1.0, 0.0, 0.0, 0.0]);
    }
}
