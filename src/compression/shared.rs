//! A budget that all layers share: how many weights each keeps is decided by the weights themselves, anew in every
//! projection.

use super::structure::Salient;
use super::{ConstraintSet, Mask};
use std::fmt::Debug;
use std::sync::Arc;

/// A constraint on several tensors at once.
pub trait SharedBudget: Debug + Send + Sync {
    /// One set per tensor such that projecting each tensor onto its set is the projection of all of them together.
    fn share(&self, values: &[&[f32]], supports: &[&Mask]) -> Vec<Box<dyn ConstraintSet>>;

    /// Hears of the loss's gradient for a tensor after each step of training, penalties left out.
    fn observe(&mut self, tensor: usize, gradient: &[f32], support: &Mask) {
        let _ = (tensor, gradient, support);
    }
}

/// At most `keep` non-zeros over all tensors, the nearest point being taken in the metric of a diagonal importance: the
/// largest v²·(F + 0.05·mean F) stay, over all layers together, and every layer keeps at least one. F is the diagonal of
/// the empirical Fisher information, so that the projection raises a quadratic model of the loss least; the layer's mean
/// keeps weights alive whose gradient happened to vanish. F is a running mean of what [`SharedBudget::observe`] hears.
///
/// Among equals the earlier tensor and the lower index stay.
#[derive(Debug, Clone)]
pub struct TotalWeights {
    /// Non-zeros at most, over all tensors.
    pub keep: usize,
    /// F at the start, one vector per tensor, one value per weight.
    pub fisher: Vec<Vec<f32>>,
    /// The share of F that a step leaves, in [0, 1]; 1 keeps F as it is.
    pub decay: f32,
}

impl TotalWeights {
    fn importance(&self, tensor: usize, support: &Mask) -> Arc<Vec<f32>> {
        let fisher = &self.fisher[tensor];
        let sum: f64 = support.ones().map(|i| f64::from(fisher[i])).sum();
        let mean = (sum / support.count().max(1) as f64) as f32;
        Arc::new(fisher.iter().map(|f| f + 0.05 * mean).collect())
    }
}

impl SharedBudget for TotalWeights {
    fn share(&self, values: &[&[f32]], supports: &[&Mask]) -> Vec<Box<dyn ConstraintSet>> {
        let importance: Vec<Arc<Vec<f32>>> = supports
            .iter()
            .enumerate()
            .map(|(tensor, support)| self.importance(tensor, support))
            .collect();
        let mut scores: Vec<(f32, u32)> = Vec::new();
        let mut counts = vec![0usize; values.len()];
        for (layer, (v, support)) in values.iter().zip(supports).enumerate() {
            let mut own: Vec<f32> = support
                .ones()
                .map(|i| v[i] * v[i] * importance[layer][i])
                .collect();
            // the best of each layer stays whatever the others hold
            if let Some(best) = (0..own.len()).max_by(|&a, &b| own[a].total_cmp(&own[b]).then(b.cmp(&a))) {
                own.swap_remove(best);
                counts[layer] = 1;
            }
            scores.extend(own.into_iter().map(|s| (s, layer as u32)));
        }
        let left = self.keep.saturating_sub(counts.iter().sum());
        if left < scores.len() {
            scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            scores.truncate(left);
        }
        for &(_, layer) in &scores {
            counts[layer as usize] += 1;
        }
        counts
            .into_iter()
            .zip(&importance)
            .map(|(keep, importance)| {
                Box::new(Salient {
                    keep,
                    importance: Arc::clone(importance),
                }) as Box<dyn ConstraintSet>
            })
            .collect()
    }

    fn observe(&mut self, tensor: usize, gradient: &[f32], support: &Mask) {
        let fisher = &mut self.fisher[tensor];
        let new = 1.0 - self.decay;
        support
            .ones()
            .for_each(|i| fisher[i] += new * (gradient[i] * gradient[i] - fisher[i]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn projected(values: &[Vec<f32>], importance: &[Vec<f32>], keep: usize) -> Vec<Vec<f32>> {
        let supports: Vec<Mask> = values.iter().map(|v| Mask::full(1, v.len())).collect();
        let budget = TotalWeights {
            keep,
            fisher: importance.to_vec(),
            decay: 1.0,
        };
        let slices: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        let sets = budget.share(&slices, &supports.iter().collect::<Vec<_>>());
        let mut out = values.to_vec();
        for ((set, v), support) in sets.iter().zip(&mut out).zip(&supports) {
            set.project(v, support);
        }
        out
    }

    proptest! {
        /// No choice of as many weights, one a layer at least, loses less of Σ v²·importance (all supports tried).
        #[test]
        fn no_other_choice_loses_less(
            a in prop::collection::vec(-2.0f32..2.0, 1..5),
            b in prop::collection::vec(-2.0f32..2.0, 1..5),
            scale in prop::collection::vec(0.1f32..3.0, 10),
            keep in 2usize..9,
        ) {
            let values = [a.clone(), b.clone()];
            let importance = [scale[..a.len()].to_vec(), scale[5..5 + b.len()].to_vec()];
            let out = projected(&values, &importance, keep);
            let flat = |x: &[Vec<f32>]| x.concat();
            let (v, o) = (flat(&values), flat(&out));
            prop_assert!(o.iter().filter(|&&x| x != 0.0).count() <= keep);
            prop_assert!(o.iter().zip(&v).all(|(o, v)| *o == 0.0 || o == v));
            let mean = |s: &[f32]| s.iter().sum::<f32>() / s.len() as f32;
            let s: Vec<f32> = importance.iter().flat_map(|i| i.iter().map(|f| f + 0.05 * mean(i))).collect();
            let kept = |bits: u32| -> f64 {
                (0..v.len()).filter(|i| bits >> i & 1 == 1).map(|i| f64::from(v[i] * v[i] * s[i])).sum()
            };
            let ours: f64 = (0..v.len()).filter(|&i| o[i] != 0.0).map(|i| f64::from(v[i] * v[i] * s[i])).sum();
            let first = (1u32 << a.len()) - 1;
            let best = (0..1u32 << v.len())
                .filter(|bits| bits.count_ones() as usize <= keep && bits & first != 0 && bits & !first != 0)
                .map(kept)
                .fold(0.0, f64::max);
            prop_assert!(ours >= best - 1e-5, "{ours} against {best}");
        }
    }
}
