//! Coordinates: of each non-zero its row (⌈log2 rows⌉ bits), column (⌈log2 cols⌉ bits) and code, in row-major order.

use super::{BitReader, BitWriter, Coder, DecodeError, Layout, Random, Size, index_width};
use crate::compression::Mask;

/// Row and column of each non-zero.
pub(super) struct Coordinate;

impl Coder for Coordinate {
    fn size(&self, mask: &Mask, value_bits: u32) -> Size {
        let entries = mask.count() as u64;
        Size {
            values_bits: entries * u64::from(value_bits),
            index_bits: entries * u64::from(index_width(mask.rows()) + index_width(mask.cols())),
            entries,
        }
    }

    fn expected_bits(&self, random: Random) -> f64 {
        let place = index_width(random.rows) + index_width(random.cols);
        random.non_zeros() * f64::from(random.value_bits + place)
    }

    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32) {
        for (i, &code) in mask.ones().zip(codes) {
            out.write_wide(i / mask.cols(), index_width(mask.rows()));
            out.write_wide(i % mask.cols(), index_width(mask.cols()));
            out.write(code, value_bits);
        }
    }

    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let (rows, cols) = (layout.rows, layout.cols);
        let mut mask = Mask::empty(rows, cols);
        let mut codes = Vec::with_capacity(layout.non_zeros);
        let mut next = 0;
        while codes.len() < layout.non_zeros {
            let mut field = |width| input.read_wide(width).ok_or(DecodeError::Truncated);
            let (row, col) = (field(index_width(rows))?, field(index_width(cols))?);
            if row >= rows || col >= cols || row * cols + col < next {
                return Err(DecodeError::Corrupt("a coordinate is out of order or range"));
            }
            mask.set(row * cols + col, true);
            next = row * cols + col + 1;
            codes.push(input.read(layout.value_bits).ok_or(DecodeError::Truncated)?);
        }
        Ok((mask, codes))
    }

    fn tag(&self) -> Vec<u8> {
        vec![4]
    }

    fn from_tag(tag: u8, _: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
        (tag == 4).then_some(Self)
    }

    fn tried() -> Vec<Self> {
        vec![Self]
    }
}
