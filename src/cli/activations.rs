//! Activation densities for an estimate: the workload's, from a file, or measured on data.

use super::data;
use super::failure::Failure;
use super::request::Given;
use crate::codesign::{ActivationRow, Activations};
use crate::document::Source;
use crate::network::{Layer, Workload};
use crate::report::{ActivationSource, Input, RunFile, sha256};
use crate::training::data::Dataset;
use crate::training::{Parameters, from_safetensors};
use clap::Args;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Samples that are measured on unless another number is asked for.
const SAMPLES: usize = 1000;

/// Which activations are zero.
#[derive(Debug, Args)]
pub(super) struct ActivationArguments {
    /// How many of each layer's inputs are not zero, instead of what the workload says: `measured` by running the
    /// network on its training data, or a CSV file with `layer` and `density`, as measuring writes it
    #[arg(long, value_name = "measured|FILE", conflicts_with = "scalesim")]
    activations: Option<PathBuf>,
    /// The trained network to measure with: a .safetensors file, as `cosparse codesign` writes it
    #[arg(long, value_name = "FILE", requires = "activations")]
    weights: Option<PathBuf>,
    /// Training samples to measure on, the first ones [default: 1000, or all if there are fewer]
    #[arg(long, value_name = "N", requires = "activations")]
    activation_samples: Option<NonZeroUsize>,
    /// Directory with the data set to measure on, instead of the one that the workload names
    #[arg(long, value_name = "DIR", requires = "activations")]
    data: Option<PathBuf>,
}

/// Densities with where they come from.
#[derive(Debug)]
pub(super) struct Chosen {
    densities: Activations,
    source: ActivationSource,
    /// What was counted, where it was measured.
    pub(super) rows: Vec<ActivationRow>,
    /// The file; of measured ones the trained network, and the data.
    inputs: Inputs,
}

#[derive(Debug)]
enum Inputs {
    File(Input),
    Measured {
        weights: Input,
        data: Input,
        samples: usize,
    },
}

impl ActivationArguments {
    /// The densities asked for, if any.
    pub(super) fn open(&self, workload: &Given<Workload>) -> Result<Option<Chosen>, Failure> {
        match &self.activations {
            None => Ok(None),
            Some(word) if word.as_os_str() == "measured" => self.measure(workload).map(Some),
            Some(path) => self.read(path, workload).map(Some),
        }
    }

    fn read(&self, path: &Path, workload: &Given<Workload>) -> Result<Chosen, Failure> {
        let idle = [
            ("--weights", self.weights.is_some()),
            ("--activation-samples", self.activation_samples.is_some()),
            ("--data", self.data.is_some()),
        ];
        if let Some((option, _)) = idle.iter().find(|(_, given)| *given) {
            return Err(Failure::input(
                format!("`{option}` is for measuring, but `{}` is a file", path.display()),
                format!("leave `{option}` out, or write `--activations measured`"),
            ));
        }
        let source = Source::read(path)?;
        let densities = Activations::from_csv(&source, &workload.value.network)?;
        Ok(Chosen {
            densities,
            source: ActivationSource::File,
            rows: Vec::new(),
            inputs: Inputs::File(input(path, source.text.as_bytes())),
        })
    }

