//! Samples a second of a workload's training steps: forward, backward and the workload's optimiser.
//!
//! `cargo run --release --example training_speed -- lenet5 64 5` trains on made-up samples in batches of 64 for about
//! 5 seconds and prints the median over the steps. `benches/torch_training.py` runs it side by side with `PyTorch`.
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use cosparse::network::Workload;
use cosparse::network::op::Op;
use cosparse::training::{DenseExecutor, Executor, FitOptions, Loss, Optimiser, Parameters, Step};
use std::time::Instant;

/// Steps before the clock starts.
const WARM_UP: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| {
        arguments
            .next()
            .ok_or(format!("give {what}: WORKLOAD BATCH SECONDS"))
    };
    let workload = Workload::find(&next("a workload")?)?;
    let batch: usize = next("a batch")?.parse()?;
    let seconds: f64 = next("seconds")?.parse()?;

    let network = &workload.network;
    let options = FitOptions::of(workload.training.as_ref().ok_or("it has no training")?, 1.0, 1);
    let elements = network.layer(network.input()).output.elements();
    let classes = network.layer(network.output()).output.elements();
    let vocabulary = network.layers().find_map(|(_, layer)| match layer.op {
        Op::Embedding { vocabulary, .. } => Some(vocabulary),
        _ => None,
    });
    let input = |i: usize| match vocabulary {
        Some(words) => (1 + i * 31 % (words - 1)) as f32, // token 0 is padding
        None => (i * 31 % 97) as f32 / 97.0,
    };
    let inputs: Vec<f32> = (0..batch * elements).map(input).collect();
    let labels: Vec<u32> = (0..batch).map(|i| (i % classes) as u32).collect();

    let mut executor = DenseExecutor::new(network, Parameters::init(network, 1))?;
    let mut optimiser = Optimiser::new(options.optimiser, executor.parameters());
    let mut gradients = executor.parameters().zeros();
    let (start, mut times) = (Instant::now(), Vec::new());
    for seed in 0.. {
        let step = Step {
            inputs: &inputs,
            labels: &labels,
            teacher: None,
            loss: Loss::CrossEntropy,
            seed,
        };
        let begun = Instant::now();
        executor.gradients(&step, &mut gradients)?;
        optimiser.step(executor.parameters_mut(), &gradients, 1e-4);
        times.push(begun.elapsed().as_secs_f64());
        if times.len() > WARM_UP && start.elapsed().as_secs_f64() > seconds {
            break;
        }
    }
    let times = &mut times[WARM_UP..];
    times.sort_by(f64::total_cmp);
    println!("{:.1}", batch as f64 / times[times.len() / 2]);
    Ok(())
}
