//! Tables of values by k-means in one dimension.
//!
//! Clusters of sorted values are runs of neighbours. The start is the exact optimum by dynamic programming over the
//! runs (the best first value of the last run moves up with its end, so each row of the table is filled by divide and
//! conquer in n·log n) where the table is small, and the quantiles otherwise; then Lloyd's rounds.

/// Entries of the table of the exact optimum, at most.
const EXACT: usize = 1 << 21;
/// Lloyd's rounds at most.
const ROUNDS: usize = 100;

/// Values in ascending order, with prefix sums of the values and of their squares.
pub(super) struct Sorted {
    values: Vec<f32>,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Sorted {
    /// The finite ones of these values.
    pub(super) fn new(values: impl Iterator<Item = f32>) -> Self {
        let mut values: Vec<f32> = values.filter(|v| v.is_finite()).collect();
        values.sort_unstable_by(f32::total_cmp);
        let prefix = |f: &dyn Fn(f64) -> f64| {
            let mut sum = 0.0;
            let sums = values.iter().map(|&v| {
                sum += f(f64::from(v));
                sum
            });
            std::iter::once(0.0).chain(sums).collect()
        };
        let (sums, squares) = (prefix(&|v| v), prefix(&|v| v * v));
        Self {
            values,
            sums,
            squares,
        }
    }

    /// At most `count` values, ascending, near which these lie: the start, then Lloyd's rounds. Empty without values.
    pub(super) fn table(&self, count: usize) -> Vec<f32> {
        let n = self.values.len();
        let mut distinct = self.values.clone();
        distinct.dedup();
        if distinct.len() <= count {
            return storable(distinct.into_iter().map(f64::from).collect());
        }
        let starts = if n.saturating_mul(count) <= EXACT {
            self.exact(count)
        } else {
            (0..count).map(|i| i * n / count).collect()
        };
        let ends = starts.iter().skip(1).copied().chain([n]);
        let means = starts.iter().zip(ends).filter(|(from, to)| **from < *to);
        let means = means.map(|(&from, to)| self.mean(from, to)).collect();
        self.lloyd(means)
    }

    /// Lloyd's rounds from a table: each value to its nearest, each entry to the mean of its values. Entries without
    /// values stay.
    pub(super) fn lloyd(&self, mut table: Vec<f64>) -> Vec<f32> {
        for _ in 0..ROUNDS {
            let mut from = 0;
            let mut next = Vec::with_capacity(table.len());
            for (i, &entry) in table.iter().enumerate() {
                let to = table.get(i + 1).map_or(self.values.len(), |&above| {
                    // half way goes to the lower entry
                    let edge = 0.5 * (entry + above);
                    from + self.values[from..].partition_point(|&v| f64::from(v) <= edge)
                });
                next.push(if from < to { self.mean(from, to) } else { entry });
                from = to;
            }
            let settled = next == table;
            table = next;
            if settled {
                break;
            }
        }
        storable(table)
    }

    fn mean(&self, from: usize, to: usize) -> f64 {
        (self.sums[to] - self.sums[from]) / (to - from) as f64
    }

    /// Squared error of one run around its mean.
    fn error(&self, from: usize, to: usize) -> f64 {
        let sum = self.sums[to] - self.sums[from];
        (self.squares[to] - self.squares[from] - sum * sum / (to - from) as f64).max(0.0)
    }

    /// Where the runs of the exact optimum start.
    fn exact(&self, count: usize) -> Vec<usize> {
        let n = self.values.len();
        // error of the first `to` values in the clusters so far; from[c][to] is where the last of them starts
        let mut least: Vec<f64> = (0..=n)
            .map(|to| if to == 0 { 0.0 } else { self.error(0, to) })
            .collect();
        let mut from = vec![vec![0u32; n + 1]];
        for clusters in 2..=count {
            let mut row = vec![f64::INFINITY; n + 1];
            let mut starts = vec![0u32; n + 1];
            // (first and last end to fill, first and last start to try)
            let mut open = vec![(clusters, n, clusters - 1, n - 1)];
            while let Some((low, high, first, last)) = open.pop() {
                if low > high {
                    continue;
                }
                let end = low.midpoint(high);
                let mut best = (f64::INFINITY, first);
                let tried = least.iter().enumerate().take(last.min(end - 1) + 1).skip(first);
                for (start, before) in tried {
                    let error = before + self.error(start, end);
                    if error < best.0 {
                        best = (error, start);
                    }
                }
                row[end] = best.0;
                starts[end] = best.1 as u32;
                open.push((low, end - 1, first, best.1));
                open.push((end + 1, high, best.1, last));
            }
            least = row;
            from.push(starts);
        }
        let (mut end, mut runs) = (n, Vec::with_capacity(count));
        for starts in from.iter().rev() {
            end = starts[end] as usize;
            runs.push(end);
        }
        runs.reverse();
        runs
    }
}

/// Entries as stored: ascending, each once, none of them zero, since a zero means pruned.
fn storable(table: Vec<f64>) -> Vec<f32> {
    let mut stored: Vec<f32> = table
        .into_iter()
        .map(|v| v.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32)
        .map(|v| if v == 0.0 { f32::MIN_POSITIVE } else { v })
        .collect();
    stored.sort_unstable_by(f32::total_cmp);
    stored.dedup();
    stored
}

/// The entry nearest to a value; half way goes to the lower one. `None` for an empty table.
pub(super) fn nearest(table: &[f32], value: f32) -> Option<u32> {
    let above = table.partition_point(|&entry| entry < value);
    let distance = |i: usize| {
        table
            .get(i)
            .map(|&entry| (f64::from(entry) - f64::from(value)).abs())
    };
    match (above.checked_sub(1).and_then(distance), distance(above)) {
        (Some(below), Some(over)) if over < below => Some(above as u32),
        (Some(_), _) => Some(above as u32 - 1),
        (None, Some(_)) => Some(0),
        (None, None) => None,
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // the values compared are copied or exact
mod tests {
    use super::*;

    #[test]
    fn few_values_are_their_own_table_and_zero_is_none() {
        let table = |values: &[f32], count| Sorted::new(values.iter().copied()).table(count);
        assert_eq!(table(&[2.0, -1.0, 2.0, f32::NAN], 4), [-1.0, 2.0]);
        assert_eq!(table(&[-1.0, 1.0], 1), [f32::MIN_POSITIVE]);
        assert_eq!(table(&[], 2), [0.0f32; 0]);
    }

    #[test]
    fn nearest_of_a_table() {
        let table = [-1.0, 1.0, 4.0];
        assert_eq!(
            [-9.0, 0.0, 0.1, 2.5, 2.6, 9.0].map(|v| nearest(&table, v)),
            [0, 0, 1, 1, 2, 2].map(Some)
        );
        assert_eq!(nearest(&[], 1.0), None);
    }
}
