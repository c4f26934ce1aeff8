//! Contiguous slices of a layer of which only the density is known: expectations over uniformly random
//! positions.
//!
//! With p = 1 − q the portion of zeros and L = 2^k the reach of an index, the gap between entries is
//! D = min(Geometric(q), L), with mean μ = (1 − p^L)/q and variance v. A weight makes 1/μ entries. The slowest of
//! N PEs with n weights each lies z standard deviations above the mean, z = Φ⁻¹((N − 0.375)/(N + 0.25)) (Blom's
//! normal order statistic), and a count of renewals over n weights has the relative deviation sqrt(v/(μ·n)).

use super::super::ArrayRun;
use super::contiguous::{self, Totals};
use super::{Decoder, Slices};
use crate::hardware::Synchronisation;
use crate::simulate::LayerWork;
use crate::simulate::count::round_up;
use crate::units::Overflow;
use statrs::distribution::{ContinuousCDF, Normal};

/// What to expect of one output position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    /// Entries per weight, fillers included.
    pub entries_per_weight: f64,
    /// Entries of the slowest PE over the mean PE, at least 1.
    pub imbalance: f64,
    /// Cycles the slowest PE needs.
    pub compute: f64,
    /// Cycles the feature port needs; 0 without one.
    pub feature_port: f64,
}

impl Expectation {
    /// Cycles of one output position.
    #[must_use]
    pub fn cycles(&self) -> f64 {
        self.compute.max(self.feature_port)
    }
}

/// The expectation for `weights` uniformly random weights of density `density` in (0, 1) on contiguous slices
/// whose entries span at most 2^`span` positions (63: any gap). `active` is the portion of non-zeros that meet
/// an active input, 1 without zero skipping.
#[must_use]
pub fn expected(slices: &Slices, weights: u64, density: f64, span: u32, active: f64) -> Expectation {
    let (q, p) = (density, 1.0 - density);
    let pes = f64::from(slices.pes).min(weights as f64);
    let slice = weights as f64 / pes;
    let (mean, variance) = gap(q, span);
    let entries = 1.0 / mean;
    let z = Normal::standard()
        .inverse_cdf((pes - 0.375) / (pes + 0.25))
        .max(0.0);
    let imbalance = 1.0 + z * (variance.max(0.0) / (mean * slice)).sqrt();
    // a skipped input saves the slot of its non-zero, never that of a filler
    let taken = entries - q * (1.0 - active);
    let compute =
        slice * taken * imbalance * f64::from(slices.cycles_per_entry) / f64::from(slices.macs_per_pe);
    let feature_port = slices.feature_port.map_or(0.0, |port| {
        let group = f64::from(port.group);
        weights as f64 / group * (1.0 - p.powf(group)) / f64::from(port.words_per_cycle)
    });
    Expectation {
        entries_per_weight: entries,
        imbalance,
        compute,
        feature_port,
    }
}

/// Mean and variance of the gap between entries.
fn gap(q: f64, span: u32) -> (f64, f64) {
    let p = 1.0 - q;
    if span > 16 {
        return (1.0 / q, p / (q * q));
    }
    let reach = f64::from(1u32 << span);
    let rest = p.powf(reach); // probability of `reach` zeros in a row
    let mean = (1.0 - rest) / q;
    // Σ_{j<L} j²·p^(j−1)·q + L²·p^(L−1), summed in closed form by parts: E[D²] = Σ_{j<L} (2j + 1)·p^j
    let second = {
        let sum = (1.0 - rest) / q;
        let weighted = p * (1.0 - rest) / (q * q) - reach * rest / q;
        2.0 * weighted + sum
    };
    (mean, second - mean * mean)
}

