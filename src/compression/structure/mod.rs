//! Where zeros may stand. One file per structure; the list below is the only other place that names it.

mod unstructured;

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
    /// The set of tensors of this structure with at most `keep` non-zeros.
    #[must_use]
    pub fn set(self, keep: usize) -> Box<dyn ConstraintSet> {
        match self {
            Self::Unstructured => Box::new(Unstructured { keep }),
        }
    }
}
