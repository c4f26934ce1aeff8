//! How a network is compressed, step by step: a job with its data, its finished stages, and procedures of steps.

pub mod zoo;

mod form;
mod job;
mod run;
mod store;

pub use form::{Admm, Procedure, Step, Training};
pub(crate) use job::{EVALUATED, Job, kept};
pub use job::{JobError, Observer, Source};
pub use run::{Chosen, Node, Outcome, run};
pub use store::{Key, Stage, Store, StoreError};
