//! PEs that scatter Cartesian products over banked accumulators (SCNN, ISCA 2017).
//!
//! Each PE owns a tile of the input plane, all channels of it. For one group of output channels after another
//! (Kc, or fewer if the accumulators hold no more with the tile's halo) the compressed weights are broadcast. For each
//! input channel a PE takes I active elements, and for these goes through the channel's weights F at a time:
//!
//! ```text
//! steps    = Σ channels ceil(active elements / I) · ceil(entries / F)
//! address  = (channel in group · rows reached + row) · columns reached + column;  bank = address mod A
//! step     = max(1, max over banks of (products waiting + products of the step − queue depth)) cycles
//! group    = max over PEs of (steps with their conflicts, and the last products added)
//! ```
//!
//! Products that reach no output (at the plane's edge, or of the wrong phase at strides over 1) and those of fillers are
//! multiplied and dropped. A sum outside a PE's own tile goes to a neighbour behind the last channel; accumulators
//! are double-buffered and the exchange takes no time. Samples and groups of a convolution run one after another.
//! A linear layer is a plane of one place: one PE works, and no weight is used twice.

mod crossbar;
mod exact;
mod expectation;
mod lanes;
mod linear;
mod plane;

use super::{ArrayBits, ArrayEngine, ArrayRun};
use crate::compression::Mask;
use crate::hardware::Scatter;
use crate::network::LoopNest;
use crate::simulate::count::{Portion, fit};
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits, Weights};
use crate::units::{Overflow, mul, product};
use plane::{Axis, Span, axes, covered};

impl ArrayEngine for Scatter {
    fn run(
        &self,
        work: &LayerWork,
        activations: Option<&Mask>,
        name: &str,
    ) -> Result<ArrayRun, SimulateError> {
        let refuse = |message| {
            Err(SimulateError::Unsupported {
                layer: work.name.into(),
                engine: name.into(),
                message,
            })
        };
        let counts = [self.rows, self.cols, self.weights, self.activations, self.banks];
        if counts.contains(&0)
            || self.accumulators == 0
            || self.output_channels == 0
            || !(1..=16).contains(&self.index_bits)
        {
            return refuse("needs counts of at least 1 and an index of 1 to 16 bits; mend the profile");
        }
        if !tractable(&work.nest) {
            return refuse(
                "takes planes of which rows (columns) times kernel rows (columns) stay below 2^24, and as many input channels; split the layer",
            );
        }
        let mut layer = Layer::new(*self, work);
        let Some(together) = layer.fitting() else {
            return refuse(
                "has too few accumulators for one output channel of a tile with its halo; raise `accumulators`, `rows` or `cols`",
            );
        };
        layer.together = together;
        let totals = match work.weights {
            Weights::Pattern(mask) => Ok(exact::run(&layer, mask, activations)),
            Weights::Density(density) => expectation::run(&layer, density),
        };
        totals
            .and_then(|totals| finish(&layer, &totals))
            .map_err(SimulateError::overflow(work))
    }

    fn pes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols)
    }
}

/// Places of the input times places of the kernel along an axis, and input channels, that are gone through one by one.
const MAX_PLACES: u64 = 1 << 24;

/// Whether the layer is small enough to be gone through.
fn tractable(nest: &LoopNest) -> bool {
    let axes = [(nest.p, nest.r, 0), (nest.q, nest.s, 1)];
    let small = axes.into_iter().all(|(outputs, kernel, i)| {
        let (stride, dilation) = (nest.stride[i].into(), nest.dilation[i].into());
        let length = u128::from(outputs - 1)
            .checked_mul(stride)
            .zip(u128::from(kernel - 1).checked_mul(dilation))
            .and_then(|(a, b)| a.checked_add(b)?.checked_add(1)?.checked_mul(kernel.into()));
        stride > 0 && dilation > 0 && length.is_some_and(|places: u128| places < MAX_PLACES.into())
    });
    small && product(&[nest.g, nest.c]).is_ok_and(|channels| channels < MAX_PLACES)
}

/// A layer on the engine.
struct Layer<'a> {
    engine: Scatter,
    work: &'a LayerWork<'a>,
    axes: [Axis; 2],
    /// Elements that are active where only their density is known.
    active: Portion,
    /// Output channels computed together.
    together: u64,
}

