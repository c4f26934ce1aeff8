//! The choice of tiles.

use super::{Layout, TENSORS};
use crate::hardware::{Memory, MemoryKind};
use crate::network::LoopNest;
use crate::simulate::count::fit;
use crate::simulate::engine::{ArrayRun, LoopForm};
use crate::simulate::spatial::Spatial;
use crate::simulate::{LayerWork, SimulateError};
use crate::units::{Overflow, mul};
use std::cmp::Reverse;

/// Loads, tiles, blocks of channels and of rows, order: of two tilings the lesser comes first.
pub(super) type Rank = (u128, u128, Reverse<u64>, Reverse<u64>, TileOrder);

/// The most tiles of a layer: 2^24, a fraction of a second to step through.
pub(super) const MAX_TILES: u128 = 1 << 24;

/// Which loop over tiles is the outer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TileOrder {
    /// Channel blocks outside: weights are loaded once, inputs again for each block.
    ChannelsOuter,
    /// Row blocks outside: inputs are loaded once, weights again for each block.
    RowsOuter,
}

impl TileOrder {
    /// As mapping files write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ChannelsOuter => "channels-outer",
            Self::RowsOuter => "rows-outer",
        }
    }
}

/// How a layer is cut into tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Output channels of a tile: a part of a group, or whole groups.
    pub channels: u64,
    /// Output rows of a tile: a part of a sample, or whole samples.
    pub rows: u64,
    /// The outer loop.
    pub order: TileOrder,
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
    /// Output channels of the groups that share the array: no tile holds fewer.
    pub(super) pack: u64,
    pub(super) spatial: Spatial,
    /// Other operands of fused adds, of one sample: those that come from DRAM, and those that lie on chip.
    pub(super) added: [u64; 2],
}

