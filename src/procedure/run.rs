//! Runs a procedure: its steps in order, the choices on validation samples, the test set once at the end.

use super::form::Procedure;
use super::job::{EVALUATED, Job, JobError, Observer, Source, kept};
use super::store::Stage;
use crate::admm::Record;
use crate::artefact::{self, Artefact, Scalars};
use crate::compression::Mask;
use crate::compression::precision::{Precision, Scale};
use crate::compression::structure::Structure;
use crate::network::Network;
use crate::training::robust::{DomainPeriod, RobustAccuracy};
use crate::training::surgery;
use crate::training::{
    FitOptions, Parameters, Role, TrainingError, activation_levels, evaluate, executor_for, measure_on_levels,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A network with its parameters.
#[derive(Debug, Clone)]
pub struct Point {
    /// The network: the workload's, or what surgery left of it.
    pub network: Arc<Network>,
    /// Its parameters and how good it is.
    pub stage: Stage,
}

impl Point {
    /// The same network with other parameters.
    pub(super) fn with(&self, stage: Stage) -> Self {
        Self {
            network: Arc::clone(&self.network),
            stage,
        }
    }
}

/// One network on the way.
#[derive(Debug, Clone)]
pub struct Node {
    /// The step and the number of weights, as `cut-1740`.
    pub name: String,
    /// What came out.
    pub point: Point,
    /// The precision of each weight parameter; empty for float32.
    pub precisions: Vec<Precision>,
    /// Whether validation accuracy holds what the procedure asks.
    pub holds: bool,
}

impl Node {
    /// Non-zero weights.
    #[must_use]
    pub fn weights(&self) -> usize {
        kept(&self.point.stage.parameters).iter().sum()
    }

    /// Bits of all weights without indices: 32 a weight, or their levels'.
    #[must_use]
    pub fn data_bits(&self) -> u64 {
        let counts = kept(&self.point.stage.parameters);
        let width = |i: usize| self.precisions.get(i).map_or(32, |p| u64::from(p.bits()));
        counts.iter().enumerate().map(|(i, &k)| k as u64 * width(i)).sum()
    }
}

/// A network that was chosen.
#[derive(Debug)]
pub struct Chosen {
    /// `dense`, `pruned` or `levels`.
    pub name: String,
    /// The network.
    pub node: Node,
    /// The network as a file; its parameters are those of the file, biases rounded to a few bits. Without it the network is
    /// the dense one.
    pub artefact: Option<Artefact>,
    /// Accuracy on the test samples of what the file holds, 0 to 1, read once after all choices.
    pub test: f64,
    /// The same in every domain, where the job trains against attacks.
    pub robust: Option<RobustAccuracy>,
    /// The same with activations on levels, if the procedure asks for it.
    pub activations: Option<OnLevels>,
}

/// A network whose layers read activations on levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OnLevels {
    /// Bits of an activation.
    pub bits: u8,
    /// Validation accuracy, 0 to 1.
    pub validation: f64,
    /// Test accuracy, 0 to 1.
    pub test: f64,
}

/// What a procedure came to.
#[derive(Debug)]
pub struct Outcome {
    /// Dense first, then the pruned network and the one on levels, as far as the procedure goes.
    pub chosen: Vec<Chosen>,
    /// Every network on the way, in order.
    pub path: Vec<Node>,
    /// All ADMM records in order.
    pub records: Vec<Record>,
    /// The domains after each stage, where the job trains against attacks.
    pub domains: Vec<(String, Vec<DomainPeriod>)>,
    /// What was decided, line by line.
    pub log: Vec<String>,
    /// The step at which training diverged, if it did: this and what follows it was not run, and the choice is among the
    /// networks before.
    pub diverged: Option<String>,
}

