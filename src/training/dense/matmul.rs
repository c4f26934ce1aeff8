//! The matrix product, checked: the only place that calls the `gemm` crate.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A floating-point type that operators run in: `f32` to train, `f64` to check derivatives.
pub trait Real:
    Copy
    + Send
    + Sync
    + Debug
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + 'static
{
    /// One.
    const ONE: Self;
    /// Rounded from `f64`.
    fn of(value: f64) -> Self;
    /// Widened to `f64`.
    fn wide(self) -> f64;
    /// e^self
    fn exp(self) -> Self;
    /// tanh self
    fn tanh(self) -> Self;
    /// √self
    fn sqrt(self) -> Self;
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            const ONE: Self = 1.0;
            fn of(value: f64) -> Self {
                value as $t
            }
            fn wide(self) -> f64 {
                f64::from(self)
            }
            fn exp(self) -> Self {
                <$t>::exp(self)
            }
            fn tanh(self) -> Self {
                <$t>::tanh(self)
            }
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
        }
    };
}
real!(f32);
real!(f64);

/// A matrix inside a slice: row-major, or the transpose of a row-major one.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    stride: [usize; 2],
}

impl<'a, T> View<'a, T> {
    /// A row-major matrix.
    pub(super) fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert!(
            data.len() >= rows * cols,
            "{} values for {rows}x{cols}",
            data.len()
        );
        Self {
            data,
            rows,
            cols,
            stride: [cols, 1],
        }
    }

    /// The transpose.
    pub(super) fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            stride: [self.stride[1], self.stride[0]],
        }
    }
}

/// `out = a × b`, or `out += a × b` when `accumulate`; `out` is row-major, a.rows × b.cols. One thread; the order
/// of the sums depends on the shapes alone.
pub(super) fn product<T: Real>(out: &mut [T], a: View<'_, T>, b: View<'_, T>, accumulate: bool) {
    assert_eq!(a.cols, b.rows, "inner axes");
    assert!(
        out.len() >= a.rows * b.cols,
        "{} values for {}x{}",
        out.len(),
        a.rows,
        b.cols
    );
    if a.rows == 0 || b.cols == 0 {
        return;
    }
    if a.cols == 0 {
        if !accumulate {
            out[..a.rows * b.cols].fill(T::default());
        }
        return;
    }
    let alpha = if accumulate { T::ONE } else { T::default() };
    #[allow(unsafe_code, reason = "the gemm crate takes pointers")]
    // SAFETY: a view's data holds rows × cols values under its strides (checked in `View::new`, kept by `t`), `out`
    // holds a.rows × b.cols values (checked above) and is borrowed exclusively, so it overlaps neither operand; the
    // strides below are those of these matrices. f32 and f64 are the only types that implement `Real`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out.as_mut_ptr(),
            1,
            b.cols as isize,
            accumulate,
            a.data.as_ptr(),
            a.stride[1] as isize,
            a.stride[0] as isize,
            b.data.as_ptr(),
            b.stride[1] as isize,
            b.stride[0] as isize,
            alpha,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Equal to the sums written out, for every combination of transposes.
        #[test]
        fn product_is_the_sum_of_products(m in 1usize..9, n in 1usize..9, k in 0usize..9, ta: bool, tb: bool, accumulate: bool, seed in 0u32..1000) {
            let value = |i: usize| f64::from((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) % 17) - 8.0;
            let a: Vec<f64> = (0..m * k).map(value).collect();
            let b: Vec<f64> = (0..k * n).map(|i| value(i + 100)).collect();
            let mut out: Vec<f64> = (0..m * n).map(|i| value(i + 200)).collect();
            let at = |i: usize, l: usize| if ta { a[l * m + i] } else { a[i * k + l] };
            let bt = |l: usize, j: usize| if tb { b[j * k + l] } else { b[l * n + j] };
            let want: Vec<f64> = (0..m * n)
                .map(|o| (0..k).map(|l| at(o / n, l) * bt(l, o % n)).sum::<f64>() + if accumulate { out[o] } else { 0.0 })
                .collect();
            let va = if ta { View::new(&a, k, m).t() } else { View::new(&a, m, k) };
            let vb = if tb { View::new(&b, n, k).t() } else { View::new(&b, k, n) };
            product(&mut out, va, vb, accumulate);
            prop_assert_eq!(out, want);
        }
    }
}
