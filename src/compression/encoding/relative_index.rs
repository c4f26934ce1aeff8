//! Relative index: before every stored weight, the gap to the entry before it (Han et al., ICLR 2016, §2;
//! EIE, ISCA 2016, §3).
//!
//! One chain runs over the row-major positions and starts at position −1. With run lengths of k bits an entry
//! spans a gap of 1 to L = 2^k positions and stores gap − 1. A longer gap takes a filler entry every L positions;
//! a filler occupies a whole entry, run length and value. A gap of g positions thus takes ⌈g/L⌉ − 1 fillers.
//! Nothing is stored after the last non-zero.
//!
//! A filler stores the run length L − 1, as does a weight that stands exactly L positions on. Among floats the
//! filler is told by its zero value. Levels have no zero, so every entry with run length L − 1 carries one flag bit
//! between run length and value: 1 for a filler, whose value field is zero. The flags are counted as index bits;
//! the number of entries is the one of the rule above for either kind of value.

use super::{BitReader, BitWriter, Coder, DecodeError, EncodeError, Layout, Random, Size, has_zero};
use crate::compression::Mask;
use std::ops::Range;

/// The entries of one index chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entries {
    /// Entries that hold a weight.
    pub non_zeros: u64,
    /// Entries that hold none.
    pub fillers: u64,
    /// Weights that stand exactly L positions after the entry before them.
    pub full_gaps: u64,
}

impl Entries {
    /// All entries.
    #[must_use]
    pub fn total(self) -> u64 {
        self.non_zeros + self.fillers
    }

    fn add(&mut self, gap: usize, bits: u32) {
        let last = gap - 1;
        self.fillers += (last >> bits) as u64;
        self.full_gaps += u64::from(last & ((1 << bits) - 1) == (1 << bits) - 1);
    }
}

/// The entries of one chain over all positions, with run lengths of `bits` bits (1 to 16; values outside are
/// taken as the nearest of these).
///
/// ```
/// use cosparse::compression::{Mask, encoding::entries};
/// // gaps 1, 4 and 5 with L = 4: only the last is too long
/// let mask = Mask::of(&[1., 0., 0., 0., 1., 0., 0., 0., 0., 1., 0., 0.], 1, 12);
/// let found = entries(&mask, 2);
/// assert_eq!((found.non_zeros, found.fillers), (3, 1));
/// ```
#[must_use]
pub fn entries(mask: &Mask, bits: u8) -> Entries {
    entries_in(mask, 0..mask.len(), bits)
}

/// The entries of one chain over a range of row-major positions, as one PE holds it; the chain starts at the
/// position before the range.
#[must_use]
pub fn entries_in(mask: &Mask, range: Range<usize>, bits: u8) -> Entries {
    let bits = u32::from(bits.clamp(1, 16));
    let mut found = Entries::default();
    // one more than the position of the entry before
    let mut next = range.start;
    for (base, word) in mask.words_in(range) {
        if word == 0 {
            continue;
        }
        found.non_zeros += u64::from(word.count_ones());
        let top = base + 64 - word.leading_zeros() as usize;
        found.add(base + word.trailing_zeros() as usize + 1 - next, bits);
        // gaps inside a word are at most 63; a full run has gaps of 1 only
        let rest = word & (word - 1);
        let run = word >> word.trailing_zeros();
        if bits < 6 && run & run.wrapping_add(1) != 0 {
            let mut before = word.trailing_zeros();
            let mut rest = rest;
            while rest != 0 {
                let bit = rest.trailing_zeros();
                found.add((bit - before) as usize, bits);
                before = bit;
                rest &= rest - 1;
            }
        }
        next = top;
    }
    found
}

/// The width of run lengths, 1 to 12, that makes the stream shortest; the narrower one among equals.
#[must_use]
pub fn best_width(mask: &Mask, value_bits: u32) -> u8 {
    (1..=12)
        .min_by_key(|&bits| RelativeIndex { bits }.size(mask, value_bits).bits())
        .unwrap_or(1)
}

/// A packed file names run lengths of k bits by this plus k.
const TAG: u8 = 128;

/// Run lengths of `bits` bits.
pub(super) struct RelativeIndex {
    pub(super) bits: u8,
}

impl Coder for RelativeIndex {
    fn check(&self) -> Result<(), EncodeError> {
        if (1..=16).contains(&self.bits) {
            Ok(())
        } else {
            Err(EncodeError::IndexBits(self.bits))
        }
    }

    fn size(&self, mask: &Mask, value_bits: u32) -> Size {
        let found = entries(mask, self.bits);
        let entries = found.total();
        let flags = if has_zero(value_bits) {
            0
        } else {
            found.fillers + found.full_gaps
        };
        Size {
            values_bits: entries * u64::from(value_bits),
            index_bits: entries * u64::from(self.bits) + flags,
            entries,
        }
    }

