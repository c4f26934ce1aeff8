//! The kinds of steps that a procedure has. A kind is a file here, and a line in each of the two lists below.

mod dynamic;
mod groups;
mod levels;
mod prune;
mod reweight;
mod shrink;

pub use dynamic::Dynamic;
pub use levels::Levels;
pub use prune::Prune;
pub use reweight::Reweight;
pub use shrink::Shrink;

use super::job::JobError;
use super::run::Run;
use crate::document::{Fault, Source};
use crate::network::Network;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a kind of step does.
trait Kind {
    /// Its name in logs and reports.
    fn name(&self) -> &str;

    /// Takes the run a step further: networks are added to its path.
    fn run(&self, run: &mut Run<'_, '_>) -> Result<(), JobError>;

    /// What no schema can say of it.
    fn faults(&self, at: &Place<'_>) -> Vec<Fault>;
}

/// One step.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Step {
    /// ADMM onto sparsity sets, the cut, and training of the survivors. Once, or progressively to smaller and smaller
    /// numbers of weights.
    Prune(Prune),
    /// A reweighted penalty on weights or groups: how many stay in a layer emerges from one parameter.
    Reweight(Reweight),
    /// A penalty that rises on what a total over all layers leaves out.
    Dynamic(Dynamic),
    /// ADMM onto levels on the survivors, then training of the biases.
    Levels(Levels),
    /// Dead filters and channels leave the network: what follows trains a smaller one.
    Shrink(Shrink),
}

impl Step {
    fn kind(&self) -> &dyn Kind {
        match self {
            Self::Prune(step) => step,
            Self::Reweight(step) => step,
            Self::Dynamic(step) => step,
            Self::Levels(step) => step,
            Self::Shrink(step) => step,
        }
    }

    /// The step's name in logs and reports.
    #[must_use]
    pub fn name(&self) -> &str {
        self.kind().name()
    }

    pub(super) fn run(&self, run: &mut Run<'_, '_>) -> Result<(), JobError> {
        self.kind().run(run)
    }
}

/// What no schema can say of the steps of a procedure that was read from this source, for a network.
#[must_use]
pub fn faults(steps: &[Step], source: &Source, network: &Network) -> Vec<Fault> {
    let faults = steps.iter().enumerate().map(|(index, step)| {
        step.kind().faults(&Place {
            source,
            index: index.to_string(),
            network,
        })
    });
    faults.flatten().collect()
}

/// Where a step stands in its file, and the network that it is for.
struct Place<'a> {
    source: &'a Source,
    index: String,
    network: &'a Network,
}

impl Place<'_> {
    /// A fault of the value at the end of a path of keys below the step.
    fn fault(&self, path: &[&str], message: impl Into<String>, help: impl Into<String>) -> Fault {
        let mut whole = vec!["step", self.index.as_str()];
        whole.extend(path);
        Fault::new(self.source.place(&whole), message, help)
    }

    /// The fault of a name that no layer with weights has.
    fn unknown(&self, path: &[&str], layer: &str) -> Option<Fault> {
        let names: Vec<&str> = self.network.weighted().map(|l| l.name.as_str()).collect();
        (!names.contains(&layer)).then(|| {
            self.fault(
                path,
                format!("the network has no layer `{layer}` with weights"),
                format!("layers with weights: {}", names.join(", ")),
            )
        })
    }
}
