//! A running job: its data, its seed, its finished stages, and what it tells on the way.

use super::store::{Key, Stage, Store, StoreError, fingerprint};
use crate::admm::{self, DynamicOptions, Problem, PruneOptions, QuantiseOptions, Record, ReweightOptions};
use crate::artefact::ArtefactError;
use crate::compression::Mask;
use crate::compression::precision::{Levels, Precision};
use crate::compression::structure::Structure;
use crate::network::{Network, Workload};
use crate::training::data::{DataError, Dataset, Samples};
use crate::training::robust::{DomainPeriod, MinMax, Pixels, RobustAccuracy, Robustness};
use crate::training::surgery::{self, SurgeryError};
use crate::training::{
    Executor, FitOptions, Gradient, Parameters, Plain, TrainingError, executor_for, fit_for, logits,
};
use std::sync::Arc;

/// Hears of progress. Nothing here prints.
pub trait Observer {
    /// A stage begins.
    fn begin(&mut self, stage: &str);
    /// The portion of the stage that is done.
    fn progress(&mut self, done: f64);
    /// Something to tell.
    fn say(&mut self, line: &str);
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// Training failed.
    #[error("training failed: {0}")]
    Training(#[from] TrainingError),
    /// A stage could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A network could not be written as an artefact.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// Units could not be taken out of a network.
    #[error(transparent)]
    Surgery(#[from] SurgeryError),
    /// The data cannot be cut as asked.
    #[error(transparent)]
    Samples(#[from] DataError),
    /// The data do not fit the network, or the workload says nothing of training.
    #[error("{message}")]
    Data {
        /// What differs.
        message: String,
    },
}

/// What the network learns from.
#[derive(Debug)]
pub(crate) struct Material {
    train: Samples,
    validation: Samples,
    teacher: Vec<f32>,
    /// What is trained against, if anything is.
    min_max: Option<Arc<MinMax>>,
}

impl Material {
    pub(crate) fn problem(&self) -> Problem<'_> {
        let teacher = (!self.teacher.is_empty()).then_some(self.teacher.as_slice());
        Problem {
            train: &self.train,
            teacher,
            validation: &self.validation,
            aim: match &self.min_max {
                Some(min_max) => &**min_max,
                None => &Plain,
            },
        }
    }
}

/// Samples that are run forward together.
pub(crate) const EVALUATED: usize = 256;

/// Where a job's inputs come from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The network and how its dense form is trained.
    pub workload: &'a Workload,
    /// Its data.
    pub data: &'a Dataset,
    /// The SHA-256 of the workload file and of the data.
    pub inputs: [&'a str; 2],
    /// Seed of everything random.
    pub seed: u64,
    /// Finished stages.
    pub store: &'a Store,
    /// What every stage is trained against, and chosen by: the accuracy of the worst domain.
    pub robust: Option<Robust<'a>>,
}

/// Attacks and changes of the samples that a job trains against.
#[derive(Debug, Clone, Copy)]
pub struct Robust<'a> {
    /// The domains.
    pub robustness: &'a Robustness,
    /// How the samples were made of pixels.
    pub pixels: &'a Pixels,
    /// The SHA-256 of the file.
    pub sha256: &'a str,
}

/// The state of a running job.
pub(crate) struct Job<'a> {
    /// The network that the next stage works on.
    pub(crate) network: Arc<Network>,
    pub(crate) source: Source<'a>,
    pub(crate) material: Arc<Material>,
    /// Whether what is pruned is purified: weights that no output depends on leave too.
    pub(crate) purifies: bool,
    observer: &'a mut dyn Observer,
    records: Vec<Record>,
    domains: Vec<(String, Vec<DomainPeriod>)>,
    log: Vec<String>,
}

impl<'a> Job<'a> {
    /// A job on the workload's data: the last samples of the training set validate, as many as the workload says, or a
    /// tenth of them.
    pub(crate) fn new(source: Source<'a>, observer: &'a mut dyn Observer) -> Result<Self, JobError> {
        let network = Arc::new(source.workload.network.clone());
        check(&network, source.data)?;
        let all = source.data.train.len();
        let held_out = source.workload.data.as_ref().map_or(0, |d| d.validation);
        let held_out = if held_out == 0 { all / 10 } else { held_out };
        let (train, validation) = source.data.train.split(all.saturating_sub(held_out), held_out)?;
        Ok(Self {
            network,
            source,
            material: Arc::new(Material {
                min_max: source.robust.map(|r| {
                    let shape = &train.shape;
                    Arc::new(MinMax::new(r.robustness, r.pixels.clone(), shape, source.seed))
                }),
                train,
                validation,
                teacher: Vec::new(),
            }),
            purifies: false,
            observer,
            records: Vec::new(),
            domains: Vec::new(),
            log: Vec::new(),
        })
    }

    /// The job on another network: what follows trains that one.
    pub(crate) fn on(&mut self, network: &Arc<Network>) -> &mut Self {
        self.network = Arc::clone(network);
        self
    }

