//! The machine's matrix-multiply peak: what a large square product reaches on one thread.

use criterion::{Criterion, Throughput};
use std::hint::black_box;

/// Rows, columns and depth of the product.
const SIDE: usize = 1024;

/// Times a product of 1024³ multiply-accumulates on one thread.
#[allow(unsafe_code)] // gemm takes pointers; all three matrices are SIDE × SIDE
pub(crate) fn peak(criterion: &mut Criterion) {
    let a: Vec<f32> = (0..SIDE * SIDE).map(|i| (i % 17) as f32 / 17.0).collect();
    let b: Vec<f32> = (0..SIDE * SIDE).map(|i| (i % 13) as f32 / 13.0).collect();
    let mut out = vec![0.0f32; SIDE * SIDE];
    let mut group = criterion.benchmark_group("peak");
    group.sample_size(20);
    group.throughput(Throughput::Elements((SIDE * SIDE * SIDE) as u64));
    group.bench_function("multiply-accumulates", |bench| {
        bench.iter(|| {
            let (side, row) = (SIDE, SIDE.cast_signed());
            // SAFETY: rows of SIDE adjacent elements, SIDE apart, in vectors of SIDE² elements
            unsafe {
                gemm::gemm(
                    side,
                    side,
                    side,
                    out.as_mut_ptr(),
                    1,
                    row,
                    false,
                    black_box(a.as_ptr()),
                    1,
                    row,
                    black_box(b.as_ptr()),
                    1,
                    row,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
            out[0]
        });
    });
    group.finish();
}
