//! Layers of which the non-zero weights are known: every step of every PE.

use super::crossbar::Crossbar;
use super::plane::{NONE, Span, distinct};
use super::{Layer, Totals, lanes, linear};
use crate::compression::Mask;
use crate::simulate::count::Portion;

/// A weight of an output-channel group: channel in it, kernel row and column; `None` is a filler.
pub(super) type Entry = Option<[u32; 3]>;

/// Tiles that do the same, and their active elements.
pub(super) struct Tile {
    pub(super) rows: Span,
    pub(super) cols: Span,
    /// How many there are.
    pub(super) times: u64,
    /// Row and column of the active elements, channel by channel.
    pub(super) active: Vec<[u32; 2]>,
    /// Where each channel (of all groups) ends in `active`.
    pub(super) ends: Vec<usize>,
}

impl Tile {
    /// The active elements of a channel.
    pub(super) fn channel(&self, channel: usize) -> &[[u32; 2]] {
        let from = if channel == 0 { 0 } else { self.ends[channel - 1] };
        &self.active[from..self.ends[channel]]
    }

    fn new(
        rows: Span,
        cols: Span,
        times: u64,
        channels: u64,
        alive: &dyn Fn(&Span, &Span, u64, u64, u64) -> bool,
    ) -> Self {
        let (mut active, mut ends) = (Vec::new(), Vec::new());
        for channel in 0..channels {
            for y in 0..rows.len {
                for x in 0..cols.len {
                    if alive(&rows, &cols, channel, y, x) {
                        active.push([y as u32, x as u32]);
                    }
                }
            }
            ends.push(active.len());
        }
        Self {
            rows,
            cols,
            times,
            active,
            ends,
        }
    }
}

/// The tiles with active elements spread evenly over each PE's elements, channel by channel.
pub(super) fn spread(layer: &Layer, portion: Portion, channels: u64) -> Vec<Tile> {
    let [rows, cols] = layer.spans();
    let mut tiles = Vec::new();
    let cols = distinct(cols);
    for (row, across) in distinct(rows) {
        for (col, down) in &cols {
            let alive = |rows: &Span, cols: &Span, channel, y, x| {
                portion.alive((channel * rows.len + y) * cols.len + x)
            };
            tiles.push(Tile::new(
                row.clone(),
                col.clone(),
                across * down,
                channels,
                &alive,
            ));
        }
    }
    tiles
}

/// The tiles of one sample with the real pattern: an element is active where any of its products is.
fn real(layer: &Layer, pattern: &Mask, sample: u64) -> Vec<Tile> {
    let nest = layer.work.nest;
    let (kernel, width) = (nest.r * nest.s, pattern.cols() as u64);
    let alive = |rows: &Span, cols: &Span, channel: u64, y: u64, x: u64| {
        (0..kernel).any(|place| {
            let down = rows.lands[(y * nest.r + place / nest.s) as usize];
            let across = cols.lands[(x * nest.s + place % nest.s) as usize];
            if down == NONE || across == NONE {
                return false;
            }
            let position = (sample * nest.p + rows.output(down)) * nest.q + cols.output(across);
            let row = if pattern.rows() == 1 { 0 } else { position };
            pattern.get((row * width + channel * kernel + place) as usize)
        })
    };
    let [rows, cols] = layer.spans();
    let mut tiles = Vec::new();
    for row in &rows {
        for col in &cols {
            tiles.push(Tile::new(row.clone(), col.clone(), 1, nest.g * nest.c, &alive));
        }
    }
    tiles
}

pub(super) fn run(layer: &Layer, mask: &Mask, activations: Option<&Mask>) -> Totals {
    let nest = layer.work.nest;
    let product = if linear::fits(layer) {
        linear::product
    } else if lanes::fits(layer) {
        lanes::product
    } else {
        product
    };
    let mut totals = Totals::default();
    let (tiles, samples) = match activations {
        Some(pattern) if pattern.rows() > 1 => {
            for sample in 0..nest.n {
                product(layer, mask, &real(layer, pattern, sample), 1, &mut totals);
            }
            totals.entries /= u128::from(nest.n);
            return totals;
        }
        Some(pattern) => (real(layer, pattern, 0), nest.n),
        None => (spread(layer, layer.active, nest.g * nest.c), nest.n),
    };
    product(layer, mask, &tiles, samples.into(), &mut totals);
    totals.entries /= u128::from(nest.n);
    totals
}

