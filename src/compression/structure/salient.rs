//! At most `keep` non-zeros, ranked by their weight times an importance.

use crate::compression::{ConstraintSet, Mask};
use std::sync::Arc;

/// The tensors with at most `keep` non-zeros, the nearest point being taken in a diagonal metric: the largest
/// v²·importance stay (Optimal Brain Damage's saliency where the importance is a second derivative; `LeCun` et al.,
/// NIPS 1989). With equal importances this is [`Unstructured`](super::Unstructured). Among equals the lower index
/// stays; NaN ranks highest and stays visible.
#[derive(Debug, Clone)]
pub struct Salient {
    /// Non-zeros at most.
    pub keep: usize,
    /// One value per weight.
    pub importance: Arc<Vec<f32>>,
}

impl ConstraintSet for Salient {
    fn describe(&self) -> String {
        format!("salient, keep {}", self.keep)
    }

    /// # Panics
    /// When there is not one importance per value.
    fn project(&self, values: &mut [f32], support: &Mask) {
        assert_eq!(values.len(), self.importance.len(), "one importance per value");
        let mut alive: Vec<(f32, usize)> = support
            .ones()
            .map(|i| ((values[i] * values[i] * self.importance[i]).abs(), i))
            .collect();
        let rank = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if self.keep < alive.len() {
            if self.keep > 0 {
                alive.select_nth_unstable_by(self.keep - 1, rank);
            }
            alive.truncate(self.keep);
        }
        let mut mask = Mask::empty(support.rows(), support.cols());
        for &(_, i) in &alive {
            mask.set(i, true);
        }
        mask.apply(values);
    }
}
