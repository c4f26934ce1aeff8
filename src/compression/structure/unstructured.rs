//! At most `keep` non-zeros, anywhere.

use crate::compression::{ConstraintSet, Mask};
use rayon::prelude::*;

/// The tensors with at most `keep` non-zeros. The projection keeps the largest magnitudes (METHODS §0; ADMM-NN,
/// arXiv 1812.11677, §3).
///
/// Magnitudes are compared as `f32::total_cmp` compares them: infinity above every number, NaN above infinity.
/// A NaN is therefore kept and stays visible instead of being pruned in silence. Among equal magnitudes the
/// lower index is kept.
///
/// The projection works in place in O(n): the bit pattern of a magnitude orders like the magnitude, so a histogram
/// of its upper bits finds the few candidates for the threshold, these are resolved exactly, and one more pass
/// writes. Where many magnitudes are nearly equal, further histograms over the lower bits take the candidates' place.
///
/// ```
/// use cosparse::compression::{ConstraintSet, Mask, structure::Unstructured};
/// let mut weights = [0.1, -0.5, 0.5, 0.3];
/// Unstructured { keep: 2 }.project(&mut weights, &Mask::full(2, 2));
/// assert_eq!(weights, [0.0, -0.5, 0.5, 0.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unstructured {
    /// Non-zeros at most.
    pub keep: usize,
}

impl ConstraintSet for Unstructured {
    fn describe(&self) -> String {
        format!("unstructured, keep {}", self.keep)
    }

    /// # Panics
    /// When there is not one value per position of the support.
    fn project(&self, values: &mut [f32], support: &Mask) {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        let words = support.words();
        if self.keep >= support.count() {
            write(values, words, &|_, _| KeepFrom {
                above: None,
                equal: 0,
                ties: usize::MAX,
            });
            return;
        }
        if self.keep == 0 {
            values.fill(0.0);
            return;
        }
        let cut = threshold(values, words, self.keep);
        if cut.ties_kept == cut.ties {
            write(values, words, &|_, _| KeepFrom::all_ties(cut.magnitude));
        } else {
            // which ties are kept depends on how many stand before a chunk
            let mut before = 0;
            let starts: Vec<usize> = per_chunk(values, words, |v, w| {
                let mut ties = 0usize;
                each_alive(v, w, |m| ties += usize::from(m == cut.magnitude));
                ties
            })
            .into_iter()
            .map(|ties| {
                let start = before;
                before += ties;
                start
            })
            .collect();
            write(values, words, &|chunk, _| KeepFrom {
                above: Some(cut.magnitude),
                equal: cut.magnitude,
                ties: cut.ties_kept.saturating_sub(starts[chunk]),
            });
        }
    }
}

/// Values per unit of parallel work; a multiple of 64, so that chunks of values and of mask words agree.
const CHUNK: usize = 1 << 17;

/// Sign bit off: the order of these integers is the total order of the magnitudes.
pub(super) fn magnitude(value: f32) -> u32 {
    value.to_bits() & 0x7FFF_FFFF
}

/// Calls `f` with the magnitude of every value alive, in order.
fn each_alive(values: &[f32], words: &[u64], mut f: impl FnMut(u32)) {
    for (block, &word) in values.chunks(64).zip(words) {
        if word == u64::MAX {
            for &v in block {
                f(magnitude(v));
            }
        } else {
            let mut rest = word;
            while rest != 0 {
                f(magnitude(block[rest.trailing_zeros() as usize]));
                rest &= rest - 1;
            }
        }
    }
}

/// `f` of every chunk, in order; in parallel when there is more than one.
fn per_chunk<T: Send>(values: &[f32], words: &[u64], f: impl Fn(&[f32], &[u64]) -> T + Sync) -> Vec<T> {
    if values.len() <= CHUNK {
        return vec![f(values, words)];
    }
    values
        .par_chunks(CHUNK)
        .zip(words.par_chunks(CHUNK / 64))
        .map(|(v, w)| f(v, w))
        .collect()
}

