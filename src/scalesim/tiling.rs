//! Folds of a layer on the array, and in which cycle the n-th word of an operand moves.
//!
//! A fold is a grid of `steps` × `lanes` words. Skewed grids move cell (t, j) in row t + j, as words enter or leave
//! the edge of a systolic array; others move a step a row.

use crate::hardware::{Dataflow, Systolic};
use crate::units::{Overflow, add, mul};

/// The folds: `rf` row folds inside each of `cf` column folds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiling {
    pub(super) h: u64,
    pub(super) w: u64,
    pub(super) dataflow: Dataflow,
    /// Extents on rows, on columns, in time.
    pub(super) sr: u64,
    pub(super) sc: u64,
    pub(super) t: u64,
    pub(super) rf: u64,
    pub(super) cf: u64,
    /// Cycles of one fold.
    pub(super) fold: u64,
    /// Cycles of all folds without stalls.
    pub(super) cycles: u64,
}

/// Which words of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Streams past the rows.
    ByRow,
    /// Streams past the columns.
    ByColumn,
    /// Loaded before a fold and held.
    Stationary,
    /// Outputs leaving the array.
    Outputs,
}

/// The words of one fold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// Rows before the first word.
    pub(super) lead: u64,
    pub(super) steps: u64,
    pub(super) lanes: u64,
    pub(super) skewed: bool,
}

impl Tiling {
    pub(super) fn new(
        array: Systolic,
        positions: u64,
        products: u64,
        channels: u64,
    ) -> Result<Self, Overflow> {
        let (h, w) = (u64::from(array.rows), u64::from(array.cols));
        let (sr, sc, t) = match array.dataflow {
            Dataflow::WeightStationary => (products, channels, positions),
            Dataflow::InputStationary => (products, positions, channels),
            Dataflow::OutputStationary => (positions, channels, products),
        };
        let load = if array.dataflow == Dataflow::OutputStationary {
            0
        } else {
            h
        };
        let (rf, cf) = (sr.div_ceil(h), sc.div_ceil(w));
        let fold = add(load + h + w - 2, t)?;
        let cycles = mul(mul(rf, cf)?, fold)?;
        // all words of all folds, and all cycles with stalls, stay far inside i64
        mul(mul(cycles, h.max(w))?, 1 << 8)?;
        Ok(Self {
            h,
            w,
            dataflow: array.dataflow,
            sr,
            sc,
            t,
            rf,
            cf,
            fold,
            cycles,
        })
    }

    /// Rows in use in row fold `fr`.
    pub(super) fn rows(&self, fr: u64) -> u64 {
        self.h.min(self.sr - fr * self.h)
    }

    /// Columns in use in column fold `fc`.
    pub(super) fn cols(&self, fc: u64) -> u64 {
        self.w.min(self.sc - fc * self.w)
    }

    /// The words of a flow in one fold.
    pub(super) fn grid(&self, flow: Flow, fr: u64, fc: u64) -> Grid {
        let (rows, cols) = (self.rows(fr), self.cols(fc));
        let os = self.dataflow == Dataflow::OutputStationary;
        let lead = if os { 0 } else { self.h };
        let (lead, steps, lanes, skewed) = match flow {
            Flow::ByRow => (lead, self.t, rows, true),
            Flow::ByColumn => (lead, self.t, cols, true),
            // the bottom row goes in first
            Flow::Stationary => (self.h - rows, rows, cols, false),
            Flow::Outputs if os => (self.t - 1 + self.h - rows, rows, cols, true),
            Flow::Outputs => (2 * self.h - 1, self.t, cols, true),
        };
        Grid {
            lead,
            steps,
            lanes,
            skewed,
        }
    }

    /// Words of a flow in all folds.
    pub(super) fn words(&self, flow: Flow) -> u64 {
        let last = self.grid(flow, self.rf - 1, self.cf - 1);
        self.first_word(flow, self.rf - 1, self.cf - 1) + last.words()
    }

    /// Words of a flow before a fold.
    fn first_word(&self, flow: Flow, fr: u64, fc: u64) -> u64 {
        fc * self.pass(flow, 0) + fr * self.grid(flow, 0, fc).words()
    }

    /// Words of a flow in all row folds of a column fold.
    fn pass(&self, flow: Flow, fc: u64) -> u64 {
        (self.rf - 1) * self.grid(flow, 0, fc).words() + self.grid(flow, self.rf - 1, fc).words()
    }

