//! The dense executor: a network layer by layer over the whole mini-batch, on every core.

#![allow(clippy::inline_always)] // a loop takes the vector instructions of `vectorised` only where it is inlined there
#![allow(clippy::needless_for_each)] // one-line loops over rows and elements read as one expression

mod by_input;
mod engine;
#[cfg(test)]
mod finite_differences;
mod float;
mod live;
mod matmul;
mod ops;
mod plan;
mod scratch;
mod special;
mod tile;

use super::executor::{Executor, Slopes, Step, TrainingError};
use super::loss::loss_and_gradient;
use super::parameters::{Parameters, Role, specifications_of};
use crate::compression::Mask;
use crate::network::Network;
pub(crate) use by_input::ByInput;
use engine::Engine;
pub(crate) use matmul::{Matrix, matmul};

/// Samples that are inferred at a time, so that memory does not grow with the data set.
const INFERENCE_BATCH: usize = 128;

/// How far a running statistic moves to that of a batch, as in `PyTorch`.
const MOMENTUM: f32 = 0.1;

/// Runs a network with all its weights, zero or not.
///
/// Each layer shares the samples of the mini-batch out among a fixed number of tasks and adds partial gradients in
/// their order, so that the same seed gives the same bits on any number of threads.
pub struct DenseExecutor {
    engine: Engine<f32>,
    network: Network,
    /// Made when the derivative by the input is first asked for.
    by_input: Option<ByInput>,
    parameters: Parameters,
    /// For every parameter with a support, the positions outside it.
    outside: Vec<Vec<u32>>,
    steps: u64,
}

impl std::fmt::Debug for DenseExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenseExecutor")
            .field("parameters", &self.parameters.list.len())
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl DenseExecutor {
    /// An executor of `network` with these values, which must be those that [`Parameters::init`] makes: same
    /// names, order and shapes. Values outside a support are set to zero.
    ///
    /// # Errors
    /// [`TrainingError::Parameter`] when a parameter is missing, out of order or of another shape;
    /// [`TrainingError::Unsupported`] for a network with two inputs.
    pub fn new(network: &Network, mut parameters: Parameters) -> Result<Self, TrainingError> {
        let wanted = specifications_of(network);
        for (i, want) in wanted.iter().enumerate() {
            let fail = |message: String| TrainingError::Parameter {
                name: want.name.clone(),
                message,
            };
            let have = parameters.list.get(i).ok_or_else(|| fail("is missing".into()))?;
            if have.name != want.name {
                return Err(fail(format!("is expected where `{}` stands", have.name)));
            }
            if have.shape != want.shape || have.values.len() != want.shape.iter().product::<usize>() {
                return Err(fail(format!(
                    "has shape {:?} and {} values; the network needs {:?}",
                    have.shape,
                    have.values.len(),
                    want.shape
                )));
            }
            if have
                .support
                .as_ref()
                .is_some_and(|s| s.len() != have.values.len())
            {
                return Err(fail("has a support of another size".into()));
            }
        }
        if let Some(extra) = parameters.list.get(wanted.len()) {
            return Err(TrainingError::Parameter {
                name: extra.name.clone(),
                message: "belongs to no layer of the network".into(),
            });
        }
        let mut outside = Vec::with_capacity(parameters.list.len());
        for p in &mut parameters.list {
            let dead: Vec<u32> = p.support.as_ref().map_or_else(Vec::new, |s| {
                (0..p.values.len())
                    .filter(|&i| !s.get(i))
                    .map(|i| i as u32)
                    .collect()
            });
            dead.iter().for_each(|&i| p.values[i as usize] = 0.0);
            outside.push(dead);
        }
        let supports: Vec<Option<&Mask>> = parameters.list.iter().map(|p| p.support.as_ref()).collect();
        Ok(Self {
            engine: Engine::new(network, false, &supports)?,
            network: network.clone(),
            by_input: None,
            parameters,
            outside,
            steps: 0,
        })
    }

    /// One pass in evaluation mode over all samples at once.
    pub(super) fn run(&mut self, inputs: &[f32], samples: usize) -> Result<&[f32], TrainingError> {
        self.check(inputs, samples)?;
        let values: Vec<&[f32]> = self.parameters.list.iter().map(|p| p.values.as_slice()).collect();
        self.engine.forward(&values, inputs, samples, false, 0)
    }

    /// Takes the inputs of a pass in evaluation mode that [`DenseExecutor::input_of`] runs piece by piece.
    pub(crate) fn begin(&mut self, inputs: &[f32], samples: usize) -> Result<(), TrainingError> {
        self.check(inputs, samples)?;
        self.engine.begin(inputs, samples);
        Ok(())
    }

    /// Goes on up to a layer with parameters and returns what it reads: convolutions channels last, all others plain.
    /// Parameters that changed since the last call act from that layer on, so layers must be asked for in order.
    pub(crate) fn input_of(&mut self, layer: &str) -> Result<&[f32], TrainingError> {
        let values: Vec<&[f32]> = self.parameters.list.iter().map(|p| p.values.as_slice()).collect();
        let found = self.engine.input_of(&values, layer)?;
        found.ok_or_else(|| TrainingError::Unsupported {
            layer: layer.into(),
            message: "has no parameters".into(),
        })
    }

    /// Goes on up to a layer with parameters and changes what it reads.
    pub(super) fn change_input(
        &mut self,
        layer: &str,
        change: &mut dyn FnMut(&mut [f32]),
    ) -> Result<(), TrainingError> {
        self.input_of(layer)?;
        if let Some(values) = self.engine.input_of_mut(layer) {
            change(values);
        }
        Ok(())
    }

    /// Runs a pass that was begun to its end.
    pub(super) fn finish(&mut self) -> Result<&[f32], TrainingError> {
        let values: Vec<&[f32]> = self.parameters.list.iter().map(|p| p.values.as_slice()).collect();
        self.engine.finish(&values)
    }

    /// Input elements of a sample.
    pub(crate) fn input_elements(&self) -> usize {
        self.engine.input_len()
    }

    /// The layers that multiply, in order, with what each read as its first input in the last pass; the order of its
    /// elements is the executor's own.
    pub(super) fn operands(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.engine.operands()
    }

    fn check(&self, inputs: &[f32], samples: usize) -> Result<(), TrainingError> {
        let want = samples * self.engine.input_len();
        if inputs.len() == want {
            Ok(())
        } else {
            Err(TrainingError::Batch {
                message: format!(
                    "{samples} samples need {want} input values, there are {}",
                    inputs.len()
                ),
            })
        }
    }

    fn check_step(&self, step: &Step<'_>) -> Result<(), TrainingError> {
        self.check(step.inputs, step.labels.len())?;
        let classes = self.engine.output_len();
        let fail = |message: String| Err(TrainingError::Batch { message });
        if step.labels.is_empty() {
            return fail("it has no samples".into());
        }
        if let Some(label) = step.labels.iter().find(|&&l| l as usize >= classes) {
            return fail(format!(
                "label {label} is not one of the network's {classes} outputs"
            ));
        }
        if let Some(teacher) = step.teacher.filter(|t| t.len() != step.labels.len() * classes) {
            return fail(format!(
                "{} samples of {classes} classes need as many teacher outputs, there are {}",
                step.labels.len(),
                teacher.len()
            ));
        }
        Ok(())
    }
}

