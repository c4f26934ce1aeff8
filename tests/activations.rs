//! Zeros among activations, counted while a network runs: against a naive recount, and on MNIST.

use cosparse::codesign::Activations;
use cosparse::network::op::{Activation, Conv2d, Padding, Pool, PoolKind};
use cosparse::network::{Network, NetworkBuilder, Op, Shape};
use cosparse::training::data::{Samples, load_directory};
use cosparse::training::{
    FitOptions, LayerActivity, Loss, OptimiserOptions, Parameters, Schedule, TrainingError, executor_for,
    fit, input_activity,
};
use proptest::prelude::*;

fn conv(out_channels: usize, kernel: usize) -> Op {
    Op::Conv2d(Conv2d {
        out_channels,
        kernel: [kernel; 2],
        stride: [1, 1],
        padding: Padding::same(0),
        dilation: [1, 1],
        groups: 1,
        bias: true,
    })
}

fn linear(out_features: usize) -> Op {
    Op::Linear {
        out_features,
        bias: true,
    }
}

fn pool() -> Op {
    Op::Pool(Pool {
        kind: PoolKind::Max,
        kernel: [2, 2],
        stride: [2, 2],
        padding: Padding::same(0),
        ceil: false,
    })
}

fn relu() -> Op {
    Op::Activation(Activation::Relu)
}

fn chain(shape: [usize; 3], layers: Vec<(&str, Op)>) -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("image", Shape(shape.to_vec()));
    let mut before = "image";
    for (name, op) in layers {
        builder.layer(name, op, &[before]);
        before = name;
    }
    builder.build().expect("a network")
}

/// 2 × 6 × 6 → conv1 3 × 5 × 5 → relu → conv2 2 × 4 × 4 → flatten → fc.
fn tiny() -> Network {
    chain(
        [2, 6, 6],
        vec![
            ("conv1", conv(3, 2)),
            ("relu", relu()),
            ("conv2", conv(2, 2)),
            ("flatten", Op::Flatten),
            ("fc", linear(4)),
        ],
    )
}

/// One sample through a valid convolution of stride 1, in integers.
fn convolved(input: &[i64], [channels, side]: [usize; 2], weights: &[f32], bias: &[f32]) -> Vec<i64> {
    let kernel = 2;
    let out = side - kernel + 1;
    let mut result = Vec::new();
    for (k, &b) in bias.iter().enumerate() {
        for y in 0..out {
            for x in 0..out {
                let mut sum = b as i64;
                for c in 0..channels {
                    for r in 0..kernel {
                        for s in 0..kernel {
                            let weight = weights[((k * channels + c) * kernel + r) * kernel + s];
                            sum += weight as i64 * input[(c * side + y + r) * side + x + s];
                        }
                    }
                }
                result.push(sum);
            }
        }
    }
    result
}

