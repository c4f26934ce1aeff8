//! The levels of a layer: its precision with the scales or the table fitted to it.

use super::codebook::{self, Sorted};
use super::grid::Grid;
use super::{Precision, Scale};
use crate::compression::{ConstraintSet, Mask};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Values per unit of parallel work.
const CHUNK: usize = 1 << 16;

/// The values that the weights of one layer may take, and the codes that stand for them.
///
/// Each weight of the support lies on the level nearest to it; half way between two levels it goes to the larger
/// magnitude, in a codebook to the lower entry. A NaN stays NaN: a diverged weight must not turn into a level.
///
/// ```
/// use cosparse::compression::{ConstraintSet, Mask, precision::{Levels, Precision, Scale}};
/// let mut weights = [0.9, -2.2, 9.0, 10.0];
/// let mask = Mask::full(2, 2);
/// let precision = Precision::PowerOfTwo { bits: 2, scale: Scale::PerChannel };
/// let levels = Levels::fit(precision, &weights, &mask);
/// levels.project(&mut weights, &mask);
/// assert_eq!(weights[1], 2.0 * -weights[0]); // the levels of the first row are ±α and ±2α
/// assert_eq!(weights[2], weights[3]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// What kind of levels.
    pub precision: Precision,
    /// One scale, one scale per GEMM row, or the entries of the codebook in ascending order; empty for float32.
    /// Scales are positive and finite; that of a row without weights is 1.
    pub table: Vec<f32>,
}

/// Levels that do not exist.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LevelsError {
    /// The bits of a code are outside their range.
    #[error("levels of {bits} bits do not exist; use 1 to {most}")]
    Bits {
        /// As given.
        bits: u32,
        /// The most there may be.
        most: u8,
    },
    /// A scale is not positive and finite.
    #[error("scale {index} is {scale}: fit the levels to weights that are finite")]
    Scale {
        /// Which.
        index: usize,
        /// As given.
        scale: f32,
    },
    /// There are not as many scales as rows, or entries of a codebook are too many, zero or out of order.
    #[error(
        "{entries} scales or entries for {rows} rows: give one scale, one per row, or a codebook of at most 2^bits values, ascending, none zero"
    )]
    Table {
        /// Scales or entries given.
        entries: usize,
        /// GEMM rows.
        rows: usize,
    },
}

impl Levels {
    /// No levels: weights stay as they are.
    pub const FLOAT32: Self = Self {
        precision: Precision::Float32,
        table: Vec::new(),
    };

    /// The levels ±q … ±2^(bits−1)·q.
    #[must_use]
    pub fn equal_interval(bits: u8, interval: f32) -> Self {
        Self {
            precision: Precision::equal_interval(bits),
            table: vec![interval],
        }
    }

    /// The levels of least squared error over the survivors. Scales are optimal (those of power-of-two levels of large
    /// layers among 64 starts an octave); a codebook is that of k-means, optimal where weights × entries stay below 2²¹.
    /// Values that are not finite take no part. A row without survivors has the scale 1.
    ///
    /// # Panics
    /// When there is not one value per position of the support.
    #[must_use]
    pub fn fit(precision: Precision, values: &[f32], support: &Mask) -> Self {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        let scale = |grid: Grid, magnitudes: Vec<f32>| grid.fit(magnitudes).map_or(1.0, storable);
        let magnitudes = |from: usize, to: usize| {
            let alive = (from..to).filter(|&i| support.get(i));
            alive.map(|i| values[i].abs()).filter(|v| v.is_finite()).collect()
        };
        let table = match (precision, Grid::of(precision), precision.scale()) {
            (_, Some(grid), Some(Scale::PerChannel)) => (0..support.rows())
                .into_par_iter()
                .map(|row| scale(grid, magnitudes(row * support.cols(), (row + 1) * support.cols())))
                .collect(),
            (_, Some(grid), _) => vec![scale(grid, magnitudes(0, values.len()))],
            (Precision::Codebook { bits }, ..) => {
                Sorted::new(support.ones().map(|i| values[i])).table(1 << bits.clamp(1, 8))
            }
            _ => Vec::new(),
        };
        Self { precision, table }
    }

