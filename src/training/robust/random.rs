//! Random numbers of attacks and transformations, in streams that are the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of its own for a mini-batch (by its seed) and a domain.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self(random)
    }

    /// In [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// In [−1, 1).
    pub(super) fn symmetric(&mut self) -> f32 {
        (2.0 * self.unit() - 1.0) as f32
    }

    /// −1 or 1.
    pub(super) fn sign(&mut self) -> f32 {
        if self.0.next_u32() & 1 == 0 { 1.0 } else { -1.0 }
    }

    /// A whole number below `n`, by the high half of a product.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// Standard normal, by the Box–Muller transform.
    pub(super) fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt(); // 1 − u is never 0
        (radius * (std::f64::consts::TAU * self.unit()).cos()) as f32
    }
}
