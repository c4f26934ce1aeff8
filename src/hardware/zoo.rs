//! The profiles that ship with the program.

use super::Profile;
use crate::document::{Faults, Source};

/// A shipped profile: its name and its TOML text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// The profile's name, as `eyeriss-65nm`.
    pub name: &'static str,
    /// The whole file.
    pub text: &'static str,
}

impl Shipped {
    /// The text as a named source.
    #[must_use]
    pub fn source(&self) -> Source {
        Source::new(format!("hw_profiles/{}.toml", self.name), self.text)
    }

    /// The checked profile.
    ///
    /// # Errors
    /// Never for the files of a release; the tests read every one.
    pub fn profile(&self) -> Result<Profile, Faults> {
        Profile::from_source(&self.source())
    }
}

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(Shipped { name: $name, text: include_str!(concat!("../../hw_profiles/", $name, ".toml")) }),+]
    };
}

const SHIPPED: &[Shipped] = shipped![
    "admm-nn-40nm",
    "bitfusion-like-45nm",
    "eie-45nm",
    "eyeriss-65nm",
    "nm-like",
    "nvdla-like-28nm",
    "scnn-like-16nm",
    "sigma-like-28nm",
    "tpu-v1-28nm",
    "zynq-7020"
];

/// All shipped profiles in the order of their names.
#[must_use]
pub fn list() -> &'static [Shipped] {
    SHIPPED
}

/// The shipped profile of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name == name)
}
