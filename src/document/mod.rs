//! Strict TOML: a file is read into a typed value, and every fault is shown at its place, several at once.
//!
//! The text is checked against the JSON schema of the type it is read as, so whatever the schema says (keys,
//! types, ranges, names of variants, units of quantities) is reported at its place, all faults in one go. What
//! no schema can say, as how two fields relate, is checked by the reader of the file: it takes such fields as
//! [`At`] and reports through [`Source::faults`].

mod at;
mod check;
mod choice;
mod nearest;
mod read;
mod wording;

pub use at::At;
pub(crate) use nearest::nearest;
pub use read::DocumentError;

use miette::{Diagnostic, NamedSource, SourceSpan};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A screen shows no more faults than this; a file with more is the wrong file.
const MOST_FAULTS: usize = 50;

/// One fault of a file: what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
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

    /// The same fault with other words under the marked place.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            ..self
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
    source_code: Arc<NamedSource<String>>,
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

    /// The error that reports these faults of this file: in the order of the file, at most 50.
    #[must_use]
    pub fn faults(&self, mut faults: Vec<Fault>) -> Faults {
        faults.sort_by_key(|f| f.span.offset());
        if faults.len() > MOST_FAULTS {
            let next = faults[MOST_FAULTS - 1].span;
            faults.truncate(MOST_FAULTS - 1);
            let help = "mend the first ones and run again; is this the file you meant?";
            faults.push(Fault::new(next, "more faults follow", help).label("the next one"));
        }
        let source_code = Arc::new(NamedSource::new(&self.name, self.text.clone()));
        Faults {
            name: self.name.clone(),
            source_code,
            faults,
        }
    }

    /// Reads the TOML text as a `T`.
    ///
    /// # Errors
    /// All faults that the text has against the schema of `T`, each at its place.
    pub fn parse<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Faults> {
        let syntax = "the file is not TOML at this place; see https://toml.io for its rules";
        let root = DeTable::parse(&self.text).map_err(|e| self.faults(vec![self.fault_of(&e, syntax)]))?;
        let schema = schemars::schema_for!(T).to_value();
        let faults = check::check(&schema, root);
        if !faults.is_empty() {
            return Err(self.faults(faults));
        }
        toml::from_str(&self.text)
            .map_err(|e| self.faults(vec![self.fault_of(&e, "change the value that is marked")]))
    }

    fn fault_of(&self, error: &toml::de::Error, help: &str) -> Fault {
        let mut span = error.span().unwrap_or(0..0);
        span.end = span.end.min(self.text.len());
        Fault::new(span, error.message().trim_end(), help)
    }

    /// The place of a value by its path of keys and list positions, as `["layer", "2", "kernel"]`; where the path
    /// leads nowhere, the place of its last part that exists. For checks on values that lose their place on the
    /// way into their type (see [`At`]).
    #[must_use]
    pub fn place(&self, path: &[&str]) -> Range<usize> {
        let Ok(root) = DeTable::parse(&self.text) else {
            return 0..0;
        };
        let root = Spanned::new(root.span(), DeValue::Table(root.into_inner()));
        let mut here = &root;
        for step in path {
            let next = match here.get_ref() {
                DeValue::Table(table) => table.get(*step),
                DeValue::Array(list) => step.parse().ok().and_then(|i: usize| list.get(i)),
                _ => None,
            };
            let Some(next) = next else { break };
            here = next;
        }
        here.span()
    }
}

/// The JSON schema of `T` as pretty JSON with a newline at its end, for editors that complete and check TOML.
#[must_use]
pub fn write_schema<T: JsonSchema>() -> String {
    let schema = schemars::schema_for!(T);
    format!("{:#}\n", schema.as_value())
}
