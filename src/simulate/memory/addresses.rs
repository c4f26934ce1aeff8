//! Where a tile's bits lie in DRAM.
//!
//! Weights lie by output channel, and so do their indices: a block of channels is one run. Features lie sample by
//! sample, in each channel by channel, in each row by row: whole samples of all channels are one run, whole samples of
//! some channels a run a sample, some rows of a sample a run a channel. Planes of channels are equally large, and their
//! size and the bits of a run are rounded up to whole bits; a window that reaches over the edge of a plane lies inside it.

use super::dram::Runs;
use super::tiling::Extents;
use crate::simulate::count::fit;
use crate::units::{Overflow, mul};

/// A block of channels and rows: the first of each, and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) channel: u64,
    pub(super) channels: u64,
    pub(super) row: u64,
    pub(super) rows: u64,
}

/// Features of a sample: their bits and their channels, and which channels a block takes.
struct Features {
    bits: u64,
    channels: u64,
    channel: u64,
    taken: u64,
}

impl Block {
    /// Inputs of a block.
    pub(super) fn inputs(&self, extents: &Extents) -> Result<Runs, Overflow> {
        let bits = extents.input_tile(self.channels, self.rows);
        let nest = &extents.nest;
        let features = Features {
            bits: extents.input,
            channels: mul(nest.g, nest.c)?,
            channel: mul(self.channel / nest.k, nest.c)?,
            taken: mul(extents.groups(self.channels), nest.c)?,
        };
        self.runs(nest.p, &features, bits)
    }

    /// Outputs of a block, in all `bits`, of a tensor with `sample` bits a sample.
    pub(super) fn outputs(&self, extents: &Extents, sample: u64, bits: u128) -> Result<Runs, Overflow> {
        let features = Features {
            bits: sample,
            channels: extents.channels(),
            channel: self.channel,
            taken: self.channels,
        };
        self.runs(extents.nest.p, &features, bits)
    }

    fn runs(&self, sample_rows: u64, features: &Features, bits: u128) -> Result<Runs, Overflow> {
        let sample = u128::from(self.row / sample_rows) * u128::from(features.bits);
        let (whole, all) = (self.rows >= sample_rows, features.taken == features.channels);
        if whole && all {
            return Ok(Runs::one(sample, fit(bits)?));
        }
        let plane = features.bits.div_ceil(features.channels);
        let channel = sample + u128::from(features.channel) * u128::from(plane);
        let (start, count, stride) = if whole {
            (channel, self.rows.div_ceil(sample_rows), features.bits)
        } else {
            (channel, features.taken, plane)
        };
        let length = fit(bits.div_ceil(count.into()))?.min(stride);
        if whole {
            return Ok(Runs {
                start,
                count,
                stride,
                length,
            });
        }
        let row = u128::from(plane) * u128::from(self.row % sample_rows) / u128::from(sample_rows);
        Ok(Runs {
            start: start + row.min((plane - length).into()),
            count,
            stride,
            length,
        })
    }
}
