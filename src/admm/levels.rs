//! ADMM onto levels on the survivors, then what is not on levels alone.

use super::average::retrain;
use super::options::{QuantiseOptions, Snapping};
use super::record::{Phase, Record};
use super::solve::{Assignment, Problem, project, solve, support};
use super::straight_through;
use crate::compression::precision::{Levels, Precision};
use crate::compression::{ConstraintSet, Mask};
use crate::network::Network;
use crate::training::{Executor, FitOptions, Parameters, TrainingError, executor_for};

/// A network whose weights lie on levels.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantised {
    /// The parameters; every surviving weight lies exactly on a level of its layer.
    pub parameters: Parameters,
    /// The levels of each weight parameter, in the order of [`Parameters::weights`].
    pub levels: Vec<Levels>,
    /// The records.
    pub records: Vec<Record>,
}

/// Moves the survivors onto levels: scales or tables fitted to the survivors (METHODS §0), refitted in every
/// iteration; training through the levels where the options ask for it; all weights snapped at the end, at once or by [`Snapping::Incremental`]; then the biases trained with the
/// levels frozen, together with the entries of codebooks, each of which moves by the sum of its weights' gradients
/// (METHODS §4). `precisions` holds one per weight parameter; a float32 layer trains on with the biases.
///
/// # Errors
/// When the network holds an operation that cannot be trained, or the loss stops being a number.
pub fn quantise(
    network: &Network,
    parameters: Parameters,
    precisions: &[Precision],
    problem: &Problem<'_>,
    options: &QuantiseOptions,
    step: &str,
    tick: &mut dyn FnMut(f64),
) -> Result<Quantised, TrainingError> {
    let weights = parameters.weight_indices();
    let fitted = |parameters: &Parameters| -> Vec<Levels> {
        let all = weights.iter().zip(precisions);
        all.map(|(&i, &precision)| {
            let p = &parameters.list[i];
            Levels::fit(precision, &p.values, &support(p))
        })
        .collect()
    };
    let assign = |levels: &[Levels]| -> Vec<Assignment> {
        let all = weights.iter().zip(levels);
        all.map(|(&parameter, levels)| Assignment {
            parameter,
            set: Box::new(levels.clone()),
        })
        .collect()
    };
    let [admm, through, snapping, retraining] = options.shares();

    let mut sets = assign(&fitted(&parameters)).into();
    let mut executor = executor_for(network, parameters)?;
    let records = solve(
        &mut *executor,
        &mut sets,
        problem,
        &options.admm,
        step,
        Phase::Levels,
        &mut |f| tick(admm * f),
    )?;
    if let Some(training) = &options.through {
        straight_through::train(&mut *executor, precisions, problem, training, &mut |f| {
            tick(admm + through * f);
        })?;
    }
    // the final levels are fitted to W itself, not to W + U
    let mut levels = fitted(executor.parameters());
    if let Snapping::Incremental { portions, train } = &options.snapping {
        let each = snapping / portions.len().max(1) as f64;
        for (i, &portion) in portions.iter().enumerate() {
            let frozen: Vec<Mask> = weights
                .iter()
                .zip(&levels)
                .map(|(&p, levels)| snap_nearest(&mut *executor, p, levels, portion))
                .collect();
            let from = admm + through + each * i as f64;
            let held = |w: usize, at: usize| frozen[w].get(at);
            train_the_rest(&mut *executor, &weights, &held, problem, train, &mut |f| {
                tick(from + each * f);
            })?;
        }
    }
    project(&mut *executor, &assign(&levels));

    let books: Vec<Option<Book>> = weights
        .iter()
        .zip(&levels)
        .map(|(&i, levels)| Book::of(&executor.parameters().list[i].values, levels))
        .collect();
    let frozen: Vec<Vec<f32>> = weights
        .iter()
        .map(|&i| executor.parameters().list[i].values.clone())
        .collect();
    let mut freeze = |_: &Parameters, gradients: &mut [Vec<f32>]| {
        for ((&i, book), precision) in weights.iter().zip(&books).zip(precisions) {
            match book {
                Some(book) => book.share(&mut gradients[i]),
                None if *precision == Precision::Float32 => {}
                None => gradients[i].fill(0.0),
            }
        }
    };
    let mut rest = options.retrain;
    rest.fit.optimiser.weight_decay = 0.0;
    retrain(&mut *executor, problem, &rest, &mut freeze, &mut |p| {
        tick(1.0 - retraining + retraining * p.step as f64 / p.steps.max(1) as f64);
    })?;
    let mut parameters = executor.parameters().clone();
    for (w, (&i, values)) in weights.iter().zip(frozen).enumerate() {
        match &books[w] {
            Some(book) => levels[w] = book.settle(&mut parameters.list[i].values, &levels[w]),
            None if precisions.get(w) == Some(&Precision::Float32) => {}
            None => parameters.list[i].values = values,
        }
    }
    Ok(Quantised {
        parameters,
        levels,
        records,
    })
}

