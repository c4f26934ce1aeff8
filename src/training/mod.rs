//! Training: executors that run a network forward and backward, parameters as named slices, losses,
//! optimisers, schedules and data. Knows nothing of hardware.

pub mod data;
pub mod robust;
pub mod surgery;

mod activation_levels;
mod activity;
mod aim;
mod bert;
mod choose;
mod dense;
mod epochs;
mod executor;
mod fit;
mod loss;
mod optimiser;
mod parameters;
mod schedule;
mod snapshot;
mod sparse;
mod term;

pub use activation_levels::{ActivationLevels, activation_levels, measure_on_levels};
pub use activity::{LayerActivity, input_activity};
pub use aim::{Aim, Plain};
pub use bert::from_bert;
pub use choose::executor_for;
pub use dense::DenseExecutor;
pub(crate) use dense::{Matrix, matmul};
pub use epochs::{Epoch, Trained, fit_epochs, fit_epochs_for};
pub use executor::{Executor, Loss, Slopes, Step, TrainingError};
pub(crate) use fit::Batches;
pub use fit::{FitOptions, FitReport, Measured, Progress, evaluate, fit, fit_for, fit_with, logits, measure};
pub use optimiser::{Optimiser, OptimiserOptions, Rule};
pub use parameters::{Parameter, Parameters, Role};
pub use schedule::Schedule;
pub use snapshot::{SnapshotError, from_safetensors, metadata, to_safetensors};
pub use sparse::SparseExecutor;
pub(crate) use term::Gradient;
pub use term::Term;
