//! Files: read whole, bounded, as UTF-8.

use super::{Faults, Source, nearest};
use miette::Diagnostic;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No file that is written by hand comes near this size.
const MOST_BYTES: u64 = 16 << 20;

/// Why a file was not read.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum DocumentError {
    /// There is no such file.
    #[error("there is no file `{}`", path.display())]
    #[diagnostic(
        code(cosparse::document::missing),
        help("check the path; it is taken from the directory in which the command runs")
    )]
    Missing {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A directory where a file is needed.
    #[error("`{}` is a directory, not a file", path.display())]
    #[diagnostic(code(cosparse::document::directory), help("name one file in it"))]
    Directory {
        /// The path as it was given.
        path: PathBuf,
    },
    /// More bytes than a description may have.
    #[error("`{}` has more than {} MiB", path.display(), MOST_BYTES >> 20)]
    #[diagnostic(
        code(cosparse::document::too_large),
        help("a description is a few kilobytes of text; is this the file you meant?")
    )]
    TooLarge {
        /// The path as it was given.
        path: PathBuf,
    },
    /// Bytes that are not UTF-8.
    #[error("`{}` is not UTF-8 text: byte {offset} on line {line}", path.display())]
    #[diagnostic(
        code(cosparse::document::encoding),
        help("save the file as UTF-8; a binary file cannot be read here")
    )]
    Encoding {
        /// The path as it was given.
        path: PathBuf,
        /// The first byte that does not fit, counted from 0.
        offset: usize,
        /// Its line, counted from 1.
        line: usize,
    },
    /// The system refused.
    #[error("`{}` cannot be read: {source}", path.display())]
    #[diagnostic(
        code(cosparse::document::io),
        help("check the file's permissions and the disk")
    )]
    Io {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name that is neither a file nor known to the program.
    #[error("there is no {kind} `{name}`")]
    #[diagnostic(code(cosparse::document::unknown), help("{help}"))]
    Unknown {
        /// What was asked for, as "workload".
        kind: &'static str,
        /// The name as it was given.
        name: String,
        /// The names there are.
        help: String,
    },
    /// The file was read, and its contents have faults.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Faults(#[from] Box<Faults>),
}

impl From<Faults> for DocumentError {
    fn from(faults: Faults) -> Self {
        Self::Faults(Box::new(faults))
    }
}

impl DocumentError {
    /// The error for a name that is not among the known ones.
    pub fn unknown(kind: &'static str, name: &str, known: &[&str]) -> Self {
        let near = nearest(name, known.iter().copied())
            .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
        let help = format!("{near}known: {}; or give the path of a file", known.join(", "));
        Self::Unknown {
            kind,
            name: name.into(),
            help,
        }
    }
}

impl Source {
    /// Reads a file; its name in messages is the path as given.
    ///
    /// # Errors
    /// When it is missing, a directory, larger than 16 MiB, not UTF-8, or not readable.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, DocumentError> {
        let path = path.as_ref();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => DocumentError::Missing { path: path.into() },
            io::ErrorKind::IsADirectory => DocumentError::Directory { path: path.into() },
            _ => DocumentError::Io {
                path: path.into(),
                source,
            },
        };
        if path.is_dir() {
            return Err(DocumentError::Directory { path: path.into() });
        }
        let mut bytes = Vec::new();
        File::open(path)
            .map_err(failed)?
            .take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(DocumentError::TooLarge { path: path.into() });
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(path.display().to_string(), text)),
            Err(error) => {
                let offset = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..offset].split(|&b| b == b'\n').count();
                Err(DocumentError::Encoding {
                    path: path.into(),
                    offset,
                    line,
                })
            }
        }
    }
}
