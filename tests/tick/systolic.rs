//! A grid of PEs through whose registers operands and partial sums move, one hop a cycle.

use cosparse::hardware::{Dataflow, Systolic};

type Matrix = Vec<Vec<i64>>;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    pub(crate) useful: u64,
    pub(crate) ifmap_reads: u64,
    pub(crate) filter_reads: u64,
    pub(crate) ofmap_writes: u64,
    /// E × F.
    pub(crate) output: Matrix,
}

fn transpose(m: &Matrix) -> Matrix {
    (0..m[0].len())
        .map(|j| m.iter().map(|row| row[j]).collect())
        .collect()
}

/// `inputs` E × K times `weights` K × F.
pub(crate) fn run(array: Systolic, inputs: &Matrix, weights: &Matrix) -> Ticked {
    match array.dataflow {
        Dataflow::OutputStationary => output_stationary(array, inputs, weights),
        Dataflow::WeightStationary => {
            let (mut ticked, moving, held) = stationary(array, weights, inputs);
            (ticked.ifmap_reads, ticked.filter_reads) = (moving, held);
            ticked
        }
        Dataflow::InputStationary => {
            let (mut ticked, moving, held) = stationary(array, &transpose(inputs), &transpose(weights));
            (ticked.ifmap_reads, ticked.filter_reads) = (held, moving);
            ticked.output = transpose(&ticked.output);
            ticked
        }
    }
}

/// The value at (i, j), zero outside: unmapped PEs are fed zeros.
fn at(m: &Matrix, i: usize, j: usize) -> Option<i64> {
    m.get(i)?.get(j).copied()
}

/// `held` (S_r × S_c) stays, `moving` (T × S_r) passes; the result is T × S_c. Returns reads of moving, held.
fn stationary(array: Systolic, held: &Matrix, moving: &Matrix) -> (Ticked, u64, u64) {
    let (h, w) = (array.rows as usize, array.cols as usize);
    let (sr, sc, time) = (held.len(), held[0].len(), moving.len());
    let mut ticked = Ticked {
        output: vec![vec![0; sc]; time],
        ..Ticked::default()
    };
    let (mut moving_reads, mut held_reads) = (0, 0);
    for row0 in (0..sr).step_by(h) {
        for col0 in (0..sc).step_by(w) {
            let mut weight = vec![vec![0; w]; h];
            // load: each cycle all rows move down and a new one enters at the top, the bottom row first
            for k in 0..h {
                for i in (1..h).rev() {
                    weight[i] = weight[i - 1].clone();
                }
                for (j, cell) in weight[0].iter_mut().enumerate() {
                    let value = at(held, row0 + h - 1 - k, col0 + j);
                    held_reads += u64::from(value.is_some());
                    *cell = value.unwrap_or(0);
                }
                ticked.cycles += 1;
            }
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
                                let value = at(moving, cycle - i, row0 + i);
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
                            ticked.useful += u64::from(row0 + i < sr && col0 + j < sc);
                        }
                    }
                }
                (operand, sum) = (next_operand, next_sum);
                for (j, cell) in sum[h - 1].iter().enumerate() {
                    if let Some((t, value)) = *cell {
                        left += 1;
                        if col0 + j < sc {
                            ticked.output[t][col0 + j] += value;
                            ticked.ofmap_writes += 1;
                        }
                    }
                }
                cycle += 1;
                ticked.cycles += 1;
            }
        }
    }
    (ticked, moving_reads, held_reads)
}

fn output_stationary(array: Systolic, inputs: &Matrix, weights: &Matrix) -> Ticked {
    let (h, w) = (array.rows as usize, array.cols as usize);
    let (e, k, f) = (inputs.len(), weights.len(), weights[0].len());
    let mut ticked = Ticked {
        output: vec![vec![0; f]; e],
        ..Ticked::default()
    };
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
                            ticked.useful += u64::from(row0 + i < e && col0 + j < f);
                        }
                    }
                }
                (right, down) = (next_right, next_down);
                cycle += 1;
                ticked.cycles += 1;
            }
            for i in 0..h.min(e - row0) {
                for j in 0..w.min(f - col0) {
                    ticked.output[row0 + i][col0 + j] = sum[i][j];
                    ticked.ofmap_writes += 1;
                }
            }
        }
    }
    ticked
}
