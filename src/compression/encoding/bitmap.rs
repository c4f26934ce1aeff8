//! One bit per position, row-major, then the codes.

use super::bits::halves;
use super::{BitReader, BitWriter, Coder, DecodeError, Layout, Random, Size};
use crate::compression::Mask;

/// One bit per position.
pub(super) struct Bitmap;

impl Coder for Bitmap {
    fn size(&self, mask: &Mask, value_bits: u32) -> Size {
        let entries = mask.count() as u64;
        Size {
            values_bits: entries * u64::from(value_bits),
            index_bits: mask.len() as u64,
            entries,
        }
    }

    fn expected_bits(&self, random: Random) -> f64 {
        random.positions() + random.non_zeros() * f64::from(random.value_bits)
    }

    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32) {
        let mut left = mask.len();
        for &word in mask.words() {
            for half in halves(word) {
                let width = left.min(32);
                out.write(half, width as u32);
                left -= width;
            }
        }
        for &code in codes {
            out.write(code, value_bits);
        }
    }

    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let Layout {
            rows,
            cols,
            non_zeros,
            value_bits,
        } = layout;
        let mut left = rows * cols;
        let mut words = Vec::new();
        while left > 0 {
            let mut word = 0u64;
            for half in 0..2 {
                let width = left.min(32);
                word |= u64::from(input.read(width as u32).ok_or(DecodeError::Truncated)?) << (32 * half);
                left -= width;
            }
            words.push(word);
        }
        let mask =
            Mask::from_words(rows, cols, words).ok_or(DecodeError::Layout("positions and words differ"))?;
        let codes = (0..non_zeros)
            .map(|_| input.read(value_bits).ok_or(DecodeError::Truncated))
            .collect::<Result<_, _>>()?;
        Ok((mask, codes))
    }

    fn tag(&self) -> Vec<u8> {
        vec![1]
    }

    fn from_tag(tag: u8, _: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
        (tag == 1).then_some(Self)
    }

    fn tried() -> Vec<Self> {
        vec![Self]
    }
}
