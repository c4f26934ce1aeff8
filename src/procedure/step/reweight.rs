//! Steps by reweighted penalties.

use super::{Kind, Place, groups};
use crate::admm::{GroupCut, PenaltyStep, ReweightOptions};
use crate::compression::structure::Structure;
use crate::compression::weights_kept;
use crate::document::Fault;
use crate::network::{Layer, Network};
use crate::procedure::form::Training;
use crate::procedure::job::JobError;
use crate::procedure::run::Run;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

/// A reweighted penalty on weights or groups of weights, the cut, and training of the survivors: one partial pruning for
/// each `lambda`, each from the last. How many weights a layer keeps emerges from the penalty, unless `weights` or
/// `density` say it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reweight {
    /// Names the step in logs and reports
    #[schemars(length(min = 1))]
    pub name: String,
    /// The penalty's parameter, one for all layers; one partial pruning each
    #[schemars(length(min = 1))]
    pub lambda: Vec<f64>,
    /// Layers that are penalised; all with weights where it is left out
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// What the groups are
    #[serde(default = "unstructured")]
    pub structure: Structure,
    /// Rounds; each begins with fresh coefficients and the learning rate of its start
    pub rounds: NonZeroU32,
    /// Training of one round
    pub round: Training,
    /// How the penalty acts
    #[serde(default)]
    pub penalty: Penalty,
    /// Groups of a smaller norm leave; the heaviest of each layer stays
    #[serde(default = "below")]
    #[schemars(range(min = 0.0))]
    pub below: f64,
    /// Weights that stay in all penalised layers together, in place of `below`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<NonZeroUsize>,
    /// Portion of its weights that each layer keeps, in (0, 1], in place of `below`; these layers are penalised
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<BTreeMap<String, f64>>,
    /// Training of the survivors
    #[serde(default)]
    pub retrain: Training,
}

/// How a penalty acts in a step of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Penalty {
    /// After the optimiser's update: weak groups become exactly zero.
    #[default]
    Proximal,
    /// In the gradient.
    Gradient,
}

fn unstructured() -> Structure {
    Structure::Unstructured
}

fn below() -> f64 {
    1e-3
}

/// Added to norms below the fraction (METHODS §7).
const EPS: f32 = 1e-3;

impl Reweight {
    /// The structure of each penalised layer, and the cut.
    fn plan(&self, network: &Network) -> (Vec<Option<Structure>>, GroupCut) {
        let Some(density) = &self.density else {
            let cut = match self.weights {
                Some(weights) => GroupCut::Total(weights.get()),
                None => GroupCut::Below(self.below),
            };
            return (groups::structures(network, &self.layers, self.structure), cut);
        };
        let share = |l: &Layer| density.get(&l.name).copied();
        let keep = network
            .weighted()
            .filter_map(|l| Some(weights_kept(share(l)?, l.weights())));
        let structures = network.weighted().map(|l| share(l).map(|_| self.structure));
        (structures.collect(), GroupCut::Each(keep.collect()))
    }
}

impl Kind for Reweight {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, run: &mut Run<'_, '_>) -> Result<(), JobError> {
        let seed = run.job.source.seed;
        for &lambda in &self.lambda {
            let from = run.starts(1).remove(0);
            let (structures, cut) = self.plan(&from.network);
            let options = ReweightOptions {
                rounds: self.rounds.get(),
                round: self.round.options(seed),
                lambda: lambda as f32,
                eps: EPS,
                step: match self.penalty {
                    Penalty::Proximal => PenaltyStep::Proximal,
                    Penalty::Gradient => PenaltyStep::Gradient,
                },
                cut,
                retrain: self.retrain.retrain(seed),
            };
            let name = format!("{}-{lambda}", self.name);
            let job = run.job.on(&from.network);
            let stage = job.reweight(&name, &from.stage, &structures, &options)?;
            run.refer(options.retrain.fit, &structures);
            run.push(name, from.with(stage), Vec::new());
        }
        Ok(())
    }

    fn faults(&self, at: &Place<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.lambda.iter().any(|&lambda| lambda.is_nan() || lambda <= 0.0) {
            faults.push(at.fault(
                &["lambda"],
                "`lambda` holds a number that is not above 0",
                "write numbers above 0, as 0.1",
            ));
        }
        if self.weights.is_some() && self.density.is_some() {
            faults.push(at.fault(
                &["weights"],
                "a `reweight` step takes `weights` over all layers or `density` per layer, not both",
                "give one of the two, or neither: then groups below a norm leave",
            ));
        }
        let Some(density) = &self.density else {
            faults.extend(groups::faults(at, &self.layers, self.structure));
            return faults;
        };
        if !self.layers.is_empty() {
            faults.push(at.fault(
                &["layers"],
                "`density` names the layers that are penalised",
                "leave `layers` out",
            ));
        }
        let layers: Vec<String> = density.keys().cloned().collect();
        faults.extend(groups::faults(at, &layers, self.structure));
        for (layer, &density) in density {
            let path = ["density", layer.as_str()];
            if !(density > 0.0 && density <= 1.0) {
                faults.push(at.fault(
                    &path,
                    format!("layer `{layer}`: density {density} is not in (0, 1]"),
                    "write a portion above 0 and up to 1",
                ));
            }
        }
        faults
    }
}