/// The runs at both ends of the interval in which the cycles of a uniformly random mask lie with probability `level`.
///
/// The slots of a PE are distributed as [`SliceSlots`] says, with F for the distribution, and the slowest of N PEs lies
/// below x with probability F(x)^N; the feature port's groups are normal, and so are the entries of all PEs together,
/// which the memories load. Each end is the later of PEs and port, with the entries of the same end.
pub(super) fn interval(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    density: f64,
    level: f64,
) -> Result<[ArrayRun; 2], Overflow> {
    let weights = work.nest.weights() as f64;
    let positions = work.nest.gemm().m as f64;
    let barrier = slices.synchronisation == Synchronisation::Barrier;
    let active = if slices.skip_zero_activations {
        work.activation_density
    } else {
        1.0
    };
    let pes = f64::from(slices.pes).min(weights);
    let slice = SliceSlots::new(weights / pes, pes, density, decoder.span(), active);
    let (lanes, each) = (f64::from(slices.macs_per_pe), f64::from(slices.cycles_per_entry));
    let stored = SliceSlots::new(weights / pes, pes, density, decoder.span(), 1.0);
    let tail = (1.0 - level) / 2.0;
    let mut expected = Vec::with_capacity(2);
    for probability in [tail, 1.0 - tail] {
        let z = |p: f64| Normal::standard().inverse_cdf(p);
        let end = slice.quantile(probability.powf(1.0 / pes));
        let up = probability > 0.5;
        let whole = |x: f64| if up { (x - 0.5).ceil() } else { (x + 0.5).floor() }.max(0.0);
        let busy = if barrier || active == 1.0 {
            // every position takes whole slots, active non-zeros rounded up
            let rounded = if active < 1.0 { end + 0.5 } else { end };
            positions * (whole(rounded) / lanes).ceil() * each
        } else {
            // positions differ by one slot; their lanes fill by half on average
            positions * (end.max(0.0) + (lanes - 1.0) / 2.0) / lanes * each
        };
        let port = slices.feature_port.map_or(0.0, |port| {
            let (mean, deviation) = groups(weights, density, f64::from(port.group));
            let alive = whole(mean + deviation * z(probability));
            let words = f64::from(port.words_per_cycle);
            if barrier {
                positions * (alive / words).ceil()
            } else {
                (positions * alive / words).ceil()
            }
        });
        let entries = whole(stored.of_all(pes, z(probability)));
        expected.push((busy, busy.max(port), entries));
    }
    let totals = totals(slices, decoder, work, density)?;
    let at = |(slowest, total, stored): (f64, f64, f64)| {
        let end = Totals {
            slowest: u128::from(round_up(slowest)?),
            total: u128::from(round_up(total)?),
            stored: u128::from(round_up(stored)?),
            ..totals
        };
        contiguous::finish(slices, decoder, work, end)
    };
    Ok([at(expected[0])?, at(expected[1])?])
}

/// The slots that one slice of n positions takes at an output position.
///
/// Counting the fillers after the last non-zero as well, they are a renewal process with rewards (a non-zero every
/// Geometric(q) positions, worth its own slot and those of the F fillers before it, geometric with ratio p^L), and so
/// normal; less the share of the variance that the known number of non-zeros of the layer takes away. The fillers after
/// the last non-zero are not stored: their number, geometric with the same ratio, is taken off. The mean is exact.
#[derive(Debug, Clone, Copy)]
struct SliceSlots {
    /// Mean and standard deviation with the fillers after the last non-zero.
    mean: f64,
    deviation: f64,
    /// The variance that the known number of non-zeros takes away from each PE's.
    known: f64,
    /// p^L.
    ratio: f64,
}

impl SliceSlots {
    fn new(n: f64, pes: f64, q: f64, span: u32, active: f64) -> Self {
        let p = 1.0 - q;
        let (reach, ratio) = if span > 16 {
            (0.0, 0.0)
        } else {
            let reach = f64::from(1u32 << span);
            (reach, p.powf(reach))
        };
        // a non-zero at position i has one filler for each m with m·L zeros before it in its slice
        let mut fillers = 0.0;
        let mut portion = ratio;
        let mut before = reach;
        while before < n && portion > 1e-15 {
            fillers += (n - before) * q * portion;
            portion *= ratio;
            before += reach;
        }
        let last = ratio / (1.0 - ratio);
        let variance_of_fillers = last / (1.0 - ratio);
        let rate = q * (active + last);
        let spread = p / (q * q);
        let variance =
            n * q * (variance_of_fillers * (1.0 - 2.0 * rate * reach) + rate * rate * spread).max(0.0);
        let with_nonzeros = n * q * q * (rate * spread - reach * variance_of_fillers);
        let known = with_nonzeros * with_nonzeros / (n * p * q) / pes;
        Self {
            mean: n * q * active + fillers + last,
            deviation: (variance - known).max(1e-12).sqrt(),
            known,
            ratio,
        }
    }

