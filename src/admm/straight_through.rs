//! Training through levels: the network computes with weights on levels, the updates go to the values behind them.

use super::solve::{Problem, support};
use crate::compression::ConstraintSet;
use crate::compression::precision::{Levels, Precision};
use crate::training::{Executor, FitOptions, Parameters, Role, Slopes, Step, TrainingError};

/// Trains the values behind the levels: each step runs forward and backward with every weight on its level, fitted anew
/// to the values, and the gradient of the level is taken for that of the value (the straight-through estimator:
/// Courbariaux et al., NIPS 2015, arXiv 1511.00363). The executor's weights end as the values, off their levels.
pub(super) fn train(
    executor: &mut dyn Executor,
    precisions: &[Precision],
    problem: &Problem<'_>,
    options: &FitOptions,
    tick: &mut dyn FnMut(f64),
) -> Result<(), TrainingError> {
    let mut options = *options;
    // the levels do not feel decay, only the values would
    options.optimiser.weight_decay = 0.0;
    let mut through = Through {
        values: executor.parameters().clone(),
        weights: executor.parameters().weight_indices(),
        precisions,
        executor,
    };
    problem.fit(&mut through, &options, &mut |_, _| {}, &mut |p| {
        tick(p.step as f64 / p.steps.max(1) as f64);
    })?;
    let Through { values, executor, .. } = through;
    *executor.parameters_mut() = values;
    Ok(())
}

/// An executor whose parameters are the values, and which runs with their levels.
struct Through<'a> {
    executor: &'a mut dyn Executor,
    values: Parameters,
    weights: Vec<usize>,
    precisions: &'a [Precision],
}

impl Through<'_> {
    /// Gives the executor the levels of the values, and all else as it is but running statistics, which are its own.
    fn load(&mut self) {
        let inner = &mut self.executor.parameters_mut().list;
        for (to, from) in inner.iter_mut().zip(&self.values.list) {
            if from.role != Role::Statistic {
                to.values.copy_from_slice(&from.values);
            }
        }
        for (&i, &precision) in self.weights.iter().zip(self.precisions) {
            let from = &self.values.list[i];
            let mask = support(from);
            Levels::fit(precision, &from.values, &mask).project(&mut inner[i].values, &mask);
        }
    }
}

impl Executor for Through<'_> {
    fn parameters(&self) -> &Parameters {
        &self.values
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.values
    }

    fn gradients(&mut self, step: &Step<'_>, gradients: &mut [Vec<f32>]) -> Result<f32, TrainingError> {
        self.load();
        let loss = self.executor.gradients(step, gradients)?;
        for (to, from) in self.values.list.iter_mut().zip(&self.executor.parameters().list) {
            if from.role == Role::Statistic {
                to.values.copy_from_slice(&from.values);
            }
        }
        Ok(loss)
    }

    fn input_gradient(
        &mut self,
        inputs: &[f32],
        samples: usize,
        slopes: &mut Slopes<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<(), TrainingError> {
        self.load();
        self.executor.input_gradient(inputs, samples, slopes, gradient)
    }

    fn infer(&mut self, inputs: &[f32], samples: usize) -> Result<Vec<f32>, TrainingError> {
        self.load();
        self.executor.infer(inputs, samples)
    }
}
