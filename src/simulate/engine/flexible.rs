//! Multipliers between a distribution network and a forwarding adder tree: SIGMA (HPCA 2020) when sparse, MAERI
//! (ASPLOS 2018) when dense; the structure and the constants are those of STONNE's model (IISWC 2021).
//!
//! A *fold* fills the multipliers with whole weight rows, one after another as they fit; a row that exceeds the P
//! multipliers takes folds of its own: P weights in the first, P − 1 in each that follows, whose first multiplier
//! passes the partial sum on. Every fold streams all output positions:
//!
//! ```text
//! fold = 1 configure + load + distribute + (positions − 1) · max(distribute, collect) + 1 multiply + height
//!        + collect + 1 write
//! load        largest number of weights behind one port (P / distribution words consecutive multipliers each)
//! distribute  largest number of different inputs behind one port, the partial sum counted in
//! height      levels of adders until the last row of the fold is summed
//! collect     rows that leave over the busiest output line
//! ```
//!
//! A row is summed at the lowest adder above all its multipliers, or one level earlier where two neighbouring
//! adders without a common parent pass at most three inputs to each other over their forwarding link. Such
//! neighbours share an output line; lines are dealt from the root down, these pairs first.
//!
//! Rows of several groups of a convolution may share a fold: each multiplier gets its own input and each row its own
//! sum whatever group it is of. Inputs of different groups are different ones behind a port. At most `multipliers`
//! groups at once; with 1 each group begins a fold.
//!
//! Zero inputs are not skipped. Where only the density of the weights is known, rows are equally long but for
//! rounding, and different inputs wait behind every port.

use super::{ArrayBits, ArrayEngine, ArrayRun};
use crate::compression::Mask;
use crate::hardware::Flexible;
use crate::simulate::count::{Portion, fit};
use crate::simulate::spatial::{self, Room, Spatial};
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits, Weights};
use crate::units::{Overflow, add, mul, product};

impl ArrayEngine for Flexible {
    fn run(&self, work: &LayerWork, _: Option<&Mask>, name: &str) -> Result<ArrayRun, SimulateError> {
        if !self.multipliers.is_power_of_two()
            || self.distribution_words == 0
            || self.distribution_words > self.multipliers
            || self.output_lines == 0
        {
            return Err(SimulateError::Unsupported {
                layer: work.name.into(),
                engine: name.into(),
                message: "needs a power of two of multipliers, and from 1 to so many words and lines; mend the profile",
            });
        }
        spatial::run(self.room(work), work, |split| {
            Run::new(*self, work, split.groups).layer()
        })
    }

    fn room(&self, work: &LayerWork) -> Room {
        Room {
            most: Spatial::groups(work.nest.g),
            blocks: self.multipliers.into(),
        }
    }

    fn splits(&self) -> bool {
        true
    }

    fn pes(&self) -> u64 {
        self.multipliers.into()
    }
}

/// The columns of the non-zeros of one weight row, ascending.
enum Row {
    /// Real positions.
    Known(Vec<u64>),
    /// Only how many.
    Count(u64),
}

impl Row {
    fn len(&self) -> u64 {
        match self {
            Self::Known(columns) => columns.len() as u64,
            Self::Count(count) => *count,
        }
    }
}

/// Part of a row that lies in one fold.
struct Part<'a> {
    /// The place of its group among those at once.
    place: u64,
    row: &'a Row,
    from: u64,
    len: u64,
}

/// The place of an adder: levels above the multipliers, and from the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Adder {
    height: u32,
    index: u64,
}

/// The adder that finishes the sum of multipliers `first` to `last`.
fn finish(first: u64, last: u64) -> Adder {
    let (mut first, mut last, mut height) = (first, last, 0);
    loop {
        height += 1;
        let (left, right) = (first / 2, last / 2);
        let inputs = last - first + 1;
        if left == right {
            return Adder { height, index: left };
        }
        // neighbours without a common parent have a link; the one with both inputs of its own adds all three
        if right == left + 1 && left % 2 == 1 && inputs <= 3 {
            let index = if first.is_multiple_of(2) { left } else { right };
            return Adder { height, index };
        }
        (first, last) = (left, right);
    }
}

/// The output line of an adder in a tree over `multipliers` (a power of two).
fn line(adder: Adder, multipliers: u64, lines: u64) -> u64 {
    let levels = multipliers.trailing_zeros();
    let level = levels.saturating_sub(adder.height);
    let pairs = |level: u32| ((1u64 << level) / 2).saturating_sub(1);
    let ends = (1u64 << level) - 1;
    if adder.index > 0 && adder.index < ends {
        let above: u64 = (0..level).map(pairs).sum();
        return (above + (adder.index - 1) / 2) % lines;
    }
    let all: u64 = (0..levels).map(pairs).sum();
    let single = if level == 0 {
        0
    } else {
        2 * u64::from(level) - 1 + u64::from(adder.index > 0)
    };
    (2 * all + single) % lines
}