    /// The slots of all `pes` slices together, `z` standard deviations above their mean. The known number of non-zeros
    /// takes away from their sum what it takes from a PE, and from each pair of PEs as much again.
    fn of_all(&self, pes: f64, z: f64) -> f64 {
        let last = self.ratio / (1.0 - self.ratio);
        let apart = self.deviation * self.deviation - (pes - 1.0) * self.known + last / (1.0 - self.ratio);
        pes * (self.mean - last) + z * (pes * apart.max(0.0)).sqrt()
    }

    /// The probability of at most `x` slots.
    fn below(&self, x: f64) -> f64 {
        let normal = Normal::standard();
        let (mut sum, mut left, mut fillers) = (0.0, 1.0, 0.0);
        loop {
            let z = (x + fillers - self.mean) / self.deviation;
            if z > 8.0 || left < 1e-15 {
                return sum + left;
            }
            sum += left * (1.0 - self.ratio) * normal.cdf(z);
            left *= self.ratio;
            fillers += 1.0;
        }
    }

    /// The slots that are not exceeded with this probability, by bisection.
    fn quantile(&self, probability: f64) -> f64 {
        let mut high = self.mean + 10.0 * self.deviation;
        let mut low = -high;
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.below(middle) < probability {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

/// Mean and standard deviation of the groups of `size` weights with any non-zero, the number of non-zeros being known.
fn groups(weights: f64, q: f64, size: f64) -> (f64, f64) {
    let p = 1.0 - q;
    let (count, none) = (weights / size, p.powf(size));
    let variance = none * (1.0 - none) - size * q * none * none / p;
    (count * (1.0 - none), (count * variance.max(0.0)).sqrt())
}

pub(super) fn run(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    density: f64,
) -> Result<ArrayRun, Overflow> {
    contiguous::finish(slices, decoder, work, totals(slices, decoder, work, density)?)
}

/// What to expect of the whole layer.
fn totals(slices: &Slices, decoder: Decoder, work: &LayerWork, density: f64) -> Result<Totals, Overflow> {
    let weights = work.nest.weights();
    let positions = work.nest.gemm().m as f64;
    let active = if slices.skip_zero_activations {
        work.activation_density
    } else {
        1.0
    };
    let one = expected(slices, weights, density, decoder.span(), active);
    let useful = weights as f64 * density * active;
    let taken = weights as f64 * (one.entries_per_weight - density * (1.0 - active));
    let groups = slices
        .feature_port
        .map_or(0.0, |p| one.feature_port * f64::from(p.words_per_cycle));
    let wide = |value: f64| round_up(value).map(u128::from);
    Ok(Totals {
        useful: wide(positions * useful)?,
        entries: wide(positions * taken)?,
        occupied: wide(
            positions * taken * f64::from(slices.cycles_per_entry) / f64::from(slices.macs_per_pe),
        )?,
        slowest: wide(positions * one.compute)?,
        total: wide(positions * one.cycles())?,
        stored: wide(weights as f64 * one.entries_per_weight)?,
        fetched: wide(positions * groups)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The closed form of the gap's moments against their sums.
    #[test]
    fn moments_of_the_gap() {
        for (q, span) in [(0.1, 4), (0.5, 4), (0.9, 4), (0.02, 5), (0.3, 1)] {
            let p: f64 = 1.0 - q;
            let reach = 1 << span;
            let probability = |j: i32| {
                if j < reach {
                    p.powi(j - 1) * q
                } else {
                    p.powi(reach - 1)
                }
            };
            let mean: f64 = (1..=reach).map(|j| f64::from(j) * probability(j)).sum();
            let second: f64 = (1..=reach).map(|j| f64::from(j * j) * probability(j)).sum();
            let (m, v) = gap(q, span);
            assert!((m - mean).abs() < 1e-9 * mean, "{m} {mean}");
            assert!((v - (second - mean * mean)).abs() < 1e-6 * second, "{v}");
        }
    }
}