impl Extents {
    pub(super) fn new(work: &LayerWork, array: &ArrayRun) -> Result<Self, Overflow> {
        let [input, output] = [work.activation_bits.input, work.activation_bits.output].map(u128::from);
        Ok(Self {
            nest: work.nest,
            weights: array.stored.weights,
            indices: array.stored.indices,
            input: fit(u128::from(work.input_elements) * input)?,
            output: fit(u128::from(work.output_elements) * output)?,
            input_streams: work.input_from_dram,
            output_streams: work.output_to_dram,
            pack: if array.spatial.groups > 1 {
                mul(array.spatial.groups, work.nest.k)?
            } else {
                1
            },
            spatial: array.spatial,
            added: match work.fused {
                Some(fused) => [
                    fit(u128::from(fused.added_from_dram) * u128::from(fused.added_bits))?,
                    fit(u128::from(fused.added_on_chip) * u128::from(fused.added_bits))?,
                ],
                None => [0; 2],
            },
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

    /// Of descending block sizes those that hold a pack of groups, its own among them.
    fn holding_packs<S: Iterator<Item = u64> + Clone>(
        &self,
        sizes: S,
    ) -> impl Iterator<Item = u64> + Clone + use<S> {
        let pack = self.pack;
        sizes
            .filter(move |&size| pack <= 1 || size > pack)
            .chain((pack > 1).then_some(pack))
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
            return part_up(u128::from(self.input) * samples, groups, nest.g.into());
        }
        let window = |rows: u64| {
            u128::from(rows - 1) * u128::from(nest.stride[0])
                + u128::from(nest.r - 1) * u128::from(nest.dilation[0])
                + 1
        };
        let share = part_up(self.input.into(), groups, nest.g.into());
        part_up(share, window(rows), window(nest.p)).min(share)
    }

    /// Output bits of a tile.
    pub(super) fn output_tile(&self, channels: u64, rows: u64) -> u128 {
        let rows = part_up(self.output.into(), rows.into(), self.nest.p.into());
        part_up(rows, channels.into(), self.channels().into())
    }

    /// Bits of other operands that a tile brings.
    pub(super) fn added_tile(&self, channels: u64, rows: u64) -> u128 {
        let rows = part_up(self.added[0].into(), rows.into(), self.nest.p.into());
        part_up(rows, channels.into(), self.channels().into())
    }

    /// Bits of each tensor, all of it.
    fn whole(&self) -> [u128; 4] {
        let samples = u128::from(self.nest.n);
        [
            self.weights.into(),
            self.indices.into(),
            (u128::from(self.input) + u128::from(self.added[0]) + u128::from(self.added[1])) * samples,
            u128::from(self.output) * samples,
        ]
    }

    /// Bits of each tensor that a tile of this tiling takes in a buffer; `double` where the buffer overlaps
    /// loads with compute.
    fn footprint(&self, tiling: Tiling, double: [bool; 4]) -> [u128; 4] {
        if tiling.channels >= self.channels() && tiling.rows >= self.rows() {
            return self.whole();
        }
        let share = |bits: u64| part_up(bits.into(), tiling.channels.into(), self.channels().into());
        let (blocks_k, blocks_r) = (
            self.channels().div_ceil(tiling.channels),
            self.rows().div_ceil(tiling.rows),
        );
        let twice = |bits: u128, streams: bool, double: bool| if streams && double { bits * 2 } else { bits };
        let samples = u128::from(self.nest.n);
        let cut = blocks_k > 1 || blocks_r > 1;
        let added = twice(self.added_tile(tiling.channels, tiling.rows), cut, double[2])
            + u128::from(self.added[1]) * samples;
        [
            twice(share(self.weights), blocks_k > 1, double[0]),
            twice(share(self.indices), blocks_k > 1, double[1]),
            if self.input_streams {
                let several = blocks_r > 1 || self.groups(tiling.channels) < self.nest.g;
                added + twice(self.input_tile(tiling.channels, tiling.rows), several, double[2])
            } else {
                added + u128::from(self.input) * samples
            },
            if self.output_streams {
                twice(self.output_tile(tiling.channels, tiling.rows), cut, double[3])
            } else {
                u128::from(self.output) * samples
            },
        ]
    }

    /// Bits that any tiling with blocks of so many rows loads at least.
    fn least_loads(&self, rows: u64) -> u128 {
        let weights = u128::from(self.weights) + u128::from(self.indices);
        if !self.input_streams {
            return weights;
        }
        let blocks = u128::from(self.rows().div_ceil(rows));
        weights.saturating_add(self.input_tile(self.channels(), rows).saturating_mul(blocks))
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
        } else if tiling.order == TileOrder::RowsOuter || blocks_r == 1 {
            rows_once
        } else {
            rows_once.saturating_mul(per_group)
        };
        let weights = if tiling.order == TileOrder::RowsOuter && blocks_k > 1 {
            weights.saturating_mul(blocks_r)
        } else {
            weights
        };
        inputs.saturating_add(weights)
    }
}

/// `ceil(a · b / c)`, saturating; in 64 bits where they suffice.
fn part_up(a: u128, b: u128, c: u128) -> u128 {
    if b == c || a == 0 {
        return a;
    }
    if let (Ok(a), Ok(b), Ok(c)) = (u64::try_from(a), u64::try_from(b), u64::try_from(c))
        && let Some(wide) = a.checked_mul(b)
    {
        return wide.div_ceil(c).into();
    }
    a.saturating_mul(b).div_ceil(c)
}

/// Block sizes of two nested loops, descending: whole inner ranges, then parts of one. A range is cut in 1, 2, 3, 4, 6,
/// 8, 12, … blocks, down to blocks of 1; a size that is not smaller than the one before is left out.
#[derive(Debug, Clone)]
struct Sizes {
    /// What is cut, and the size of its parts: the outer loop with the inner one as a part, then the inner loop.
    extent: u64,
    scale: u64,
    inner: u64,
    /// Blocks to cut into next: a power of two, or three quarters of the one after it.
    cuts: u64,
    between: bool,
    last: Option<u64>,
}

fn nested(inner: u64, outer: u64) -> Sizes {
    Sizes {
        extent: outer,
        scale: inner,
        inner,
        cuts: 1,
        between: false,
        last: None,
    }
}

impl Iterator for Sizes {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        loop {
            let size = if self.between {
                let blocks = (self.cuts / 2 * 3).min(self.extent);
                self.between = false;
                self.cuts = self.cuts.saturating_mul(2);
                self.extent.div_ceil(blocks) * self.scale
            } else if self.cuts < self.extent {
                let size = self.extent.div_ceil(self.cuts) * self.scale;
                if self.cuts > 1 {
                    self.between = true;
                } else {
                    self.cuts = 2;
                }
                size
            } else if self.extent > 0 {
                // parts of one, then on to the inner loop
                let size = self.scale;
                (self.extent, self.cuts) = if self.scale > 1 { (self.inner, 1) } else { (0, 0) };
                self.scale = 1;
                size
            } else {
                return None;
            };
            if self.last.is_none_or(|last| size < last) {
                self.last = Some(size);
                return Some(size);
            }
        }
    }
}

