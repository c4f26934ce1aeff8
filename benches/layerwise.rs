//! The layer-wise solver against exact greedy removal on one layer of 400 inputs and 500 outputs.
//!
//! `cargo bench --bench layerwise`

use cosparse::admm::layerwise::{Method, Moments, Problem, Quality, solve};
use cosparse::compression::structure::{Structure, TensorShape};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

const INPUTS: usize = 400;
const OUTPUTS: usize = 500;
const SAMPLES: usize = 1000;
const CAUSES: usize = 60;

/// Values in [-0.5, 0.5) that any language makes: a linear congruential generator's upper bits.
struct Plain(u64);

impl Plain {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1u32 << 24) as f32 - 0.5
    }
}

/// Inputs of shared causes, cut at zero, and weights.
fn layer() -> Problem {
    let mut plain = Plain(1);
    let mix: Vec<f32> = (0..CAUSES * INPUTS).map(|_| plain.next()).collect();
    let mut x = Vec::with_capacity(SAMPLES * INPUTS);
    for _ in 0..SAMPLES {
        let causes: Vec<f32> = (0..CAUSES).map(|_| plain.next()).collect();
        for i in 0..INPUTS {
            let shared: f32 = causes
                .iter()
                .enumerate()
                .map(|(q, c)| c * mix[q * INPUTS + i])
                .sum();
            x.push((shared + 0.2 * plain.next()).max(0.0));
        }
    }
    let weights: Vec<f32> = (0..OUTPUTS * INPUTS).map(|_| plain.next()).collect();
    let mut moments = Moments::new(INPUTS, false);
    moments.add(&x, None).expect("whole samples");
    Problem::new(&weights, &[moments], None, 0.01).expect("a layer")
}

fn layerwise(criterion: &mut Criterion) {
    let problem = layer();
    let keep = INPUTS * OUTPUTS / 10;
    let shape = TensorShape::matrix(OUTPUTS, INPUTS);
    let mut group = criterion.benchmark_group("400 x 500, a tenth kept");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(5));
    for (name, method, quality) in [
        ("fast", Method::Alps, Quality::Fast),
        ("default", Method::Alps, Quality::Default),
        ("slow", Method::Alps, Quality::Slow),
        ("obc", Method::Obc, Quality::Default),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                black_box(solve(
                    &problem,
                    Structure::Unstructured,
                    shape,
                    keep,
                    method,
                    quality,
                ))
                .is_ok()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, layerwise);
criterion_main!(benches);
