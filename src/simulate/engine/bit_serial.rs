//! Inner-product units that take one operand bit by bit (Stripes, MICRO 2016).
//!
//! A tile is `rows` output channels × `cols` output positions; a unit works on `lanes` products at once and takes
//! as many cycles as the serial operand has bits. The layer ends one accumulation and ceil(log2 lanes) adders
//! after its last bit. Zeros are multiplied like anything else.
//!
//! The lanes of a column bring their inputs to all rows, and a unit adds up all its lanes. n groups run at once where
//! each has floor(rows / n) rows and floor(lanes / n) lanes of its own and the rows hold zeros on the others' lanes:
//! blocks along the diagonal of rows × lanes ([`Diagonal`]). Columns are output positions already.

use super::diagonal::Diagonal;
use super::{ArrayBits, ArrayEngine, ArrayRun};
use crate::compression::Mask;
use crate::hardware::{BitSerial, SerialOperand};
use crate::simulate::count::fit;
use crate::simulate::spatial::{self, Room, Spatial};
use crate::simulate::{Causes, LayerWork, SimulateError, StoredBits};
use crate::units::{Overflow, add, mul, product};

impl ArrayEngine for BitSerial {
    fn run(&self, work: &LayerWork, _: Option<&Mask>, name: &str) -> Result<ArrayRun, SimulateError> {
        let message = if work.weight_bits > 16 || work.activation_bits.operand > 16 {
            "multiplies at most 16 bits by 16 bits; quantise weights and activations to 16 bits or fewer"
        } else if [self.rows, self.cols, self.lanes].contains(&0) {
            "needs at least one row, column and lane; mend the profile"
        } else {
            return spatial::run(self.room(work), work, |split| run(*self, work, split));
        };
        Err(SimulateError::Unsupported {
            layer: work.name.into(),
            engine: name.into(),
            message,
        })
    }

    fn room(&self, work: &LayerWork) -> Room {
        Diagonal::room(&work.nest, self.rows.into(), self.lanes.into(), false)
    }

    fn splits(&self) -> bool {
        true
    }

    fn follows_activation_width(&self) -> bool {
        self.serial == SerialOperand::Activations
    }

    fn pes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols)
    }
}

fn run(engine: BitSerial, work: &LayerWork, split: Spatial) -> Result<ArrayRun, Overflow> {
    let gemm = work.nest.gemm();
    let [rows, cols, lanes] = [engine.rows, engine.cols, engine.lanes].map(u64::from);
    let weight_bits = u64::from(work.weight_bits);
    let bits = match engine.serial {
        SerialOperand::Activations => work.activation_bits.operand.into(),
        SerialOperand::Weights => weight_bits,
    };
    let diagonal = Diagonal::new(&work.nest, split);
    let (blocks, columns) = (gemm.n.div_ceil(diagonal.share(rows)), gemm.m.div_ceil(cols));
    let steps = gemm.k.div_ceil(diagonal.share(lanes));
    let streaming = product(&[diagonal.packs(), blocks, columns, steps, bits])?;
    let latency = 1 + u64::from(engine.lanes.next_power_of_two().trailing_zeros());
    let macs = work.nest.macs();
    let products = product(&[rows, cols, lanes])?;
    let compute = fit(u128::from(macs) * u128::from(bits) / u128::from(products))?;
    let stored = product(&[work.nest.weights(), weight_bits])?;
    Ok(ArrayRun {
        cycles: add(streaming, latency)?,
        causes: Causes {
            compute,
            unused: streaming - compute,
            fill_drain: latency,
            ..Causes::default()
        },
        macs,
        decoded: 0,
        hops: mul(2, macs)?,
        stored: StoredBits {
            weights: stored,
            indices: 0,
        },
        bits: ArrayBits {
            weights: mul(stored, columns)?,
            indices: 0,
            inputs: product(&[
                gemm.groups,
                gemm.m,
                gemm.k,
                blocks,
                work.activation_bits.input.into(),
            ])?,
            outputs_written: product(&[gemm.groups, gemm.m, gemm.n, work.activation_bits.output.into()])?,
            outputs_read: 0,
        },
        peak: products.div_ceil(bits.max(1)),
        spatial: split,
        ..ArrayRun::default()
    })
}
