//! What layers shall become, how, and what became of them.

use super::error::LayerwiseError;
use super::grid::Grid;
use super::quality::Quality;
use super::solve::Method;
use crate::compression::structure::Structure;

/// What one layer shall become.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerTarget {
    /// The layer.
    pub layer: String,
    /// Where zeros may stand.
    pub structure: Structure,
    /// Portion of weights kept, in (0, 1].
    pub density: f64,
    /// Bits of a weight's code, 1 to 16; `None` leaves weights in floating point.
    pub bits: Option<u8>,
}

impl LayerTarget {
    /// Holds the numbers against their ranges.
    pub(super) fn check(&self) -> Result<(), LayerwiseError> {
        let fail = |message: String| {
            Err(LayerwiseError::Layer {
                layer: self.layer.clone(),
                message,
            })
        };
        if !(self.density > 0.0 && self.density <= 1.0) {
            return fail(format!(
                "has density {}; give one above 0 and up to 1",
                self.density
            ));
        }
        match self.bits {
            Some(bits @ (0 | 17..)) => fail(format!("has {bits} bits; give 1 to 16")),
            _ => Ok(()),
        }
    }
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerwiseOptions {
    /// How zeros are chosen.
    pub method: Method,
    /// How long the solver looks.
    pub quality: Quality,
    /// Inputs come from the already compressed earlier layers and outputs shall be the dense network's; otherwise
    /// both are the dense network's.
    pub sequential: bool,
    /// λ over the mean of X'X's diagonal.
    pub damping: f64,
    /// Calibration samples that run at a time. Where all fit, the network runs once; otherwise once for every layer.
    pub batch: usize,
    /// Biases take up the mean error of their outputs.
    pub bias_correction: bool,
    /// Whether 0 is a level too, as in [`Grid`].
    pub zero_level: bool,
}

impl Default for LayerwiseOptions {
    fn default() -> Self {
        Self {
            method: Method::Alps,
            quality: Quality::Default,
            sequential: true,
            damping: 0.01,
            batch: 1024,
            bias_correction: true,
            zero_level: false,
        }
    }
}

/// What became of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerReport {
    /// The layer.
    pub layer: String,
    /// Whose answer it is: a solver that fell short of magnitude with refit gives way to it.
    pub by: Method,
    /// Weights.
    pub weights: usize,
    /// Weights kept.
    pub kept: usize,
    /// Rows of X that the layer was calibrated on.
    pub samples: u64,
    /// ‖`X_c` W − `X_d` W0‖² / ‖`X_d` W0‖² of the final weights, before the bias is corrected.
    pub relative_error: f64,
    /// The levels of each output, where the target has bits.
    pub grids: Option<Vec<Grid>>,
}
