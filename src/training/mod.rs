//! Training: executors that run a network forward and backward, parameters as named slices, losses,
//! optimisers, schedules and data. Knows nothing of hardware.

pub mod data;

pub mod sparse;

mod executor;
mod loss;
mod parameters;

pub use executor::{Executor, Loss, Step, TrainingError};
pub use parameters::{Parameter, Parameters, Role};
