//! ADMM onto sparsity sets, the cut, and masked retraining.

use super::options::PruneOptions;
use super::record::{Phase, Record};
use super::solve::{Assignment, Problem, solve, support};
use crate::compression::structure::Structure;
use crate::network::Network;
use crate::training::{Parameters, TrainingError, executor_for, fit};

/// Prunes a network to given counts of non-zeros: ADMM, hard projection, masked retraining (METHODS §0).
/// `keep` holds one structure and count per weight parameter, in the order of [`Parameters::weights`]; weights
/// that are already pruned stay so.
///
/// Returns the parameters with their supports set to the survivors, and the records.
///
/// # Errors
/// When the network holds an operation that cannot be trained, or the loss stops being a number.
pub fn prune(
    network: &Network,
    parameters: Parameters,
    keep: &[(Structure, usize)],
    problem: &Problem<'_>,
    options: &PruneOptions,
    step: &str,
    tick: &mut dyn FnMut(f64),
) -> Result<(Parameters, Vec<Record>), TrainingError> {
    let weights = parameters.weight_indices();
    let mut assignments: Vec<Assignment> = weights
        .iter()
        .zip(keep)
        .map(|(&parameter, &(structure, keep))| Assignment {
            parameter,
            set: structure.set(parameters.list[parameter].tensor_shape(), keep),
        })
        .collect();
    let share = options.admm.share(&options.retrain);

    let mut executor = executor_for(network, parameters)?;
    let records = solve(
        &mut *executor,
        &mut assignments,
        problem,
        &options.admm,
        step,
        Phase::Prune,
        &mut |f| tick(share * f),
    )?;
    let mut parameters = executor.parameters().clone();
    drop(executor);
    for a in &assignments {
        let p = &mut parameters.list[a.parameter];
        // the set's own survivors: a zero inside a group that stays is free to move again
        let left = a.set.survivors(&p.values, &support(p));
        left.apply(&mut p.values);
        p.support = Some(left);
    }
    let mut executor = executor_for(network, parameters)?;
    fit(
        &mut *executor,
        problem.train,
        problem.teacher,
        &options.retrain,
        &mut |_, _| {},
        &mut |p| tick(share + (1.0 - share) * p.step as f64 / p.steps.max(1) as f64),
    )?;
    Ok((executor.parameters().clone(), records))
}