/// The smallest magnitude kept.
struct Cut {
    magnitude: u32,
    /// Values alive with this magnitude.
    ties: usize,
    /// How many of them are kept.
    ties_kept: usize,
}

/// Bits resolved by each histogram, from the top of the 31: the exponent and 4 bits of the significand first.
const DIGITS: [u32; 3] = [12, 10, 9];

/// The `keep`-th largest magnitude of the values alive; `keep` is at least 1 and at most their number.
fn threshold(values: &[f32], words: &[u64], keep: usize) -> Cut {
    let mut known = 0u32; // the bits resolved so far, in place
    let mut shift = 31;
    let mut left = keep;
    let mut ties = values.len();
    for width in DIGITS {
        // few candidates: gather them instead of counting all again
        if ties <= values.len() / 16 {
            return select(values, words, known >> shift, shift, left);
        }
        let prefix = known >> shift;
        let prefix_shift = shift;
        shift -= width;
        let bins = 1usize << width;
        let parts = per_chunk(values, words, |v, w| {
            if prefix_shift == 31 {
                return first_histogram(v, w, shift, bins);
            }
            let mut counts = vec![0u32; bins];
            each_alive(v, w, |m| {
                if m >> prefix_shift == prefix {
                    counts[(m >> shift) as usize & (bins - 1)] += 1;
                }
            });
            counts
        });
        let mut counts = vec![0usize; bins];
        for part in &parts {
            for (sum, &count) in counts.iter_mut().zip(part) {
                *sum += count as usize;
            }
        }
        let mut bin = bins - 1;
        while counts[bin] < left && bin > 0 {
            left -= counts[bin];
            bin -= 1;
        }
        known |= (bin as u32) << shift;
        ties = counts[bin];
    }
    Cut {
        magnitude: known,
        ties,
        ties_kept: left,
    }
}

/// The `left`-th largest among the magnitudes whose bits from `shift` up are `prefix`.
fn select(values: &[f32], words: &[u64], prefix: u32, shift: u32, left: usize) -> Cut {
    let mut candidates = per_chunk(values, words, |v, w| {
        let mut found = Vec::new();
        each_alive(v, w, |m| {
            if m >> shift == prefix {
                found.push(m);
            }
        });
        found
    })
    .concat();
    let (above, &mut magnitude, below) = candidates.select_nth_unstable_by(left - 1, |a, b| b.cmp(a));
    let equal = |side: &[u32]| side.iter().filter(|&&m| m == magnitude).count();
    let (kept, lost) = (equal(above) + 1, equal(below));
    Cut {
        magnitude,
        ties: kept + lost,
        ties_kept: kept,
    }
}

/// Histogram of the top bits of every value. Two tables, taken in turn, so that neighbours in the same bin do
/// not wait for each other's store.
fn first_histogram(values: &[f32], words: &[u64], shift: u32, bins: usize) -> Vec<u32> {
    let mut even = vec![0u32; bins];
    let mut odd = vec![0u32; bins];
    let mask = bins - 1;
    for (block, &word) in values.chunks(64).zip(words) {
        if word == u64::MAX {
            for pair in block.chunks_exact(2) {
                even[(magnitude(pair[0]) >> shift) as usize & mask] += 1;
                odd[(magnitude(pair[1]) >> shift) as usize & mask] += 1;
            }
        } else {
            each_alive(block, &[word], |m| even[(m >> shift) as usize & mask] += 1);
        }
    }
    even.iter_mut().zip(&odd).for_each(|(a, b)| *a += b);
    even
}

/// What a chunk keeps of its values alive.
#[derive(Clone, Copy)]
struct KeepFrom {
    /// Magnitudes above this are kept; `None` keeps everything.
    above: Option<u32>,
    /// The magnitude whose ties are counted.
    equal: u32,
    /// Ties kept, from the lowest index on.
    ties: usize,
}

