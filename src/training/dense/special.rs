//! The exponential and the normal distribution in single precision, without branches or tables, so that loops over
//! them become vector instructions.

/// e^x to two units in the last place; no smaller than 2^-126, infinite above 88.
///
/// x = n·ln 2 + r, |r| <= ln 2 / 2, and e^r by its series to the seventh power, whose rest is below 6e-9.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Added to a number below 2^22, leaves its whole part in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    /// ln 2 in two parts; multiples of the first by whole numbers below 2^9 are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // comparisons are written so that a value that is not a number stays one
    let inside = if x < -87.3 { -87.3 } else { x };
    let inside = if inside > 88.0 { 88.0 } else { inside };
    let shifted = inside * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = (inside - n * LN_2[0]) - n * LN_2[1];
    let mut sum = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + factor;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x > 88.0 { f32::INFINITY } else { sum * power }
}

/// Φ(x) and φ(x): the normal distribution to 4e-7 (its formula to 8e-8, the rest is rounding) and its density.
///
/// Φ by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
#[inline(always)]
pub(super) fn normal(x: f32) -> [f32; 2] {
    let size = if x < 0.0 { -x } else { x };
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * size);
    let mut sum = 1.061_405_4;
    for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = sum * t + factor;
    }
    let tail = 0.5 * sum * t * bell;
    [if x < 0.0 { tail } else { 1.0 - tail }, 0.398_942_3 * bell]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use statrs::function::erf::erf;

    proptest! {
        #[test]
        fn exponentials_are_close(x in -87.3f32..88.0) {
            let want = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) / want - 1.0).abs() < 2.4e-7, "{} against {want}", exp(x));
        }

        #[test]
        fn the_normal_distribution_is_close(x in -9.0f32..9.0) {
            let wide = f64::from(x);
            let [got, density] = normal(x).map(f64::from);
            let want = 0.5 * (1.0 + erf(wide * std::f64::consts::FRAC_1_SQRT_2));
            prop_assert!((got - want).abs() < 4e-7, "{got} against {want}");
            let want = (-0.5 * wide * wide).exp() / std::f64::consts::TAU.sqrt();
            prop_assert!((density - want).abs() < 1.5e-7, "{density} against {want}");
        }
    }

    #[test]
    fn the_ends_are_kept() {
        assert!(exp(f32::NAN).is_nan() && normal(f32::NAN)[0].is_nan());
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NEG_INFINITY) < 1.3e-38);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(normal(f32::INFINITY)[0], 1.0);
    }
}