/// A procedure under way.
pub(super) struct Run<'a, 'b> {
    pub(super) job: Job<'a>,
    procedure: &'b Procedure,
    dense: Point,
    pub(super) path: Vec<Node>,
    /// Retraining of the last pruning step, for the reference by magnitude.
    last: Option<FitOptions>,
    /// Where each pruned layer's zeros may stand, by its name.
    structures: BTreeMap<String, Structure>,
    diverged: Option<String>,
}

/// Runs a procedure.
///
/// # Errors
/// When dense training fails, the data do not fit, stages cannot be kept, or a step names layers that the network lacks.
pub fn run(
    source: Source<'_>,
    procedure: &Procedure,
    observer: &mut dyn Observer,
) -> Result<Outcome, JobError> {
    let mut job = Job::new(source, observer)?;
    job.purifies = true;
    let dense = job.dense(procedure.dense_effort)?;
    job.say(&format!("dense: validation {:.2} %", 100.0 * dense.validation));
    job.teach(&dense)?;
    let dense = Point {
        network: Arc::clone(&job.network),
        stage: dense,
    };
    let mut run = Run {
        job,
        procedure,
        dense,
        path: Vec::new(),
        last: None,
        structures: BTreeMap::new(),
        diverged: None,
    };
    for step in &procedure.step {
        match step.run(&mut run) {
            Err(JobError::Training(error @ TrainingError::NotFinite { .. })) => {
                run.job.say(&format!(
                    "{}: {error}; the networks before it are what is chosen from",
                    step.name()
                ));
                run.diverged = Some(step.name().into());
                break;
            }
            done => done?,
        }
    }
    run.finish()
}

impl Run<'_, '_> {
    /// The accuracy that a network must hold on validation samples.
    fn floor(&self, levels: bool) -> f64 {
        let drop = match self.procedure.levels_max_drop {
            Some(drop) if levels => drop,
            _ => self.procedure.max_drop,
        };
        self.dense.stage.validation - drop / 100.0
    }

    /// What the reference by magnitude shall be like: training as in this step, zeros where this step lets them stand,
    /// one word for each layer with weights of the job's network; `None` where the step leaves a layer alone.
    pub(super) fn refer(&mut self, training: FitOptions, structures: &[Option<Structure>]) {
        self.last = Some(training);
        for (layer, structure) in self.job.network.weighted().zip(structures) {
            if let Some(structure) = structure {
                self.structures.insert(layer.name.clone(), *structure);
            }
        }
    }

    /// Adds a network to the path.
    pub(super) fn push(&mut self, name: String, point: Point, precisions: Vec<Precision>) {
        let stage = &point.stage;
        let holds = stage.validation >= self.floor(!precisions.is_empty());
        let counts = kept(&stage.parameters);
        self.job.say(&format!(
            "{name}: {} weights {counts:?}{}, validation {:.2} % (loss {:.4}){}",
            counts.iter().sum::<usize>(),
            if precisions.is_empty() {
                String::new()
            } else {
                let bits: Vec<u32> = precisions.iter().map(|p| p.bits()).collect();
                format!(" of {bits:?} bits")
            },
            100.0 * stage.validation,
            stage.loss,
            if holds { " holds" } else { "" },
        ));
        self.path.push(Node {
            name,
            point,
            precisions,
            holds,
        });
    }

    /// The last networks that are not on levels, the latest first; the dense one if there is none.
    pub(super) fn starts(&self, look_back: usize) -> Vec<Point> {
        let pruned = self.path.iter().rev().filter(|n| n.precisions.is_empty());
        let mut starts: Vec<Point> = pruned.take(look_back).map(|n| n.point.clone()).collect();
        if starts.is_empty() {
            starts.push(self.dense.clone());
        }
        starts
    }

