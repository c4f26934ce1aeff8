//! A grid of PEs through whose registers operands and partial sums move, one hop a cycle.

use cosparse::hardware::{Dataflow, Systolic};
use cosparse::simulate::Spatial;

type Matrix = Vec<Vec<i64>>;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    pub(crate) useful: u64,
    pub(crate) ifmap_reads: u64,
    pub(crate) filter_reads: u64,
    pub(crate) ofmap_writes: u64,
    /// Operands into PEs up to the last that needs them, and sums out of PEs that add to them.
    pub(crate) hops: u64,
    /// E × F of each group.
    pub(crate) output: Vec<Matrix>,
}

fn transpose(m: &Matrix) -> Matrix {
    (0..m[0].len())
        .map(|j| m.iter().map(|row| row[j]).collect())
        .collect()
}

/// The groups' `inputs` E × K times `weights` K × F, as many at once as the split says.
pub(crate) fn run(array: Systolic, split: Spatial, inputs: &[Matrix], weights: &[Matrix]) -> Ticked {
    let mut ticked = Ticked::default();
    for (inputs, weights) in inputs
        .chunks(split.groups as usize)
        .zip(weights.chunks(split.groups as usize))
    {
        match array.dataflow {
            Dataflow::OutputStationary => {
                for (inputs, weights) in inputs.iter().zip(weights) {
                    output_stationary(array, inputs, weights, &mut ticked);
                }
            }
            Dataflow::WeightStationary => {
                let part = inputs[0].len().div_ceil(split.positions as usize);
                let blocks: Vec<Block> = inputs
                    .iter()
                    .zip(weights)
                    .flat_map(|(inputs, weights)| {
                        let mut parts: Vec<Matrix> = inputs.chunks(part).map(<[_]>::to_vec).collect();
                        parts.resize(split.positions as usize, Vec::new());
                        parts.into_iter().map(|moving| Block {
                            held: weights.clone(),
                            moving,
                        })
                    })
                    .collect();
                let [moving, held] = stationary(array, split, &blocks, &mut ticked);
                ticked.ifmap_reads += moving;
                ticked.filter_reads += held;
                // the parts of a group's positions are put together again
                let outputs = ticked.output.split_off(ticked.output.len() - blocks.len());
                ticked
                    .output
                    .extend(outputs.chunks(split.positions as usize).map(<[Matrix]>::concat));
            }
            Dataflow::InputStationary => {
                let blocks: Vec<Block> = inputs
                    .iter()
                    .zip(weights)
                    .map(|(inputs, weights)| Block {
                        held: transpose(inputs),
                        moving: transpose(weights),
                    })
                    .collect();
                let [moving, held] = stationary(array, split, &blocks, &mut ticked);
                ticked.ifmap_reads += held;
                ticked.filter_reads += moving;
                let outputs = ticked.output.split_off(ticked.output.len() - blocks.len());
                ticked.output.extend(outputs.iter().map(transpose));
            }
        }
    }
    ticked
}

/// The value at (i, j), zero outside: unmapped PEs are fed zeros.
fn at(m: &Matrix, i: usize, j: usize) -> Option<i64> {
    m.get(i)?.get(j).copied()
}

/// A part of the diagonal: `held` (rows × columns) stays, `moving` (time × rows) passes.
struct Block {
    held: Matrix,
    moving: Matrix,
}

