//! Filters and shapes together: rows and columns of the GEMM matrix leave, the rest stays a dense matrix.

use super::TensorShape;
use super::groups::heaviest;
use crate::compression::{ConstraintSet, Mask};

/// The tensors that are zero outside some `filters` rows and `columns` columns of the GEMM matrix (METHODS §0).
///
/// The nearest such tensor is found exactly where one side has few enough subsets to try them all. Elsewhere the problem
/// is hard, and the projection goes in sequence, as published: the heaviest rows, then the heaviest columns of those,
/// again until nothing changes; also columns first, and the nearer of the two stays. A tensor of the set is left as it
/// is in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterShape {
    /// The tensor.
    pub shape: TensorShape,
    /// Rows at most, at least 1.
    pub filters: usize,
    /// Columns at most, at least 1.
    pub columns: usize,
}

/// Multiplications that the exact search may take.
const MOST_WORK: usize = 1 << 22;

impl FilterShape {
    /// At most `keep` weights: in `filters` rows, or where that is left out in the portion of rows that is the square
    /// root of the density; and in as many columns as then fit, at least one.
    #[must_use]
    pub fn of(shape: TensorShape, filters: Option<usize>, keep: usize) -> Self {
        let portion = (keep as f64 / shape.weights().max(1) as f64).min(1.0).sqrt();
        let rows = filters.unwrap_or((portion * shape.rows() as f64).round() as usize);
        let filters = rows.min(keep).clamp(1, shape.rows().max(1));
        Self {
            shape,
            filters,
            columns: (keep / filters).clamp(1, shape.cols().max(1)),
        }
    }
}

/// Squares of the weights, seen with either side as its lines.
#[derive(Clone, Copy)]
struct View<'a> {
    squares: &'a [f64],
    lines: usize,
    across: usize,
    transposed: bool,
}

/// Lines and crossing lines that stay, and the sum of squares they hold.
struct Choice {
    lines: Vec<bool>,
    across: Vec<bool>,
    held: f64,
}

impl View<'_> {
    fn at(&self, line: usize, cross: usize) -> f64 {
        if self.transposed {
            self.squares[cross * self.lines + line]
        } else {
            self.squares[line * self.across + cross]
        }
    }

    fn line_sums(&self, across: &[bool]) -> Vec<f64> {
        let kept = || (0..self.across).filter(|&c| across[c]);
        (0..self.lines)
            .map(|l| kept().map(|c| self.at(l, c)).sum())
            .collect()
    }

    fn flipped(self) -> Self {
        Self {
            squares: self.squares,
            lines: self.across,
            across: self.lines,
            transposed: !self.transposed,
        }
    }

    /// The best crossing lines for given lines.
    fn cross(&self, lines: &[bool], keep: usize) -> Choice {
        let sums = self.flipped().line_sums(lines);
        let across = heaviest(&sums, keep);
        let held = sums
            .iter()
            .zip(&across)
            .filter(|(_, k)| **k)
            .map(|(s, _)| s)
            .sum();
        Choice {
            lines: lines.to_vec(),
            across,
            held,
        }
    }

    /// Lines first, then crossing lines, in turn until what is held no longer grows.
    fn in_sequence(&self, lines: usize, across: usize) -> Choice {
        let mut best = self.cross(
            &heaviest(&self.line_sums(&vec![true; self.across]), lines),
            across,
        );
        loop {
            let next = self.cross(&heaviest(&self.line_sums(&best.across), lines), across);
            if next.held.total_cmp(&best.held).is_le() {
                return best;
            }
            best = next;
        }
    }

    /// Every subset of lines in lexicographic order; of equals the first.
    fn exact(&self, lines: usize, across: usize) -> Choice {
        let mut chosen: Vec<usize> = (0..lines).collect();
        let mut best: Option<Choice> = None;
        loop {
            let mut stays = vec![false; self.lines];
            for &l in &chosen {
                stays[l] = true;
            }
            let found = self.cross(&stays, across);
            let better = |b: &Choice| found.held.abs().total_cmp(&b.held.abs()).is_gt();
            if best.as_ref().is_none_or(better) {
                best = Some(found);
            }
            let Some(moved) = (0..lines).rev().find(|&i| chosen[i] + lines < self.lines + i) else {
                break;
            };
            chosen[moved] += 1;
            for i in moved + 1..lines {
                chosen[i] = chosen[i - 1] + 1;
            }
        }
        best.unwrap_or_else(|| self.in_sequence(lines, across))
    }
}

/// Subsets of `take` of `all`, or `None` beyond the limit of an exact search.
fn subsets(all: usize, take: usize) -> Option<usize> {
    let mut count = 1usize;
    for i in 0..take.min(all - take) {
        count = count.checked_mul(all - i)? / (i + 1);
        if count > MOST_WORK {
            return None;
        }
    }
    Some(count)
}

impl ConstraintSet for FilterShape {
    fn describe(&self) -> String {
        format!("filter-shape, keep {} x {}", self.filters, self.columns)
    }

    /// # Panics
    /// When the support has not the positions of the tensor, or not one per value.
    fn project(&self, values: &mut [f32], support: &Mask) {
        self.survivors(values, support).apply(values);
    }

    fn survivors(&self, values: &[f32], support: &Mask) -> Mask {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        assert_eq!(values.len(), self.shape.weights(), "the tensor of the set");
        let (rows, cols) = (self.shape.rows(), self.shape.cols());
        let (filters, columns) = (self.filters.min(rows), self.columns.min(cols));
        let mut squares = vec![0.0; values.len()];
        for i in support.ones() {
            squares[i] = f64::from(values[i]).powi(2);
        }
        let by_row = View {
            squares: &squares,
            lines: rows,
            across: cols,
            transposed: false,
        };
        let by_col = by_row.flipped();
        let work = |all, take| {
            subsets(all, take)
                .and_then(|n| n.checked_mul(values.len()))
                .filter(|&n| n <= MOST_WORK)
        };
        let (row_first, found) = match (work(rows, filters), work(cols, columns)) {
            (Some(r), c) if c.is_none_or(|c| r <= c) => (true, by_row.exact(filters, columns)),
            (_, Some(_)) => (false, by_col.exact(columns, filters)),
            _ => {
                let (r, c) = (
                    by_row.in_sequence(filters, columns),
                    by_col.in_sequence(columns, filters),
                );
                if c.held.total_cmp(&r.held).is_gt() {
                    (false, c)
                } else {
                    (true, r)
                }
            }
        };
        let (in_rows, in_cols) = if row_first {
            (found.lines, found.across)
        } else {
            (found.across, found.lines)
        };
        let inside = |i: usize| in_rows[i / cols] && in_cols[i % cols];
        // lines of nothing but zeros never stay
        let (mut row_holds, mut col_holds) = (vec![false; rows], vec![false; cols]);
        for i in support.ones().filter(|&i| inside(i) && squares[i] != 0.0) {
            row_holds[i / cols] = true;
            col_holds[i % cols] = true;
        }
        let mut left = support.clone();
        for i in support.ones() {
            if !(inside(i) && row_holds[i / cols] && col_holds[i % cols]) {
                left.set(i, false);
            }
        }
        left
    }
}
