//! A recipe with its realised masks, levels, accuracy and costs.

use super::activations::{ActivationRow, Activations};
use super::costing::{is_sparse, pick};
use super::objective::Objective;
use super::pipeline::{CodesignError, Request};
use crate::compression::encoding::{Encoding, smallest};
use crate::compression::precision::{Levels, Precision};
use crate::compression::structure::Structure;
use crate::compression::{Mask, Recipe, Target};
use crate::hardware::Profile;
use crate::network::Layer;
use crate::procedure::{EVALUATED, Stage};
use crate::simulate::{self, LayerSetting, NetworkCost, Weights};
use crate::training::{Parameters, evaluate, executor_for};

/// A candidate.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// `dense`, or the objective it was chosen for.
    pub name: String,
    /// The targets it realises.
    pub recipe: Recipe,
    /// Its parameters; pruned weights are zero, quantised ones exactly on their levels.
    pub parameters: Parameters,
    /// The levels of each weight parameter; empty when nothing is quantised.
    pub levels: Vec<Levels>,
    /// Accuracy on the validation samples, 0 to 1: what choices were made on.
    pub validation: f64,
    /// Accuracy on the test samples, 0 to 1: read once, after all choices.
    pub test: f64,
    /// The densities of its layers' inputs, where they were measured, and what was counted.
    pub activations: Option<(Activations, Vec<ActivationRow>)>,
    /// Its cost on each profile of the request: every layer that multiplies, in the network's order.
    pub costs: Vec<NetworkCost>,
}

impl Candidate {
    /// The candidate of a finished stage: its costs simulated on the real masks, its test accuracy read.
    pub(super) fn measure(
        request: &Request<'_>,
        name: String,
        objective: Objective,
        stage: Stage,
        bits: &[u8],
    ) -> Result<Self, CodesignError> {
        let network = &request.workload.network;
        let masks: Vec<(&str, Mask)> = stage
            .parameters
            .weights()
            .map(|p| {
                let (rows, cols) = p.matrix();
                (p.layer.as_str(), Mask::of(&p.values, rows, cols))
            })
            .collect();
        let activations = match request.measured_samples {
            Some(samples) => {
                let samples = request.data.train.subset(0..samples)?;
                let parameters = stage.parameters.clone();
                Some(Activations::measure(network, parameters, &samples)?)
            }
            None => None,
        };
        let place = |layer: &Layer| masks.iter().position(|(name, _)| *name == layer.name);
        let mut costs = Vec::with_capacity(request.profiles.len());
        let mut engines: Vec<Option<(&Profile, usize)>> = vec![None; masks.len()];
        for profile in request.profiles {
            let setting = |layer: &Layer| {
                let at = place(layer);
                LayerSetting {
                    weights: at.map_or(Weights::Density(1.0), |i| Weights::Pattern(&masks[i].1)),
                    weight_bits: at
                        .and_then(|i| bits.get(i))
                        .map_or(profile.weight_bits, |&b| u32::from(b).min(profile.weight_bits)),
                    activation_density: activations
                        .as_ref()
                        .and_then(|(measured, _)| measured.density(network, layer))
                        .unwrap_or_else(|| request.workload.activation_density(layer)),
                    activation_bits: None,
                    mapping: None,
                }
            };
            let cost = simulate::network(network, profile, 1, pick(objective), &setting)?;
            for (layer, engine) in masks.iter().map(|(name, _)| *name).zip(&mut engines) {
                if let Some(found) = cost.layers.iter().find(|l| l.name == layer) {
                    engine.get_or_insert((profile, found.outcome.engine));
                }
            }
            costs.push(cost);
        }
        let targets = masks.iter().enumerate().map(|(i, (layer, mask))| {
            let precision = bits
                .get(i)
                .map_or(Precision::Float32, |&bits| Precision::equal_interval(bits));
            let encoding = match engines[i] {
                _ if bits.is_empty() => Encoding::Dense,
                // what the engine reads is what is stored, unless storage is what is minimised
                // (an N:M engine runs a full layer without its encoding, which cannot hold it)
                Some((profile, engine))
                    if objective != Objective::Size
                        && is_sparse(profile, engine)
                        && profile.engines[engine]
                            .kind
                            .encoding()
                            .size(mask, precision.bits())
                            .is_ok() =>
                {
                    profile.engines[engine].kind.encoding()
                }
                _ => smallest(mask, precision.bits()),
            };
            (
                (*layer).to_owned(),
                Target {
                    structure: Structure::Unstructured,
                    density: mask.density(),
                    precision,
                    encoding,
                    activation_bits: None,
                },
            )
        });
        let recipe = Recipe {
            layers: targets.collect(),
        };
        let test = evaluate(
            &mut *executor_for(network, stage.parameters.clone())?,
            &request.data.test,
            EVALUATED,
        )?;
        Ok(Self {
            name,
            recipe,
            levels: stage.levels,
            validation: stage.validation,
            test,
            activations,
            costs,
            parameters: stage.parameters,
        })
    }

    /// Non-zero weights.
    #[must_use]
    pub fn weights_kept(&self) -> usize {
        self.parameters.weights().map(|p| non_zeros(&p.values)).sum()
    }

    /// All weights, zero or not.
    #[must_use]
    pub fn weights_total(&self) -> usize {
        self.parameters.weights().map(|p| p.values.len()).sum()
    }

    /// Bits of a surviving weight, averaged over survivors; indices not counted.
    #[must_use]
    pub fn bits_per_weight(&self) -> f64 {
        let bits: f64 = self
            .parameters
            .weights()
            .map(|p| non_zeros(&p.values) as f64 * f64::from(self.recipe.target(&p.layer).precision.bits()))
            .sum();
        bits / self.weights_kept().max(1) as f64
    }
}

fn non_zeros(values: &[f32]) -> usize {
    values.iter().filter(|&&v| v != 0.0).count()
}