/// Blocks along the diagonal, their products one fold after another; all take the time of the longest. Adds time ×
/// columns of each block to the outputs; returns reads of moving, held.
fn stationary(array: Systolic, split: Spatial, blocks: &[Block], ticked: &mut Ticked) -> [u64; 2] {
    let (h, w) = (array.rows as usize, array.cols as usize);
    let all = (split.groups * split.positions) as usize;
    let (block_h, block_w) = (h / all, w / all);
    let (sr, sc) = (blocks[0].held.len(), blocks[0].held[0].len());
    let time = blocks.iter().map(|b| b.moving.len()).max().expect("a block");
    let [mut moving_reads, mut held_reads] = [0, 0];
    let mut outputs: Vec<Matrix> = blocks.iter().map(|b| vec![vec![0; sc]; b.moving.len()]).collect();
    for row0 in (0..sr).step_by(block_h) {
        for col0 in (0..sc).step_by(block_w) {
            // block, and row or column in it, of a row or column of the array; those with work only
            let of = |i: usize, size: usize, from: usize, most: usize| {
                let (block, inside) = (i / size, from + i % size);
                let used = blocks.get(block).is_some_and(|b| !b.moving.is_empty());
                (used && inside < most).then_some((block, inside))
            };
            let row_of = |i: usize| of(i, block_h, row0, sr);
            let col_of = |j: usize| of(j, block_w, col0, sc);
            let weight_of = |i: usize, j: usize| match (row_of(i), col_of(j)) {
                (Some((a, row)), Some((b, col))) if a == b => Some(blocks[a].held[row][col]),
                _ => None,
            };
            let mut weight = vec![vec![0; w]; h];
            // load: each cycle all rows move down and a new one enters at the top, the bottom row first
            for k in 0..h {
                weight.rotate_right(1);
                for (j, cell) in weight[0].iter_mut().enumerate() {
                    let value = weight_of(h - 1 - k, j);
                    held_reads += u64::from(value.is_some());
                    *cell = value.unwrap_or(0);
                }
                ticked.cycles += 1;
            }
            // the last column that needs the operand of a row
            let last = |i: usize| (0..w).rev().find(|&j| weight_of(i, j).is_some());
            // stream: operands move right (with their time), partial sums move down
            let mut operand: Vec<Vec<Option<(usize, i64)>>> = vec![vec![None; w]; h];
            let mut sum: Vec<Vec<Option<(usize, i64)>>> = vec![vec![None; w]; h];
            let mut left = 0; // outputs that left the bottom row
            let mut cycle = 0;
            while left < time * w {
                let mut next_operand = vec![vec![None; w]; h];
                let mut next_sum = vec![vec![None; w]; h];
                for i in 0..h {
                    for j in 0..w {
                        next_operand[i][j] = if j > 0 {
                            operand[i][j - 1]
                        } else {
                            // row i starts i cycles late
                            (cycle >= i && cycle - i < time).then(|| {
                                let value =
                                    row_of(i).and_then(|(b, row)| at(&blocks[b].moving, cycle - i, row));
                                moving_reads += u64::from(value.is_some());
                                (cycle - i, value.unwrap_or(0))
                            })
                        };
                        if let Some((t, value)) = next_operand[i][j] {
                            let above = if i == 0 {
                                (t, 0)
                            } else {
                                sum[i - 1][j].expect("the sum arrives with its operand")
                            };
                            assert_eq!(above.0, t, "sums and operands stay in step");
                            next_sum[i][j] = Some((t, above.1 + value * weight[i][j]));
                            let there = row_of(i).is_some_and(|(b, _)| t < blocks[b].moving.len());
                            let works = there && weight_of(i, j).is_some();
                            ticked.useful += u64::from(works);
                            ticked.hops += u64::from(works);
                            ticked.hops += u64::from(there && last(i).is_some_and(|last| j <= last));
                        }
                    }
                }
                (operand, sum) = (next_operand, next_sum);
                for (j, cell) in sum[h - 1].iter().enumerate() {
                    if let Some((t, value)) = *cell {
                        left += 1;
                        if let Some((block, col)) = col_of(j)
                            && t < blocks[block].moving.len()
                        {
                            outputs[block][t][col] += value;
                            ticked.ofmap_writes += 1;
                        }
                    }
                }
                cycle += 1;
                ticked.cycles += 1;
            }
        }
    }
    ticked.output.extend(outputs);
    [moving_reads, held_reads]
}

fn output_stationary(array: Systolic, inputs: &Matrix, weights: &Matrix, ticked: &mut Ticked) {
    let (h, w) = (array.rows as usize, array.cols as usize);
    let (e, k, f) = (inputs.len(), weights.len(), weights[0].len());
    let mut output = vec![vec![0; f]; e];
    for row0 in (0..e).step_by(h) {
        for col0 in (0..f).step_by(w) {
            let mut right: Vec<Vec<Option<i64>>> = vec![vec![None; w]; h];
            let mut down: Vec<Vec<Option<i64>>> = vec![vec![None; w]; h];
            let mut sum = vec![vec![0; w]; h];
            let mut done = vec![vec![0; w]; h];
            let mut cycle = 0;
            while done.iter().flatten().any(|&d| d < k) {
                let (mut next_right, mut next_down) = (vec![vec![None; w]; h], vec![vec![None; w]; h]);
                for i in 0..h {
                    for j in 0..w {
                        next_right[i][j] = if j > 0 {
                            right[i][j - 1]
                        } else {
                            (cycle >= i && cycle - i < k).then(|| {
                                let value = at(inputs, row0 + i, cycle - i);
                                ticked.ifmap_reads += u64::from(value.is_some());
                                value.unwrap_or(0)
                            })
                        };
                        next_down[i][j] = if i > 0 {
                            down[i - 1][j]
                        } else {
                            (cycle >= j && cycle - j < k).then(|| {
                                let value = at(weights, cycle - j, col0 + j);
                                ticked.filter_reads += u64::from(value.is_some());
                                value.unwrap_or(0)
                            })
                        };
                        if let (Some(a), Some(b)) = (next_right[i][j], next_down[i][j]) {
                            sum[i][j] += a * b;
                            done[i][j] += 1;
                            let works = row0 + i < e && col0 + j < f;
                            ticked.useful += u64::from(works);
                            ticked.hops += 2 * u64::from(works);
                        }
                    }
                }
                (right, down) = (next_right, next_down);
                cycle += 1;
                ticked.cycles += 1;
            }
            for (i, sums) in sum.iter().enumerate().take(e - row0) {
                for (j, &value) in sums.iter().enumerate().take(f - col0) {
                    output[row0 + i][col0 + j] = value;
                    ticked.ofmap_writes += 1;
                }
            }
        }
    }
    ticked.output.push(output);
}