    /// The smallest network on float32, or on levels, that holds; the most accurate where none does.
    fn choose(&mut self, levels: bool) -> Option<Node> {
        let of_kind: Vec<&Node> = self
            .path
            .iter()
            .filter(|n| n.precisions.is_empty() != levels)
            .collect();
        let smallest = of_kind
            .iter()
            .filter(|n| n.holds)
            .min_by_key(|n| (n.data_bits(), n.point.network.macs()));
        if let Some(node) = smallest {
            return Some((*node).clone());
        }
        let best = of_kind
            .into_iter()
            .max_by(|a, b| a.point.stage.validation.total_cmp(&b.point.stage.validation))?
            .clone();
        self.job.say(&format!(
            "none of the networks {} holds {:.2} %; {} with {:.2} % is the best",
            if levels { "on levels" } else { "pruned" },
            100.0 * self.floor(levels),
            best.name,
            100.0 * best.point.stage.validation
        ));
        Some(best)
    }

    /// The same counts by magnitude on the dense network, in each layer's structure, trained as long as the last step:
    /// what the procedure must beat.
    fn reference(&mut self, chosen: &Node) -> Result<Option<Node>, JobError> {
        let Some(options) = self.last else {
            return Ok(None);
        };
        if chosen.point.network.weights() != self.dense.network.weights() {
            return Ok(None); // no mask of the dense network computes as little as a smaller one
        }
        let mut parameters = self.dense.stage.parameters.clone();
        let targets = chosen
            .point
            .stage
            .parameters
            .weights()
            .map(|p| p.support.as_ref().map_or(p.values.len(), Mask::count));
        let targets: Vec<usize> = targets.collect();
        let weights = parameters.list.iter_mut().filter(|p| p.role == Role::Weight);
        for (p, keep) in weights.zip(targets) {
            let (rows, cols) = p.matrix();
            let structure = self.structures.get(&p.layer).copied();
            let set = structure
                .unwrap_or(Structure::Unstructured)
                .set(p.tensor_shape(), keep);
            let left = set.survivors(&p.values, &Mask::full(rows, cols));
            left.apply(&mut p.values);
            p.support = Some(left);
        }
        let network = &self.dense.network;
        let stage = self.job.on(network).train("magnitude", &parameters, &options)?;
        let holds = stage.validation >= self.floor(false);
        self.job.say(&format!(
            "magnitude and training at the same counts: validation {:.2} % against {:.2} % of {}",
            100.0 * stage.validation,
            100.0 * chosen.point.stage.validation,
            chosen.name
        ));
        Ok(Some(Node {
            name: "magnitude".into(),
            point: self.dense.with(stage),
            precisions: Vec::new(),
            holds,
        }))
    }

    fn finish(mut self) -> Result<Outcome, JobError> {
        let mut chosen = vec![(
            "dense",
            Node {
                name: "dense".into(),
                point: self.dense.clone(),
                precisions: Vec::new(),
                holds: true,
            },
        )];
        if let Some(pruned) = self.choose(false) {
            let reference = self.reference(&pruned)?;
            let pruned = match reference {
                Some(reference) if better(&reference.point.stage, &pruned.point.stage) => {
                    self.job.say("magnitude and training are better: taken");
                    reference
                }
                _ => pruned,
            };
            chosen.push(("pruned", pruned));
        }
        if let Some(levels) = self.choose(true) {
            chosen.push(("levels", levels));
        }
        let chosen = chosen
            .into_iter()
            .map(|(name, node)| self.chosen(name, node))
            .collect::<Result<_, JobError>>()?;
        let domains = self.job.domains().to_vec();
        let (records, log) = self.job.into_records();
        Ok(Outcome {
            chosen,
            path: self.path,
            records,
            domains,
            log,
            diverged: self.diverged,
        })
    }

    /// A network that was chosen: its file, and the test samples on what the file holds.
    fn chosen(&mut self, name: &str, mut node: Node) -> Result<Chosen, JobError> {
        let artefact = if name == "dense" {
            None
        } else {
            arrange(&mut node.point)?;
            Some(self.file(&node)?)
        };
        let stage = &node.point.stage;
        let parameters = artefact.as_ref().map_or(&stage.parameters, |a| &a.parameters);
        let mut executor = executor_for(&node.point.network, parameters.clone())?;
        let test = evaluate(&mut *executor, &self.job.source.data.test, EVALUATED)?;
        let robust = self.job.robust_test(&mut *executor)?;
        let activations = self.activations(&node, parameters)?;
        Ok(Chosen {
            name: name.into(),
            node,
            artefact,
            test,
            robust,
            activations,
        })
    }

