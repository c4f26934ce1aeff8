//! Contiguous slices of a layer of which only the density is known: expectations over uniformly random
//! positions, and the interval around them.
//!
//! The slots of a slice are distributed as [`SliceSlots`] says, with F for their distribution. The slowest of N PEs
//! lies below x with probability F(x)^N; it is expected where F is (N − 0.375)/(N + 0.25) (Blom's order statistic).
//! An expectation and both ends of an interval are the same functions of three such quantiles, so that the
//! expectation lies in its interval; the ends are rounded outwards to whole slots, the expectation is not rounded.

use super::super::ArrayRun;
use super::contiguous::{self, Totals};
use super::decoder::{RICE_BITS, width};
use super::held::{Slice, entry_bits};
use super::{Decoder, Slices};
use crate::hardware::Synchronisation;
use crate::simulate::LayerWork;
use crate::simulate::count::round_up;
use crate::units::Overflow;
use statrs::distribution::{ContinuousCDF, Normal};

/// What is asked of a distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    Mean,
    /// The value not exceeded with this probability, rounded downwards.
    Low(f64),
    /// The same, rounded upwards.
    High(f64),
}

impl At {
    /// Standard deviations from the mean.
    fn deviations(self) -> f64 {
        match self {
            Self::Mean => 0.0,
            Self::Low(p) | Self::High(p) => Normal::standard().inverse_cdf(p),
        }
    }

    /// `cycles` of a count that is whole in each run: between whole ones the expectation is drawn straight.
    fn whole(self, count: f64, cycles: impl Fn(f64) -> f64) -> f64 {
        let count = count.max(0.0);
        let low = count.floor();
        match self {
            Self::Low(_) => cycles(low),
            Self::High(_) => cycles(count.ceil()),
            Self::Mean => cycles(low) + (count - low) * (cycles(low + 1.0) - cycles(low)),
        }
    }

    /// Whichever of the least, the mean and the most of a value that differs between PEs.
    fn of(self, [least, mean, most]: [f64; 3]) -> f64 {
        match self {
            Self::Mean => mean,
            Self::Low(_) => least,
            Self::High(_) => most,
        }
    }
}

/// What a layer's PEs hold beside entries, by their place in the layer alone.
struct Streams {
    /// Index bits of an entry.
    entry_bits: u64,
    /// Pointers of a PE: least, mean and most.
    lines: [f64; 3],
    /// Index bits of a PE beside those of its entries: least, mean and most.
    beside: [f64; 3],
    /// Their standard deviation, where they are random.
    deviation: f64,
    once: u64,
}

impl Streams {
    fn new(decoder: Decoder, work: &LayerWork, pes: u64, density: f64, fullest: f64) -> Self {
        let (weights, cols) = (work.nest.weights(), work.nest.gemm().k);
        let rows = work.nest.g * work.nest.k;
        let slice = weights as f64 / pes as f64;
        let over = |of: &dyn Fn(Slice) -> u64| {
            let (mut least, mut sum, mut most) = (u64::MAX, 0.0, 0);
            for i in 0..pes {
                let found = of(Slice::new(i, pes, weights, cols));
                (least, most) = (least.min(found), most.max(found));
                sum += found as f64;
            }
            [least as f64, sum / pes as f64, most as f64]
        };
        let lines = match decoder {
            Decoder::Csr | Decoder::Csc => over(&|slice| slice.lines(decoder)),
            _ => [0.0; 3],
        };
        let pointer = width(fullest.ceil() as u64 + 1) as f64;
        let beside = match decoder {
            Decoder::Bitmap => [slice.floor(), slice, slice.ceil()],
            Decoder::Csr | Decoder::Csc => {
                let bits = |lines: f64| if lines > 0.0 { (lines + 1.0) * pointer } else { 0.0 };
                lines.map(bits)
            }
            Decoder::Blocks {
                rows: high,
                cols: wide,
            } => over(&|slice| slice.blocks(high.min(rows), wide)),
            Decoder::Rice => [rice_bits(slice, density).0; 3],
            Decoder::None | Decoder::Relative(_) | Decoder::Coordinate => [0.0; 3],
        };
        Self {
            entry_bits: entry_bits(decoder, rows, cols, pes),
            lines,
            beside,
            deviation: if decoder == Decoder::Rice {
                rice_bits(slice, density).1
            } else {
                0.0
            },
            once: if decoder == Decoder::Rice { RICE_BITS } else { 0 },
        }
    }
}

