//! Why layers do not make a network.

/// Why layers do not make a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Two layers of one name.
    #[error("layer `{layer}` is defined twice")]
    Duplicate {
        /// The name.
        layer: String,
    },
    /// An input that no layer produces.
    #[error("layer `{layer}` reads `{input}`, which no layer produces")]
    UnknownInput {
        /// The reader.
        layer: String,
        /// What it reads.
        input: String,
    },
    /// A layer that depends on itself.
    #[error("layer `{layer}` depends on its own output")]
    Cycle {
        /// A layer on the cycle.
        layer: String,
    },
    /// An operation that its inputs do not fit.
    #[error("layer `{layer}`: {message}")]
    Shape {
        /// The layer.
        layer: String,
        /// What is wrong.
        message: String,
    },
    /// More work or more parameters than any network has.
    #[error("with layer `{layer}` the network has more than {limit}")]
    TooLarge {
        /// The layer that exceeds the limit.
        layer: String,
        /// The limit and what it counts.
        limit: &'static str,
    },
    /// No input layer, or nothing else.
    #[error("the network has no {what}")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// More than one layer whose output nobody reads.
    #[error("layers `{first}` and `{second}` both end the network; it needs one output")]
    Outputs {
        /// One end.
        first: String,
        /// Another end.
        second: String,
    },
}

impl NetworkError {
    /// The layer at fault, where there is one.
    #[must_use]
    pub fn layer(&self) -> Option<&str> {
        match self {
            Self::Duplicate { layer }
            | Self::UnknownInput { layer, .. }
            | Self::Cycle { layer }
            | Self::Shape { layer, .. }
            | Self::TooLarge { layer, .. } => Some(layer),
            Self::Outputs { second, .. } => Some(second),
            Self::Missing { .. } => None,
        }
    }
}
