//! Steps that take dead units out of the network.

use super::{Kind, Place};
use crate::document::Fault;
use crate::procedure::form::Training;
use crate::procedure::job::JobError;
use crate::procedure::run::{Point, Run};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Dead filters and channels leave the network: what follows trains a smaller one.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shrink {
    /// Names the step in logs and reports
    #[schemars(length(min = 1))]
    pub name: String,
    /// Training of the smaller network
    #[serde(default)]
    pub retrain: Training,
}

impl Kind for Shrink {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, run: &mut Run<'_, '_>) -> Result<(), JobError> {
        let from = run.starts(1).remove(0);
        let (network, parameters) = run.job.on(&from.network).shrink(&from.stage.parameters)?;
        run.job.say(&format!(
            "{}: {} layers of weights hold {} of {} weights",
            self.name,
            network.weighted().count(),
            network.weights(),
            from.network.weights()
        ));
        let network = Arc::new(network);
        let options = self.retrain.options(run.job.source.seed);
        let stage = run.job.on(&network).train(&self.name, &parameters, &options)?;
        run.push(self.name.clone(), Point { network, stage }, Vec::new());
        Ok(())
    }

    fn faults(&self, _: &Place<'_>) -> Vec<Fault> {
        Vec::new()
    }
}
