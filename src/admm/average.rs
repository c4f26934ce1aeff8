//! Training that ends in the mean of its last weights.

use super::options::Retrain;
use super::solve::Problem;
use crate::training::{Executor, Parameters, Progress, Role, TrainingError};

/// Trains and, where the options ask for it, leaves the mean of the weights after each step of the last part of the
/// run (stochastic weight averaging: Izmailov et al., UAI 2018, arXiv 1803.05407). Running statistics stay those of the
/// last step.
pub(super) fn retrain(
    executor: &mut dyn Executor,
    problem: &Problem<'_>,
    options: &Retrain,
    change: &mut dyn FnMut(&Parameters, &mut [Vec<f32>]),
    tick: &mut dyn FnMut(Progress),
) -> Result<(), TrainingError> {
    if options.average <= 0.0 {
        return problem.fit(executor, &options.fit, change, tick);
    }
    let per_epoch = problem.train.len().div_ceil(options.fit.batch.max(1)) as f64;
    let steps = (options.fit.epochs * per_epoch).round();
    let first = (steps * (1.0 - f64::from(options.average.min(1.0)))).floor();
    let mut mean = Mean::of(executor.parameters());
    let mut step = 0.0;
    let mut hook = |parameters: &Parameters, gradients: &mut [Vec<f32>]| {
        // called before each update: what it sees is the outcome of the step before
        if step > first {
            mean.add(parameters);
        }
        step += 1.0;
        change(parameters, gradients);
    };
    problem.fit(executor, &options.fit, &mut hook, tick)?;
    mean.add(executor.parameters());
    mean.write(executor.parameters_mut());
    Ok(())
}

/// A running mean of all trained values.
struct Mean {
    count: f32,
    values: Vec<Vec<f32>>,
}

impl Mean {
    fn of(parameters: &Parameters) -> Self {
        Self {
            count: 0.0,
            values: parameters.zeros(),
        }
    }

    fn add(&mut self, parameters: &Parameters) {
        self.count += 1.0;
        let share = 1.0 / self.count;
        for (mean, p) in self.values.iter_mut().zip(&parameters.list) {
            match &p.support {
                Some(mask) => mask
                    .ones()
                    .for_each(|i| mean[i] += share * (p.values[i] - mean[i])),
                None => {
                    for (m, &v) in mean.iter_mut().zip(&p.values) {
                        *m += share * (v - *m);
                    }
                }
            }
        }
    }

    fn write(self, parameters: &mut Parameters) {
        for (mean, p) in self.values.into_iter().zip(&mut parameters.list) {
            if p.role != Role::Statistic {
                p.values = mean;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Parameter;

    #[test]
    fn the_mean_of_three_steps() {
        let of = |v: f32| Parameters {
            list: vec![Parameter {
                name: "a.bias".into(),
                layer: "a".into(),
                role: Role::Bias,
                shape: vec![2],
                values: vec![v, -v],
                support: None,
            }],
        };
        let mut mean = Mean::of(&of(0.0));
        for v in [1.0, 2.0, 6.0] {
            mean.add(&of(v));
        }
        let mut out = of(9.0);
        mean.write(&mut out);
        assert_eq!(out, of(3.0));
    }
}
