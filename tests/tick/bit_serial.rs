//! A grid of units that see one bit of the serial operand a cycle and add the other operand where it is one.

use cosparse::hardware::{BitSerial, SerialOperand};

/// Cycles of a group without the pipeline's end, and positions × channels. `inputs[position][product]`,
/// `weights[product][channel]`, both narrower than `bits`, the serial operand's width.
pub(crate) fn run(
    array: BitSerial,
    inputs: &[Vec<u64>],
    weights: &[Vec<u64>],
    bits: u32,
) -> (u64, Vec<Vec<u64>>) {
    let (products, channels) = (weights.len(), weights[0].len());
    let mut output = vec![vec![0; channels]; inputs.len()];
    let mut cycles = 0;
    for channel in (0..channels).step_by(array.rows as usize) {
        for x0 in (0..inputs.len()).step_by(array.cols as usize) {
            for first in (0..products).step_by(array.lanes as usize) {
                for bit in 0..bits {
                    for c in channel..(channel + array.rows as usize).min(channels) {
                        for x in x0..(x0 + array.cols as usize).min(inputs.len()) {
                            for k in first..(first + array.lanes as usize).min(products) {
                                let (serial, whole) = match array.serial {
                                    SerialOperand::Activations => (inputs[x][k], weights[k][c]),
                                    SerialOperand::Weights => (weights[k][c], inputs[x][k]),
                                };
                                output[x][c] += ((serial >> bit & 1) * whole) << bit;
                            }
                        }
                    }
                    cycles += 1;
                }
            }
        }
    }
    (cycles, output)
}

/// Cycles from the last bit in the lanes to the sum in the accumulator.
pub(crate) fn end(array: BitSerial) -> u64 {
    let (mut sums, mut cycles) = (array.lanes, 1);
    while sums > 1 {
        sums = sums.div_ceil(2);
        cycles += 1;
    }
    cycles
}
