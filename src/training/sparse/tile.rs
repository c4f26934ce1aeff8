//! The inner loops of convolutions: a run of `T` neighbouring outputs of one row, held in registers.
//!
//! Activations are seen as vectors; `step` is the distance between the inputs of neighbouring outputs, in vectors.

use pulp::Simd;

/// A run of inputs: one bounds check where `step` is a constant.
#[inline(always)]
fn run<V>(x: &[V], at: usize, count: usize, step: usize) -> &[V] {
    &x[at..=at + (count - 1) * step]
}

/// Runs `$body` with `$T` outputs from `$q` on until `$length` outputs are covered, widest first.
macro_rules! tiles {
    ($length:expr, |$q:ident, $T:ident| $body:expr) => {{
        let (mut $q, length) = (0usize, $length);
        while $q + 8 <= length {
            const $T: usize = 8;
            $body;
            $q += 8;
        }
        if $q + 4 <= length {
            const $T: usize = 4;
            $body;
            $q += 4;
        }
        while $q < length {
            const $T: usize = 1;
            $body;
            $q += 1;
        }
    }};
}
pub(super) use tiles;

/// `bias + Σ w·x` over the kept weights of one output channel, for `T` outputs that lie `parts` vectors apart.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the registers of the innermost loop")]
pub(super) fn forward<S: Simd, const T: usize>(
    simd: S,
    x: &[S::f32s],
    step: usize,
    offsets: &[u32],
    weights: &[f32],
    bias: f32,
    out: &mut [S::f32s],
    parts: usize,
) {
    let mut sums = [simd.splat_f32s(bias); T];
    for (&offset, &w) in offsets.iter().zip(weights) {
        let (x, w) = (run(x, offset as usize * parts, T, step), simd.splat_f32s(w));
        for j in 0..T {
            sums[j] = simd.add_f32s(sums[j], simd.mul_f32s(x[j * step], w));
        }
    }
    let out = &mut out[..=(T - 1) * parts];
    for j in 0..T {
        out[j * parts] = sums[j];
    }
}

/// `Σ d·x` over `T` outputs for each kept weight of one output channel, added to `sums`.
#[inline(always)]
pub(super) fn weight_gradients<S: Simd, const T: usize>(
    simd: S,
    x: &[S::f32s],
    step: usize,
    offsets: &[u32],
    d: &[S::f32s],
    sums: &mut [S::f32s],
    parts: usize,
) {
    let d = run(d, 0, T, parts);
    let d: [S::f32s; T] = std::array::from_fn(
        #[inline(always)]
        |j| d[j * parts],
    );
    for (&offset, sum) in offsets.iter().zip(sums.iter_mut().step_by(parts)) {
        let x = run(x, offset as usize * parts, T, step);
        let mut s = simd.mul_f32s(d[0], x[0]);
        for j in 1..T {
            s = simd.add_f32s(s, simd.mul_f32s(d[j], x[j * step]));
        }
        *sum = simd.add_f32s(*sum, s);
    }
}

/// One kept weight over `T` outputs: returns `Σ d·x` and adds `w·d` to the derivative by the inputs.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the registers of the innermost loop")]
pub(super) fn both_gradients<S: Simd, const T: usize>(
    simd: S,
    x: &[S::f32s],
    dx: &mut [S::f32s],
    at: usize,
    step: usize,
    d: &[S::f32s],
    w: S::f32s,
    parts: usize,
) -> S::f32s {
    let (x, d) = (run(x, at, T, step), run(d, 0, T, parts));
    let dx = &mut dx[at..=at + (T - 1) * step];
    let mut s = simd.mul_f32s(d[0], x[0]);
    dx[0] = simd.add_f32s(dx[0], simd.mul_f32s(d[0], w));
    for j in 1..T {
        let d = d[j * parts];
        s = simd.add_f32s(s, simd.mul_f32s(d, x[j * step]));
        dx[j * step] = simd.add_f32s(dx[j * step], simd.mul_f32s(d, w));
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::sparse::lanes::{LANES, Lanes, parts, vectors, vectors_mut};
    use pulp::{Arch, Scalar, WithSimd};

    /// All three kernels on eight outputs and three weights.
    struct Kernels<'a> {
        x: &'a [Lanes],
        d: &'a [Lanes],
    }

    impl WithSimd for Kernels<'_> {
        type Output = Vec<Lanes>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let (parts, offsets, weights) = (parts::<S>(), [0, 3, 4], [0.7, -1.3, 0.11]);
            let mut results = vec![[0.5; LANES]; 8 + 3 + 20 + 1];
            let (all, d) = (vectors::<S>(self.x), vectors::<S>(self.d));
            let (y, rest) = vectors_mut::<S>(&mut results).split_at_mut(8 * parts);
            let (sums, rest) = rest.split_at_mut(3 * parts);
            let (dx, total) = rest.split_at_mut(20 * parts);
            for part in 0..parts {
                let (x, d) = (&all[part..], &d[part..]);
                forward::<S, 8>(simd, x, parts, &offsets, &weights, 0.3, &mut y[part..], parts);
                weight_gradients::<S, 8>(simd, x, 2 * parts, &offsets, d, &mut sums[part..], parts);
                let w = simd.splat_f32s(0.9);
                total[part] = both_gradients::<S, 8>(simd, all, dx, part + 2 * parts, 2 * parts, d, w, parts);
            }
            results
        }
    }

    /// Without vector instructions and with the widest of this machine: the same bits.
    #[test]
    fn vector_width_does_not_change_bits() {
        let values = |n: usize, by: f32| -> Vec<Lanes> {
            (0..n)
                .map(|e| std::array::from_fn(|l| ((e * LANES + l) as f32 * by).sin()))
                .collect()
        };
        let (x, d) = (values(20, 0.37), values(8, 1.7));
        let kernels = || Kernels { x: &x, d: &d };
        let scalar = Simd::vectorize(Scalar, kernels());
        for (e, (s, v)) in scalar.iter().zip(Arch::new().dispatch(kernels())).enumerate() {
            assert_eq!(
                s.map(f32::to_bits),
                v.map(f32::to_bits),
                "element {e}: {s:?} and {v:?}"
            );
        }
        // bias and three weights at the first output of the first sample
        let expected = 0.3 + 0.7 * x[0][0] - 1.3 * x[3][0] + 0.11 * x[4][0];
        assert!((scalar[0][0] - expected).abs() < 1e-6);
    }
}
