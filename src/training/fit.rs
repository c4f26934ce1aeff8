//! The training loop.

use super::batches::{Batch, Batches};
use super::data::Samples;
use super::executor::{Executor, Loss, Step, TrainingError};
use super::optimiser::Optimiser;
use super::parameters::Parameters;
use super::schedule::Schedule;
use serde::Serialize;

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitOptions {
    /// Passes over the samples; portions of a pass are allowed.
    pub epochs: f64,
    /// Samples of a mini-batch.
    pub batch: usize,
    /// The update rule; its moments start at zero in every run.
    pub optimiser: Optimiser,
    /// Peak learning rate.
    pub learning_rate: f32,
    /// How it moves.
    pub schedule: Schedule,
    /// Decay of weights (decoupled).
    pub weight_decay: f32,
    /// What is minimised; distillation without a teacher is cross-entropy.
    pub loss: Loss,
    /// Random shift of every sample, in pixels.
    pub augment_shift: usize,
    /// Seeds order, shifts and dropout.
    pub seed: u64,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Portion of the steps that is done.
    pub fraction: f64,
    /// Loss of the last mini-batch.
    pub loss: f32,
}

/// Trains: for every mini-batch the executor's gradients, then `penalty`, which may add to them, then the
/// update. Returns the mean loss over the last tenth of the steps; 0 without steps.
///
/// # Errors
/// [`TrainingError::NotFinite`] with the step at which the loss stopped being a number.
pub fn fit(
    executor: &mut dyn Executor,
    samples: &Samples,
    teacher: Option<&[f32]>,
    options: &FitOptions,
    penalty: &mut dyn FnMut(&Parameters, &mut [Vec<f32>]),
    progress: &mut dyn FnMut(Progress),
) -> Result<f32, TrainingError> {
    let teacher = teacher.filter(|_| matches!(options.loss, Loss::Distilled { .. }));
    let loss = if teacher.is_some() {
        options.loss
    } else {
        Loss::CrossEntropy
    };
    let mut batches = Batches::new(
        samples,
        teacher,
        options.batch,
        options.augment_shift,
        options.seed,
    );
    let steps = (options.epochs * batches.per_pass() as f64).round() as u64;
    let mut gradients: Vec<Vec<f32>> = executor
        .parameters()
        .list
        .iter()
        .map(|p| vec![0.0; p.values.len()])
        .collect();
    let mut state = options.optimiser.start(executor.parameters());
    let mut batch = Batch::default();
    let (mut sum, mut count) = (0.0f64, 0u32);
    for step in 0..steps {
        batches.fill(&mut batch);
        let call = Step {
            inputs: &batch.inputs,
            labels: &batch.labels,
            teacher: teacher.map(|_| batch.teacher.as_slice()),
            loss,
            seed: options
                .seed
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(step),
        };
        let loss = executor.gradients(&call, &mut gradients)?;
        if !loss.is_finite() {
            return Err(TrainingError::NotFinite { step });
        }
        penalty(executor.parameters(), &mut gradients);
        let rate = options.learning_rate * options.schedule.factor(step, steps);
        state.update(executor.parameters_mut(), &gradients, rate, options.weight_decay);
        if step >= steps - steps.div_ceil(10) {
            sum += f64::from(loss);
            count += 1;
        }
        progress(Progress {
            fraction: (step + 1) as f64 / steps as f64,
            loss,
        });
    }
    Ok((sum / f64::from(count.max(1))) as f32)
}

/// Samples that are run forward together.
const CHUNK: usize = 512;

/// The network's outputs on all samples in evaluation mode: samples × classes.
///
/// # Errors
/// When the network cannot be run.
pub fn logits(executor: &mut dyn Executor, samples: &Samples) -> Result<Vec<f32>, TrainingError> {
    let n = samples.elements();
    let mut out = Vec::new();
    for chunk in samples.inputs.chunks(CHUNK * n.max(1)) {
        out.extend(executor.infer(chunk, chunk.len() / n.max(1))?);
    }
    Ok(out)
}

/// The portion of samples whose largest output is at their label; ties go to the lower class, and an output that is
/// not a number never wins. 0 without samples.
///
/// # Errors
/// When the network cannot be run.
pub fn evaluate(executor: &mut dyn Executor, samples: &Samples) -> Result<f64, TrainingError> {
    let outputs = logits(executor, samples)?;
    let classes = outputs.len() / samples.len().max(1);
    let hits = outputs
        .chunks_exact(classes.max(1))
        .zip(&samples.labels)
        .filter(|(z, label)| argmax(z) == **label as usize)
        .count();
    Ok(hits as f64 / samples.len().max(1) as f64)
}

fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, &v) in values.iter().enumerate() {
        if v > values[best] || values[best].is_nan() {
            best = i;
        }
    }
    best
}
