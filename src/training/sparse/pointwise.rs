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

/// The outputs of `live` elements; the others, which nobody reads, stay as they are.
pub(super) fn activate(kind: Activation, live: &[u32], input: &[Lanes], output: &mut [Lanes]) {
    vectorised(
        #[inline(always)]
        || {
            for &e in live {
                let (x, y) = (&input[e as usize], &mut output[e as usize]);
                for l in 0..LANES {
                    y[l] = at(kind, x[l]).0;
                }
            }
        },
    );
}

pub(super) fn activate_backward(
    kind: Activation,
    live: &[u32],
    input: &[Lanes],
    gradient: &[Lanes],
    to: &mut [Lanes],
) {
    vectorised(
        #[inline(always)]
        || {
            for &e in live {
                let (x, g, d) = (&input[e as usize], &gradient[e as usize], &mut to[e as usize]);
                for l in 0..LANES {
                    d[l] = g[l] * at(kind, x[l]).1;
                }
            }
        },
    );
}

/// Draws what dropout multiplies `live` elements by: 0 with probability `rate`, else 1/(1 − rate).
///
/// The draw is a hash of (seed of the step, place of the layer, place of the sample in the batch, element), so it
/// depends neither on the blocks nor on the threads.
pub(super) fn draw(
    rate: f32,
    live: &[u32],
    seed: u64,
    layer: usize,
    first_sample: usize,
    factors: &mut [Lanes],
) {
    let mut keys = [[0u32; LANES]; 2];
    for l in 0..LANES {
        let place = mix64(seed ^ (layer as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mixed = mix64(place ^ (first_sample + l) as u64);
        keys[0][l] = mixed as u32;
        keys[1][l] = (mixed >> 32) as u32;
    }
    let scale = 1.0 / (1.0 - rate);
    // the top 24 bits of the hash against the rate
    let threshold = (rate * 16_777_216.0) as u32;
    vectorised(
        #[inline(always)]
        || {
            for &e in live {
                let factor = &mut factors[e as usize];
                for l in 0..LANES {
                    let h = mix32(mix32(e ^ keys[0][l]) ^ keys[1][l]);
                    factor[l] = if h >> 8 < threshold { 0.0 } else { scale };
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

pub(super) fn multiply(live: &[u32], input: &[Lanes], factors: &[Lanes], to: &mut [Lanes]) {
    vectorised(
        #[inline(always)]
        || {
            for &e in live {
                let (x, f, t) = (&input[e as usize], &factors[e as usize], &mut to[e as usize]);
                for l in 0..LANES {
                    t[l] = x[l] * f[l];
                }
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
        let live: Vec<u32> = (0..5_000).collect();
        let mut factors = vec![[0.0; LANES]; 5_000];
        draw(0.25, &live, 7, 3, 16, &mut factors);
        let dropped = factors.iter().flatten().filter(|&&f| f == 0.0).count();
        assert!((dropped as f64 / 80_000.0 - 0.25).abs() < 0.0061, "{dropped}");
        assert!(
            factors
                .iter()
                .flatten()
                .all(|&f| f == 0.0 || (f - 4.0 / 3.0).abs() < 1e-6)
        );
        let mut shifted = vec![[0.0; LANES]; 5_000];
        draw(0.25, &live, 7, 3, 17, &mut shifted);
        assert!(
            factors
                .iter()
                .zip(&shifted)
                .all(|(a, b)| a[1..] == b[..LANES - 1])
        );
        draw(0.25, &live, 8, 3, 16, &mut shifted);
        assert_ne!(factors, shifted);
    }
}