/// Mean and standard deviation of the bits of a slice's gaps, under the parameter k that makes them fewest.
///
/// A gap G has a quotient Q of 2^k, geometric, and an independent rest: a renewal process with reward 1 + k + Q.
fn rice_bits(n: f64, q: f64) -> (f64, f64) {
    let p = 1.0 - q;
    (0..1u32 << RICE_BITS)
        .map(|k| {
            let (width, reach) = (f64::from(k + 1), f64::from(k).exp2());
            let ratio = p.powf(reach);
            let quotients = ratio / ((1.0 - ratio) * (1.0 - ratio));
            let rest = (p / (q * q) - reach * reach * quotients).max(0.0);
            let rate = q * (width + ratio / (1.0 - ratio));
            let slope = 1.0 - rate * reach;
            let variance = n * q * (slope * slope * quotients + rate * rate * rest);
            (n * q * width + reaches(n, q, reach), variance.sqrt())
        })
        .fold(
            (f64::INFINITY, 0.0),
            |best, found| if found.0 < best.0 { found } else { best },
        )
}

/// Expected Σ floor(zeros before a non-zero / `reach`) over the non-zeros of a slice of n positions: one at position i
/// has one for each m with m · reach zeros before it in its slice.
fn reaches(n: f64, q: f64, reach: f64) -> f64 {
    let ratio = (1.0 - q).powf(reach);
    let (mut sum, mut portion, mut before) = (0.0, ratio, reach);
    while before < n && portion > 1e-15 {
        sum += (n - before) * q * portion;
        portion *= ratio;
        before += reach;
    }
    sum
}

pub(super) fn run(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    density: f64,
) -> Result<ArrayRun, Overflow> {
    let totals = Model::new(slices, decoder, work, density).totals(At::Mean)?;
    contiguous::finish(slices, decoder, work, totals)
}

/// The runs at both ends of the interval in which the cycles of a uniformly random mask lie with probability `level`.
///
/// The feature port's groups are normal, and so are the entries of all PEs together, which the memories load. Each
/// end is the later of PEs and port, with the entries of the same end.
pub(super) fn interval(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    density: f64,
    level: f64,
) -> Result<[ArrayRun; 2], Overflow> {
    let model = Model::new(slices, decoder, work, density);
    let tail = (1.0 - level) / 2.0;
    let end = |at| contiguous::finish(slices, decoder, work, model.totals(at)?);
    Ok([end(At::Low(tail))?, end(At::High(1.0 - tail))?])
}

/// A layer of a density on contiguous slices.
struct Model<'a> {
    slices: &'a Slices,
    weights: f64,
    density: f64,
    positions: f64,
    /// Portion of entries with a place that take a slot.
    active: f64,
    /// PEs with weights.
    pes: f64,
    /// Slots of a PE at an output position, and its stored entries.
    slots: SliceSlots,
    stored: SliceSlots,
    streams: Streams,
}

impl<'a> Model<'a> {
    fn new(slices: &'a Slices, decoder: Decoder, work: &LayerWork, density: f64) -> Self {
        let weights = work.nest.weights();
        let active = if slices.skip_zero_activations {
            work.activation_density
        } else {
            1.0
        };
        let pes = u64::from(slices.pes).min(weights);
        let slots = |active| SliceSlots::new(decoder, work, pes as f64, density, active);
        let stored = slots(1.0);
        let fullest = stored.quantile(blom(pes as f64));
        Self {
            slices,
            weights: weights as f64,
            density,
            positions: work.nest.gemm().m as f64,
            active,
            pes: pes as f64,
            slots: if active < 1.0 { slots(active) } else { stored },
            stored,
            streams: Streams::new(decoder, work, pes, density, fullest),
        }
    }

