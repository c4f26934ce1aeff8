//! The procedures that come with the program, so that they can be named anywhere.

use crate::document::Source;

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../workloads/procedures/", $name, ".toml")))),+]
    };
}

/// Name and text of every procedure. A name begins with that of its workload.
const ALL: &[(&str, &str)] = shipped![
    "lenet-300-100-thorough",
    "lenet5-binary",
    "lenet5-quick",
    "lenet5-thorough"
];

/// Name and text of every procedure.
#[must_use]
pub fn list() -> &'static [(&'static str, &'static str)] {
    ALL
}

/// The procedure of a name, ready for [`Source::parse`].
#[must_use]
pub fn find(name: &str) -> Option<Source> {
    ALL.iter()
        .find(|(n, _)| *n == name)
        .map(|(n, text)| Source::new(format!("workloads/procedures/{n}.toml"), *text))
}
