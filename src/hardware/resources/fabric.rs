//! What engines are built of on one part at one precision.

use super::{Family, Multiplier, Resources, Widths, dense_pe, dsp_per_pe, packing, pieces};
use crate::units::{Overflow, mul};

/// A part's family, the operands' widths and how they are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fabric {
    /// The part's family.
    pub family: Family,
    /// Widths of the operands.
    pub widths: Widths,
    /// What multiplies.
    pub multiplier: Multiplier,
    /// Whether several products may share a DSP slice.
    pub packing: bool,
}

impl Fabric {
    /// Whether both operands have one bit, so that products are XNOR gates.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.widths.weight <= 1 && self.widths.activation <= 1
    }

    /// One multiply-accumulate.
    #[must_use]
    pub fn mac(&self) -> Resources {
        dense_pe(self.family, self.widths, self.multiplier)
    }

    /// Slices that hold the products of `weights` weights with `activations` activations, and whether some share one.
    fn slices(&self, weights: u64, activations: u64) -> Result<(u64, bool), Overflow> {
        let Multiplier::Dsp { .. } = self.multiplier else {
            return Ok((0, false));
        };
        let widths = (self.widths.weight, self.widths.activation);
        if self.packing && widths.0.min(widths.1) > 1 {
            let packed = packing(self.family, widths, (weights, activations));
            if packed.products() > 1 {
                let slices = mul(
                    weights.div_ceil(packed.weights.into()),
                    activations.div_ceil(packed.activations.into()),
                )?;
                return Ok((slices, true));
            }
        }
        let each = dsp_per_pe(self.family, widths.0, widths.1);
        Ok((mul(each, mul(weights, activations)?)?, false))
    }

    /// The multiply-accumulates of every one of `weights` weights with every one of `activations` activations, each
    /// with an accumulator. Where several share a slice their accumulators are logic: the slice's own would mix them.
    ///
    /// # Errors
    /// If a count overflows.
    pub fn macs(&self, weights: u64, activations: u64) -> Result<Resources, Overflow> {
        let count = mul(weights, activations)?;
        let (dsp, shared) = self.slices(weights, activations)?;
        if !shared {
            return self.mac().times(count);
        }
        let accumulators = mul(count, self.widths.accumulator.into())?;
        Ok(Resources {
            dsp,
            lut: accumulators,
            ff: accumulators,
            ..Resources::default()
        })
    }

    /// As [`Self::macs`], without accumulators: products leave in a register. What a product takes back from the one
    /// below it in a shared slice is an adder.
    ///
    /// # Errors
    /// If a count overflows.
    pub fn products(&self, weights: u64, activations: u64) -> Result<Resources, Overflow> {
        let count = mul(weights, activations)?;
        let (dsp, shared) = self.slices(weights, activations)?;
        let product = u64::from(self.widths.weight) + u64::from(self.widths.activation);
        let accumulator = u64::from(self.widths.accumulator);
        let each = match (dsp, shared) {
            (0, _) => [self.mac().lut.saturating_sub(accumulator), product],
            (_, false) => [0, 0], // the slice's own register
            (_, true) => [product, product],
        };
        Ok(Resources {
            dsp,
            lut: mul(each[0], count)?,
            ff: mul(each[1], count)?,
            ..Resources::default()
        })
    }

    /// Units that each sum `lanes` products and accumulate: every one of `weights` rows of weights with every one of
    /// `activations` columns of activations. A tree over N products and its accumulator take N adders, one for each
    /// multiplier; XNOR products are counted.
    ///
    /// # Errors
    /// If a count overflows.
    pub fn dots(&self, lanes: u64, weights: u64, activations: u64) -> Result<Resources, Overflow> {
        if self.is_binary() {
            let unit = pieces::xnor_popcount(self.family, lanes, self.widths.accumulator);
            return unit.times(mul(weights, activations)?);
        }
        self.macs(weights, activations)?.times(lanes)
    }
}

impl Resources {
    /// So many look-up tables and flip-flops.
    pub(in crate::hardware) fn logic(lut: u64, ff: u64) -> Self {
        Self {
            lut,
            ff,
            ..Self::default()
        }
    }

    /// The sum of several.
    pub(in crate::hardware) fn sum(parts: &[Self]) -> Result<Self, Overflow> {
        parts
            .iter()
            .try_fold(Self::default(), |sum, &part| sum.plus(part))
    }
}

/// `words` registers of `bits` bits.
pub(in crate::hardware) fn registers(words: u64, bits: u64) -> Result<Resources, Overflow> {
    Ok(Resources::logic(0, mul(words, bits)?))
}
