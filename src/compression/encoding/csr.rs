//! Compressed sparse rows: where each row's entries start, then the column of each entry, then the codes.
//!
//! rows + 1 pointers hold the counts of non-zeros above each row, each as wide as the count of all asks,
//! ⌈log2(count + 1)⌉ bits; columns take ⌈log2 cols⌉ bits. Without non-zeros pointers have no bits and nothing is stored.

use super::{BitReader, BitWriter, Coder, DecodeError, Layout, Random, Size, index_width};
use crate::compression::Mask;

/// Compressed sparse rows.
pub(super) struct Csr;

/// What `lines` rows of `across` columns take; columns of rows for the transposed form.
pub(super) fn size(lines: usize, across: usize, non_zeros: usize, value_bits: u32) -> Size {
    let entries = non_zeros as u64;
    let pointers = (lines as u64 + 1) * u64::from(index_width(non_zeros + 1));
    Size {
        values_bits: entries * u64::from(value_bits),
        index_bits: pointers + entries * u64::from(index_width(across)),
        entries,
    }
}

/// The mean over random tensors. Pointers are as wide as the number of non-zeros asks, which is nearly always that of
/// its mean.
pub(super) fn expected_bits(lines: usize, across: usize, random: Random) -> f64 {
    let non_zeros = random.non_zeros();
    let pointers =
        (lines as f64 + 1.0) * f64::from(index_width((non_zeros.round() as usize).saturating_add(1)));
    pointers + non_zeros * f64::from(random.value_bits + index_width(across))
}

/// Writes entries of (line, place in the line, code), sorted.
pub(super) fn write(
    out: &mut BitWriter,
    (lines, across): (usize, usize),
    entries: &[(usize, usize, u32)],
    value_bits: u32,
) {
    let width = index_width(entries.len() + 1);
    let mut before = 0;
    for line in 0..=lines {
        while entries.get(before).is_some_and(|entry| entry.0 < line) {
            before += 1;
        }
        out.write_wide(before, width);
    }
    for entry in entries {
        out.write_wide(entry.1, index_width(across));
    }
    for entry in entries {
        out.write(entry.2, value_bits);
    }
}

/// Reads what [`write`] wrote.
pub(super) fn read(
    input: &mut BitReader,
    (lines, across): (usize, usize),
    non_zeros: usize,
    value_bits: u32,
) -> Result<Vec<(usize, usize, u32)>, DecodeError> {
    if non_zeros == 0 {
        return Ok(Vec::new());
    }
    let width = index_width(non_zeros + 1);
    let mut entries = Vec::with_capacity(non_zeros);
    if input.read_wide(width).ok_or(DecodeError::Truncated)? != 0 {
        return Err(DecodeError::Corrupt("its first pointer is not 0"));
    }
    for line in 0..lines {
        let end = input.read_wide(width).ok_or(DecodeError::Truncated)?;
        if end < entries.len() || end > non_zeros {
            return Err(DecodeError::Corrupt("a pointer is out of order"));
        }
        entries.resize(end, (line, 0, 0));
    }
    if entries.len() != non_zeros {
        return Err(DecodeError::Corrupt(
            "its last pointer is not the count of non-zeros",
        ));
    }
    let mut before: Option<(usize, usize)> = None;
    for entry in &mut entries {
        entry.1 = input
            .read_wide(index_width(across))
            .ok_or(DecodeError::Truncated)?;
        if entry.1 >= across || before.is_some_and(|before| before >= (entry.0, entry.1)) {
            return Err(DecodeError::Corrupt("an index is out of order or range"));
        }
        before = Some((entry.0, entry.1));
    }
    for entry in &mut entries {
        entry.2 = input.read(value_bits).ok_or(DecodeError::Truncated)?;
    }
    Ok(entries)
}

impl Coder for Csr {
    fn size(&self, mask: &Mask, value_bits: u32) -> Size {
        size(mask.rows(), mask.cols(), mask.count(), value_bits)
    }

    fn expected_bits(&self, random: Random) -> f64 {
        expected_bits(random.rows, random.cols, random)
    }

    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32) {
        let cols = mask.cols();
        let entries: Vec<_> = mask
            .ones()
            .zip(codes)
            .map(|(i, &code)| (i / cols, i % cols, code))
            .collect();
        write(out, (mask.rows(), cols), &entries, value_bits);
    }

    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let (rows, cols) = (layout.rows, layout.cols);
        let entries = read(input, (rows, cols), layout.non_zeros, layout.value_bits)?;
        let mut mask = Mask::empty(rows, cols);
        for &(row, col, _) in &entries {
            mask.set(row * cols + col, true);
        }
        Ok((mask, entries.into_iter().map(|entry| entry.2).collect()))
    }

    fn tag(&self) -> Vec<u8> {
        vec![2]
    }

    fn from_tag(tag: u8, _: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
        (tag == 2).then_some(Self)
    }

    fn tried() -> Vec<Self> {
        vec![Self]
    }
}