impl<'a> Layer<'a> {
    fn new(engine: Scatter, work: &'a LayerWork<'a>) -> Self {
        let (axes, stored) = axes(work);
        Self {
            engine,
            work,
            axes,
            active: Portion::new(work.activation_density * stored),
            together: 1,
        }
    }

    /// Rows and columns of the tiles.
    fn spans(&self) -> [Vec<Span>; 2] {
        [
            self.axes[0].spans(self.engine.rows),
            self.axes[1].spans(self.engine.cols),
        ]
    }

    /// Output channels that the accumulators hold together; `None` if not one.
    fn fitting(&self) -> Option<u64> {
        let [rows, cols] = self
            .spans()
            .map(|s| s.iter().map(|s| s.reach).max().unwrap_or(1).max(1));
        let fit = u64::from(self.engine.accumulators) / (rows * cols);
        (fit > 0).then(|| fit.min(self.engine.output_channels.into()).min(self.work.nest.k))
    }
}

/// Sums over all PEs, but for the time until the slowest is done and the entries stored.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    /// Products that reached an accumulator.
    useful: u128,
    /// Products.
    made: u128,
    /// Steps.
    steps: u128,
    /// Cycles until the PE's last product is added.
    busy: u128,
    /// Cycles.
    total: u128,
    /// Weights and fillers stored.
    entries: u128,
    /// Weights and fillers taken.
    decoded: u128,
    /// Active elements read.
    inputs: u128,
}

impl Totals {
    /// Adds what one PE did, `times` over.
    fn add(&mut self, one: &Self, times: u128) {
        self.useful += one.useful * times;
        self.made += one.made * times;
        self.steps += one.steps * times;
        self.busy += one.busy * times;
        self.decoded += one.decoded * times;
        self.inputs += one.inputs * times;
    }
}

fn finish(layer: &Layer, totals: &Totals) -> Result<ArrayRun, Overflow> {
    let (engine, work) = (layer.engine, layer.work);
    let nest = work.nest;
    let pes = engine.pes();
    let peak = product(&[pes, engine.weights.into(), engine.activations.into()])?;
    let [rows, cols] = layer.spans();
    let idle = u128::from(pes) - rows.len() as u128 * cols.len() as u128;
    let cycles = fit(totals.total)?;
    // of all PEs, those without a tile are idle all the time
    let mean = |sum: u128| fit((sum + idle * totals.total) / u128::from(pes));
    let compute = fit(totals.useful / u128::from(peak))?.min(cycles);
    let steps = mean(totals.steps)?.clamp(compute, cycles);
    let busy = mean(totals.busy)?.clamp(steps, cycles);
    let causes = Causes {
        compute,
        unused: steps - compute,
        feature_port: busy - steps,
        imbalance: cycles - busy,
        ..Causes::default()
    };
    let reach = |spans: &[Span]| spans.iter().map(|s| s.reach).sum::<u64>();
    let sums = product(&[reach(&rows), reach(&cols)])?;
    let owned = product(&[covered(&rows), covered(&cols)])?;
    let halo = product(&[nest.n, nest.g, nest.k, sums - owned])?;
    let outputs = product(&[nest.n, nest.g, nest.k, nest.p, nest.q])?;
    let index = u64::from(engine.index_bits);
    let [input, output] =
        [work.activation_bits.input, work.activation_bits.output].map(|bits| u64::from(bits) + index);
    let entries = fit(totals.entries)?;
    let stored = StoredBits {
        weights: mul(entries, work.weight_bits.into())?,
        indices: mul(entries, index)?,
    };
    let written = Portion::new(work.output_density).of_up(outputs.into());
    Ok(ArrayRun {
        cycles,
        causes,
        macs: fit(totals.made)?,
        decoded: fit(totals.decoded)?,
        // a product crosses the crossbar, a sum of the halo the border of two PEs
        hops: fit(totals.useful + u128::from(halo))?,
        stored,
        bits: ArrayBits {
            weights: mul(stored.weights, nest.n)?,
            indices: mul(stored.indices, nest.n)?,
            inputs: mul(fit(totals.inputs)?, input)?,
            outputs_written: mul(fit(written)?, output)?,
            outputs_read: 0,
        },
        peak,
        ..ArrayRun::default()
    })
}