    fn totals(&self, at: At) -> Result<Totals, Overflow> {
        let (slices, streams, positions) = (self.slices, &self.streams, self.positions);
        let (lanes, each) = (f64::from(slices.macs_per_pe), f64::from(slices.cycles_per_entry));
        let barrier = slices.synchronisation == Synchronisation::Barrier;
        let probability = match at {
            At::Mean => blom(self.pes),
            At::Low(p) | At::High(p) => p.powf(1.0 / self.pes),
        };
        let end = self.slots.quantile(probability);
        let random = streams.deviation * Normal::standard().inverse_cdf(probability);
        let (lines, beside) = (at.of(streams.lines), (at.of(streams.beside) + random).max(0.0));
        let busy = |slots: f64, entries: f64| {
            let bits = entries * streams.entry_bits as f64 + beside;
            let decode = slices
                .decode_bits_per_cycle
                .map_or(0.0, |rate| at.whole(bits, |bits| (bits / f64::from(rate)).ceil()));
            (slots * each + lines).max(decode)
        };
        let slowest = if barrier || self.active == 1.0 {
            // every position takes whole slots, active non-zeros rounded up
            let rounded = if self.active < 1.0 { end + 0.5 } else { end };
            positions * at.whole(rounded, |entries| busy((entries / lanes).ceil(), entries))
        } else {
            // positions differ by one slot; their lanes fill by half on average
            let end = end.max(0.0);
            positions * busy((end + (lanes - 1.0) / 2.0) / lanes, end)
        };
        let (fetched, port) = slices.feature_port.map_or((0.0, 0.0), |port| {
            let (mean, deviation) = groups(self.weights, self.density, f64::from(port.group));
            let alive = mean + deviation * at.deviations();
            let words = f64::from(port.words_per_cycle);
            let cycles = if barrier {
                positions * at.whole(alive, |alive| (alive / words).ceil())
            } else {
                at.whole(alive, |alive| positions * alive / words)
            };
            (mean, cycles)
        });
        let taken = self.pes * self.slots.stored();
        let occupied = positions * taken * each / lanes;
        let wide = |value: f64| round_up(value).map(u128::from);
        Ok(Totals {
            useful: wide(positions * self.weights * self.density * self.active)?,
            entries: wide(positions * taken)?,
            occupied: wide(occupied)?,
            busy: wide(occupied + positions * self.pes * streams.lines[1])?,
            slowest: wide(slowest)?,
            total: wide(slowest.max(port))?,
            stored: wide(at.whole(self.stored.of_all(self.pes, at.deviations()), |count| count))?,
            fetched: wide(positions * fetched)?,
            entry_bits: streams.entry_bits,
            beside: wide(self.pes * streams.beside[1])?,
            once: streams.once,
        })
    }
}

/// The probability below which the largest of `n` is expected.
fn blom(n: f64) -> f64 {
    (n - 0.375) / (n + 0.25)
}

/// The slots that one slice of n positions takes at an output position.
///
/// Counting the fillers after the last non-zero as well, they are a renewal process with rewards (a non-zero every
/// Geometric(q) positions, worth its own slot and those of the F fillers before it, geometric with ratio p^L), and so
/// normal; less the share of the variance that the known number of non-zeros of the layer takes away. The fillers after
/// the last non-zero are not stored: their number, geometric with the same ratio, is taken off. The mean is exact.
/// Blocks are stored whole where any of their positions is alive: binomial, m positions at a time.
#[derive(Debug, Clone, Copy)]
struct SliceSlots {
    /// Positions of the slice.
    most: f64,
    /// Mean and standard deviation with the fillers after the last non-zero.
    mean: f64,
    deviation: f64,
    /// The variance that the known number of non-zeros takes away from each PE's.
    known: f64,
    /// p^L.
    ratio: f64,
}

