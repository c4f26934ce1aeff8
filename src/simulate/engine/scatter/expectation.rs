//! Layers of which only the density of the weights is known: expectations over uniformly random positions.
//!
//! A channel of an output-channel group has n places and, with q the density and L the reach of an index,
//! Binomial(n, q/(1 − (1 − q)^L)) entries, fillers counted in. A PE with a active elements takes
//! ceil(a/I)·E[ceil(entries/F)] steps for it. All PEs see the same weights, so the slowest of them is the one with the
//! largest expectation. What conflicts add to a step is counted for each kind of tile on a fixed pseudo-random pattern of
//! about 2^16 products; it grows with the density, weight by weight.

use super::crossbar::Crossbar;
use super::exact::{Entry, Tile, entries, spread, tile_time};
use super::{Layer, Totals};
use crate::simulate::count::round_up;
use crate::units::Overflow;

/// Products of the pattern that stands for a density, unless one channel already has more.
const SAMPLE: u128 = 1 << 16;

/// Places up to which the binomial distribution is summed; beyond, ceil adds (F − 1)/2F.
const SUMMED: u64 = 4096;

pub(super) fn run(layer: &Layer, density: f64) -> Result<Totals, Overflow> {
    let nest = layer.work.nest;
    let kernel = (nest.r * nest.s) as f64;
    let reach = f64::from(1u32 << layer.engine.index_bits);
    let rate = (density / (1.0 - (1.0 - density).powf(reach))).min(1.0);
    let weights = u64::from(layer.engine.weights);
    // activations of each tile: vectors and elements, group by group
    let tiles = counts(layer, density);
    // vectors of the slowest tile, times what a step takes there
    let worst = |g: usize| {
        tiles
            .iter()
            .map(|t| t.vectors[g] as f64 * t.wait)
            .fold(0.0, f64::max)
    };
    let (full, rest) = (nest.k / layer.together, nest.k % layer.together);
    let (mut steps, mut busy, mut total, mut made, mut decoded, mut inputs) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (channels, times) in [(layer.together, full), (rest, u64::from(rest > 0))] {
        let places = channels * nest.r * nest.s;
        let vectors = vectors(places, rate, weights) * times as f64;
        let held = places as f64 * rate * times as f64;
        // a channel without weights is not read
        let read = (1.0 - (1.0 - density).powf(places as f64)) * times as f64;
        for g in 0..nest.g as usize {
            total += worst(g) * vectors;
            for tile in &tiles {
                let several = tile.times as f64;
                steps += several * tile.vectors[g] as f64 * vectors;
                busy += several * tile.vectors[g] as f64 * vectors * tile.wait;
                decoded += several * tile.vectors[g] as f64 * held;
                made += several * tile.elements[g] as f64 * held;
                inputs += several * tile.elements[g] as f64 * read;
            }
        }
    }
    let samples = nest.n as f64;
    let elements: f64 = tiles
        .iter()
        .map(|t| t.times as f64 * t.elements.iter().sum::<u64>() as f64)
        .sum();
    let places = layer.spans().map(|s| s.iter().map(|s| s.len).sum::<u64>() as f64);
    let landing =
        layer.axes[0].pairs() as f64 / places[0] * (layer.axes[1].pairs() as f64 / places[1]) / kernel;
    let useful = elements * landing * density * nest.k as f64 * kernel;
    let up = |value: f64| round_up(value).map(u128::from);
    let down = |value: f64| up(value.floor());
    Ok(Totals {
        useful: down(samples * useful.min(made))?,
        made: down(samples * made)?,
        steps: down(samples * steps)?,
        busy: down(samples * busy)?,
        total: up(samples * total)?,
        entries: up(nest.weights() as f64 * rate)?,
        decoded: up(samples * decoded)?,
        inputs: up(samples * inputs)?,
    })
}

/// Active elements of tiles that are alike, by group.
struct Counts {
    times: u64,
    elements: Vec<u64>,
    /// Vectors of I elements, channel by channel.
    vectors: Vec<u64>,
    /// Cycles a step, at least 1.
    wait: f64,
}

