//! The sparse simulation of VGG-16 at a tenth of its weights against counting the bits of the same masks, and
//! the totals of ResNet-50 with energy from densities, against the time in which the machine could run it.

#[path = "../tests/common/mod.rs"]
mod common;
mod layers;
mod peak;

use common::{engine, gemm, profile, random_mask, slices, work};
use cosparse::compression::Mask;
use cosparse::hardware::{EngineKind, Partition, Slices, Synchronisation, zoo};
use cosparse::network::{Layer, LoopNest, Workload};
use cosparse::simulate::{Estimator, LayerSetting, Mapping, Pick, Weights, array, network};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn conv(c: u64, k: u64, size: u64, kernel: u64) -> LoopNest {
    LoopNest {
        n: 1,
        g: 1,
        k,
        c,
        p: size,
        q: size,
        r: kernel,
        s: kernel,
        stride: [1, 1],
        dilation: [1, 1],
    }
}

/// VGG-16: 138 M weights.
fn vgg16() -> Vec<LoopNest> {
    let mut layers = Vec::new();
    let mut channels = 3;
    for (size, width, repeats) in [
        (224, 64, 2),
        (112, 128, 2),
        (56, 256, 3),
        (28, 512, 3),
        (14, 512, 3),
    ] {
        for _ in 0..repeats {
            layers.push(conv(channels, width, size, 3));
            channels = width;
        }
    }
    layers.extend([gemm(1, 25_088, 4096), gemm(1, 4096, 4096), gemm(1, 4096, 1000)]);
    layers
}

fn simulate(c: &mut Criterion) {
    let layers = vgg16();
    let masks: Vec<Mask> = (1..)
        .zip(&layers)
        .map(|(seed, nest)| random_mask(nest.k as usize, (nest.c * nest.r * nest.s) as usize, 0.1, seed))
        .collect();
    let contiguous = profile(vec![engine(
        "slices",
        800.0,
        19_800.0,
        EngineKind::Slices(slices(256)),
    )]);
    let eie = Slices {
        partition: Partition::RowInterleaved,
        synchronisation: Synchronisation::Fifo { depth: 8 },
        ..slices(64)
    };
    let interleaved = profile(vec![engine("eie", 800.0, 19_800.0, EngineKind::Slices(eie))]);
    let mut group = c.benchmark_group("vgg16");
    group.sample_size(10);
    group.bench_function("popcount", |b| {
        b.iter(|| masks.iter().map(|m| black_box(m).count()).sum::<usize>());
    });
    for (name, profile) in [("contiguous", &contiguous), ("row-interleaved", &interleaved)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let cycles = |(nest, mask): (&LoopNest, &Mask)| {
                    array(&work(*nest, Weights::Pattern(mask)), profile, 0, None).map(|run| run.cycles)
                };
                layers
                    .iter()
                    .zip(&masks)
                    .map(cycles)
                    .sum::<Result<u64, _>>()
                    .expect("cycles")
            });
        });
    }
    group.finish();

    let resnet50 = Workload::find("resnet50").expect("ResNet-50 is shipped");
    let mut group = c.benchmark_group("estimate resnet50");
    for name in ["tpu-v1-28nm", "admm-nn-40nm"] {
        let profile = zoo::find(name)
            .expect("it is shipped")
            .profile()
            .expect("it is valid");
        let estimator = Estimator::new(&resnet50.network, &profile, 1, Pick::Energy);
        let mut density = 0.0;
        group.bench_function(name, |b| {
            b.iter(|| {
                // another density each time: nothing can be remembered
                density = (density + 0.000_137) % 0.9;
                let setting = |_: &Layer| LayerSetting {
                    weights: Weights::Density(0.1 + density),
                    weight_bits: 8,
                    activation_density: 1.0,
                    mapping: None,
                };
                estimator.total(&setting).expect("it runs").energy.total()
            });
        });
    }
    group.finish();

    let resnet18 = Workload::find("resnet18").expect("ResNet-18 is shipped");
    let profile = zoo::find("tpu-v1-28nm")
        .expect("it is shipped")
        .profile()
        .expect("it is valid");
    let mut group = c.benchmark_group("mapping search resnet18");
    group.sample_size(10);
    for (name, pick) in [("latency", Pick::Latency), ("energy", Pick::Energy)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let setting = |_: &Layer| LayerSetting {
                    weights: Weights::Density(1.0),
                    weight_bits: 8,
                    activation_density: 1.0,
                    mapping: Some(Mapping::Searched(pick)),
                };
                network(&resnet18.network, &profile, 1, pick, &setting)
                    .expect("it runs")
                    .cycles
            });
        });
    }
    group.finish();
}

criterion_group!(benches, simulate, layers::layers, peak::peak);
criterion_main!(benches);
