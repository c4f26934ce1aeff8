//! Counting the entries of contiguous slices straight from the mask's words.

use crate::compression::Mask;

/// What one PE of a contiguous partition stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SliceEntries {
    /// Weights that are not zero.
    pub nonzeros: u64,
    /// Fillers of its index chain.
    pub fillers: u64,
}

impl SliceEntries {
    /// Entries of the slice.
    #[must_use]
    pub fn entries(self) -> u64 {
        self.nonzeros + self.fillers
    }
}

/// Where slice `i` of `pes` begins in a run of `weights`: floor(i·weights / pes). Doubling the PEs halves every
/// slice, so it never makes the longest chain longer.
pub(super) fn start(i: u64, pes: u64, weights: u64) -> u64 {
    (u128::from(i) * u128::from(weights) / u128::from(pes.max(1))) as u64
}

/// The entries of each of `pes` contiguous slices of the mask's row-major positions, with a relative index of
/// `span` bits (one entry spans at most 2^span positions; 63 for no fillers). One chain per slice.
///
/// One pass over the words: a population count, and a look at the zero runs of at least 2^span positions only.
#[must_use]
pub fn slice_entries(mask: &Mask, pes: u64, span: u32) -> Vec<SliceEntries> {
    let weights = mask.len() as u64;
    let (words, span) = (mask.words(), span.min(63));
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            (0..pes)
                .map(|i| chain(words, start(i, pes, weights), start(i + 1, pes, weights), span))
                .collect()
        },
    )
}

/// One chain over positions `from..to`.
#[inline(always)]
fn chain(words: &[u64], from: u64, to: u64, span: u32) -> SliceEntries {
    let mut chain = Chain {
        span,
        zeros: 0,
        found: SliceEntries::default(),
    };
    if from >= to {
        return chain.found;
    }
    let (first, last) = ((from / 64) as usize, ((to - 1) / 64) as usize);
    let (skip, keep) = ((from % 64) as u32, ((to - 1) % 64) as u32 + 1);
    if first == last {
        chain.part(words[first] << (64 - keep) >> (64 - keep) >> skip, keep - skip);
        return chain.found;
    }
    chain.part(words[first] >> skip, 64 - skip);
    match span {
        3 => chain.whole::<3>(&words[first + 1..last]),
        4 => chain.whole::<4>(&words[first + 1..last]),
        5 => chain.whole::<5>(&words[first + 1..last]),
        _ => words[first + 1..last]
            .iter()
            .for_each(|&word| chain.part(word, 64)),
    }
    chain.part(words[last] << (64 - keep) >> (64 - keep), keep);
    chain.found
}

struct Chain {
    span: u32,
    /// Zeros since the last entry's non-zero.
    zeros: u64,
    found: SliceEntries,
}

/// Words that are looked at together.
const BLOCK: usize = 8;

impl Chain {
    /// Goes over whole words. Sums stay below the number of positions.
    #[inline(always)]
    fn whole<const SPAN: u32>(&mut self, words: &[u64]) {
        let (blocks, rest) = words.as_chunks::<BLOCK>();
        let (mut zeros, mut nonzeros, mut fillers) = (self.zeros, 0u64, 0u64);
        for block in blocks {
            fillers = fillers.wrapping_add(fillers_anywhere::<SPAN>(block));
            for &word in block {
                nonzeros = nonzeros.wrapping_add(word.count_ones().into());
                // runs at either end belong to those of the neighbours
                let (lead, trail) = (u64::from(word.trailing_zeros()), u64::from(word.leading_zeros()));
                if word == 0 {
                    fillers = fillers.wrapping_sub(63 >> SPAN);
                    zeros = zeros.wrapping_add(64);
                } else {
                    fillers = fillers
                        .wrapping_add(zeros.wrapping_add(lead) >> SPAN)
                        .wrapping_sub((lead >> SPAN).wrapping_add(trail >> SPAN));
                    zeros = trail;
                }
            }
        }
        self.zeros = zeros;
        self.found.nonzeros += nonzeros;
        self.found.fillers += fillers;
        for &word in rest {
            self.part(word, 64);
        }
    }

    /// Goes over the lowest `width` (1 to 64) bits of `word`; bits above them are zero.
    #[inline(always)]
    fn part(&mut self, word: u64, width: u32) {
        if word == 0 {
            self.zeros += u64::from(width);
            return;
        }
        let lead = word.trailing_zeros();
        let top = word.ilog2();
        self.found.nonzeros += u64::from(word.count_ones());
        // z zeros before a non-zero need floor(z / 2^span) fillers
        self.found.fillers += (self.zeros + u64::from(lead)) >> self.span;
        self.zeros = u64::from(width - 1 - top);
        if self.span < 6 {
            // zeros between the first and the last non-zero of this word
            let between = ((1u64 << top) - 1) & (u64::MAX << lead) & !word;
            self.found.fillers += fillers_inside(between, self.span);
        }
    }
}

/// Σ floor(length / 2^span) over the runs of ones in `zeros`, whose highest bit is clear: the runs of at least 2^span
/// ones, those of twice as many, and so on.
#[inline(always)]
fn fillers_inside(zeros: u64, span: u32) -> u64 {
    // bit i is set where so many ones begin at i
    let mut gap = zeros;
    for step in 0..span {
        gap &= gap >> (1 << step);
    }
    let (mut starts, mut fillers, mut length) = (gap, 0, 0);
    while starts != 0 {
        fillers += u64::from((starts & !(starts << 1)).count_ones());
        length += 1 << span;
        starts &= gap.checked_shr(length).unwrap_or(0);
    }
    fillers
}

