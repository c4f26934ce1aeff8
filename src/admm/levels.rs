//! ADMM onto equal-interval levels on the survivors, then the biases alone.

use super::options::QuantiseOptions;
use super::record::{Phase, Record};
use super::solve::{Assignment, Problem, project, solve, support};
use crate::compression::precision::EqualInterval;
use crate::network::Network;
use crate::training::{Parameters, TrainingError, executor_for, fit};

/// A network whose weights lie on levels.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantised {
    /// The parameters; every surviving weight is an exact multiple of its layer's interval.
    pub parameters: Parameters,
    /// The interval q of each weight parameter, in the order of [`Parameters::weights`].
    pub intervals: Vec<f32>,
    /// The records.
    pub records: Vec<Record>,
}

/// Moves the survivors onto levels: q per layer by search over the survivors (METHODS §0), refitted in every
/// iteration, all weights snapped at the end, then the biases trained with the levels frozen.
/// `bits` holds one width per weight parameter.
///
/// # Errors
/// When the network holds an operation that cannot be trained, or the loss stops being a number.
pub fn quantise(
    network: &Network,
    parameters: Parameters,
    bits: &[u8],
    problem: &Problem<'_>,
    options: &QuantiseOptions,
    step: &str,
    tick: &mut dyn FnMut(f64),
) -> Result<Quantised, TrainingError> {
    let weights = parameters.weight_indices();
    let mut assignments: Vec<Assignment> = weights
        .iter()
        .zip(bits)
        .map(|(&parameter, &bits)| {
            let p = &parameters.list[parameter];
            let set = EqualInterval::fit(&p.values, &support(p), bits);
            Assignment {
                parameter,
                set: Box::new(set),
            }
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
        Phase::Levels,
        &mut |f| tick(share * f),
    )?;
    // the final interval is searched on W itself, not on W + U
    let mut intervals = Vec::with_capacity(weights.len());
    for (a, &bits) in assignments.iter_mut().zip(bits) {
        let p = &executor.parameters().list[a.parameter];
        let set = EqualInterval::fit(&p.values, &support(p), bits);
        intervals.push(set.interval);
        a.set = Box::new(set);
    }
    project(&mut *executor, &assignments);
    // frozen levels: their gradients vanish, the optimiser leaves them alone
    let frozen: Vec<Vec<f32>> = weights
        .iter()
        .map(|&i| executor.parameters().list[i].values.clone())
        .collect();
    let mut freeze = |_: &Parameters, gradients: &mut [Vec<f32>]| {
        for &i in &weights {
            gradients[i].fill(0.0);
        }
    };
    let mut retrain = options.retrain;
    retrain.optimiser.weight_decay = 0.0;
    fit(
        &mut *executor,
        problem.train,
        problem.teacher,
        &retrain,
        &mut freeze,
        &mut |p| tick(share + (1.0 - share) * p.step as f64 / p.steps.max(1) as f64),
    )?;
    let mut parameters = executor.parameters().clone();
    for (&i, values) in weights.iter().zip(frozen) {
        parameters.list[i].values = values;
    }
    Ok(Quantised {
        parameters,
        intervals,
        records,
    })
}
