//! The choice of tiles.

use super::{Route, TENSORS};
use crate::hardware::{Memory, MemoryKind};
use crate::network::LoopNest;
use crate::simulate::count::fit;
use crate::simulate::engine::ArrayRun;
use crate::simulate::{LayerWork, SimulateError};
use crate::units::Overflow;

/// The most tiles of a layer: 2^24, a fraction of a second to step through.
pub(super) const MAX_TILES: u128 = 1 << 24;

/// Which loop over tiles is the outer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Channel blocks outside: weights are loaded once, inputs again for each block.
    ChannelsOuter,
    /// Row blocks outside: inputs are loaded once, weights again for each block.
    RowsOuter,
}

/// How a layer is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiling {
    /// Output channels of a tile, groups included.
    pub(super) channels: u64,
    /// Output rows of a tile, samples included.
    pub(super) rows: u64,
    /// The outer loop.
    pub(super) order: Order,
}

/// Sizes of a layer that tiles are cut from, in bits where not said otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extents {
    pub(super) nest: LoopNest,
    pub(super) weights: u64,
    pub(super) indices: u64,
    /// Input of one sample.
    pub(super) input: u64,
    /// Output of one sample.
    pub(super) output: u64,
    pub(super) input_streams: bool,
    pub(super) output_streams: bool,
}

impl Extents {
    pub(super) fn new(work: &LayerWork, array: &ArrayRun) -> Result<Self, Overflow> {
        let act = u128::from(work.activation_bits);
        Ok(Self {
            nest: work.nest,
            weights: array.stored.weights,
            indices: array.stored.indices,
            input: fit(u128::from(work.input_elements) * act)?,
            output: fit(u128::from(work.output_elements) * act)?,
            input_streams: work.input_from_dram,
            output_streams: work.output_to_dram,
        })
    }

    /// Output channels, all groups.
    pub(super) fn channels(&self) -> u64 {
        self.nest.g * self.nest.k
    }

    /// Output rows, all samples.
    pub(super) fn rows(&self) -> u64 {
        self.nest.n * self.nest.p
    }

    /// Groups whose inputs a block of channels reads.
    pub(super) fn groups(&self, channels: u64) -> u64 {
        channels.div_ceil(self.nest.k)
    }

    /// Input bits behind `rows` output rows of `channels` output channels: the share of the groups, and of the
    /// input rows under the window (of a map padded to its last window, so an upper bound at the edges).
    pub(super) fn input_tile(&self, channels: u64, rows: u64) -> u128 {
        let nest = &self.nest;
        let groups = u128::from(self.groups(channels));
        if rows >= nest.p {
            let samples = u128::from(rows.div_ceil(nest.p));
            return (u128::from(self.input) * samples * groups).div_ceil(nest.g.into());
        }
        let window = |rows: u64| {
            u128::from(rows - 1) * u128::from(nest.stride[0])
                + u128::from(nest.r - 1) * u128::from(nest.dilation[0])
                + 1
        };
        let share = (u128::from(self.input) * groups).div_ceil(nest.g.into());
        // spare bits of the product: window rows stay below 2^32 for any layer that fits a memory
        share
            .saturating_mul(window(rows))
            .div_ceil(window(nest.p))
            .min(share)
    }

    /// Output bits of a tile.
    pub(super) fn output_tile(&self, channels: u64, rows: u64) -> u128 {
        (u128::from(self.output) * u128::from(rows))
            .div_ceil(self.nest.p.into())
            .saturating_mul(channels.into())
            .div_ceil(self.channels().into())
    }

    /// Bits of each tensor that a tile of this tiling takes in a buffer; `double` where the buffer overlaps
    /// loads with compute.
    fn footprint(&self, tiling: Tiling, double: [bool; 4]) -> [u128; 4] {
        let share =
            |bits: u64| (u128::from(bits) * u128::from(tiling.channels)).div_ceil(self.channels().into());
        let (blocks_k, blocks_r) = (
            self.channels().div_ceil(tiling.channels),
            self.rows().div_ceil(tiling.rows),
        );
        let twice = |bits: u128, streams: bool, double: bool| if streams && double { bits * 2 } else { bits };
        let samples = u128::from(self.nest.n);
        [
            twice(share(self.weights), blocks_k > 1, double[0]),
            twice(share(self.indices), blocks_k > 1, double[1]),
            if self.input_streams {
                let several = blocks_r > 1 || self.groups(tiling.channels) < self.nest.g;
                twice(self.input_tile(tiling.channels, tiling.rows), several, double[2])
            } else {
                u128::from(self.input) * samples
            },
            if self.output_streams {
                twice(
                    self.output_tile(tiling.channels, tiling.rows),
                    blocks_k > 1 || blocks_r > 1,
                    double[3],
                )
            } else {
                u128::from(self.output) * samples
            },
        ]
    }

