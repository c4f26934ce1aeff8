//! The engines that read masks on VGG-16 at a tenth of its weights against counting the bits of the same masks, the
//! curve of that cost over non-zeros, weights and layers, and the totals of ResNet-50 with energy from densities, against the time in which the machine could run it.

#[path = "../tests/common/mod.rs"]
mod common;
mod layers;
mod peak;

use common::{engine, gemm, profile, random_mask, slices, work};
use cosparse::compression::Mask;
use cosparse::compression::encoding::Encoding;
use cosparse::hardware::{EngineKind, Partition, Profile, Slices, Synchronisation, zoo};
use cosparse::network::{Layer, LoopNest, Workload};
use cosparse::simulate::{Estimator, LayerSetting, Mapping, Pick, Weights, array, network};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use std::hint::black_box;
use std::time::Duration;

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

/// A profile of one sparse engine: 256 contiguous slices, or 64 PEs with rows dealt out as EIE has them.
fn sparse(partition: Partition, index: Encoding) -> Profile {
    let engine_of = match partition {
        Partition::Contiguous => slices(256),
        Partition::RowInterleaved => Slices {
            partition,
            synchronisation: Synchronisation::Fifo { depth: 8 },
            ..slices(64)
        },
    };
    let kind = EngineKind::Slices(Slices {
        index: Some(index),
        skip_zero_activations: true,
        ..engine_of
    });
    profile(vec![engine("slices", 800.0, 19_800.0, kind)])
}

fn shipped(name: &str) -> Profile {
    zoo::find(name)
        .expect("it is shipped")
        .profile()
        .expect("it is valid")
}

/// Cycles of all layers.
fn cycles(layers: &[LoopNest], masks: &[Mask], profile: &Profile, activations: f64) -> u64 {
    let cycles = |(nest, mask): (&LoopNest, &Mask)| {
        let mut work = work(*nest, Weights::Pattern(mask));
        work.activation_density = activations;
        // kernels of three are padded
        work.input_elements = nest.c * nest.p * nest.q;
        array(&work, profile, 0, None).map(|run| run.cycles)
    };
    layers
        .iter()
        .zip(masks)
        .map(cycles)
        .sum::<Result<u64, _>>()
        .expect("cycles")
}

/// A mask that keeps the first two of every four positions of a row.
fn two_of_four(nest: &LoopNest) -> Mask {
    let (rows, cols) = (nest.k as usize, (nest.c * nest.r * nest.s) as usize);
    let mut mask = Mask::empty(rows, cols);
    for at in 0..rows * cols {
        mask.set(at, at % cols % 4 < 2);
    }
    mask
}

fn random_masks(layers: &[LoopNest], density: f64) -> Vec<Mask> {
    (1..)
        .zip(layers)
        .map(|(seed, nest)| {
            random_mask(
                nest.k as usize,
                (nest.c * nest.r * nest.s) as usize,
                density,
                seed,
            )
        })
        .collect()
}

fn popcount(masks: &[Mask]) -> usize {
    masks.iter().map(|m| black_box(m).count()).sum()
}

/// Many short samples: the least of them says most where others use the machine too.
fn shortly(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .sample_size(30)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
}

