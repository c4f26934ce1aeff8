//! Graph surgery: what a network no longer needs leaves it, and its outputs stay.
//!
//! The *units* of a layer are the channels of a map, or the features of a vector or of tokens. Three steps, each of use on
//! its own, in the order in which a pruned network meets them:
//!
//! * [`silence`] takes biases, gains and shifts along with dead filters, so that a dead unit is zero and not a constant.
//!   Outputs change; train afterwards.
//! * [`purify`] removes the weights of units that nothing reads or that are constant, in both directions (network
//!   purification and unused-path removal of the journal version of `StructADMM`). Shapes and outputs stay.
//! * [`shrink`] builds the smaller network. A unit leaves where every reader can do without it; units that an addition, a
//!   normalisation or a depthwise convolution ties together leave together or not at all. Outputs stay.
//!
//! [`arrange`] changes no more than the order of units, for files: their pattern is shorter to tell.
//!
//! A constant unit is folded into the biases of its readers, which is exact but where a convolution pads its input: there
//! the unit stays, unless it is zero.

mod arrange;
mod constants;
mod purify;
mod rebuild;
mod removal;
mod silence;
mod units;

pub use arrange::{Arranged, arrange};
pub use purify::{Purified, purify};
pub use rebuild::{Smaller, shrink};
pub use silence::silence;

use crate::network::NetworkError;

/// Why a network cannot be operated on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SurgeryError {
    /// A parameter is missing or has another size than the network's.
    #[error("parameter `{name}` is missing or has another size: give the parameters of this network")]
    Parameter {
        /// The parameter.
        name: String,
    },
    /// The smaller network is none.
    #[error("the smaller network is not valid: {0}")]
    Network(#[from] NetworkError),
}
