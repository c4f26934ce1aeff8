//! The job from a dense network to candidates with their costs.

use super::candidate::Candidate;
use super::choice::choose;
use super::objective::Objective;
use super::preset::{Plan, Preset};
use super::search::kept;
use super::store::{Key, Stage, Store, StoreError, fingerprint};
use crate::admm::{self, Problem, PruneOptions, Record};
use crate::compression::Mask;
use crate::compression::precision::{Levels, Precision};
use crate::compression::structure::Structure;
use crate::hardware::Profile;
use crate::network::{Network, Workload};
use crate::simulate::SimulateError;
use crate::training::data::{DataError, Dataset, Samples};
use crate::training::{FitOptions, Parameters, Role, TrainingError, executor_for, fit, logits, measure};
use std::sync::Arc;

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

/// Hears of progress. Nothing here prints.
pub trait Observer {
    /// A stage begins.
    fn begin(&mut self, stage: &str);
    /// The portion of the stage that is done.
    fn progress(&mut self, done: f64);
    /// Something to tell.
    fn say(&mut self, line: &str);
}

/// Why the job failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodesignError {
    /// Training failed.
    #[error("training failed: {0}")]
    Training(#[from] TrainingError),
    /// A layer cannot be run on a profile.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// A stage could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data cannot be cut as asked.
    #[error(transparent)]
    Samples(#[from] DataError),
    /// The data do not fit the network.
    #[error("the data do not fit the network: {message}")]
    Data {
        /// What differs.
        message: String,
    },
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

/// What the network learns from.
#[derive(Debug)]
pub(super) struct Material {
    train: Samples,
    validation: Samples,
    teacher: Vec<f32>,
}

impl Material {
    pub(super) fn problem(&self) -> Problem<'_> {
        let teacher = (!self.teacher.is_empty()).then_some(self.teacher.as_slice());
        Problem {
            train: &self.train,
            teacher,
            validation: &self.validation,
        }
    }
}

/// The state of a running job.
pub(super) struct Run<'a> {
    pub(super) network: &'a Network,
    pub(super) plan: Plan,
    pub(super) seed: u64,
    pub(super) material: Arc<Material>,
    pub(super) request: &'a Request<'a>,
    observer: &'a mut dyn Observer,
    records: Vec<Record>,
    log: Vec<String>,
}

impl Run<'_> {
    pub(super) fn say(&mut self, line: &str) {
        self.observer.say(line);
        self.log.push(line.into());
    }

    /// The stage of these inputs: found finished, or computed, measured on the validation samples and kept.
    fn stage(
        &mut self,
        name: &str,
        inputs: &[&[u8]],
        like: &Parameters,
        compute: impl FnOnce(
            &Material,
            &mut dyn FnMut(f64),
        ) -> Result<(Parameters, Vec<Levels>, Vec<Record>), TrainingError>,
    ) -> Result<Stage, CodesignError> {
        let seed = self.seed.to_le_bytes();
        let mut parts: Vec<&[u8]> = vec![
            self.request.inputs[0].as_bytes(),
            self.request.inputs[1].as_bytes(),
            &seed,
        ];
        parts.extend(inputs);
        let key = Key::new(name, &parts);
        self.observer.begin(name);
        let stage = if let Some(stage) = self.request.store.load(&key, like) {
            stage
        } else {
            let material = Arc::clone(&self.material);
            let observer = &mut *self.observer;
            let (parameters, levels, records) = compute(&material, &mut |f| observer.progress(f))?;
            let mut executor = executor_for(self.network, parameters)?;
            let measured = measure(&mut *executor, &material.validation, EVALUATED)?;
            let stage = Stage {
                parameters: executor.parameters().clone(),
                validation: measured.accuracy,
                loss: measured.loss,
                levels,
                records,
            };
            self.request.store.save(&key, &stage)?;
            stage
        };
        self.records.extend(stage.records.iter().cloned());
        Ok(stage)
    }

    /// The network with its dropout scaled to what is left to be dropped: by √(kept / all), Han et al., NIPS 2015, §3.2.
    fn lighter(&self, parameters: &Parameters) -> Network {
        let kept: usize = kept(parameters).iter().sum();
        self.network
            .scale_dropout((kept as f32 / self.network.weights().max(1) as f32).sqrt())
    }

    /// Prunes to counts: ADMM, cut, masked retraining.
    pub(super) fn prune(
        &mut self,
        name: &str,
        from: &Stage,
        keep: &[(Structure, usize)],
        options: &PruneOptions,
    ) -> Result<Stage, CodesignError> {
        let network = &self.lighter(&from.parameters);
        let inputs = [bytes(options), bytes(&keep)];
        self.stage(
            name,
            &[&inputs[0], &inputs[1], &fingerprint(&from.parameters)],
            &from.parameters,
            |material, tick| {
                let (parameters, records) = admm::prune(
                    network,
                    from.parameters.clone(),
                    keep,
                    &material.problem(),
                    options,
                    name,
                    tick,
                )?;
                Ok((parameters, Vec::new(), records))
            },
        )
    }

    /// Trains the survivors.
    pub(super) fn train(
        &mut self,
        name: &str,
        from: &Parameters,
        options: &FitOptions,
    ) -> Result<Stage, CodesignError> {
        let network = self.network;
        self.stage(
            name,
            &[&bytes(options), &fingerprint(from)],
            from,
            |material, tick| {
                let mut executor = executor_for(network, from.clone())?;
                let problem = material.problem();
                fit(
                    &mut *executor,
                    problem.train,
                    problem.teacher,
                    options,
                    &mut |_, _| {},
                    &mut |p| tick(p.step as f64 / p.steps.max(1) as f64),
                )?;
                Ok((executor.parameters().clone(), Vec::new(), Vec::new()))
            },
        )
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
        self.train(name, &parameters, &options)
    }

    /// Moves the survivors onto levels.
    pub(super) fn quantise(&mut self, name: &str, from: &Stage, bits: &[u8]) -> Result<Stage, CodesignError> {
        let (network, options) = (&self.lighter(&from.parameters), self.plan.levels.clone());
        let precisions: Vec<Precision> = bits.iter().map(|&bits| Precision::equal_interval(bits)).collect();
        self.stage(
            name,
            &[&bytes(&options), bits, &fingerprint(&from.parameters)],
            &from.parameters,
            |material, tick| {
                let q = admm::quantise(
                    network,
                    from.parameters.clone(),
                    &precisions,
                    &material.problem(),
                    &options,
                    name,
                    tick,
                )?;
                Ok((q.parameters, q.levels, q.records))
            },
        )
    }
}

