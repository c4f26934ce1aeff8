//! Samples per second of LeNet-5: forward, backward and Adam. `benches/torch_training.py` runs the same in `PyTorch`.

#![allow(missing_docs)] // the macros of criterion make public functions

mod peak;

use cosparse::network::{Network, Workload};
use cosparse::training::{DenseExecutor, Executor, Loss, Optimiser, OptimiserOptions, Parameters, Step};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn lenet() -> Network {
    Workload::find("lenet5").expect("LeNet-5 is shipped").network
}

fn training(criterion: &mut Criterion) {
    let network = lenet();
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

criterion_group!(benches, training, peak::peak);
criterion_main!(benches);
