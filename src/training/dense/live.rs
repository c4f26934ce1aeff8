//! The rows and columns of a layer's GEMM matrix that keep weights: what is left is a smaller dense matrix.

use crate::compression::Mask;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Live {
    /// One part for each group of a convolution; other layers have one.
    pub(super) groups: Vec<LiveGroup>,
}

/// One group's rows and columns in rising order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LiveGroup {
    /// Rows of the whole matrix.
    pub(super) rows: Vec<u32>,
    /// Columns: input channel, kernel row, kernel column.
    pub(super) columns: Vec<u32>,
}

impl Live {
    /// Every row and column of a matrix of `rows × columns` whose rows are shared out among `groups`.
    pub(super) fn all([rows, columns]: [usize; 2], groups: usize) -> Self {
        let each = rows / groups;
        let part = |g: usize| LiveGroup {
            rows: (g * each..(g + 1) * each).map(|r| r as u32).collect(),
            columns: (0..columns as u32).collect(),
        };
        Self {
            groups: (0..groups).map(part).collect(),
        }
    }

    /// The rows and columns with a position in `support`; a column may be alive in one group only.
    pub(super) fn of(support: &Mask, [rows, columns]: [usize; 2], groups: usize) -> Self {
        let mut alive_rows = vec![false; rows];
        let mut alive_columns = vec![false; groups * columns];
        let each = rows / groups;
        for i in support.ones() {
            let (row, column) = (i / columns, i % columns);
            alive_rows[row] = true;
            alive_columns[row / each * columns + column] = true;
        }
        let chosen = |alive: &[bool], first: usize| -> Vec<u32> {
            let places = alive.iter().enumerate().filter(|(_, alive)| **alive);
            places.map(|(i, _)| (first + i) as u32).collect()
        };
        let part = |g: usize| LiveGroup {
            rows: chosen(&alive_rows[g * each..(g + 1) * each], g * each),
            columns: chosen(&alive_columns[g * columns..(g + 1) * columns], 0),
        };
        Self {
            groups: (0..groups).map(part).collect(),
        }
    }

    /// Whether a support is one of whole rows and columns, and a small one: at most half of `all` weights are in live
    /// rows and columns, and the support fills at least half of those.
    pub(super) fn is_smaller(&self, support: &Mask, all: usize) -> bool {
        2 * self.weights() <= all && self.weights() <= 2 * support.count()
    }

    /// Weights in the smaller matrices, zero or not.
    fn weights(&self) -> usize {
        self.groups.iter().map(|g| g.rows.len() * g.columns.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_rows_and_columns_are_left_out_group_by_group() {
        let mut mask = Mask::empty(4, 3);
        [0, 2, 9].into_iter().for_each(|i| mask.set(i, true)); // row 0: columns 0 and 2; row 3: column 0
        let live = Live::of(&mask, [4, 3], 2);
        let part = |rows: &[u32], columns: &[u32]| LiveGroup {
            rows: rows.to_vec(),
            columns: columns.to_vec(),
        };
        assert_eq!(live.groups, [part(&[0], &[0, 2]), part(&[3], &[0])]);
        assert_eq!(live.weights(), 3);
        assert_eq!(Live::of(&Mask::full(4, 3), [4, 3], 2), Live::all([4, 3], 2));
    }
}
