//! One group's kernels as the tile product reads them: live weights only, in blocks of output channels.

use super::super::conv::Sizes;
use super::geometry::{Backward, Windows};
use crate::training::dense::float::Float;
use crate::training::dense::live::LiveGroup;
use crate::training::dense::tile::BLOCK;

/// Kernels in one direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Kernels<T> {
    /// How far each factor is from the beginning of a window, and the furthest.
    pub(super) offsets: Vec<u32>,
    pub(super) reach: usize,
    /// Block by block, [`BLOCK`] weights for every offset; zeros fill the last block.
    pub(super) blocks: Vec<T>,
}

impl<T: Float> Kernels<T> {
    fn new(offsets: Vec<u32>) -> Self {
        Self {
            reach: offsets.iter().max().map_or(0, |&o| o as usize),
            offsets,
            blocks: Vec::new(),
        }
    }

    /// Packs `weight(output, offset index)` for so many outputs.
    fn pack(&mut self, outputs: usize, weight: impl Fn(usize, usize) -> T) {
        let depth = self.offsets.len();
        self.blocks
            .resize(outputs.next_multiple_of(BLOCK) * depth, T::ZERO);
        for (b, block) in self.blocks.chunks_exact_mut((BLOCK * depth).max(1)).enumerate() {
            let lanes = (outputs - b * BLOCK).min(BLOCK);
            for lane in 0..lanes {
                for (i, row) in block.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
                    row[lane] = weight(b * BLOCK + lane, i);
                }
            }
        }
    }

    /// The kernels of a block.
    pub(super) fn block(&self, b: usize) -> &[T] {
        let len = self.offsets.len() * BLOCK;
        &self.blocks[b * len..][..len]
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Part<T> {
    /// Output channels that have weights.
    pub(super) rows: Vec<u32>,
    /// Weights of a filter, as places in it, in the order of the forward offsets.
    pub(super) columns: Vec<u32>,
    /// The group's input channels: the first, and how many.
    pub(super) channels: [usize; 2],
    pub(super) forward: Kernels<T>,
    /// One for each phase of the derivative by the input.
    pub(super) backward: Vec<Kernels<T>>,
    /// For each phase and offset, the first channel's weight.
    origins: Vec<Vec<u32>>,
    /// Which places of a filter are live; the others count as zero whatever they hold.
    alive: Vec<bool>,
    depth: usize,
    taps: usize,
}

impl<T: Float> Part<T> {
    pub(super) fn new(
        sizes: &Sizes,
        group: usize,
        live: &LiveGroup,
        windows: &Windows,
        backward: &Backward,
    ) -> Self {
        let [_, s] = sizes.conv.kernel;
        let taps = sizes.conv.kernel[0] * s;
        let channels = sizes.input[2] / sizes.conv.groups;
        let depth = channels * taps;
        let mut columns: Vec<(u32, u32)> = live
            .columns
            .iter()
            .map(|&column| {
                let (channel, tap) = (column as usize / taps, column as usize % taps);
                let offset = windows.offset(sizes, [tap / s, tap % s], group * channels + channel);
                (offset, column)
            })
            .collect();
        columns.sort_unstable(); // neighbours in the map one after another
        let mut alive = vec![false; taps];
        live.columns.iter().for_each(|&c| alive[c as usize % taps] = true);
        let mut places = vec![false; depth];
        live.columns.iter().for_each(|&c| places[c as usize] = true);
        let mut kernels = Vec::new();
        let mut origins = Vec::new();
        for phase in &backward.phases {
            let taps_of = phase.taps.iter().filter(|([r, t], _)| alive[r * s + t]);
            let pairs = taps_of.flat_map(|&([r, t], place)| {
                let rows = live.rows.iter();
                rows.map(move |&row| (place as u32 + row, (row as usize * depth + r * s + t) as u32))
            });
            let (offsets, first): (Vec<u32>, Vec<u32>) = pairs.unzip();
            kernels.push(Kernels::new(offsets));
            origins.push(first);
        }
        Self {
            rows: if columns.is_empty() {
                Vec::new()
            } else {
                live.rows.clone()
            },
            forward: Kernels::new(columns.iter().map(|c| c.0).collect()),
            columns: columns.iter().map(|c| c.1).collect(),
            channels: [group * channels, channels],
            backward: kernels,
            origins,
            alive: places,
            depth,
            taps,
        }
    }

    /// Rows filled up to whole blocks.
    pub(super) fn width(&self) -> usize {
        self.rows.len().next_multiple_of(BLOCK)
    }

    /// Output channels of a block.
    pub(super) fn block_rows(&self, b: usize) -> &[u32] {
        &self.rows[b * BLOCK..self.rows.len().min((b + 1) * BLOCK)]
    }

    pub(super) fn pack_forward(&mut self, weights: &[T]) {
        let (rows, columns, depth) = (&self.rows, &self.columns, self.depth);
        self.forward.pack(rows.len(), |row, i| {
            weights[rows[row] as usize * depth + columns[i] as usize]
        });
    }

    pub(super) fn pack_backward(&mut self, weights: &[T]) {
        let ([_, channels], taps, depth) = (self.channels, self.taps, self.depth);
        let alive = &self.alive;
        for (kernels, origins) in self.backward.iter_mut().zip(&self.origins) {
            kernels.pack(channels, |channel, i| {
                let place = origins[i] as usize + channel * taps;
                if alive[place % depth] {
                    weights[place]
                } else {
                    T::ZERO
                }
            });
        }
    }

    /// Whether the output channels stand side by side in whole blocks, so that their derivatives can be read in place.
    pub(super) fn in_place(&self, outputs: usize) -> Option<usize> {
        let (first, last) = (*self.rows.first()?, *self.rows.last()?);
        let adjacent = (last - first) as usize + 1 == self.rows.len();
        let whole = outputs.is_multiple_of(BLOCK) && self.rows.len().is_multiple_of(BLOCK);
        (adjacent && whole).then_some(first as usize)
    }

    /// Adds the derivatives by the live weights, `columns × width`, where they belong.
    pub(super) fn spread(&self, gradient: &[T], d_weights: &mut [T]) {
        let width = self.width();
        for (lane, &row) in self.rows.iter().enumerate() {
            for (i, &column) in self.columns.iter().enumerate() {
                d_weights[row as usize * self.depth + column as usize] = gradient[i * width + lane];
            }
        }
    }
}
