//! Whole input channels: the columns of a channel in every filter.

use super::groups::whole_groups;
use super::{Grouping, TensorShape};

/// The tensors with at most `keep` input channels that are not zero (METHODS §0; `StructADMM`, arXiv 1807.11091).
///
/// The layer before need not compute a channel that leaves. In a grouped convolution channel `c` is the `c`-th of every
/// group; a depthwise one has a single channel, which always stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// The tensor.
    pub shape: TensorShape,
    /// Channels at most.
    pub keep: usize,
}

impl Channel {
    /// As many channels as fit into `keep` weights, at least one.
    #[must_use]
    pub fn of(shape: TensorShape, keep: usize) -> Self {
        let size = shape.filters * shape.kernel_positions();
        Self {
            shape,
            keep: whole_groups(keep, size, shape.channels),
        }
    }
}

impl Grouping for Channel {
    fn word(&self) -> String {
        "channel".into()
    }

    fn shape(&self) -> TensorShape {
        self.shape
    }

    fn groups(&self) -> usize {
        self.shape.channels
    }

    fn group_of(&self, index: usize) -> usize {
        index % self.shape.cols() / self.shape.kernel_positions()
    }

    fn keep(&self) -> usize {
        self.keep
    }
}
