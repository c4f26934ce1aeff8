//! Units that hold one value whatever the input.

use super::units::{Relation, Units};
use crate::network::op::Activation;
use crate::network::{Layer, LayerId, Op};
use statrs::function::erf::erf;

/// By layer and unit, the value that it holds at every position and for every input in evaluation, if it does.
pub(super) fn constants(units: &Units<'_>) -> Vec<Vec<Option<f64>>> {
    let mut found = units.each(None);
    for &(id, layer) in &units.layers {
        let values = match units.relation(id) {
            Relation::Opaque => continue,
            Relation::Tied => tied(units, id, layer, &found),
            Relation::Dense { padded } | Relation::Grouped { padded } => {
                let Some(weights) = units.weights(layer) else {
                    continue;
                };
                let input = &found[layer.inputs[0].index()];
                let bias = units.values(layer, "bias");
                let value = |row: usize| {
                    let mut sum = bias.map_or(0.0, |b| f64::from(b[row]));
                    for channel in (0..weights.channels).filter(|&c| weights.reads(row, c)) {
                        let value = input[weights.input(row, channel)].filter(|&v| foldable(v, padded))?;
                        sum += weights.of_constant(row, channel, value);
                    }
                    Some(sum)
                };
                (0..weights.rows).map(value).collect()
            }
        };
        found[id.index()] = values;
    }
    found
}

/// Whether a constant input is the same at every position that a window sees.
pub(super) fn foldable(value: f64, padded: bool) -> bool {
    value == 0.0 || (!padded && value.is_finite())
}

fn tied(units: &Units<'_>, id: LayerId, layer: &Layer, found: &[Vec<Option<f64>>]) -> Vec<Option<f64>> {
    let norm = ["gain", "shift", "mean", "variance"].map(|s| units.values(layer, s));
    let value = |unit: usize| {
        let sources: Option<Vec<f64>> = units
            .sources(id, unit)
            .into_iter()
            .map(|(input, u)| found[input.index()][u])
            .collect();
        let sources = sources?;
        let first = *sources.first()?;
        match (&layer.op, norm) {
            (Op::Add, _) => Some(sources.iter().sum()),
            (Op::Activation(function), _) => Some(activated(*function, first)),
            (Op::BatchNorm { eps }, [Some(gain), Some(shift), Some(mean), Some(variance)]) => {
                let of = |values: &[f32]| f64::from(values[unit]);
                Some(of(gain) * (first - of(mean)) / (of(variance) + f64::from(*eps)).sqrt() + of(shift))
            }
            (Op::BatchNorm { .. }, _) => None,
            // joined along another axis than that of the units
            _ => sources
                .iter()
                .all(|s| s.to_bits() == first.to_bits())
                .then_some(first),
        }
    };
    (0..units.count(id)).map(value).collect()
}

fn activated(function: Activation, x: f64) -> f64 {
    match function {
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Gelu => x * 0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
    }
}
