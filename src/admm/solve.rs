//! The solver.

use super::options::AdmmOptions;
use super::record::{Phase, Record};
use crate::compression::{ConstraintSet, Mask, SharedBudget};
use crate::training::data::Samples;
use crate::training::{
    Aim, Executor, FitOptions, Gradient, Parameter, Parameters, Progress, Term, TrainingError, evaluate,
    fit_for,
};

/// A weight tensor and the set it must end in.
#[derive(Debug)]
pub struct Assignment {
    /// Index of the parameter in [`crate::training::Parameters::list`].
    pub parameter: usize,
    /// The set.
    pub set: Box<dyn ConstraintSet>,
}

/// The sets of a run: one per weight tensor, and a budget that shares them out anew before each projection, if layers
/// share one.
#[derive(Debug)]
pub struct Sets {
    /// One set per tensor.
    pub list: Vec<Assignment>,
    /// What decides the sets together.
    pub budget: Option<Box<dyn SharedBudget>>,
}

impl From<Vec<Assignment>> for Sets {
    fn from(list: Vec<Assignment>) -> Self {
        Self { list, budget: None }
    }
}

impl Sets {
    /// Fits the sets to the values that are projected next.
    pub(super) fn refit(&mut self, values: &[&[f32]], supports: &[&Mask]) {
        if let Some(budget) = &self.budget {
            for (a, set) in self.list.iter_mut().zip(budget.share(values, supports)) {
                a.set = set;
            }
        }
        for ((a, values), support) in self.list.iter_mut().zip(values).zip(supports) {
            if let Some(set) = a.set.refitted(values, support) {
                a.set = set;
            }
        }
    }
}

/// What a network is trained on.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// Training samples.
    pub train: &'a Samples,
    /// Teacher logits of the training samples, samples × classes.
    pub teacher: Option<&'a [f32]>,
    /// Samples for the accuracy at the cut and for every choice; never the test set.
    pub validation: &'a Samples,
    /// What is learned from a mini-batch; [`crate::training::Plain`] is the samples as they are.
    pub aim: &'a dyn Aim,
}

impl Problem<'_> {
    /// Trains on the problem, as [`crate::training::fit`] does.
    pub(super) fn fit(
        &self,
        executor: &mut dyn Executor,
        options: &FitOptions,
        penalty: &mut dyn FnMut(&Parameters, &mut [Vec<f32>]),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), TrainingError> {
        self.fit_with(executor, options, &mut Gradient(penalty), progress)
    }

    /// The same with a term beside the loss, as [`crate::training::fit_with`] does.
    pub(super) fn fit_with(
        &self,
        executor: &mut dyn Executor,
        options: &FitOptions,
        term: &mut dyn Term,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), TrainingError> {
        fit_for(
            self.aim,
            executor,
            self.train,
            self.teacher,
            options,
            term,
            progress,
        )?;
        Ok(())
    }
}

/// The support of a parameter as a mask.
pub(super) fn support(parameter: &Parameter) -> Mask {
    let (rows, cols) = parameter.matrix();
    parameter
        .support
        .clone()
        .unwrap_or_else(|| Mask::full(rows, cols))
}