proptest! {
    /// Small whole numbers are exact in every order of a sum: zeros are those of integers.
    #[test]
    fn zeros_are_those_of_a_naive_recount(
        (samples, seed) in (1usize..150, 0u64..1000),
        values in prop::collection::vec(-2i8..3, 150 * 72),
        weights in prop::collection::vec(-1i8..2, 200),
    ) {
        let network = tiny();
        let mut parameters = Parameters::init(&network, seed);
        let mut next = weights.iter().cycle();
        for parameter in &mut parameters.list {
            for value in &mut parameter.values {
                *value = f32::from(*next.next().expect("a cycle"));
            }
        }
        let inputs: Vec<f32> = values[..samples * 72].iter().map(|&v| f32::from(v)).collect();
        let data = Samples { inputs, labels: vec![0; samples], shape: vec![2, 6, 6] };
        let counted = input_activity(&network, parameters.clone(), &data).expect("it runs");

        let of = |name: &str| parameters.find(name).expect("a parameter").values.as_slice();
        let mut want = [("conv1", 0, 0), ("conv2", 0, 0), ("fc", 0, 0)];
        for sample in values[..samples * 72].chunks(72) {
            let sample: Vec<i64> = sample.iter().map(|&v| v.into()).collect();
            let mut hidden = convolved(&sample, [2, 6], of("conv1.weight"), of("conv1.bias"));
            for v in &mut hidden {
                *v = (*v).max(0);
            }
            let features = convolved(&hidden, [3, 5], of("conv2.weight"), of("conv2.bias"));
            for ((_, elements, zeros), read) in want.iter_mut().zip([sample, hidden, features]) {
                *elements += read.len() as u64;
                *zeros += read.iter().filter(|&&v| v == 0).count() as u64;
            }
        }
        let want: Vec<LayerActivity> = want
            .into_iter()
            .map(|(layer, elements, zeros)| LayerActivity { layer: layer.into(), elements, zeros })
            .collect();
        prop_assert_eq!(counted, want);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = tiny();
    let parameters = || Parameters::init(&network, 1);
    let none = Samples {
        inputs: Vec::new(),
        labels: Vec::new(),
        shape: vec![2, 6, 6],
    };
    let refused = input_activity(&network, parameters(), &none);
    assert!(matches!(refused, Err(TrainingError::Batch { .. })), "{refused:?}");
    let other = Samples {
        inputs: vec![0.0; 36],
        labels: vec![0],
        shape: vec![1, 6, 6],
    };
    let refused = input_activity(&network, parameters(), &other);
    assert!(matches!(refused, Err(TrainingError::Batch { .. })), "{refused:?}");
    let refused = input_activity(&network, Parameters::default(), &none);
    assert!(
        matches!(refused, Err(TrainingError::Parameter { .. })),
        "{refused:?}"
    );
}

/// LeNet-5 with an activation behind every hidden layer, a pass over 2000 digits old: every layer's inputs are zero here
/// and there, and the images as often as their pixels.
#[test]
fn digits_leave_some_activations_zero() {
    let network = chain(
        [1, 28, 28],
        vec![
            ("conv1", conv(20, 5)),
            ("relu1", relu()),
            ("pool1", pool()),
            ("conv2", conv(50, 5)),
            ("relu2", relu()),
            ("pool2", pool()),
            ("flatten", Op::Flatten),
            ("fc1", linear(500)),
            ("relu3", relu()),
            ("fc2", linear(10)),
        ],
    );
    let data = load_directory(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist")).expect("the four files");
    let train = data.train.subset(0..2000).expect("2000 digits");
    let mut executor = executor_for(&network, Parameters::init(&network, 1)).expect("it runs");
    let options = FitOptions {
        epochs: 1.0,
        batch: 100,
        loss: Loss::CrossEntropy,
        optimiser: OptimiserOptions::adam(0.0),
        schedule: Schedule::Constant { rate: 1e-3 },
        augment_shift: 0,
        seed: 1,
    };
    fit(
        &mut *executor,
        &train,
        None,
        &options,
        &mut |_, _| {},
        &mut |_| {},
    )
    .expect("it learns");
    let measured_on = train.subset(0..500).expect("500 digits");
    let (activations, rows) =
        Activations::measure(&network, executor.parameters().clone(), &measured_on).expect("it runs");
    let names: Vec<&str> = rows.iter().map(|row| row.layer.as_str()).collect();
    assert_eq!(names, ["conv1", "conv2", "fc1", "fc2"]);
    for row in &rows {
        assert!(row.density > 0.0 && row.density < 1.0, "{row:?}");
        let layer = network.layer(network.find(&row.layer).expect("a layer"));
        assert_eq!(activations.density(&network, layer), Some(row.density));
    }
    let black = measured_on.inputs.iter().filter(|&&pixel| pixel == 0.0).count() as u64;
    assert_eq!((rows[0].elements, rows[0].zeros), (500 * 784, black));
}
