//! The tiling that is best for a measure: every tiling that fits, run through the whole pipeline unless a bound shows
//! that it cannot win.

use super::tiling::{Rank, Search, Tiling};
use super::{Cut, Layout, MemoryRun, pipeline};
use crate::hardware::Memory;
use crate::simulate::LayerWork;
use crate::simulate::engine::ArrayRun;
use crate::simulate::error::SimulateError;
use crate::units::{Overflow, mul};

/// Tiles that a search steps through at most, some seconds: the best so far stands then.
const MOST_STEPS: u128 = 1 << 26;

/// Bounds are sums in another order than costs: this portion leaves room for their rounding.
const ROUNDING: f64 = 1e-9;

/// Whether what takes at least `bound` cannot come to `least`.
pub(in crate::simulate) fn beyond(bound: f64, least: f64) -> bool {
    bound * (1.0 - ROUNDING) > least
}

/// What an array's run takes at least, whatever its tiles: its own cycles (causes are left out), and of DRAM what no
/// tiling can spare.
pub(in crate::simulate) fn least(
    work: &LayerWork,
    array: &ArrayRun,
    layout: &Layout,
) -> Result<MemoryRun, Overflow> {
    let has_home = |t: usize| layout.routes[t].home.is_some();
    let once = |t: usize, bits: u64| if has_home(t) { bits } else { 0 };
    let output = u64::from(work.activation_bits.output);
    let outputs = mul(mul(work.nest.n, work.output_elements)?, output)?;
    let moved = (
        [once(0, array.stored.weights), once(1, array.stored.indices), 0, 0],
        [0, 0, 0, if work.output_to_dram { once(3, outputs) } else { 0 }],
    );
    Ok(MemoryRun {
        cycles: array.cycles,
        causes: array.causes,
        dram: moved,
        passed: moved,
        activations: 0,
        tiling: None,
    })
}

/// The run of the best tiling by `weigh`, of equals the one with the fewest loads, then the fewest tiles, the largest
/// blocks, channels outside. `today` is the run of the tiling that loads least, which is never beaten by the answer.
pub(in crate::simulate) fn best(
    work: &LayerWork,
    array: &ArrayRun,
    memories: &[Memory],
    layout: &Layout,
    today: MemoryRun,
    weigh: impl Fn(&MemoryRun) -> Result<f64, Overflow>,
) -> Result<MemoryRun, SimulateError> {
    search(work, array, memories, layout, today, weigh).map_err(SimulateError::overflow(work))
}

fn search(
    work: &LayerWork,
    array: &ArrayRun,
    memories: &[Memory],
    layout: &Layout,
    today: MemoryRun,
    weigh: impl Fn(&MemoryRun) -> Result<f64, Overflow>,
) -> Result<MemoryRun, Overflow> {
    let Some(first) = today.tiling else {
        return Ok(today);
    };
    let space = Search::new(work, array, memories, layout)?;
    let mut best = (weigh(&today)?, space.rank(first), today);
    let mut candidates: Vec<(f64, Rank, Tiling)> = Vec::new();
    for tiling in space.all() {
        // a count that overflows is no candidate
        let Ok(floor) = pipeline::floor(&space.extents, array, memories, layout, tiling) else {
            continue;
        };
        let bound = weigh(&floor)?;
        if tiling != first && !beyond(bound, best.0) {
            candidates.push((bound, space.rank(tiling), tiling));
        }
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    let mut steps = 0u128;
    for (bound, rank, tiling) in candidates {
        steps += space.tiles(tiling);
        if beyond(bound, best.0) || steps > MOST_STEPS {
            break;
        }
        let Ok(run) = super::step(work, array, memories, layout, Cut::Tiles(tiling)) else {
            continue;
        };
        let cost = weigh(&run)?;
        if (cost, &rank) < (best.0, &best.1) {
            best = (cost, rank, run);
        }
    }
    Ok(best.2)
}
