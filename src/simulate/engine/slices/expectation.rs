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

pub(super) fn run(
    slices: &Slices,
    decoder: Decoder,
    work: &LayerWork,
    density: f64,
) -> Result<ArrayRun, Overflow> {
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
    let totals = Totals {
        useful: wide(positions * useful)?,
        entries: wide(positions * taken)?,
        occupied: wide(
            positions * taken * f64::from(slices.cycles_per_entry) / f64::from(slices.macs_per_pe),
        )?,
        slowest: wide(positions * one.compute)?,
        total: wide(positions * one.cycles())?,
        stored: wide(weights as f64 * one.entries_per_weight)?,
        fetched: wide(positions * groups)?,
    };
    contiguous::finish(slices, decoder, work, totals)
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
