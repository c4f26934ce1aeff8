//! Strict TOML: a file is read into a typed value, and every fault is shown at its place, several at once.

use miette::{Diagnostic, NamedSource, SourceSpan};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// One fault of a file: what is wrong, where, and what to do.
#[derive(Debug, Clone, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[help]
    pub help: Option<String>,
    /// Where it stands.
    #[label("{label}")]
    pub span: SourceSpan,
    /// A word or two under the marked place.
    pub label: String,
}

impl Fault {
    /// A fault at a byte range.
    pub fn new(span: impl Into<SourceSpan>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: Some(help.into()),
            span: span.into(),
            label: "here".into(),
        }
    }
}

/// Everything that is wrong with one file.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{name}: {} {}", faults.len(), if faults.len() == 1 { "fault" } else { "faults" })]
#[diagnostic(code(cosparse::document))]
pub struct Faults {
    /// The file's name as it was given.
    pub name: String,
    #[source_code]
    source_code: NamedSource<String>,
    /// The faults in the order of the file.
    #[related]
    pub faults: Vec<Fault>,
}

/// A file's name and text.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file's name as it was given.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A source with its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The error that reports these faults of this file.
    #[must_use]
    pub fn faults(&self, mut faults: Vec<Fault>) -> Faults {
        faults.sort_by_key(|f| f.span.offset());
        Faults {
            name: self.name.clone(),
            source_code: NamedSource::new(&self.name, self.text.clone()),
            faults,
        }
    }

    /// Reads the TOML text as a `T`.
    ///
    /// # Errors
    /// All faults that the text has against the schema of `T`, each at its place.
    pub fn parse<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Faults> {
        toml::from_str(&self.text).map_err(|e| {
            let span = e.span().unwrap_or(0..0);
            self.faults(vec![Fault {
                message: e.message().into(),
                help: None,
                span: span.into(),
                label: "here".into(),
            }])
        })
    }
}
