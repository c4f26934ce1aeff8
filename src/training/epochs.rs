//! Training epoch by epoch: the best network on the validation samples is kept, and a run that diverges stops at it.

use super::aim::{Aim, Plain};
use super::data::Samples;
use super::executor::{Executor, TrainingError};
use super::fit::{Batches, FitOptions, Progress};
use super::optimiser::Optimiser;
use super::parameters::Parameters;
use serde::Serialize;

/// Samples that are inferred at a time.
const EVALUATED: usize = 256;

/// What one epoch came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// Steps done so far.
    pub steps: u64,
    /// Mean loss of the epoch's mini-batches.
    pub loss: f64,
    /// The learning rate of its last step.
    pub learning_rate: f32,
    /// Portion of the validation samples that are right; absent without any.
    pub validation_accuracy: Option<f64>,
    /// Mean cross-entropy of the validation samples, in nats.
    pub validation_loss: Option<f64>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The parameters after the best epoch.
    pub parameters: Parameters,
    /// The epoch of highest validation accuracy, the first of equals; the last one without validation samples.
    pub best: Epoch,
    /// All epochs that ended.
    pub epochs: Vec<Epoch>,
    /// The step at which the loss stopped being a number, if it did; the run ended there.
    pub diverged: Option<u64>,
}

/// Trains `executor` as [`super::fit`] does, on whole epochs, and measures after each. `flip` mirrors samples at random.
/// `progress` is called after every step; `ended` after every epoch, with the parameters when it is the best so far.
///
/// # Errors
/// As [`super::fit`]; [`TrainingError::NotFinite`] only where the run diverged before an epoch ended.
pub fn fit_epochs(
    executor: &mut dyn Executor,
    train: &Samples,
    validation: &Samples,
    options: &FitOptions,
    flip: bool,
    progress: &mut dyn FnMut(Progress),
    ended: &mut dyn FnMut(&Epoch, Option<&Parameters>),
) -> Result<Trained, TrainingError> {
    fit_epochs_for(
        &Plain, executor, train, validation, options, flip, progress, ended,
    )
}

/// Trains as [`fit_epochs`] does, for an aim that decides what is learned from each mini-batch and by what the best epoch
/// is told.
///
/// # Errors
/// As [`fit_epochs`], and what the aim cannot do.
#[allow(clippy::too_many_arguments, reason = "those of `fit_epochs` and the aim")]
pub fn fit_epochs_for(
    aim: &dyn Aim,
    executor: &mut dyn Executor,
    train: &Samples,
    validation: &Samples,
    options: &FitOptions,
    flip: bool,
    progress: &mut dyn FnMut(Progress),
    ended: &mut dyn FnMut(&Epoch, Option<&Parameters>),
) -> Result<Trained, TrainingError> {
    let mut batches = Batches::new(train, None, options)?;
    if flip {
        batches = batches.flipping()?;
    }
    let per_epoch = train.labels.len().div_ceil(options.batch) as u64;
    let count = options.epochs.ceil().max(1.0) as u64;
    let steps = count * per_epoch;
    let mut optimiser = Optimiser::new(options.optimiser, executor.parameters());
    let mut gradients = executor.parameters().zeros();
    let mut epochs: Vec<Epoch> = Vec::new();
    let mut best: Option<(Epoch, Parameters)> = None;
    let mut diverged = None;
    'run: for epoch in 0..count {
        let (mut sum, mut rate) = (0.0, 0.0);
        for index in 0..per_epoch {
            let step = epoch * per_epoch + index;
            batches.load(epoch, index as usize);
            match aim.gradients(executor, &batches.step(options, step), &mut gradients) {
                Ok(loss) => {
                    rate = options.schedule.rate(step, steps);
                    optimiser.step(executor.parameters_mut(), &gradients, rate);
                    sum += f64::from(loss);
                    progress(Progress {
                        step: step + 1,
                        steps,
                        loss,
                        rate,
                    });
                }
                Err(TrainingError::NotFinite { .. }) => {
                    diverged = Some(step + 1);
                    break 'run;
                }
                Err(other) => return Err(other),
            }
        }
        let measured = if validation.is_empty() {
            None
        } else {
            Some(aim.measure(executor, validation, EVALUATED)?)
        };
        let row = Epoch {
            epoch: epoch + 1,
            steps: (epoch + 1) * per_epoch,
            loss: sum / per_epoch as f64,
            learning_rate: rate,
            validation_accuracy: measured.map(|m| m.accuracy),
            validation_loss: measured.map(|m| m.loss),
        };
        if measured.is_some_and(|m| !m.loss.is_finite()) {
            diverged = Some(row.steps);
            break;
        }
        epochs.push(row);
        let better = best.as_ref().is_none_or(|(b, _)| {
            row.validation_accuracy.is_none() || row.validation_accuracy > b.validation_accuracy
        });
        if better {
            best = Some((row, executor.parameters().clone()));
        }
        ended(&row, Some(executor.parameters()).filter(|_| better));
    }
    match best {
        Some((best, parameters)) => Ok(Trained {
            parameters,
            best,
            epochs,
            diverged,
        }),
        None => Err(TrainingError::NotFinite {
            step: diverged.unwrap_or(1),
        }),
    }
}