    /// Fillers are the reaches of L; a run length L − 1 is stored by each filler, and by a weight whose gap is a multiple
    /// of L: in a long run one in (1 − p^L)/(q·p^(L − 1)).
    fn expected_bits(&self, random: Random) -> f64 {
        let (bits, p) = (f64::from(self.bits), 1.0 - random.density);
        let reach = bits.exp2();
        let fillers = random.reaches(reach);
        let full = if has_zero(random.value_bits) {
            0.0
        } else {
            fillers + random.non_zeros() * random.density * p.powf(reach - 1.0) / (1.0 - p.powf(reach))
        };
        (random.non_zeros() + fillers) * (bits + f64::from(random.value_bits)) + full
    }

    fn write(&self, out: &mut BitWriter, mask: &Mask, codes: &[u32], value_bits: u32) {
        let bits = u32::from(self.bits);
        let longest = (1u32 << bits) - 1;
        let flags = u32::from(!has_zero(value_bits));
        let mut next = 0;
        for (position, &code) in mask.ones().zip(codes) {
            let last = position - next;
            for _ in 0..last >> bits {
                out.write(longest, bits);
                out.write(1, flags);
                out.write(0, value_bits);
            }
            let stored = last as u32 & longest;
            out.write(stored, bits);
            if stored == longest {
                out.write(0, flags);
            }
            out.write(code, value_bits);
            next = position + 1;
        }
    }

    fn read(&self, input: &mut BitReader, layout: Layout) -> Result<(Mask, Vec<u32>), DecodeError> {
        let Layout {
            rows,
            cols,
            non_zeros,
            value_bits,
        } = layout;
        let bits = u32::from(self.bits);
        let longest = (1u32 << bits) - 1;
        let flagged = !has_zero(value_bits);
        let mut mask = Mask::empty(rows, cols);
        let mut codes = Vec::with_capacity(non_zeros);
        let mut next = 0;
        while codes.len() < non_zeros {
            let stored = input.read(bits).ok_or(DecodeError::Truncated)?;
            let flag = if flagged && stored == longest {
                input.read(1).ok_or(DecodeError::Truncated)? == 1
            } else {
                false
            };
            let code = input.read(value_bits).ok_or(DecodeError::Truncated)?;
            let filler = if flagged {
                flag
            } else {
                stored == longest && code == 0
            };
            let position = next + stored as usize;
            if position >= mask.len() {
                return Err(DecodeError::Corrupt("a run leaves the tensor"));
            }
            if !filler {
                mask.set(position, true);
                codes.push(code);
            } else if code != 0 {
                return Err(DecodeError::Corrupt("a filler holds a value"));
            }
            next = position + 1;
        }
        Ok((mask, codes))
    }

    fn tag(&self) -> Vec<u8> {
        vec![TAG + self.bits]
    }

    fn from_tag(tag: u8, _: &mut dyn FnMut() -> Option<u8>) -> Option<Self> {
        (TAG + 1..=TAG + 16)
            .contains(&tag)
            .then(|| Self { bits: tag - TAG })
    }

    fn tried() -> Vec<Self> {
        (1..=12).map(|bits| Self { bits }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(len: usize, alive: &[usize]) -> Mask {
        let mut mask = Mask::empty(1, len);
        for &i in alive {
            mask.set(i, true);
        }
        mask
    }

    fn counts(mask: &Mask, bits: u8) -> (u64, u64) {
        let found = entries(mask, bits);
        (found.non_zeros, found.fillers)
    }

    #[test]
    fn fillers_stand_every_l_positions() {
        // L = 2: gap 2 fits, 3 and 4 take one filler, 5 takes two
        for (at, fillers) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            assert_eq!(counts(&mask(8, &[at]), 1), (1, fillers), "position {at}");
        }
        // L = 16: position 15 is 16 on, the 17th needs a filler; then 16 on again, then 33 on
        assert_eq!(counts(&mask(100, &[15]), 4), (1, 0));
        assert_eq!(counts(&mask(100, &[16, 32, 65]), 4), (3, 1 + 2));
        // nothing after the last non-zero, nothing in an empty tensor
        assert_eq!(counts(&mask(1000, &[0]), 1), (1, 0));
        assert_eq!(counts(&mask(1000, &[]), 1), (0, 0));
        assert_eq!(counts(&Mask::full(3, 50), 1), (150, 0));
    }

    #[test]
    fn counting_by_words_agrees_with_counting_by_gaps() {
        let positions: Vec<usize> = (0..40usize).map(|i| i * i * 3 + i % 5).collect();
        let mask = mask(5000, &positions);
        for bits in 1..=12u8 {
            let mut next = 0;
            let mut expected = Entries::default();
            for p in &positions {
                let gap = p + 1 - next;
                expected.non_zeros += 1;
                expected.fillers += gap.div_ceil(1 << bits) as u64 - 1;
                expected.full_gaps += u64::from(gap % (1 << bits) == 0);
                next = p + 1;
            }
            assert_eq!(entries(&mask, bits), expected, "{bits} bits");
        }
    }

    #[test]
    fn a_range_is_a_chain_of_its_own() {
        let mask = mask(300, &[10, 99, 100, 180, 299]);
        // 4 bits over 100..200: 100 stands 1 on, 180 stands 80 = 5 * 16 on
        let found = entries_in(&mask, 100..200, 4);
        assert_eq!((found.non_zeros, found.fillers, found.full_gaps), (2, 4, 1));
        assert_eq!(entries_in(&mask, 200..299, 4).total(), 0);
    }
}
