//! A workload: a network with its name, its source, its data and how its dense baseline is trained. Read from
//! `workloads/*.toml`.

mod form;
mod layers;
mod spec;
mod write;

pub use form::WorkloadFile;
pub use spec::{
    ActivationDensity, Baseline, DataFormat, DataSpec, OptimiserSpec, Prior, ScheduleSpec, TrainingSpec,
};

use super::{Layer, Network, zoo};
use crate::document::{DocumentError, Fault, Faults, Source};
use std::collections::BTreeMap;
use std::path::Path;

/// A network and what belongs to it.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The workload's name, as `lenet5`.
    pub name: String,
    /// What it is, in a sentence or two.
    pub description: String,
    /// Where the shapes and counts come from.
    pub source: String,
    /// The layers.
    pub network: Network,
    /// The data set, if the workload has one to train and measure on.
    pub data: Option<DataSpec>,
    /// How the dense baseline is trained.
    pub training: Option<TrainingSpec>,
    /// The published accuracy of the dense network.
    pub baseline: Option<Baseline>,
    /// Densities at which others have pruned this network, where a search may start.
    pub prior: Option<Prior>,
    /// Layer name to the portion of its input activations that are not zero; layers that are not named read
    /// dense activations.
    pub activations: BTreeMap<String, ActivationDensity>,
}

impl Workload {
    /// Reads a workload from its text.
    ///
    /// # Errors
    /// All faults of the file: of its form, of fields against each other, and of the network it describes.
    pub fn from_source(source: &Source) -> Result<Self, Faults> {
        let file: WorkloadFile = source.parse()?;
        let mut faults = Vec::new();
        let training = file.training.as_ref().and_then(|t| t.check(&mut faults));
        let activations = layers::activations(&file, &mut faults);
        let network = layers::network(&file, &mut faults);
        let prior = file
            .prior
            .as_ref()
            .map(|p| layers::prior(p, network.as_ref(), &mut faults));
        match network {
            Some(network) if faults.is_empty() => Ok(Self {
                name: file.name,
                description: file.description,
                source: file.source,
                network,
                data: file.data,
                training,
                baseline: file.baseline,
                prior,
                activations,
            }),
            _ => Err(source.faults(faults)),
        }
    }

    /// Reads a workload from a file.
    ///
    /// # Errors
    /// When the file cannot be read, or has faults.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DocumentError> {
        Ok(Self::from_source(&Source::read(path)?)?)
    }

    /// Reads the workload of a name that comes with the program ([`zoo`]), or else of a path.
    ///
    /// # Errors
    /// When there is neither such a name nor such a file, when the file cannot be read, or has faults.
    pub fn find(name_or_path: &str) -> Result<Self, DocumentError> {
        if let Some(source) = zoo::find(name_or_path) {
            return Ok(Self::from_source(&source)?);
        }
        Self::open(name_or_path).map_err(|error| match error {
            DocumentError::Missing { .. } if !name_or_path.contains(['/', '\\']) => {
                let known: Vec<&str> = zoo::list().iter().map(|(name, _)| *name).collect();
                DocumentError::unknown("workload", name_or_path, &known)
            }
            other => other,
        })
    }

    /// The portion of a layer's input activations that are not zero; 1 where the workload does not say.
    #[must_use]
    pub fn activation_density(&self, layer: &Layer) -> f64 {
        self.activations.get(&layer.name).map_or(1.0, |d| d.value)
    }
}

/// A fault where `wrong` holds.
fn refuse(faults: &mut Vec<Fault>, wrong: bool, fault: impl FnOnce() -> Fault) {
    if wrong {
        faults.push(fault());
    }
}
