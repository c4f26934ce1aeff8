//! The dense executor on structured supports: dead rows and columns are not computed, and nothing else changes.

use cosparse::compression::Mask;
use cosparse::network::op::{Activation, Conv2d, Op, Padding, Pool, PoolKind};
use cosparse::network::{Network, NetworkBuilder, Shape};
use cosparse::training::{DenseExecutor, Executor, Loss, Parameters, Step};

const SAMPLE: usize = 3 * 27 * 27;

fn conv(out_channels: usize, kernel: usize, stride: usize, groups: usize) -> Op {
    Op::Conv2d(Conv2d {
        out_channels,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding::same(kernel / 2),
        dilation: [1, 1],
        groups,
        bias: true,
    })
}

/// A small network with `AlexNet`'s kinds of layers: a stride, groups, overlapping pooling, narrow and wide layers.
fn network() -> Network {
    let pool = Op::Pool(Pool {
        kind: PoolKind::Max,
        kernel: [3, 3],
        stride: [2, 2],
        padding: Padding::default(),
        ceil: false,
    });
    NetworkBuilder::new()
        .input("in", Shape(vec![3, 27, 27]))
        .layer("conv1", conv(48, 5, 2, 1), &["in"])
        .layer("relu1", Op::Activation(Activation::Relu), &["conv1"])
        .layer("conv2", conv(64, 3, 1, 2), &["relu1"])
        .layer("relu2", Op::Activation(Activation::Relu), &["conv2"])
        .layer("pool", pool, &["relu2"])
        .layer("conv3", conv(20, 3, 1, 1), &["pool"])
        .layer("relu3", Op::Activation(Activation::Relu), &["conv3"])
        .layer("flatten", Op::Flatten, &["relu3"])
        .layer(
            "fc",
            Op::Linear {
                out_features: 24,
                bias: true,
            },
            &["flatten"],
        )
        .build()
        .expect("the shapes fit")
}

/// Fixed numbers in [-1, 1).
fn numbers(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

/// Parameters whose weights keep about a third of the rows and of the columns, and the same without supports.
fn parameters(network: &Network) -> [Parameters; 2] {
    let mut live = Parameters::init(network, 1);
    for (seed, layer) in ["conv1", "conv2", "conv3", "fc"].into_iter().enumerate() {
        let weight = live.weight_mut(layer).expect("it has weights");
        let (rows, columns) = weight.matrix();
        let chosen = numbers(seed as u32, rows + columns);
        let mut mask = Mask::empty(rows, columns);
        (0..rows * columns)
            .filter(|i| chosen[i / columns] < -0.3 && chosen[rows + i % columns] < -0.3)
            .for_each(|i| mask.set(i, true));
        assert!(mask.count() > 0);
        mask.apply(&mut weight.values);
        weight.support = Some(mask);
    }
    for bias in live.list.iter_mut().filter(|p| p.name.ends_with("bias")) {
        bias.values = numbers(9, bias.values.len());
    }
    let mut masked = live.clone();
    masked.list.iter_mut().for_each(|p| p.support = None);
    [live, masked]
}

fn close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= 1e-5 * (1.0 + w.abs()),
            "{what}[{i}]: {g} against {w}"
        );
    }
}

/// Outputs, and derivatives inside the supports, are those of the masked dense network, for one sample and for many.
#[test]
fn a_structured_network_computes_what_its_masked_network_does() {
    let network = network();
    let [live, masked] = parameters(&network);
    let executor = |p: &Parameters| DenseExecutor::new(&network, p.clone()).expect("its own parameters fit");
    let (mut small, mut large) = (executor(&live), executor(&masked));
    for samples in [1, 3, 17] {
        let inputs = numbers(samples as u32, samples * SAMPLE);
        let [got, want] = [&mut small, &mut large].map(|e| e.infer(&inputs, samples).expect("they fit"));
        close("outputs", &got, &want);
        let labels: Vec<u32> = (0..samples as u32).collect();
        let step = Step {
            inputs: &inputs,
            labels: &labels,
            teacher: None,
            loss: Loss::CrossEntropy,
            seed: 1,
        };
        let [got, want] = [&mut small, &mut large].map(|e| {
            let mut gradients = e.parameters().zeros();
            e.gradients(&step, &mut gradients).expect("finite");
            gradients
        });
        for ((p, got), mut want) in live.list.iter().zip(got).zip(want) {
            if let Some(support) = &p.support {
                support.apply(&mut want);
            }
            close(&p.name, &got, &want);
        }
    }
}

/// Weights that change between two inferences are packed again.
#[test]
fn changed_weights_are_noticed() {
    let network = network();
    let [live, _] = parameters(&network);
    let mut executor = DenseExecutor::new(&network, live).expect("its own parameters fit");
    let inputs = numbers(1, SAMPLE);
    let before = executor.infer(&inputs, 1).expect("it fits");
    for p in &mut executor.parameters_mut().list {
        if p.support.is_some() {
            p.values.iter_mut().for_each(|v| *v *= 0.5);
        }
    }
    let after = executor.infer(&inputs, 1).expect("it fits");
    assert_ne!(before, after);
    let mut fresh = DenseExecutor::new(&network, executor.parameters().clone()).expect("the same");
    assert_eq!(after, fresh.infer(&inputs, 1).expect("it fits"));
}

/// One sample is shared by all threads, a batch sample by sample; the bits stay.
#[test]
fn threads_change_nothing() {
    let network = network();
    for parameters in parameters(&network) {
        for samples in [1, 5, 9] {
            let inputs = numbers(samples as u32, samples * SAMPLE);
            let labels: Vec<u32> = (0..samples as u32).collect();
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                pool.build().expect("threads start").install(|| {
                    let mut executor = DenseExecutor::new(&network, parameters.clone()).expect("they fit");
                    let outputs = executor.infer(&inputs, samples).expect("they fit");
                    let mut gradients = executor.parameters().zeros();
                    let step = Step {
                        inputs: &inputs,
                        labels: &labels,
                        teacher: None,
                        loss: Loss::CrossEntropy,
                        seed: 1,
                    };
                    executor.gradients(&step, &mut gradients).expect("finite");
                    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    (
                        bits(&outputs),
                        gradients.iter().map(|g| bits(g)).collect::<Vec<_>>(),
                    )
                })
            };
            let one = run(1);
            assert!(one == run(2) && one == run(4), "{samples} samples");
        }
    }
}
