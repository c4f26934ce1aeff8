//! Images a second, forward and backward, of LeNet-5 at falling numbers of kept weights: batches of 128, on one
//! thread and on two. `cargo bench --bench sparse_training`; the throughput criterion prints is images a second.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use cosparse::compression::Mask;
use cosparse::network::{Network, Workload};
use cosparse::training::SparseExecutor;
use cosparse::training::{Executor, Loss, Parameter, Parameters, Role, Step};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BATCH: usize = 128;

/// Kept weights of conv1, conv2, fc1 and fc2, and the units of fc1 they are spread over.
const KEPT: [([usize; 4], usize); 5] = [
    ([200, 3500, 4000, 800], 250),
    ([200, 1200, 1600, 675], 200),
    ([195, 857, 1021, 513], 150),
    ([187, 562, 615, 376], 120),
    ([178, 377, 396, 284], 100),
];

fn lenet() -> Network {
    Workload::find("lenet5").expect("LeNet-5 is shipped").network
}

/// Random supports of the given sizes; fc1's weights on its first `units` rows, fc2's on the same columns.
fn parameters(network: &Network, kept: [usize; 4], units: usize) -> Parameters {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut list = Vec::new();
    for (layer, kept) in network.weighted().zip(kept) {
        let shape = layer.weight_shape().expect("it has weights");
        let (rows, cols) = (shape[0], shape[1..].iter().product::<usize>());
        let allowed = |i: &usize| match layer.name.as_str() {
            "fc1" => i / cols < units,
            "fc2" => i % cols < units,
            _ => true,
        };
        let mut positions: Vec<usize> = (0..rows * cols).filter(allowed).collect();
        positions.shuffle(&mut rng);
        let (mut mask, mut values) = (Mask::empty(rows, cols), vec![0.0; rows * cols]);
        for &i in &positions[..kept] {
            mask.set(i, true);
            values[i] = rng.random_range(-0.3..0.3);
        }
        let parameter = |what: &str, role, shape, values, support| Parameter {
            name: format!("{}.{what}", layer.name),
            layer: layer.name.clone(),
            role,
            shape,
            values,
            support,
        };
        list.push(parameter("weight", Role::Weight, shape, values, Some(mask)));
        list.push(parameter("bias", Role::Bias, vec![rows], vec![0.1; rows], None));
    }
    Parameters { list }
}

fn training(criterion: &mut Criterion) {
    let network = lenet();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let inputs: Vec<f32> = (0..BATCH * 784).map(|_| rng.random_range(0.0..1.0)).collect();
    let labels: Vec<u32> = (0..BATCH).map(|_| rng.random_range(0..10)).collect();
    let step = Step {
        inputs: &inputs,
        labels: &labels,
        teacher: None,
        loss: Loss::CrossEntropy,
        seed: 1,
    };
    let mut group = criterion.benchmark_group("lenet5");
    group.throughput(Throughput::Elements(BATCH as u64));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        for (kept, units) in KEPT {
            let parameters = parameters(&network, kept, units);
            let mut gradients: Vec<Vec<f32>> = parameters
                .list
                .iter()
                .map(|p| vec![0.0; p.values.len()])
                .collect();
            let mut executor = SparseExecutor::new(&network, parameters).expect("a supported chain");
            let id = BenchmarkId::new(format!("{threads}-threads"), executor.kept());
            group.bench_function(id, |b| {
                b.iter(|| pool.install(|| executor.gradients(&step, &mut gradients).expect("finite")));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, training);
criterion_main!(benches);