struct Run<'a> {
    engine: Flexible,
    work: &'a LayerWork<'a>,
    positions: u64,
    products: u64,
    /// Groups whose rows may share a fold.
    at_once: u64,
    /// Multipliers behind one port.
    behind: u64,
    /// The number of the port at which each column was last seen.
    seen: Vec<u64>,
    port: u64,
    causes: Causes,
    /// Cycles at one a position.
    streaming: u64,
    weights: u64,
    inputs: u64,
    written: u64,
    read: u64,
}

impl<'a> Run<'a> {
    fn new(engine: Flexible, work: &'a LayerWork<'a>, at_once: u64) -> Self {
        let gemm = work.nest.gemm();
        Self {
            engine,
            work,
            positions: gemm.m,
            products: gemm.k,
            at_once,
            behind: u64::from(engine.multipliers.div_ceil(engine.distribution_words)),
            seen: Vec::new(),
            port: 0,
            causes: Causes::default(),
            streaming: 0,
            weights: 0,
            inputs: 0,
            written: 0,
            read: 0,
        }
    }

    /// Row `index` of all groups.
    fn row(&self, index: u64) -> Row {
        match self.work.weights {
            Weights::Pattern(mask) if self.engine.sparse => {
                let (from, cols) = (index as usize * mask.cols(), mask.cols());
                let mut columns = Vec::new();
                for (base, mut word) in mask.words_in(from..from + cols) {
                    while word != 0 {
                        columns.push((base + word.trailing_zeros() as usize - from) as u64);
                        word &= word - 1;
                    }
                }
                Row::Known(columns)
            }
            Weights::Density(density) if self.engine.sparse => {
                let portion = Portion::new(density);
                let upto = |row: u64| portion.of(u128::from(row) * u128::from(self.products));
                Row::Count((upto(index + 1) - upto(index)) as u64)
            }
            // whoever shares a port may ask for the same input
            _ if self.behind > 1 => Row::Known((0..self.products).collect()),
            _ => Row::Count(self.products),
        }
    }

    fn layer(mut self) -> Result<ArrayRun, Overflow> {
        let nest = self.work.nest;
        let multipliers = u64::from(self.engine.multipliers);
        if matches!(self.work.weights, Weights::Pattern(_)) || !self.engine.sparse {
            self.seen = vec![0; mul(self.products, self.at_once)? as usize];
        }
        let mut waiting: Vec<(u64, Row)> = Vec::new();
        let mut taken = 0;
        for group in 0..nest.g {
            // the place of the group among those at once
            let place = group % self.at_once;
            if place == 0 {
                self.packed(&waiting)?;
                waiting.clear();
                taken = 0;
            }
            for channel in 0..nest.k {
                let row = self.row(group * nest.k + channel);
                if row.len() == 0 {
                    continue;
                }
                if taken + row.len() > multipliers {
                    self.packed(&waiting)?;
                    waiting.clear();
                    taken = 0;
                }
                if row.len() > multipliers {
                    self.split(place, &row)?;
                } else {
                    taken += row.len();
                    waiting.push((place, row));
                }
            }
        }
        self.packed(&waiting)?;
        self.finish()
    }

    /// A fold of whole rows.
    fn packed(&mut self, rows: &[(u64, Row)]) -> Result<(), Overflow> {
        if rows.is_empty() {
            return Ok(());
        }
        let parts: Vec<_> = rows
            .iter()
            .map(|(place, row)| Part {
                place: *place,
                row,
                from: 0,
                len: row.len(),
            })
            .collect();
        // rows of a group stand together
        let groups = rows.chunk_by(|a, b| a.0 == b.0).count() as u64;
        self.inputs = add(self.inputs, mul(groups, self.products)?)?;
        self.fold(&parts, false)
    }

    /// The folds of a row that exceeds the multipliers; together they read each of its inputs once.
    fn split(&mut self, place: u64, row: &Row) -> Result<(), Overflow> {
        let multipliers = u64::from(self.engine.multipliers);
        self.inputs = add(self.inputs, self.products)?;
        let mut from = 0;
        while from < row.len() {
            let carried = from > 0;
            // with a single multiplier there is no room for the partial sum beside a weight
            let room = (multipliers - u64::from(carried)).max(1);
            let len = room.min(row.len() - from);
            self.fold(
                &[Part {
                    place,
                    row,
                    from,
                    len,
                }],
                carried,
            )?;
            from += len;
        }
        Ok(())
    }

