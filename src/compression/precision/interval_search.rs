//! The interval of equal-interval levels with the least squared error.
//!
//! Let aᵢ be the magnitudes, T the top level and lᵢ(q) ∈ 1…T the nearest level. The error
//! E(q) = Σ (aᵢ − lᵢ(q)·q)² has many local minima, so the search is a branch and bound:
//!
//! * **Bracket.** At the optimum q = ⟨a, l⟩ / ⟨l, l⟩. As ‖l‖² ≥ n this gives q ≤ rms(a). The clipped magnitudes pull
//!   q up by at least T·Σ(aᵢ − Tq)⁺ ≥ T(Σaᵢ − nTq), the others pull it down by at most Tq/2 each, so
//!   q ≥ mean(a) / (T + ½).
//! * **Bound.** √E is Lipschitz: √E(q₁) ≤ √E(q) + |q − q₁|·‖l(q)‖, and ‖l(q)‖ falls with q. Over \[q₁, q₂\] therefore
//!   √E ≥ (√E(q₁) + √E(q₂) − ‖l(q₁)‖·(q₂ − q₁)) / 2.
//! * **Incumbent.** At the levels of any q, least squares gives the interval ⟨a, l⟩ / ⟨l, l⟩ with error at most
//!   ‖a‖² − ⟨a, l⟩² / ⟨l, l⟩; this polishes every point visited down to its fixed point.
//!
//! With sorted magnitudes and prefix sums, ⟨a, l⟩ and ⟨l, l⟩ cost T binary searches.

use rayon::prelude::*;

/// The root error found is at most this much, relatively, above the best.
const TOLERANCE: f64 = 1e-6;
/// Root errors below this share of ‖a‖ are lost in the rounding of the sums.
const NOISE: f64 = 1e-7;
/// Intervals of the first grid for each level.
const FIRST_GRID: usize = 8;
/// Binary searches in one round at most. Codes of more than about 10 bits need more: they give up the bound and
/// follow only the intervals between the best points, which is still far finer than their levels.
const ROUND: usize = 1 << 19;

/// The best interval for these magnitudes (finite, not negative) and top level, or `None` without magnitudes.
/// Zero when all magnitudes are zero.
pub(super) fn best_interval(mut magnitudes: Vec<f32>, top: u32) -> Option<f64> {
    magnitudes.par_sort_unstable_by(f32::total_cmp);
    let sorted = Sorted::new(magnitudes, top as usize);
    let n = sorted.magnitudes.len() as f64;
    let sum = *sorted.sums.last()?;
    if n == 0.0 {
        return None;
    }
    let mean = sum / n;
    if top == 1 || sum == 0.0 {
        return Some(mean);
    }
    let (low, high) = (mean / (f64::from(top) + 0.5), (sorted.squares / n).sqrt());
    Some(sorted.search(low, high))
}

/// Magnitudes in ascending order with their prefix sums.
struct Sorted {
    magnitudes: Vec<f32>,
    /// `sums[i]` is the sum of the first i magnitudes.
    sums: Vec<f64>,
    squares: f64,
    top: usize,
}

/// The error's terms at one interval.
#[derive(Clone, Copy)]
struct Point {
    q: f64,
    /// √E(q).
    error: f64,
    /// ‖l(q)‖.
    norm: f64,
    /// Least-squares interval at the levels of q, and the root error it reaches at most.
    polished: (f64, f64),
}

impl Sorted {
    fn new(magnitudes: Vec<f32>, top: usize) -> Self {
        let mut sums = Vec::with_capacity(magnitudes.len() + 1);
        let (mut sum, mut squares) = (0.0, 0.0);
        sums.push(0.0);
        for &a in &magnitudes {
            let a = f64::from(a);
            sum += a;
            squares += a * a;
            sums.push(sum);
        }
        Self {
            magnitudes,
            sums,
            squares,
            top,
        }
    }

    fn at(&self, q: f64) -> Point {
        let n = self.magnitudes.len();
        // level k + 1 or more is reached from (k + 1/2)·q on
        let (mut dot, mut norm) = (self.sums[n], n as f64);
        let mut below = 0;
        for k in 1..self.top {
            let edge = (k as f64 + 0.5) * q;
            below += self.magnitudes[below..].partition_point(|&a| f64::from(a) < edge);
            if below == n {
                break;
            }
            dot += self.sums[n] - self.sums[below];
            norm += (2 * k + 1) as f64 * (n - below) as f64;
        }
        let root = |e: f64| e.max(0.0).sqrt();
        Point {
            q,
            error: root(self.squares - 2.0 * q * dot + q * q * norm),
            norm: norm.sqrt(),
            polished: (dot / norm, root(self.squares - dot * dot / norm)),
        }
    }