pub(super) fn norm(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

struct Split {
    parameter: usize,
    layer: String,
    support: Mask,
    z: Vec<f32>,
    u: Vec<f32>,
}

/// Runs ADMM and returns the records; the executor's weights end near their sets, not on them:
/// the caller projects them. Sets are refitted to W + U before each Z-step where they have something to fit
/// (the interval of levels).
///
/// The W-step's extra gradient is ρ(W − Z + U), restricted to the support; biases get none.
///
/// # Errors
/// When the loss stops being a number.
pub fn solve(
    executor: &mut dyn Executor,
    sets: &mut Sets,
    problem: &Problem<'_>,
    options: &AdmmOptions,
    step: &str,
    phase: Phase,
    tick: &mut dyn FnMut(f64),
) -> Result<Vec<Record>, TrainingError> {
    let mut splits: Vec<Split> = sets
        .list
        .iter()
        .map(|a| {
            let p = &executor.parameters().list[a.parameter];
            Split {
                parameter: a.parameter,
                layer: p.layer.clone(),
                u: vec![0.0; p.values.len()],
                support: support(p),
                z: p.values.clone(),
            }
        })
        .collect();
    refit(sets, &splits);
    for (s, a) in splits.iter_mut().zip(&sets.list) {
        a.set.project(&mut s.z, &s.support);
    }
    let mut records = Vec::new();
    let mut rho = options.rho;
    for iteration in 1..=options.iterations {
        let mut w_step = options.w_step;
        w_step.seed = w_step
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(u64::from(iteration));
        let mut penalty = |parameters: &Parameters, gradients: &mut [Vec<f32>]| {
            for (i, s) in splits.iter().enumerate() {
                let w = &parameters.list[s.parameter].values;
                let g = &mut gradients[s.parameter];
                if let Some(budget) = &mut sets.budget {
                    budget.observe(i, g, &s.support);
                }
                match &parameters.list[s.parameter].support {
                    Some(mask) => mask.ones().for_each(|i| g[i] += rho * (w[i] - s.z[i] + s.u[i])),
                    None => {
                        for (((g, &w), &z), &u) in g.iter_mut().zip(w).zip(&s.z).zip(&s.u) {
                            *g += rho * (w - z + u);
                        }
                    }
                }
            }
        };
        let done = f64::from(iteration - 1) / f64::from(options.iterations);
        let share = 1.0 / f64::from(options.iterations);
        problem.fit(executor, &w_step, &mut penalty, &mut |p| {
            tick(done + share * p.step as f64 / p.steps.max(1) as f64);
        })?;

        let mut rows = Vec::with_capacity(splits.len());
        let before: Vec<Vec<f32>> = splits
            .iter_mut()
            .map(|s| {
                let w = &executor.parameters().list[s.parameter].values;
                let sum = w.iter().zip(&s.u).map(|(w, u)| w + u).collect();
                std::mem::replace(&mut s.z, sum)
            })
            .collect();
        refit(sets, &splits);
        for ((s, a), before) in splits.iter_mut().zip(&sets.list).zip(before) {
            let w = &executor.parameters().list[s.parameter].values;
            a.set.project(&mut s.z, &s.support);
            let (primal, dual) = (norm(w, &s.z), f64::from(rho) * norm(&s.z, &before));
            for ((u, &w), &z) in s.u.iter_mut().zip(w).zip(&s.z) {
                *u += w - z;
            }
            let kept = s.z.iter().filter(|&&v| v != 0.0).count();
            rows.push((s.layer.clone(), a.set.describe(), primal, dual, kept));
        }
        let accuracy = accuracy_at_cut(executor, &sets.list, problem.validation)?;
        records.extend(rows.into_iter().map(|(layer, set, primal, dual, kept)| Record {
            step: step.into(),
            phase,
            iteration,
            layer,
            set,
            rho: f64::from(rho),
            primal,
            dual,
            kept,
            accuracy_at_cut_pct: 100.0 * accuracy,
        }));
        let next = (rho * options.rho_growth).min(options.rho_max);
        for s in &mut splits {
            s.u.iter_mut().for_each(|u| *u *= rho / next);
        }
        rho = next;
    }
    Ok(records)
}

fn refit(sets: &mut Sets, splits: &[Split]) {
    let values: Vec<&[f32]> = splits.iter().map(|s| s.z.as_slice()).collect();
    let supports: Vec<&Mask> = splits.iter().map(|s| &s.support).collect();
    sets.refit(&values, &supports);
}

/// Projects the executor's weights onto their sets.
pub(super) fn project(executor: &mut dyn Executor, assignments: &[Assignment]) {
    for a in assignments {
        let p = &mut executor.parameters_mut().list[a.parameter];
        let mask = support(p);
        a.set.project(&mut p.values, &mask);
    }
}

/// Samples that are run forward together.
const EVALUATED: usize = 256;

pub(super) fn accuracy_at_cut(
    executor: &mut dyn Executor,
    assignments: &[Assignment],
    validation: &Samples,
) -> Result<f64, TrainingError> {
    let saved: Vec<Vec<f32>> = assignments
        .iter()
        .map(|a| executor.parameters().list[a.parameter].values.clone())
        .collect();
    project(executor, assignments);
    let accuracy = evaluate(executor, validation, EVALUATED);
    for (a, values) in assignments.iter().zip(saved) {
        executor.parameters_mut().list[a.parameter].values = values;
    }
    accuracy
}