    /// The scales of least squared error with every survivor's level as it is now, ⟨v, m⟩ / ⟨m, m⟩; for a codebook
    /// Lloyd's rounds from the entries as they are. What has nothing to fit stays. Never raises the error.
    ///
    /// # Panics
    /// When there is not one value per position of the support, or fewer scales than rows.
    #[must_use]
    pub fn refit(&self, values: &[f32], support: &Mask) -> Self {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        let mut next = self.clone();
        if let Some(grid) = Grid::of(self.precision) {
            let part = |from: usize, to: usize, scale: f32| {
                let (mut dot, mut norm) = (0.0, 0.0);
                for i in (from..to).filter(|&i| support.get(i) && values[i].is_finite()) {
                    if let Some(index) = grid.nearest(values[i], scale) {
                        let multiple = f64::from(grid.multiple(index));
                        dot += multiple * f64::from(values[i].abs());
                        norm += multiple * multiple;
                    }
                }
                (dot, norm)
            };
            let fitted =
                |(dot, norm): (f64, f64), scale| if dot > 0.0 { storable(dot / norm) } else { scale };
            if let [scale] = self.table[..] {
                // partial sums are added in order, whatever the number of threads
                let starts: Vec<usize> = (0..values.len()).step_by(CHUNK).collect();
                let parts: Vec<(f64, f64)> = starts
                    .into_par_iter()
                    .map(|from| part(from, (from + CHUNK).min(values.len()), scale))
                    .collect();
                let sum = parts.into_iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
                next.table = vec![fitted(sum, scale)];
            } else {
                let cols = support.cols();
                next.table = (0..support.rows())
                    .into_par_iter()
                    .map(|row| {
                        let scale = self.scale_of(row);
                        fitted(part(row * cols, (row + 1) * cols, scale), scale)
                    })
                    .collect();
            }
        } else if !self.table.is_empty() {
            let entries = self.table.iter().map(|&v| f64::from(v)).collect();
            next.table = Sorted::new(support.ones().map(|i| values[i])).lloyd(entries);
        }
        next
    }

    /// Whether these are the levels of a layer of so many GEMM rows.
    ///
    /// # Errors
    /// What is outside its range.
    pub fn check(&self, rows: usize) -> Result<(), LevelsError> {
        if let Some(most) = self
            .precision
            .most_bits()
            .filter(|_| !self.precision.has_valid_bits())
        {
            let bits = self.precision.bits();
            return Err(LevelsError::Bits { bits, most });
        }
        let entries = self.table.len();
        let fits = match (self.precision, self.precision.scale()) {
            (_, Some(Scale::PerTensor)) => entries == 1,
            (_, Some(Scale::PerChannel)) => entries == rows,
            (Precision::Codebook { bits }, _) => {
                entries <= 1 << bits
                    && self.table.windows(2).all(|w| w[0] < w[1])
                    && self.table.iter().all(|&v| v != 0.0 && v.is_finite())
            }
            _ => entries == 0,
        };
        if !fits {
            return Err(LevelsError::Table { entries, rows });
        }
        let scaled = self.precision.scale().is_some();
        match self.table.iter().position(|&s| !(s > 0.0 && s.is_finite())) {
            Some(index) if scaled => Err(LevelsError::Scale {
                index,
                scale: self.table[index],
            }),
            _ => Ok(()),
        }
    }

    /// The scale of a GEMM row; 1 for levels without scales.
    #[must_use]
    pub fn scale_of(&self, row: usize) -> f32 {
        match self.precision.scale() {
            None => 1.0,
            Some(Scale::PerTensor) => self.table.first().copied().unwrap_or(1.0),
            Some(Scale::PerChannel) => self.table.get(row).copied().unwrap_or(1.0),
        }
    }