    /// The cycle, without stalls, in which the n-th word of a flow moves, counted from 0.
    pub(super) fn cycle_of(&self, flow: Flow, n: u64) -> u64 {
        let fc = (n / self.pass(flow, 0)).min(self.cf - 1);
        let n = n - fc * self.pass(flow, 0);
        let fr = (n / self.grid(flow, 0, fc).words()).min(self.rf - 1);
        let n = n - fr * self.grid(flow, 0, fc).words();
        let grid = self.grid(flow, fr, fc);
        (fc * self.rf + fr) * self.fold + grid.lead + grid.row_of(n)
    }

    /// Words of a flow that move before a cycle, without stalls.
    pub(super) fn words_before(&self, flow: Flow, cycle: u64) -> u64 {
        let fold = cycle / self.fold;
        if fold >= self.rf * self.cf {
            return self.words(flow);
        }
        let (fr, fc) = (fold % self.rf, fold / self.rf);
        let grid = self.grid(flow, fr, fc);
        self.first_word(flow, fr, fc) + grid.before((cycle % self.fold).saturating_sub(grid.lead))
    }
}

impl Grid {
    pub(super) fn words(&self) -> u64 {
        self.steps * self.lanes
    }

    /// Rows from the first to the last word.
    pub(super) fn rows(&self) -> u64 {
        if self.skewed {
            self.steps + self.lanes - 1
        } else {
            self.steps
        }
    }

    /// Words in the first `rows` rows after the lead.
    pub(super) fn before(&self, rows: u64) -> u64 {
        if !self.skewed {
            return rows.min(self.steps) * self.lanes;
        }
        let (least, most) = (self.steps.min(self.lanes), self.steps.max(self.lanes));
        if rows >= self.rows() {
            self.words()
        } else if rows <= least {
            rows * (rows + 1) / 2
        } else if rows <= most {
            least * (least + 1) / 2 + (rows - least) * least
        } else {
            let left = self.rows() - rows;
            self.words() - left * (left + 1) / 2
        }
    }

    /// Words in a row after the lead.
    pub(super) fn in_row(&self, row: u64) -> u64 {
        self.before(row + 1) - self.before(row)
    }

    /// The row after the lead in which the n-th word moves, counted from 0.
    pub(super) fn row_of(&self, n: u64) -> u64 {
        if !self.skewed {
            return n / self.lanes;
        }
        let (least, most) = (self.steps.min(self.lanes), self.steps.max(self.lanes));
        let corner = least * (least + 1) / 2;
        if n < corner {
            // the last r with r (r + 1) / 2 <= n
            ((8 * n + 1).isqrt() - 1) / 2
        } else if n < corner + (most - least) * least {
            least + (n - corner) / least
        } else {
            let left = self.words() - 1 - n;
            self.rows() - 1 - ((8 * left + 1).isqrt() - 1) / 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rows of a grid's words by stepping through it.
    fn stepped(grid: Grid) -> Vec<u64> {
        let mut rows: Vec<u64> = (0..grid.steps)
            .flat_map(|t| (0..grid.lanes).map(move |j| if grid.skewed { t + j } else { t }))
            .collect();
        rows.sort_unstable();
        rows
    }

    proptest! {
        #[test]
        fn closed_forms_equal_stepping(steps in 1u64..20, lanes in 1u64..20, skewed in any::<bool>()) {
            let grid = Grid { lead: 0, steps, lanes, skewed };
            let rows = stepped(grid);
            for (n, &row) in rows.iter().enumerate() {
                prop_assert_eq!(grid.row_of(n as u64), row);
            }
            for row in 0..grid.rows() + 2 {
                prop_assert_eq!(grid.before(row), rows.iter().filter(|&&r| r < row).count() as u64);
            }
        }

        #[test]
        fn words_and_cycles_are_inverse(
            h in 1u32..6, w in 1u32..6, e in 1u64..20, k in 1u64..20, f in 1u64..20, which in 0usize..3,
        ) {
            let dataflow = [Dataflow::WeightStationary, Dataflow::OutputStationary, Dataflow::InputStationary][which];
            let tiling = Tiling::new(Systolic { rows: h, cols: w, dataflow }, e, k, f).expect("small");
            let flows = if which == 1 {
                [Flow::ByRow, Flow::ByColumn, Flow::Outputs]
            } else {
                [Flow::ByRow, Flow::Stationary, Flow::Outputs]
            };
            for flow in flows {
                let words = tiling.words(flow);
                for n in 0..words {
                    let cycle = tiling.cycle_of(flow, n);
                    prop_assert!(tiling.words_before(flow, cycle) <= n && n < tiling.words_before(flow, cycle + 1));
                }
                prop_assert_eq!(tiling.words_before(flow, tiling.cycles), words);
            }
        }
    }
}
