//! What training aims at: how a mini-batch becomes a gradient, and how good a network is.

use super::data::Samples;
use super::executor::{Executor, Step, TrainingError};
use super::fit::{Measured, measure};

/// The seam between the training loop and what is learned from a mini-batch: the samples as they are ([`Plain`]), or
/// adversarial versions of them ([`super::robust::MinMax`]).
pub trait Aim: std::fmt::Debug {
    /// The loss of a mini-batch and, in `gradients` (overwritten, as by [`Executor::gradients`]), its derivative.
    ///
    /// # Errors
    /// As [`Executor::gradients`].
    fn gradients(
        &self,
        executor: &mut dyn Executor,
        step: &Step<'_>,
        gradients: &mut [Vec<f32>],
    ) -> Result<f32, TrainingError>;

    /// How good the network is on samples that it did not learn from: what choices are made by.
    ///
    /// # Errors
    /// As [`measure`].
    fn measure(
        &self,
        executor: &mut dyn Executor,
        samples: &Samples,
        batch: usize,
    ) -> Result<Measured, TrainingError>;
}

/// Samples as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Aim for Plain {
    fn gradients(
        &self,
        executor: &mut dyn Executor,
        step: &Step<'_>,
        gradients: &mut [Vec<f32>],
    ) -> Result<f32, TrainingError> {
        executor.gradients(step, gradients)
    }

    fn measure(
        &self,
        executor: &mut dyn Executor,
        samples: &Samples,
        batch: usize,
    ) -> Result<Measured, TrainingError> {
        measure(executor, samples, batch)
    }
}