fn counts(layer: &Layer, density: f64) -> Vec<Counts> {
    let nest = layer.work.nest;
    let wide = u64::from(layer.engine.activations);
    let sample = Sample::new(layer, density);
    spread(layer, layer.active, sample.inputs)
        .iter()
        .map(|tile| {
            let size = tile.rows.len * tile.cols.len;
            let upto = |channel: u64| layer.active.of_up(u128::from(channel) * u128::from(size)) as u64;
            let (mut elements, mut vectors) = (Vec::new(), Vec::new());
            for group in 0..nest.g {
                let channels = group * nest.c..(group + 1) * nest.c;
                elements.push(upto(channels.end) - upto(channels.start));
                vectors.push(channels.map(|c| (upto(c + 1) - upto(c)).div_ceil(wide)).sum());
            }
            Counts {
                times: tile.times,
                elements,
                vectors,
                wait: sample.wait(layer, tile),
            }
        })
        .collect()
}

/// E[ceil(X / wide)] with X ~ Binomial(places, rate).
fn vectors(places: u64, rate: f64, wide: u64) -> f64 {
    if rate >= 1.0 {
        return places.div_ceil(wide) as f64;
    }
    if places > SUMMED {
        return (places as f64 * rate + (wide - 1) as f64 / 2.0) / wide as f64;
    }
    // from the mode both ways, by the ratio of neighbours
    let mode = ((places + 1) as f64 * rate) as u64;
    let odds = rate / (1.0 - rate);
    let (mut weight, mut sum, mut all) = (1.0, 0.0, 0.0);
    for count in mode..=places {
        sum += weight * count.div_ceil(wide) as f64;
        all += weight;
        weight *= (places - count) as f64 / (count + 1) as f64 * odds;
    }
    weight = 1.0;
    for count in (1..=mode).rev() {
        weight *= count as f64 / ((places - count + 1) as f64 * odds);
        sum += weight * (count - 1).div_ceil(wide) as f64;
        all += weight;
    }
    sum / all
}

/// Weights that stand for those of the layer.
struct Sample {
    /// Input channels.
    inputs: u64,
    lists: Vec<Vec<Entry>>,
}

impl Sample {
    fn new(layer: &Layer, density: f64) -> Self {
        let nest = layer.work.nest;
        let kernel = nest.r * nest.s;
        let [rows, cols] = layer.spans().map(|s| s.iter().map(|s| s.len).max().unwrap_or(1));
        let one = u128::from(kernel) * u128::from(rows) * u128::from(cols);
        let room = |most: u64, each: u128| u128::from(most).min((SAMPLE / each).max(1));
        let channels = room(layer.together, one);
        let inputs = room(nest.c, one * channels) as u64;
        let threshold = (density * 9_007_199_254_740_992.0) as u64;
        let lists = (0..inputs).map(|channel| {
            let alive =
                |k: u64, place: u64| noise((channel * layer.together + k) * kernel + place) < threshold;
            let mut list = Vec::new();
            entries(layer, channels as u64, &alive, &mut list);
            list
        });
        Self {
            inputs,
            lists: lists.collect(),
        }
    }

    /// Cycles a step on a tile, at least 1.
    fn wait(&self, layer: &Layer, tile: &Tile) -> f64 {
        let mut crossbar = Crossbar::new(layer.engine.banks, layer.engine.queue_depth);
        let one = tile_time(layer, tile, 0, &self.lists, &mut crossbar);
        if one.steps == 0 {
            1.0
        } else {
            one.total as f64 / one.steps as f64
        }
    }
}

/// 53 pseudo-random bits of a place (`SplitMix64`).
fn noise(place: u64) -> u64 {
    let mut z = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three places of which each is taken with one half: 1, 3, 3 and 1 of eight cases; in pairs 0, 1, 1 and 2.
    #[test]
    fn vectors_by_hand() {
        assert!((vectors(3, 0.5, 2) - 1.0).abs() < 1e-12);
        assert!((vectors(3, 0.5, 1) - 1.5).abs() < 1e-12);
        assert!((vectors(3, 1.0, 2) - 2.0).abs() < 1e-12);
        // the sum and the rule for many places meet
        let (summed, ruled) = (vectors(4096, 0.3, 4), (4096.0 * 0.3 + 1.5) / 4.0);
        assert!((summed / ruled - 1.0).abs() < 1e-6, "{summed} {ruled}");
    }
}
