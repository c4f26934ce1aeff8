//! The groups of a structure, tensor by tensor: what penalties weigh and shared budgets choose from.

use super::{Block, Channel, Column, Filter, Grouping, Structure, TensorShape};
use crate::compression::{ConstraintSet, Mask};
use std::sync::Arc;

/// A weight tensor cut into groups that live or die whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    word: String,
    of: Vec<u32>,
    groups: usize,
}

impl Structure {
    /// The groups of a tensor of this shape: single weights, filters, channels, columns, blocks or segments. `None` for
    /// structures whose weights do not live or die in groups of one partition (filters and columns together, N:M,
    /// patterns, balanced rows).
    ///
    /// Where [`Structure::fits`] refuses, the groups are those of the nearest structure that the tensor can hold.
    ///
    /// ```
    /// use cosparse::compression::structure::{Structure, TensorShape};
    /// let halves = Structure::BlockRow { cols: 2 }
    ///     .partition(TensorShape::matrix(2, 4))
    ///     .expect("segments are groups");
    /// assert_eq!(halves.groups(), 4);
    /// assert_eq!(halves.group_of(5), 2); // the second row, its first half
    /// ```
    #[must_use]
    pub fn partition(self, shape: TensorShape) -> Option<Partition> {
        let all = shape.weights();
        let of = |grouping: &dyn Grouping| Partition {
            word: grouping.word(),
            of: (0..all).map(|i| grouping.group_of(i) as u32).collect(),
            groups: grouping.groups(),
        };
        let block = |rows: u32, cols: u32| of(&Block::of(shape, rows as usize, cols as usize, all));
        match self {
            Self::Unstructured => Some(Partition {
                word: "weight".into(),
                of: (0..all as u32).collect(),
                groups: all,
            }),
            Self::Filter => Some(of(&Filter::of(shape, all))),
            Self::Channel => Some(of(&Channel::of(shape, all))),
            Self::Shape => Some(of(&Column::of(shape, all))),
            Self::Block { rows, cols } => Some(block(rows, cols)),
            Self::BlockRow { cols } => Some(block(1, cols)),
            Self::BlockColumn { rows } => Some(block(rows, 1)),
            Self::FilterShape { .. }
            | Self::NM { .. }
            | Self::Pattern { .. }
            | Self::BalancedRows
            | Self::BalancedPes { .. } => None,
        }
    }
}

impl Partition {
    /// What a group is, for reports.
    #[must_use]
    pub fn word(&self) -> &str {
        &self.word
    }

    /// Groups of the tensor.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Weights of the tensor.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.of.len()
    }

    /// The group of a position (row-major in the GEMM matrix).
    ///
    /// # Panics
    /// When the position is outside the tensor.
    #[must_use]
    pub fn group_of(&self, index: usize) -> usize {
        self.of[index] as usize
    }

    /// Positions of the support in each group.
    ///
    /// # Panics
    /// When the support is of another tensor.
    #[must_use]
    pub fn sizes(&self, support: &Mask) -> Vec<usize> {
        let mut sizes = vec![0; self.groups];
        support.ones().for_each(|i| sizes[self.group_of(i)] += 1);
        sizes
    }

    /// The ℓ₂ norm of each group over the support, summed in `f64`.
    ///
    /// # Panics
    /// When values or support are of another tensor.
    #[must_use]
    pub fn norms(&self, values: &[f32], support: &Mask) -> Vec<f64> {
        let squares = self.sums(support, |i| f64::from(values[i]).powi(2));
        squares.into_iter().map(f64::sqrt).collect()
    }

    /// The sum of something over the support's positions of each group.
    pub(crate) fn sums(&self, support: &Mask, of: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.groups];
        support.ones().for_each(|i| sums[self.group_of(i)] += of(i));
        sums
    }
}

/// The tensors that are zero outside given groups: the set that a choice of groups leaves, whoever made it.
///
/// ```
/// use cosparse::compression::structure::{Structure, TensorShape, WholeGroups};
/// use cosparse::compression::{ConstraintSet, Mask};
/// let partition = Structure::Filter.partition(TensorShape::matrix(2, 2)).expect("filters are groups");
/// let mut weights = [3.0, 0.0, 2.0, 2.5];
/// WholeGroups::new(partition.into(), vec![true, false]).project(&mut weights, &Mask::full(2, 2));
/// assert_eq!(weights, [3.0, 0.0, 0.0, 0.0]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeGroups {
    partition: Arc<Partition>,
    stays: Vec<bool>,
}

impl WholeGroups {
    /// The groups that stay, one word for each group of the partition.
    ///
    /// # Panics
    /// When there is not one word per group.
    #[must_use]
    pub fn new(partition: Arc<Partition>, stays: Vec<bool>) -> Self {
        assert_eq!(partition.groups(), stays.len(), "one word per group");
        Self { partition, stays }
    }

    /// The groups whose norm is at least `least`, and the heaviest in any case, so that the layer goes on. A group
    /// that holds a NaN stays visible.
    #[must_use]
    pub fn above(partition: Arc<Partition>, values: &[f32], support: &Mask, least: f64) -> Self {
        let norms = partition.norms(values, support);
        let heaviest = (0..norms.len()).max_by(|&a, &b| norms[a].total_cmp(&norms[b]).then(b.cmp(&a)));
        let stays = norms
            .iter()
            .enumerate()
            .map(|(g, &norm)| Some(g) == heaviest || norm >= least || norm.is_nan())
            .collect();
        Self { partition, stays }
    }

    /// Groups that stay.
    #[must_use]
    pub fn count(&self) -> usize {
        self.stays.iter().filter(|&&s| s).count()
    }

    /// Whether a group stays.
    ///
    /// # Panics
    /// When there is no such group.
    #[must_use]
    pub fn stays(&self, group: usize) -> bool {
        self.stays[group]
    }
}

impl ConstraintSet for WholeGroups {
    fn describe(&self) -> String {
        format!(
            "{}, {} of {}",
            self.partition.word,
            self.count(),
            self.partition.groups
        )
    }

    /// # Panics
    /// When values or support are of another tensor.
    fn project(&self, values: &mut [f32], support: &Mask) {
        self.survivors(values, support).apply(values);
    }

    fn survivors(&self, values: &[f32], support: &Mask) -> Mask {
        assert_eq!(values.len(), self.partition.weights(), "the tensor of the set");
        let mut left = support.clone();
        for i in support.ones() {
            if !self.stays[self.partition.group_of(i)] {
                left.set(i, false);
            }
        }
        left
    }
}
