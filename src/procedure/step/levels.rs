//! Steps onto levels.

use super::{Kind, Place};
use crate::admm::{QuantiseOptions, Snapping};
use crate::compression::precision::Precision;
use crate::document::Fault;
use crate::network::Network;
use crate::procedure::form::{Admm, Training};
use crate::procedure::job::{JobError, kept};
use crate::procedure::run::{Point, Run};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// ADMM onto levels on the survivors, then training of the biases.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Levels {
    /// Names the step in logs and reports
    #[schemars(length(min = 1))]
    pub name: String,
    /// Bits of an equal-interval level per layer, one table per alternative; the one of fewest bytes that holds is
    /// chosen. Layers that are not named take 8
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bits: Vec<BTreeMap<String, u8>>,
    /// Precisions per layer, one table per alternative beside those of `bits`. Layers that are not named stay in float32
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub precision: Vec<BTreeMap<String, Precision>>,
    /// How many of the prunings that hold are tried, the smallest first
    #[serde(default = "once")]
    pub candidates: NonZeroU32,
    /// The ADMM run
    pub admm: Admm,
    /// Training through the levels before the snap: forward and backward with weights on levels, updates on the values
    /// behind them (straight-through)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Training>,
    /// Portions of the survivors that go onto levels step by step, ascending, each in (0, 1]; none is all at once
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub portions: Vec<f64>,
    /// Training of the others after each of the `portions`
    #[serde(default)]
    pub between: Training,
    /// Training of the biases
    #[serde(default)]
    pub retrain: Training,
}

fn once() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl Levels {
    /// The alternatives: a label and one precision per weighted layer.
    fn alternatives(&self, network: &Network) -> Vec<(String, Vec<Precision>)> {
        let by_bits = self.bits.iter().map(|widths| {
            let width = |l: &crate::network::Layer| widths.get(&l.name).copied().unwrap_or(8);
            let label: Vec<String> = network.weighted().map(|l| width(l).to_string()).collect();
            let list = network.weighted().map(|l| Precision::equal_interval(width(l)));
            (format!("{}-bit", label.join("-")), list.collect())
        });
        let by_kind = self.precision.iter().enumerate().map(|(i, kinds)| {
            let of = |l: &crate::network::Layer| kinds.get(&l.name).copied().unwrap_or(Precision::Float32);
            let list: Vec<Precision> = network.weighted().map(of).collect();
            let bits: Vec<String> = list.iter().map(|p| p.bits().to_string()).collect();
            (format!("precision-{}-{}-bit", i + 1, bits.join("-")), list)
        });
        by_bits.chain(by_kind).collect()
    }
}

impl Kind for Levels {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, run: &mut Run<'_, '_>) -> Result<(), JobError> {
        let seed = run.job.source.seed;
        let options = QuantiseOptions {
            admm: self.admm.options(seed),
            through: self.through.map(|t| t.options(seed)),
            snapping: if self.portions.is_empty() {
                Snapping::AtOnce
            } else {
                Snapping::Incremental {
                    portions: self.portions.clone(),
                    train: self.between.options(seed),
                }
            },
            retrain: self.retrain.retrain(seed),
        };
        let mut starts: Vec<(usize, u64, Point)> = run
            .path
            .iter()
            .filter(|n| n.precisions.is_empty() && n.holds)
            .map(|n| (n.weights(), n.point.network.macs(), n.point.clone()))
            .collect();
        starts.sort_by_key(|(weights, macs, _)| (*weights, *macs));
        if starts.is_empty() {
            starts = run.starts(1).into_iter().map(|s| (0, 0, s)).collect();
        }
        for (_, _, from) in starts.iter().take(self.candidates.get() as usize) {
            let weights: usize = kept(&from.stage.parameters).iter().sum();
            for (label, precisions) in self.alternatives(&from.network) {
                let name = format!("{}-{weights}-{label}", self.name);
                let stage = run
                    .job
                    .on(&from.network)
                    .quantise(&name, &from.stage, &precisions, &options)?;
                run.push(name, from.with(stage), precisions);
            }
        }
        Ok(())
    }

    fn faults(&self, at: &Place<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.bits.is_empty() && self.precision.is_empty() {
            faults.push(at.fault(
                &["name"],
                "a `levels` step needs `bits` or `precision`",
                "write bits per layer, as `bits = [{ fc1 = 4 }]`",
            ));
        }
        for (layer, &bits) in self.bits.iter().flatten() {
            faults.extend(at.unknown(&["bits"], layer));
            if !(1..=16).contains(&bits) {
                faults.push(at.fault(
                    &["bits"],
                    format!("layer `{layer}`: levels of {bits} bits do not exist"),
                    "write 1 to 16 bits",
                ));
            }
        }
        for (layer, precision) in self.precision.iter().flatten() {
            faults.extend(at.unknown(&["precision"], layer));
            if !precision.has_valid_bits() {
                faults.push(at.fault(
                    &["precision"],
                    format!(
                        "layer `{layer}`: levels of {} bits do not exist",
                        precision.bits()
                    ),
                    format!("write 1 to {} bits", precision.most_bits().unwrap_or(u8::MAX)),
                ));
            }
        }
        let mut last = 0.0;
        for &portion in &self.portions {
            if !(portion > last && portion <= 1.0) {
                faults.push(at.fault(
                    &["portions"],
                    format!("the portion {portion} does not follow {last}"),
                    "write ascending portions, each above 0 and up to 1",
                ));
            }
            last = portion;
        }
        faults
    }
}
