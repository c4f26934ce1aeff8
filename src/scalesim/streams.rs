//! The words of an operand: in which order DRAM delivers them, and which the array asks for in which row of a fold.
//!
//! An operand is a matrix of steps × lanes whose word (t, x) has the address `steps[t] + lanes[x]`. A convolution's
//! input has an address per pixel and channel of the area that its windows cover; what lies beyond the input itself
//! is padding, which no memory delivers.

use super::sparsity::Pattern;
use super::tiling::{Flow, Tiling};
use super::topology::Layer;
use crate::hardware::Dataflow;
use crate::units::{Overflow, add, mul, product};

/// An operand's words.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) steps: Vec<u32>,
    pub(super) lanes: Vec<u32>,
    pub(super) flow: Flow,
    /// Lanes of a fold.
    pub(super) tile: usize,
    /// Addresses, padding included.
    pub(super) words: usize,
    /// Addresses that no memory holds, ascending.
    pub(super) absent: Vec<u32>,
    /// Row-wise sparsity: words that a row of the array takes at once.
    block: Option<usize>,
}

/// Extents of a layer that its addresses are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extents {
    /// Output rows and columns.
    pub(super) out: [u64; 2],
    /// Rows and columns that the windows cover.
    pub(super) covered: [u64; 2],
}

impl Layer {
    /// K: products per output.
    pub(super) fn products(&self) -> Result<u64, Overflow> {
        product(&[self.filter[0], self.filter[1], self.channels])
    }

    /// Output size and covered input, rounded up to whole windows.
    pub(super) fn extents(&self) -> Result<Extents, Overflow> {
        let axis = |i: usize| {
            let out = (self.ifmap[i] - self.filter[i] + self.stride).div_ceil(self.stride);
            Ok((out, add(mul(out - 1, self.stride)?, self.filter[i])?))
        };
        let ((rows, high), (cols, wide)) = (axis(0)?, axis(1)?);
        Ok(Extents {
            out: [rows, cols],
            covered: [high, wide],
        })
    }

    /// Distinct input words that the windows of all outputs ask for when every weight stays.
    pub(super) fn distinct_inputs(&self) -> Result<u64, Overflow> {
        let extents = self.extents()?;
        let axis = |i: usize| {
            let (filter, stride) = (self.filter[i], self.stride);
            if filter >= stride {
                Ok(self.ifmap[i].min(extents.covered[i]))
            } else {
                let before = extents.out[i] - 1;
                add(mul(before, filter)?, filter.min(self.ifmap[i] - before * stride))
            }
        };
        product(&[axis(0)?, axis(1)?, self.channels])
    }

    /// Whether no two windows share a word and none reaches beyond the input.
    pub(super) fn windows_are_apart(&self) -> Result<bool, Overflow> {
        let extents = self.extents()?;
        Ok((0..2).all(|i| {
            (self.filter[i] <= self.stride || extents.out[i] == 1) && extents.covered[i] <= self.ifmap[i]
        }))
    }
}

/// Every address below `words`, which fits.
fn narrow(address: u64) -> u32 {
    u32::try_from(address).unwrap_or(u32::MAX)
}

/// The inputs of a layer. Addresses fit 32 bits: the caller has checked their number.
pub(super) fn ifmap(layer: &Layer, pattern: &Pattern, tiling: &Tiling) -> Result<Operand, Overflow> {
    let Extents { out, covered } = layer.extents()?;
    let (width, channels) = (covered[1], layer.channels);
    let products = layer.products()?;
    let at = |y: u64, x: u64| (y * width + x) * channels;
    let positions = (0..out[0]).flat_map(|y| (0..out[1]).map(move |x| (y * layer.stride, x * layer.stride)));
    let positions: Vec<u32> = positions.map(|(y, x)| narrow(at(y, x))).collect();
    let row = layer.filter[1] * channels;
    let offset = |k: u64| narrow(at(k / row, k % row / channels) + k % channels);
    let block = match pattern {
        Pattern::RowWise { block, .. } => Some(*block as usize),
        _ => None,
    };
    let products: Vec<u32> = match pattern {
        Pattern::LayerWise { .. } => (0..pattern.products(products)?)
            .filter_map(|k| pattern.product_at(k, products))
            .map(offset)
            .collect(),
        _ => (0..products).map(offset).collect(),
    };
    let mut absent = Vec::new();
    for y in 0..covered[0] {
        let from = if y < layer.ifmap[0] { layer.ifmap[1] } else { 0 };
        if from < width {
            absent.extend(at(y, from) as u32..at(y + 1, 0) as u32);
        }
    }
    let (steps, lanes, flow, tile) = match tiling.dataflow {
        Dataflow::WeightStationary => (positions, products, Flow::ByRow, tiling.h),
        Dataflow::OutputStationary => (products, positions, Flow::ByRow, tiling.h),
        Dataflow::InputStationary => (products, positions, Flow::Stationary, tiling.w),
    };
    Ok(Operand {
        steps,
        lanes,
        flow,
        tile: tile as usize,
        words: at(covered[0], 0) as usize,
        absent,
        block,
    })
}

