//! Pruning steps.

use super::{Kind, Place, groups};
use crate::admm::PruneOptions;
use crate::compression::structure::{Structure, TensorShape};
use crate::compression::weights_kept;
use crate::document::Fault;
use crate::network::Network;
use crate::procedure::form::{Admm, Training};
use crate::procedure::job::{JobError, kept};
use crate::procedure::run::{Point, Run, better};
use crate::training::Parameters;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

/// ADMM onto sparsity sets, the cut, and training of the survivors. Once, or progressively to smaller and smaller numbers
/// of weights. What is pruned is purified: weights that no output depends on leave too.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Prune {
    /// Names the step in logs and reports
    #[schemars(length(min = 1))]
    pub name: String,
    /// Portion of its weights that each layer keeps, in (0, 1]; layers that are not named keep all they have
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<BTreeMap<String, f64>>,
    /// Weights over all layers, one partial pruning each; which layer keeps how many follows from their saliency
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<NonZeroUsize>,
    /// Where zeros may stand; with `weights` a structure of whole groups
    #[serde(default = "unstructured")]
    pub structure: Structure,
    /// From how many of the last partial prunings each next one is tried; the best is kept
    #[serde(default = "once")]
    pub look_back: NonZeroU32,
    /// The ADMM run
    pub admm: Admm,
    /// Training of the survivors
    #[serde(default)]
    pub retrain: Training,
}

fn once() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn unstructured() -> Structure {
    Structure::Unstructured
}

/// Mini-batches on which saliency is measured.
pub(super) const SALIENCY_BATCHES: usize = 200;

impl Kind for Prune {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, run: &mut Run<'_, '_>) -> Result<(), JobError> {
        let seed = run.job.source.seed;
        let options = PruneOptions {
            admm: self.admm.options(seed),
            retrain: self.retrain.retrain(seed),
        };
        if let Some(density) = &self.density {
            let from = run.starts(1).remove(0);
            let keep = counts(&from.network, &from.stage.parameters, density, self.structure);
            let stage = run
                .job
                .on(&from.network)
                .prune(&self.name, &from.stage, &keep, &options)?;
            let named = from.network.weighted().map(|l| density.contains_key(&l.name));
            let structures: Vec<Option<Structure>> =
                named.map(|named| named.then_some(self.structure)).collect();
            run.refer(options.retrain.fit, &structures);
            run.push(self.name.clone(), from.with(stage), Vec::new());
        }
        for &weights in &self.weights {
            let name = format!("{}-{weights}", self.name);
            let mut best: Option<Point> = None;
            for from in run.starts(self.look_back.get() as usize) {
                let stage = run.job.on(&from.network).prune_shared(
                    &name,
                    &from.stage,
                    self.structure,
                    weights.get(),
                    SALIENCY_BATCHES,
                    &options,
                )?;
                if best.as_ref().is_none_or(|b| better(&stage, &b.stage)) {
                    best = Some(from.with(stage));
                }
            }
            if let Some(point) = best {
                run.refer(
                    options.retrain.fit,
                    &vec![Some(self.structure); point.network.weighted().count()],
                );
                run.push(name, point, Vec::new());
            }
        }
        Ok(())
    }

    fn faults(&self, at: &Place<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.density.is_some() != self.weights.is_empty() {
            faults.push(at.fault(
                &["name"],
                "a `prune` step takes either `density` per layer or `weights` over all layers",
                "give one of the two",
            ));
        }
        if self.density.is_none() && self.structure != Structure::Unstructured {
            faults.extend(groups::faults(at, &[], self.structure));
        }
        for (layer, &density) in self.density.iter().flatten() {
            let path = ["density", layer.as_str()];
            faults.extend(at.unknown(&path, layer));
            if !(density > 0.0 && density <= 1.0) {
                faults.push(at.fault(
                    &path,
                    format!("layer `{layer}`: density {density} is not in (0, 1]"),
                    "write a portion above 0 and up to 1",
                ));
                continue;
            }
            let shape = at.network.weighted().find(|l| l.name == *layer);
            if let Some(shape) = shape.and_then(crate::network::Layer::weight_shape) {
                let shape = TensorShape::of(&shape);
                let keep = weights_kept(density, shape.weights());
                if let Err(error) = self.structure.fits(shape, keep) {
                    faults.push(at.fault(
                        &["structure"],
                        format!("layer `{layer}` cannot have this structure: {error}"),
                        "change the structure, or name the layer in a step of its own",
                    ));
                }
            }
        }
        faults
    }
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
