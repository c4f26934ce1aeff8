//! The dense executor on LeNet-5: it learns, and the number of threads changes nothing.

use cosparse::compression::Mask;
use cosparse::network::{Network, NetworkBuilder, Op, Shape, Workload};
use cosparse::training::data::Samples;
use cosparse::training::{
    DenseExecutor, Executor, FitOptions, Loss, OptimiserOptions, Parameters, Schedule, Step, TrainingError,
    evaluate, fit,
};

fn lenet() -> Network {
    Workload::find("lenet5").expect("LeNet-5 is shipped").network
}

/// Images of ten kinds: a bright 7×7 square whose place tells the class, on a pattern that differs by sample.
fn squares(count: usize) -> Samples {
    let mut samples = Samples {
        inputs: vec![0.0; count * 784],
        labels: Vec::new(),
        shape: vec![1, 28, 28],
    };
    for (i, image) in samples.inputs.chunks_exact_mut(784).enumerate() {
        let class = (i * 7) % 10;
        samples.labels.push(class as u32);
        for (at, pixel) in image.iter_mut().enumerate() {
            let (y, x) = (at / 28, at % 28);
            let inside = (y / 7, x / 7) == (class / 4, class % 4);
            let noise = ((at * 31 + i * 17) % 97) as f32 / 97.0;
            *pixel = if inside { 1.0 - 0.3 * noise } else { 0.3 * noise };
        }
    }
    samples
}

fn options(batch: usize) -> FitOptions {
    FitOptions {
        epochs: 3.0,
        batch,
        optimiser: OptimiserOptions::adam(5e-5),
        schedule: Schedule::Cosine {
            peak: 2e-3,
            last: 0.0,
            warm_up: 0.1,
        },
        loss: Loss::CrossEntropy,
        augment_shift: 2,
        seed: 1,
    }
}

#[test]
fn learns_to_tell_squares_apart() {
    let network = lenet();
    let samples = squares(600);
    let mut executor =
        DenseExecutor::new(&network, Parameters::init(&network, 1)).expect("its own parameters fit");
    let before = evaluate(&mut executor, &samples, 100).expect("samples fit");
    let report = fit(
        &mut executor,
        &samples,
        None,
        &options(32),
        &mut |_, _| {},
        &mut |_| {},
    )
    .expect("training runs");
    let after = evaluate(&mut executor, &samples, 100).expect("samples fit");
    assert_eq!(
        report.steps, 57,
        "three passes of 18 whole mini-batches and one of 24 samples"
    );
    assert!(
        before < 0.4 && after > 0.95,
        "accuracy {before} before, {after} after, loss {}",
        report.loss
    );
}

/// Weights, gradients and outputs are the same bits on 1, 2 and 4 threads.
#[test]
fn threads_change_nothing() {
    let network = lenet();
    let samples = squares(70);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads start");
        pool.install(|| {
            let mut executor =
                DenseExecutor::new(&network, Parameters::init(&network, 3)).expect("its own parameters fit");
            fit(
                &mut executor,
                &samples,
                None,
                &options(24),
                &mut |_, _| {},
                &mut |_| {},
            )
            .expect("training runs");
            let outputs = executor.infer(&samples.inputs, 70).expect("samples fit");
            let weights: Vec<u32> = executor
                .parameters()
                .list
                .iter()
                .flat_map(|p| &p.values)
                .map(|v| v.to_bits())
                .collect();
            (weights, outputs.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        })
    };
    let one = run(1);
    assert!(one == run(2), "two threads give other bits than one");
    assert!(one == run(4), "four threads give other bits than one");
}

/// Values outside a support stay zero through gradients, penalties and weight decay.
#[test]
fn a_support_is_kept() {
    let network = lenet();
    let mut parameters = Parameters::init(&network, 1);
    let weight = parameters.weight_mut("fc1").expect("fc1 has a weight");
    let mut mask = Mask::empty(500, 800);
    (0..400_000).step_by(97).for_each(|i| mask.set(i, true));
    weight.support = Some(mask.clone());
    let mut executor = DenseExecutor::new(&network, parameters).expect("its own parameters fit");
    let samples = squares(40);
    let mut penalty =
        |_: &Parameters, gradients: &mut [Vec<f32>]| gradients.iter_mut().flatten().for_each(|g| *g += 0.01);
    fit(
        &mut executor,
        &samples,
        None,
        &FitOptions {
            epochs: 1.0,
            ..options(20)
        },
        &mut penalty,
        &mut |_| {},
    )
    .expect("training runs");
    let weight = executor.parameters().weight("fc1").expect("fc1 has a weight");
    assert_eq!(Mask::of(&weight.values, 500, 800), mask);
    let mut gradients = executor.parameters().zeros();
    let step = Step {
        inputs: &samples.inputs,
        labels: &samples.labels,
        teacher: None,
        loss: Loss::CrossEntropy,
        seed: 9,
    };
    executor.gradients(&step, &mut gradients).expect("samples fit");
    assert!(
        gradients[4]
            .iter()
            .enumerate()
            .all(|(i, &g)| g == 0.0 || mask.get(i))
    );
    assert!(gradients[4].iter().any(|&g| g != 0.0));
}

