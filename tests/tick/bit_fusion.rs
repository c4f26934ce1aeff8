//! A grid of fusion units: weights move down into place, inputs move right, sums move down; every product is made of
//! 2-bit bricks, of which a unit has sixteen.

use cosparse::hardware::BitFusion;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ticked {
    pub(crate) cycles: u64,
    pub(crate) weights_read: u64,
    /// Inputs read, all passes of one counted once.
    pub(crate) inputs_read: u64,
    /// Positions × channels.
    pub(crate) output: Vec<Vec<u64>>,
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

/// `inputs[position][product]`, `weights[product][channel]`; widths are 2, 4, 8 or 16.
pub(crate) fn run(array: BitFusion, inputs: &[Vec<u64>], weights: &[Vec<u64>], widths: (u32, u32)) -> Ticked {
    let (h, w) = (array.rows as usize, array.cols as usize);
    let (positions, products, channels) = (inputs.len(), weights.len(), weights[0].len());
    let fused = ((8 / widths.0.min(8)) * (8 / widths.1.min(8))) as usize;
    // the passes of a position: which part of the weight with which part of the input
    let passes: Vec<(usize, usize)> = (0..widths.0.div_ceil(8) as usize)
        .flat_map(|i| (0..widths.1.div_ceil(8) as usize).map(move |j| (i, j)))
        .collect();
    let mut ticked = Ticked {
        output: vec![vec![0; channels]; positions],
        ..Ticked::default()
    };
    for first in (0..products).step_by(h * fused) {
        for channel in (0..channels).step_by(w) {
            // the products of a unit's row
            let held = |i: usize| {
                let from = (first + i * fused).min(products);
                from..(from + fused).min(products)
            };
            for i in (0..h).rev() {
                for j in channel..(channel + w).min(channels) {
                    ticked.weights_read += held(i)
                        .map(|k| u64::from(weights[k][j] < 1 << widths.0))
                        .sum::<u64>();
                }
                ticked.cycles += 1;
            }
            for row in inputs {
                ticked.inputs_read += (0..h)
                    .flat_map(&held)
                    .map(|k| u64::from(row[k] < 1 << widths.1))
                    .sum::<u64>();
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
                        for k in held(i).filter(|_| channel + j < channels) {
                            let w = parts(weights[k][channel + j], widths.0)[wp];
                            let a = parts(inputs[x][k], widths.1)[ap];
                            sum += bricks(w, a, widths, &mut used);
                        }
                        assert!(used <= 16, "a unit has sixteen bricks");
                        sums[i][j] = sum;
                        if i + 1 == h {
                            left += 1;
                            if channel + j < channels {
                                ticked.output[x][channel + j] += sum << (8 * (wp + ap));
                            }
                        }
                    }
                }
                cycle += 1;
                ticked.cycles += 1;
            }
        }
    }
    ticked
}
