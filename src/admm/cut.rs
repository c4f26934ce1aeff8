//! The cut: weights outside their sets leave, the others train on.

use super::average::retrain;
use super::options::Retrain;
use super::solve::{Assignment, Problem, support};
use crate::network::Network;
use crate::training::{Parameters, TrainingError, executor_for};

/// Sets supports to the survivors of the sets. A zero inside a group that stays is free to move again.
pub(super) fn cut(parameters: &mut Parameters, assignments: &[Assignment]) {
    for a in assignments {
        let p = &mut parameters.list[a.parameter];
        let left = a.set.survivors(&p.values, &support(p));
        left.apply(&mut p.values);
        p.support = Some(left);
    }
}

/// Trains what is left, on the executor that runs it fastest.
pub(super) fn train_survivors(
    network: &Network,
    parameters: Parameters,
    problem: &Problem<'_>,
    options: &Retrain,
    tick: &mut dyn FnMut(f64),
) -> Result<Parameters, TrainingError> {
    let mut executor = executor_for(network, parameters)?;
    retrain(&mut *executor, problem, options, &mut |_, _| {}, &mut |p| {
        tick(p.step as f64 / p.steps.max(1) as f64);
    })?;
    Ok(executor.parameters().clone())
}
