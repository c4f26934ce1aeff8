//! Training: executors that run a network forward and backward, parameters as named slices, losses,
//! optimisers, schedules and data. Knows nothing of hardware.

pub mod data;

mod dense;
mod executor;
mod fit;
mod loss;
mod optimiser;
mod parameters;
mod schedule;

pub use dense::DenseExecutor;
pub use executor::{Executor, Loss, Step, TrainingError};
pub use fit::{FitOptions, FitReport, Progress, evaluate, fit};
pub use optimiser::{Optimiser, OptimiserOptions, Rule};
pub use parameters::{Parameter, Parameters, Role};
pub use schedule::Schedule;
