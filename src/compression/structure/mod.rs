//! Where zeros may stand. One file per structure; the list below is the only other place that names it.

mod shape;
mod unstructured;

pub use shape::TensorShape;
pub use unstructured::Unstructured;

use super::ConstraintSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Structure {
    /// Any weight may be zero.
    Unstructured,
}

impl Structure {
    /// The set of tensors of this shape and structure with at most `keep` weights left.
    ///
    /// A structure that removes whole groups keeps as many groups as fit into `keep` weights, at least one: never more
    /// weights than asked for, except where a single group holds more.
    #[must_use]
    pub fn set(self, _shape: TensorShape, keep: usize) -> Box<dyn ConstraintSet> {
        match self {
            Self::Unstructured => Box::new(Unstructured { keep }),
        }
    }
}
