//! A weight-stationary systolic array of fusion units (Bit Fusion, ISCA 2018).
//!
//! A unit has 16 bricks of 2 × 2 bits. Widths are rounded up to 2, 4, 8 or 16 bits. With operands of w and a bits
//! up to 8 a product fuses (w/2)·(a/2) bricks, so a unit does F = (8/w)·(8/a) products a cycle, of consecutive
//! weights along the reduction. A 16-bit operand comes as two halves of 8 bits, one after the other: two passes,
//! four where both are that wide.
//!
//! The folds are those of [`Folds`] with ceil(K/F) rows of products and every position streamed once a pass. The
//! sums of the passes are shifted and added as they leave the array. Groups, and parts of the output positions, run
//! side by side on blocks along the diagonal as in a weight-stationary array ([`Diagonal`]); the products that a unit
//! fuses are of one group.

use super::diagonal::Diagonal;
use super::{ArrayBits, ArrayEngine, ArrayRun, Folds};
use crate::compression::Mask;
use crate::hardware::{BitFusion, Dataflow, Systolic};
use crate::simulate::count::fit;
use crate::simulate::spatial::{self, Room, Spatial};
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits};
use crate::units::{Overflow, add, mul, product};

/// The bits at which an operand of `bits` runs; `None` above 16.
fn rounded(bits: u32) -> Option<u64> {
    [2, 4, 8, 16].into_iter().find(|&b| u64::from(bits) <= b)
}

impl ArrayEngine for BitFusion {
    fn run(&self, work: &LayerWork, _: Option<&Mask>, name: &str) -> Result<ArrayRun, SimulateError> {
        let (Some(weight), Some(activation)) =
            (rounded(work.weight_bits), rounded(work.activation_bits.operand))
        else {
            return Err(SimulateError::Unsupported {
                layer: work.name.into(),
                engine: name.into(),
                message: "multiplies at most 16 bits by 16 bits; quantise weights and activations to 16 bits or fewer",
            });
        };
        spatial::run(self.room(work), work, |split| {
            run(*self, work, (weight, activation), split)
        })
    }

    fn room(&self, work: &LayerWork) -> Room {
        Diagonal::room(&work.nest, self.rows.into(), self.cols.into(), true)
    }

    fn splits(&self) -> bool {
        true
    }

    fn follows_activation_width(&self) -> bool {
        true
    }

    fn pes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols)
    }
}

fn run(
    engine: BitFusion,
    work: &LayerWork,
    (weight, activation): (u64, u64),
    split: Spatial,
) -> Result<ArrayRun, Overflow> {
    let gemm = work.nest.gemm();
    let diagonal = Diagonal::new(&work.nest, split);
    let [rows, cols] = [engine.rows, engine.cols].map(|extent| diagonal.share(extent.into()));
    let passes = weight.div_ceil(8) * activation.div_ceil(8);
    let fused = (8 / weight.min(8)) * (8 / activation.min(8));
    let array = Systolic {
        rows: engine.rows,
        cols: engine.cols,
        dataflow: Dataflow::WeightStationary,
    };
    let time = gemm.m.div_ceil(split.positions);
    let folds = Folds::new(array, mul(time, passes)?, gemm.k.div_ceil(fused), gemm.n);
    let row_folds = folds.sr.div_ceil(rows);
    let col_folds = folds.sc.div_ceil(cols);
    let steps = product(&[diagonal.packs(), row_folds, col_folds])?;
    let units = engine.pes();
    let macs = work.nest.macs();
    let cycles = product(&[steps, folds.cycles_per_fold()?])?;
    let streaming = product(&[steps, folds.t])?;
    let rate = u128::from(units) * u128::from(fused);
    let compute = fit(u128::from(macs) * u128::from(passes) / rate)?;
    let causes = Causes {
        compute,
        unused: streaming - compute,
        fill_drain: cycles - streaming,
        ..Causes::default()
    };
    let outputs = product(&[gemm.groups, gemm.m, gemm.n])?;
    let finished = mul(outputs, work.activation_bits.output.into())?;
    // of all row folds but the first
    let sums = product(&[outputs, row_folds - 1, work.activation_bits.partial_sum.into()])?;
    let weights = product(&[work.nest.weights(), weight])?;
    // the bricks take whole operands; what is stored wider is read as it is
    let input = activation.max(work.activation_bits.input.into());
    Ok(ArrayRun {
        cycles,
        causes,
        macs,
        decoded: 0,
        hops: add(
            mul(2, macs)?,
            mul(col_folds, diagonal.passing(gemm.k, gemm.m, cols)?)?,
        )?,
        stored: StoredBits { weights, indices: 0 },
        bits: ArrayBits {
            weights: mul(weights, diagonal.copies(gemm.m))?,
            indices: 0,
            inputs: product(&[gemm.groups, gemm.m, gemm.k, col_folds, input])?,
            outputs_written: add(sums, finished)?,
            outputs_read: sums,
        },
        peak: fit(rate.div_ceil(passes.into()))?,
        spatial: split,
        ..ArrayRun::default()
    })
}