impl Executor for DenseExecutor {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        self.engine.revise();
        &mut self.parameters
    }

    fn gradients(&mut self, step: &Step<'_>, gradients: &mut [Vec<f32>]) -> Result<f32, TrainingError> {
        self.check_step(step)?;
        if gradients.len() != self.parameters.list.len() {
            return Err(TrainingError::Batch {
                message: format!(
                    "{} gradients are needed, there are {}",
                    self.parameters.list.len(),
                    gradients.len()
                ),
            });
        }
        let samples = step.labels.len();
        let values: Vec<&[f32]> = self.parameters.list.iter().map(|p| p.values.as_slice()).collect();
        self.engine
            .forward(&values, step.inputs, samples, true, step.seed)?;
        let (logits, d_logits) = self.engine.output_and_gradient();
        let sum = loss_and_gradient(step.loss, logits, step.labels, step.teacher, samples, d_logits);
        let loss = (sum / samples as f64) as f32;
        self.steps += 1;
        if !loss.is_finite() {
            return Err(TrainingError::NotFinite { step: self.steps });
        }
        for (g, v) in gradients.iter_mut().zip(&values) {
            g.resize(v.len(), 0.0);
        }
        self.engine.backward(&values, step.seed, gradients);
        for (g, outside) in gradients.iter_mut().zip(&self.outside) {
            outside.iter().for_each(|&i| g[i as usize] = 0.0);
        }
        for (first, batch) in self.engine.batch_statistics() {
            for (parameter, batch) in self.parameters.list[first + 2..].iter_mut().zip(batch) {
                debug_assert_eq!(parameter.role, Role::Statistic);
                for (running, &batch) in parameter.values.iter_mut().zip(batch) {
                    *running += MOMENTUM * (batch - *running);
                }
            }
        }
        Ok(loss)
    }

    fn infer(&mut self, inputs: &[f32], samples: usize) -> Result<Vec<f32>, TrainingError> {
        self.check(inputs, samples)?;
        let mut outputs = Vec::with_capacity(samples * self.engine.output_len());
        for inputs in inputs.chunks(INFERENCE_BATCH * self.engine.input_len()) {
            let samples = inputs.len() / self.engine.input_len();
            outputs.extend_from_slice(self.run(inputs, samples)?);
        }
        Ok(outputs)
    }

    fn input_gradient(
        &mut self,
        inputs: &[f32],
        samples: usize,
        slopes: &mut Slopes<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<(), TrainingError> {
        let by_input = match &mut self.by_input {
            Some(by_input) => by_input,
            none => none.insert(ByInput::new(&self.network)?),
        };
        by_input.run(&self.parameters, inputs, samples, slopes, gradient)
    }
}
