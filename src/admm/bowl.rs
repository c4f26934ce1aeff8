//! For tests: a network whose loss is ½·‖W − T‖² over all its weights, whatever the samples are.

use crate::training::data::Samples;
use crate::training::{
    Executor, FitOptions, Loss, OptimiserOptions, Parameter, Parameters, Role, Schedule, Step, TrainingError,
};

#[derive(Debug)]
pub(super) struct Bowl {
    parameters: Parameters,
    target: Vec<Vec<f32>>,
}

impl Bowl {
    /// One layer of one row for each target; weights start at their targets.
    pub(super) fn at(target: &[&[f32]]) -> Self {
        let parameter = |(i, values): (usize, &&[f32])| Parameter {
            name: format!("fc{i}.weight"),
            layer: format!("fc{i}"),
            role: Role::Weight,
            shape: vec![1, values.len()],
            values: values.to_vec(),
            support: None,
        };
        Self {
            parameters: Parameters {
                list: target.iter().enumerate().map(parameter).collect(),
            },
            target: target.iter().map(|t| t.to_vec()).collect(),
        }
    }

    pub(super) fn weights(&self, layer: usize) -> &[f32] {
        &self.parameters.list[layer].values
    }
}

impl Executor for Bowl {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn gradients(&mut self, _: &Step<'_>, gradients: &mut [Vec<f32>]) -> Result<f32, TrainingError> {
        for ((g, p), t) in gradients.iter_mut().zip(&self.parameters.list).zip(&self.target) {
            for ((g, &w), &t) in g.iter_mut().zip(&p.values).zip(t) {
                *g = w - t;
            }
        }
        Ok(0.0)
    }

    fn infer(&mut self, _: &[f32], samples: usize) -> Result<Vec<f32>, TrainingError> {
        Ok(vec![0.0; 2 * samples])
    }
}

/// One sample, of which the bowl takes no notice.
pub(super) fn sample() -> Samples {
    Samples {
        inputs: vec![0.0],
        labels: vec![0],
        shape: vec![1],
    }
}

/// Gradient descent of so many steps.
pub(super) fn descent(steps: u32, rate: f32) -> FitOptions {
    FitOptions {
        epochs: f64::from(steps),
        batch: 1,
        optimiser: OptimiserOptions::sgd(0.0, 0.0),
        schedule: Schedule::Constant { rate },
        loss: Loss::CrossEntropy,
        augment_shift: 0,
        seed: 1,
    }
}
