//! How much the loss depends on each weight.

use super::solve::Problem;
use crate::training::{Batches, Executor, FitOptions, TrainingError};

/// The diagonal of the empirical Fisher information per parameter: the mean over mini-batches of the squared
/// gradient of the loss alone, that of `like`, on samples that are not shifted. Zero outside supports.
///
/// # Errors
/// When the loss stops being a number.
pub fn fisher(
    executor: &mut dyn Executor,
    problem: &Problem<'_>,
    like: &FitOptions,
    batches: usize,
) -> Result<Vec<Vec<f32>>, TrainingError> {
    let mut sums: Vec<Vec<f32>> = executor
        .parameters()
        .list
        .iter()
        .map(|p| vec![0.0; p.values.len()])
        .collect();
    let mut gradients = sums.clone();
    let options = FitOptions {
        augment_shift: 0,
        ..*like
    };
    let mut stream = Batches::new(problem.train, problem.teacher, &options)?;
    let batches = batches.min(problem.train.len().div_ceil(options.batch));
    for index in 0..batches {
        stream.load(0, index);
        let step = stream.step(&options, index as u64);
        let loss = problem.aim.gradients(executor, &step, &mut gradients)?;
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
