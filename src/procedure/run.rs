//! Runs a procedure: its steps in order, the choices on validation samples, the test set once at the end.

use super::form::{Procedure, Step, level_options, prune_options};
use super::job::{EVALUATED, Job, JobError, Observer, Source, kept};
use super::store::Stage;
use crate::admm::Record;
use crate::artefact::{self, Artefact};
use crate::compression::precision::Precision;
use crate::compression::structure::Structure;
use crate::compression::{Mask, weights_kept};
use crate::network::Network;
use crate::training::{Parameters, Role, evaluate, executor_for};
use std::collections::BTreeMap;

/// One network on the way.
#[derive(Debug, Clone)]
pub struct Node {
    /// The step and the number of weights, as `cut-1740`.
    pub name: String,
    /// What came out.
    pub stage: Stage,
    /// Bits of a level per weight parameter; empty for float32.
    pub bits: Vec<u8>,
    /// Whether validation accuracy holds what the procedure asks.
    pub holds: bool,
}

impl Node {
    /// Non-zero weights.
    #[must_use]
    pub fn weights(&self) -> usize {
        kept(&self.stage.parameters).iter().sum()
    }

    /// Bits of all weights without indices: 32 a weight, or their levels'.
    #[must_use]
    pub fn data_bits(&self) -> u64 {
        let counts = kept(&self.stage.parameters);
        let width = |i: usize| self.bits.get(i).map_or(32, |&b| u64::from(b));
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
    /// The network as a file; its parameters are those of the file, biases rounded to 8 bits. Without it the network is
    /// the dense one.
    pub artefact: Option<Artefact>,
    /// Accuracy on the test samples of what the file holds, 0 to 1, read once after all choices.
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
    /// What was decided, line by line.
    pub log: Vec<String>,
}

/// Mini-batches on which saliency is measured.
const SALIENCY_BATCHES: usize = 200;

struct Run<'a, 'b> {
    job: Job<'a>,
    procedure: &'b Procedure,
    dense: Stage,
    path: Vec<Node>,
    /// Options of the last pruning step, for the reference by magnitude.
    last: Option<crate::admm::PruneOptions>,
}

/// Runs a procedure.
///
/// # Errors
/// When training fails, the data do not fit, stages cannot be kept, or a step names layers that the network lacks.
pub fn run(
    source: Source<'_>,
    procedure: &Procedure,
    observer: &mut dyn Observer,
) -> Result<Outcome, JobError> {
    let mut job = Job::new(source, observer)?;
    let dense = job.dense(procedure.dense_effort)?;
    job.say(&format!("dense: validation {:.2} %", 100.0 * dense.validation));
    job.teach(&dense)?;
    let mut run = Run {
        job,
        procedure,
        dense,
        path: Vec::new(),
        last: None,
    };
    for step in &procedure.step {
        match step {
            Step::Prune { .. } => run.prune(step)?,
            Step::Levels { .. } => run.levels(step)?,
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
        self.dense.validation - drop / 100.0
    }

    fn push(&mut self, name: String, stage: Stage, bits: Vec<u8>) {
        let holds = stage.validation >= self.floor(!bits.is_empty());
        let counts = kept(&stage.parameters);
        self.job.say(&format!(
            "{name}: {} weights {counts:?}{}, validation {:.2} % (loss {:.4}){}",
            counts.iter().sum::<usize>(),
            if bits.is_empty() {
                String::new()
            } else {
                format!(" of {bits:?} bits")
            },
            100.0 * stage.validation,
            stage.loss,
            if holds { " holds" } else { "" },
        ));
        self.path.push(Node {
            name,
            stage,
            bits,
            holds,
        });
    }

    /// The last networks that are not on levels, the latest first; the dense one if there is none.
    fn starts(&self, look_back: usize) -> Vec<Stage> {
        let pruned = self.path.iter().rev().filter(|n| n.bits.is_empty());
        let mut starts: Vec<Stage> = pruned.take(look_back).map(|n| n.stage.clone()).collect();
        if starts.is_empty() {
            starts.push(self.dense.clone());
        }
        starts
    }

    fn prune(&mut self, step: &Step) -> Result<(), JobError> {
        let Step::Prune {
            name,
            density,
            weights,
            structure,
            look_back,
            admm,
            retrain,
        } = step
        else {
            return Ok(());
        };
        let options = prune_options(admm, retrain, self.job.source.seed);
        self.last = Some(options.clone());
        if let Some(density) = density {
            let from = self.starts(1).remove(0);
            let keep = counts(self.job.network, &from.parameters, density, *structure);
            let stage = self.job.prune(name, &from, &keep, &options)?;
            self.push(name.clone(), stage, Vec::new());
        }
        for &weights in weights {
            let name = format!("{name}-{weights}");
            let mut best: Option<Stage> = None;
            for from in self.starts(look_back.get() as usize) {
                let stage = self
                    .job
                    .prune_shared(&name, &from, weights.get(), SALIENCY_BATCHES, &options)?;
                if best.as_ref().is_none_or(|b| better(&stage, b)) {
                    best = Some(stage);
                }
            }
            if let Some(stage) = best {
                self.push(name, stage, Vec::new());
            }
        }
        Ok(())
    }

    fn levels(&mut self, step: &Step) -> Result<(), JobError> {
        let Step::Levels {
            name,
            bits,
            candidates,
            admm,
            retrain,
        } = step
        else {
            return Ok(());
        };
        let options = level_options(admm, retrain, self.job.source.seed);
        let mut starts: Vec<(usize, Stage)> = self
            .path
            .iter()
            .filter(|n| n.bits.is_empty() && n.holds)
            .map(|n| (n.weights(), n.stage.clone()))
            .collect();
        starts.sort_by_key(|(weights, _)| *weights);
        if starts.is_empty() {
            starts = self.starts(1).into_iter().map(|s| (0, s)).collect();
        }
        for (_, from) in starts.iter().take(candidates.get() as usize) {
            let weights: usize = kept(&from.parameters).iter().sum();
            for widths in bits {
                let widths: Vec<u8> = self
                    .job
                    .network
                    .weighted()
                    .map(|l| widths.get(&l.name).copied().unwrap_or(8))
                    .collect();
                let label: Vec<String> = widths.iter().map(ToString::to_string).collect();
                let name = format!("{name}-{weights}-{}-bit", label.join("-"));
                let precisions: Vec<Precision> = widths
                    .iter()
                    .map(|&bits| Precision::equal_interval(bits))
                    .collect();
                let stage = self.job.quantise(&name, from, &precisions, &options)?;
                self.push(name, stage, widths);
            }
        }
        Ok(())
    }

    /// The smallest network on float32, or on levels, that holds; the most accurate where none does.
    fn choose(&mut self, levels: bool) -> Option<Node> {
        let of_kind: Vec<&Node> = self.path.iter().filter(|n| n.bits.is_empty() != levels).collect();
        let smallest = of_kind.iter().filter(|n| n.holds).min_by_key(|n| n.data_bits());
        if let Some(node) = smallest {
            return Some((*node).clone());
        }
        let best = of_kind
            .into_iter()
            .max_by(|a, b| a.stage.validation.total_cmp(&b.stage.validation))?
            .clone();
        self.job.say(&format!(
            "none of the networks {} holds {:.2} %; {} with {:.2} % is the best",
            if levels { "on levels" } else { "pruned" },
            100.0 * self.floor(levels),
            best.name,
            100.0 * best.stage.validation
        ));
        Some(best)
    }

    /// The same counts by magnitude on the dense network, trained as long as the last step: what ADMM must beat.
    fn reference(&mut self, chosen: &Node) -> Result<Option<Node>, JobError> {
        let Some(options) = self.last.clone() else {
            return Ok(None);
        };
        let mut parameters = self.dense.parameters.clone();
        let targets = chosen
            .stage
            .parameters
            .weights()
            .map(|p| p.support.as_ref().map_or(p.values.len(), Mask::count));
        let targets: Vec<usize> = targets.collect();
        let weights = parameters.list.iter_mut().filter(|p| p.role == Role::Weight);
        for (p, keep) in weights.zip(targets) {
            let (rows, cols) = p.matrix();
            let set = Structure::Unstructured.set(p.tensor_shape(), keep);
            let left = set.survivors(&p.values, &Mask::full(rows, cols));
            left.apply(&mut p.values);
            p.support = Some(left);
        }
        let stage = self.job.train("magnitude", &parameters, &options.retrain.fit)?;
        let holds = stage.validation >= self.floor(false);
        self.job.say(&format!(
            "magnitude and training at the same counts: validation {:.2} % against {:.2} % of {}",
            100.0 * stage.validation,
            100.0 * chosen.stage.validation,
            chosen.name
        ));
        Ok(Some(Node {
            name: "magnitude".into(),
            stage,
            bits: Vec::new(),
            holds,
        }))
    }

    fn finish(mut self) -> Result<Outcome, JobError> {
        let mut chosen = vec![(
            "dense",
            Node {
                name: "dense".into(),
                stage: self.dense.clone(),
                bits: Vec::new(),
                holds: true,
            },
        )];
        if let Some(pruned) = self.choose(false) {
            let reference = self.reference(&pruned)?;
            let pruned = match reference {
                Some(reference) if better(&reference.stage, &pruned.stage) => {
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
        let network = self.job.network;
        let workload = &self.job.source.workload.name;
        let test = &self.job.source.data.test;
        let chosen = chosen
            .into_iter()
            .map(|(name, node)| {
                let artefact = if name == "dense" {
                    None
                } else {
                    let (parameters, levels) = (&node.stage.parameters, &node.stage.levels);
                    let options = artefact::Options::default();
                    Some(artefact::write(network, workload, parameters, levels, options)?)
                };
                let parameters = artefact
                    .as_ref()
                    .map_or(&node.stage.parameters, |a| &a.parameters);
                let mut executor = executor_for(network, parameters.clone())?;
                let test = evaluate(&mut *executor, test, EVALUATED)?;
                Ok(Chosen {
                    name: name.into(),
                    node,
                    artefact,
                    test,
                })
            })
            .collect::<Result<_, JobError>>()?;
        let (records, log) = self.job.into_records();
        Ok(Outcome {
            chosen,
            path: self.path,
            records,
            log,
        })
    }
}

/// Whether a stage is better than another: validation accuracy, then loss.
fn better(a: &Stage, b: &Stage) -> bool {
    (a.validation, -a.loss) > (b.validation, -b.loss)
}

/// Structures and counts of the named layers; the others keep what they have.
fn counts(
    network: &Network,
    parameters: &Parameters,
    density: &BTreeMap<String, f64>,
    structure: Structure,
) -> Vec<(Structure, usize)> {
    let now = kept(parameters);
    network
        .weighted()
        .zip(now)
        .map(|(layer, now)| match density.get(&layer.name) {
            Some(density) => (structure, weights_kept(*density, layer.weights()).min(now)),
            None => (Structure::Unstructured, now),
        })
        .collect()
}
