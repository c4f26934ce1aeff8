//! The positions of a layer's non-zero weights.

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
        let mut mask = Self::empty(rows, cols);
        for (i, _) in values.iter().enumerate().filter(|&(_, &v)| v != 0.0) {
            mask.set(i, true);
        }
        mask
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
}