/// Every engine that reads masks, on the whole of VGG-16.
fn vgg16_masks(c: &mut Criterion) {
    let layers = vgg16();
    let masks = random_masks(&layers, 0.1);
    let relative = Encoding::RelativeIndex { bits: 4 };
    let (contiguous, interleaved) = (Partition::Contiguous, Partition::RowInterleaved);
    let mut group = c.benchmark_group("vgg16");
    shortly(&mut group);
    group.bench_function("popcount", |b| b.iter(|| popcount(&masks)));
    for (name, profile, activations) in [
        ("contiguous", sparse(contiguous, relative), 1.0),
        ("contiguous, bitmap", sparse(contiguous, Encoding::Bitmap), 1.0),
        ("row-interleaved", sparse(interleaved, relative), 1.0),
        (
            "row-interleaved, bitmap",
            sparse(interleaved, Encoding::Bitmap),
            1.0,
        ),
        (
            "row-interleaved, a third of the inputs active",
            sparse(interleaved, relative),
            0.35,
        ),
        ("flexible", shipped("sigma-like-28nm"), 1.0),
        ("scatter", shipped("scnn-like-16nm"), 1.0),
        (
            "scatter, a third of the inputs active",
            shipped("scnn-like-16nm"),
            0.35,
        ),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| cycles(&layers, &masks, &profile, activations));
        });
    }
    drop(masks);
    let masks: Vec<Mask> = layers.iter().map(two_of_four).collect();
    let profile = shipped("nm-like");
    group.bench_function("2:4", |b| b.iter(|| cycles(&layers, &masks, &profile, 1.0)));
    group.finish();
}

/// Time against non-zeros, against weights, and against layers.
fn cost_curve(c: &mut Criterion) {
    let relative = Encoding::RelativeIndex { bits: 4 };
    let profiles = [
        ("contiguous", sparse(Partition::Contiguous, relative)),
        ("row-interleaved", sparse(Partition::RowInterleaved, relative)),
    ];
    let mut curve = |name: &str, points: &mut dyn Iterator<Item = (String, Vec<LoopNest>, f64)>| {
        let mut group = c.benchmark_group(format!("cost curve, {name}"));
        shortly(&mut group);
        for (point, layers, density) in points {
            let masks = random_masks(&layers, density);
            group.throughput(Throughput::Elements(popcount(&masks) as u64));
            group.bench_function(BenchmarkId::new("popcount", &point), |b| {
                b.iter(|| popcount(&masks));
            });
            for (partition, profile) in &profiles {
                group.bench_function(BenchmarkId::new(*partition, &point), |b| {
                    b.iter(|| cycles(&layers, &masks, profile, 1.0));
                });
            }
        }
        group.finish();
    };
    let densities = [0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5];
    curve(
        "16.8 M weights",
        &mut densities
            .into_iter()
            .map(|d| (format!("{:.0} %", 100.0 * d), vec![gemm(1, 4096, 4096)], d)),
    );
    curve(
        "10 % dense",
        &mut (10..=14).map(|log| {
            let (side, millions) = (1u64 << log, 1u64 << (2 * log - 20));
            (format!("{millions} Mi weights"), vec![gemm(1, side, side)], 0.1)
        }),
    );
    curve(
        "512 x 4608, 10 % dense",
        &mut (0..=6).map(|log| {
            let layers = vec![conv(512, 512, 14, 3); 1 << log];
            (format!("{} layers", layers.len()), layers, 0.1)
        }),
    );
}

fn estimate(c: &mut Criterion) {
    let resnet50 = Workload::find("resnet50").expect("ResNet-50 is shipped");
    let mut group = c.benchmark_group("estimate resnet50");
    for name in ["tpu-v1-28nm", "admm-nn-40nm"] {
        let profile = shipped(name);
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
                    activation_bits: None,
                    mapping: None,
                };
                estimator.total(&setting).expect("it runs").energy.total()
            });
        });
    }
    group.finish();
}

fn mapping(c: &mut Criterion) {
    let resnet18 = Workload::find("resnet18").expect("ResNet-18 is shipped");
    let profile = shipped("tpu-v1-28nm");
    let mut group = c.benchmark_group("mapping search resnet18");
    group.sample_size(10);
    for (name, pick) in [("latency", Pick::Latency), ("energy", Pick::Energy)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let setting = |_: &Layer| LayerSetting {
                    weights: Weights::Density(1.0),
                    weight_bits: 8,
                    activation_density: 1.0,
                    activation_bits: None,
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

criterion_group!(
    benches,
    vgg16_masks,
    cost_curve,
    estimate,
    mapping,
    layers::layers,
    peak::peak
);
criterion_main!(benches);
