//! At most `keep` non-zeros, anywhere.

use crate::compression::{ConstraintSet, Mask};

/// The tensors with at most `keep` non-zeros. The projection keeps the largest magnitudes (METHODS §0; ADMM-NN,
/// arXiv 1812.11677, §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unstructured {
    /// Non-zeros at most.
    pub keep: usize,
}

impl ConstraintSet for Unstructured {
    fn describe(&self) -> String {
        format!("unstructured, keep {}", self.keep)
    }

    fn project(&self, values: &mut [f32], support: &Mask) {
        // replaced by a partial select
        let mut order: Vec<usize> = support.ones().collect();
        order.sort_by(|&a, &b| values[b].abs().total_cmp(&values[a].abs()).then(a.cmp(&b)));
        let mut out = vec![0.0; values.len()];
        for &i in order.iter().take(self.keep) {
            out[i] = values[i];
        }
        values.copy_from_slice(&out);
    }
}