/// Puts the given portion of a parameter's survivors on their levels, those nearest to one first (of equals the lower
/// index), and says which lie on levels now.
fn snap_nearest(executor: &mut dyn Executor, parameter: usize, levels: &Levels, portion: f64) -> Mask {
    let p = &mut executor.parameters_mut().list[parameter];
    let mask = support(p);
    let mut fixed = Mask::empty(mask.rows(), mask.cols());
    if levels.precision == Precision::Float32 {
        return fixed;
    }
    let distance = |i: usize| (p.values[i] - levels.nearest(i / mask.cols(), p.values[i])).abs();
    let mut order: Vec<(f32, usize)> = mask.ones().map(|i| (distance(i), i)).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.truncate((portion.clamp(0.0, 1.0) * order.len() as f64).round() as usize);
    for &(_, i) in &order {
        fixed.set(i, true);
    }
    let mut snapped = p.values.clone();
    levels.project(&mut snapped, &fixed);
    fixed.ones().for_each(|i| p.values[i] = snapped[i]);
    fixed
}

/// Trains with the weights that are held frozen: `held` says so of a weight parameter and a position.
fn train_the_rest(
    executor: &mut dyn Executor,
    weights: &[usize],
    held: &dyn Fn(usize, usize) -> bool,
    problem: &Problem<'_>,
    options: &FitOptions,
    tick: &mut dyn FnMut(f64),
) -> Result<(), TrainingError> {
    let mut options = *options;
    // decay would move what is frozen
    options.optimiser.weight_decay = 0.0;
    let mut freeze = |_: &Parameters, gradients: &mut [Vec<f32>]| {
        for (w, &i) in weights.iter().enumerate() {
            let frozen = gradients[i].iter_mut().enumerate().filter(|(at, _)| held(w, *at));
            frozen.for_each(|(_, g)| *g = 0.0);
        }
    };
    problem.fit(executor, &options, &mut freeze, &mut |p| {
        tick(p.step as f64 / p.steps.max(1) as f64);
    })
}

/// Which entry of its codebook each weight is.
struct Book {
    /// Positions of the weights of each entry.
    members: Vec<Vec<u32>>,
}

impl Book {
    fn of(values: &[f32], levels: &Levels) -> Option<Self> {
        if !matches!(levels.precision, Precision::Codebook { .. }) {
            return None;
        }
        let mut members = vec![Vec::new(); levels.table.len()];
        for (i, &v) in values.iter().enumerate().filter(|(_, v)| **v != 0.0) {
            if let Some(members) = levels.code(0, v).and_then(|code| members.get_mut(code as usize)) {
                members.push(i as u32);
            }
        }
        Some(Self { members })
    }

    /// Every weight gets the gradient of its entry, the sum over the entry's weights: all of them move alike.
    fn share(&self, gradients: &mut [f32]) {
        let mut shared = vec![0.0; gradients.len()];
        for members in &self.members {
            let sum: f32 = members.iter().map(|&i| gradients[i as usize]).sum();
            for &i in members {
                shared[i as usize] = sum;
            }
        }
        gradients.copy_from_slice(&shared);
    }

    /// The codebook that training left, and the weights on it.
    fn settle(&self, values: &mut [f32], levels: &Levels) -> Levels {
        let entries = self.members.iter().zip(&levels.table);
        let entries: Vec<f32> = entries
            .map(|(members, &entry)| members.first().map_or(entry, |&i| values[i as usize]))
            // an entry that became zero would prune its weights
            .map(|entry| if entry == 0.0 { f32::MIN_POSITIVE } else { entry })
            .collect();
        for (members, &entry) in self.members.iter().zip(&entries) {
            for &i in members {
                values[i as usize] = entry;
            }
        }
        let mut table = entries;
        table.sort_unstable_by(f32::total_cmp);
        table.dedup();
        Levels {
            precision: levels.precision,
            table,
        }
    }
}
