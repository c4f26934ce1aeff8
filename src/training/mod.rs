//! Training: executors that run a network forward and backward, parameters as named slices, losses,
//! optimisers, schedules and data. Knows nothing of hardware.

pub mod data;

mod batches;
mod choose;
mod dense;
mod executor;
mod fit;
mod loss;
mod optimiser;
mod parameters;
mod schedule;
mod snapshot;
mod sparse;

pub use batches::{Batch, Batches};
pub use choose::executor_for;
pub use dense::{DenseExecutor, Graph, Real};
pub use executor::{Executor, Loss, Step, TrainingError};
pub use fit::{FitOptions, Progress, evaluate, fit, logits};
pub use optimiser::{Optimiser, OptimiserState};
pub use parameters::{Parameter, Parameters, Role};
pub use schedule::Schedule;
pub use snapshot::{SnapshotError, from_safetensors, metadata, to_safetensors};
pub use sparse::SparseExecutor;
