//! How much the loss depends on each weight.

use crate::training::data::Samples;
use crate::training::{Batch, Batches, Executor, Loss, Step, TrainingError};

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
    let mut stream = Batches::new(samples, None, batch, 0, seed);
    let mut drawn = Batch::default();
    for _ in 0..batches {
        stream.fill(&mut drawn);
        let step = Step {
            inputs: &drawn.inputs,
            labels: &drawn.labels,
            teacher: None,
            loss: Loss::CrossEntropy,
            seed,
        };
        let loss = executor.gradients(&step, &mut gradients)?;
        if !loss.is_finite() {
            return Err(TrainingError::NotFinite { step: 0 });
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
