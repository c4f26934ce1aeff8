//! The robustness files that come with the program, so that they can be named anywhere.

use crate::document::Source;

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../workloads/robustness/", $name, ".toml")))),+]
    };
}

/// Name and text of every file.
const ALL: &[(&str, &str)] = shipped!["mnist-linf", "mnist-mixed"];

/// Name and text of every file.
#[must_use]
pub fn list() -> &'static [(&'static str, &'static str)] {
    ALL
}

/// The file of a name, ready for [`Source::parse`].
#[must_use]
pub fn find(name: &str) -> Option<Source> {
    ALL.iter()
        .find(|(n, _)| *n == name)
        .map(|(n, text)| Source::new(format!("workloads/robustness/{n}.toml"), *text))
}
