//! The inner loops of convolutions: a run of `T` neighbouring outputs of one row, held in registers.

use super::lanes::Lanes;

/// The `T` inputs that a run of outputs meets at one weight: neighbours at stride 1, else `step` apart.
#[inline(always)]
fn inputs<const T: usize>(x: &[Lanes], at: usize, step: usize) -> [Lanes; T] {
    if step == 1 {
        // one bounds check for the run
        let run: &[Lanes] = &x[at..at + T];
        std::array::from_fn(
            #[inline(always)]
            |j| run[j],
        )
    } else {
        let run: &[Lanes] = &x[at..=at + (T - 1) * step];
        std::array::from_fn(
            #[inline(always)]
            |j| run[j * step],
        )
    }
}

/// Calls `$tile::<T>(…, position)` for runs that cover `$length` positions, widest first.
macro_rules! tiles {
    ($length:expr, |$q:ident, $T:ident| $body:block) => {{
        let (mut $q, length) = (0usize, $length);
        while $q + 8 <= length {
            const $T: usize = 8;
            $body
            $q += 8;
        }
        if $q + 4 <= length {
            const $T: usize = 4;
            $body
            $q += 4;
        }
        while $q < length {
            const $T: usize = 1;
            $body
            $q += 1;
        }
    }};
}
pub(super) use tiles;

/// `bias + Σ w·x` over the kept weights of one output channel, for `T` outputs.
#[inline(always)]
pub(super) fn forward<const T: usize>(
    x: &[Lanes],
    at: usize,
    step: usize,
    offsets: &[u32],
    weights: &[f32],
    bias: f32,
) -> [Lanes; T] {
    let mut sums = [Lanes::splat(bias); T];
    for (&offset, &w) in offsets.iter().zip(weights) {
        let (x, w) = (
            inputs::<T>(x, at.wrapping_add(offset as usize), step),
            Lanes::splat(w),
        );
        for j in 0..T {
            sums[j] = sums[j].plus(x[j].times(w));
        }
    }
    sums
}

/// `Σ d·x` over `T` outputs for each kept weight of one output channel, added to `sums`.
#[inline(always)]
pub(super) fn weight_gradients<const T: usize>(
    x: &[Lanes],
    at: usize,
    step: usize,
    offsets: &[u32],
    d: &[Lanes],
    sums: &mut [Lanes],
) {
    let d = inputs::<T>(d, 0, 1);
    for (&offset, sum) in offsets.iter().zip(sums) {
        let x = inputs::<T>(x, at.wrapping_add(offset as usize), step);
        *sum = sum.plus(dot(&d, &x));
    }
}

#[inline(always)]
fn dot<const T: usize>(d: &[Lanes; T], x: &[Lanes; T]) -> Lanes {
    let mut even = d[0].times(x[0]);
    if T == 1 {
        return even;
    }
    let mut odd = d[1].times(x[1]);
    for j in (2..T).step_by(2) {
        even = even.plus(d[j].times(x[j]));
        odd = odd.plus(d[j + 1].times(x[j + 1]));
    }
    even.plus(odd)
}

/// One kept weight over `T` outputs: returns `Σ d·x` and adds `w·d` to the derivative by the inputs.
#[inline(always)]
pub(super) fn both_gradients<const T: usize>(
    x: &[Lanes],
    dx: &mut [Lanes],
    at: usize,
    step: usize,
    d: &[Lanes],
    w: f32,
) -> Lanes {
    let (d, w) = (inputs::<T>(d, 0, 1), Lanes::splat(w));
    let x = inputs::<T>(x, at, step);
    let dx = &mut dx[at..=at + (T - 1) * step];
    for j in 0..T {
        dx[j * step] = dx[j * step].plus(d[j].times(w));
    }
    dot(&d, &x)
}