    fn measure(&self, workload: &Given<Workload>) -> Result<Chosen, Failure> {
        let network = &workload.value.network;
        let path = self.weights.as_deref().ok_or_else(|| {
            Failure::input(
                "measuring activations needs a trained network",
                "name one with `--weights FILE.safetensors`; `cosparse codesign` writes model/CANDIDATE.safetensors",
            )
        })?;
        let bytes = fs::read(path).map_err(|error| {
            Failure::input(
                format!("`{}` cannot be read: {error}", path.display()),
                "check the path and its permissions",
            )
        })?;
        let parameters = from_safetensors(&bytes, &Parameters::init(network, 0)).map_err(|error| {
            Failure::input(
                format!(
                    "`{}` does not hold `{}`: {error}",
                    path.display(),
                    workload.input.given
                ),
                "name the trained values of this network; `cosparse workload show` lists its layers",
            )
        })?;
        let (data, data_input) = data::load(workload, self.data.as_deref(), "to measure on")?;
        let samples = count(self.activation_samples, workload, &data, &data_input)?;
        let slice = data
            .train
            .subset(0..samples)
            .map_err(|error| data::refused(&error))?;
        let want = network.layer(network.input()).output.elements();
        if slice.elements() != want {
            return Err(Failure::input(
                format!(
                    "a sample of `{}` has {} values, the input of `{}` {want}",
                    data_input.given,
                    slice.elements(),
                    workload.input.given
                ),
                "give data of the network's input size with `--data DIR`",
            ));
        }
        let (densities, rows) = Activations::measure(network, parameters, &slice).map_err(|error| {
            Failure::input(
                format!("workload `{}`: {error}", workload.input.given),
                "the network cannot be run: name a file with `--activations FILE`, or change the layer",
            )
        })?;
        Ok(Chosen {
            densities,
            source: ActivationSource::Measured,
            rows,
            inputs: Inputs::Measured {
                weights: input(path, &bytes),
                data: data_input,
                samples,
            },
        })
    }
}

/// The samples to measure on: of those that the workload trains on, the first ones.
pub(super) fn count(
    asked: Option<NonZeroUsize>,
    workload: &Given<Workload>,
    data: &Dataset,
    input: &Input,
) -> Result<usize, Failure> {
    let validation = workload.value.data.as_ref().map_or(0, |d| d.validation);
    let have = data.train.len().saturating_sub(validation);
    match asked.map(NonZeroUsize::get) {
        Some(asked) if asked > have => Err(Failure::input(
            format!(
                "{asked} samples are asked for, and `{}` has {have} to train on",
                input.given
            ),
            format!("write `--activation-samples {have}` or fewer"),
        )),
        asked => Ok(asked.unwrap_or(SAMPLES).min(have)),
    }
}

fn input(path: &Path, bytes: &[u8]) -> Input {
    Input {
        name: path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default(),
        given: path.display().to_string(),
        sha256: sha256(bytes),
    }
}

impl Chosen {
    /// The record with where the densities come from.
    pub(super) fn record(&self, mut run: RunFile) -> RunFile {
        match &self.inputs {
            Inputs::File(file) => {
                run.activations = Some(file.clone());
                run
            }
            Inputs::Measured {
                weights,
                data,
                samples,
            } => {
                run.weights = Some(weights.clone());
                run.data = Some(data.clone());
                run.option("activations", &"measured")
                    .option("activation_samples", samples)
            }
        }
    }

    /// The densities with their source.
    pub(super) fn known(&self) -> Known<'_> {
        (&self.densities, self.source)
    }

    /// A line that says the same.
    pub(super) fn note(&self) -> String {
        match &self.inputs {
            Inputs::File(file) => format!("activation densities from {}", file.given),
            Inputs::Measured {
                weights,
                data,
                samples,
            } => format!(
                "activation densities measured with {} on {samples} samples of {}",
                weights.given, data.given
            ),
        }
    }
}

/// Densities with their source.
pub(super) type Known<'a> = (&'a Activations, ActivationSource);

/// The portion of a layer's inputs that are not zero, and who says so: what was chosen, else the workload, else
/// nobody, and it is 1.
pub(super) fn density(
    workload: &Workload,
    chosen: Option<Known<'_>>,
    layer: &Layer,
) -> (f64, ActivationSource) {
    let known = chosen.and_then(|(d, source)| Some((d.density(&workload.network, layer)?, source)));
    known.unwrap_or_else(|| {
        let source = if workload.activations.contains_key(&layer.name) {
            ActivationSource::Workload
        } else {
            ActivationSource::Assumed
        };
        (workload.activation_density(layer), source)
    })
}
