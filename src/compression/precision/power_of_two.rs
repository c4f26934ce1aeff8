//! The scale of the levels ±α·2^k with the least squared error.
//!
//! At fixed levels m the best scale is α = ⟨a, m⟩ / ⟨m, m⟩ with the error ‖a‖² − ⟨a, m⟩² / ⟨m, m⟩; levels and scale in
//! turn never raise it (METHODS §0). That stops in a local minimum, so it starts from many scales: from every scale at
//! which some magnitude changes its level where these are few, which is exact, and else from 64 scales an octave.
//!
//! At the optimum m ≥ 1 gives α ≤ rms(a). A clipped magnitude pulls α up by T(a − Tα), T the largest multiple, another
//! pulls it down by at most T·αT/4, so Σa − nTα ≤ nTα/4 and α ≥ mean(a) / 1.25T.

use rayon::prelude::*;

/// Scales at which levels change, at most, for all of them to be tried.
const FEW: usize = 4096;
/// Starts in each octave otherwise.
const OCTAVE: f64 = 64.0;
/// Rounds of levels and scale in turn.
const ROUNDS: usize = 20;

/// The power k of the nearest of 1, 2, 4, … to a number of steps; half way goes to the larger.
pub(super) fn nearest(steps: f64) -> u32 {
    // 1.5·2^k lies half way: two f32 divide in f64 without crossing it
    let halves = steps / 1.5;
    if halves >= 1.0 {
        // the exponent of a number of at least 1
        ((halves.to_bits() >> 52) as u32).saturating_sub(1023) + 1
    } else {
        0
    }
}

/// The best scale for these magnitudes (finite, not negative) and number of powers; `None` without magnitudes, zero
/// when all are zero.
pub(super) fn best_scale(mut magnitudes: Vec<f32>, powers: u32) -> Option<f64> {
    magnitudes.par_sort_unstable_by(f32::total_cmp);
    let mut sums = Vec::with_capacity(magnitudes.len() + 1);
    let (mut sum, mut squares) = (0.0, 0.0);
    sums.push(0.0);
    for &a in &magnitudes {
        sum += f64::from(a);
        squares += f64::from(a).powi(2);
        sums.push(sum);
    }
    let n = magnitudes.len() as f64;
    if n == 0.0 {
        return None;
    }
    if sum == 0.0 || powers == 1 {
        return Some(sum / n);
    }
    let sorted = Sorted {
        magnitudes,
        sums,
        powers,
    };
    let top = f64::from(powers - 1).exp2();
    let (low, high) = (sum / n / (1.25 * top), (squares / n).sqrt());
    let starts: Vec<f64> = if sorted.magnitudes.len() * powers as usize <= FEW {
        let edges = sorted
            .magnitudes
            .iter()
            .flat_map(|&a| (0..powers - 1).map(move |k| f64::from(a) / (1.5 * f64::from(k).exp2())));
        // just above each edge and below the least stand all assignments there are
        edges
            .filter(|&edge| edge > 0.0)
            .flat_map(|edge| [edge * (1.0 - 1e-12), edge * (1.0 + 1e-12)])
            .chain([low, high])
            .collect()
    } else {
        let count = ((high / low).log2() * OCTAVE).ceil().max(1.0);
        (0..=count as usize)
            .map(|i| low * (high / low).powf(i as f64 / count))
            .collect()
    };
    let polished: Vec<(f64, f64)> = starts.into_par_iter().map(|start| sorted.polish(start)).collect();
    let best = polished.into_iter().fold(
        (0.0, f64::NEG_INFINITY),
        |best, p| if p.1 > best.1 { p } else { best },
    );
    Some(best.0)
}

/// Magnitudes in ascending order; `sums[i]` is the sum of the first i.
struct Sorted {
    magnitudes: Vec<f32>,
    sums: Vec<f64>,
    powers: u32,
}

impl Sorted {
    /// The least-squares scale at the levels of a scale, and by how much it lowers the error from ‖a‖².
    fn step(&self, scale: f64) -> (f64, f64) {
        let n = self.magnitudes.len();
        let (mut dot, mut norm, mut below) = (self.sums[n], n as f64, 0);
        for k in 0..self.powers - 1 {
            let power = f64::from(k).exp2();
            let edge = 1.5 * power * scale;
            below += self.magnitudes[below..].partition_point(|&a| f64::from(a) < edge);
            if below == n {
                break;
            }
            // from 2^k to 2^(k+1)
            dot += power * (self.sums[n] - self.sums[below]);
            norm += 3.0 * power * power * (n - below) as f64;
        }
        (dot / norm, dot * dot / norm)
    }

    fn polish(&self, start: f64) -> (f64, f64) {
        let mut best = self.step(start);
        for _ in 0..ROUNDS {
            let next = self.step(best.0);
            if next.1 <= best.1 {
                break;
            }
            best = next;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_way_goes_to_the_larger_power() {
        let steps = [0.0, 0.9, 1.49, 1.5, 2.9, 3.0, 5.9, 6.0, 1e9];
        assert_eq!(steps.map(nearest), [0, 0, 0, 1, 1, 2, 2, 3, 30]);
    }

    #[test]
    fn many_magnitudes_are_fitted_as_few_are() {
        let few: Vec<f32> = (1..=500u32).map(|i| (i * i % 499) as f32 / 100.0).collect();
        let many: Vec<f32> = few.iter().flat_map(|&a| [a; 12]).collect();
        let (exact, scanned) = (best_scale(few.clone(), 4), best_scale(many, 4));
        let error = |scale: Option<f64>| {
            let scale = scale.expect("there are magnitudes");
            few.iter()
                .map(|&a| {
                    let level = f64::from(nearest(f64::from(a) / scale).min(3)).exp2();
                    (f64::from(a) - level * scale).powi(2)
                })
                .sum::<f64>()
        };
        assert!(error(scanned) <= error(exact) * 1.0001, "{exact:?} {scanned:?}");
    }
}
