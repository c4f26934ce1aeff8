//! A budget of weights that the groups of all layers share.

use super::shared::SharedBudget;
use super::structure::{Partition, WholeGroups};
use super::{ConstraintSet, Mask};
use std::sync::Arc;

/// Whole groups of at most `keep` weights over all tensors: those of the largest saliency per weight stay, where the
/// saliency of a group is the sum of its v²·(F + 0.05·mean F) and F the diagonal of the empirical Fisher information, a
/// running mean of what [`SharedBudget::observe`] hears. The best group of every tensor stays.
///
/// Where all groups hold as many weights, no other choice loses less saliency. Where sizes differ, groups that are
/// still to come but no longer fit are passed over; among the choices that keep the best group of every tensor, none
/// then holds more than the first group passed over on top (the bound of the knapsack problem's linear relaxation:
/// Dantzig, Operations Research 5(2), 1957).
///
/// Among equals the earlier tensor and the lower group stay.
#[derive(Debug, Clone)]
pub struct TotalGroups {
    /// Weights in the groups that stay, at most, over all tensors.
    pub keep: usize,
    /// The groups of each tensor.
    pub partitions: Vec<Arc<Partition>>,
    /// F at the start, one vector per tensor, one value per weight; no vectors at all: F is 1, and groups are ranked by
    /// their mean square.
    pub fisher: Vec<Vec<f32>>,
    /// The share of F that a step leaves, in [0, 1]; 1 keeps F as it is.
    pub decay: f32,
}

/// A group that asks to stay.
struct Candidate {
    per_weight: f64,
    tensor: usize,
    group: usize,
    size: usize,
}

impl TotalGroups {
    /// Saliency per weight of each group, and its weights in the support.
    fn candidates(&self, tensor: usize, values: &[f32], support: &Mask) -> Vec<Candidate> {
        let partition = &self.partitions[tensor];
        let sizes = partition.sizes(support);
        let saliency = match self.fisher.get(tensor) {
            Some(fisher) => {
                let sum: f64 = support.ones().map(|i| f64::from(fisher[i])).sum();
                let floor = 0.05 * sum / support.count().max(1) as f64;
                partition.sums(support, |i| {
                    f64::from(values[i]).powi(2) * (f64::from(fisher[i]) + floor)
                })
            }
            None => partition.sums(support, |i| f64::from(values[i]).powi(2)),
        };
        (0..partition.groups())
            .filter(|&group| sizes[group] > 0)
            .map(|group| Candidate {
                per_weight: saliency[group] / sizes[group] as f64,
                tensor,
                group,
                size: sizes[group],
            })
            .collect()
    }
}

fn rank(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.per_weight
        .total_cmp(&a.per_weight)
        .then((a.tensor, a.group).cmp(&(b.tensor, b.group)))
}

impl TotalGroups {
    /// The groups that stay, one set per tensor.
    ///
    /// # Panics
    /// When values or supports are not those of the partitions.
    #[must_use]
    pub fn choose(&self, values: &[&[f32]], supports: &[&Mask]) -> Vec<WholeGroups> {
        let mut stays: Vec<Vec<bool>> = self.partitions.iter().map(|p| vec![false; p.groups()]).collect();
        let mut left = self.keep;
        let mut others = Vec::new();
        for (tensor, (values, support)) in values.iter().zip(supports).enumerate() {
            let mut own = self.candidates(tensor, values, support);
            own.sort_by(rank);
            let mut own = own.into_iter();
            // the best of each tensor stays whatever the others hold
            if let Some(best) = own.next() {
                stays[tensor][best.group] = true;
                left = left.saturating_sub(best.size);
            }
            others.extend(own);
        }
        others.sort_by(rank);
        for c in others {
            if c.size <= left {
                stays[c.tensor][c.group] = true;
                left -= c.size;
            }
        }
        self.partitions
            .iter()
            .zip(stays)
            .map(|(partition, stays)| WholeGroups::new(Arc::clone(partition), stays))
            .collect()
    }
}

impl SharedBudget for TotalGroups {
    fn share(&self, values: &[&[f32]], supports: &[&Mask]) -> Vec<Box<dyn ConstraintSet>> {
        let chosen = self.choose(values, supports).into_iter();
        chosen.map(|set| Box::new(set) as _).collect()
    }