/// Extents up to this are cut to every size, larger ones once for every number of blocks.
const EVERY_SIZE: u64 = 32;

/// Block sizes of an extent, descending.
fn every(extent: u64) -> Vec<u64> {
    if extent <= EVERY_SIZE {
        return (1..=extent).rev().collect();
    }
    let mut sizes = Vec::new();
    let mut size = extent;
    while size > 1 {
        sizes.push(size);
        // the fewest blocks that are smaller than this
        let blocks = extent.div_ceil(size - 1);
        size = extent.div_ceil(blocks);
    }
    sizes.push(1);
    sizes
}

/// Block sizes of two nested loops, descending: whole inner ranges, then parts of one.
fn every_nested(inner: u64, outer: u64) -> Vec<u64> {
    let whole = every(outer).into_iter().map(|blocks| blocks * inner);
    let parts = every(inner).into_iter().filter(|&size| size < inner);
    whole.chain(parts).collect()
}

/// Tilings of a layer, as a search goes through them.
pub(super) struct Search<'a> {
    pub(super) extents: Extents,
    memories: &'a [Memory],
    layout: &'a Layout,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        work: &LayerWork,
        array: &ArrayRun,
        memories: &'a [Memory],
        layout: &'a Layout,
    ) -> Result<Self, Overflow> {
        Ok(Self {
            extents: Extents::new(work, array)?,
            memories,
            layout,
        })
    }

    /// Every tiling that fits and is stepped through, each once: orders that make the same tiles count as
    /// channels outside.
    pub(super) fn all(&self) -> Vec<Tiling> {
        let nest = &self.extents.nest;
        let mut found = Vec::new();
        let all_rows = every_nested(nest.p, nest.n);
        for channels in self
            .extents
            .holding_packs(every_nested(nest.k, nest.g).into_iter())
        {
            let blocks_k = self.extents.channels().div_ceil(channels);
            for &rows in &all_rows {
                let blocks_r = self.extents.rows().div_ceil(rows);
                if u128::from(blocks_k) * u128::from(blocks_r) > MAX_TILES {
                    continue;
                }
                let both = blocks_k > 1 && blocks_r > 1;
                let orders = [TileOrder::ChannelsOuter, TileOrder::RowsOuter];
                for &order in &orders[..if both { 2 } else { 1 }] {
                    let tiling = Tiling {
                        channels,
                        rows,
                        order,
                    };
                    if self.fits(tiling) {
                        found.push(tiling);
                    }
                }
            }
        }
        found
    }

    /// Tiles of a tiling.
    pub(super) fn tiles(&self, tiling: Tiling) -> u128 {
        let extents = &self.extents;
        u128::from(extents.channels().div_ceil(tiling.channels))
            * u128::from(extents.rows().div_ceil(tiling.rows))
    }

    /// What [`choose`] goes by: loads, then tiles, then the largest blocks, then channels outside.
    pub(super) fn rank(&self, tiling: Tiling) -> Rank {
        (
            self.extents.loads(tiling),
            self.tiles(tiling),
            Reverse(tiling.channels),
            Reverse(tiling.rows),
            tiling.order,
        )
    }

    /// Whether a tile of a tiling fits every buffer.
    fn fits(&self, tiling: Tiling) -> bool {
        self.hold(self.extents.footprint(tiling, self.layout.double))
    }

    /// Whether the buffers hold so many bits of each tensor.
    fn hold(&self, bits: [u128; 4]) -> bool {
        self.layout.homes().iter().all(|home| {
            let needed: u128 = (0..4).filter(|&t| home.tensors[t]).map(|t| bits[t]).sum();
            needed <= u128::from(home.capacity)
        })
    }

    /// Whether the weights and indices of so many channels fit their buffers, the features left aside.
    fn weights_fit(&self, channels: u64) -> bool {
        let (extents, all) = (&self.extents, self.extents.channels());
        let times = |t: usize| {
            if channels < all && self.layout.double[t] {
                2
            } else {
                1
            }
        };
        let weights = u128::from(extents.weights) * u128::from(channels);
        if self.layout.homes().iter().any(|home| {
            home.tensors[0] && weights.saturating_mul(times(0)) > u128::from(home.capacity) * u128::from(all)
        }) {
            return false; // without a division
        }
        let bits = |t: usize, whole: u64| part_up(whole.into(), channels.into(), all.into()) * times(t);
        self.hold([bits(0, extents.weights), bits(1, extents.indices), 0, 0])
    }

    /// Whether the features of tiles of so many rows fit at all: those of one channel do, the weights left aside.
    fn features_may_fit(&self, rows: u64) -> bool {
        let extents = &self.extents;
        let samples = u128::from(extents.nest.n);
        let twice = |t: usize| {
            if rows < extents.rows() && self.layout.double[t] {
                2
            } else {
                1
            }
        };
        let inputs = if extents.input_streams {
            extents.input_tile(1, rows) * twice(2)
        } else {
            u128::from(extents.input) * samples
        };
        let outputs = if extents.output_streams {
            extents.output_tile(1, rows) * twice(3)
        } else {
            u128::from(extents.output) * samples
        };
        self.hold([0, 0, inputs, outputs])
    }

    /// The first memory that a tiling does not fit: with the bits needed and the bits there.
    fn over(&self, tiling: Tiling) -> Option<(&'a Memory, u128, u64)> {
        let bits = self.extents.footprint(tiling, self.layout.double);
        self.memories.iter().enumerate().find_map(|(m, memory)| {
            let MemoryKind::Buffer { capacity, .. } = memory.kind else {
                return None;
            };
            let needed: u128 = (0..4)
                .filter(|&t| self.layout.routes[t].home == Some(m))
                .map(|t| bits[t])
                .sum();
            (needed > u128::from(capacity.bits())).then(|| (memory, needed, capacity.bits()))
        })
    }

    /// The best tiling and its tiles; `None` if none fits. See [`choose`].
    fn best(&self) -> Option<(u128, Tiling)> {
        let extents = &self.extents;
        let nest = &extents.nest;
        // windows that leave no gap: cutting rows never loads less, so one tile, where it fits, is best
        let gapless = nest.stride[0] <= (nest.r - 1).saturating_mul(nest.dilation[0]).saturating_add(1);
        let whole = Tiling {
            channels: extents.channels(),
            rows: extents.rows(),
            order: TileOrder::ChannelsOuter,
        };
        if gapless && self.fits(whole) {
            return Some((1, whole));
        }
        let mut best: Option<(u128, u128, Tiling)> = None;
        // no rows allow more channels than the weights alone do
        let mut fewer_channels = extents.holding_packs(nested(nest.k, nest.g));
        let most_channels = fewer_channels.find(|&channels| self.weights_fit(channels))?;
        let least_blocks = u128::from(extents.channels().div_ceil(most_channels));
        // what any tiling loads at least
        let floor = if gapless {
            extents.least_loads(extents.rows())
        } else {
            0
        };
        for rows in nested(nest.p, nest.n) {
            let blocks = u128::from(extents.rows().div_ceil(rows));
            if let Some((loads, tiles, before)) = best {
                let (least, fewest) = (extents.least_loads(rows), least_blocks * blocks);
                let tied = fewest == tiles && before.channels < most_channels;
                if least > loads || (least == loads && fewest >= tiles && !tied) {
                    if loads <= floor && fewest >= tiles && !tied {
                        break; // fewer rows neither load less nor make fewer tiles
                    }
                    continue;
                }
            }
            if !self.features_may_fit(rows) {
                continue;
            }
            let with = |channels: u64, order: TileOrder| Tiling {
                channels,
                rows,
                order,
            };
            let fitting = std::iter::once(most_channels)
                .chain(fewer_channels.clone())
                .find(|&channels| self.fits(with(channels, TileOrder::ChannelsOuter)));
            let Some(channels) = fitting else { continue };
            let tiles = u128::from(extents.channels().div_ceil(channels)) * blocks;
            for order in [TileOrder::ChannelsOuter, TileOrder::RowsOuter] {
                let tiling = with(channels, order);
                let loads = extents.loads(tiling);
                let better = best.is_none_or(|(least, count, before)| {
                    (loads, tiles, Reverse(channels)) < (least, count, Reverse(before.channels))
                });
                if better {
                    best = Some((loads, tiles, tiling));
                }
            }
        }
        best.map(|(_, tiles, tiling)| (tiles, tiling))
    }
}