impl SliceSlots {
    fn new(decoder: Decoder, work: &LayerWork, pes: f64, q: f64, active: f64) -> Self {
        let n = work.nest.weights() as f64 / pes;
        let p = 1.0 - q;
        if let Decoder::Blocks { rows, cols } = decoder {
            let (high, wide) = (work.nest.g * work.nest.k, work.nest.gemm().k);
            return Self::of_blocks((rows.min(high), cols.min(wide)), (high, wide), n, pes, q, active);
        }
        let (reach, ratio) = if decoder.span() > 16 {
            (0.0, 0.0)
        } else {
            let reach = f64::from(1u32 << decoder.span());
            (reach, p.powf(reach))
        };
        let fillers = if reach > 0.0 { reaches(n, q, reach) } else { 0.0 };
        let last = ratio / (1.0 - ratio);
        let variance_of_fillers = last / (1.0 - ratio);
        let rate = q * (active + last);
        let spread = p / (q * q);
        let variance =
            n * q * (variance_of_fillers * (1.0 - 2.0 * rate * reach) + rate * rate * spread).max(0.0);
        let with_nonzeros = n * q * q * (rate * spread - reach * variance_of_fillers);
        let known = with_nonzeros * with_nonzeros / (n * p * q) / pes;
        Self {
            most: n.ceil(),
            mean: n * q * active + fillers + last,
            deviation: (variance - known).max(0.0).sqrt(),
            known,
            ratio,
        }
    }

    /// Blocks of `size` rows and columns in a layer of `shape`; those at its edges are cut off there.
    fn of_blocks(size: (u64, u64), shape: (u64, u64), n: f64, pes: f64, q: f64, active: f64) -> Self {
        let p = 1.0 - q;
        // parts along one dimension: (length, how many)
        let parts = |size: u64, whole: u64| {
            [
                (size, whole / size),
                (whole % size, u64::from(!whole.is_multiple_of(size))),
            ]
        };
        let mut stored = 0.0;
        for (high, down) in parts(size.0, shape.0) {
            for (wide, across) in parts(size.1, shape.1) {
                let positions = (high * wide) as f64;
                stored += (down * across) as f64 * positions * (1.0 - p.powf(positions));
            }
        }
        let kept = stored / (shape.0 * shape.1) as f64;
        // of the rows of a block a slice shorter than them holds only some
        let rows = (n / shape.1 as f64).clamp(1.0, size.0 as f64);
        let together = (size.1 as f64 * rows).min(n);
        let variance = n * together * kept * (1.0 - kept) * active * active;
        let with_nonzeros = n * together * q * (1.0 - kept) * active;
        let known = (with_nonzeros * with_nonzeros / (n * p * q) / pes).min(variance);
        Self {
            most: n.ceil(),
            mean: n * kept * active,
            deviation: (variance - known).max(0.0).sqrt(),
            known,
            ratio: 0.0,
        }
    }

    /// The mean of what is stored.
    fn stored(&self) -> f64 {
        self.mean - self.ratio / (1.0 - self.ratio)
    }

    /// The slots of all `pes` slices together, `z` standard deviations above their mean. The known number of non-zeros
    /// takes away from their sum what it takes from a PE, and from each pair of PEs as much again.
    fn of_all(&self, pes: f64, z: f64) -> f64 {
        let last = self.ratio / (1.0 - self.ratio);
        let apart = self.deviation * self.deviation - (pes - 1.0) * self.known + last / (1.0 - self.ratio);
        pes * self.stored() + z * (pes * apart.max(0.0)).sqrt()
    }

    /// The probability of at most `x` slots. Where a slot is little beside the deviation, trailing fillers are taken
    /// several at a time, at their mean.
    fn below(&self, x: f64) -> f64 {
        let normal = Normal::standard();
        let step = (0.25 * self.deviation).floor().max(1.0);
        let rest = self.ratio.powf(step);
        let offset = self.ratio / (1.0 - self.ratio) - step * rest / (1.0 - rest);
        let (mut sum, mut left, mut fillers) = (0.0, 1.0, offset);
        loop {
            let z = (x + fillers - self.mean) / self.deviation;
            if z > 8.0 || left < 1e-12 {
                return sum + left;
            }
            sum += left * (1.0 - rest) * normal.cdf(z);
            left *= rest;
            fillers += step;
        }
    }

