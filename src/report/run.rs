//! `run.toml`: what went into a run and what came out.

use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The SHA-256 of bytes, in lower-case hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    sha256_of([bytes])
}

/// The SHA-256 of parts one after another, as if they were one.
#[must_use]
pub fn sha256_of<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part.as_ref()));
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // writing to a String cannot fail
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// One input of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Input {
    /// Its own name.
    pub name: String,
    /// The file or name as it was given.
    pub given: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// What makes a run what it is. Neither times nor places are kept: the same inputs give the same bytes, wherever
/// the reports are written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunFile {
    /// The run's name: workload, profiles, verb.
    pub run: String,
    /// The verb.
    pub verb: String,
    /// Version of this program.
    pub version: String,
    /// Seed of everything random, where anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The options that change the result, with their values.
    pub options: BTreeMap<String, String>,
    /// The network.
    pub workload: Input,
    /// The data, where the run trains or measures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Input>,
    /// The recipe, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Input>,
    /// The masks, where files gave them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masks: Option<Input>,
    /// The trained network, where activations were measured with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Input>,
    /// The activation densities, where a file gave them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activations: Option<Input>,
    /// The accelerators in the order they were given.
    pub profiles: Vec<Input>,
}

impl RunFile {
    /// A run's record. The name is `workload-profile-verb`, several profiles joined by `+`.
    #[must_use]
    pub fn new(verb: &str, workload: Input, profiles: Vec<Input>) -> Self {
        let names: Vec<&str> = profiles.iter().map(|p| p.name.as_str()).collect();
        Self {
            run: format!("{}-{}-{verb}", workload.name, names.join("+")),
            verb: verb.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            seed: None,
            options: BTreeMap::new(),
            workload,
            data: None,
            recipe: None,
            masks: None,
            weights: None,
            activations: None,
            profiles,
        }
    }

    /// The same record with an option.
    #[must_use]
    pub fn option(mut self, name: &str, value: &impl ToString) -> Self {
        self.options.insert(name.into(), value.to_string());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, appendix B.1.
    #[test]
    fn the_hash_is_sha256() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
