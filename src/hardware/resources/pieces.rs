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

    /// Modules of `tests/data/fpga_composed.v` as synthesised: flip-flops exact, look-up tables within 20 %.
    #[test]
    fn synthesised_modules_are_close() {
        let ok = |lut: Result<u64, Overflow>, ff| (lut.expect("small"), ff);
        let tree = |lanes| adder_tree(lanes, 8).expect("small");
        let mut compared = 0;
        for line in include_str!("../../../tests/data/fpga_composed_points.csv")
            .lines()
            .skip(1)
        {
            let [family, module, dsp, lut, ff, ..] = line.split(',').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let [dsp, lut, ff] = [dsp, lut, ff].map(|n| n.parse::<u64>().expect("a count"));
            let seven = family == "xc7";
            let fabric = crate::hardware::resources::Fabric {
                family: if seven {
                    Family::Series7
                } else {
                    Family::UltraScalePlus
                },
                widths: Widths {
                    weight: 8,
                    activation: 8,
                    accumulator: 32,
                },
                // this synthesis packs the accumulator on 7 series only
                multiplier: crate::hardware::resources::Multiplier::Dsp {
                    packed_accumulator: seven,
                },
                packing: true,
            };
            let form = match module {
                "mux4x8" => ok(mux(4, 8), 0),
                "mux8x8" => ok(mux(8, 8), 0),
                "mux16x8" => ok(mux(16, 8), 8),
                "mux32x16" => ok(mux(32, 16), 16),
                "crossbar16x4x24" => ok(crossbar(16, 4, 24), 0),
                "tree8x8" => (tree(8).lut, tree(8).ff),
                // gates, tree, accumulator
                "serial16x8" => (16 * 8 + tree(16).lut + 32, tree(16).ff + 32),
                "fusion_unit" => (360 + 32, 284 + 32),
                "fan_adder" => (2 * 32, 32),
                "switch2" => ok(mux(2, 2 * 8), 16),
                // index and window; the weight's register and the accumulator are in the slice on 7 series
                "lane2of4" => {
                    let mac = fabric.mac();
                    assert_eq!(mac.dsp, dsp, "{line}");
                    ok(
                        mux(4, 8).map(|m| m + mac.lut),
                        2 + 32 + mac.ff + if seven { 0 } else { 8 },
                    )
                }
                // operands and product are registered outside the slice on UltraScale+; its low half adds fewer bits
                "packed2x8" => {
                    let pair = fabric.macs(2, 1).expect("small");
                    assert_eq!(pair.dsp, dsp, "{line}");
                    assert!(
                        pair.ff <= ff && (lut..2 * lut).contains(&pair.lut),
                        "{line}: {pair:?}"
                    );
                    continue;
                }
                other => panic!("{other}"),
            };
            assert_eq!(form.1, ff, "{line}");
            assert!(
                (form.0 as f64 / lut as f64 - 1.0).abs() < 0.20,
                "{line}: {}",
                form.0
            );
            compared += 1;
        }
        assert_eq!(compared, 22);
    }
}
