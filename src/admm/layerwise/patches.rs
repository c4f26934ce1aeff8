//! A convolution's inputs as rows of a matrix: one row for every output position (im2col).

use crate::network::op::Conv2d;

/// The sizes of a convolution on one sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patches {
    /// Input channels, rows, columns.
    pub(super) input: [usize; 3],
    /// Output rows, columns.
    pub(super) output: [usize; 2],
    /// The operation.
    pub(super) conv: Conv2d,
}

impl Patches {
    /// Columns of a row: products of an output, C/groups × R × S.
    pub(super) fn columns(&self) -> usize {
        self.input[0] / self.conv.groups * self.conv.kernel[0] * self.conv.kernel[1]
    }

    /// The rows of one group over all samples of `maps`, each held channels last. Columns are in the order of the
    /// weights: channel, kernel row, kernel column; what lies in the padding is 0.
    pub(super) fn rows(&self, maps: &[f32], group: usize) -> Vec<f32> {
        let [channels, height, width] = self.input;
        let [p, q] = self.output;
        let [r, s] = self.conv.kernel;
        let own = channels / self.conv.groups;
        let columns = self.columns();
        let samples = maps.len() / (channels * height * width).max(1);
        let mut rows = vec![0.0; samples * p * q * columns];
        let places = rows.chunks_exact_mut(columns.max(1)).enumerate();
        for (place, row) in places {
            let (sample, y, x) = (place / (p * q), place / q % p, place % q);
            let map = &maps[sample * channels * height * width..];
            for tap in 0..r * s {
                let at = |out: usize, axis: usize, tap: usize, before: usize, size: usize| {
                    (out * self.conv.stride[axis] + tap * self.conv.dilation[axis])
                        .checked_sub(before)
                        .filter(|&i| i < size)
                };
                let line = at(y, 0, tap / s, self.conv.padding.top, height);
                let column = at(x, 1, tap % s, self.conv.padding.left, width);
                let (Some(line), Some(column)) = (line, column) else {
                    continue;
                };
                let pixel = &map[(line * width + column) * channels + group * own..][..own];
                for (c, &value) in pixel.iter().enumerate() {
                    row[c * r * s + tap] = value;
                }
            }
        }
        rows
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // values are copied, never computed
mod tests {
    use super::*;
    use crate::network::op::Padding;

    #[test]
    fn rows_by_hand() {
        // two channels of 2 × 2: channel 0 holds 1 2 3 4, channel 1 holds 5 6 7 8
        let map = [1.0, 5.0, 2.0, 6.0, 3.0, 7.0, 4.0, 8.0];
        let conv = Conv2d {
            out_channels: 2,
            kernel: [2, 1],
            stride: [1, 1],
            padding: Padding {
                top: 1,
                bottom: 0,
                left: 0,
                right: 0,
            },
            dilation: [1, 1],
            groups: 1,
            bias: false,
        };
        let patches = Patches {
            input: [2, 2, 2],
            output: [2, 2],
            conv,
        };
        let want = [
            [0.0, 1.0, 0.0, 5.0],
            [0.0, 2.0, 0.0, 6.0],
            [1.0, 3.0, 5.0, 7.0],
            [2.0, 4.0, 6.0, 8.0],
        ];
        assert_eq!(patches.rows(&map, 0), want.concat());
        let depthwise = Patches {
            conv: Conv2d { groups: 2, ..conv },
            ..patches
        };
        assert_eq!(depthwise.rows(&map, 1), [0.0, 5.0, 0.0, 6.0, 5.0, 7.0, 6.0, 8.0]);
    }
}
