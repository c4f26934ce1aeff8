//! How much the loss depends on each weight.

use crate::training::data::{Batches, Samples};
use crate::training::{Executor, Loss, Step, TrainingError};

/// The diagonal of the empirical Fisher information per parameter: the mean over mini-batches of the squared
/// gradient of the loss alone. Zero outside supports.
///
/// # Errors
/// When the loss stops being a number.
pub fn fisher(executor: &mut dyn Executor, samples: &Samples, batch: usize, batches: usize, seed: u64) -> Result<Vec<Vec<f32>>, TrainingError> {
    let mut sums: Vec<Vec<f32>> = executor.parameters().list.iter().map(|p| vec![0.0; p.values.len()]).collect();
    let mut gradients = sums.clone();
    let _ = (samples, batch, batches, seed, &mut gradients, Loss::CrossEntropy);
    let mut count = 0usize;
    for b in Batches::new(samples, batch, seed).take(batches) {
        let step = Step { inputs: &b.inputs, labels: &b.labels, teacher: None, loss: Loss::CrossEntropy, seed };
        executor.gradients(&step, &mut gradients)?;
        for (s, g) in sums.iter_mut().zip(&gradients) {
            for (s, g) in s.iter_mut().zip(g) {
                *s += g * g;
            }
        }
        count += 1;
    }
    let scale = 1.0 / count.max(1) as f32;
    for s in sums.iter_mut().flatten() {
        *s *= scale;
    }
    Ok(sums)
}
