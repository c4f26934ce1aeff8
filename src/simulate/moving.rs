//! A layer that does not multiply and is not fused: what it moves takes the time of the ports and the DRAM.

use super::error::SimulateError;
use super::fusion::Step;
use super::layer::{LayerOutcome, find, finish};
use super::memory::{Layout, Moves, stream};
use super::stored::StoredWidths;
use super::work::{ActivationBits, LayerWork, Weights};
use crate::hardware::{Engine, Profile};
use crate::network::{Layer, LayerId, LoopNest, Network, Op};
use crate::units::{Overflow, add, product};
use std::collections::BTreeSet;

/// What a layer that only moves runs on, in place of an engine's name.
pub const MEMORY: &str = "memory";

/// A step of one layer that only moves: its inputs once in, its output once out, at the clock of the profile's first
/// engine. It goes a row of its output (a token, a sample) at a time. An embedding reads its table's rows like weights.
pub(super) fn moving(
    network: &Network,
    profile: &Profile,
    batch: u64,
    step: &Step,
    in_dram: &BTreeSet<LayerId>,
    widths: &StoredWidths,
) -> Result<LayerOutcome, SimulateError> {
    let at = network.layer(step.head);
    let overflow = |Overflow| SimulateError::Overflow {
        layer: at.name.clone(),
    };
    let bits = |layer: &Layer, width: u32| {
        product(&[batch, layer.output.elements() as u64, width.into()]).map_err(overflow)
    };
    let mut moves = Moves::default();
    for source in &step.reads {
        let place = &mut moves.inputs[usize::from(!in_dram.contains(source))];
        *place = add(*place, bits(network.layer(*source), widths.of(*source))?).map_err(overflow)?;
    }
    moves.outputs[usize::from(!in_dram.contains(&step.makes))] = bits(at, widths.of(step.makes))?;
    if matches!(at.op, Op::Embedding { .. }) {
        moves.weights = bits(at, profile.weight_bits)?;
    }
    let axes = &at.output.0;
    let rows = axes.len().checked_sub(2).map_or(1, |axis| axes[axis]);
    let pieces = product(&[batch, rows as u64]).map_err(overflow)?;
    let layout = Layout::new(&profile.memories);
    let array = stream(&at.name, moves, pieces, &profile.memories, &layout)?;
    let unit = Engine {
        name: MEMORY.into(),
        ..find(profile, 0)?.clone()
    };
    Ok(LayerOutcome {
        engine: 0,
        cost: finish(&nothing(&at.name, profile), profile, &unit, &array)?,
        all: Vec::new(),
    })
}

/// A layer without work for an array.
fn nothing<'a>(name: &'a str, profile: &Profile) -> LayerWork<'a> {
    LayerWork {
        name,
        nest: LoopNest {
            n: 1,
            g: 1,
            k: 1,
            c: 1,
            p: 1,
            q: 1,
            r: 1,
            s: 1,
            stride: [1, 1],
            dilation: [1, 1],
        },
        weights: Weights::Density(1.0),
        weight_bits: profile.weight_bits,
        activation_bits: ActivationBits::all(profile.activation_bits),
        activation_density: 1.0,
        output_density: 1.0,
        input_elements: 0,
        output_elements: 0,
        input_from_dram: false,
        output_to_dram: false,
        mapping: None,
        fused: None,
    }
}