    /// The slots that are not exceeded with this probability: a closed form without fillers, else by false position
    /// kept between two ends.
    fn quantile(&self, probability: f64) -> f64 {
        let normal = |mean: f64| mean + self.deviation * Normal::standard().inverse_cdf(probability);
        if self.ratio < 1e-12 || self.deviation <= 0.0 {
            return normal(self.stored()).clamp(0.0, self.most);
        }
        // with all trailing fillers it is no less, without those of nearly every slice no more
        let (mut high, mut low) = (normal(self.mean).max(0.0), -1.0);
        let error = |x: f64| self.below(x) - probability;
        let (mut above, mut under) = (error(high), error(low));
        if above <= 0.0 {
            return high.min(self.most);
        }
        if under >= 0.0 {
            return 0.0;
        }
        let mut side = 0;
        for _ in 0..60 {
            if high - low < 1e-7 * high.max(1.0) {
                break;
            }
            let middle = (low * above - high * under) / (above - under);
            let found = error(middle);
            if found > 0.0 {
                (high, above) = (middle, found);
                under *= if side == 1 { 0.5 } else { 1.0 };
                side = 1;
            } else {
                (low, under) = (middle, found);
                above *= if side == -1 { 0.5 } else { 1.0 };
                side = -1;
            }
            if found.abs() < 1e-12 {
                high = middle;
                break;
            }
        }
        high.clamp(0.0, self.most)
    }
}

/// Mean and standard deviation of the groups of `size` weights with any non-zero, the number of non-zeros being known.
fn groups(weights: f64, q: f64, size: f64) -> (f64, f64) {
    let p = 1.0 - q;
    let (count, none) = (weights / size, p.powf(size));
    let variance = none * (1.0 - none) - size * q * none * none / p;
    (count * (1.0 - none), (count * variance.max(0.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected reaches of a short slice, over all its masks.
    #[test]
    fn reaches_of_all_masks() {
        for (n, q, reach) in [(10u32, 0.2f64, 2u32), (9, 0.5, 1), (12, 0.1, 4), (7, 0.3, 8)] {
            let mut sum = 0.0;
            for mask in 0..1u32 << n {
                let (mut zeros, mut found) = (0, 0);
                for i in 0..n {
                    if mask >> i & 1 == 1 {
                        found += zeros / reach;
                        zeros = 0;
                    } else {
                        zeros += 1;
                    }
                }
                let ones = f64::from(mask.count_ones());
                sum += f64::from(found) * q.powf(ones) * (1.0 - q).powf(f64::from(n) - ones);
            }
            let found = reaches(n.into(), q, reach.into());
            assert!((found - sum).abs() < 1e-12, "{n} {q} {reach}: {found} {sum}");
        }
    }

    /// What is found is what the distribution says, and it rises with the probability.
    #[test]
    fn quantiles_invert_the_distribution() {
        for (mean, deviation, ratio) in [
            (30.0, 4.0, 0.6),
            (200.0, 20.0, 0.95),
            (3.0, 0.8, 0.1),
            (9.0, 2.0, 0.98),
        ] {
            let slots = SliceSlots {
                most: 1e9,
                mean,
                deviation,
                known: 0.0,
                ratio,
            };
            let mut before = -1.0;
            for probability in [0.025, 0.3, 0.5, 0.9, 0.99, 0.9999] {
                let x = slots.quantile(probability);
                assert!(x >= before, "{x} after {before}");
                before = x;
                let found = slots.below(x);
                assert!(
                    x == 0.0 || (found - probability).abs() < 1e-6,
                    "{mean}: {found} at {x}, {probability}"
                );
            }
        }
    }
}
