//! The memory that one block of samples passes through.

use super::lanes::{Buffer, LANES};

/// What one stage keeps between its forward and its backward pass. Stages use the parts they need; the others
/// stay empty.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The stage's output.
    pub(super) output: Buffer,
    /// The derivative of the loss by the output.
    pub(super) gradient: Buffer,
    /// The input with its zero border.
    pub(super) padded: Buffer,
    /// The derivative by the input with its border.
    pub(super) padded_gradient: Buffer,
    /// A convolution's output, or the derivative by it, where a pooling follows at once.
    pub(super) unpooled: Buffer,
    /// Sums per kept weight, one per sample.
    pub(super) sums: Buffer,
    /// Which position of its window won, or which position of the map.
    pub(super) winners: Vec<[u32; LANES]>,
    /// What dropout multiplied by.
    pub(super) factors: Buffer,
}
