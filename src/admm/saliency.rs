//! How much the loss depends on each weight.

use crate::training::data::Samples;
use crate::training::{Batches, Executor, FitOptions, Loss, OptimiserOptions, Schedule, TrainingError};

/// The diagonal of the empirical Fisher information per parameter: the mean over mini-batches of the squared
/// gradient of the loss alone. Zero outside supports.
///
/// # Errors
/// When the loss stops being a number.
pub fn fisher(
    executor: &mut dyn Executor,
    samples: &Samples,
    batch: usize,
    batches: usize,
    seed: u64,
) -> Result<Vec<Vec<f32>>, TrainingError> {
    let mut sums: Vec<Vec<f32>> = executor
        .parameters()
        .list
        .iter()
        .map(|p| vec![0.0; p.values.len()])
        .collect();
    let mut gradients = sums.clone();
    let options = FitOptions {
        epochs: 1.0,
        batch,
        optimiser: OptimiserOptions::sgd(0.0, 0.0),
        schedule: Schedule::Constant { rate: 0.0 },
        loss: Loss::CrossEntropy,
        augment_shift: 0,
        seed,
    };
    let mut stream = Batches::new(samples, None, &options)?;
    let batches = batches.min(samples.len().div_ceil(batch));
    for index in 0..batches {
        stream.load(0, index);
        let loss = executor.gradients(&stream.step(&options, index as u64), &mut gradients)?;
        if !loss.is_finite() {
            return Err(TrainingError::NotFinite { step: index as u64 });
        }
        for (s, g) in sums.iter_mut().zip(&gradients) {
            for (s, g) in s.iter_mut().zip(g) {
                *s += g * g;
            }
        }
    }
    let scale = 1.0 / batches.max(1) as f32;
    for s in sums.iter_mut().flatten() {
        *s *= scale;
    }
    Ok(sums)
}
