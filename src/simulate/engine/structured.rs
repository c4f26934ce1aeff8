//! Dot-product units that take at most N of every M weights along the reduction, as sparse tensor cores do.
//!
//! A tile is `rows` output channels × `cols` output positions. Its units go through their rows in lockstep,
//! `lanes / N` groups a cycle, whether or not a group keeps all N weights: what it lacks is a slot of zero. A layer
//! without zeros runs on the same lanes, `lanes` weights a cycle. Tiles follow each other without a gap, and the
//! layer ends one multiplication and ceil(log2 lanes) adders after its last step. Groups start anew at each row,
//! and the last one of a row may be short.
//!
//! All rows see the inputs of the lanes / N groups of a step, and a unit adds up all its lanes. Several groups of a
//! convolution run at once, each with rows and lanes of its own and nothing on the others' lanes: blocks along the
//! diagonal of rows × (lanes / N) ([`Diagonal`]). Columns are output positions already.

use super::diagonal::Diagonal;
use super::systolic::nm_products;
use super::{ArrayBits, ArrayEngine, ArrayRun};
use crate::compression::Mask;
use crate::hardware::Structured;
use crate::simulate::count::{Portion, fit};
use crate::simulate::spatial::{self, Room, Spatial};
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits, Weights};
use crate::units::{Overflow, add, mul, product};

impl ArrayEngine for Structured {
    fn run(&self, work: &LayerWork, _: Option<&Mask>, name: &str) -> Result<ArrayRun, SimulateError> {
        let refuse = |message| {
            Err(SimulateError::Unsupported {
                layer: work.name.into(),
                engine: name.into(),
                message,
            })
        };
        if [self.keep, self.group, self.rows, self.cols, self.lanes].contains(&0)
            || self.keep > self.group
            || !self.lanes.is_multiple_of(self.keep)
        {
            return refuse(
                "needs counts of at least 1, `keep` of at most `group` and `lanes` in multiples of `keep`; mend the profile",
            );
        }
        let dense = self.keep == self.group;
        let alive = match work.weights {
            Weights::Pattern(mask) => {
                let alive = mask.count() as u64;
                if !dense && alive < mask.len() as u64 && !self.takes(mask) {
                    return refuse(
                        "takes at most N of every M weights along the reduction and this mask keeps more; prune the layer to N:M, or add a dense engine (`keep` equal to `group`)",
                    );
                }
                if dense { mask.len() as u64 } else { alive }
            }
            Weights::Density(density) => {
                let most = f64::from(self.keep) / f64::from(self.group);
                if !dense && density < 1.0 && density > most {
                    return refuse(
                        "takes at most N of every M weights and this density is higher; prune the layer to N:M, or add a dense engine (`keep` equal to `group`)",
                    );
                }
                if dense {
                    work.nest.weights()
                } else {
                    Portion::new(density).of_up(work.nest.weights().into()) as u64
                }
            }
        };
        spatial::run(self.room(work), work, |split| run(*self, work, alive, split))
    }

    fn room(&self, work: &LayerWork) -> Room {
        let lanes = self.lanes / self.keep.max(1);
        Diagonal::room(&work.nest, self.rows.into(), lanes.into(), false)
    }

    fn splits(&self) -> bool {
        true
    }

    fn pes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols)
    }
}

impl Structured {
    /// Whether no group of the mask keeps more than N weights.
    fn takes(&self, mask: &Mask) -> bool {
        let (group, cols) = (self.group as usize, mask.cols());
        // where rows are whole groups, groups follow each other through the whole mask
        let (rows, cols) = if cols.is_multiple_of(group) {
            (1, mask.len())
        } else {
            (mask.rows(), cols)
        };
        let Some(groups) = Groups::new(group, self.keep) else {
            return (0..rows).all(|row| {
                (0..cols).step_by(group).all(|from| {
                    let to = (from + group).min(cols);
                    mask.count_in(row * cols + from..row * cols + to) <= self.keep as usize
                })
            });
        };
        (0..rows).all(|row| groups.hold(mask.words(), row * cols, (row + 1) * cols))
    }
}

/// Groups that share a word.
struct Groups {
    /// Bits of whole groups in a word.
    width: usize,
    keep: u32,
    /// Distances 1, 1, 2, 4 … over which bits spread, each with the places that have so many before them in their group.
    spread: Vec<(u32, u64)>,
}

impl Groups {
    /// `None` for groups wider than a word.
    fn new(group: usize, keep: u32) -> Option<Self> {
        let width = 64usize.checked_div(group)? * group;
        let behind = |distance: usize| {
            (0..width)
                .filter(|place| place % group >= distance)
                .fold(0, |mask, place| mask | 1 << place)
        };
        let mut spread = Vec::new();
        let mut reached = 1;
        while reached < group - 1 {
            spread.push((reached as u32, behind(reached)));
            reached *= 2;
        }
        spread.insert(0, (1, behind(1)));
        (width > 0).then_some(Self { width, keep, spread })
    }

