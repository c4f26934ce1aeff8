//! Random masks: where non-zeros stand when no trained mask is at hand.

use super::Mask;
use super::structure::{Structure, TensorShape};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use statrs::distribution::{ContinuousCDF, Gamma};
use std::fmt;
use std::str::FromStr;

/// A law of non-zero positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaskModel {
    /// Every set of positions of the wanted size is equally likely.
    Uniform,
    /// Non-zeros come in runs of so many positions along a row (the last one of a row may be shorter), the runs at
    /// random places.
    Clustered {
        /// Positions of a run.
        run: u32,
    },
    /// Row densities are Gamma distributed around the wanted density, positions inside a row uniform. Magnitude
    /// pruning leaves a coefficient of variation of about 0.2 to 0.4 in trained networks.
    RowSkew {
        /// Standard deviation of the row densities over their mean, above 0 and at most 2.
        variation: f64,
    },
}

/// Why a word is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{word}` is no mask model; write `uniform`, `clustered:RUN` with 1 to 65536 positions, or `row-skew:CV` with a coefficient of variation above 0 and at most 2"
)]
pub struct MaskModelError {
    /// What was read.
    pub word: String,
}

impl FromStr for MaskModel {
    type Err = MaskModelError;

    fn from_str(word: &str) -> Result<Self, MaskModelError> {
        let wrong = || MaskModelError { word: word.into() };
        match word.split_once(':') {
            None if word == "uniform" => Ok(Self::Uniform),
            Some(("clustered", run)) => run
                .parse()
                .ok()
                .filter(|run| (1..=65_536).contains(run))
                .map(|run| Self::Clustered { run })
                .ok_or_else(wrong),
            Some(("row-skew", variation)) => variation
                .parse()
                .ok()
                .filter(|&v: &f64| v > 0.0 && v <= 2.0)
                .map(|variation| Self::RowSkew { variation })
                .ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for MaskModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Clustered { run } => write!(f, "clustered:{run}"),
            Self::RowSkew { variation } => write!(f, "row-skew:{variation}"),
        }
    }
}

impl MaskModel {
    /// A mask of `rows` × `cols` with exactly round(density · rows · cols) non-zeros, at least one of a mask that has a
    /// position. Under row skew no row is more than full: what its density asks beyond that goes to the other rows in
    /// proportion, which lowers their variation. The same seed gives the same mask on every machine.
    #[must_use]
    pub fn draw(self, rows: usize, cols: usize, density: f64, seed: u64) -> Mask {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut mask = Mask::empty(rows, cols);
        let all = rows * cols;
        let keep = kept(all, density);
        match self {
            Self::Uniform => choose(&mut rng, all, keep, |at| mask.set(at, true)),
            Self::Clustered { run } => {
                let run = (run as usize).clamp(1, cols.max(1));
                let runs_a_row = cols.div_ceil(run);
                let runs = rows * runs_a_row;
                // whole runs in random order until enough positions are alive
                let mut order: Vec<usize> = (0..runs).collect();
                let mut left = keep;
                for i in 0..runs {
                    if left == 0 {
                        break;
                    }
                    let other = i + below(&mut rng, (runs - i) as u64) as usize;
                    order.swap(i, other);
                    let (row, from) = (order[i] / runs_a_row, order[i] % runs_a_row * run);
                    for col in from..cols.min(from + run) {
                        if left > 0 {
                            mask.set(row * cols + col, true);
                            left -= 1;
                        }
                    }
                }
            }
            Self::RowSkew { variation } => {
                let shape = 1.0 / (variation * variation);
                let Ok(law) = Gamma::new(shape, shape) else {
                    return Self::Uniform.draw(rows, cols, density, seed);
                };
                // logarithms differ in their last bits from machine to machine; six decimals do not
                let weight = |x: f64| (law.inverse_cdf(x) * 1e6).round() / 1e6;
                let weights: Vec<f64> = (0..rows).map(|_| weight(unit(&mut rng))).collect();
                for (row, count) in shares(&weights, cols, keep).into_iter().enumerate() {
                    choose(&mut rng, cols, count, |at| mask.set(row * cols + at, true));
                }
            }
        }
        mask
    }

    /// A mask of a structure with as many weights as the density leaves under [`Structure::set`]: this model's where any
    /// weight may be zero, elsewhere the survivors of random magnitudes. Groups of one size are then equally likely to
    /// stay; smaller blocks at the edges are less so.
    #[must_use]
    pub fn draw_structured(self, structure: Structure, shape: TensorShape, density: f64, seed: u64) -> Mask {
        let (rows, cols) = (shape.rows(), shape.cols());
        if structure == Structure::Unstructured {
            return self.draw(rows, cols, density, seed);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..rows * cols).map(|_| unit(&mut rng) as f32).collect();
        let keep = kept(values.len(), density).min(structure.most(shape));
        structure
            .set(shape, keep)
            .survivors(&values, &Mask::full(rows, cols))
    }
}

fn kept(all: usize, density: f64) -> usize {
    ((density * all as f64).round() as usize).clamp(usize::from(all > 0), all)
}

