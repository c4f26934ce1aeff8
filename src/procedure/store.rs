//! Finished stages on disk, keyed by everything that determines them: a job that was killed finds them again.

use crate::admm::Record;
use crate::compression::precision::Levels;
use crate::training::robust::DomainPeriod;
use crate::training::{Parameters, SnapshotError, from_safetensors, metadata, to_safetensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The hash of everything that a stage depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A key over a stage's name and its inputs in order.
    #[must_use]
    pub fn new(stage: &str, inputs: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in [stage.as_bytes(), env!("CARGO_PKG_VERSION").as_bytes()]
            .iter()
            .chain(inputs)
        {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hex(&hash.finalize()))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .filter_map(|d| char::from_digit(d.into(), 16))
        .collect()
}

/// The SHA-256 of parameters: names, values and supports.
#[must_use]
pub(crate) fn fingerprint(parameters: &Parameters) -> [u8; 32] {
    let mut hash = Sha256::new();
    for p in &parameters.list {
        hash.update(p.name.as_bytes());
        p.values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        hash.update([u8::from(p.support.is_some())]);
        if let Some(mask) = &p.support {
            mask.words().iter().for_each(|w| hash.update(w.to_le_bytes()));
        }
    }
    hash.finalize().into()
}

/// What a stage produced.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The network's parameters.
    pub parameters: Parameters,
    /// Validation accuracy, 0 to 1.
    pub validation: f64,
    /// Cross-entropy on the validation samples in nats.
    pub loss: f64,
    /// The levels of each weight parameter, if the stage quantised.
    pub levels: Vec<Levels>,
    /// ADMM records of the stage.
    pub records: Vec<Record>,
    /// The domains after the stage, where the job trains against attacks.
    pub domains: Vec<DomainPeriod>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    validation: f64,
    loss: f64,
    levels: Vec<Levels>,
    records: Vec<Record>,
    #[serde(default)]
    domains: Vec<DomainPeriod>,
}

/// Why a stage could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The parameters could not be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// A directory of finished stages; `None` keeps nothing.
#[derive(Debug, Clone)]
pub struct Store {
    directory: Option<PathBuf>,
}

const HEADER: &str = "stage";

impl Store {
    /// Keeps stages in a directory, which is made when first needed.
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: Some(directory.into()),
        }
    }

    /// Keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { directory: None }
    }

    /// The finished stage of a key. A file that is damaged or belongs to another network counts as absent: the
    /// stage is computed again.
    #[must_use]
    pub fn load(&self, key: &Key, like: &Parameters) -> Option<Stage> {
        let bytes = fs::read(self.path(key)?).ok()?;
        let header: Header = serde_json::from_str(&metadata(&bytes, HEADER)?).ok()?;
        let parameters = from_safetensors(&bytes, like).ok()?;
        Some(Stage {
            parameters,
            validation: header.validation,
            loss: header.loss,
            levels: header.levels,
            records: header.records,
            domains: header.domains,
        })
    }

    /// Keeps a finished stage: written beside, then renamed, so that a kill leaves the whole file or none.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn save(&self, key: &Key, stage: &Stage) -> Result<(), StoreError> {
        let Some(path) = self.path(key) else { return Ok(()) };
        let header = Header {
            validation: stage.validation,
            loss: stage.loss,
            levels: stage.levels.clone(),
            records: stage.records.clone(),
            domains: stage.domains.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|e| StoreError::Write {
            path: path.clone(),
            source: e.into(),
        })?;
        let bytes = to_safetensors(&stage.parameters, true, Some((HEADER.into(), header)))?;
        write_whole(&path, &bytes).map_err(|source| StoreError::Write { path, source })
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        self.directory
            .as_ref()
            .map(|d| d.join(format!("{}.safetensors", key.0)))
    }
}

/// Writes a file whole or not at all.
///
/// # Errors
/// When the directory cannot be made or written.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::File::create(&temporary).and_then(|mut f| {
        f.write_all(bytes)?;
        f.sync_all()
    });
    written
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
}
