//! What a memory takes of a part: block RAM, `UltraRAM` or look-up tables.

use super::{Family, Resources, pieces};
use crate::hardware::{Fpga, FpgaMemory};
use crate::units::{Overflow, add, mul};

/// Depth and width of an 18-kbit block RAM half in each of its shapes.
const BRAM18_SHAPES: [(u64, u64); 6] = [(16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36)];

/// Those of a whole block of 36 kbit.
const BRAM36_SHAPES: [(u64, u64); 7] = [
    (32768, 1),
    (16384, 2),
    (8192, 4),
    (4096, 9),
    (2048, 18),
    (1024, 36),
    (512, 72),
];

/// An `UltraRAM` block has one shape.
const URAM_SHAPE: [(u64, u64); 1] = [(4096, 72)];

/// Blocks of a memory of `words` words of `bits` bits in the cheapest of some shapes: a grid, side by side for the
/// width and cascaded for the depth.
fn grid(shapes: &[(u64, u64)], words: u64, bits: u64) -> Result<u64, Overflow> {
    let mut best = u64::MAX;
    for (depth, width) in shapes {
        best = best.min(mul(words.div_ceil(*depth), bits.div_ceil(*width))?);
    }
    Ok(best)
}

/// Block RAM halves of a memory of `words` words of `bits` bits: the cheapest of the six shapes, tiled.
///
/// # Errors
/// If the count overflows.
pub fn bram18(words: u64, bits: u64) -> Result<u64, Overflow> {
    grid(&BRAM18_SHAPES, words, bits)
}

/// Whole 36-kbit block RAMs of a memory: the cheapest of the seven shapes, tiled. Each shape is two halves side by
/// side, or one above the other, so [`bram18`] never takes more than twice as many.
///
/// # Errors
/// If the count overflows.
pub fn bram36(words: u64, bits: u64) -> Result<u64, Overflow> {
    grid(&BRAM36_SHAPES, words, bits)
}

/// `UltraRAM` blocks of a memory: 4096 words of 72 bits each, cascaded for depth.
///
/// # Errors
/// If the count overflows.
pub fn uram(words: u64, bits: u64) -> Result<u64, Overflow> {
    grid(&URAM_SHAPE, words, bits)
}

/// Look-up tables of a memory with a port each to read and to write: as the synthesised activation windows, 4 tables
/// hold 32 words of 6 bits and 8 tables 64 of 7 (`UltraScale+`) or 4 tables 64 of 3 (7 series), behind a multiplexer
/// where it is deeper. How many tables of a part can be memory is not looked at: about a half, or less.
///
/// # Errors
/// If the count overflows.
pub fn lutram(family: Family, words: u64, bits: u64) -> Result<u64, Overflow> {
    let shallow = mul(4, mul(bits.div_ceil(6), words.div_ceil(32))?)?;
    let deep = match family {
        Family::Series7 => mul(4, mul(bits.div_ceil(3), words.div_ceil(64))?)?,
        Family::UltraScalePlus => mul(8, mul(bits.div_ceil(7), words.div_ceil(64))?)?,
    };
    let shallow = add(shallow, pieces::mux(words.div_ceil(32), bits)?)?;
    Ok(shallow.min(add(deep, pieces::mux(words.div_ceil(64), bits)?)?))
}

/// What a buffer takes in the kind that its profile asks for; `Auto` is the one that takes the least portion of the
/// part, of equals block RAM, then `UltraRAM`.
pub(super) fn buffer(
    kind: FpgaMemory,
    family: Family,
    fpga: &Fpga,
    (words, bits): (u64, u64),
) -> Result<Resources, Overflow> {
    let bram = || -> Result<_, Overflow> {
        Ok(Resources {
            bram18: bram18(words, bits)?,
            ..Resources::default()
        })
    };
    let ultra = || -> Result<_, Overflow> {
        Ok(Resources {
            uram: uram(words, bits)?,
            ..Resources::default()
        })
    };
    let tables = || -> Result<_, Overflow> {
        Ok(Resources {
            lut: lutram(family, words, bits)?,
            ..Resources::default()
        })
    };
    match kind {
        FpgaMemory::Bram => bram(),
        FpgaMemory::Uram => ultra(),
        FpgaMemory::Lutram => tables(),
        FpgaMemory::Auto => {
            let mut best = bram()?;
            let portion = |r: Resources| {
                let of = |used: u64, has: u64| if used == 0 { 0.0 } else { used as f64 / has as f64 };
                of(r.bram18, fpga.bram18)
                    .max(of(r.uram, fpga.uram))
                    .max(of(r.lut, fpga.lut))
            };
            for other in [ultra()?, tables()?] {
                if portion(other) < portion(best) {
                    best = other;
                }
            }
            Ok(best)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Halves tile as well as whole blocks, so a count of halves is enough.
    #[test]
    fn halves_are_never_more_than_two_a_block() {
        for words in (1..70_000).step_by(997).chain([512, 513, 1024, 4096, 65_536]) {
            for bits in [1, 2, 3, 8, 9, 18, 19, 36, 37, 64, 72, 144, 1536] {
                let (half, whole) = (
                    bram18(words, bits).expect("small"),
                    bram36(words, bits).expect("small"),
                );
                assert!(
                    half <= 2 * whole,
                    "{words} x {bits}: {half} halves, {whole} blocks"
                );
                assert!(36 * 1024 * whole >= words * bits * 8 / 9, "{words} x {bits}");
            }
        }
        assert_eq!(bram36(512, 72), Ok(1));
        assert_eq!(bram36(32_768, 1), Ok(1));
        assert_eq!(bram36(1024, 37), Ok(2));
    }

    #[test]
    fn ultra_ram_is_4096_words_of_72_bits() {
        assert_eq!(uram(4096, 72), Ok(1));
        assert_eq!(uram(4097, 72), Ok(2), "two in cascade");
        assert_eq!(uram(4096, 73), Ok(2), "two side by side");
        assert_eq!(uram(1, 1), Ok(1));
        assert_eq!(uram(16_384, 512), Ok(4 * 8));
        assert!(uram(u64::MAX, u64::MAX).is_err());
    }

    #[test]
    fn look_up_tables_hold_32_or_64_words() {
        // a window of 16 activations of 8 bits takes 8 tables, one of 64 takes 16: the synthesised sparse PEs
        assert_eq!(lutram(Family::UltraScalePlus, 16, 8), Ok(8));
        assert_eq!(lutram(Family::UltraScalePlus, 64, 8), Ok(16));
        assert_eq!(lutram(Family::Series7, 64, 6), Ok(8));
        // 128 words: 2 x 8 tables and a choice of two for each of 7 bits
        assert_eq!(lutram(Family::UltraScalePlus, 128, 7), Ok(16 + 7));
    }
}