    /// A network in every domain on the test samples, where the job trains against attacks.
    pub(crate) fn robust_test(
        &self,
        executor: &mut dyn Executor,
    ) -> Result<Option<RobustAccuracy>, TrainingError> {
        let min_max = self.material.min_max.as_ref();
        min_max
            .map(|m| m.test(executor, &self.source.data.test, EVALUATED))
            .transpose()
    }

    /// The domains after each stage that was run or found.
    pub(crate) fn domains(&self) -> &[(String, Vec<DomainPeriod>)] {
        &self.domains
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.observer.say(line);
        self.log.push(line.into());
    }

    /// The records of all stages and what was said.
    pub(crate) fn into_records(self) -> (Vec<Record>, Vec<String>) {
        (self.records, self.log)
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
        ) -> Result<(Parameters, Vec<Levels>, Vec<Record>), JobError>,
    ) -> Result<Stage, JobError> {
        let seed = self.source.seed.to_le_bytes();
        let mut parts: Vec<&[u8]> = vec![
            self.source.inputs[0].as_bytes(),
            self.source.inputs[1].as_bytes(),
            &seed,
        ];
        parts.extend(inputs);
        if let Some(robust) = self.source.robust {
            parts.push(robust.sha256.as_bytes());
        }
        let key = Key::new(name, &parts);
        self.observer.begin(name);
        let stage = if let Some(stage) = self.source.store.load(&key, like) {
            stage
        } else {
            let material = Arc::clone(&self.material);
            let observer = &mut *self.observer;
            if let Some(min_max) = &material.min_max {
                min_max.reset();
            }
            let (parameters, levels, records) = compute(&material, &mut |f| observer.progress(f))?;
            let mut executor = executor_for(&self.network, parameters)?;
            let aim = material.problem().aim;
            let measured = aim.measure(&mut *executor, &material.validation, EVALUATED)?;
            let stage = Stage {
                parameters: executor.parameters().clone(),
                validation: measured.accuracy,
                loss: measured.loss,
                levels,
                records,
                domains: material
                    .min_max
                    .as_ref()
                    .map_or_else(Vec::new, |m| m.end_period()),
            };
            self.source.store.save(&key, &stage)?;
            stage
        };
        self.records.extend(stage.records.iter().cloned());
        if !stage.domains.is_empty() {
            self.domains.push((name.into(), stage.domains.clone()));
        }
        Ok(stage)
    }

    /// The network with its dropout scaled to what is left to be dropped: by √(kept / all), Han et al., NIPS 2015, §3.2.
    fn lighter(&self, parameters: &Parameters) -> Network {
        let kept: usize = kept(parameters).iter().sum();
        self.network
            .scale_dropout((kept as f32 / self.network.weights().max(1) as f32).sqrt())
    }

    /// The dense network as the workload trains it, its epochs times a factor.
    pub(crate) fn dense(&mut self, effort: f64) -> Result<Stage, JobError> {
        let spec = self
            .source
            .workload
            .training
            .as_ref()
            .ok_or_else(|| JobError::Data {
                message: "the workload says nothing of training; add a [training] table".into(),
            })?;
        let options = FitOptions::of(spec, effort, self.source.seed.wrapping_add(spec.seed));
        let init = Parameters::init(&self.network, self.source.seed);
        self.train("dense", &init, &options)
    }

    /// From here on a network's logits on the training samples teach every stage.
    pub(crate) fn teach(&mut self, by: &Stage) -> Result<(), JobError> {
        let mut executor = executor_for(&self.network, by.parameters.clone())?;
        let train = &self.material.train;
        let teacher = logits(&mut *executor, train, EVALUATED)?;
        self.material = Arc::new(Material {
            train: train.clone(),
            validation: self.material.validation.clone(),
            teacher,
            min_max: self.material.min_max.clone(),
        });
        Ok(())
    }

    /// Prunes to counts: ADMM, cut, masked retraining.
    pub(crate) fn prune(
        &mut self,
        name: &str,
        from: &Stage,
        keep: &[(Structure, usize)],
        options: &PruneOptions,
    ) -> Result<Stage, JobError> {
        let inputs = [bytes(options), bytes(&keep)];
        self.pruned(name, from, &inputs, |network, problem, tick| {
            let from = from.parameters.clone();
            admm::prune(network, from, keep, problem, options, name, tick)
        })
    }

    /// Prunes to a number of weights over all layers, shared out by saliency: ADMM, cut, masked retraining.
    pub(crate) fn prune_shared(
        &mut self,
        name: &str,
        from: &Stage,
        structure: Structure,
        keep: usize,
        batches: usize,
        options: &PruneOptions,
    ) -> Result<Stage, JobError> {
        let inputs = [bytes(options), bytes(&(structure, keep, batches))];
        self.pruned(name, from, &inputs, |network, problem, tick| {
            let from = from.parameters.clone();
            admm::prune_shared(
                network, from, structure, keep, batches, problem, options, name, tick,
            )
        })
    }

    /// Prunes by a reweighted penalty, cut, masked retraining.
    pub(crate) fn reweight(
        &mut self,
        name: &str,
        from: &Stage,
        structures: &[Option<Structure>],
        options: &ReweightOptions,
    ) -> Result<Stage, JobError> {
        let inputs = [bytes(options), bytes(&structures)];
        self.pruned(name, from, &inputs, |network, problem, tick| {
            let from = from.parameters.clone();
            admm::reweight(network, from, structures, problem, options, name, tick)
        })
    }

    /// Prunes by a penalty that rises on what exceeds a budget: its weights, and the mini-batches on which saliency is
    /// measured first; cut, masked retraining.
    pub(crate) fn dynamic(
        &mut self,
        name: &str,
        from: &Stage,
        structures: &[Option<Structure>],
        budget: (usize, usize),
        options: &DynamicOptions,
    ) -> Result<Stage, JobError> {
        let inputs = [bytes(options), bytes(&structures), bytes(&budget)];
        let (keep, batches) = budget;
        self.pruned(name, from, &inputs, |network, problem, tick| {
            let from = from.parameters.clone();
            admm::dynamic(
                network, from, structures, keep, batches, problem, options, name, tick,
            )
        })
    }

    /// The stage of a pruning, whatever its kind.
    fn pruned(
        &mut self,
        name: &str,
        from: &Stage,
        inputs: &[Vec<u8>],
        prune: impl FnOnce(
            &Network,
            &Problem<'_>,
            &mut dyn FnMut(f64),
        ) -> Result<(Parameters, Vec<Record>), TrainingError>,
    ) -> Result<Stage, JobError> {
        let network = self.lighter(&from.parameters);
        let purifies = self.purifies;
        let fingerprint = fingerprint(&from.parameters);
        let mut parts: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        parts.push(&fingerprint);
        if purifies {
            parts.push(b"purified");
        }
        self.stage(name, &parts, &from.parameters, |material, tick| {
            let (mut parameters, records) = prune(&network, &material.problem(), tick)?;
            if purifies {
                parameters = surgery::purify(&network, &parameters)?.parameters;
            }
            Ok((parameters, Vec::new(), records))
        })
    }

    /// The network without its dead units, and its parameters. Biases, gains and shifts go along with dead filters.
    pub(crate) fn shrink(&self, parameters: &Parameters) -> Result<(Network, Parameters), JobError> {
        let (silent, _) = surgery::silence(&self.network, parameters)?;
        let smaller = surgery::shrink(&self.network, &silent)?;
        Ok((smaller.network, smaller.parameters))
    }

    /// Trains the survivors.
    pub(crate) fn train(
        &mut self,
        name: &str,
        from: &Parameters,
        options: &FitOptions,
    ) -> Result<Stage, JobError> {
        let network = Arc::clone(&self.network);
        self.stage(
            name,
            &[&bytes(options), &fingerprint(from)],
            from,
            |material, tick| {
                let mut executor = executor_for(&network, from.clone())?;
                let problem = material.problem();
                fit_for(
                    problem.aim,
                    &mut *executor,
                    problem.train,
                    problem.teacher,
                    options,
                    &mut Gradient(&mut |_, _| {}),
                    &mut |p| tick(p.step as f64 / p.steps.max(1) as f64),
                )?;
                Ok((executor.parameters().clone(), Vec::new(), Vec::new()))
            },
        )
    }

    /// Moves the survivors onto levels.
    pub(crate) fn quantise(
        &mut self,
        name: &str,
        from: &Stage,
        precisions: &[Precision],
        options: &QuantiseOptions,
    ) -> Result<Stage, JobError> {
        let network = &self.lighter(&from.parameters);
        self.stage(
            name,
            &[
                &bytes(options),
                &bytes(&precisions),
                &fingerprint(&from.parameters),
            ],
            &from.parameters,
            |material, tick| {
                let q = admm::quantise(
                    network,
                    from.parameters.clone(),
                    precisions,
                    &material.problem(),
                    options,
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

/// Non-zeros of each weight parameter.
pub(crate) fn kept(parameters: &Parameters) -> Vec<usize> {
    parameters
        .weights()
        .map(|p| p.support.as_ref().map_or(p.values.len(), Mask::count))
        .collect()
}

fn check(network: &Network, data: &Dataset) -> Result<(), JobError> {
    let input = &network.layer(network.input()).output;
    let classes = network.layer(network.output()).output.elements();
    let fail = |message: String| Err(JobError::Data { message });
    if input.elements() != data.train.shape.iter().product::<usize>() {
        return fail(format!(
            "the data do not fit the network: samples have shape {:?}, the network's input is {input}",
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
        return fail(format!(
            "the data do not fit the network: labels reach {top}, the network has {classes} outputs"
        ));
    }
    Ok(())
}