/// The weights of a layer that stay.
pub(super) fn filter(layer: &Layer, pattern: &Pattern, tiling: &Tiling) -> Result<Operand, Overflow> {
    let products = layer.products()?;
    let kept = pattern.products(products)?;
    let filters = layer.filters;
    let rows: Vec<u32> = (0..kept).map(|k| narrow(k * filters)).collect();
    let columns: Vec<u32> = (0..filters).map(narrow).collect();
    let mut absent = Vec::new();
    if let Pattern::RowWise { block, kept: limits } = pattern {
        for k in 0..kept {
            let place = k % (block / 2);
            let outside = pattern.product_at(k, products).is_none();
            let holes = (0..filters)
                .zip(limits)
                .filter(|&(_, &limit)| outside || place >= u64::from(limit));
            absent.extend(holes.map(|(f, _)| narrow(k * filters + f)));
        }
    }
    let (steps, lanes, flow, tile) = match tiling.dataflow {
        Dataflow::WeightStationary => (rows, columns, Flow::Stationary, tiling.w),
        Dataflow::OutputStationary => (rows, columns, Flow::ByColumn, tiling.w),
        Dataflow::InputStationary => (columns, rows, Flow::ByRow, tiling.h),
    };
    Ok(Operand {
        steps,
        lanes,
        flow,
        tile: tile as usize,
        words: (kept * filters) as usize,
        absent,
        block: None,
    })
}

impl Operand {
    /// Words of the prefetch stream, padding of folds included.
    pub(super) fn prefetch_length(&self) -> u64 {
        (self.steps.len() * self.lanes.len().div_ceil(self.tile) * self.tile) as u64
    }

    /// Calls `deliver` with the words of the prefetch stream in their order, absent ones included: the folds stacked,
    /// read along anti-diagonals from the bottom left where the array takes them skewed, and by rows otherwise.
    pub(super) fn prefetch(&self, mut deliver: impl FnMut(u32)) {
        let (height, width) = (self.steps.len(), self.tile);
        if self.flow == Flow::Stationary {
            for fold in self.lanes.chunks(width) {
                for &step in &self.steps {
                    for &lane in fold {
                        deliver(step + lane);
                    }
                }
            }
            return;
        }
        let rows = height * self.lanes.len().div_ceil(width);
        for diagonal in 0..rows + width - 1 {
            let top = diagonal.min(rows - 1);
            let (mut fold, mut t) = (top / height, top % height);
            for row in (diagonal.saturating_sub(width - 1)..=top).rev() {
                if let Some(&lane) = self.lanes.get(fold * width + diagonal - row) {
                    deliver(self.steps[t] + lane);
                }
                if t == 0 {
                    (fold, t) = (fold.wrapping_sub(1), height);
                }
                t -= 1;
            }
        }
    }

    /// Calls `ask` with the words that the array asks for in one row of a fold, from left to right.
    pub(super) fn demand(&self, tiling: &Tiling, fr: u64, fc: u64, row: u64, ask: impl FnMut(u32)) {
        if self.flow == Flow::Stationary {
            self.held(tiling, fr, fc, row, ask);
        } else if let Some(block) = self.block {
            self.blocks(tiling, fr, row, block, ask);
        } else {
            self.streamed(tiling, fr, fc, row, ask);
        }
    }

    fn held(&self, tiling: &Tiling, fr: u64, fc: u64, row: u64, mut ask: impl FnMut(u32)) {
        if row >= tiling.h {
            return;
        }
        let step = (fr * tiling.h + tiling.h - 1 - row) as usize;
        let Some(&step) = self.steps.get(step) else { return };
        let first = fc as usize * self.tile;
        let last = (first + self.tile).min(self.lanes.len());
        self.lanes[first..last].iter().for_each(|&lane| ask(step + lane));
    }

    fn streamed(&self, tiling: &Tiling, fr: u64, fc: u64, row: u64, mut ask: impl FnMut(u32)) {
        let fold = if self.flow == Flow::ByRow { fr } else { fc } as usize;
        let Some(diagonal) = row.checked_sub(self.lead(tiling)) else {
            return;
        };
        let diagonal = diagonal as usize;
        let first = fold * self.tile;
        let lanes = &self.lanes[first..(first + self.tile).min(self.lanes.len())];
        let from = (diagonal + 1).saturating_sub(self.steps.len());
        let to = (diagonal + 1).min(lanes.len());
        if from < to {
            let steps = &self.steps[diagonal + 1 - to..=diagonal - from];
            for (&lane, &step) in lanes[from..to].iter().zip(steps.iter().rev()) {
                ask(step + lane);
            }
        }
    }

    /// Row-wise sparsity: rows come in groups of half a block, and each row of a group takes the group's whole block.
    fn blocks(&self, tiling: &Tiling, fr: u64, row: u64, block: usize, mut ask: impl FnMut(u32)) {
        let Some(diagonal) = row.checked_sub(self.lead(tiling)) else {
            return;
        };
        let diagonal = diagonal as usize;
        for j in (diagonal + 1).saturating_sub(self.steps.len())..(diagonal + 1).min(tiling.h as usize) {
            let first = fr as usize * 2 * tiling.h as usize + j / (block / 2) * block;
            let last = (first + block).min(self.lanes.len());
            for &lane in self.lanes.get(first..last).unwrap_or_default() {
                ask(self.steps[diagonal - j] + lane);
            }
        }
    }

    /// Rows of a fold before the first word of a stream.
    #[allow(clippy::unused_self, reason = "streams alone have a lead")]
    pub(super) fn lead(&self, tiling: &Tiling) -> u64 {
        if tiling.dataflow == Dataflow::OutputStationary {
            0
        } else {
            tiling.h
        }
    }

    /// Whether a row takes a whole block of words at once.
    pub(super) fn in_blocks(&self) -> bool {
        self.block.is_some()
    }

    /// Whether a memory holds the word.
    pub(super) fn holds(&self, word: u32) -> bool {
        self.absent.binary_search(&word).is_err()
    }
}
