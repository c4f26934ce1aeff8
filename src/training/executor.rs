//! The seam between what trains and what runs a network.

use super::parameters::Parameters;

/// What a step minimises.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Loss {
    /// Mean cross-entropy against the labels.
    CrossEntropy,
    /// `(1 − weight)·CE + weight·T²·KL(teacher‖student)` at temperature T, both softened.
    Distilled {
        /// Temperature T.
        temperature: f32,
        /// Share of the distillation term.
        weight: f32,
    },
}

/// One mini-batch: everything is row-major, sample by sample.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Samples × input elements. Token inputs are whole numbers.
    pub inputs: &'a [f32],
    /// One class per sample.
    pub labels: &'a [u32],
    /// Samples × classes, for [`Loss::Distilled`].
    pub teacher: Option<&'a [f32]>,
    /// What is minimised.
    pub loss: Loss,
    /// Seeds dropout; different for every step of a run.
    pub seed: u64,
}

/// Why a step or an inference failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// The loss stopped being a number.
    #[error("the loss is not a number at step {step}")]
    NotFinite {
        /// The step of the run.
        step: u64,
    },
    /// An operation that this executor does not run.
    #[error("layer `{layer}`: {message}")]
    Unsupported {
        /// The layer.
        layer: String,
        /// What is not supported.
        message: String,
    },
    /// Parameters that are not those of the network.
    #[error("parameter `{name}` {message}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// An option of a training run that cannot be followed.
    #[error("`{option}` {message}")]
    Option {
        /// The option.
        option: &'static str,
        /// What must hold.
        message: String,
    },
    /// Samples, labels or teacher outputs that do not fit the network or each other.
    #[error("a batch does not fit: {message}")]
    Batch {
        /// What does not fit.
        message: String,
    },
}

/// Reads a mini-batch's outputs and writes a derivative by them.
pub type Slopes<'a> = dyn FnMut(&[f32], &mut [f32]) + 'a;

/// Runs a network forward and backward. The same inputs, parameters and seed give the same bits on any number
/// of threads.
pub trait Executor: Send {
    /// The parameters.
    fn parameters(&self) -> &Parameters;

    /// The parameters, to change their values. Supports are changed by building a new executor.
    fn parameters_mut(&mut self) -> &mut Parameters;

    /// Forward and backward for one mini-batch: the mean loss, and in `gradients` (one vector per parameter, in
    /// order, overwritten) its derivative; zero outside a parameter's support.
    ///
    /// # Errors
    /// [`TrainingError::NotFinite`] when the loss is not a number.
    fn gradients(&mut self, step: &Step<'_>, gradients: &mut [Vec<f32>]) -> Result<f32, TrainingError>;

    /// The outputs (logits) in evaluation mode: samples × classes.
    ///
    /// # Errors
    /// When the network cannot be run.
    fn infer(&mut self, inputs: &[f32], samples: usize) -> Result<Vec<f32>, TrainingError>;

    /// Forward and backward in evaluation mode for the inputs alone, parameters fixed: `slopes` reads the outputs
    /// (samples × classes) and writes the derivative of any sum over samples by them; `gradient` is overwritten with that
    /// sum's derivative by the inputs, samples × input elements.
    ///
    /// # Errors
    /// When the network cannot be run, or this executor gives no such derivative.
    fn input_gradient(
        &mut self,
        inputs: &[f32],
        samples: usize,
        slopes: &mut Slopes<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<(), TrainingError> {
        let _ = (inputs, samples, slopes, gradient);
        Err(TrainingError::Unsupported {
            layer: "input".into(),
            message: "this executor gives no derivative by the input".into(),
        })
    }
}
