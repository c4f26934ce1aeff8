//! Samples per second of LeNet-5: forward, backward and Adam. `benches/torch_lenet.py` runs the same in `PyTorch`.

#![allow(missing_docs)] // the macros of criterion make public functions

use cosparse::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use cosparse::network::{Network, NetworkBuilder, NetworkError, Op, Shape};
use cosparse::training::{DenseExecutor, Executor, Loss, Optimiser, OptimiserOptions, Parameters, Step};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn lenet() -> Result<Network, NetworkError> {
    let conv = |out_channels| {
        Op::Conv2d(Conv2d {
            out_channels,
            kernel: [5, 5],
            stride: [1, 1],
            padding: Padding::default(),
            dilation: [1, 1],
            groups: 1,
            bias: true,
        })
    };
    let pool = Op::Pool(Pool {
        kind: PoolKind::Max,
        kernel: [2, 2],
        stride: [2, 2],
        padding: Padding::default(),
        ceil: false,
    });
    NetworkBuilder::new()
        .input("image", Shape(vec![1, 28, 28]))
        .layer("conv1", conv(20), &["image"])
        .layer("pool1", pool.clone(), &["conv1"])
        .layer("conv2", conv(50), &["pool1"])
        .layer("pool2", pool, &["conv2"])
        .layer("flat", Op::Flatten, &["pool2"])
        .layer(
            "fc1",
            Op::Linear {
                out_features: 500,
                bias: true,
            },
            &["flat"],
        )
        .layer("relu", Op::Activation(Activation::Relu), &["fc1"])
        .layer("drop", Op::Dropout { rate: 0.25 }, &["relu"])
        .layer(
            "fc2",
            Op::Linear {
                out_features: 10,
                bias: true,
            },
            &["drop"],
        )
        .build()
}

fn training(criterion: &mut Criterion) {
    let network = lenet().expect("LeNet-5 is a network");
    let mut group = criterion.benchmark_group("lenet-5");
    for batch in [64usize, 128] {
        let inputs: Vec<f32> = (0..batch * 784).map(|i| ((i * 31) % 97) as f32 / 97.0).collect();
        let labels: Vec<u32> = (0..batch as u32).map(|i| i % 10).collect();
        let mut executor =
            DenseExecutor::new(&network, Parameters::init(&network, 1)).expect("its own parameters fit");
        let mut optimiser = Optimiser::new(OptimiserOptions::adam(5e-5), executor.parameters());
        let mut gradients = executor.parameters().zeros();
        group.throughput(Throughput::Elements(batch as u64));
        let mut seed = 0;
        group.bench_function(BenchmarkId::new("step", batch), |b| {
            b.iter(|| {
                seed += 1;
                let step = Step {
                    inputs: &inputs,
                    labels: &labels,
                    teacher: None,
                    loss: Loss::CrossEntropy,
                    seed,
                };
                executor.gradients(&step, &mut gradients).expect("the batch fits");
                optimiser.step(executor.parameters_mut(), &gradients, 1e-4);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, training);
criterion_main!(benches);
