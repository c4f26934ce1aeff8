//! The MNIST files of this repository are the published ones.

use cosparse::training::data::{Samples, load_directory};

fn counts(samples: &Samples) -> Vec<usize> {
    let mut counts = vec![0; samples.classes()];
    for &label in &samples.labels {
        counts[label as usize] += 1;
    }
    counts
}

/// Label counts of the published files, and the training mean and deviation that everybody normalises by:
/// 0.1307 and 0.3081.
#[test]
fn published_counts_and_moments() {
    let data = load_directory(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist")).expect("the four files");
    assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
    assert_eq!(data.train.shape, [1, 28, 28]);
    assert_eq!(
        counts(&data.train),
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    );
    assert_eq!(
        counts(&data.test),
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    );
    let n = data.train.inputs.len() as f64;
    let mean = data.train.inputs.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = data
        .train
        .inputs
        .iter()
        .map(|&v| (f64::from(v) - mean).powi(2))
        .sum::<f64>()
        / n;
    assert!((mean - 0.1307).abs() < 5e-5, "mean {mean}");
    assert!(
        (variance.sqrt() - 0.3081).abs() < 5e-5,
        "deviation {}",
        variance.sqrt()
    );
    let (train, validation) = data.train.split(55_000, 5_000).expect("60,000 samples");
    assert_eq!((train.labels[0], train.len()), (5, 55_000));
    assert_eq!(validation.labels[..], data.train.labels[55_000..]);
}
