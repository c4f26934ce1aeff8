//! Where the windows of a convolution stand in a padded map, forward and backward.

use super::super::conv::Sizes;
use crate::training::dense::float::Float;

/// A channels-last map with zeros around it, and the windows that are read from it.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Rows, columns and channels of the map.
    map: [usize; 3],
    /// Rows of zeros above and columns of zeros to the left.
    before: [usize; 2],
    /// Rows and columns with the zeros.
    padded: [usize; 2],
}

impl Frame {
    fn new(map: [usize; 3], before: [usize; 2], after: [usize; 2]) -> Self {
        Self {
            map,
            before,
            padded: [0, 1].map(|axis| before[axis] + map[axis] + after[axis]),
        }
    }

    /// Whether there are no zeros: the map is read where it stands.
    pub(super) fn bare(&self) -> bool {
        self.padded == [self.map[0], self.map[1]]
    }

    /// Elements of so many padded rows.
    pub(super) fn elements(&self, rows: usize) -> usize {
        rows * self.padded[1] * self.map[2]
    }

    /// Rows with the zeros.
    pub(super) fn rows(&self) -> usize {
        self.padded[0]
    }

    /// The place of a position's first channel in the padded map.
    fn place(&self, row: usize, column: usize) -> usize {
        (row * self.padded[1] + column) * self.map[2]
    }

    /// Copies padded rows from `first` on, as many as `to` holds.
    pub(super) fn copy<T: Float>(&self, map: &[T], first: usize, to: &mut [T]) {
        let [h, w, c] = self.map;
        let [top, left] = self.before;
        for (i, row) in to.chunks_exact_mut(self.padded[1] * c).enumerate() {
            let Some(from) = (first + i).checked_sub(top).filter(|&y| y < h) else {
                row.fill(T::ZERO);
                continue;
            };
            let (zeros, rest) = row.split_at_mut(left * c);
            zeros.fill(T::ZERO);
            let (inside, zeros) = rest.split_at_mut(w * c);
            inside.copy_from_slice(&map[from * w * c..][..w * c]);
            zeros.fill(T::ZERO);
        }
    }
}

/// The forward windows.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    pub(super) frame: Frame,
    /// Where the window of each output position begins.
    pub(super) positions: Vec<u32>,
}

impl Windows {
    pub(super) fn new(sizes: &Sizes) -> Self {
        let (c, [p, q, _]) = (&sizes.conv, sizes.output);
        let pad = &c.padding;
        let frame = Frame::new(sizes.input, [pad.top, pad.left], [pad.bottom, pad.right]);
        let positions = (0..p * q)
            .map(|i| frame.place(i / q * c.stride[0], i % q * c.stride[1]) as u32)
            .collect();
        Self { frame, positions }
    }

    /// How far from the beginning of a window a tap's channel is.
    pub(super) fn offset(&self, sizes: &Sizes, [r, s]: [usize; 2], channel: usize) -> u32 {
        let d = sizes.conv.dilation;
        (self.frame.place(r * d[0], s * d[1]) + channel) as u32
    }

    /// Padded rows that `count` output rows read, and the first of them for output row `from`.
    pub(super) fn rows(sizes: &Sizes, from: usize, count: usize) -> [usize; 2] {
        let c = &sizes.conv;
        let span = (count - 1) * c.stride[0] + (c.kernel[0] - 1) * c.dilation[0] + 1;
        [from * c.stride[0], span]
    }
}

/// Input positions whose derivatives come from the same kernel taps: those that agree modulo the stride.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    /// The kernel taps, rows and columns, and for each the place of its output beside the phase's first, in the padded
    /// map of output derivatives.
    pub(super) taps: Vec<([usize; 2], usize)>,
    /// For each position its place in the input map and that of its window.
    pub(super) to: Vec<u32>,
    pub(super) positions: Vec<u32>,
}

/// The windows of the derivative by the input, which is a convolution of the derivative by the output.
#[derive(Debug, Clone)]
pub(super) struct Backward {
    pub(super) frame: Frame,
    pub(super) phases: Vec<Phase>,
}

/// Along one axis, the taps of phase `phase` and which output each meets at the phase's first position; before the
/// first output where negative.
fn meets(sizes: &Sizes, axis: usize, phase: usize) -> Vec<(usize, isize)> {
    let c = &sizes.conv;
    let before = if axis == 0 { c.padding.top } else { c.padding.left };
    let stride = c.stride[axis].cast_signed();
    (0..c.kernel[axis])
        .filter_map(|tap| {
            let distance = (phase + before).cast_signed() - (tap * c.dilation[axis]).cast_signed();
            (distance.rem_euclid(stride) == 0).then(|| (tap, distance.div_euclid(stride)))
        })
        .collect()
}

impl Backward {
    pub(super) fn new(sizes: &Sizes) -> Self {
        let ([h, w, c], [p, q, k]) = (sizes.input, sizes.output);
        let stride = sizes.conv.stride;
        // positions of a phase along an axis of so many inputs
        let count = |axis: usize, phase: usize| {
            let inputs = if axis == 0 { h } else { w };
            inputs.saturating_sub(phase).div_ceil(stride[axis])
        };
        let mut before = [0; 2];
        let mut after = [0; 2];
        for axis in 0..2 {
            let outputs = if axis == 0 { p } else { q };
            for phase in (0..stride[axis]).filter(|&phase| count(axis, phase) > 0) {
                for (_, first) in meets(sizes, axis, phase) {
                    let last = first + (count(axis, phase) - 1).cast_signed();
                    before[axis] = before[axis].max((-first).max(0).unsigned_abs());
                    after[axis] = after[axis].max((last + 1 - outputs.cast_signed()).max(0).unsigned_abs());
                }
            }
        }
        let frame = Frame::new([p, q, k], before, after);
        let mut phases = Vec::new();
        for i in 0..stride[0] {
            for j in 0..stride[1] {
                let (rows, columns) = (meets(sizes, 0, i), meets(sizes, 1, j));
                let mut taps = Vec::new();
                for &(r, y) in &rows {
                    for &(s, x) in &columns {
                        let at = [y, x].map(isize::cast_unsigned);
                        let place = frame.place(before[0].wrapping_add(at[0]), before[1].wrapping_add(at[1]));
                        taps.push(([r, s], place));
                    }
                }
                let (down, across) = (count(0, i), count(1, j));
                let all = (0..down * across).map(|n| (n / across, n % across));
                phases.push(Phase {
                    taps,
                    to: all
                        .clone()
                        .map(|(y, x)| (((i + y * stride[0]) * w + j + x * stride[1]) * c) as u32)
                        .collect(),
                    positions: all.map(|(y, x)| frame.place(y, x) as u32).collect(),
                });
            }
        }
        Self { frame, phases }
    }
}
