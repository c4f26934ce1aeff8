//! Sparse weights as SCALE-Sim v3 has them: which products stay, and the words of their indices.

use super::config::{SparseFormat, SparseWeights};
use super::topology::Layer;
use crate::simulate::{nm_products, row_wise_products};
use crate::units::{Overflow, add, mul, product};

/// The weights that stay of a layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    /// All.
    Dense,
    /// The first N of every M products, the same for every filter.
    LayerWise { n: u64, m: u64 },
    /// The first n of every block of `block` products, n for each filter at random up to half of the block.
    RowWise { block: u64, kept: Vec<u32> },
}

impl Pattern {
    /// Products that take a row (or, output stationary, a step): K'.
    pub(super) fn products(&self, products: u64) -> Result<u64, Overflow> {
        match *self {
            Self::Dense => Ok(products),
            Self::LayerWise { n, m } => nm_products(products, n, m),
            Self::RowWise { block, .. } => row_wise_products(products, block),
        }
    }

    /// Weights that stay in the whole layer.
    pub(super) fn weights(&self, products: u64, filters: u64) -> Result<u64, Overflow> {
        match self {
            Self::Dense | Self::LayerWise { .. } => mul(self.products(products)?, filters),
            Self::RowWise { block, kept } => kept.iter().try_fold(0, |sum, &n| {
                let n = u64::from(n);
                add(sum, add(mul(products / block, n)?, n.min(products % block))?)
            }),
        }
    }

    /// Position among the layer's products of the k'-th of those that take a row; `None` for a row that only fills.
    pub(super) fn product_at(&self, row: u64, products: u64) -> Option<u64> {
        let at = match *self {
            Self::Dense => row,
            Self::LayerWise { n, m } => row / n * m + row % n,
            Self::RowWise { block, .. } => row / (block / 2) * block + row % (block / 2),
        };
        (at < products).then_some(at)
    }
}

/// Draws the weights kept per block, filter by filter, as the seeded generator of SCALE-Sim does.
pub(super) fn row_wise(block: u64, seed: u32, filters: u64) -> Pattern {
    let mut twister = MersenneTwister::new(seed);
    let most = (block / 2) as u32;
    let kept = (0..filters).map(|_| 1 + twister.below(most)).collect();
    Pattern::RowWise { block, kept }
}

/// Storage of a layer's weights, in words of 32 bits for ELLPACK's positions and of one index otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage {
    /// All weights.
    pub(super) original: u64,
    /// Weights kept and their indices.
    pub(super) new: f64,
    /// Indices alone.
    pub(super) metadata: f64,
    /// Whether words are whole by construction.
    pub(super) whole: bool,
}

pub(super) fn storage(sparse: &SparseWeights, pattern: &Pattern, layer: &Layer) -> Result<Storage, Overflow> {
    let (products, filters) = (layer.products()?, layer.filters);
    let original = mul(products, filters)?;
    let kept = pattern.weights(products, filters)?;
    Ok(match sparse.format {
        SparseFormat::Csr | SparseFormat::Csc => {
            let pointers = add(
                if sparse.format == SparseFormat::Csr {
                    products
                } else {
                    filters
                },
                1,
            )?;
            Storage {
                original,
                new: add(mul(2, kept)?, pointers)? as f64,
                metadata: add(kept, pointers)? as f64,
                whole: true,
            }
        }
        SparseFormat::EllpackBlock => {
            let slots = mul(pattern.products(products)?, filters)?;
            let bits = u64::from(layer.ratio[1].next_power_of_two().ilog2());
            let metadata = product(&[slots, bits])? as f64 / 32.0;
            Storage {
                original,
                new: slots as f64 + metadata,
                metadata,
                whole: false,
            }
        }
    })
}

/// MT19937 (Matsumoto and Nishimura, ACM TOMACS 8(1), 1998), seeded by one word.
#[derive(Debug)]
struct MersenneTwister {
    state: [u32; 624],
    next: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; 624];
        for i in 1..624 {
            let last = state[i - 1];
            state[i] = (last ^ (last >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(i as u32);
        }
        Self { state, next: 624 }
    }

    fn twist(&mut self) {
        for i in 0..624 {
            let word = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % 624] & 0x7fff_ffff);
            let odd = if word & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + 397) % 624] ^ (word >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == 624 {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// A number below `limit`, by drawing as many bits as it needs until they fit; one choice draws nothing.
    fn below(&mut self, limit: u32) -> u32 {
        let mask = limit.next_power_of_two() - 1;
        if mask == 0 {
            return 0;
        }
        loop {
            let word = self.word() & mask;
            if word < limit {
                return word;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first output of the reference implementation with `init_genrand(5489)`.
    #[test]
    fn the_generator_is_mt19937() {
        let mut twister = MersenneTwister::new(5489);
        assert_eq!(twister.word(), 3_499_211_612);
        assert_eq!(twister.word(), 581_869_302);
    }

    #[test]
    fn positions_of_two_of_four() {
        let pattern = Pattern::LayerWise { n: 2, m: 4 };
        let at: Vec<Option<u64>> = (0..5).map(|row| pattern.product_at(row, 9)).collect();
        assert_eq!(at, [Some(0), Some(1), Some(4), Some(5), Some(8)]);
        assert_eq!(pattern.weights(9, 3), Ok(15));
        let rows = Pattern::RowWise {
            block: 4,
            kept: vec![1, 2],
        };
        // blocks 0-3 and 4-7 whole, one product of the third
        assert_eq!(rows.weights(9, 2), Ok(2 + 1 + 4 + 1));
        assert_eq!(rows.product_at(5, 9), None);
    }
}
