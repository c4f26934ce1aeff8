//! ADMM onto sparsity sets, the cut, and masked retraining.

use super::cut::{cut, train_survivors};
use super::options::PruneOptions;
use super::penalty::layers_of;
use super::record::{Phase, Record};
use super::saliency::fisher;
use super::solve::{Assignment, Problem, Sets, solve, support};
use crate::compression::structure::{Structure, Unstructured};
use crate::compression::{Mask, SharedBudget, TotalGroups, TotalWeights};
use crate::network::Network;
use crate::training::{FitOptions, Parameters, TrainingError, executor_for};

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
/// v²·(F + 0.05·mean F) (see [`TotalWeights`]; whole groups of a structure leave by [`TotalGroups`]), and may change in
/// every iteration. F starts from `batches` mini-batches and follows the W-steps.
///
/// # Errors
/// As [`prune`], and when the structure has no groups.
#[allow(
    clippy::too_many_arguments,
    reason = "those of `prune`, and what saliency is measured on"
)]
pub fn prune_shared(
    network: &Network,
    parameters: Parameters,
    structure: Structure,
    keep: usize,
    batches: usize,
    problem: &Problem<'_>,
    options: &PruneOptions,
    step: &str,
    tick: &mut dyn FnMut(f64),
) -> Result<(Parameters, Vec<Record>), TrainingError> {
    let weights = parameters.weight_indices();
    let fisher = weights_fisher(
        network,
        &parameters,
        &weights,
        batches,
        problem,
        &options.admm.w_step,
    )?;
    let budget: Box<dyn SharedBudget> = if structure == Structure::Unstructured {
        Box::new(TotalWeights {
            keep,
            fisher,
            decay: MEMORY,
        })
    } else {
        let layers = layers_of(&parameters, &vec![Some(structure); weights.len()])?;
        Box::new(TotalGroups {
            keep,
            partitions: layers.into_iter().map(|l| l.partition).collect(),
            fisher,
            decay: MEMORY,
        })
    };
    // sets of their own until the budget shares itself out, before the first projection
    let list = weights
        .into_iter()
        .map(|parameter| Assignment {
            parameter,
            set: Box::new(Unstructured { keep }),
        })
        .collect();
    let sets = Sets {
        list,
        budget: Some(budget),
    };
    prune_onto(network, parameters, sets, problem, options, step, tick)
}

/// The share of the running mean of squared gradients that a step leaves: it remembers some 200 mini-batches.
pub(super) const MEMORY: f32 = 0.995;

/// [`fisher`] of the named parameters alone.
pub(super) fn weights_fisher(
    network: &Network,
    parameters: &Parameters,
    named: &[usize],
    batches: usize,
    problem: &Problem<'_>,
    like: &FitOptions,
) -> Result<Vec<Vec<f32>>, TrainingError> {
    let mut executor = executor_for(network, parameters.clone())?;
    let mut all = fisher(&mut *executor, problem, like, batches)?;
    Ok(named.iter().map(|&i| std::mem::take(&mut all[i])).collect())
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
    cut(&mut parameters, &sets.list);
    let parameters = train_survivors(network, parameters, problem, &options.retrain, &mut |f| {
        tick(share + (1.0 - share) * f);
    })?;
    Ok((parameters, records))
}