/// A layer added elsewhere leaves the first values of all others as they were, and another seed changes them.
#[test]
fn initial_values_depend_on_names_and_seed() {
    let net = |more: bool| {
        let mut builder = NetworkBuilder::new();
        builder.input("in", Shape(vec![6]));
        if more {
            builder.layer(
                "extra",
                Op::Linear {
                    out_features: 6,
                    bias: true,
                },
                &["in"],
            );
        }
        builder.layer(
            "last",
            Op::Linear {
                out_features: 4,
                bias: true,
            },
            &[if more { "extra" } else { "in" }],
        );
        builder.build().expect("a network")
    };
    let values = |p: &Parameters| p.weight("last").expect("last has a weight").values.clone();
    let (a, b, c) = (
        Parameters::init(&net(false), 1),
        Parameters::init(&net(true), 1),
        Parameters::init(&net(false), 2),
    );
    assert_eq!(values(&a), values(&b));
    assert_ne!(values(&a), values(&c));
}

/// The standard deviations of LeNet-5: √(1/n), and √(2/n) for fc1, which alone feeds a `ReLU`.
#[test]
fn initial_spread_follows_the_fan_in() {
    let parameters = Parameters::init(&lenet(), 5);
    for (layer, variance) in [("conv2", 1.0 / 500.0), ("fc1", 2.0 / 800.0), ("fc2", 1.0 / 500.0)] {
        let values = &parameters.weight(layer).expect("a weight").values;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let spread = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / values.len() as f64;
        // five standard errors of a Gaussian's variance, √(2/n)
        let tolerance = 5.0 * (2.0 / values.len() as f64).sqrt();
        assert!(
            (spread / variance - 1.0).abs() < tolerance,
            "{layer}: variance {spread}, expected {variance}"
        );
    }
}

#[test]
fn refusals_name_the_place() {
    let network = lenet();
    let mut short = Parameters::init(&network, 1);
    short.list.pop();
    let message = DenseExecutor::new(&network, short)
        .expect_err("a bias is missing")
        .to_string();
    assert_eq!(message, "parameter `fc2.bias` is missing");
    let mut executor =
        DenseExecutor::new(&network, Parameters::init(&network, 1)).expect("its own parameters fit");
    let mut gradients = executor.parameters().zeros();
    let inputs = vec![0.5; 784];
    let step = |labels| Step {
        inputs: &inputs,
        labels,
        teacher: None,
        loss: Loss::CrossEntropy,
        seed: 0,
    };
    let message = executor
        .gradients(&step(&[10]), &mut gradients)
        .expect_err("there are ten classes")
        .to_string();
    assert_eq!(
        message,
        "a batch does not fit: label 10 is not one of the network's 10 outputs"
    );
    let message = executor
        .gradients(&step(&[1, 2]), &mut gradients)
        .expect_err("one sample is given")
        .to_string();
    assert_eq!(
        message,
        "a batch does not fit: 2 samples need 1568 input values, there are 784"
    );
    let mut samples = squares(30);
    let message = fit(
        &mut executor,
        &samples,
        None,
        &FitOptions {
            batch: 0,
            ..options(1)
        },
        &mut |_, _| {},
        &mut |_| {},
    )
    .expect_err("no batch")
    .to_string();
    assert_eq!(message, "`batch` must be at least 1");
    samples.inputs[20 * 784 + 14 * 28 + 14] = f32::NAN; // met in the first pass of three steps, wherever it is shifted
    let error = fit(
        &mut executor,
        &samples,
        None,
        &options(10),
        &mut |_, _| {},
        &mut |_| {},
    )
    .expect_err("a pixel is not a number");
    assert!(
        matches!(error, TrainingError::NotFinite { step: 1..=3 }),
        "{error}"
    );
}
