//! How a network is compressed, step by step: a job with its data, its finished stages, and procedures of steps.

pub mod zoo;

mod form;
mod job;
mod run;
pub mod step;
mod store;

pub use form::{Admm, Procedure, Training};
pub(crate) use job::{EVALUATED, Job, kept};
pub use job::{JobError, Observer, Robust, Source};
pub use run::{Chosen, Node, OnLevels, Outcome, Point, run};
pub use step::Step;
pub use store::{Key, Stage, Store, StoreError};