/// The tiling that loads the fewest bits from DRAM, of those the one with the fewest tiles, of those the one with
/// the largest block of channels, then of rows, then channels outside.
///
/// With the rows given, a larger block of channels never loads more and never makes more tiles, so the largest that
/// fits is taken; rows that load more than the best tiling whatever the channels are passed over.
#[inline]
pub(super) fn choose(
    work: &LayerWork,
    array: &ArrayRun,
    memories: &[Memory],
    layout: &Layout,
    engine: &str,
) -> Result<Tiling, SimulateError> {
    let search = Search::new(work, array, memories, layout).map_err(SimulateError::overflow(work))?;
    if let Some((tiles, tiling)) = search.best() {
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
        channels: search.extents.pack,
        rows: 1,
        order: TileOrder::ChannelsOuter,
    };
    let (memory, needed, available) = search
        .over(smallest)
        .ok_or_else(|| SimulateError::overflow(work)(Overflow))?;
    if array.spatial.groups > 1 {
        let Spatial { groups, .. } = array.spatial;
        return Err(SimulateError::Mapping {
            layer: work.name.into(),
            engine: engine.into(),
            key: "groups",
            message: format!(
                "a row of {groups} groups at once needs {needed} bits of `{}`, which has {available}",
                memory.name
            ),
            cure: "run fewer groups at once; a double-buffered memory holds the tile in use and the next"
                .into(),
        });
    }
    let stays = !work.input_from_dram || !work.output_to_dram;
    let home = memories.iter().position(|m| m.name == memory.name);
    let holds_stay = TENSORS.iter().enumerate().any(|(t, _)| {
        layout.routes[t].home == home
            && ((t == 2 && !work.input_from_dram) || (t == 3 && !work.output_to_dram))
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

/// A tiling that was asked for, checked against its layer and its buffers.
pub(super) fn check(
    work: &LayerWork,
    array: &ArrayRun,
    memories: &[Memory],
    layout: &Layout,
    engine: &str,
    tiling: Tiling,
) -> Result<(), SimulateError> {
    let search = Search::new(work, array, memories, layout).map_err(SimulateError::overflow(work))?;
    let misfit = |key: &'static str, message: String, cure: String| SimulateError::Mapping {
        layer: work.name.into(),
        engine: engine.into(),
        key,
        message,
        cure,
    };
    let nest = &work.nest;
    let blocks = [
        ("channels", tiling.channels, nest.k, nest.g, "group"),
        ("rows", tiling.rows, nest.p, nest.n, "sample"),
    ];
    for (key, size, inner, outer, of) in blocks {
        let fits = size > 0 && size <= inner.saturating_mul(outer) && (size < inner || size % inner == 0);
        if !fits {
            let most = inner.saturating_mul(outer);
            let cure = if outer == 1 {
                format!("write 1 to {most}")
            } else {
                format!(
                    "write 1 to {inner}, or a multiple of {inner} up to {most}: a block lies in one {of} or holds whole ones"
                )
            };
            return Err(misfit(
                key,
                format!("`{key}` is {size}; the layer has {most} {key}, {inner} in a {of}"),
                cure,
            ));
        }
    }
    if tiling.channels < search.extents.pack {
        let Spatial { groups, .. } = array.spatial;
        return Err(misfit(
            "channels",
            format!(
                "a tile of {} channels does not hold the {groups} groups that run at once, {} channels each",
                tiling.channels, nest.k
            ),
            format!(
                "take at least {} channels, or fewer `groups`",
                search.extents.pack
            ),
        ));
    }
    if search.tiles(tiling) > MAX_TILES {
        let tiles = search.tiles(tiling);
        return Err(misfit(
            "channels",
            format!("it makes {tiles} tiles, more than {MAX_TILES}"),
            "take larger tiles".into(),
        ));
    }
    let Some((memory, needed, available)) = search.over(tiling) else {
        return Ok(());
    };
    let home = memories.iter().position(|m| m.name == memory.name);
    let weights_only = (2..4).all(|t| layout.routes[t].home != home);
    let (key, cure) = if weights_only || tiling.rows == 1 {
        ("channels", "take fewer channels")
    } else {
        ("rows", "take fewer rows or channels")
    };
    Err(misfit(
        key,
        format!(
            "a tile of {} channels x {} rows needs {needed} bits of `{}`, which has {available}",
            tiling.channels, tiling.rows, memory.name
        ),
        format!("{cure}; a double-buffered memory holds the tile in use and the next"),
    ))
}

/// A tiling as loops to read.
pub(super) fn form(extents: &Extents, tiling: Tiling) -> LoopForm {
    let channels = tiling.channels.min(extents.channels());
    let rows = tiling.rows.min(extents.rows());
    let blocks_k = (
        extents.channels().div_ceil(channels),
        "channel",
        channels,
        "output channels",
    );
    let blocks_r = (extents.rows().div_ceil(rows), "row", rows, "output rows");
    let order = match tiling.order {
        TileOrder::ChannelsOuter => [blocks_k, blocks_r],
        TileOrder::RowsOuter => [blocks_r, blocks_k],
    };
    let mut lines = Vec::new();
    let mut indent = String::new();
    for (count, what, size, of) in order {
        let s = if count > 1 { "s" } else { "" };
        lines.push(format!("{indent}for {count} {what} block{s} of {size} {of}"));
        indent.push_str("  ");
    }
    lines.push(format!(
        "{indent}on the array: {channels} channels x {rows} rows x {} columns",
        extents.nest.q
    ));
    let Spatial {
        groups,
        positions,
        columns,
    } = extents.spatial;
    let all = &extents.nest;
    if all.g > 1 || extents.spatial != Spatial::ONE {
        let mut parts = Vec::new();
        if all.g > 1 {
            parts.push(format!("{groups} of {} groups at once", all.g));
        }
        if positions > 1 {
            parts.push(format!("{positions} parts of the positions at once"));
        }
        if columns > 1 {
            parts.push(format!("{columns} of {} kernel columns at once", all.s));
        }
        lines.push(format!("{indent}spatial: {}", parts.join(", ")));
    }
    let split = extents.spatial.to_string();
    let gap = if split.is_empty() { "" } else { " " };
    LoopForm {
        word: format!(
            "{split}{gap}channels={channels} rows={rows} {}",
            tiling.order.word()
        ),
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{memories, tiled, work};
    use super::*;
    use crate::simulate::StoredBits;
    use proptest::prelude::*;

    /// The first channels that fit for each of the rows, nothing passed over.
    fn slow(search: &Search) -> Option<Tiling> {
        let nest = &search.extents.nest;
        let mut best: Option<(u128, u128, Tiling)> = None;
        for rows in nested(nest.p, nest.n) {
            let at = |channels, order| Tiling {
                channels,
                rows,
                order,
            };
            let fitting = nested(nest.k, nest.g)
                .find(|&channels| search.over(at(channels, TileOrder::ChannelsOuter)).is_none());
            let Some(channels) = fitting else { continue };
            for order in [TileOrder::ChannelsOuter, TileOrder::RowsOuter] {
                let tiling = at(channels, order);
                let (loads, tiles) = (search.extents.loads(tiling), search.tiles(tiling));
                if best.is_none_or(|(least, fewest, before)| {
                    (loads, tiles, Reverse(channels)) < (least, fewest, Reverse(before.channels))
                }) {
                    best = Some((loads, tiles, tiling));
                }
            }
        }
        best.map(|(_, _, tiling)| tiling)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// What is passed over could not have won.
        #[test]
        fn the_choice_is_that_among_all(
            (nest, _) in tiled(), memories in memories(), elements in any::<[u16; 2]>(), dram in any::<[bool; 2]>(),
            weights in 0u64..60_000, indices in prop_oneof![Just(0u64), 0u64..20_000], features in 0u32..12,
        ) {
            let elements = elements.map(|e| u64::from(e >> features) + 1);
            let work = work(nest, elements, dram);
            let array = ArrayRun { stored: StoredBits { weights, indices }, ..ArrayRun::default() };
            let layout = Layout::new(&memories);
            let search = Search::new(&work, &array, &memories, &layout).expect("small");
            let best = search.best();
            prop_assert_eq!(best.map(|(_, tiling)| tiling), slow(&search));
            prop_assert!(best.is_none_or(|(tiles, tiling)| tiles == search.tiles(tiling)));
        }
    }

    #[test]
    fn every_size_is_one_for_each_number_of_blocks() {
        for extent in [1u64, 5, 32, 33, 100, 512] {
            let mut want: Vec<u64> = (1..=extent).map(|blocks| extent.div_ceil(blocks)).collect();
            want.dedup();
            if extent <= EVERY_SIZE {
                want = (1..=extent).rev().collect();
            }
            assert_eq!(every(extent), want);
        }
        // today's sizes are among them
        for (inner, outer) in [(7, 1), (4, 3), (100, 1), (56, 8), (1, 1000)] {
            let all = every_nested(inner, outer);
            assert!(
                nested(inner, outer).all(|size| all.contains(&size)),
                "{inner} {outer}"
            );
        }
    }

    #[test]
    fn block_sizes_cover_the_ends() {
        let sizes = |sizes: Sizes| sizes.collect::<Vec<u64>>();
        assert_eq!(sizes(nested(1, 1)), [1]);
        assert_eq!(sizes(nested(7, 1)), [7, 4, 3, 2, 1]);
        assert_eq!(sizes(nested(4, 3)), [12, 8, 4, 2, 1]);
        assert_eq!(nested(u64::MAX / 4, 3).last(), Some(1));
    }
}
