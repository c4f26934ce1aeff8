//! Multipliers fed by a distribution network and summed by a forwarding adder tree: what a profile says of them.

use super::{EngineForm, EngineKind, doubled};
use crate::compression::encoding::Encoding;
use crate::hardware::read::{MAX_COUNT, Reader};
use crate::hardware::resources::{Fabric, Resources, ResourcesError, pieces, registers};
use crate::units::mul;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// Multipliers that hold weights packed densely whatever row they belong to, between a distribution network and a
/// forwarding adder tree. Sparse it is SIGMA-like (HPCA 2020), dense MAERI-like (ASPLOS 2018).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flexible {
    /// Multipliers, a power of two.
    pub multipliers: u32,
    /// Words a cycle that the distribution network delivers, one to each of so many equal runs of multipliers.
    pub distribution_words: u32,
    /// Lines a cycle over which finished sums leave the adder tree.
    pub output_lines: u32,
    /// Whether a bitmap leaves zero weights out; a dense engine maps every weight.
    pub sparse: bool,
}

/// Multipliers between a distribution network and a forwarding adder tree.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Flexible")]
pub(crate) struct RawFlexible {
    /// Multipliers, a power of two.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) multipliers: Spanned<u64>,
    /// Words a cycle of the distribution network; at most one for each multiplier.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) distribution_words: Spanned<u64>,
    /// Lines a cycle over which sums leave the adder tree.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) output_lines: Spanned<u64>,
    /// Whether a bitmap leaves zero weights out.
    pub(crate) sparse: bool,
    /// Where the structure comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

impl RawFlexible {
    /// The checked engine.
    pub(super) fn read(&self, reader: &mut Reader) -> Option<Flexible> {
        let multipliers = reader.count(&self.multipliers, "`multipliers`", MAX_COUNT);
        let words = reader.count(&self.distribution_words, "`distribution-words`", MAX_COUNT);
        let lines = reader.count(&self.output_lines, "`output-lines`", MAX_COUNT);
        reader.source(&self.source);
        let (multipliers, words) = (multipliers?, words?);
        if !multipliers.is_power_of_two() {
            reader.fault(
                self.multipliers.span(),
                format!("{multipliers} multipliers do not fill a binary adder tree"),
                "write a power of two",
            );
            return None;
        }
        if words > multipliers {
            reader.fault(
                self.distribution_words.span(),
                format!("{words} words a cycle for {multipliers} multipliers"),
                "write at most one word for each multiplier",
            );
            return None;
        }
        Some(Flexible {
            multipliers,
            distribution_words: words,
            output_lines: lines?,
            sparse: self.sparse,
        })
    }
}

impl EngineForm for Flexible {
    fn encoding(&self) -> Encoding {
        if self.sparse {
            Encoding::Bitmap
        } else {
            Encoding::Dense
        }
    }

    fn mapping(&self) -> String {
        format!("flexible-{}-bw{}", self.multipliers, self.distribution_words)
    }

    fn label(&self) -> String {
        let kind = if self.sparse { "sparse" } else { "dense" };
        format!("flexible {kind} {}", self.multipliers)
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        let weights = if self.sparse {
            "non-zeros packed by a bitmap"
        } else {
            "every weight"
        };
        vec![
            (
                "array",
                format!("{} multipliers under a forwarding adder tree", self.multipliers),
            ),
            ("weights", weights.into()),
            (
                "networks",
                format!(
                    "{} words in and {} sums out a cycle",
                    self.distribution_words, self.output_lines
                ),
            ),
        ]
    }

    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)> {
        let twice = |what, count| doubled(self, EngineKind::Flexible, what, count);
        match cause {
            "compute" | "unused" => vec![twice("multipliers", |a| &mut a.multipliers)],
            "imbalance" => vec![twice("output lines", |a| &mut a.output_lines)],
            "fill_drain" | "feature_port" => vec![twice("distribution words", |a| &mut a.distribution_words)],
            _ => Vec::new(),
        }
    }

    /// Composed: a Benes network of 2 x 2 switches for the words, multipliers that hold a weight, a tree of registered
    /// adders that each choose between their children and a neighbour, and an accumulator on every output line. Sparse,
    /// a prefix sum over the bitmap says which words are needed.
    fn resources(&self, _: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        let [multipliers, words, lines] =
            [self.multipliers, self.distribution_words, self.output_lines].map(u64::from);
        let widths = fabric.widths;
        let (word, accumulator) = (
            u64::from(widths.weight.max(widths.activation)),
            u64::from(widths.accumulator),
        );
        let levels = |n: u64| u64::from(n.next_power_of_two().trailing_zeros());
        let stages = (2 * levels(words)).saturating_sub(1);
        let moved = mul(mul(words, stages)?, word)?;
        let network = Resources::logic(moved, moved);
        let products = fabric.products(1, 1)?.times(multipliers)?;
        let operands = registers(
            multipliers,
            u64::from(widths.weight) + u64::from(widths.activation),
        )?;
        // an adder and the choice of its operands take two tables a bit
        let adder = Resources::logic(2 * accumulator, accumulator);
        let tree = adder.times(multipliers - 1)?;
        // a line ends a run of adders
        let choice = pieces::mux(multipliers.div_ceil(lines), accumulator)?;
        let line = Resources::logic(choice, 0).plus(Resources::logic(accumulator, accumulator))?;
        let bitmap = if self.sparse {
            mul(multipliers, levels(multipliers))?
        } else {
            0
        };
        Ok(Resources::sum(&[
            network,
            products,
            operands,
            tree,
            line.times(lines)?,
            Resources::logic(bitmap, bitmap),
        ])?)
    }
}
