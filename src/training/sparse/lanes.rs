//! One value of eight samples side by side: the innermost axis of every activation.

/// Samples in a block.
pub(super) const LANES: usize = 8;

/// One value of each sample of a block. Aligned so that no load straddles two cache lines.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    pub(super) fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    pub(super) fn plus(self, other: Self) -> Self {
        let mut sum = self;
        for (s, o) in sum.0.iter_mut().zip(other.0) {
            *s += o;
        }
        sum
    }

    #[inline(always)]
    pub(super) fn times(self, other: Self) -> Self {
        let mut product = self;
        for (p, o) in product.0.iter_mut().zip(other.0) {
            *p *= o;
        }
        product
    }

    /// The sum over the samples, pairwise: halves, quarters, eighths.
    #[inline(always)]
    pub(super) fn sum(self) -> f32 {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}

/// Runs a kernel with the widest vector instructions of this processor. Products and sums are never fused, and
/// the order of the sums is written down, so the bits do not depend on which those are.
#[inline(always)]
pub(super) fn vectorised<R>(kernel: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(kernel)
}
