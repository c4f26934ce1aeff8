//! The job from a dense network to candidates with their costs.

use super::candidate::Candidate;
use super::choice::choose;
use super::objective::Objective;
use super::preset::{Plan, Preset};
use crate::admm::Record;
use crate::compression::Mask;
use crate::compression::structure::Structure;
use crate::hardware::Profile;
use crate::network::Workload;
use crate::procedure::{Job, JobError, Observer, Source, Stage, Store};
use crate::simulate::SimulateError;
use crate::training::data::{DataError, Dataset};
use crate::training::{Role, TrainingError};

/// What the job is asked.
#[derive(Debug)]
pub struct Request<'a> {
    /// The network and how its dense form is trained.
    pub workload: &'a Workload,
    /// Its data.
    pub data: &'a Dataset,
    /// The SHA-256 of the workload file and of the data.
    pub inputs: [&'a str; 2],
    /// The accelerators; targets are chosen for the sum of their costs, each relative to dense.
    pub profiles: &'a [Profile],
    /// What is minimised.
    pub objective: Objective,
    /// Effort.
    pub preset: Preset,
    /// Percentage points of validation accuracy that may be lost against the dense network.
    pub max_drop: f64,
    /// Training samples, the first ones, on which the zeros among each candidate's activations are counted, for its
    /// costs; without it they are those of the workload. Targets are searched for with the workload's either way.
    pub measured_samples: Option<usize>,
    /// Seed of everything random.
    pub seed: u64,
    /// Finished stages.
    pub store: &'a Store,
}

/// Why the job failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodesignError {
    /// Training or its data failed.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A layer cannot be run on a profile.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
}

impl From<DataError> for CodesignError {
    fn from(error: DataError) -> Self {
        Self::Job(error.into())
    }
}

impl From<TrainingError> for CodesignError {
    fn from(error: TrainingError) -> Self {
        Self::Job(error.into())
    }
}

/// The candidates: dense, chosen for size, chosen for the objective.
#[derive(Debug)]
pub struct Outcome {
    /// Dense first.
    pub candidates: Vec<Candidate>,
    /// All ADMM records in order.
    pub records: Vec<Record>,
    /// What was decided, line by line.
    pub log: Vec<String>,
}

/// The state of a running job.
pub(super) struct Run<'a> {
    pub(super) job: Job<'a>,
    pub(super) plan: Plan,
    pub(super) request: &'a Request<'a>,
}

impl Run<'_> {
    pub(super) fn say(&mut self, line: &str) {
        self.job.say(line);
    }

    /// Gives whole layers all their weights back (pruned ones start at zero) and trains on.
    pub(super) fn restore(
        &mut self,
        name: &str,
        from: &Stage,
        whole: &[bool],
    ) -> Result<Stage, CodesignError> {
        let mut parameters = from.parameters.clone();
        for (p, _) in parameters
            .list
            .iter_mut()
            .filter(|p| p.role == Role::Weight)
            .zip(whole)
            .filter(|(_, w)| **w)
        {
            let (rows, cols) = p.matrix();
            p.support = Some(Mask::full(rows, cols));
        }
        let options = self.plan.settle;
        Ok(self.job.train(name, &parameters, &options)?)
    }
}

/// Runs the job.
///
/// The test set is read once per candidate, after every choice has been made on validation samples.
///
/// # Errors
/// When training fails, a profile cannot run a layer, or stages cannot be kept.
pub fn run(request: &Request<'_>, observer: &mut dyn Observer) -> Result<Outcome, CodesignError> {
    let source = Source {
        workload: request.workload,
        data: request.data,
        inputs: request.inputs,
        seed: request.seed,
        store: request.store,
        robust: None,
    };
    let plan = request.preset.plan(request.seed);
    let mut run = Run {
        job: Job::new(source, observer)?,
        request,
        plan,
    };
    let dense = run.job.dense(run.plan.baseline)?;
    run.say(&format!("dense: validation {:.2} %", 100.0 * dense.validation));
    // half of the allowed loss stays in hand: a few thousand validation samples tell accuracies apart to about 0.1 points
    let floor = dense.validation - 0.5 * request.max_drop / 100.0;
    run.job.teach(&dense)?;
    let trunk = first_cut(&mut run, &dense)?;

    let size = choose(&mut run, &trunk, Objective::Size, floor, None)?;
    let other = if request.objective == Objective::Size {
        None
    } else {
        Some(choose(&mut run, &trunk, request.objective, floor, Some(&size))?)
    };
    let mut chosen = vec![(String::from("dense"), request.objective, dense, Vec::new())];
    chosen.push((
        Objective::Size.to_string(),
        Objective::Size,
        size.stage,
        size.bits,
    ));
    if let Some(other) = other {
        chosen.push((
            request.objective.to_string(),
            request.objective,
            other.stage,
            other.bits,
        ));
    }
    let candidates = chosen
        .into_iter()
        .map(|(name, objective, stage, bits)| Candidate::measure(request, name, objective, stage, &bits))
        .collect::<Result<_, CodesignError>>()?;
    let (records, log) = run.job.into_records();
    Ok(Outcome {
        candidates,
        records,
        log,
    })
}

/// Counts of the first cut: the workload's prior densities, or without them shares that grow with the square root
/// of a layer's weights, as published counts do (ECCV 2018, Table 2: 100, 2000, 3600 and 350 of 500, 25 000, 400 000
/// and 5000).
fn first_counts(workload: &Workload, portion: f64) -> Vec<usize> {
    let total = portion * workload.network.weights() as f64;
    let roots: f64 = workload
        .network
        .weighted()
        .map(|l| (l.weights() as f64).sqrt())
        .sum();
    let count = |l: &crate::network::Layer| match &workload.prior {
        Some(prior) => prior.density.get(&l.name).copied().unwrap_or(1.0) * l.weights() as f64,
        None => total * (l.weights() as f64).sqrt() / roots,
    };
    workload
        .network
        .weighted()
        .map(|l| (count(l).round() as usize).clamp(1, l.weights()))
        .collect()
}

fn first_cut(run: &mut Run<'_>, dense: &Stage) -> Result<Stage, CodesignError> {
    let counts = first_counts(run.request.workload, run.plan.first_cut);
    let keep: Vec<(Structure, usize)> = counts.iter().map(|&k| (Structure::Unstructured, k)).collect();
    let options = run.plan.trunk.clone();
    let cut = run.job.prune("first-cut", dense, &keep, &options)?;
    let settle = run.plan.settle;
    let trunk = run.job.train("settle", &cut.parameters, &settle)?;
    run.say(&format!(
        "first cut: {} weights {counts:?}, validation {:.2} %",
        counts.iter().sum::<usize>(),
        100.0 * trunk.validation
    ));
    Ok(trunk)
}
