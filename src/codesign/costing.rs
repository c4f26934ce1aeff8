//! What counts of non-zeros cost, by expectation: fast enough to ask thousands of times during a search.

use super::objective::Objective;
use crate::compression::encoding;
use crate::hardware::Profile;
use crate::network::{Layer, Network};
use crate::simulate::{self, LayerCost, LayerWork, Pick, SimulateError, Weights};

/// A price on counts of non-zeros.
pub(super) trait Price {
    /// The cost of counts, one per weighted layer.
    fn cost(&self, kept: &[usize]) -> Result<f64, SimulateError>;

    /// The cost of one more weight in layer `i`: a central difference over 4 % of its count.
    fn unit(&self, kept: &[usize], i: usize, total: usize) -> Result<f64, SimulateError> {
        let reach = (kept[i] / 50).max(1);
        let (low, high) = (kept[i].saturating_sub(reach).max(1), (kept[i] + reach).min(total));
        if high <= low {
            return Ok(0.0);
        }
        let at = |k: usize| {
            let mut kept = kept.to_vec();
            kept[i] = k;
            self.cost(&kept)
        };
        Ok(((at(high)? - at(low)?) / (high - low) as f64).max(0.0))
    }
}

/// Every weight costs one: the price of the first cut, which serves all objectives.
#[derive(Debug, Clone, Copy)]
pub(super) struct EveryWeight;

impl Price for EveryWeight {
    fn cost(&self, kept: &[usize]) -> Result<f64, SimulateError> {
        Ok(kept.iter().sum::<usize>() as f64)
    }
}

/// The price of an objective on profiles: the sum over profiles of the cost relative to dense.
#[derive(Debug)]
pub struct Costing<'a> {
    layers: Vec<&'a Layer>,
    others: Vec<&'a Layer>,
    network: &'a Network,
    profiles: &'a [Profile],
    objective: Objective,
    weight_bits: u32,
    batch: u64,
    dense: Vec<f64>,
}

/// How the engines of a layer are compared for an objective.
pub(super) fn pick(objective: Objective) -> Pick {
    match objective {
        Objective::Latency => Pick::Latency,
        Objective::Edp => Pick::EnergyDelay,
        Objective::Size | Objective::Computation | Objective::Energy => Pick::Energy,
    }
}

impl<'a> Costing<'a> {
    /// Prices for surviving weights of `weight_bits` bits.
    ///
    /// # Errors
    /// When a profile cannot run a layer.
    pub fn new(network: &'a Network, profiles: &'a [Profile], objective: Objective, weight_bits: u32, batch: u64) -> Result<Self, SimulateError> {
        let layers: Vec<&Layer> = network.weighted().collect();
        let others = network.layers().map(|(_, l)| l).filter(|l| l.nest.is_some() && l.weights() == 0).collect();
        let mut costing = Self { layers, others, network, profiles, objective, weight_bits, batch, dense: Vec::new() };
        costing.dense = costing.profiles.iter().map(|p| costing.on(p, None)).collect::<Result<_, _>>()?;
        Ok(costing)
    }

    /// The objective on one profile; `None` counts every weight at the profile's own width.
    fn on(&self, profile: &Profile, kept: Option<&[usize]>) -> Result<f64, SimulateError> {
        let densities = |i: usize, l: &Layer| kept.map_or(1.0, |k| k[i] as f64 / l.weights() as f64);
        match self.objective {
            Objective::Size => Ok(self
                .layers
                .iter()
                .enumerate()
                .map(|(i, l)| match kept {
                    Some(_) => encoding::expected_bits(l.weights() as u64, densities(i, l), self.weight_bits),
                    None => l.weights() as f64 * f64::from(profile.weight_bits),
                })
                .sum()),
            Objective::Computation => Ok(self
                .layers
                .iter()
                .enumerate()
                .map(|(i, l)| l.nest.map_or(0.0, |n| n.macs() as f64) * densities(i, l))
                .sum()),
            Objective::Energy | Objective::Latency | Objective::Edp => {
                let (mut energy, mut seconds) = (0.0, 0.0);
                let bits = if kept.is_some() { self.weight_bits } else { profile.weight_bits };
                let weighted = self.layers.iter().enumerate().map(|(i, l)| (*l, densities(i, l)));
                for (layer, density) in weighted.chain(self.others.iter().map(|l| (*l, 1.0))) {
                    let cost = self.layer(layer, profile, density, bits)?;
                    energy += cost.energy.total();
                    seconds += cost.seconds;
                }
                Ok(match self.objective {
                    Objective::Energy => energy,
                    Objective::Latency => seconds,
                    _ => energy * seconds,
                })
            }
        }
    }

    fn layer(&self, layer: &Layer, profile: &Profile, density: f64, bits: u32) -> Result<LayerCost, SimulateError> {
        let work = LayerWork::new(self.network, layer, Weights::Density(density), bits, profile.activation_bits, self.batch);
        Ok(simulate::layer(&work, profile, pick(self.objective))?.best)
    }

    /// The objective's cost of the dense network: one per profile.
    #[must_use]
    pub fn dense(&self) -> f64 {
        self.profiles.len().max(1) as f64
    }
}

impl Price for Costing<'_> {
    fn cost(&self, kept: &[usize]) -> Result<f64, SimulateError> {
        if self.profiles.is_empty() {
            return Ok(0.0);
        }
        self.profiles.iter().zip(&self.dense).map(|(p, dense)| Ok(self.on(p, Some(kept))? / dense)).sum()
    }
}
