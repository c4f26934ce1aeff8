//! Biases, gains and shifts of dead filters.

use super::SurgeryError;
use super::units::{Relation, Units};
use crate::compression::Mask;
use crate::network::op::Activation;
use crate::network::{Network, Op};
use crate::training::{Parameters, Role};

/// Zeroes the biases of filters that have no weights or read only silent units, and the gains and shifts of the
/// normalisations behind them, and takes them out of their supports, so that training leaves them at zero. Then a dead
/// filter is zero and not a constant, and can leave through padded convolutions and additions too.
///
/// Outputs change where such a bias or shift was not zero: train the network afterwards. Units that reach the network's
/// output without another weight keep their biases.
///
/// Returns the parameters and how many values were zeroed.
///
/// # Errors
/// When the parameters are not those of the network.
pub fn silence(network: &Network, parameters: &Parameters) -> Result<(Parameters, usize), SurgeryError> {
    let units = Units::new(network, parameters)?;
    let mut ends = units.each(false);
    ends[network.output().index()].fill(true);
    for &(id, _) in units
        .layers
        .iter()
        .rev()
        .filter(|(id, _)| units.relation(*id) == Relation::Tied)
    {
        for unit in (0..units.count(id))
            .filter(|&u| ends[id.index()][u])
            .collect::<Vec<_>>()
        {
            for (input, u) in units.sources(id, unit) {
                ends[input.index()][u] = true;
            }
        }
    }
    let mut silent = units.each(false);
    let mut dead: Vec<(String, usize)> = Vec::new();
    for &(id, layer) in &units.layers {
        let quiet = |unit: usize| match units.relation(id) {
            Relation::Opaque => false,
            Relation::Tied => {
                let keeps_zero = !matches!(layer.op, Op::Activation(Activation::Sigmoid));
                let sources = units.sources(id, unit);
                keeps_zero && sources.iter().all(|&(input, u)| silent[input.index()][u])
            }
            Relation::Dense { .. } | Relation::Grouped { .. } => units.weights(layer).is_some_and(|w| {
                let input = &silent[layer.inputs[0].index()];
                (0..w.channels).all(|c| input[w.input(unit, c)] || !w.reads(unit, c))
            }),
        };
        let found: Vec<bool> = (0..units.count(id))
            .map(|unit| !ends[id.index()][unit] && quiet(unit))
            .collect();
        dead.extend(
            (0..found.len())
                .filter(|&u| found[u])
                .map(|u| (layer.name.clone(), u)),
        );
        silent[id.index()] = found;
    }
    let mut next = parameters.clone();
    let mut zeroed = 0;
    for p in &mut next.list {
        if !matches!(p.role, Role::Bias | Role::Gain | Role::Shift) {
            continue;
        }
        for (_, unit) in dead.iter().filter(|(layer, _)| *layer == p.layer) {
            let rows = p.values.len();
            let support = p.support.get_or_insert_with(|| Mask::full(rows, 1));
            zeroed += usize::from(support.get(*unit) && p.values[*unit] != 0.0);
            support.set(*unit, false);
            p.values[*unit] = 0.0;
        }
    }
    Ok((next, zeroed))
}
