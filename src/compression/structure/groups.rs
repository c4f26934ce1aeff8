//! Sets whose weights live or die in groups: the heaviest groups stay whole.

use super::TensorShape;
use crate::compression::{ConstraintSet, Mask};

/// A partition of a weight matrix into groups, and how many of them may stay.
///
/// Whatever implements it is a [`ConstraintSet`]: the tensors in which at most [`Grouping::keep`] groups hold weights
/// that are not zero. The projection keeps the groups with the largest sum of squares (METHODS §0), summed in `f64`
/// over the support; of equal sums the group of lower index. Groups of nothing but zeros never stay. A group that holds
/// a NaN ranks above all others and stays visible, as in [`super::Unstructured`].
pub trait Grouping: std::fmt::Debug + Send + Sync {
    /// What a group is, for reports.
    fn word(&self) -> String;

    /// The tensor.
    fn shape(&self) -> TensorShape;

    /// Groups of the tensor.
    fn groups(&self) -> usize;

    /// The group of a position (row-major in the GEMM matrix).
    fn group_of(&self, index: usize) -> usize;

    /// Groups that may stay at most.
    fn keep(&self) -> usize;
}

impl<G: Grouping> ConstraintSet for G {
    fn describe(&self) -> String {
        format!("{}, keep {} of {}", self.word(), self.keep(), self.groups())
    }

    /// # Panics
    /// When the support has not the positions of the tensor, or not one per value.
    fn project(&self, values: &mut [f32], support: &Mask) {
        self.survivors(values, support).apply(values);
    }

    fn survivors(&self, values: &[f32], support: &Mask) -> Mask {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        assert_eq!(values.len(), self.shape().weights(), "the tensor of the set");
        let mut weight = vec![0.0; self.groups()];
        for i in support.ones() {
            weight[self.group_of(i)] += f64::from(values[i]).powi(2);
        }
        let stays = heaviest(&weight, self.keep());
        let mut left = support.clone();
        for i in support.ones() {
            if !stays[self.group_of(i)] {
                left.set(i, false);
            }
        }
        left
    }
}

/// Which of the weights above are the `keep` largest; none that is zero; of equals the first.
pub(super) fn heaviest(weight: &[f64], keep: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..weight.len()).filter(|&g| weight[g] != 0.0).collect();
    let rank = |&a: &usize, &b: &usize| weight[b].abs().total_cmp(&weight[a].abs()).then(a.cmp(&b));
    if keep < order.len() {
        if keep > 0 {
            order.select_nth_unstable_by(keep - 1, rank);
        }
        order.truncate(keep);
    }
    let mut stays = vec![false; weight.len()];
    for group in order {
        stays[group] = true;
    }
    stays
}

/// Groups of `size` weights that fit into `keep` weights: at least one, at most all.
pub(super) fn whole_groups(keep: usize, size: usize, groups: usize) -> usize {
    (keep / size.max(1)).clamp(1, groups.max(1))
}
