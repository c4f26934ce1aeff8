//! A grid of fusion units: weights move down into place, inputs move right, sums move down; every product is made of
//! 2-bit bricks, of which a unit has sixteen.

use cosparse::hardware::BitFusion;
use cosparse::simulate::Spatial;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    pub(crate) weights_read: u64,
    /// Inputs read, all passes of one counted once.
    pub(crate) inputs_read: u64,
    /// Operands into units up to the last that needs them, and sums out of units that add to them: one a product.
    pub(crate) hops: u64,
    /// Positions × channels of each group.
    pub(crate) output: Vec<Vec<Vec<u64>>>,
}

/// The 8-bit parts of an operand of so many bits, low first.
fn parts(value: u64, bits: u32) -> Vec<u64> {
    (0..bits.div_ceil(8)).map(|p| value >> (8 * p) & 255).collect()
}

/// A product of 2-bit bricks; counts the bricks.
fn bricks(w: u64, a: u64, (weight_bits, activation_bits): (u32, u32), used: &mut u32) -> u64 {
    let mut sum = 0;
    for i in (0..weight_bits.min(8)).step_by(2) {
        for j in (0..activation_bits.min(8)).step_by(2) {
            sum += ((w >> i & 3) * (a >> j & 3)) << (i + j);
            *used += 1;
        }
    }
    sum
}

type Matrix = Vec<Vec<u64>>;

/// A part of the diagonal: a group, or some of its positions.
struct Block<'a> {
    inputs: &'a [Vec<u64>],
    weights: &'a Matrix,
}

/// Of each group `inputs[position][product]`, `weights[product][channel]`; widths are 2, 4, 8 or 16.
pub(crate) fn run(
    array: BitFusion,
    split: Spatial,
    inputs: &[Matrix],
    weights: &[Matrix],
    widths: (u32, u32),
) -> Ticked {
    let mut ticked = Ticked::default();
    let at_once = split.groups as usize;
    for (inputs, weights) in inputs.chunks(at_once).zip(weights.chunks(at_once)) {
        let part = inputs[0].len().div_ceil(split.positions as usize);
        let mut blocks: Vec<Option<Block>> = Vec::new();
        for (inputs, weights) in inputs.iter().zip(weights) {
            let parts = inputs.chunks(part).map(|inputs| Some(Block { inputs, weights }));
            let next = blocks.len() + split.positions as usize;
            blocks.extend(parts);
            blocks.resize_with(next, || None);
        }
        let outputs = pack(array, split, &blocks, widths, &mut ticked);
        let joined = outputs.chunks(split.positions as usize).map(<[Matrix]>::concat);
        ticked.output.extend(joined);
    }
    ticked
}

/// Blocks along the diagonal, all folds of them: positions × channels of each.
#[allow(clippy::too_many_lines)] // the parts of the machine
fn pack(
    array: BitFusion,
    split: Spatial,
    blocks: &[Option<Block>],
    widths: (u32, u32),
    ticked: &mut Ticked,
) -> Vec<Matrix> {
    let (h, w) = (array.rows as usize, array.cols as usize);
    let all = (split.groups * split.positions) as usize;
    let (block_h, block_w) = (h / all, w / all);
    let largest = blocks
        .iter()
        .flatten()
        .max_by_key(|b| b.inputs.len())
        .expect("a block");
    let (positions, products, channels) = (
        largest.inputs.len(),
        largest.weights.len(),
        largest.weights[0].len(),
    );
    let fused = ((8 / widths.0.min(8)) * (8 / widths.1.min(8))) as usize;
    // the passes of a position: which part of the weight with which part of the input
    let passes: Vec<(usize, usize)> = (0..widths.0.div_ceil(8) as usize)
        .flat_map(|i| (0..widths.1.div_ceil(8) as usize).map(move |j| (i, j)))
        .collect();
    let mut outputs: Vec<Matrix> = blocks
        .iter()
        .map(|block| {
            block
                .as_ref()
                .map_or_else(Vec::new, |b| vec![vec![0; channels]; b.inputs.len()])
        })
        .collect();
    for first in (0..products).step_by(block_h * fused) {
        for channel in (0..channels).step_by(block_w) {
            let there = |block: usize| blocks.get(block).and_then(Option::as_ref);
            // the block and the products of a unit's row
            let row_of = |i: usize| {
                let block = there(i / block_h)?;
                let from = (first + i % block_h * fused).min(products);
                Some((i / block_h, block, from..(from + fused).min(products)))
            };
            // the block and the channel of a unit's column
            let col_of = |j: usize| {
                there(j / block_w)?;
                let c = channel + j % block_w;
                (c < channels).then_some((j / block_w, c))
            };
            for i in (0..h).rev() {
                for j in 0..w {
                    if let (Some((a, block, held)), Some((b, c))) = (row_of(i), col_of(j))
                        && a == b
                    {
                        ticked.weights_read += held
                            .map(|k| u64::from(block.weights[k][c] < 1 << widths.0))
                            .sum::<u64>();
                    }
                }
                ticked.cycles += 1;
            }
            for i in 0..h {
                let Some((own, block, held)) = row_of(i) else {
                    continue;
                };
                let last = (0..w).rev().find(|&j| col_of(j).is_some_and(|(b, _)| b == own));
                for row in block.inputs {
                    let read = held
                        .clone()
                        .map(|k| u64::from(row[k] < 1 << widths.1))
                        .sum::<u64>();
                    ticked.inputs_read += read;
                    ticked.hops += read * last.map_or(0, |j| j as u64 + 1);
                }
            }
            let steps = positions * passes.len();
            let mut moving: Vec<Vec<Option<usize>>> = vec![vec![None; w]; h];
            let mut sums: Vec<Vec<u64>> = vec![vec![0; w]; h];
            let (mut cycle, mut left) = (0, 0);
            while left < steps * w {
                let (before, above) = (moving.clone(), sums.clone());
                for i in 0..h {
                    for j in 0..w {
                        moving[i][j] = if j > 0 {
                            before[i][j - 1]
                        } else {
                            // row i starts i cycles late
                            (cycle >= i && cycle - i < steps).then(|| cycle - i)
                        };
                        let Some(step) = moving[i][j] else { continue };
                        let (x, (wp, ap)) = (step / passes.len(), passes[step % passes.len()]);
                        let mut used = 0;
                        let mut sum = if i > 0 { above[i - 1][j] } else { 0 };
                        // outside of its block a unit holds zeros
                        if let (Some((a, block, held)), Some((b, c))) = (row_of(i), col_of(j))
                            && a == b
                            && x < block.inputs.len()
                        {
                            for k in held {
                                let w = parts(block.weights[k][c], widths.0)[wp];
                                let a = parts(block.inputs[x][k], widths.1)[ap];
                                sum += bricks(w, a, widths, &mut used);
                                ticked.hops += u64::from((wp, ap) == (0, 0));
                            }
                        }
                        assert!(used <= 16, "a unit has sixteen bricks");
                        sums[i][j] = sum;
                        if i + 1 == h {
                            left += 1;
                            if let Some((block, c)) = col_of(j)
                                && let Some(row) = outputs[block].get_mut(x)
                            {
                                row[c] += sum << (8 * (wp + ap));
                            }
                        }
                    }
                }
                cycle += 1;
                ticked.cycles += 1;
            }
        }
    }
    outputs
}
