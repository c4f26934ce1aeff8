//! ADMM-NN's loop (arXiv 1812.11677, Fig. 5; METHODS §1) on measured accuracy.

use super::allocate::{Ranked, allocate};
use super::costing::Price;
use super::pipeline::{CodesignError, Run};
use crate::admm;
use crate::compression::structure::Structure;
use crate::network::Network;
use crate::procedure::{Stage, kept};
use crate::training::{FitOptions, Loss, Parameters, Role, executor_for};

/// What a search is held to.
pub(super) struct Search<'a> {
    /// Names its steps.
    pub(super) name: String,
    /// What it lowers.
    pub(super) price: &'a dyn Price,
    /// Layers that keep all weights they have.
    pub(super) whole: &'a [bool],
    /// Validation accuracy that a step must hold.
    pub(super) floor: f64,
    /// Cross-entropy on validation samples that a step may not exceed: over a few thousand samples it tells networks
    /// apart that accuracy cannot.
    pub(super) ceiling: Option<f64>,
    /// A price to come down to before accuracy decides: another choice's, which this one must beat.
    pub(super) goal: Option<f64>,
}

/// Steps towards a goal at most.
const STRIDES: u32 = 8;

/// Shrinks a pruned network as far as validation accuracy holds. Returns the networks that held, `start` first, the
/// smallest last.
///
/// Every step lowers what weights add to the price by a factor (activations, fillers and other fixed costs are out of
/// reach), layers giving up weights by cost and saliency. A step that falls below the floor is undone and the next one
/// is half as large (in the logarithm), until steps are small or the plan's rounds are used up.
pub(super) fn shrink(
    run: &mut Run<'_>,
    start: Stage,
    search: &Search<'_>,
) -> Result<Vec<Stage>, CodesignError> {
    let (price, whole) = (search.price, search.whole);
    let mut factor = run.plan.shrink;
    let (mut round, mut stride) = (0, 0);
    let mut path = vec![start];
    while round < run.plan.rounds && stride < STRIDES {
        let best = &path[path.len() - 1];
        let now = kept(&best.parameters);
        let cost = price.cost(&now)?;
        let mut budget = cost - (1.0 - factor) * reducible(&run.job.network, price, whole, &now)?.min(cost);
        let goal = search.goal.filter(|&goal| cost > goal);
        if let Some(goal) = goal {
            budget = budget.max(goal);
            stride += 1;
        } else {
            round += 1;
        }
        let counts = share(run, &best.parameters, price, whole, budget)?;
        if counts == now {
            break;
        }
        let keep: Vec<(Structure, usize)> = counts.iter().map(|&k| (Structure::Unstructured, k)).collect();
        let options = run.plan.step.clone();
        let step = run.job.prune(
            &format!("{}-{}", search.name, round + stride),
            best,
            &keep,
            &options,
        )?;
        let held = goal.is_some()
            || (step.validation >= search.floor && search.ceiling.is_none_or(|most| step.loss <= most));
        run.say(&format!(
            "{} step {}: {} weights {counts:?}, cost x{:.3}, validation {:.2} % (loss {:.4}) {}",
            search.name,
            round + stride,
            counts.iter().sum::<usize>(),
            price.cost(&counts)? / cost,
            100.0 * step.validation,
            step.loss,
            match (goal, held) {
                (Some(_), _) => "on the way to its goal".into(),
                (None, true) => "holds".into(),
                (None, false) => match search.ceiling {
                    Some(most) => format!("against {:.2} % ({most:.4}): undone", 100.0 * search.floor),
                    None => format!("against {:.2} %: undone", 100.0 * search.floor),
                },
            }
        ));
        if held {
            path.push(step);
        } else {
            factor = factor.sqrt();
            if factor > 0.95 {
                break;
            }
        }
    }
    Ok(path)
}

/// The part of the price that goes away with the weights: marginal cost times count, over the layers that may shrink.
fn reducible(
    network: &Network,
    price: &dyn Price,
    whole: &[bool],
    kept: &[usize],
) -> Result<f64, CodesignError> {
    let layers = network.weighted().enumerate().filter(|(i, _)| !whole[*i]);
    layers
        .map(|(i, l)| Ok(price.unit(kept, i, l.weights())? * kept[i] as f64))
        .sum()
}

/// Counts per layer that meet a budget of the price.
pub(super) fn share(
    run: &Run<'_>,
    parameters: &Parameters,
    price: &dyn Price,
    whole: &[bool],
    budget: f64,
) -> Result<Vec<usize>, CodesignError> {
    let mut executor = executor_for(&run.job.network, parameters.clone())?;
    let like = FitOptions {
        loss: Loss::CrossEntropy,
        seed: run.job.source.seed,
        ..run.plan.step.admm.w_step
    };
    let fisher = admm::fisher(&mut *executor, &run.job.material.problem(), &like, 64)?;
    let now = kept(parameters);
    let weights = parameters
        .list
        .iter()
        .zip(&fisher)
        .filter(|(p, _)| p.role == Role::Weight);
    let layers: Vec<Ranked> = weights
        .enumerate()
        .map(|(i, (p, f))| {
            let unit = if whole[i] {
                0.0
            } else {
                price.unit(&now, i, p.values.len())?
            };
            let alive: Vec<usize> = p
                .support
                .as_ref()
                .map_or_else(|| (0..p.values.len()).collect(), |m| m.ones().collect());
            Ok(Ranked::new(&p.values, f, alive.into_iter(), unit))
        })
        .collect::<Result<_, CodesignError>>()?;
    Ok(allocate(&layers, budget, |k| {
        price.cost(k).unwrap_or(f64::INFINITY)
    }))
}
