//! Several narrow products in one DSP slice.
//!
//! Weights w and activations a of W and A bits (two's complement) stand in the slice's two ports, each port one sum:
//!
//! ```text
//! x = w0 + w1·2^s + w2·2^2s + …          s = W + A, a product's width with the bit that (−2^(W−1))·(−2^(A−1)) needs
//! y = a0 + a1·2^(n·s) + …                n weights in x
//! x·y = Σ p_k·2^(k·s)                    p_(i + n·j) = w_i·a_j, each in −2^(s−2)+2^(W−1) … 2^(s−2)
//! ```
//!
//! The products below `p_k` sum to less than 2^(k·s−1) in magnitude, so the bit under a product's field is their sign:
//! it is the borrow, and added to the field (as a carry into the accumulator that follows) it gives `p_k` exactly. A sum
//! of n operands takes (n − 1)·s + W bits, and one more if n > 1, as the lowest may borrow from the highest.
//!
//! The ports are 25 × 18 (DSP48E1) or 27 × 18 bits (DSP48E2), the product 43 or 45 of 48. Two 8-bit products that
//! share an operand take 16 + 8 + 1 = 25 bits, so both slices hold them; two weights times two activations of 4 bits
//! take 13 and 21, four products a slice. Their accumulators leave the slice, so each is an adder of its own.

use super::Family;

/// A block of products in one slice: every one of `weights` weights times every one of `activations` activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Weights in one port.
    pub weights: u32,
    /// Activations in the other.
    pub activations: u32,
    /// Bits from one product to the next.
    pub spacing: u32,
}

impl Packing {
    /// One product.
    pub const SINGLE: Self = Self {
        weights: 1,
        activations: 1,
        spacing: 0,
    };

    /// Products in a slice.
    #[must_use]
    pub fn products(self) -> u64 {
        u64::from(self.weights) * u64::from(self.activations)
    }

    /// The operands of a slice's two ports. `weights` and `activations` have the packing's counts.
    #[must_use]
    pub fn ports(self, weights: &[i64], activations: &[i64]) -> [i64; 2] {
        let sum = |operands: &[i64], step: u32| {
            operands
                .iter()
                .rev()
                .fold(0, |sum, operand| (sum << step) + operand)
        };
        [
            sum(weights, self.spacing),
            sum(activations, self.spacing * self.weights),
        ]
    }

    /// The products in a slice's result, weights before activations: the field of each, plus the bit below it.
    #[must_use]
    pub fn unpack(self, product: i64) -> Vec<i64> {
        let fields = self.weights * self.activations;
        (0..fields)
            .map(|k| {
                let up = 64 - (k + 1) * self.spacing;
                let field = (product << up) >> (64 - self.spacing);
                let borrow = if k == 0 {
                    0
                } else {
                    (product >> (k * self.spacing - 1)) & 1
                };
                field + borrow
            })
            .collect()
    }
}

/// The packing with the fewest slices for the products of `weights` weights with `activations` activations; of equals
/// the one with the fewest weights a slice. [`Packing::SINGLE`] where none saves a slice.
#[must_use]
pub fn packing(
    family: Family,
    (weight_bits, activation_bits): (u32, u32),
    (weights, activations): (u64, u64),
) -> Packing {
    let slices = |n: u32, m: u32| weights.div_ceil(n.into()) * activations.div_ceil(m.into());
    let mut best = Packing::SINGLE;
    // the widest port holds at most 27 / 2 operands
    for n in (1..=13).filter(|&n| u64::from(n) <= weights) {
        for m in (1..=13).filter(|&m| u64::from(m) <= activations) {
            let spacing = weight_bits + activation_bits;
            let x = width(weight_bits, n, spacing);
            let y = width(activation_bits, m, spacing * n);
            let wide = family.wide_port();
            let fits = (x <= wide && y <= 18) || (x <= 18 && y <= wide);
            if fits && slices(n, m) < slices(best.weights, best.activations) {
                best = Packing {
                    weights: n,
                    activations: m,
                    spacing,
                };
            }
        }
    }
    best
}

