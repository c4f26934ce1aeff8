//! LeNet-300-100 without any retraining: each layer compressed on calibration images alone, by every method, at the
//! same density in all layers.
//!
//! `cargo run --release --example layerwise` trains the dense network on MNIST (data/mnist), compresses it, prints test
//! accuracies and writes reports/compression/layerwise.csv. An argument names another file.
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use cosparse::admm::layerwise::{LayerTarget, LayerwiseOptions, Method, Quality, compress};
use cosparse::compression::structure::Structure;
use cosparse::network::{Network, Workload};
use cosparse::training::data::{Samples, load_directory};
use cosparse::training::{
    DenseExecutor, Executor, FitOptions, Loss, OptimiserOptions, Parameters, Schedule, TrainingError,
    evaluate, fit,
};
use std::fmt::Write as _;
use std::io::Write;

/// Images that layers are calibrated on: training images, without their labels.
const CALIBRATION: usize = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "reports/compression/layerwise.csv".into());
    let network = Workload::find("lenet-300-100")?.network;
    let data = load_directory("data/mnist")?;
    let (train, _) = data.train.split(55_000, 5_000)?;
    let dense = trained(&network, &train)?;
    let accuracy = |parameters: Parameters| -> Result<f64, TrainingError> {
        let mut executor = DenseExecutor::new(&network, parameters)?;
        evaluate(&mut executor, &data.test, 500)
    };
    let before = accuracy(dense.clone())?;
    println!("dense: {:.2} %", 100.0 * before);

    let calibration = train.subset(0..CALIBRATION)?;
    let mut file = Vec::new();
    writeln!(
        file,
        "method,quality,ratio,kept,error_fc1,error_fc2,error_fc3,test_accuracy_pct"
    )?;
    writeln!(file, "dense,,1,{},0,0,0,{:.2}", network.weights(), 100.0 * before)?;
    println!(
        "{:24} {:>7} {:>7} {:>7} {:>7}",
        "test accuracy in %", "4x", "8x", "12x", "20x"
    );
    for (method, quality) in [
        (Method::Magnitude, Quality::Default),
        (Method::Wanda, Quality::Default),
        (Method::SparseGpt, Quality::Default),
        (Method::MagnitudeRefit, Quality::Default),
        (Method::FixedMask, Quality::Default),
        (Method::Alps, Quality::Fast),
        (Method::Alps, Quality::Default),
        (Method::Alps, Quality::Slow),
    ] {
        let quality_name = format!("{quality:?}").to_lowercase();
        let mut line = format!(
            "{:24}",
            format!(
                "{} {}",
                method.name(),
                if method == Method::Alps {
                    &*quality_name
                } else {
                    ""
                }
            )
        );
        for ratio in [4.0, 8.0, 12.0, 20.0] {
            let targets: Vec<LayerTarget> = network
                .weighted()
                .map(|layer| LayerTarget {
                    layer: layer.name.clone(),
                    structure: Structure::Unstructured,
                    density: 1.0 / ratio,
                    bits: None,
                })
                .collect();
            let options = LayerwiseOptions {
                method,
                quality,
                ..LayerwiseOptions::default()
            };
            let (sparse, reports) =
                compress(&network, dense.clone(), &calibration.inputs, &targets, &options)?;
            let reached = 100.0 * accuracy(sparse)?;
            let kept: usize = reports.iter().map(|r| r.kept).sum();
            write!(file, "{},{quality_name},{ratio},{kept}", method.name())?;
            reports
                .iter()
                .try_for_each(|r| write!(file, ",{:.5}", r.relative_error))?;
            writeln!(file, ",{reached:.2}")?;
            write!(line, " {reached:7.2}")?;
        }
        println!("{line}");
    }
    if let Some(directory) = std::path::Path::new(&path).parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&path, file)?;
    println!("written: {path}");
    Ok(())
}

/// The dense network, by the training that ships with the workload.
fn trained(network: &Network, train: &Samples) -> Result<Parameters, TrainingError> {
    let mut executor = DenseExecutor::new(network, Parameters::init(network, 1))?;
    let training = FitOptions {
        epochs: 9.0,
        batch: 128,
        optimiser: OptimiserOptions::adam(5e-5),
        schedule: Schedule::Cosine {
            peak: 2e-3,
            last: 0.0,
            warm_up: 0.1,
        },
        loss: Loss::CrossEntropy,
        augment_shift: 2,
        seed: 1,
    };
    fit(&mut executor, train, None, &training, &mut |_, _| {}, &mut |_| {})?;
    Ok(executor.parameters().clone())
}
