//! ADMM onto sparsity sets, the cut, and masked retraining.

use super::options::PruneOptions;
use super::record::{Phase, Record};
use super::solve::{Assignment, Problem, project, solve};
use crate::compression::Mask;
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
            set: structure.set(keep),
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
    project(&mut *executor, &assignments);
    let mut parameters = executor.parameters().clone();
    drop(executor);
    for &i in &weights {
        let p = &mut parameters.list[i];
        let (rows, cols) = p.matrix();
        p.support = Some(Mask::of(&p.values, rows, cols));
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
