//! The same number of weights for every output, or for every processing element.

use super::TensorShape;
use super::bins::keep_largest;
use crate::compression::{ConstraintSet, Mask};

/// The tensors in which no processing element holds more than `keep` non-zeros, where element p of `pes` holds the rows
/// p, p + pes, p + 2·pes …, as EIE interleaves them (Han et al., ISCA 2016). With as many elements as rows, every
/// output has its own count: no lane waits for a longer row (ALGORITHMS §4).
///
/// The projection keeps the largest magnitudes of every element; magnitudes and ties are those of
/// [`super::Unstructured`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balanced {
    /// The tensor.
    pub shape: TensorShape,
    /// Processing elements, at least 1 and at most the rows.
    pub pes: usize,
    /// Non-zeros of an element at most.
    pub keep: usize,
}

impl Balanced {
    /// The largest count per element with which no more than `keep` weights stay in all; at least one. Elements with a
    /// row more than others hold more only where the others are full.
    #[must_use]
    pub fn of(shape: TensorShape, pes: usize, keep: usize) -> Self {
        let pes = pes.clamp(1, shape.rows().max(1));
        // `longer` elements have one row more than the others
        let (short, longer) = (shape.rows() / pes, shape.rows() % pes);
        let full = short * shape.cols();
        let even = keep / pes;
        let keep = if even < full || longer == 0 {
            even.min(full)
        } else {
            ((keep - (pes - longer) * full) / longer).min(full + shape.cols())
        };
        Self {
            shape,
            pes,
            keep: keep.max(1),
        }
    }
}

impl ConstraintSet for Balanced {
    fn describe(&self) -> String {
        format!("balanced over {} elements, keep {} each", self.pes, self.keep)
    }

    /// # Panics
    /// When the support has not the positions of the tensor, or not one per value.
    fn project(&self, values: &mut [f32], support: &Mask) {
        self.survivors(values, support).apply(values);
    }

    fn survivors(&self, values: &[f32], support: &Mask) -> Mask {
        assert_eq!(values.len(), support.len(), "a support has one bit per value");
        assert_eq!(values.len(), self.shape.weights(), "the tensor of the set");
        let (rows, cols, pes) = (self.shape.rows(), self.shape.cols(), self.pes.max(1));
        let mut left = Mask::empty(support.rows(), support.cols());
        let mut alive = Vec::new();
        for pe in 0..pes.min(rows) {
            for row in (pe..rows).step_by(pes) {
                alive.extend((row * cols..(row + 1) * cols).filter(|&i| support.get(i)));
            }
            keep_largest(values, &mut alive, self.keep, &mut left);
        }
        left
    }
}