    fn search(&self, low: f64, high: f64) -> f64 {
        let most = ROUND / self.top;
        let cells = (FIRST_GRID * self.top).min(most);
        let ratio = (high / low).powf(1.0 / cells as f64);
        let grid: Vec<f64> = (0..=cells).map(|i| low * ratio.powf(i as f64)).collect();
        let points = self.at_all(&grid);
        let mut best = (low, f64::INFINITY);
        let mut improve = |points: &[Point]| {
            for p in points {
                if p.polished.1 < best.1 {
                    best = p.polished;
                }
            }
            best
        };
        let (_, mut least) = improve(&points);
        let mut open: Vec<(Point, Point)> = points.windows(2).map(|w| (w[0], w[1])).collect();
        let noise = NOISE * self.squares.sqrt();
        loop {
            let limit = least - (TOLERANCE * least).max(noise);
            open.retain(|(a, b)| 0.5 * (a.error + b.error - a.norm * (b.q - a.q)) < limit);
            if open.is_empty() {
                break;
            }
            if open.len() > most {
                open.sort_by(|x, y| x.0.error.min(x.1.error).total_cmp(&y.0.error.min(y.1.error)));
                open.truncate(most);
            }
            let middles: Vec<f64> = open.iter().map(|(a, b)| 0.5 * (a.q + b.q)).collect();
            let middles = self.at_all(&middles);
            least = improve(&middles).1;
            open = open
                .iter()
                .zip(&middles)
                .flat_map(|(&(a, b), &middle)| [(a, middle), (middle, b)])
                .collect();
        }
        let (q, _) = improve(&[]);
        self.polish(q)
    }

    fn at_all(&self, intervals: &[f64]) -> Vec<Point> {
        intervals
            .par_iter()
            .with_min_len(16)
            .map(|&q| self.at(q))
            .collect()
    }

    /// Levels and interval in turn until neither moves. The error falls at each step and there are finitely many
    /// assignments; rounding is guarded by the comparison.
    fn polish(&self, mut q: f64) -> f64 {
        let mut point = self.at(q);
        loop {
            let next = self.at(point.polished.0);
            if next.error >= point.error {
                return q;
            }
            q = next.q;
            point = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(magnitudes: &[f32], top: u32, q: f64) -> f64 {
        let level = |a: f64| (a / q + 0.5).floor().clamp(1.0, f64::from(top));
        magnitudes
            .iter()
            .map(|&a| (f64::from(a) - level(f64::from(a)) * q).powi(2))
            .sum()
    }

    /// Every assignment of levels that any interval gives, each at its least-squares interval: the exact optimum.
    fn exact(magnitudes: &[f32], top: u32) -> f64 {
        let mut edges: Vec<(f64, f64, f64)> = magnitudes
            .iter()
            .flat_map(|&a| {
                (1..top).map(move |k| {
                    (
                        f64::from(a) / (f64::from(k) + 0.5),
                        f64::from(a),
                        f64::from(2 * k + 1),
                    )
                })
            })
            .collect();
        edges.sort_by(|x, y| y.0.total_cmp(&x.0));
        let squares: f64 = magnitudes.iter().map(|&a| f64::from(a).powi(2)).sum();
        let mut dot: f64 = magnitudes.iter().map(|&a| f64::from(a)).sum();
        let mut norm = magnitudes.len() as f64;
        let mut best = squares - dot * dot / norm;
        for (_, a, step) in edges {
            dot += a;
            norm += step;
            best = best.min(squares - dot * dot / norm);
        }
        best
    }

    proptest! {
        #[test]
        fn the_search_reaches_the_exact_optimum(
            magnitudes in prop::collection::vec(prop_oneof![0.0f32..1.0, 0.0f32..0.01, 0.5f32..20.0], 1..80),
            bits in 1u32..7,
        ) {
            let top = 1 << (bits - 1);
            let q = best_interval(magnitudes.clone(), top).expect("there are magnitudes");
            prop_assume!(q > 0.0);
            let squares: f64 = magnitudes.iter().map(|&a| f64::from(a).powi(2)).sum();
            let (found, best) = (error(&magnitudes, top, q), exact(&magnitudes, top));
            prop_assert!(found.sqrt() <= best.max(0.0).sqrt() * (1.0 + 2e-6) + 3e-7 * squares.sqrt(), "{found} {best}");
        }
    }

    #[test]
    fn an_outlier_does_not_pull_the_levels_from_the_rest() {
        let mut magnitudes = vec![0.01f32; 100_000];
        magnitudes.push(1.0);
        let q = best_interval(magnitudes.clone(), 4).expect("there are magnitudes");
        let best = exact(&magnitudes, 4);
        assert!((error(&magnitudes, 4, q).sqrt() / best.sqrt() - 1.0).abs() < 1e-5);
    }
}
