//! Why layers could not be compressed.

use crate::compression::structure::StructureError;
use crate::training::TrainingError;

/// What is wrong with a layer, its calibration inputs or its target.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerwiseError {
    /// There are no calibration inputs.
    #[error("there are no calibration inputs; give at least one sample")]
    NoInputs,
    /// A number that is infinite or not a number.
    #[error("{what} hold a value that is not finite; mend the {what} first")]
    NotFinite {
        /// Weights, or calibration inputs.
        what: &'static str,
    },
    /// Sizes that do not belong together.
    #[error("{message}")]
    Shape {
        /// Which sizes, and what they should be.
        message: String,
    },
    /// An option outside its range.
    #[error("`{option}` {message}")]
    Option {
        /// The option.
        option: &'static str,
        /// What must hold.
        message: String,
    },
    /// A method that has no form for a set.
    #[error("{method} is defined for {known} only, not for `{set}`; use another method or set")]
    Unsupported {
        /// The method.
        method: &'static str,
        /// What it is defined for.
        known: &'static str,
        /// The set asked for.
        set: String,
    },
    /// A target that names no layer with weights.
    #[error("layer `{layer}` {message}")]
    Layer {
        /// The name.
        layer: String,
        /// What is wrong with it.
        message: String,
    },
    /// A structure that the layer cannot have.
    #[error(transparent)]
    Structure(#[from] StructureError),
    /// The network could not be run on the calibration inputs.
    #[error(transparent)]
    Training(#[from] TrainingError),
}
