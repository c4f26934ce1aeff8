//! One value of sixteen samples side by side: the innermost axis of every activation.

use pulp::Simd;
use std::ops::{Deref, DerefMut};

/// Samples in a block. The widest vectors have as many lanes, and all narrower ones divide it.
pub(super) const LANES: usize = 16;

/// One value of each sample of a block.
pub(super) type Lanes = [f32; LANES];

#[inline(always)]
pub(super) fn plus(mut a: Lanes, b: &Lanes) -> Lanes {
    for l in 0..LANES {
        a[l] += b[l];
    }
    a
}

#[inline(always)]
pub(super) fn scaled(mut a: Lanes, by: f32) -> Lanes {
    for v in &mut a {
        *v *= by;
    }
    a
}

/// The sum over the samples, pairwise: halves, quarters, eighths, sixteenths.
#[inline(always)]
pub(super) fn sum(a: &Lanes) -> f32 {
    let mut half = [0.0; LANES / 2];
    for l in 0..LANES / 2 {
        half[l] = a[l] + a[l + LANES / 2];
    }
    let [a, b, c, d, e, f, g, h] = half;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Values of a block that begin at a multiple of 64 bytes, so that no vector straddles two cache lines.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub(super) fn zeros(len: usize) -> Self {
        let values = vec![0.0; if len == 0 { 0 } else { (len + 1) * LANES }];
        // an allocation does not move with its vector
        let start = values.as_ptr().align_offset(64).min(values.len() - len * LANES);
        Self { values, start, len }
    }
}

impl Deref for Buffer {
    type Target = [Lanes];

    #[inline(always)]
    fn deref(&self) -> &[Lanes] {
        self.values[self.start..self.start + self.len * LANES]
            .as_chunks()
            .0
    }
}

impl DerefMut for Buffer {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [Lanes] {
        self.values[self.start..self.start + self.len * LANES]
            .as_chunks_mut()
            .0
    }
}

/// Vectors per [`Lanes`].
#[inline(always)]
pub(super) const fn parts<S: Simd>() -> usize {
    LANES / S::F32_LANES
}

/// Values as the vectors of a processor.
#[inline(always)]
pub(super) fn vectors<S: Simd>(values: &[Lanes]) -> &[S::f32s] {
    S::as_simd_f32s(values.as_flattened()).0
}

/// Values as the vectors of a processor, to change them.
#[inline(always)]
pub(super) fn vectors_mut<S: Simd>(values: &mut [Lanes]) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(values.as_flattened_mut()).0
}

/// Runs a kernel with the widest vector instructions of this processor. Products and sums are never fused, and
/// the order of the sums is written down, so the bits do not depend on which those are.
#[inline(always)]
pub(super) fn vectorised<R>(kernel: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(kernel)
}
