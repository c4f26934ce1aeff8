//! Gaps in Golomb-Rice code (Rice and Plaunt, IEEE Trans. Communications 1971): before every code the number of
//! zeros since the entry before, its quotient by 2^k in unary (ones, then a zero), its remainder in k bits.
//!
//! k stands first in 5 bits; it is the one that makes the stream shortest, the lower among equals. Without
//! non-zeros nothing is stored.

use super::{BitReader, BitWriter, Coder, DecodeError, Layout, Random, Size};
use crate::compression::Mask;

/// Bits that hold k.
const PARAMETER_BITS: u32 = 5;

/// Gaps in Golomb-Rice code.
pub(super) struct GolombRice;

fn gaps(mask: &Mask) -> Vec<usize> {
    let mut next = 0;
    let gap = |i| i - std::mem::replace(&mut next, i + 1);
    mask.ones().map(gap).collect()
}

/// The best k and the bits of all gaps with it.
fn best(gaps: &[usize]) -> (u32, u64) {
    let bits = |k: u32| {
        gaps.iter()
            .map(|&gap| (gap >> k) as u64 + 1 + u64::from(k))
            .sum::<u64>()
    };
    (0..1 << PARAMETER_BITS)
        .map(|k| (k, bits(k)))
        .min_by_key(|found| found.1)
        .unwrap_or((0, 0))
}

impl Coder for GolombRice {
    fn size(&self, mask: &Mask, value_bits: u32) -> Size {
        let gaps = gaps(mask);
        let entries = gaps.len() as u64;
        let parameter = if gaps.is_empty() { 0 } else { PARAMETER_BITS };
        Size {
            values_bits: entries * u64::from(value_bits),
            index_bits: u64::from(parameter) + best(&gaps).1,
            entries,
        }
    }

    fn expected_bits(&self, random: Random) -> f64 {
        let gaps = (0..1u32 << PARAMETER_BITS)
            .map(|k| random.non_zeros() * f64::from(k + 1) + random.reaches(f64::from(k).exp2()))
            .fold(f64::INFINITY, f64::min);
        f64::from(PARAMETER_BITS) + gaps + random.non_zeros() * f64::from(random.value_bits)
    }

    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32) {
        let gaps = gaps(mask);
        if gaps.is_empty() {
            return;
        }
        let (k, _) = best(&gaps);
        out.write(k, PARAMETER_BITS);
        for (gap, &code) in gaps.into_iter().zip(codes) {
            for _ in 0..gap >> k {
                out.write(1, 1);
            }
            out.write(0, 1);
            out.write_wide(gap, k);
            out.write(code, value_bits);
        }
    }

    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let mut mask = Mask::empty(layout.rows, layout.cols);
        let mut codes = Vec::with_capacity(layout.non_zeros);
        if layout.non_zeros == 0 {
            return Ok((mask, codes));
        }
        let k = input.read(PARAMETER_BITS).ok_or(DecodeError::Truncated)?;
        let mut next = 0usize;
        while codes.len() < layout.non_zeros {
            let mut quotient = 0usize;
            while input.read(1).ok_or(DecodeError::Truncated)? == 1 {
                quotient += 1;
            }
            let rest = input.read_wide(k).ok_or(DecodeError::Truncated)?;
            let position = quotient
                .checked_mul(1 << k)
                .and_then(|gap| gap.checked_add(rest)?.checked_add(next))
                .filter(|&position| position < mask.len())
                .ok_or(DecodeError::Corrupt("a gap leaves the tensor"))?;
            mask.set(position, true);
            next = position + 1;
            codes.push(input.read(layout.value_bits).ok_or(DecodeError::Truncated)?);
        }
        if best(&gaps(&mask)).0 != k {
            return Err(DecodeError::Corrupt("its parameter is not the best"));
        }
        Ok((mask, codes))
    }

    fn tag(&self) -> Vec<u8> {
        vec![7]
    }

    fn from_tag(tag: u8, _: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
        (tag == 7).then_some(Self)
    }

    fn tried() -> Vec<Self> {
        vec![Self]
    }
}