    /// The fewest bits of activations that hold what the network holds on validation samples, the most if none do.
    fn activations(&mut self, node: &Node, parameters: &Parameters) -> Result<Option<OnLevels>, JobError> {
        let network = &node.point.network;
        let floor = self
            .floor(!node.precisions.is_empty())
            .min(node.point.stage.validation);
        let mut tried = self.procedure.activation_bits.clone();
        tried.sort_unstable();
        let material = Arc::clone(&self.job.material);
        let problem = material.problem();
        let calibration = problem.train.split(CALIBRATION.min(problem.train.len()), 0)?.0;
        for (i, &bits) in tried.iter().enumerate() {
            let levels = activation_levels(network, parameters, &calibration, bits)?;
            let validation = measure_on_levels(network, parameters, problem.validation, &levels)?.accuracy;
            self.job.say(&format!(
                "{}: activations of {bits} bits, validation {:.2} %",
                node.name,
                100.0 * validation
            ));
            if validation >= floor || i + 1 == tried.len() {
                let test = measure_on_levels(network, parameters, &self.job.source.data.test, &levels)?;
                return Ok(Some(OnLevels {
                    bits,
                    validation,
                    test: test.accuracy,
                }));
            }
        }
        Ok(None)
    }

    /// The smallest file of a network: biases take the fewest bits that hold what the network holds on validation
    /// samples, [`MOST_BIAS_BITS`] if none do.
    fn file(&mut self, node: &Node) -> Result<Artefact, JobError> {
        let Node { point, .. } = node;
        let name = &self.job.source.workload.name;
        let floor = self
            .floor(!node.precisions.is_empty())
            .min(point.stage.validation);
        let material = Arc::clone(&self.job.material);
        let mut bits = LEAST_BIAS_BITS;
        loop {
            let options = artefact::Options {
                biases: Scalars::Bits(bits),
                ..artefact::Options::default()
            };
            let (parameters, levels) = (&point.stage.parameters, &point.stage.levels);
            let file = artefact::write(&point.network, name, parameters, levels, options)?;
            let mut executor = executor_for(&point.network, file.parameters.clone())?;
            let problem = material.problem();
            let measured = problem
                .aim
                .measure(&mut *executor, problem.validation, EVALUATED)?;
            let validation = measured.accuracy;
            if bits >= MOST_BIAS_BITS || validation >= floor {
                self.job.say(&format!(
                    "{}: a file of {} bytes with biases of {bits} bits, validation {:.2} %",
                    node.name,
                    file.bytes.len(),
                    100.0 * validation
                ));
                return Ok(file);
            }
            bits += 1;
        }
    }
}

/// Puts hidden units into the order that files tell shortest.
fn arrange(point: &mut Point) -> Result<(), JobError> {
    let stage = &mut point.stage;
    let arranged = surgery::arrange(&point.network, &stage.parameters)?;
    stage.parameters = arranged.parameters;
    for (levels, rows) in stage.levels.iter_mut().zip(&arranged.rows) {
        if levels.precision.scale() == Some(Scale::PerChannel) {
            levels.table = rows.iter().map(|&row| levels.table[row]).collect();
        }
    }
    Ok(())
}

/// Training samples on which the levels of activations are fitted.
const CALIBRATION: usize = 512;

/// Bits of a bias in a file, with its sign: the fewest and the most that are tried.
const LEAST_BIAS_BITS: u8 = 4;
const MOST_BIAS_BITS: u8 = 8;

/// Whether a stage is better than another: validation accuracy, then loss.
pub(super) fn better(a: &Stage, b: &Stage) -> bool {
    (a.validation, -a.loss) > (b.validation, -b.loss)
}