    fn observe(&mut self, tensor: usize, gradient: &[f32], support: &Mask) {
        let Some(fisher) = self.fisher.get_mut(tensor) else {
            return;
        };
        let new = 1.0 - self.decay;
        support
            .ones()
            .for_each(|i| fisher[i] += new * (gradient[i] * gradient[i] - fisher[i]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::structure::{Structure, TensorShape};
    use proptest::prelude::*;

    /// The weights of the groups that stay, their saliency, and sizes and saliencies of all groups of both tensors.
    fn share(
        values: &[Vec<f32>; 2],
        fisher: &[Vec<f32>; 2],
        segments: [u32; 2],
        keep: usize,
    ) -> (usize, f64, Vec<(usize, f64)>) {
        let partitions: Vec<Arc<Partition>> = values
            .iter()
            .zip(segments)
            .map(|(v, cols)| {
                let shape = TensorShape::matrix(1, v.len());
                let partition = Structure::BlockRow { cols }.partition(shape);
                Arc::new(partition.expect("segments are groups"))
            })
            .collect();
        let supports = values.each_ref().map(|v| Mask::full(1, v.len()));
        let budget = TotalGroups {
            keep,
            partitions: partitions.clone(),
            fisher: fisher.to_vec(),
            decay: 1.0,
        };
        let slices: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        let sets = budget.share(&slices, &supports.iter().collect::<Vec<_>>());
        let (mut weights, mut saliency, mut groups) = (0, 0.0, Vec::new());
        for (((set, v), support), (partition, f)) in sets
            .iter()
            .zip(values)
            .zip(&supports)
            .zip(partitions.iter().zip(fisher))
        {
            let mean = f.iter().sum::<f32>() / f.len() as f32;
            let of = |i: usize| f64::from(v[i]).powi(2) * f64::from(f[i] + 0.05 * mean);
            let left = set.survivors(v, support);
            weights += left.count();
            saliency += left.ones().map(of).sum::<f64>();
            groups.extend(
                partition
                    .sizes(support)
                    .into_iter()
                    .zip(partition.sums(support, of)),
            );
        }
        (weights, saliency, groups)
    }

    /// The largest saliency of at most `keep` weights in whole groups, among the choices that `allowed` lets pass: all
    /// are tried.
    fn best(groups: &[(usize, f64)], keep: usize, allowed: impl Fn(u32) -> bool) -> f64 {
        (0..1u32 << groups.len())
            .filter(|&bits| allowed(bits))
            .map(|bits| {
                let chosen = (0..groups.len())
                    .filter(|g| bits >> g & 1 == 1)
                    .map(|g| groups[g]);
                chosen.fold((0, 0.0), |(n, s), (size, saliency)| (n + size, s + saliency))
            })
            .filter(|&(weights, _)| weights <= keep)
            .fold(0.0, |best: f64, (_, saliency)| best.max(saliency))
    }

    proptest! {
        /// Groups of one size: no other choice of whole groups keeps more saliency.
        #[test]
        fn no_other_choice_of_equal_groups_keeps_more(
            a in prop::collection::vec(-2.0f32..2.0, 6..13),
            b in prop::collection::vec(-2.0f32..2.0, 6..13),
            f in prop::collection::vec(0.1f32..3.0, 24),
            keep in 2usize..11,
        ) {
            let even = |v: &[f32]| v[..v.len() / 2 * 2].to_vec();
            let values = [even(&a), even(&b)];
            let fisher = [f[..values[0].len()].to_vec(), f[12..12 + values[1].len()].to_vec()];
            let (weights, saliency, groups) = share(&values, &fisher, [2, 2], 2 * keep);
            prop_assert!(weights <= 2 * keep);
            let first = (1u32 << (values[0].len() / 2)) - 1;
            let best = best(&groups, 2 * keep, |bits| bits & first != 0 && bits & !first != 0);
            prop_assert!(saliency >= best - 1e-5, "{saliency} against {best}");
        }

        /// Groups of two sizes: the budget is held, and what is lost against the best choice that keeps each tensor's best
        /// group is less than one group.
        #[test]
        fn unequal_groups_lose_less_than_one_group(
            a in prop::collection::vec(-2.0f32..2.0, 4..7),
            b in prop::collection::vec(-2.0f32..2.0, 12..19),
            f in prop::collection::vec(0.1f32..3.0, 24),
            keep in 4usize..22,
        ) {
            let values = [a, b];
            let fisher = [f[..values[0].len()].to_vec(), f[6..6 + values[1].len()].to_vec()];
            let (weights, saliency, groups) = share(&values, &fisher, [1, 3], keep);
            prop_assert!(weights <= keep);
            let top = |from: usize, to: usize| {
                let per_weight = |g: usize| groups[g].1 / groups[g].0 as f64;
                (from..to).fold(from, |top, g| if per_weight(g) > per_weight(top) { g } else { top })
            };
            let (first, all) = (values[0].len(), groups.len());
            let kept = 1u32 << top(0, first) | 1 << top(first, all);
            let best = best(&groups, keep, |bits| bits & kept == kept);
            let largest = groups.iter().fold(0.0, |m: f64, g| m.max(g.1));
            prop_assert!(saliency > best - largest, "{saliency} against {best}, a group holds {largest}");
        }
    }

    #[test]
    fn a_budget_of_everything_keeps_everything() {
        let values = [vec![0.0, 1.0, 0.5], vec![0.0; 4]];
        let fisher = [vec![1.0; 3], vec![1.0; 4]];
        assert_eq!(share(&values, &fisher, [2, 3], 7).0, 7);
    }
}
