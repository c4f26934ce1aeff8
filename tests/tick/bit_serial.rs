//! A grid of units that see one bit of the serial operand a cycle and add the other operand where it is one.

use cosparse::hardware::{BitSerial, SerialOperand};

type Matrix = Vec<Vec<u64>>;

/// Cycles without the pipeline's end, and positions × channels of each group. `inputs[position][product]`,
/// `weights[product][channel]`, both narrower than `bits`, the serial operand's width. `at_once` groups share the units:
/// each has rows and lanes of its own, and a row holds zeros on the lanes of the others.
pub(crate) fn run(
    array: BitSerial,
    at_once: usize,
    inputs: &[Matrix],
    weights: &[Matrix],
    bits: u32,
) -> (u64, Vec<Matrix>) {
    let (rows, lanes) = (array.rows as usize / at_once, array.lanes as usize / at_once);
    let (positions, products, channels) = (inputs[0].len(), weights[0].len(), weights[0][0].len());
    let mut output = vec![vec![vec![0; channels]; positions]; inputs.len()];
    let mut cycles = 0;
    for pack in (0..inputs.len()).step_by(at_once) {
        // the group behind a row or lane of the array
        let group = |block: usize| (block < at_once && pack + block < inputs.len()).then_some(pack + block);
        for channel in (0..channels).step_by(rows) {
            for x0 in (0..positions).step_by(array.cols as usize) {
                for first in (0..products).step_by(lanes) {
                    for bit in 0..bits {
                        for x in x0..(x0 + array.cols as usize).min(positions) {
                            // what the lanes of the column bring to all rows
                            let brought = |lane: usize| {
                                let (g, k) = (group(lane / lanes)?, first + lane % lanes);
                                (k < products).then(|| inputs[g][x][k])
                            };
                            for row in 0..array.rows as usize {
                                let (Some(own), c) = (group(row / rows), channel + row % rows) else {
                                    continue;
                                };
                                if c >= channels {
                                    continue;
                                }
                                for lane in 0..array.lanes as usize {
                                    let Some(a) = brought(lane) else { continue };
                                    let w = if group(lane / lanes) == Some(own) {
                                        weights[own][first + lane % lanes][c]
                                    } else {
                                        0
                                    };
                                    let (serial, whole) = match array.serial {
                                        SerialOperand::Activations => (a, w),
                                        SerialOperand::Weights => (w, a),
                                    };
                                    output[own][x][c] += ((serial >> bit & 1) * whole) << bit;
                                }
                            }
                        }
                        cycles += 1;
                    }
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
