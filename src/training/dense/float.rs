//! The two number types that the operators run in: f32 to train, f64 to check gradients by finite differences.

use super::special;
use pulp::Simd;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// What the operators need of a number.
pub(crate) trait Float:
    Copy
    + Send
    + Sync
    + Default
    + PartialOrd
    + std::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + 'static
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// The nearest number of this type.
    fn of(value: f64) -> Self;
    /// The same number in double precision.
    fn f64(self) -> f64;
    /// Whether this is not a number.
    fn is_nan(self) -> bool;
    /// e^self
    fn exp(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// e^self in arithmetic that loops turn into vectors.
    fn plain_exp(self) -> Self;
    /// Φ and φ: the normal distribution and its density.
    fn normal(self) -> [Self; 2];

    /// A vector of a processor.
    type Vector<S: Simd>: Copy;
    /// Values of one vector.
    fn lanes<S: Simd>() -> usize;
    /// Values as vectors; those that fill no vector are left out.
    fn vectors<S: Simd>(values: &[Self]) -> &[Self::Vector<S>];
    /// The same, to change them.
    fn vectors_mut<S: Simd>(values: &mut [Self]) -> &mut [Self::Vector<S>];
    /// A vector of one value.
    fn splat<S: Simd>(self, simd: S) -> Self::Vector<S>;
    /// a·b + c, rounded once.
    fn fused<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>)
    -> Self::Vector<S>;
}

macro_rules! float {
    ($t:ident, $exp:expr, $normal:expr, [$vector:ident, $lanes:ident, $vectors:ident, $vectors_mut:ident, $splat:ident, $fused:ident]) => {
        impl Float for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $t::exp(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $t::tanh(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn plain_exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn normal(self) -> [Self; 2] {
                $normal(self)
            }
            type Vector<S: Simd> = S::$vector;
            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::$lanes
            }
            #[inline(always)]
            fn vectors<S: Simd>(values: &[Self]) -> &[S::$vector] {
                S::$vectors(values).0
            }
            #[inline(always)]
            fn vectors_mut<S: Simd>(values: &mut [Self]) -> &mut [S::$vector] {
                S::$vectors_mut(values).0
            }
            #[inline(always)]
            fn splat<S: Simd>(self, simd: S) -> S::$vector {
                simd.$splat(self)
            }
            #[inline(always)]
            fn fused<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$fused(a, b, c)
            }
        }
    };
}
float!(
    f32,
    special::exp,
    special::normal,
    [
        f32s,
        F32_LANES,
        as_simd_f32s,
        as_mut_simd_f32s,
        splat_f32s,
        mul_add_f32s
    ]
);
float!(
    f64,
    f64::exp,
    normal,
    [
        f64s,
        F64_LANES,
        as_simd_f64s,
        as_mut_simd_f64s,
        splat_f64s,
        mul_add_f64s
    ]
);

/// Φ and φ in double precision.
fn normal(x: f64) -> [f64; 2] {
    let distribution = 0.5 * (1.0 + statrs::function::erf::erf(x * std::f64::consts::FRAC_1_SQRT_2));
    [distribution, 0.398_942_280_401_432_7 * (-0.5 * x * x).exp()]
}
