//! The memory that one block of samples passes through.

use super::lanes::{LANES, Lanes};

/// What one stage keeps between its forward and its backward pass. Stages use the parts they need; the others
/// stay empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    /// The stage's output.
    pub(super) output: Vec<Lanes>,
    /// The derivative of the loss by the output.
    pub(super) gradient: Vec<Lanes>,
    /// The input with its zero border.
    pub(super) padded: Vec<Lanes>,
    /// The derivative by the input with its border.
    pub(super) padded_gradient: Vec<Lanes>,
    /// A convolution's output, or the derivative by it, where a pooling follows at once.
    pub(super) unpooled: Vec<Lanes>,
    /// Sums per kept weight, one per sample.
    pub(super) sums: Vec<Lanes>,
    /// Which position of its window won, or which position of the map.
    pub(super) winners: Vec<[u32; LANES]>,
    /// What dropout multiplied by.
    pub(super) factors: Vec<Lanes>,
}
