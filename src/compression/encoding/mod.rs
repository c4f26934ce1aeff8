//! How a sparse tensor lies in memory. One file per encoding; the list below is the only other place that
//! names it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum Encoding {
    /// Every weight in its place; zeros are stored.
    Dense,
    /// One bit per position, then the non-zeros.
    Bitmap,
    /// A run length of `bits` bits before every stored weight; longer gaps need filler entries.
    RelativeIndex {
        /// Bits of a run length, 1 to 16.
        #[schemars(range(min = 1, max = 16))]
        bits: u8,
    },
}