/// One sample, `samples` times over, product by product.
pub(super) fn product(layer: &Layer, mask: &Mask, tiles: &[Tile], samples: u128, totals: &mut Totals) {
    let nest = layer.work.nest;
    let mut crossbar = Crossbar::new(layer.engine.banks, layer.engine.queue_depth);
    let mut lists: Vec<Vec<Entry>> = vec![Vec::new(); nest.c as usize];
    for group in 0..nest.g {
        for first in (0..nest.k).step_by(layer.together as usize) {
            let channels = layer.together.min(nest.k - first);
            for (channel, list) in lists.iter_mut().enumerate() {
                let alive = |k: u64, place: u64| {
                    let row = (group * nest.k + first + k) as usize;
                    mask.get(row * mask.cols() + channel * (nest.r * nest.s) as usize + place as usize)
                };
                entries(layer, channels, &alive, list);
                totals.entries += samples * list.len() as u128;
            }
            let mut slowest = 0;
            for tile in tiles {
                let base = (group * nest.c) as usize;
                let one = tile_time(layer, tile, base, &lists, &mut crossbar);
                slowest = slowest.max(one.total);
                totals.add(&one, samples * u128::from(tile.times));
            }
            totals.total += samples * slowest;
        }
    }
}

/// The index chain of a channel over an output-channel group: channel, kernel row, kernel column.
pub(super) fn entries(layer: &Layer, channels: u64, alive: &dyn Fn(u64, u64) -> bool, list: &mut Vec<Entry>) {
    let nest = layer.work.nest;
    let reach = 1u64 << layer.engine.index_bits;
    list.clear();
    let mut since = 0;
    for k in 0..channels {
        for place in 0..nest.r * nest.s {
            since += 1;
            if alive(k, place) {
                list.push(Some([k, place / nest.s, place % nest.s].map(|v| v as u32)));
                since = 0;
            } else if since == reach {
                list.push(None);
                since = 0;
            }
        }
    }
    // nothing is stored behind the last weight
    while list.last().is_some_and(Option::is_none) {
        list.pop();
    }
}

/// What one PE does with an output-channel group; `total` is its own time.
pub(super) fn tile_time(
    layer: &Layer,
    tile: &Tile,
    base: usize,
    lists: &[Vec<Entry>],
    crossbar: &mut Crossbar,
) -> Totals {
    let nest = layer.work.nest;
    let banks = u64::from(layer.engine.banks);
    let (reach, width) = (tile.rows.reach * tile.cols.reach, tile.cols.reach);
    let mut one = Totals::default();
    for (channel, list) in lists.iter().enumerate() {
        let active = tile.channel(base + channel);
        if list.is_empty() {
            continue;
        }
        one.inputs += active.len() as u128;
        one.made += (active.len() * list.len()) as u128;
        for elements in active.chunks(layer.engine.activations as usize) {
            one.decoded += list.len() as u128;
            for weights in list.chunks(layer.engine.weights as usize) {
                one.steps += 1;
                let mut useful = 0u32;
                let hit = weights.iter().flatten().flat_map(|&[k, r, s]| {
                    elements.iter().filter_map(move |&[y, x]| {
                        let down = tile.rows.lands[y as usize * nest.r as usize + r as usize];
                        let across = tile.cols.lands[x as usize * nest.s as usize + s as usize];
                        (down != NONE && across != NONE).then(|| {
                            let address = u64::from(k) * reach + u64::from(down) * width + u64::from(across);
                            (address % banks) as usize
                        })
                    })
                });
                crossbar.step(hit.inspect(|_| useful += 1));
                one.useful += u128::from(useful);
            }
        }
    }
    one.total = crossbar.drain().into();
    one.busy = one.total;
    one
}