    /// Bits loaded from DRAM, bursts left aside.
    fn loads(&self, tiling: Tiling) -> u128 {
        let (blocks_k, blocks_r) = (
            u128::from(self.channels().div_ceil(tiling.channels)),
            u128::from(self.rows().div_ceil(tiling.rows)),
        );
        let weights = u128::from(self.weights) + u128::from(self.indices);
        let per_group = if tiling.channels >= self.nest.k {
            1
        } else {
            u128::from(self.nest.k.div_ceil(tiling.channels))
        };
        let rows_once = self
            .input_tile(self.channels(), tiling.rows)
            .saturating_mul(blocks_r);
        let inputs = if !self.input_streams {
            0
        } else if tiling.order == Order::RowsOuter || blocks_r == 1 {
            rows_once
        } else {
            rows_once.saturating_mul(per_group)
        };
        let weights = if tiling.order == Order::RowsOuter && blocks_k > 1 {
            weights.saturating_mul(blocks_r)
        } else {
            weights
        };
        inputs.saturating_add(weights)
    }
}

/// 1, and the extent cut in 1, 2, 3, 4, 6, 8, 12, … blocks: ascending block sizes without repeats.
fn blocks(extent: u64) -> Vec<u64> {
    let mut sizes = vec![1];
    let mut cuts = 1u64;
    while cuts < extent {
        sizes.push(extent.div_ceil(cuts));
        if cuts > 1 {
            sizes.push(extent.div_ceil((cuts / 2 * 3).min(extent)));
        }
        cuts = cuts.saturating_mul(2);
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Block sizes of two nested loops: parts of one inner range, or whole inner ranges.
fn nested(inner: u64, outer: u64) -> Vec<u64> {
    let mut sizes = blocks(inner);
    sizes.extend(blocks(outer).into_iter().map(|o| o * inner));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The tiling that loads the fewest bits from DRAM, of those the one with the fewest tiles, of those the first
/// in the order of block sizes.
pub(super) fn choose(
    work: &LayerWork,
    array: &ArrayRun,
    memories: &[Memory],
    routes: &[Route; 4],
) -> Result<Tiling, SimulateError> {
    let extents = Extents::new(work, array).map_err(SimulateError::overflow(work))?;
    let nest = &extents.nest;
    let doubles = routes.map(|r| {
        r.home.is_some_and(|h| {
            matches!(
                memories[h].kind,
                MemoryKind::Buffer {
                    double_buffered: true,
                    ..
                }
            )
        })
    });
    let over = |tiling: Tiling| {
        let bits = extents.footprint(tiling, doubles);
        memories.iter().enumerate().find_map(|(m, memory)| {
            let MemoryKind::Buffer { capacity, .. } = memory.kind else {
                return None;
            };
            let needed: u128 = (0..4)
                .filter(|&t| routes[t].home == Some(m))
                .map(|t| bits[t])
                .sum();
            (needed > u128::from(capacity.bits())).then(|| (memory, needed, capacity.bits()))
        })
    };
    let mut best: Option<(u128, u128, Tiling)> = None;
    for &channels in &nested(nest.k, nest.g) {
        for &rows in &nested(nest.p, nest.n) {
            for order in [Order::ChannelsOuter, Order::RowsOuter] {
                let tiling = Tiling {
                    channels,
                    rows,
                    order,
                };
                if over(tiling).is_some() {
                    continue;
                }
                let tiles = u128::from(extents.channels().div_ceil(channels))
                    * u128::from(extents.rows().div_ceil(rows));
                let key = (extents.loads(tiling), tiles);
                if best.is_none_or(|(loads, count, _)| key < (loads, count)) {
                    best = Some((key.0, key.1, tiling));
                }
            }
        }
    }
    if let Some((_, tiles, tiling)) = best {
        if tiles > MAX_TILES {
            return Err(SimulateError::TooManyTiles {
                layer: work.name.into(),
                tiles,
                most: MAX_TILES,
            });
        }
        return Ok(tiling);
    }
    let smallest = Tiling {
        channels: 1,
        rows: 1,
        order: Order::ChannelsOuter,
    };
    let (memory, needed, available) =
        over(smallest).ok_or_else(|| SimulateError::overflow(work)(Overflow))?;
    let stays = !work.input_from_dram || !work.output_to_dram;
    let home = memories.iter().position(|m| m.name == memory.name);
    let holds_stay = TENSORS.iter().enumerate().any(|(t, _)| {
        routes[t].home == home && ((t == 2 && !work.input_from_dram) || (t == 3 && !work.output_to_dram))
    });
    Err(SimulateError::Tile {
        layer: work.name.into(),
        memory: memory.name.clone(),
        needed: u64::try_from(needed).unwrap_or(u64::MAX),
        available,
        cure: if stays && holds_stay {
            "or let its features go through DRAM"
        } else {
            "prune the layer, or store it in fewer bits"
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes_cover_the_ends() {
        assert_eq!(blocks(1), [1]);
        assert_eq!(blocks(7), [1, 2, 3, 4, 7]);
        assert_eq!(nested(4, 3), [1, 2, 4, 8, 12]);
    }
}