/// The same for runs of zeros anywhere in all words, without branches. A word of zeros counts floor(63 / 2^SPAN).
#[inline(always)]
fn fillers_anywhere<const SPAN: u32>(block: &[u64; BLOCK]) -> u64 {
    let mut gap = block.map(|word| !word);
    for step in 0..SPAN {
        for gap in &mut gap {
            *gap &= *gap >> (1 << step);
        }
    }
    let mut starts = gap;
    let mut fillers = [0u64; BLOCK];
    for times in 1..=63 >> SPAN {
        for ((fillers, starts), gap) in fillers.iter_mut().zip(&mut starts).zip(&gap) {
            *fillers = fillers.wrapping_add((*starts & !(*starts << 1)).count_ones().into());
            *starts &= gap.checked_shr(times << SPAN).unwrap_or(0);
        }
    }
    fillers.iter().fold(0, |sum, &n| sum.wrapping_add(n))
}

/// Groups of `group` consecutive positions with any non-zero; the last group may be shorter.
pub(super) fn alive_groups(mask: &Mask, group: u64) -> u64 {
    let (words, len) = (mask.words(), mask.len() as u64);
    let any = |from: u64, to: u64| {
        let (first, last) = ((from / 64) as usize, ((to - 1) / 64) as usize);
        let low = u64::MAX << (from % 64);
        let high = u64::MAX >> (63 - (to - 1) % 64);
        if first == last {
            return words[first] & low & high != 0;
        }
        words[first] & low != 0 || words[last] & high != 0 || words[first + 1..last].iter().any(|&w| w != 0)
    };
    let group = group.max(1);
    (0..len.div_ceil(group))
        .filter(|g| any(g * group, len.min((g + 1).saturating_mul(group))))
        .count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn mask(bits: &str) -> Mask {
        let values: Vec<f32> = bits
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| if c == '1' { 1.0 } else { 0.0 })
            .collect();
        Mask::of(&values, 1, values.len())
    }

    #[test]
    fn fillers_inside_a_word_are_those_of_its_runs() {
        let mut state = 1u64;
        for case in 0..20_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(case);
            let shift = |by: u32| state.rotate_left(by);
            let zeros = match case % 3 {
                0 => shift(7) | shift(20) | shift(41),
                1 => state | shift(17),
                _ => shift(3) | shift(11) | shift(23) | shift(37) | shift(50) | shift(59),
            } >> 1;
            for span in 1..6 {
                let slowly: u64 = format!("{zeros:b}")
                    .split('0')
                    .map(|run| run.len() as u64 >> span)
                    .sum();
                assert_eq!(fillers_inside(zeros, span), slowly, "{zeros:b} {span}");
            }
        }
    }

    #[test]
    fn long_chains_equal_a_walk() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        for case in 0..200 {
            let density = [0.003, 0.03, 0.1, 0.5][case % 4];
            let mut mask = Mask::empty(1, random.random_range(1..6000));
            for i in 0..mask.len() {
                mask.set(i, random.random_bool(density));
            }
            for (span, pes) in (1..9).flat_map(|span| [(span, 1), (span, 3)]) {
                let slowly: Vec<SliceEntries> = (0..pes)
                    .map(|i| {
                        let [from, to] = [i, i + 1].map(|i| start(i, pes, mask.len() as u64) as usize);
                        let (mut found, mut zeros) = (SliceEntries::default(), 0);
                        for at in from..to {
                            if mask.get(at) {
                                found.nonzeros += 1;
                                found.fillers += zeros >> span;
                                zeros = 0;
                            } else {
                                zeros += 1;
                            }
                        }
                        found
                    })
                    .collect();
                assert_eq!(slice_entries(&mask, pes, span), slowly, "{span} {pes}");
            }
        }
    }

    /// A 2-bit index spans 4 positions. Chain `0000 1 0001 00000001 00`: gaps 5, 4, 8, then nothing:
    /// 2 + 1 + 2 entries, of which 3 are non-zeros.
    #[test]
    fn fillers_by_hand() {
        let found = slice_entries(&mask("00001 0001 00000001 00"), 1, 2);
        assert_eq!(
            found,
            [SliceEntries {
                nonzeros: 3,
                fillers: 2
            }]
        );
        assert_eq!(
            slice_entries(&mask("00001 0001 00000001 00"), 1, 63)[0].fillers,
            0
        );
    }

    #[test]
    fn chains_restart_at_every_slice() {
        // slices of 5 and 5: `00001` needs a filler at span 4 each, where one chain would need one in 9 zeros
        let found = slice_entries(&mask("00001 00001"), 2, 2);
        assert_eq!(
            found,
            [SliceEntries {
                nonzeros: 1,
                fillers: 1
            }; 2]
        );
    }

    #[test]
    fn groups_with_any_weight() {
        assert_eq!(alive_groups(&mask("000 010 000 1"), 3), 2);
        assert_eq!(alive_groups(&Mask::empty(3, 100), 72), 0);
        assert_eq!(alive_groups(&Mask::full(3, 100), 72), 5);
    }
}
