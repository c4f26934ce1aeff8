//! Why a layer has no cost.

use super::work::LayerWork;
use crate::units::Overflow;

/// Why a layer could not be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// A count left the range of `u64`.
    #[error("layer `{layer}`: a count exceeds 2^64 - 1; simulate a smaller batch or layer")]
    Overflow {
        /// The layer.
        layer: String,
    },
    /// A loop that runs zero times.
    #[error("layer `{layer}`: loop {dimension} runs zero times; every extent must be at least 1")]
    Empty {
        /// The layer.
        layer: String,
        /// The loop's letter.
        dimension: &'static str,
    },
    /// A mask of another shape than the layer's weights.
    #[error(
        "layer `{layer}`: the mask is {rows}x{cols}, its weights are {want_rows}x{want_cols} (output channels x products)"
    )]
    MaskShape {
        /// The layer.
        layer: String,
        /// Rows of the mask.
        rows: u64,
        /// Columns of the mask.
        cols: u64,
        /// Rows of the weights, all groups.
        want_rows: u64,
        /// Columns of the weights.
        want_cols: u64,
    },
    /// A pattern of active inputs of another shape than the layer reads.
    #[error(
        "layer `{layer}`: the activation pattern is {rows}x{cols}; it needs {want_rows} rows (or 1 for all) of {want_cols} columns"
    )]
    ActivationShape {
        /// The layer.
        layer: String,
        /// Rows of the pattern.
        rows: u64,
        /// Columns of the pattern.
        cols: u64,
        /// Output positions.
        want_rows: u64,
        /// Columns of the weights times groups.
        want_cols: u64,
    },
    /// A density outside its range.
    #[error("layer `{layer}`: {what} density {density} must lie in (0, 1]")]
    Density {
        /// The layer.
        layer: String,
        /// Weights or activations.
        what: &'static str,
        /// The value.
        density: f64,
    },
    /// Even the smallest tile is too large for a buffer.
    #[error(
        "layer `{layer}`: its smallest tile needs {needed} bits of `{memory}`, which has {available}; raise the capacity of `{memory}`, {cure}"
    )]
    Tile {
        /// The layer.
        layer: String,
        /// The buffer.
        memory: String,
        /// Bits the smallest tile takes, both halves of a double buffer counted.
        needed: u64,
        /// Bits the buffer has.
        available: u64,
        /// What else would help.
        cure: &'static str,
    },
    /// Buffers so small that the layer falls into more tiles than are stepped through.
    #[error(
        "layer `{layer}`: it falls into {tiles} tiles, more than {most}; raise the capacity of the buffers or simulate a smaller batch"
    )]
    TooManyTiles {
        /// The layer.
        layer: String,
        /// Its tiles.
        tiles: u128,
        /// The most that are stepped through.
        most: u128,
    },
    /// A layer or option that the engine cannot run.
    #[error("layer `{layer}`: engine `{engine}` {message}")]
    Unsupported {
        /// The layer.
        layer: String,
        /// The engine.
        engine: String,
        /// What it cannot do, and the cure.
        message: &'static str,
    },
    /// A mapping that the engine or the layer does not allow, or a layer that no mapping fits.
    #[error("layer `{layer}`: engine `{engine}`: {message}; {cure}")]
    Mapping {
        /// The layer.
        layer: String,
        /// The engine.
        engine: String,
        /// The letter of the mapping to change; empty where none helps.
        key: &'static str,
        /// What is wrong.
        message: String,
        /// What to do.
        cure: String,
    },
    /// No engine of the profile can run the layer.
    #[error("layer `{layer}`: no engine of `{profile}` can run it; {reasons}")]
    NoEngine {
        /// The layer.
        layer: String,
        /// The profile.
        profile: String,
        /// What each engine said.
        reasons: String,
    },
    /// An engine index past the end of the profile's list.
    #[error("profile `{profile}` has {engines} engines; there is no engine {index}")]
    UnknownEngine {
        /// The profile.
        profile: String,
        /// Engines it has.
        engines: usize,
        /// The index asked for.
        index: usize,
    },
    /// An area that the profile does not give.
    #[error(
        "profile `{profile}` gives no {what}, which an equal-area comparison needs; add it with its source"
    )]
    MissingArea {
        /// The profile.
        profile: String,
        /// The missing figure.
        what: String,
    },
}

impl SimulateError {
    /// An overflow, at its layer.
    pub(super) fn overflow<'a>(work: &LayerWork<'a>) -> impl Fn(Overflow) -> Self + use<'a> {
        let layer = work.name;
        move |Overflow| Self::Overflow { layer: layer.into() }
    }
}