    fn fold(&mut self, parts: &[Part], carried: bool) -> Result<(), Overflow> {
        let multipliers = u64::from(self.engine.multipliers);
        let lines = u64::from(self.engine.output_lines);
        let carry = u64::from(carried && multipliers > 1);
        let (mut at, mut height) = (0, 0);
        let mut busy: Vec<u64> = Vec::with_capacity(parts.len());
        for part in parts {
            let len = part.len + carry;
            let adder = finish(at, at + len - 1);
            height = height.max(adder.height);
            busy.push(line(adder, multipliers, lines));
            at += len;
        }
        busy.sort_unstable();
        let collect = busy.chunk_by(|a, b| a == b).map(<[u64]>::len).max().unwrap_or(1) as u64;
        let (load, distribute) = self.ports(parts, carry, at);
        let step = distribute.max(collect);
        let position = self.positions;
        self.streaming = add(self.streaming, position)?;
        // configure, load, the pipeline behind the last position
        let latency = 1 + load + 1 + u64::from(height) + 1 + distribute.min(collect);
        self.causes.fill_drain = add(self.causes.fill_drain, latency)?;
        let port = mul(position, distribute - 1)?;
        self.causes.feature_port = add(self.causes.feature_port, port)?;
        self.causes.imbalance = add(self.causes.imbalance, mul(position, step - distribute)?)?;
        self.weights = add(self.weights, at - carry)?;
        let sums = mul(position, parts.len() as u64)?;
        self.written = add(self.written, sums)?;
        if carried {
            self.read = add(self.read, sums)?;
        }
        Ok(())
    }

    /// Weights, and different inputs, behind the busiest port; `carry` is 1 with a partial sum in the first
    /// multiplier, `used` the multipliers that are taken.
    fn ports(&mut self, parts: &[Part], carry: u64, used: u64) -> (u64, u64) {
        let first = self.behind.min(used) - carry;
        let second = used.saturating_sub(self.behind).min(self.behind);
        let load = first.max(second);
        let full = self.behind.min(used);
        if self.behind == 1 {
            return (load, 1);
        }
        let (mut at, mut different, mut most) = (carry, carry, 1);
        self.port += 1;
        for part in parts {
            let Row::Known(columns) = part.row else {
                return (load, full);
            };
            let from = part.from as usize;
            let first = (part.place * self.products) as usize;
            for &column in &columns[from..from + part.len as usize] {
                if at > 0 && at % self.behind == 0 {
                    self.port += 1;
                    different = 0;
                }
                let seen = &mut self.seen[first + column as usize];
                if *seen != self.port {
                    *seen = self.port;
                    different += 1;
                    most = most.max(different);
                }
                at += 1;
            }
        }
        (load, most)
    }

    fn finish(mut self) -> Result<ArrayRun, Overflow> {
        let peak = u64::from(self.engine.multipliers);
        let work = self.work;
        let macs = product(&[self.weights, self.positions])?;
        self.causes.compute = macs / peak;
        self.causes.unused = self.streaming - self.causes.compute;
        let index = if self.engine.sparse {
            work.nest.weights()
        } else {
            0
        };
        let [input, output, sum] = [
            work.activation_bits.input,
            work.activation_bits.output,
            work.activation_bits.partial_sum,
        ]
        .map(u64::from);
        let sums = product(&[self.read, sum])?;
        let weights = product(&[self.weights, work.weight_bits.into()])?;
        Ok(ArrayRun {
            cycles: self.causes.total()?,
            causes: self.causes,
            macs,
            decoded: if self.engine.sparse { self.weights } else { 0 },
            // each product is fed by the distribution network and goes up one adder
            hops: product(&[2, macs])?,
            stored: StoredBits {
                weights,
                indices: index,
            },
            bits: ArrayBits {
                weights,
                indices: index,
                inputs: fit(u128::from(self.inputs) * u128::from(self.positions) * u128::from(input))?,
                outputs_written: add(sums, product(&[self.written - self.read, output])?)?,
                outputs_read: sums,
            },
            peak,
            spatial: Spatial::groups(self.at_once),
            ..ArrayRun::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multipliers 0 to 2 meet at height 2; 1 to 4 are split over adders 0, 1 and 2 of height 1 and meet at the
    /// root of eight; 3 and 4 have adders 1 and 2 without a common parent, whose link joins them at once.
    #[test]
    fn adders_by_hand() {
        let at = |height, index| Adder { height, index };
        assert_eq!(finish(0, 2), at(2, 0));
        assert_eq!(finish(5, 5), at(1, 2));
        assert_eq!(finish(3, 4), at(1, 2));
        assert_eq!(finish(2, 4), at(1, 1));
        assert_eq!(finish(1, 4), at(3, 0));
        assert_eq!(finish(0, 7), at(3, 0));
    }

    /// Eight multipliers: level 2 has one pair (adders 1 and 2), the other five adders stand alone.
    #[test]
    fn lines_by_hand() {
        let of = |height, index| line(Adder { height, index }, 8, 8);
        assert_eq!((of(1, 1), of(1, 2)), (0, 0));
        assert_eq!(
            [of(3, 0), of(2, 0), of(2, 1), of(1, 0), of(1, 3)],
            [2, 3, 4, 5, 6]
        );
    }
}
