//! The axes of a weight tensor, which say what a filter, a channel and a kernel are.

/// A weight tensor `filters × channels × kernel rows × kernel columns`. A linear layer's `out × in` has a kernel of
/// 1 × 1. In a grouped convolution the channels are those of one group, and channel `c` is the `c`-th of every group.
///
/// As a matrix (GEMM view) it has one row per filter and one column per channel and kernel position, channels outermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorShape {
    /// Output channels over all groups, or output features.
    pub filters: usize,
    /// Input channels of one group, or input features.
    pub channels: usize,
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
}

impl TensorShape {
    /// A matrix: a kernel of 1 × 1.
    #[must_use]
    pub const fn matrix(rows: usize, cols: usize) -> Self {
        Self {
            filters: rows,
            channels: cols,
            kernel: [1, 1],
        }
    }

    /// The tensor of these axes, outermost first. Axes that are not there are 1; any past the fourth count as kernel
    /// columns.
    #[must_use]
    pub fn of(axes: &[usize]) -> Self {
        let axis = |i: usize| axes.get(i).copied().unwrap_or(1);
        Self {
            filters: axis(0),
            channels: axis(1),
            kernel: [axis(2), axes.iter().skip(3).product()],
        }
    }

    /// Positions of a kernel.
    #[must_use]
    pub fn kernel_positions(self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// GEMM rows: filters.
    #[must_use]
    pub fn rows(self) -> usize {
        self.filters
    }

    /// GEMM columns: channels × kernel positions.
    #[must_use]
    pub fn cols(self) -> usize {
        self.channels * self.kernel_positions()
    }

    /// Weights.
    #[must_use]
    pub fn weights(self) -> usize {
        self.rows() * self.cols()
    }
}

#[cfg(test)]
mod tests {
    use super::TensorShape;

    #[test]
    fn axes_are_read_from_the_outermost_on() {
        let conv = TensorShape::of(&[50, 20, 5, 3]);
        assert_eq!((conv.rows(), conv.cols(), conv.kernel), (50, 300, [5, 3]));
        assert_eq!(TensorShape::of(&[10, 500]), TensorShape::matrix(10, 500));
        assert_eq!(TensorShape::of(&[2, 3, 4, 5, 6]).weights(), 720);
    }
}