/// Bits of a sum of `count` operands, `step` bits apart.
fn width(bits: u32, count: u32, step: u32) -> u32 {
    (count - 1) * step + bits + u32::from(count > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: [Family; 2] = [Family::Series7, Family::UltraScalePlus];

    /// All signed values of so many bits.
    fn values(bits: u32) -> std::ops::Range<i64> {
        -(1 << (bits - 1))..1 << (bits - 1)
    }

    fn fits(value: i64, bits: u32) -> bool {
        (-(1i64 << (bits - 1))..1 << (bits - 1)).contains(&value)
    }

    #[test]
    fn two_of_eight_bits_share_a_slice_and_four_of_four() {
        for family in FAMILIES {
            let eight = packing(family, (8, 8), (16, 1));
            assert_eq!((eight.weights, eight.activations, eight.spacing), (2, 1, 16));
            // a second activation has no room beside two weights
            assert_eq!(packing(family, (8, 8), (16, 16)).products(), 2);
            let four = packing(family, (4, 4), (2, 2));
            assert_eq!((four.weights, four.activations, four.spacing), (2, 2, 8));
            assert_eq!(packing(family, (16, 16), (64, 64)), Packing::SINGLE);
            assert_eq!(packing(family, (8, 8), (1, 1)), Packing::SINGLE);
        }
        // 9 bits: 18 + 9 + 1 = 28 bits fit neither slice; 9 x 8 bits fit the wider port only
        assert_eq!(packing(Family::UltraScalePlus, (9, 9), (2, 1)), Packing::SINGLE);
        assert_eq!(packing(Family::Series7, (9, 8), (2, 1)), Packing::SINGLE);
        assert_eq!(packing(Family::UltraScalePlus, (9, 8), (2, 1)).products(), 2);
    }

    /// Every pair of 8-bit weights with every 8-bit activation.
    #[test]
    fn both_products_of_eight_bits_come_back() {
        let two = packing(Family::Series7, (8, 8), (2, 1));
        for (low, high) in values(8).flat_map(|low| values(8).map(move |high| (low, high))) {
            let [x, _] = two.ports(&[low, high], &[0]);
            assert!(fits(x, 25), "{low} {high}");
            for activation in values(8) {
                let product = x * activation;
                let field = (product << 48) >> 48;
                let upper = (product >> 16) + ((product >> 15) & 1);
                assert_eq!([field, upper], [low * activation, high * activation]);
            }
        }
        let [x, y] = two.ports(&[-128, -128], &[-128]);
        assert_eq!(two.unpack(x * y), [16_384, 16_384]);
    }

    /// Every two weights with every two activations of 4 bits.
    #[test]
    fn four_products_of_four_bits_come_back() {
        let four = packing(Family::Series7, (4, 4), (2, 2));
        for code in 0..1i64 << 16 {
            let [w0, w1, a0, a1] = [0, 4, 8, 12].map(|shift| ((code >> shift) & 15) - 8);
            let [x, y] = four.ports(&[w0, w1], &[a0, a1]);
            assert!(fits(x, 18) && fits(y, 25) && fits(x * y, 48));
            assert_eq!(four.unpack(x * y), [w0 * a0, w1 * a0, w0 * a1, w1 * a1]);
        }
    }

    /// Every packing of every pair of widths, at the ends of the operands' ranges.
    #[test]
    fn the_extremes_of_every_packing_come_back() {
        for family in FAMILIES {
            for (w, a) in (2..=16).flat_map(|w| (2..=16).map(move |a| (w, a))) {
                let packing = packing(family, (w, a), (13, 13));
                if packing == Packing::SINGLE {
                    continue;
                }
                let ends = |bits: u32, code: u32, i: u32| {
                    let lowest = -(1i64 << (bits - 1));
                    if (code >> (i % 16)) & 1 == 0 {
                        lowest
                    } else {
                        -lowest - 1
                    }
                };
                for code in 0..256u32 {
                    let weights: Vec<i64> = (0..packing.weights).map(|i| ends(w, code, i)).collect();
                    let activations: Vec<i64> =
                        (0..packing.activations).map(|i| ends(a, code >> 4, i)).collect();
                    let [x, y] = packing.ports(&weights, &activations);
                    let wide = family.wide_port();
                    assert!((fits(x, wide) && fits(y, 18)) || (fits(x, 18) && fits(y, wide)));
                    assert!(fits(x * y, 48));
                    let expected: Vec<i64> = activations
                        .iter()
                        .flat_map(|a| weights.iter().map(move |w| w * a))
                        .collect();
                    assert_eq!(packing.unpack(x * y), expected, "{w} x {a} bits: {packing:?}");
                }
            }
        }
    }
}
