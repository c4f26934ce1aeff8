//! What a layer asks of an array: its loop nest and its view as a matrix product.

use crate::units::{self, Overflow};

/// The loops of a layer that multiplies: batch N, groups G, output channels per group K, input channels per
/// group C, output rows P and columns Q, kernel rows R and columns S.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoopNest {
    /// Samples.
    pub n: u64,
    /// Groups.
    pub g: u64,
    /// Output channels per group.
    pub k: u64,
    /// Input channels per group.
    pub c: u64,
    /// Output rows.
    pub p: u64,
    /// Output columns.
    pub q: u64,
    /// Kernel rows.
    pub r: u64,
    /// Kernel columns.
    pub s: u64,
    /// Stride in rows and columns.
    pub stride: [u64; 2],
    /// Dilation in rows and columns.
    pub dilation: [u64; 2],
}

/// The matrix product of one group: `M×K` by `K×N`, `groups` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gemm {
    /// Output positions, batch included (SCALE-Sim's E).
    pub m: u64,
    /// Products per output (R·S·C).
    pub k: u64,
    /// Output channels of one group.
    pub n: u64,
    /// How often this product is computed.
    pub groups: u64,
}

impl LoopNest {
    /// Multiply-accumulates, all groups and samples. Layers of a [`super::Network`] stay below 2^50 a sample.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.n * self.g * self.k * self.c * self.p * self.q * self.r * self.s
    }

    /// Multiply-accumulates, for batches that come from outside.
    ///
    /// # Errors
    /// When the batch is so large that the product does not fit.
    pub fn checked_macs(&self) -> Result<u64, Overflow> {
        units::product(&[self.n, self.g, self.k, self.c, self.p, self.q, self.r, self.s])
    }

    /// The matrix product of one group.
    #[must_use]
    pub fn gemm(&self) -> Gemm {
        Gemm {
            m: self.n * self.p * self.q,
            k: self.c * self.r * self.s,
            n: self.k,
            groups: self.g,
        }
    }

    /// The same layer on `n` samples.
    #[must_use]
    pub fn batch(self, n: u64) -> Self {
        Self { n, ..self }
    }

    /// Weights of the layer, all groups.
    #[must_use]
    pub fn weights(&self) -> u64 {
        self.g * self.k * self.c * self.r * self.s
    }
}
