//! PEs that each hold a slice of the weights: dense, or sparse with an index per entry.
//!
//! Every output position (N·P·Q of them) replays the stored slices. An *entry* is a stored weight: a non-zero,
//! or a filler where a relative index of k bits cannot span the gap (a gap of more than L = 2^k positions
//! stores a filler every L positions; none follow the last non-zero of a chain), or a zero of a stored block.
//! `macs_per_pe` entries start together and occupy their PE for `cycles_per_entry` cycles. The decoder reads
//! `decode_bits_per_cycle` index bits a cycle ahead of the multipliers: a PE takes the longer of the two.
//!
//! * [`contiguous`]: SCNN-like, one index chain per PE over a contiguous run of weights;
//! * [`interleaved`]: EIE, row i at PE i mod PEs, a chain per PE and column, columns broadcast in order.
//!
//! An engine without an index stores and visits every weight and takes all its multiplications for useful.

mod contiguous;
pub(super) mod counting;
mod decoder;
mod entries;
mod expectation;
mod held;
mod interleaved;

pub use entries::{SliceEntries, slice_entries};

use decoder::Decoder;

use super::{ArrayEngine, ArrayRun};
use crate::compression::Mask;
use crate::hardware::{Partition, Slices};
use crate::simulate::{Causes, LayerWork, SimulateError, Weights};

/// The most PEs whose slices are counted one by one.
const MAX_PES: u32 = 1 << 24;

fn decoder(slices: &Slices, work: &LayerWork, engine: &str) -> Result<Decoder, SimulateError> {
    Decoder::of(slices).map_err(|message| SimulateError::Unsupported {
        layer: work.name.into(),
        engine: engine.into(),
        message,
    })
}

impl ArrayEngine for Slices {
    fn run(
        &self,
        work: &LayerWork,
        activations: Option<&Mask>,
        name: &str,
    ) -> Result<ArrayRun, SimulateError> {
        run(self, work, activations, name)
    }

    fn interval(
        &self,
        work: &LayerWork,
        level: f64,
        name: &str,
    ) -> Result<Option<[ArrayRun; 2]>, SimulateError> {
        let decoder = decoder(self, work, name)?;
        let Weights::Density(density) = work.weights else {
            return Ok(None);
        };
        if decoder == Decoder::None || density >= 1.0 {
            return Ok(None);
        }
        let interval = match self.partition {
            Partition::Contiguous => expectation::interval,
            Partition::RowInterleaved => interleaved::interval,
        };
        interval(self, decoder, work, density, level)
            .map(Some)
            .map_err(SimulateError::overflow(work))
    }

    fn pes(&self) -> u64 {
        u64::from(self.pes)
    }

    fn formula(&self, work: &LayerWork, array: &ArrayRun) -> Vec<String> {
        let gemm = work.nest.gemm();
        let (positions, weights) = (gemm.m, work.nest.weights());
        let kept = match work.weights {
            Weights::Pattern(mask) => mask.count() as f64,
            Weights::Density(density) => weights as f64 * density,
        };
        let each = array.stored.weights as f64 / f64::from(work.weight_bits.max(1));
        let even =
            array.decoded.max(array.macs) as f64 * f64::from(self.cycles_per_entry) / array.peak as f64;
        vec![
            format!("{positions} output positions (N · P · Q) each replay the stored entries"),
            format!(
                "entries = {kept:.0} kept of {weights} weights + {:.0} fillers = {each:.0}; active in all positions: {}",
                each - kept.min(each),
                array.decoded.max(array.macs)
            ),
            format!(
                "evenly spread: {} entries · {} cycles an entry / ({} PEs · {} MACs) = {even:.0} cycles",
                array.decoded.max(array.macs),
                self.cycles_per_entry,
                self.pes,
                self.macs_per_pe
            ),
            format!(
                "array cycles = {} (slowest PE, {:.3} of even)",
                array.cycles,
                array.cycles as f64 / even.max(1.0)
            ),
        ]
    }
}

/// Runs a checked layer, with the real pattern of active inputs where it is known: one row of
/// `groups · products` bits per output position, or one row for all.
fn run(
    slices: &Slices,
    work: &LayerWork,
    activations: Option<&Mask>,
    name: &str,
) -> Result<ArrayRun, SimulateError> {
    let decoder = decoder(slices, work, name)?;
    if slices.pes > MAX_PES {
        return Err(SimulateError::Unsupported {
            layer: work.name.into(),
            engine: name.into(),
            message: "has more than 2^24 PEs; lower `pes`",
        });
    }
    let activations = activations.filter(|_| slices.skip_zero_activations);
    match slices.partition {
        Partition::Contiguous => {
            contiguous::run(slices, decoder, work, activations).map_err(SimulateError::overflow(work))
        }
        Partition::RowInterleaved if slices.feature_port.is_some() => Err(SimulateError::Unsupported {
            layer: work.name.into(),
            engine: name.into(),
            message: "broadcasts one column a cycle; a feature port has no meaning with `row-interleaved`, remove it",
        }),
        Partition::RowInterleaved => {
            interleaved::run(slices, decoder, work, activations).map_err(SimulateError::overflow(work))
        }
    }
}

/// Times, each including the one before, whose differences are the causes of a slices engine.
#[derive(Debug, Clone, Copy)]
struct Stages {
    /// Useful multiplications at the full rate.
    useful: u64,
    /// All entries with their initiation interval, at the full rate.
    entries: u64,
    /// The same on the lanes and PEs that have work.
    lanes: u64,
    /// Waiting of PEs for pointers, index bits and columns without an entry added.
    decoded: u64,
    /// Until the slowest PE is done.
    slowest: u64,
    /// Until the feature port is done as well.
    total: u64,
}

impl Stages {
    /// The differences; a stage never ends before the one before it nor after the total, so they sum to it.
    fn causes(self) -> Causes {
        let useful = self.useful.min(self.total);
        let entries = self.entries.clamp(useful, self.total);
        let lanes = self.lanes.clamp(entries, self.total);
        let empty = self.decoded.clamp(lanes, self.total);
        let slowest = self.slowest.clamp(empty, self.total);
        Causes {
            compute: useful,
            decode: (entries - useful) + (empty - lanes),
            unused: lanes - entries,
            imbalance: slowest - empty,
            feature_port: self.total - slowest,
            ..Causes::default()
        }
    }
}
