//! Data sets in memory.
//!
//! [`load`] reads what a workload's `[data]` table names, normalised as it says. Behind it stand the formats:
//! [`load_directory`] reads MNIST, Fashion-MNIST and any other directory that holds four IDX files of the same
//! names, [`load_cifar_binary`] and [`load_picture_zip`] colour pictures, [`load_text`] labelled sentences. Pixels become
//! value / 255; nothing is shuffled or dropped.

mod cifar;
mod directory;
mod error;
mod idx;
mod load;
mod pictures;
mod samples;
mod text;
mod vocabulary;
mod zip;

pub use cifar::load_cifar_binary;
pub use directory::{Dataset, load_directory};
pub use error::DataError;
pub use idx::{read_images, read_labels};
pub use load::load;
pub use pictures::load_picture_zip;
pub use samples::Samples;
pub use text::{Words, load_text};
pub use vocabulary::Vocabulary;
