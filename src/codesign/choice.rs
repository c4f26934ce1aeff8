//! The network that an objective chooses: its search, its restoring, its levels.

use super::costing::{Costing, Price};
use super::objective::Objective;
use super::pipeline::{CodesignError, Run};
use super::search::{Search, shrink};
use crate::compression::precision::Precision;
use crate::procedure::{Stage, kept};

/// A choice: the stage on levels, its bits per weight parameter, and its counts.
pub(super) struct Choice {
    pub(super) stage: Stage,
    pub(super) bits: Vec<u8>,
    kept: Vec<usize>,
}

/// The portion of the allowed loss by which a step of a search may fall short of the floor: the network that is
/// chosen trains for longer than a step does, and must hold the floor itself.
const SEARCH_SLACK: f64 = 0.25;

/// Of another choice's price, what this objective's choice may cost at most.
const BEAT: f64 = 0.97;

/// Width of a surviving weight that prices assume before levels are chosen.
const ASSUMED_BITS: u32 = 4;

/// The smallest network for an objective that holds the floor, on levels.
///
/// With a `rival`, the choice for another objective, the search first comes down below the rival's price, and what it
/// chooses may not be bought with accuracy that the rival did not give up: neither its validation accuracy nor its
/// cross-entropy may be worse than the rival's.
pub(super) fn choose(
    run: &mut Run<'_>,
    trunk: &Stage,
    objective: Objective,
    floor: f64,
    rival: Option<&Choice>,
) -> Result<Choice, CodesignError> {
    let name = objective.to_string();
    let request = run.request;
    let price = Costing::new(request.workload, request.profiles, objective, ASSUMED_BITS)?;
    let goal = rival
        .map(|r| price.cost(&r.kept))
        .transpose()?
        .map(|cost| BEAT * cost);
    let floor = rival.map_or(floor, |r| floor.max(r.stage.validation));
    let ceiling = rival.map(|r| r.stage.loss);
    let slack = SEARCH_SLACK * request.max_drop / 100.0;
    let mut whole = vec![false; trunk.parameters.weights().count()];
    let search = Search {
        name: name.clone(),
        price: &price,
        whole: &whole,
        floor: floor - slack,
        goal,
        ceiling,
    };
    let mut path = shrink(run, trunk.clone(), &search)?;

    // layers below their break-even go back to dense, and the slack they give is spent on the others
    let restore = price.below_break_even(&kept(&path[path.len() - 1].parameters))?;
    if restore.contains(&true) {
        whole = restore;
        let restored = run.restore(&format!("{name}-restore"), &path[path.len() - 1], &whole)?;
        let search = Search {
            name: format!("{name}-restored"),
            price: &price,
            whole: &whole,
            floor: floor - slack,
            goal,
            ceiling,
        };
        path.extend(shrink(run, restored, &search)?);
    }
    // only what is cheaper than the rival's choice, as long as there is anything that is
    if let Some(goal) = goal {
        let costs: Vec<f64> = path
            .iter()
            .map(|node| price.cost(&kept(&node.parameters)))
            .collect::<Result<_, _>>()?;
        // a goal is met up to the rounding of counts
        let met = |cost: f64| cost <= goal * (1.0 + 0.1 * (1.0 - BEAT));
        if costs.iter().any(|&c| met(c)) {
            path = path
                .into_iter()
                .zip(costs)
                .filter_map(|(node, cost)| met(cost).then_some(node))
                .collect();
        }
    }
    // the smallest that still holds on levels, after longer training; the best of those tried if none does
    let mut best: Option<Choice> = None;
    for node in path.iter().rev().take(run.plan.candidates) {
        let choice = finish(run, &name, node, floor)?;
        if choice.stage.validation >= floor && ceiling.is_none_or(|most| choice.stage.loss <= most) {
            return Ok(choice);
        }
        if best
            .as_ref()
            .is_none_or(|b| choice.stage.validation > b.stage.validation)
        {
            best = Some(choice);
        }
    }
    let best = best.expect("a path has a start and a plan tries at least one");
    run.say(&format!(
        "{name}: of those tried, {:.2} % is the best; {:.2} % was asked",
        100.0 * best.stage.validation,
        100.0 * floor
    ));
    Ok(best)
}

/// Trains a chosen support for longer and moves it onto the narrowest levels that hold the floor, or onto the best of
/// those tried.
fn finish(run: &mut Run<'_>, name: &str, node: &Stage, floor: f64) -> Result<Choice, CodesignError> {
    let (polish, levels) = (run.plan.polish, run.plan.levels.clone());
    let polished = run
        .job
        .train(&format!("{name}-polish"), &node.parameters, &polish)?;
    let from = if polished.validation >= node.validation {
        &polished
    } else {
        node
    };
    let kept = kept(&from.parameters);
    run.say(&format!(
        "{name}: {} weights trained on, validation {:.2} %",
        kept.iter().sum::<usize>(),
        100.0 * from.validation
    ));
    let mut best: Option<Choice> = None;
    for &width in &run.plan.widths.clone() {
        let bits = vec![width; kept.len()];
        let precisions = vec![Precision::equal_interval(width); kept.len()];
        let stage = run
            .job
            .quantise(&format!("{name}-{width}-bit"), from, &precisions, &levels)?;
        let held = stage.validation >= floor;
        run.say(&format!(
            "{name}: {width}-bit levels, validation {:.2} % (loss {:.4}) {} {:.2} %",
            100.0 * stage.validation,
            stage.loss,
            if held { "holds" } else { "falls short of" },
            100.0 * floor
        ));
        let better = best
            .as_ref()
            .is_none_or(|b| stage.validation > b.stage.validation);
        if held || better {
            best = Some(Choice {
                stage,
                bits,
                kept: kept.clone(),
            });
        }
        if held {
            break;
        }
    }
    Ok(best.expect("a plan has at least one width"))
}