    /// Whether every group in positions `from..to` keeps few enough.
    fn hold(&self, words: &[u64], from: usize, to: usize) -> bool {
        (from..to).step_by(self.width).all(|at| {
            let (word, shift) = (at / 64, at % 64);
            let mut bits = words[word] >> shift;
            if shift > 0 {
                bits |= words.get(word + 1).map_or(0, |next| next << (64 - shift));
            }
            let width = self.width.min(to - at);
            !self.exceeds(bits & (u64::MAX >> (64 - width)))
        })
    }

    /// Whether a group of a word has more than `keep` bits.
    #[inline]
    fn exceeds(&self, mut bits: u64) -> bool {
        for _ in 0..self.keep {
            if bits == 0 {
                return false;
            }
            // places with a bit before them in their group: all but its lowest stay
            let mut behind = 0;
            for (i, &(distance, places)) in self.spread.iter().enumerate() {
                let from = if i == 0 { bits } else { behind };
                behind |= from << distance & places;
            }
            bits &= behind;
        }
        bits != 0
    }
}

fn run(engine: Structured, work: &LayerWork, alive: u64, split: Spatial) -> Result<ArrayRun, Overflow> {
    let gemm = work.nest.gemm();
    let [keep, group, rows, cols, lanes] =
        [engine.keep, engine.group, engine.rows, engine.cols, engine.lanes].map(u64::from);
    let diagonal = Diagonal::new(&work.nest, split);
    let full = alive == work.nest.weights();
    let (slots, steps) = if full {
        (gemm.k, gemm.k.div_ceil(diagonal.share(lanes)))
    } else {
        (
            nm_products(gemm.k, keep, group)?,
            gemm.k.div_ceil(group).div_ceil(diagonal.share(lanes / keep)),
        )
    };
    let (blocks, columns) = (gemm.n.div_ceil(diagonal.share(rows)), gemm.m.div_ceil(cols));
    let peak = product(&[rows, cols, lanes])?;
    let macs = product(&[alive, gemm.m])?;
    let taken = product(&[gemm.groups, gemm.n, slots, gemm.m])?;
    let streaming = product(&[diagonal.packs(), blocks, columns, steps])?;
    let latency = 1 + u64::from(engine.lanes.next_power_of_two().trailing_zeros());
    let causes = Causes {
        compute: macs / peak,
        decode: taken / peak - macs / peak,
        unused: streaming - taken / peak,
        fill_drain: latency,
        ..Causes::default()
    };
    let index = if full {
        0
    } else {
        u64::from(engine.group.next_power_of_two().trailing_zeros())
    };
    let stored = product(&[gemm.groups, gemm.n, slots])?;
    let read = mul(stored, columns)?;
    let [input, output] = [work.activation_bits.input, work.activation_bits.output].map(u64::from);
    Ok(ArrayRun {
        cycles: add(streaming, latency)?,
        causes,
        macs,
        decoded: if full { 0 } else { read },
        // an activation goes along a row of units to each lane that picks it, a weight along a column
        hops: mul(2, macs)?,
        stored: StoredBits {
            weights: product(&[stored, work.weight_bits.into()])?,
            indices: product(&[stored, index])?,
        },
        bits: ArrayBits {
            weights: product(&[read, work.weight_bits.into()])?,
            indices: product(&[read, index])?,
            inputs: product(&[gemm.groups, gemm.m, gemm.k, blocks, input])?,
            outputs_written: fit(u128::from(product(&[gemm.groups, gemm.m, gemm.n])?) * u128::from(output))?,
            outputs_read: 0,
        },
        peak,
        spatial: split,
        ..ArrayRun::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn groups_are_those_of_a_walk() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let (mut taken, mut refused) = (0, 0);
        for case in 0..2000usize {
            let group = random.random_range(1..if case % 10 == 0 { 130 } else { 20 });
            let keep = random.random_range(1..=group);
            let (rows, cols) = (random.random_range(1..6), random.random_range(1..200));
            let cols = if case % 3 == 0 {
                group * (cols % 7 + 1)
            } else {
                cols
            };
            let density = f64::from(keep as u32) / group as f64 * random.random_range(0.2..0.8);
            let mut mask = Mask::empty(rows, cols);
            for i in 0..mask.len() {
                mask.set(i, random.random_bool(density));
            }
            let engine = Structured {
                keep: keep as u32,
                group: group as u32,
                rows: 1,
                cols: 1,
                lanes: keep as u32,
            };
            let alive = |row: usize, col: usize| usize::from(mask.get(row * cols + col));
            let slowly = (0..rows).all(|row| {
                (0..cols).step_by(group).all(|from| {
                    (from..cols.min(from + group))
                        .map(|col| alive(row, col))
                        .sum::<usize>()
                        <= keep
                })
            });
            assert_eq!(engine.takes(&mask), slowly, "{keep} of {group}, {rows} x {cols}");
            if slowly {
                taken += 1;
            } else {
                refused += 1;
            }
        }
        assert!(taken > 200 && refused > 200, "{taken} {refused}");
    }
}
