//! Data sets in memory.
//!
//! [`load_directory`] reads MNIST, Fashion-MNIST and any other directory that holds four IDX files of the same
//! names. Pixels become value / 255; nothing is normalised further, shuffled or dropped.

mod directory;
mod error;
mod idx;
mod samples;

pub use directory::{Dataset, load_directory};
pub use error::DataError;
pub use idx::{read_images, read_labels};
pub use samples::Samples;
