//! Training epoch by epoch: the best network is kept, the same seed gives the same bytes, and what diverges stops.

use cosparse::network::op::{Conv2d, Padding};
use cosparse::network::{Network, NetworkBuilder, Op, Shape};
use cosparse::training::data::Samples;
use cosparse::training::{
    DenseExecutor, FitOptions, Loss, OptimiserOptions, Parameters, Schedule, TrainingError, fit_epochs,
    measure,
};

fn network() -> Network {
    let conv = Conv2d {
        out_channels: 4,
        kernel: [3, 3],
        stride: [1, 1],
        padding: Padding::same(1),
        dilation: [1, 1],
        groups: 1,
        bias: false,
    };
    let mut builder = NetworkBuilder::new();
    builder.input("x", Shape(vec![1, 4, 4]));
    builder.layer("conv", Op::Conv2d(conv), &["x"]);
    builder.layer("norm", Op::BatchNorm { eps: 1e-5 }, &["conv"]);
    builder.layer("flat", Op::Flatten, &["norm"]);
    let linear = Op::Linear {
        out_features: 2,
        bias: true,
    };
    builder.layer("out", linear, &["flat"]);
    builder.build().expect("the shapes fit")
}

/// Pictures brighter in their upper half are of class 1; mirroring does not change that.
fn samples(count: usize, salt: u32) -> Samples {
    let mut inputs = Vec::new();
    let mut labels = Vec::new();
    for i in 0..count as u32 {
        let label = i % 2;
        for pixel in 0..16u32 {
            let noise =
                ((i * 31 + pixel * 17 + salt * 7).wrapping_mul(2_654_435_761) >> 16) as f32 % 97.0 / 97.0;
            inputs.push(noise + if (pixel < 8) == (label == 1) { 0.6 } else { 0.0 });
        }
        labels.push(label);
    }
    Samples {
        inputs,
        labels,
        shape: vec![1, 4, 4],
    }
}

fn options(rate: f32) -> FitOptions {
    FitOptions {
        epochs: 6.0,
        batch: 16,
        optimiser: OptimiserOptions::sgd(0.9, 0.0),
        schedule: Schedule::Constant { rate },
        loss: Loss::CrossEntropy,
        augment_shift: 0,
        seed: 3,
    }
}

fn train(flip: bool, rate: f32) -> Result<(cosparse::training::Trained, Vec<bool>), TrainingError> {
    let network = network();
    let mut executor = DenseExecutor::new(&network, Parameters::init(&network, 3))?;
    let mut bests = Vec::new();
    let trained = fit_epochs(
        &mut executor,
        &samples(128, 1),
        &samples(64, 2),
        &options(rate),
        flip,
        &mut |_| {},
        &mut |_, best| bests.push(best.is_some()),
    )?;
    Ok((trained, bests))
}

#[test]
fn the_best_epoch_is_kept_and_measures_as_it_says() {
    let (trained, bests) = train(true, 0.02).expect("it trains");
    assert_eq!(trained.epochs.len(), 6);
    assert_eq!(trained.diverged, None);
    let best = trained
        .epochs
        .iter()
        .filter_map(|e| e.validation_accuracy)
        .fold(0.0, f64::max);
    assert_eq!(trained.best.validation_accuracy, Some(best));
    assert!(best > 0.9, "{best}");
    let first = trained
        .epochs
        .iter()
        .position(|e| e.validation_accuracy == Some(best));
    assert_eq!(
        first.map(|i| i as u64 + 1),
        Some(trained.best.epoch),
        "the first of equals"
    );
    assert_eq!(
        bests.iter().rposition(|b| *b).map(|i| i as u64 + 1),
        Some(trained.best.epoch)
    );
    let network = network();
    let mut executor = DenseExecutor::new(&network, trained.parameters.clone()).expect("its own parameters");
    let again = measure(&mut executor, &samples(64, 2), 64).expect("samples");
    assert_eq!(again.accuracy, best);
}

#[test]
fn seeds_repeat_and_mirroring_changes_the_run() {
    let (one, _) = train(true, 0.02).expect("it trains");
    assert_eq!(one, train(true, 0.02).expect("it trains").0);
    assert_ne!(
        one.parameters,
        train(false, 0.02).expect("it trains").0.parameters
    );
}

/// A rate that sends the weights to infinity: nothing that is not a number is kept.
#[test]
fn divergence_stops_and_keeps_the_best() {
    match train(false, 1e30) {
        Ok((trained, _)) => {
            assert!(trained.diverged.is_some());
            assert!(trained.epochs.len() < 6);
        }
        Err(TrainingError::NotFinite { step }) => assert!((1..=8).contains(&step), "{step}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn only_maps_are_mirrored() {
    let mut builder = NetworkBuilder::new();
    builder.input("x", Shape(vec![16]));
    let linear = Op::Linear {
        out_features: 2,
        bias: true,
    };
    builder.layer("out", linear, &["x"]);
    let network = builder.build().expect("the shapes fit");
    let mut executor =
        DenseExecutor::new(&network, Parameters::init(&network, 1)).expect("its own parameters");
    let flat = Samples {
        shape: vec![16],
        ..samples(8, 1)
    };
    let error = fit_epochs(
        &mut executor,
        &flat,
        &flat,
        &options(0.1),
        true,
        &mut |_| {},
        &mut |_, _| {},
    )
    .expect_err("there are no columns");
    assert!(error.to_string().contains("augment-flip"), "{error}");
}
