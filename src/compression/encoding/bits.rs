//! Bit streams: the lowest bit of the first byte comes first, a field starts with its lowest bit.

/// Appends fields of up to 32 bits.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    /// Bits pending, below 8 between calls.
    filled: u32,
}

impl BitWriter {
    /// An empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the lowest `width` (at most 32) bits of `field`; bits above are dropped.
    pub fn write(&mut self, field: u32, width: u32) {
        let width = width.min(32);
        self.pending |= (u64::from(field) & ((1 << width) - 1)) << self.filled;
        self.filled += width;
        while self.filled >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.filled -= 8;
        }
    }

    /// Appends the lowest `width` (at most 64) bits of an index.
    pub(super) fn write_wide(&mut self, index: usize, width: u32) {
        let [low, high] = halves(index as u64);
        self.write(low, width.min(32));
        self.write(high, width.saturating_sub(32));
    }

    /// The stream, its last byte filled up with zeros.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

/// The lower and the upper 32 bits of a word.
pub(super) fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// Reads fields of up to 32 bits.
#[derive(Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    next: usize,
    pending: u64,
    filled: u32,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            next: 0,
            pending: 0,
            filled: 0,
        }
    }

    /// The next field of `width` (at most 32) bits, or `None` past the end.
    pub fn read(&mut self, width: u32) -> Option<u32> {
        let width = width.min(32);
        while self.filled < width {
            self.pending |= u64::from(*self.bytes.get(self.next)?) << self.filled;
            self.next += 1;
            self.filled += 8;
        }
        let field = self.pending & ((1 << width) - 1);
        self.pending >>= width;
        self.filled -= width;
        Some(field as u32)
    }

    /// The next index of `width` (at most 64) bits.
    pub(super) fn read_wide(&mut self, width: u32) -> Option<usize> {
        let low = u64::from(self.read(width.min(32))?);
        let high = u64::from(self.read(width.saturating_sub(32))?);
        usize::try_from(low | high << 32).ok()
    }

    /// Whether nothing but the zeros of the last byte is left.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.next == self.bytes.len() && self.filled < 8 && self.pending == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_each_other_from_the_lowest_bit() {
        let mut w = BitWriter::new();
        w.write(0b101, 3);
        w.write(0b11, 2);
        w.write(u32::MAX, 32);
        w.write(0, 0);
        let bytes = w.finish();
        assert_eq!(bytes, [0b1111_1101, 0xFF, 0xFF, 0xFF, 0b0001_1111]);
        let mut r = BitReader::new(&bytes);
        assert_eq!(
            (r.read(3), r.read(2), r.at_end()),
            (Some(0b101), Some(0b11), false)
        );
        assert_eq!(
            (r.read(32), r.read(0), r.at_end()),
            (Some(u32::MAX), Some(0), true)
        );
        assert_eq!((r.read(3), r.read(1)), (Some(0), None));
    }
}