/// `keep` non-zeros dealt to rows in proportion to their weights, none beyond `cols`; each row's count is within one of
/// its exact share, and the counts sum to `keep`.
fn shares(weights: &[f64], cols: usize, keep: usize) -> Vec<usize> {
    let full = cols as f64;
    // rows from the heaviest on are full while a proportional share of what is left would overfill them
    let mut heaviest: Vec<usize> = (0..weights.len()).collect();
    heaviest.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
    let (mut left, mut weight) = (keep as f64, weights.iter().sum::<f64>());
    for &row in &heaviest {
        if weights[row] * left < full * weight {
            break;
        }
        left -= full;
        weight -= weights[row];
    }
    let scale = if weight > 0.0 {
        (left / weight).max(0.0)
    } else {
        0.0
    };
    // rounding the running sum leaves no error behind
    let (mut sum, mut dealt) = (0.0, 0);
    let mut counts: Vec<usize> = weights
        .iter()
        .map(|w| {
            sum += (w * scale).min(full);
            let count = (sum.round() as usize).saturating_sub(dealt).min(cols);
            dealt += count;
            count
        })
        .collect();
    // floating-point sums may end a position aside
    for count in counts.iter_mut().rev() {
        let (over, under) = (dealt.saturating_sub(keep), keep.saturating_sub(dealt));
        let (less, more) = (over.min(*count), under.min(cols - *count));
        *count = *count - less + more;
        dealt = dealt - less + more;
    }
    counts
}

/// A uniform number in (0, 1).
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// A uniform number below `n`, by the high half of a product: the bias is below n / 2^64.
fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// Calls `take` with `keep` of the numbers below `all`, ascending, every set equally likely.
fn choose(rng: &mut ChaCha8Rng, all: usize, keep: usize, mut take: impl FnMut(usize)) {
    let mut left = keep;
    for at in 0..all {
        if left == 0 {
            return;
        }
        if below(rng, (all - at) as u64) < left as u64 {
            take(at);
            left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_read_and_written() {
        for word in ["uniform", "clustered:8", "row-skew:0.23"] {
            assert_eq!(word.parse::<MaskModel>().map(|m| m.to_string()), Ok(word.into()));
        }
        for word in [
            "",
            "clustered",
            "clustered:0",
            "row-skew:-1",
            "row-skew:nan",
            "random",
        ] {
            assert!(word.parse::<MaskModel>().is_err(), "{word}");
        }
    }

    proptest! {
        /// Counts are exact, seeds decide, runs lie where runs may.
        #[test]
        fn counts_are_exact(rows in 1..20usize, cols in 1..40usize, density in 0.0..1.0f64, run in 1..9u32, seed: u64) {
            let keep = kept(rows * cols, density);
            let skew = MaskModel::RowSkew { variation: f64::from(run) / 5.0 };
            for model in [MaskModel::Uniform, MaskModel::Clustered { run }, skew] {
                let mask = model.draw(rows, cols, density, seed);
                prop_assert_eq!(mask.count(), keep);
                prop_assert!(mask == model.draw(rows, cols, density, seed));
            }
        }

        /// A row is full or has its share; shares of rows that are not full are in proportion.
        #[test]
        fn full_rows_pass_on_what_they_cannot_hold(
            weights in prop::collection::vec(1e-3..10.0f64, 1..30),
            cols in 1..200usize,
            portion in 0.0..=1.0f64,
        ) {
            let keep = (portion * (weights.len() * cols) as f64) as usize;
            let counts = shares(&weights, cols, keep);
            prop_assert_eq!(counts.iter().sum::<usize>(), keep);
            let free: Vec<usize> = (0..weights.len()).filter(|&r| counts[r] + 1 < cols).collect();
            for (&a, &b) in free.iter().zip(free.iter().skip(1)) {
                let expected = counts[a] as f64 * weights[b] / weights[a];
                let slack = 2.0 + 2.0 * weights[b] / weights[a];
                prop_assert!((counts[b] as f64 - expected).abs() <= slack, "{counts:?} {weights:?}");
            }
        }

        /// Row counts vary as asked: over many rows of many columns the coefficient of variation is met.
        #[test]
        fn rows_vary_as_asked(variation in 0.1..0.6f64, seed: u64) {
            // of so many rows the deviation itself deviates by 2 %: 15 % is no matter of luck
            let (rows, cols, density) = (2400, 500, 0.1);
            let mask = MaskModel::RowSkew { variation }.draw(rows, cols, density, seed);
            let counts: Vec<f64> = (0..rows)
                .map(|r| (0..cols).filter(|c| mask.get(r * cols + c)).count() as f64)
                .collect();
            let mean = counts.iter().sum::<f64>() / rows as f64;
            let deviation = (counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / rows as f64).sqrt();
            prop_assert!((mean / (density * cols as f64) - 1.0).abs() < 1e-4, "{mean}");
            prop_assert!((deviation / mean / variation - 1.0).abs() < 0.15, "{}", deviation / mean);
        }
    }
}
