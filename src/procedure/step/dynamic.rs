//! Steps by a penalty that rises on what exceeds a total.

use super::prune::SALIENCY_BATCHES;
use super::{Kind, Place, groups};
use crate::admm::DynamicOptions;
use crate::compression::structure::Structure;
use crate::document::Fault;
use crate::procedure::form::Training;
use crate::procedure::job::JobError;
use crate::procedure::run::Run;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroUsize};

/// A penalty that rises on weights or groups that a total leaves out, and nowhere else; the cut, and training of the
/// survivors. One partial pruning for each total, each from the last; no layer has a target.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dynamic {
    /// Names the step in logs and reports
    #[schemars(length(min = 1))]
    pub name: String,
    /// Weights that stay in all penalised layers together, one partial pruning each
    #[schemars(length(min = 1))]
    pub weights: Vec<NonZeroUsize>,
    /// Layers that are penalised; all with weights where it is left out
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// What the groups are
    #[serde(default = "unstructured")]
    pub structure: Structure,
    /// Rounds of training, after each of which the coefficients move
    pub rounds: NonZeroU32,
    /// Training of one round
    pub round: Training,
    /// What the coefficient of a group over the total rises by in every round
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub rise: f64,
    /// No coefficient exceeds this
    #[serde(default = "most")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub most: f64,
    /// Training of the survivors
    #[serde(default)]
    pub retrain: Training,
}

fn unstructured() -> Structure {
    Structure::Unstructured
}

fn most() -> f64 {
    1000.0
}

impl Kind for Dynamic {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, run: &mut Run<'_, '_>) -> Result<(), JobError> {
        let seed = run.job.source.seed;
        let options = DynamicOptions {
            rounds: self.rounds.get(),
            round: self.round.options(seed),
            rise: self.rise as f32,
            most: self.most as f32,
            retrain: self.retrain.retrain(seed),
        };
        for &weights in &self.weights {
            let from = run.starts(1).remove(0);
            let structures = groups::structures(&from.network, &self.layers, self.structure);
            let name = format!("{}-{weights}", self.name);
            let job = run.job.on(&from.network);
            let budget = (weights.get(), SALIENCY_BATCHES);
            let stage = job.dynamic(&name, &from.stage, &structures, budget, &options)?;
            run.refer(options.retrain.fit, &structures);
            run.push(name, from.with(stage), Vec::new());
        }
        Ok(())
    }

    fn faults(&self, at: &Place<'_>) -> Vec<Fault> {
        groups::faults(at, &self.layers, self.structure)
    }
}
