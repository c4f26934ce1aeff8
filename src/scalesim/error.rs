//! Why a layer has no result.

use crate::units::Overflow;
use miette::Diagnostic;

/// Why a layer has no result.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum ScaleSimError {
    /// A count that does not fit.
    #[error("layer `{layer}`: {source}")]
    #[diagnostic(
        code(cosparse::scalesim::overflow),
        help("make the layer smaller or the array larger")
    )]
    Overflow {
        /// The layer.
        layer: String,
        /// What went over.
        source: Overflow,
    },
    /// More words than a replay holds in memory.
    #[error(
        "layer `{layer}`: its {operand} has {words} words; a replay of the memories holds at most {most}"
    )]
    #[diagnostic(
        code(cosparse::scalesim::too_large),
        help(
            "split the layer in the topology, or simulate it on a profile with `cosparse estimate WORKLOAD --hw PROFILE`"
        )
    )]
    TooLarge {
        /// The layer.
        layer: String,
        /// "ifmap" or "filter".
        operand: &'static str,
        /// Words of the operand, and index words where it is stacked.
        words: u64,
        /// The limit.
        most: u64,
    },
    /// A setting that has no meaning for the layer or the array.
    #[error("layer `{layer}`: {message}")]
    #[diagnostic(code(cosparse::scalesim::unsupported), help("{help}"))]
    Unsupported {
        /// The layer.
        layer: String,
        /// What cannot be run.
        message: String,
        /// What to change.
        help: String,
    },
}
