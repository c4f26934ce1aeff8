//! What counts of non-zeros cost, by expectation: fast enough to ask thousands of times during a search.

use super::objective::Objective;
use crate::hardware::Profile;
use crate::network::{Layer, Workload};
use crate::simulate::break_even::{self, Pair};
use crate::simulate::{
    ActivationBits, Estimator, LayerSetting, LayerWork, NetworkCost, Pick, SimulateError, Weights,
};

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

/// The price of an objective on profiles: the sum over profiles of the cost relative to dense.
#[derive(Debug)]
pub(super) struct Costing<'a> {
    workload: &'a Workload,
    weighted: Vec<&'a Layer>,
    profiles: &'a [Profile],
    objective: Objective,
    weight_bits: u32,
    estimators: Vec<Estimator<'a>>,
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
    /// Prices for surviving weights of `weight_bits` bits, one sample at a time.
    pub(super) fn new(
        workload: &'a Workload,
        profiles: &'a [Profile],
        objective: Objective,
        weight_bits: u32,
    ) -> Result<Self, SimulateError> {
        let weighted = workload.network.weighted().collect();
        let mut costing = Self {
            workload,
            weighted,
            profiles,
            objective,
            weight_bits,
            estimators: profiles
                .iter()
                .map(|p| Estimator::new(&workload.network, p, 1, pick(objective)))
                .collect(),
            dense: Vec::new(),
        };
        costing.dense = (0..profiles.len())
            .map(|p| costing.on(p, None))
            .collect::<Result<_, _>>()?;
        Ok(costing)
    }

    /// The objective on one profile; `None` counts every weight at the profile's own width.
    fn on(&self, place: usize, kept: Option<&[usize]>) -> Result<f64, SimulateError> {
        let profile = &self.profiles[place];
        let share = |i: usize, l: &Layer| kept.map_or(1.0, |k| k[i] as f64 / l.weights() as f64);
        let bits = if kept.is_some() {
            self.weight_bits.min(profile.weight_bits)
        } else {
            profile.weight_bits
        };
        let layers = || self.weighted.iter().enumerate().map(|(i, l)| (*l, share(i, l)));
        match self.objective {
            Objective::Size => Ok(layers()
                .map(|(l, density)| {
                    let all = l.weights() as f64 * f64::from(bits);
                    if kept.is_some() {
                        all.min(expected_bits(l.weights(), density, bits))
                    } else {
                        all
                    }
                })
                .sum()),
            Objective::Computation => Ok(layers()
                .map(|(l, density)| l.nest.map_or(0.0, |n| n.macs() as f64) * density)
                .sum()),
            Objective::Energy | Objective::Latency | Objective::Edp => {
                let total = self.estimators[place].total(&|l| self.setting(profile, kept, bits, l))?;
                Ok(match self.objective {
                    Objective::Latency => total.seconds,
                    Objective::Edp => total.energy.total() * total.seconds,
                    _ => total.energy.total(),
                })
            }
        }
    }

    /// A layer at counts of non-zeros.
    fn setting(
        &self,
        profile: &Profile,
        kept: Option<&[usize]>,
        weight_bits: u32,
        layer: &Layer,
    ) -> LayerSetting<'a> {
        let at = self.weighted.iter().position(|l| l.name == layer.name);
        let density = match (at, kept) {
            (Some(i), Some(kept)) => kept[i] as f64 / layer.weights() as f64,
            _ => 1.0,
        };
        LayerSetting {
            weights: Weights::Density(density),
            weight_bits: if at.is_some() {
                weight_bits
            } else {
                profile.weight_bits
            },
            activation_density: self.workload.activation_density(layer),
            activation_bits: None,
            mapping: None,
        }
    }

    fn simulate(
        &self,
        place: usize,
        kept: Option<&[usize]>,
        weight_bits: u32,
    ) -> Result<NetworkCost, SimulateError> {
        let profile = &self.profiles[place];
        let setting = |layer: &Layer| self.setting(profile, kept, weight_bits, layer);
        self.estimators[place].network(&setting)
    }

    /// Which layers are pruned below their break-even: the dense engine serves the objective at least as well on
    /// every profile. For `computation` that is ADMM-NN's rule, the pruned portion against the equal-area
    /// crossing; for `size`, dense storage against the sparse one; otherwise the cheapest engine of the profile.
    pub(super) fn below_break_even(&self, kept: &[usize]) -> Result<Vec<bool>, SimulateError> {
        let mut below = vec![!self.profiles.is_empty(); self.weighted.len()];
        for (place, profile) in self.profiles.iter().enumerate() {
            let bits = self.weight_bits.min(profile.weight_bits);
            let cost = self.simulate(place, Some(kept), bits)?;
            for ((layer, &k), below) in self.weighted.iter().zip(kept).zip(&mut below) {
                let density = k as f64 / layer.weights() as f64;
                *below &= k < layer.weights()
                    && match self.objective {
                        Objective::Size => {
                            expected_bits(layer.weights(), density, bits)
                                >= layer.weights() as f64 * f64::from(bits)
                        }
                        Objective::Computation => {
                            Self::crossing(layer, profile)?.is_some_and(|crossing| 1.0 - density < crossing)
                        }
                        _ => cost
                            .layers
                            .iter()
                            .any(|l| l.name == layer.name && !is_sparse(profile, l.outcome.engine)),
                    };
            }
        }
        Ok(below)
    }

    /// The equal-area crossing of a layer, where the profile has a dense and a sparse engine with areas.
    fn crossing(layer: &Layer, profile: &Profile) -> Result<Option<f64>, SimulateError> {
        let (Some(pair), Some(nest)) = (pair(profile), layer.nest) else {
            return Ok(None);
        };
        let work = LayerWork {
            name: &layer.name,
            nest,
            weights: Weights::Density(1.0),
            weight_bits: profile.weight_bits,
            activation_bits: ActivationBits::all(profile.activation_bits),
            activation_density: 1.0,
            input_elements: 0,
            output_elements: 0,
            input_from_dram: false,
            output_to_dram: false,
            output_density: 1.0,
            mapping: None,
            fused: None,
        };
        match break_even::curve(&work, profile, pair, &[]) {
            Ok(curve) => Ok(curve.crossing),
            Err(SimulateError::MissingArea { .. } | SimulateError::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Price for Costing<'_> {
    fn cost(&self, kept: &[usize]) -> Result<f64, SimulateError> {
        self.profiles
            .iter()
            .zip(&self.dense)
            .enumerate()
            .map(|(p, (_, dense))| Ok(self.on(p, Some(kept))? / dense))
            .sum()
    }
}

/// Whether an engine of a profile reads an index.
pub(super) fn is_sparse(profile: &Profile, engine: usize) -> bool {
    profile.engines[engine].kind.is_sparse()
}

/// The first dense and the first sparse engine of a profile.
pub(super) fn pair(profile: &Profile) -> Option<Pair> {
    let place = |sparse: bool| (0..profile.engines.len()).find(|&e| is_sparse(profile, e) == sparse);
    Some(Pair {
        dense: place(false)?,
        sparse: place(true)?,
    })
}

/// Widths of a relative index that storage may choose from.
pub(super) const INDEX_BITS: std::ops::RangeInclusive<u8> = 1..=12;

/// Expected bits of a random mask of a density under the best width of a relative index: entries are
/// q/(1 − p^L) per weight, fillers included (L = 2^k).
///
/// The search prices storage by what sparse engines read. `Encoding::expected_bits` is smaller, 6 to 9 % with
/// Golomb-Rice codes and bitmaps, and asks another price of a weight: from 15 % less at a density of 0.005 over 4 % more
/// at 0.02 to 19 % less at 0.4 (`tests/compression_encoding.rs`), so that it would choose other counts.
fn expected_bits(weights: usize, density: f64, value_bits: u32) -> f64 {
    let p = 1.0 - density;
    INDEX_BITS
        .map(|k| {
            let reach = f64::from(1u32 << k);
            weights as f64 * density / (1.0 - p.powf(reach)) * f64::from(value_bits + u32::from(k))
        })
        .fold(f64::INFINITY, f64::min)
}
