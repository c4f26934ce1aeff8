//! The main job: choose targets for the hardware, compress, measure, repeat.
//!
//! Only this module knows both training and simulation.

mod activations;
mod allocate;
mod candidate;
mod choice;
mod costing;
mod objective;
mod pipeline;
mod preset;
mod search;

pub use activations::{ActivationRow, Activations};
pub use candidate::Candidate;
pub use objective::Objective;
pub use pipeline::{CodesignError, Outcome, Request, run};
pub use preset::Preset;