/// Options as bytes of a stage's key.
fn bytes(options: &impl std::fmt::Debug) -> Vec<u8> {
    format!("{options:?}").into_bytes()
}

/// Samples that are run forward together.
pub(super) const EVALUATED: usize = 256;

/// Runs the job.
///
/// The test set is read once per candidate, after every choice has been made on validation samples.
///
/// # Errors
/// When training fails, a profile cannot run a layer, or stages cannot be kept.
pub fn run(request: &Request<'_>, observer: &mut dyn Observer) -> Result<Outcome, CodesignError> {
    let network = &request.workload.network;
    check(network, request.data)?;
    let all = request.data.train.len();
    let held_out = request.workload.data.as_ref().map_or(0, |d| d.validation);
    let held_out = if held_out == 0 { all / 10 } else { held_out };
    let (train, validation) = request.data.train.split(all.saturating_sub(held_out), held_out)?;
    let plan = request.preset.plan(request.seed);
    let mut run = Run {
        network,
        seed: request.seed,
        material: Arc::new(Material {
            train,
            validation,
            teacher: Vec::new(),
        }),
        request,
        observer,
        records: Vec::new(),
        log: Vec::new(),
        plan,
    };
    let dense = baseline(&mut run)?;
    run.say(&format!("dense: validation {:.2} %", 100.0 * dense.validation));
    // half of the allowed loss stays in hand: a few thousand validation samples tell accuracies apart to about 0.1 points
    let floor = dense.validation - 0.5 * request.max_drop / 100.0;
    teach(&mut run, &dense)?;
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
    Ok(Outcome {
        candidates,
        records: run.records,
        log: run.log,
    })
}

fn check(network: &Network, data: &Dataset) -> Result<(), CodesignError> {
    let input = &network.layer(network.input()).output;
    let classes = network.layer(network.output()).output.elements();
    let fail = |message: String| Err(CodesignError::Data { message });
    if input.elements() != data.train.shape.iter().product::<usize>() {
        return fail(format!(
            "samples have shape {:?}, the network's input is {input}",
            data.train.shape
        ));
    }
    let top = data
        .train
        .labels
        .iter()
        .chain(&data.test.labels)
        .max()
        .copied()
        .unwrap_or(0) as usize;
    if top >= classes {
        return fail(format!("labels reach {top}, the network has {classes} outputs"));
    }
    Ok(())
}

fn baseline(run: &mut Run<'_>) -> Result<Stage, CodesignError> {
    let spec = run
        .request
        .workload
        .training
        .as_ref()
        .ok_or_else(|| CodesignError::Data {
            message: "the workload says nothing of training; add a [training] table".into(),
        })?;
    let options = FitOptions::of(spec, run.plan.baseline, run.seed);
    let init = Parameters::init(run.network, run.seed);
    run.train("dense", &init, &options)
}

/// The dense network's logits on the training samples teach every later stage.
fn teach(run: &mut Run<'_>, dense: &Stage) -> Result<(), CodesignError> {
    let mut executor = executor_for(run.network, dense.parameters.clone())?;
    let train = &run.material.train;
    let teacher = logits(&mut *executor, train, EVALUATED)?;
    run.material = Arc::new(Material {
        train: train.clone(),
        validation: run.material.validation.clone(),
        teacher,
    });
    Ok(())
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
    let cut = run.prune("first-cut", dense, &keep, &options)?;
    let settle = run.plan.settle;
    let trunk = run.train("settle", &cut.parameters, &settle)?;
    run.say(&format!(
        "first cut: {} weights {counts:?}, validation {:.2} %",
        counts.iter().sum::<usize>(),
        100.0 * trunk.validation
    ));
    Ok(trunk)
}
