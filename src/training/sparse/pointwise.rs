//! Element by element: activations and dropout.

use super::lanes::{LANES, Lanes, vectorised};
use crate::network::op::Activation;
use statrs::function::erf::erf;

/// The value and the derivative of an activation at x.
#[inline(always)]
fn at(kind: Activation, x: f32) -> (f32, f32) {
    let step = |inside: bool| if inside { 1.0 } else { 0.0 };
    let sigmoid = || 1.0 / (1.0 + (-x).exp());
    match kind {
        Activation::Relu => (x.max(0.0), step(x > 0.0)),
        Activation::Relu6 => (x.clamp(0.0, 6.0), step(x > 0.0 && x < 6.0)),
        Activation::Tanh => {
            let y = x.tanh();
            (y, 1.0 - y * y)
        }
        Activation::Sigmoid => {
            let s = sigmoid();
            (s, s * (1.0 - s))
        }
        Activation::Silu => {
            let s = sigmoid();
            (x * s, s * (1.0 + x * (1.0 - s)))
        }
        Activation::Gelu => {
            let x = f64::from(x);
            let below = 0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2));
            let bell = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            ((x * below) as f32, (below + x * bell) as f32)
        }
    }
}

pub(super) fn activate(kind: Activation, input: &[Lanes], output: &mut [Lanes]) {
    vectorised(
        #[inline(always)]
        || {
            for (y, x) in output.iter_mut().zip(input) {
                for l in 0..LANES {
                    y.0[l] = at(kind, x.0[l]).0;
                }
            }
        },
    );
}

pub(super) fn activate_backward(kind: Activation, input: &[Lanes], gradient: &[Lanes], to: &mut [Lanes]) {
    vectorised(
        #[inline(always)]
        || {
            for ((d, x), g) in to.iter_mut().zip(input).zip(gradient) {
                for l in 0..LANES {
                    d.0[l] = g.0[l] * at(kind, x.0[l]).1;
                }
            }
        },
    );
}

/// Draws what dropout multiplies by: 0 with probability `rate`, else 1/(1 − rate).
///
/// The draw is a hash of (seed of the step, place of the layer, place of the sample in the batch, element), so it
/// depends neither on the blocks nor on the threads.
pub(super) fn draw(rate: f32, seed: u64, layer: usize, first_sample: usize, factors: &mut [Lanes]) {
    let mut keys = [[0u32; 2]; LANES];
    for (lane, key) in keys.iter_mut().enumerate() {
        let mixed = mix64(
            mix64(seed ^ (layer as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ (first_sample + lane) as u64,
        );
        *key = [mixed as u32, (mixed >> 32) as u32];
    }
    let scale = 1.0 / (1.0 - rate);
    // the top 24 bits of the hash against the rate
    let threshold = (rate * 16_777_216.0) as u32;
    vectorised(
        #[inline(always)]
        || {
            for (e, factor) in (0u32..).zip(factors) {
                for l in 0..LANES {
                    let h = mix32(mix32(e ^ keys[l][0]) ^ keys[l][1]);
                    factor.0[l] = if h >> 8 < threshold { 0.0 } else { scale };
                }
            }
        },
    );
}

/// Finaliser of the 32-bit `MurmurHash3` (A. Appleby, public domain).
#[inline(always)]
fn mix32(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// Finaliser of the 64-bit `MurmurHash3`.
fn mix64(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

pub(super) fn multiply(input: &[Lanes], factors: &[Lanes], to: &mut [Lanes]) {
    vectorised(
        #[inline(always)]
        || {
            for ((t, x), f) in to.iter_mut().zip(input).zip(factors) {
                *t = x.times(*f);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_agree_with_differences() {
        use Activation::{Gelu, Relu, Relu6, Sigmoid, Silu, Tanh};
        for kind in [Relu, Relu6, Gelu, Silu, Sigmoid, Tanh] {
            for x in [-3.1f32, -0.4, 0.7, 2.5, 6.5] {
                let numeric = (at(kind, x + 1e-2).0 - at(kind, x - 1e-2).0) / 2e-2;
                assert!((numeric - at(kind, x).1).abs() < 1e-3, "{kind:?} at {x}");
            }
        }
    }

    /// 80,000 draws at rate 0.25: four standard errors are 0.0061.
    #[test]
    fn dropout_drops_its_rate_and_follows_the_sample() {
        let mut factors = vec![Lanes::ZERO; 10_000];
        draw(0.25, 7, 3, 16, &mut factors);
        let dropped = factors.iter().flat_map(|f| f.0).filter(|&f| f == 0.0).count();
        assert!((dropped as f64 / 80_000.0 - 0.25).abs() < 0.0061, "{dropped}");
        assert!(
            factors
                .iter()
                .flat_map(|f| f.0)
                .all(|f| f == 0.0 || f == 1.0 / 0.75)
        );
        let mut shifted = vec![Lanes::ZERO; 10_000];
        draw(0.25, 7, 3, 17, &mut shifted);
        assert!(
            factors
                .iter()
                .zip(&shifted)
                .all(|(a, b)| a.0[1..] == b.0[..LANES - 1])
        );
        draw(0.25, 8, 3, 16, &mut shifted);
        assert_ne!(factors, shifted);
    }
}
