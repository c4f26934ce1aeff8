//! ADMM onto sparsity sets, the cut, and masked retraining.

use super::average::retrain;
use super::options::PruneOptions;
use super::record::{Phase, Record};
use super::saliency::fisher;
use super::solve::{Assignment, Problem, Sets, solve, support};
use crate::compression::structure::{Salient, Structure};
use crate::compression::{Mask, TotalWeights};
use crate::network::Network;
use crate::training::{Parameters, TrainingError, executor_for};
use std::sync::Arc;

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
    let list = parameters.weight_indices().into_iter().zip(keep);
    let list: Vec<Assignment> = list
        .map(|(parameter, &(structure, keep))| Assignment {
            parameter,
            set: structure.set(parameters.list[parameter].tensor_shape(), keep),
        })
        .collect();
    prune_onto(network, parameters, list.into(), problem, options, step, tick)
}

/// Prunes a network to a number of non-zeros over all layers: which layer gives up how many follows from
/// v²·(F + 0.05·mean F), F the diagonal of the empirical Fisher information (see [`fisher`]) on `batches` mini-batches,
/// and may change in every iteration.
///
/// # Errors
/// As [`prune`].
#[allow(
    clippy::too_many_arguments,
    reason = "those of `prune`, and what saliency is measured on"
)]
pub fn prune_shared(
    network: &Network,
    parameters: Parameters,
    keep: usize,
    batches: usize,
    problem: &Problem<'_>,
    options: &PruneOptions,
    step: &str,
    tick: &mut dyn FnMut(f64),
) -> Result<(Parameters, Vec<Record>), TrainingError> {
    let w_step = &options.admm.w_step;
    let mut executor = executor_for(network, parameters.clone())?;
    let fisher = fisher(&mut *executor, problem.train, w_step.batch, batches, w_step.seed)?;
    drop(executor);
    let weights = parameters.weight_indices();
    let importance: Vec<Arc<Vec<f32>>> = weights
        .iter()
        .map(|&i| Arc::new(importance(&fisher[i], &support(&parameters.list[i]))))
        .collect();
    let list = weights
        .into_iter()
        .zip(&importance)
        .map(|(parameter, importance)| Assignment {
            parameter,
            set: Box::new(Salient {
                keep,
                importance: Arc::clone(importance),
            }),
        })
        .collect();
    let sets = Sets {
        list,
        budget: Some(Box::new(TotalWeights { keep, importance })),
    };
    prune_onto(network, parameters, sets, problem, options, step, tick)
}

/// F + 0.05·mean F over the support: the mean keeps weights alive whose gradient happened to vanish.
fn importance(fisher: &[f32], support: &Mask) -> Vec<f32> {
    let sum: f64 = support.ones().map(|i| f64::from(fisher[i])).sum();
    let mean = (sum / support.count().max(1) as f64) as f32;
    fisher.iter().map(|f| f + 0.05 * mean).collect()
}

fn prune_onto(
    network: &Network,
    parameters: Parameters,
    mut sets: Sets,
    problem: &Problem<'_>,
    options: &PruneOptions,
    step: &str,
    tick: &mut dyn FnMut(f64),
) -> Result<(Parameters, Vec<Record>), TrainingError> {
    let share = options.admm.share(&options.retrain);
    let mut executor = executor_for(network, parameters)?;
    let records = solve(
        &mut *executor,
        &mut sets,
        problem,
        &options.admm,
        step,
        Phase::Prune,
        &mut |f| tick(share * f),
    )?;
    let mut parameters = executor.parameters().clone();
    drop(executor);
    let supports: Vec<Mask> = sets
        .list
        .iter()
        .map(|a| support(&parameters.list[a.parameter]))
        .collect();
    let values: Vec<&[f32]> = sets
        .list
        .iter()
        .map(|a| parameters.list[a.parameter].values.as_slice())
        .collect();
    let supports_by: Vec<&Mask> = supports.iter().collect();
    sets.refit(&values, &supports_by);
    for (a, support) in sets.list.iter().zip(&supports) {
        let p = &mut parameters.list[a.parameter];
        // the set's own survivors: a zero inside a group that stays is free to move again
        let left = a.set.survivors(&p.values, support);
        left.apply(&mut p.values);
        p.support = Some(left);
    }
    let mut executor = executor_for(network, parameters)?;
    retrain(
        &mut *executor,
        problem.train,
        problem.teacher,
        &options.retrain,
        &mut |_, _| {},
        &mut |p| tick(share + (1.0 - share) * p.step as f64 / p.steps.max(1) as f64),
    )?;
    Ok((executor.parameters().clone(), records))
}