impl KeepFrom {
    /// Everything from `magnitude` on. A magnitude of zero keeps everything.
    fn all_ties(magnitude: u32) -> Self {
        Self {
            above: magnitude.checked_sub(1),
            equal: 0,
            ties: 0,
        }
    }
}

/// Zeroes what is not kept.
fn write(values: &mut [f32], words: &[u64], keep: &(impl Fn(usize, usize) -> KeepFrom + Sync)) {
    if values.len() <= CHUNK {
        let rule = keep(0, values.len());
        write_chunk(values, words, rule);
        return;
    }
    values
        .par_chunks_mut(CHUNK)
        .zip(words.par_chunks(CHUNK / 64))
        .enumerate()
        .for_each(|(i, (v, w))| write_chunk(v, w, keep(i, v.len())));
}

fn write_chunk(values: &mut [f32], words: &[u64], rule: KeepFrom) {
    let KeepFrom {
        above,
        equal,
        mut ties,
    } = rule;
    for (block, &word) in values.chunks_mut(64).zip(words) {
        if ties > 0 && above.is_some() {
            for (bit, v) in block.iter_mut().enumerate() {
                let (alive, m) = (word >> bit & 1 == 1, magnitude(*v));
                let tie = alive && m == equal && ties > 0;
                ties -= usize::from(tie);
                *v = if alive && (m > equal || tie) { *v } else { 0.0 };
            }
            continue;
        }
        let mut dead = !word;
        while dead != 0 {
            let bit = dead.trailing_zeros() as usize;
            let Some(v) = block.get_mut(bit) else { break };
            *v = 0.0;
            dead &= dead - 1;
        }
        if let Some(above) = above {
            for v in block {
                *v = if magnitude(*v) > above { *v } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // the values compared are copied or exact, never computed
mod tests {
    use super::*;

    fn projected(values: &[f32], support: &Mask, keep: usize) -> Vec<f32> {
        let mut out = values.to_vec();
        Unstructured { keep }.project(&mut out, support);
        out
    }

    #[test]
    fn equal_magnitudes_go_to_the_lower_index() {
        let full = Mask::full(1, 5);
        assert_eq!(
            projected(&[1.0, -1.0, 2.0, 1.0, 1.0], &full, 3),
            [1.0, -1.0, 2.0, 0.0, 0.0]
        );
        assert_eq!(projected(&[0.0; 5], &full, 3), [0.0; 5]);
    }

    #[test]
    fn ties_are_counted_across_chunks() {
        let n = CHUNK * 2 + 70;
        let keep = CHUNK + 5;
        let out = projected(&vec![0.25; n], &Mask::full(1, n), keep);
        assert!(out[..keep].iter().all(|&v| v == 0.25));
        assert!(out[keep..].iter().all(|&v| v == 0.0));
    }

    #[test]
    fn positions_outside_the_support_never_come_back() {
        let mut support = Mask::full(1, 4);
        support.set(0, false);
        assert_eq!(
            projected(&[9.0, 1.0, 2.0, 3.0], &support, 2),
            [0.0, 0.0, 2.0, 3.0]
        );
        assert_eq!(
            projected(&[9.0, 1.0, 2.0, 3.0], &support, 8),
            [0.0, 1.0, 2.0, 3.0]
        );
        assert_eq!(projected(&[9.0, 1.0, 2.0, 3.0], &support, 0), [0.0; 4]);
    }

    #[test]
    fn nan_ranks_above_infinity_and_stays() {
        let out = projected(&[f32::NAN, f32::INFINITY, 1e30, -f32::NAN], &Mask::full(1, 4), 3);
        assert!(out[0].is_nan() && out[1].is_infinite() && out[3].is_nan());
        assert_eq!(out[2].to_bits(), 0);
    }
}
