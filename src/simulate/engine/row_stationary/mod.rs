//! Row-stationary arrays (Eyeriss; Chen et al., JSSC 2017).
//!
//! A PE keeps q·S words of p filters and slides them over a row of the input; R PEs of a column add up an output
//! row, e columns make a set, and r·t·g sets share the array: r on other channels, t on other filters, g on other
//! groups, which takes nothing but the tags by which a set picks its inputs and its filters. The array runs
//! the layer in passes ([`passes`]); which, the mapping says: a given one, or the best of all ([`search`]).
//!
//! Weights go straight from their prefetch buffer to the registers, so each pass loads its own from DRAM. Inputs of
//! q·r channels stay in the buffer for all passes of m filters, and partial sums of m filters until all channels are
//! added. Features move to and from DRAM run-length coded where that is shorter.

mod found;
mod loops;
mod mapping;
mod passes;
mod search;

pub(in crate::simulate) use found::Found;
pub use loops::LoopForm;
pub use mapping::RowStationaryMapping;

use super::{ArrayBits, ArrayEngine, ArrayRun, Transfers};
use crate::compression::Mask;
use crate::hardware::{RowStationary, RunLength};
use crate::simulate::Mapping;
use crate::simulate::count::{Portion, fit};
use crate::simulate::spatial::Spatial;
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits};
use crate::units::{Overflow, product};
use mapping::{Banks, Misfit, window_rows};
use passes::Totals;

impl ArrayEngine for RowStationary {
    fn run(&self, work: &LayerWork, _: Option<&Mask>, name: &str) -> Result<ArrayRun, SimulateError> {
        self.run_known(work, name, &Found::default())
    }

    fn run_known(&self, work: &LayerWork, name: &str, found: &Found) -> Result<ArrayRun, SimulateError> {
        let overflow = SimulateError::overflow(work);
        let outcome = match work.mapping {
            Some(Mapping::RowStationary(pinned)) => {
                pinned.check(self, work).map(|fits| fits.map(|()| pinned))
            }
            _ => found.or_search(self, work, || search::best(self, work)),
        };
        let mapping = outcome.map_err(&overflow)?.map_err(|misfit: Misfit| {
            let Misfit { key, message, cure } = misfit;
            SimulateError::Mapping {
                layer: work.name.into(),
                engine: name.into(),
                key,
                message,
                cure,
            }
        })?;
        run(self, work, &mapping).map_err(overflow)
    }

    /// A batch, sample by sample: a pass of several samples may leave room for fewer filters, and inputs come from DRAM
    /// again for each block of them.
    fn others(&self, work: &LayerWork) -> Vec<Mapping> {
        if work.nest.n == 1 || matches!(work.mapping, Some(Mapping::RowStationary(_))) {
            return Vec::new();
        }
        let sample = LayerWork {
            nest: work.nest.batch(1),
            ..*work
        };
        let found = search::best(self, &sample).ok().and_then(Result::ok);
        found.map(Mapping::RowStationary).into_iter().collect()
    }

    fn pes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols)
    }
}

fn run(
    engine: &RowStationary,
    work: &LayerWork,
    mapping: &RowStationaryMapping,
) -> Result<ArrayRun, Overflow> {
    let totals = passes::run(engine, &work.nest, mapping)?;
    let macs = work.nest.macs();
    let peak = engine.pes();
    let compute = macs / peak;
    let words = [totals.weights, totals.inputs, totals.psums_out, totals.psums_in];
    let mut hops = 0;
    for moved in words {
        hops = crate::units::add(hops, moved)?;
    }
    let weight_bits = u64::from(work.weight_bits);
    let widths = work.activation_bits;
    let sums = product(&[totals.psums_in, widths.partial_sum.into()])?;
    let finished = product(&[totals.psums_out - totals.psums_in, widths.output.into()])?;
    let gated = if engine.gates_zero_inputs {
        macs - fit(Portion::new(work.activation_density).of_up(macs.into()))?
    } else {
        0
    };
    Ok(ArrayRun {
        cycles: totals.cycles()?,
        causes: Causes {
            compute,
            unused: totals.compute - compute,
            fill_drain: totals.fill,
            feature_port: totals.port,
            ..Causes::default()
        },
        macs,
        gated,
        decoded: 0,
        // every word between buffer and array takes the network once
        hops,
        stored: StoredBits {
            weights: product(&[work.nest.weights(), weight_bits])?,
            indices: 0,
        },
        bits: ArrayBits {
            weights: product(&[totals.weights, weight_bits])?,
            indices: 0,
            inputs: product(&[totals.inputs, widths.input.into()])?,
            outputs_written: crate::units::add(sums, finished)?,
            outputs_read: sums,
        },
        peak,
        spatial: Spatial::ONE,
        mapping: Some(Box::new(loops::form(engine, work, mapping)?)),
        transfers: Some(Box::new(transfers(engine, work, mapping, &totals)?)),
    })
}

/// Words to and from DRAM without compression: weights, inputs, outputs.
fn dram_words(
    work: &LayerWork,
    mapping: &RowStationaryMapping,
    totals: &Totals,
) -> Result<[u64; 3], Overflow> {
    let nest = &work.nest;
    let inputs = if work.input_from_dram {
        // the padding does not move; rows that two strips share do so twice
        let all = u128::from(product(&[
            nest.n,
            work.input_elements,
            nest.k.div_ceil(mapping.m),
        ])?);
        let again = all.checked_mul(totals.strip_rows.into()).ok_or(Overflow)?;
        fit(again.div_ceil(window_rows(nest, nest.p)?.into()))?
    } else {
        0
    };
    let outputs = if work.output_to_dram {
        product(&[nest.n, work.output_elements])?
    } else {
        0
    };
    Ok([totals.weights, inputs, outputs])
}

fn transfers(
    engine: &RowStationary,
    work: &LayerWork,
    mapping: &RowStationaryMapping,
    totals: &Totals,
) -> Result<Transfers, Overflow> {
    let [weights, inputs, outputs] = dram_words(work, mapping, totals)?;
    let widths = work.activation_bits;
    let weight_bits = product(&[weights, work.weight_bits.into()])?;
    let input_bits = product(&[inputs, widths.input.into()])?;
    let output_bits = product(&[outputs, widths.output.into()])?;
    let coded = |words: u64, bits: u64, density: f64| match engine.run_length {
        Some(code) => coded_bits(code, words, density).map(|coded| coded.min(bits)),
        None => Ok(bits),
    };
    let banks = Banks::of(engine, work, mapping)?;
    // the inputs of the next piece load beside those in use only where the banks hold both
    let beside = banks.psums + 2 * banks.inputs <= u64::from(engine.banks);
    Ok(Transfers {
        steps: totals.loads,
        loads: [weight_bits, 0, input_bits, 0],
        stores: [0, 0, 0, output_bits],
        dram_loads: [
            weight_bits,
            0,
            coded(inputs, input_bits, work.activation_density)?,
            0,
        ],
        dram_stores: [0, 0, 0, coded(outputs, output_bits, work.output_density)?],
        overlaps: [true, true, beside, true],
    })
}

/// Bits of so many run-length coded words: the non-zeros in whole words; runs longer than an index are left aside.
fn coded_bits(code: RunLength, words: u64, density: f64) -> Result<u64, Overflow> {
    let alive = Portion::new(density).of_up(words.into());
    fit(alive.div_ceil(code.values.into()) * u128::from(code.word_bits))
}
