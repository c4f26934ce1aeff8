//! The unstructured projection against the partial select of the standard library on the same data.
//!
//! The select sorts a copy of the magnitudes around the threshold and does nothing else: the copy is not timed,
//! nothing is written back. The projection works in place on the weights and writes the zeros.
//! `cargo bench --bench projection`

use cosparse::compression::structure::Unstructured;
use cosparse::compression::{ConstraintSet, Mask};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use std::hint::black_box;
use std::time::Duration;

/// Weights with the bell shape of a trained layer: a sum of four uniforms.
fn weights(n: usize) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    (0..n)
        .map(|_| (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 0.05)
        .collect()
}

fn projection(criterion: &mut Criterion) {
    for (n, label) in [(1_000_000, "1M"), (60_000_000, "60M")] {
        let mut group = criterion.benchmark_group(format!("top 10 % of {label}"));
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(3));
        let values = weights(n);
        let keep = n / 10;
        let full = Mask::full(1, n);
        group.bench_function("select_nth_unstable_by", |b| {
            b.iter_batched_ref(
                || values.iter().map(|v| v.abs()).collect::<Vec<f32>>(),
                |magnitudes| {
                    black_box(magnitudes.select_nth_unstable_by(keep, |a, b| b.total_cmp(a)).1);
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function("Unstructured", |b| {
            b.iter_batched_ref(
                || values.clone(),
                |weights| Unstructured { keep }.project(black_box(weights), &full),
                BatchSize::PerIteration,
            );
        });
        // the first 50 % pruned already: words of the support are neither full nor empty
        let mut pruned = values.clone();
        Unstructured { keep: n / 2 }.project(&mut pruned, &full);
        let support = Mask::of(&pruned, 1, n);
        group.bench_function("Unstructured, half of the support gone", |b| {
            b.iter_batched_ref(
                || pruned.clone(),
                |weights| Unstructured { keep }.project(black_box(weights), &support),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, projection);
criterion_main!(benches);
