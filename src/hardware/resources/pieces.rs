//! The pieces of which PEs are made: multipliers of look-up tables, shifters, XNOR-popcounts, adder trees,
//! multiplexers, crossbars and queues.
//!
//! Queues, multipliers, shifters and popcounts are held to synthesised PEs (`tests/data/fpga_synthesis_points.csv`);
//! multiplexers and trees to single modules (`tests/data/fpga_composed_points.csv`). An engine made of them is
//! *composed*: it was not synthesised as a whole.

use super::{Family, Resources, Widths};
use crate::units::{Overflow, add, mul};

/// A multiplier of look-up tables: 4.8 (`UltraScale+`) or 4.0 (7 series) tables a bit product, fitted; mean error
/// 10 %, odd widths up to 50 %. One bit only gates the other operand into the adder.
pub(super) fn lut_multiplier(family: Family, widths: Widths) -> u64 {
    let product = u64::from(widths.weight) * u64::from(widths.activation);
    if widths.weight.min(widths.activation) <= 1 {
        return 1;
    }
    match family {
        Family::Series7 => 4 * product,
        Family::UltraScalePlus => (48 * product).div_ceil(10),
    }
}

/// A multiplier by a power of two: a sign and w − 1 exponent bits choose one of 2^(w−1) shifts of the activation.
/// Output bit i is a function of the activation's bits that some shift brings there, of the exponent and the sign;
/// k inputs take ⌈(k − 1)/5⌉ tables of six. Exponents above 5 bits do not occur (an accumulator has 64).
pub(super) fn shifter(widths: Widths) -> u64 {
    let activation = u64::from(widths.activation);
    let exponent = u64::from(widths.weight.saturating_sub(1)).min(6);
    let shifts = 1u64 << exponent;
    let tables = |i: u64| {
        let candidates = (i + 1)
            .min(activation)
            .min(shifts)
            .min(activation + shifts - 1 - i);
        (candidates + exponent).div_ceil(5)
    };
    (0..activation + shifts - 1).map(tables).sum()
}

/// `lanes` products of two 1-bit operands (XNOR), counted and accumulated: 3·N − 8 tables (7 series) or 3.75·N − 14
/// (`UltraScale+`), fitted to 8, 16, 32 and 128 lanes, and at least two a lane. The accumulator's upper bits are a
/// carry chain alone. One lane is a gate before an adder.
#[must_use]
pub fn xnor_popcount(family: Family, lanes: u64, accumulator_bits: u32) -> Resources {
    let accumulator = u64::from(accumulator_bits);
    let lut = match (lanes, family) {
        (0 | 1, _) => accumulator + 1,
        (n, Family::Series7) => n.saturating_mul(3).saturating_sub(8).max(n.saturating_mul(2)),
        (n, Family::UltraScalePlus) => (n.saturating_mul(15) / 4)
            .saturating_sub(14)
            .max(n.saturating_mul(2)),
    };
    Resources {
        lut,
        ff: accumulator,
        ..Resources::default()
    }
}

/// A sum of `lanes` operands of `bits` bits: a tree of carry chains, a table and a flip-flop a bit, each level a bit
/// wider and registered.
pub(in crate::hardware) fn adder_tree(lanes: u64, bits: u64) -> Result<Resources, Overflow> {
    let (mut tree, mut left, mut width) = (Resources::default(), lanes, bits);
    while left > 1 {
        width = add(width, 1)?;
        let lut = mul(left / 2, width)?;
        left = left.div_ceil(2);
        tree = tree.plus(Resources::logic(lut, mul(left, width)?))?;
    }
    Ok(tree)
}

/// A choice of one word of `bits` bits among `inputs`: a table takes three inputs off. The wide multiplexers of slices
/// would save some of them; synthesis of small modules left them aside.
pub(in crate::hardware) fn mux(inputs: u64, bits: u64) -> Result<u64, Overflow> {
    mul(inputs.saturating_sub(1).div_ceil(3), bits)
}

/// A full crossbar: each of `outputs` chooses among `inputs` words.
pub(in crate::hardware) fn crossbar(inputs: u64, outputs: u64, bits: u64) -> Result<u64, Overflow> {
    mul(outputs, mux(inputs, bits)?)
}

/// A queue of `depth` entries of `entry` bits: entries in LUT RAM, pointers and flags fitted to the synthesised
/// sparse PEs. A depth of 1 is a register, 0 nothing.
pub(in crate::hardware) fn queue(entry: u64, depth: u32) -> Resources {
    let lut = match depth {
        0 | 1 => 0,
        2..=4 => 4 * entry.div_ceil(6) + 13,
        _ => 4 * entry.div_ceil(6) * u64::from(depth).div_ceil(32) + 23,
    };
    let ff = match depth {
        0 => 0,
        1 => entry + 1,
        _ => 4 * u64::from(depth.next_power_of_two().trailing_zeros()) + 1,
    };
    Resources {
        lut,
        ff,
        ..Resources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_and_choices_by_hand() {
        // 4 sums of 9 bits, 2 of 10, 1 of 11
        let eight = 4 * 9 + 2 * 10 + 11;
        assert_eq!(adder_tree(8, 8), Ok(Resources::logic(eight, eight)));
        // the third operand waits for the sum of the first two
        assert_eq!(adder_tree(3, 8), Ok(Resources::logic(9 + 10, 2 * 9 + 10)));
        assert_eq!([0, 1].map(|n| adder_tree(n, 8)), [Ok(Resources::default()); 2]);
        assert_eq!(
            [0, 1, 2, 4, 5, 16].map(|n| mux(n, 8)),
            [0, 0, 8, 8, 16, 40].map(Ok)
        );
        assert_eq!(crossbar(16, 4, 24), Ok(4 * 5 * 24));
        assert!(mux(u64::MAX, u64::MAX).is_err() && adder_tree(u64::MAX, u64::MAX).is_err());
    }

    #[test]
    fn a_shift_of_one_exponent_bit_by_hand() {
        // weights of 2 bits: ±1, ±2 times 4 bits. 5 output bits of 1, 2, 2, 2, 1 candidates, 2 controls: a table each
        let widths = Widths {
            weight: 2,
            activation: 4,
            accumulator: 32,
        };
        assert_eq!(shifter(widths), 5);
    }
}
