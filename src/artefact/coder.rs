//! A range coder of bits under probabilities that the caller gives, in whole numbers only.
//!
//! The interval \[low, low + range) narrows with every bit; `range` stays above 2⁴⁸, so that a probability of 32 bits
//! costs what it says to a part in 2¹⁶. Bytes leave at the top; a carry runs back into those that have left.

/// Certainty: probabilities are parts of 2³².
pub(super) const ONE: u64 = 1 << 32;
/// Below this the top byte leaves.
const LEAST_RANGE: u64 = 1 << 48;

/// Codes bits: a writer takes the bit it is given, a reader finds it. What is written by a function of a coder is read
/// by the same function.
pub(super) trait Coder {
    /// Codes a bit that is one with probability `one` / 2³², 0 < `one` < 2³².
    fn bit(&mut self, one: u32, bit: bool) -> bool;

    /// Codes the lowest `width` bits of a number, all equally likely, the highest first.
    fn plain(&mut self, value: u64, width: u32) -> u64 {
        (0..width).rev().fold(0, |read, place| {
            let bit = self.bit(1 << 31, value >> place & 1 == 1);
            read << 1 | u64::from(bit)
        })
    }
}

/// Writes.
#[derive(Debug)]
pub(super) struct Writer {
    low: u64,
    range: u64,
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            low: 0,
            range: u64::MAX,
            bytes: Vec::new(),
        }
    }

    fn carry(&mut self) {
        for byte in self.bytes.iter_mut().rev() {
            let (sum, more) = byte.overflowing_add(1);
            *byte = sum;
            if !more {
                return;
            }
        }
    }

    /// The bytes: the fewest that name a number of the interval. A reader takes those past the end for zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        for kept in 0..=8 {
            let below = u64::MAX.checked_shr(8 * kept).unwrap_or(0);
            let (sum, carry) = self.low.overflowing_add(below);
            let value = sum & !below;
            // the number may lie past 2⁶⁴: the difference is right all the same
            if value.wrapping_sub(self.low) < self.range {
                if carry {
                    self.carry();
                }
                self.bytes
                    .extend_from_slice(&value.to_be_bytes()[..kept as usize]);
                break;
            }
        }
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

impl Coder for Writer {
    fn bit(&mut self, one: u32, bit: bool) -> bool {
        let bound = (self.range >> 32) * u64::from(one);
        if bit {
            self.range = bound;
        } else {
            let (low, carry) = self.low.overflowing_add(bound);
            if carry {
                self.carry();
            }
            self.low = low;
            self.range -= bound;
        }
        while self.range < LEAST_RANGE {
            self.bytes.push((self.low >> 56) as u8);
            self.low <<= 8;
            self.range <<= 8;
        }
        bit
    }
}

/// Reads.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    value: u64,
    range: u64,
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self {
            value: 0,
            range: u64::MAX,
            bytes: bytes.iter(),
        };
        for _ in 0..8 {
            reader.value = reader.value << 8 | reader.next();
        }
        reader
    }

    fn next(&mut self) -> u64 {
        self.bytes.next().copied().unwrap_or(0).into()
    }

    /// Whether bytes are left that nothing has asked for.
    pub(super) fn has_more(&self) -> bool {
        self.bytes.len() > 0
    }
}

impl Coder for Reader<'_> {
    fn bit(&mut self, one: u32, _: bool) -> bool {
        let bound = (self.range >> 32) * u64::from(one);
        let bit = self.value < bound;
        if bit {
            self.range = bound;
        } else {
            self.value -= bound;
            self.range -= bound;
        }
        while self.range < LEAST_RANGE {
            self.value = self.value << 8 | self.next();
            self.range <<= 8;
        }
        bit
    }
}

/// Counts what writing would take.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Bits.
    pub(super) bits: f64,
}

impl Coder for Meter {
    fn bit(&mut self, one: u32, bit: bool) -> bool {
        let share = if bit { u64::from(one) } else { ONE - u64::from(one) };
        self.bits += (ONE as f64 / share as f64).log2();
        bit
    }

    fn plain(&mut self, value: u64, width: u32) -> u64 {
        self.bits += f64::from(width);
        value
    }
}

/// A coder and what it has coded.
#[derive(Debug)]
pub(super) struct Counted<C> {
    /// The coder.
    pub(super) inner: C,
    meter: Meter,
}

impl<C: Coder> Counted<C> {
    pub(super) fn new(inner: C) -> Self {
        Self {
            inner,
            meter: Meter::default(),
        }
    }

    /// The bits since this was asked last.
    pub(super) fn take(&mut self) -> f64 {
        std::mem::take(&mut self.meter.bits)
    }
}

impl<C: Coder> Coder for Counted<C> {
    fn bit(&mut self, one: u32, bit: bool) -> bool {
        let bit = self.inner.bit(one, bit);
        self.meter.bit(one, bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits of a small generator under probabilities from nearly never to nearly always.
    #[test]
    fn what_is_written_is_read_in_as_many_bytes_as_it_must() {
        let mut state = 1u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for count in [0, 1, 2, 5, 17, 100, 5000] {
            let bits: Vec<(u32, bool)> = (0..count)
                .map(|_| {
                    let one = [1u32, 1 << 10, 1 << 24, 1 << 31, 3 << 30, u32::MAX][next() as usize % 6];
                    (one, next() << 1 < u64::from(one))
                })
                .collect();
            let (mut writer, mut meter) = (Writer::new(), Meter::default());
            for &(one, bit) in &bits {
                writer.bit(one, bit);
                meter.bit(one, bit);
            }
            let bytes = writer.finish();
            assert!(
                bytes.len() as f64 <= meter.bits / 8.0 + 1.01,
                "{count}: {} of {}",
                bytes.len(),
                meter.bits
            );
            let mut reader = Reader::new(&bytes);
            assert!(
                bits.iter().all(|&(one, bit)| reader.bit(one, false) == bit),
                "{count}"
            );
            assert!(!reader.has_more());
        }
    }

    #[test]
    fn a_carry_runs_through_all_bytes() {
        let mut writer = Writer {
            low: u64::MAX - 5,
            range: 1 << 60,
            bytes: vec![0, 255, 255],
        };
        writer.bit(1 << 31, false);
        assert_eq!(writer.bytes[..3], [1, 0, 0]);
    }
}
