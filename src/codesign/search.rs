//! ADMM-NN's loop (arXiv 1812.11677, Fig. 5; METHODS §1) on measured accuracy.

use super::allocate::{Ranked, allocate};
use super::costing::Costing;
use super::objective::Objective;
use super::pipeline::{CodesignError, Run};
use super::store::Stage;
use crate::admm;
use crate::compression::structure::Structure;
use crate::training::{Parameters, executor_for};

/// Non-zeros of each weight parameter.
pub(super) fn kept(parameters: &Parameters) -> Vec<usize> {
    parameters.weights().map(|p| p.support.as_ref().map_or(p.values.len(), crate::compression::Mask::count)).collect()
}

/// Shrinks a pruned network for an objective as far as validation accuracy stays at or above `floor`.
///
/// Every step lowers the objective's cost by a factor, layers giving up weights by cost and saliency; a step that
/// falls below the floor is undone and the next one is half as large (in the logarithm), until steps are small or
/// the plan's rounds are used up. `start` itself is the answer if no step holds the floor.
pub(super) fn shrink(run: &mut Run<'_>, name: &str, start: Stage, objective: Objective, costing: &Costing<'_>, floor: f64) -> Result<Stage, CodesignError> {
    let mut best = start;
    let mut factor = run.plan.shrink;
    for round in 1..=run.plan.rounds {
        let now = kept(&best.parameters);
        let budget = factor * costing.cost(objective, &now)?;
        let counts = share(run, &best.parameters, objective, costing, budget)?;
        if counts == now {
            break;
        }
        let step = prune_to(run, &format!("{name}-{round}"), &best, &counts)?;
        run.say(&format!(
            "{name} step {round}: {} weights, {objective} {:.3} of dense, validation {:.2} % (floor {:.2} %){}",
            counts.iter().sum::<usize>(),
            costing.cost(objective, &counts)? / costing.dense(objective)?,
            100.0 * step.validation,
            100.0 * floor,
            if step.validation >= floor { "" } else { ": undone" }
        ));
        if step.validation >= floor {
            best = step;
        } else {
            factor = factor.sqrt();
            if factor > 0.95 {
                break;
            }
        }
    }
    Ok(best)
}

/// Counts per layer that meet a budget of the objective.
pub(super) fn share(run: &mut Run<'_>, parameters: &Parameters, objective: Objective, costing: &Costing<'_>, budget: f64) -> Result<Vec<usize>, CodesignError> {
    let mut executor = executor_for(run.network, parameters.clone())?;
    let fisher = admm::fisher(&mut *executor, run.problem().train, 128, 64, run.seed)?;
    let now = kept(parameters);
    let mut layers = Vec::new();
    for (i, (p, f)) in parameters.list.iter().zip(&fisher).filter(|(p, _)| p.role == crate::training::Role::Weight).enumerate() {
        let unit = costing.unit(objective, &now, i)?;
        layers.push(match &p.support {
            Some(mask) => Ranked::new(&p.values, f, mask.ones().collect::<Vec<_>>().into_iter(), unit),
            None => Ranked::new(&p.values, f, 0..p.values.len(), unit),
        });
    }
    Ok(allocate(&layers, budget, |k| costing.cost(objective, k).unwrap_or(f64::INFINITY)))
}

fn prune_to(run: &mut Run<'_>, name: &str, from: &Stage, counts: &[usize]) -> Result<Stage, CodesignError> {
    let options = run.plan.step.clone();
    let keep: Vec<(Structure, usize)> = counts.iter().map(|&k| (Structure::Unstructured, k)).collect();
    run.prune(name, from, &keep, &options)
}
