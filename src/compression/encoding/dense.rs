//! Every weight in its place.
//!
//! A float slot is 32 bits, zeros as zeros. Levels have no code for zero: in a layer with zeros a slot is one bit
//! wider and holds code + 1, or 0 for a zero; in a layer without zeros it is the code.

use super::{BitReader, BitWriter, Coder, DecodeError, Layout, Random, Size, has_zero};
use crate::compression::Mask;

/// Whether slots carry one more bit.
fn widened(positions: usize, non_zeros: usize, value_bits: u32) -> bool {
    non_zeros < positions && !has_zero(value_bits)
}

/// Every weight in its place.
pub(super) struct Dense;

impl Coder for Dense {
    fn size(&self, mask: &Mask, value_bits: u32) -> Size {
        let entries = mask.len() as u64;
        let wide = u64::from(widened(mask.len(), mask.count(), value_bits));
        Size {
            values_bits: entries * u64::from(value_bits),
            index_bits: entries * wide,
            entries,
        }
    }

    fn expected_bits(&self, random: Random) -> f64 {
        random.positions() * random.wide_slot()
    }

    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32) {
        let wide = u32::from(widened(mask.len(), codes.len(), value_bits));
        let mut codes = codes.iter();
        for i in 0..mask.len() {
            let slot = if mask.get(i) {
                codes.next().map_or(0, |&code| code + wide)
            } else {
                0
            };
            out.write(slot, value_bits + wide);
        }
    }

    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let Layout {
            rows,
            cols,
            non_zeros,
            value_bits,
        } = layout;
        let wide = u32::from(widened(rows * cols, non_zeros, value_bits));
        let no_zero = wide == 0 && !has_zero(value_bits);
        let mut words = Vec::new();
        let mut codes = Vec::with_capacity(non_zeros);
        for i in 0..rows * cols {
            if i % 64 == 0 {
                words.push(0u64);
            }
            let slot = input.read(value_bits + wide).ok_or(DecodeError::Truncated)?;
            if slot != 0 || no_zero {
                let code = slot - wide;
                if code > u32::MAX >> (32 - value_bits) {
                    return Err(DecodeError::Corrupt("a slot holds no code"));
                }
                words[i / 64] |= 1 << (i % 64);
                codes.push(code);
            }
        }
        let mask =
            Mask::from_words(rows, cols, words).ok_or(DecodeError::Layout("positions and words differ"))?;
        Ok((mask, codes))
    }

    fn tag(&self) -> Vec<u8> {
        vec![0]
    }

    fn from_tag(tag: u8, _: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
        (tag == 0).then_some(Self)
    }

    fn tried() -> Vec<Self> {
        vec![Self]
    }
}