    /// The code of the level nearest to a value of a GEMM row, as [`Precision::bits`] bits; `None` where that level is
    /// zero. A scaled level's code has the sign above and the number of its magnitude below; a float32's is its bits.
    #[must_use]
    pub fn code(&self, row: usize, value: f32) -> Option<u32> {
        match Grid::of(self.precision) {
            Some(grid) => {
                let index = grid.nearest(value, self.scale_of(row))?;
                Some(if value < 0.0 {
                    index | grid.magnitudes()
                } else {
                    index
                })
            }
            None if self.precision == Precision::Float32 => (value.to_bits() != 0).then_some(value.to_bits()),
            None => codebook::nearest(&self.table, value),
        }
    }

    /// The value of a code in a GEMM row; bits above the code's width are ignored, and codes past the end of a codebook
    /// are zero.
    #[must_use]
    pub fn decode(&self, row: usize, code: u32) -> f32 {
        match Grid::of(self.precision) {
            Some(grid) => {
                let top = grid.magnitudes();
                let value = grid.multiple(code & (top - 1)) * self.scale_of(row);
                if code & top == 0 { value } else { -value }
            }
            None if self.precision == Precision::Float32 => f32::from_bits(code),
            None => self.table.get(code as usize).copied().unwrap_or(0.0),
        }
    }

    /// The level nearest to a value of a GEMM row.
    #[must_use]
    pub fn nearest(&self, row: usize, value: f32) -> f32 {
        if self.precision == Precision::Float32 || value.is_nan() {
            return value;
        }
        self.code(row, value).map_or(0.0, |code| self.decode(row, code))
    }

    /// Σ (v − nearest(v))² over the finite survivors.
    ///
    /// # Panics
    /// When there is not one value per position of the support.
    #[must_use]
    pub fn squared_error(&self, values: &[f32], support: &Mask) -> f64 {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        let alive = support.ones().filter(|&i| values[i].is_finite());
        alive
            .map(|i| {
                let level = self.nearest(i / support.cols(), values[i]);
                (f64::from(values[i]) - f64::from(level)).powi(2)
            })
            .sum()
    }
}

/// A scale as stored: positive and finite.
fn storable(scale: f64) -> f32 {
    (scale as f32).clamp(f32::MIN_POSITIVE, f32::MAX)
}

impl ConstraintSet for Levels {
    fn refitted(&self, values: &[f32], support: &Mask) -> Option<Box<dyn ConstraintSet>> {
        (!self.table.is_empty()).then(|| Box::new(self.refit(values, support)) as Box<dyn ConstraintSet>)
    }

    fn describe(&self) -> String {
        let name = match self.precision {
            Precision::Float32 => return "float32".into(),
            Precision::EqualInterval { bits, .. } => format!("equal-interval, {bits} bit"),
            Precision::PowerOfTwo { bits, .. } => format!("power-of-two, {bits} bit"),
            Precision::Binary { .. } => "binary".into(),
            Precision::Ternary { .. } => "ternary".into(),
            Precision::Codebook { .. } => {
                return format!("codebook, {} values", self.table.len());
            }
        };
        match (self.precision.scale(), self.precision) {
            (Some(Scale::PerChannel), _) => format!("{name}, per channel"),
            (_, Precision::EqualInterval { .. }) => format!("{name}, q = {}", self.scale_of(0)),
            _ => format!("{name}, alpha = {}", self.scale_of(0)),
        }
    }

    /// # Panics
    /// When there is not one value per position of the support.
    fn project(&self, values: &mut [f32], support: &Mask) {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        let cols = support.cols().max(1);
        let float = self.precision == Precision::Float32;
        let chunk = |(chunk, (values, words)): (usize, (&mut [f32], &[u64]))| {
            for (i, (block, &word)) in values.chunks_mut(64).zip(words).enumerate() {
                for (bit, v) in block.iter_mut().enumerate() {
                    if word >> bit & 1 == 0 {
                        *v = 0.0;
                    } else if !float {
                        *v = self.nearest((chunk * CHUNK + i * 64 + bit) / cols, *v);
                    }
                }
            }
        };
        values
            .par_chunks_mut(CHUNK)
            .zip(support.words().par_chunks(CHUNK / 64))
            .enumerate()
            .for_each(chunk);
    }
}
