//! What the simulator is asked: one layer, with its weights as they are.

use super::engine::RowStationaryMapping;
use super::layer::Pick;
use super::memory::Tiling;
use super::spatial::Spatial;
use crate::compression::Mask;
use crate::hardware::Profile;
use crate::network::LoopNest;

/// The weights of a layer, as far as they are known.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a> {
    /// The real non-zero pattern: exact.
    Pattern(&'a Mask),
    /// Only a density in (0, 1], positions uniformly random: expectations.
    Density(f64),
}

/// How a layer is to lie on an engine and in its buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// This mapping, on row-stationary arrays only.
    RowStationary(RowStationaryMapping),
    /// These tiles, on all other engines.
    Tiled(Tiling),
    /// This split of the array, on engines that have one, with these tiles or else those that load least.
    Spatial(Spatial, Option<Tiling>),
    /// Every split of the array with every tiling that fits is tried and the best by this measure taken; without it,
    /// the groups at once that take the fewest cycles and the tiling that loads the fewest DRAM bits. Row-stationary
    /// arrays search as they do without it.
    Searched(Pick),
}

impl Mapping {
    /// Whether it says what to run, so that what does not fit is an error.
    pub(super) const fn is_pinned(self) -> bool {
        !matches!(self, Self::Searched(_))
    }

    /// The split that is pinned.
    pub(super) const fn spatial(self) -> Option<Spatial> {
        match self {
            Self::Spatial(split, _) => Some(split),
            _ => None,
        }
    }

    /// The tiles that are pinned.
    pub(super) const fn tiling(self) -> Option<Tiling> {
        match self {
            Self::Tiled(tiling) => Some(tiling),
            Self::Spatial(_, tiling) => tiling,
            _ => None,
        }
    }
}

impl From<RowStationaryMapping> for Mapping {
    fn from(mapping: RowStationaryMapping) -> Self {
        Self::RowStationary(mapping)
    }
}

impl From<Spatial> for Mapping {
    fn from(split: Spatial) -> Self {
        Self::Spatial(split, None)
    }
}

impl From<Tiling> for Mapping {
    fn from(tiling: Tiling) -> Self {
        Self::Tiled(tiling)
    }
}

/// Bits of a layer's activations, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ActivationBits {
    /// Of an input as the array multiplies it.
    pub operand: u32,
    /// Of an input as memories hold it: the widest that any of its readers multiplies.
    pub input: u32,
    /// Of an output as memories hold it.
    pub output: u32,
    /// Of a partial sum on its way between array and buffer.
    pub partial_sum: u32,
}

impl ActivationBits {
    /// All of one width.
    #[must_use]
    pub const fn all(bits: u32) -> Self {
        Self {
            operand: bits,
            input: bits,
            output: bits,
            partial_sum: bits,
        }
    }

    /// Inputs multiplied at `operand` bits, of features that are stored at `input` and `output` bits. Partial sums
    /// keep the profile's width, whatever their operands lose, and are no narrower than what they end in.
    #[must_use]
    pub fn of(profile: &Profile, operand: u32, [input, output]: [u32; 2]) -> Self {
        Self {
            operand,
            input,
            output,
            partial_sum: profile.activation_bits.max(operand).max(output),
        }
    }
}

/// What is fused behind a layer. The layer's own outputs are not stored: what leaves the chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fused {
    /// Elements that leave the chain, one sample.
    pub leaves: u64,
    /// Elements of the other operands of fused adds that come from DRAM, one sample.
    pub added_from_dram: u64,
    /// Those that lie on chip.
    pub added_on_chip: u64,
    /// Bits of one of them, the widest of all.
    pub added_bits: u32,
}

/// One layer that multiplies.
#[derive(Debug, Clone, Copy)]
pub struct LayerWork<'a> {
    /// The layer's name, for errors.
    pub name: &'a str,
    /// Its loops, batch included.
    pub nest: LoopNest,
    /// Its weights; `Density(1.0)` for a product of activations.
    pub weights: Weights<'a>,
    /// Bits of a stored weight.
    pub weight_bits: u32,
    /// Bits of its inputs, outputs and partial sums.
    pub activation_bits: ActivationBits,
    /// Portion of input activations that are not zero.
    pub activation_density: f64,
    /// Portion of outputs that are not zero, as DRAM sees them.
    pub output_density: f64,
    /// Elements of the input, one sample.
    pub input_elements: u64,
    /// Elements of the output, one sample; with something fused, of what leaves the chain.
    pub output_elements: u64,
    /// Whether the input comes from DRAM (the network's own input) and whether the output goes there.
    pub input_from_dram: bool,
    /// Whether the output goes to DRAM.
    pub output_to_dram: bool,
    /// The mapping to run, or the measure to search for; without it row-stationary arrays search by themselves, and
    /// other engines run as many groups at once as is fastest, in the tiles that load least. An engine refuses a mapping of the other kind.
    pub mapping: Option<Mapping>,
    /// What is fused behind it.
    pub fused: Option<Fused>,
}
