//! Compressed sparse columns: as [`super::csr`] with rows and columns exchanged, codes column by column.

use super::{BitReader, BitWriter, Coder, DecodeError, Layout, Random, Size, csr, in_place};
use crate::compression::Mask;

/// Compressed sparse columns.
pub(super) struct Csc;

impl Coder for Csc {
    fn size(&self, mask: &Mask, value_bits: u32) -> Size {
        csr::size(mask.cols(), mask.rows(), mask.count(), value_bits)
    }

    fn expected_bits(&self, random: Random) -> f64 {
        csr::expected_bits(random.cols, random.rows, random)
    }

    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32) {
        let cols = mask.cols();
        let mut entries: Vec<_> = mask
            .ones()
            .zip(codes)
            .map(|(i, &code)| (i % cols, i / cols, code))
            .collect();
        entries.sort_unstable();
        csr::write(out, (cols, mask.rows()), &entries, value_bits);
    }

    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let (rows, cols) = (layout.rows, layout.cols);
        let entries = csr::read(input, (cols, rows), layout.non_zeros, layout.value_bits)?;
        let placed = entries
            .into_iter()
            .map(|(col, row, code)| (row * cols + col, code));
        Ok(in_place(rows, cols, placed.collect()))
    }

    fn tag(&self) -> Vec<u8> {
        vec![3]
    }

    fn from_tag(tag: u8, _: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
        (tag == 3).then_some(Self)
    }

    fn tried() -> Vec<Self> {
        vec![Self]
    }
}
