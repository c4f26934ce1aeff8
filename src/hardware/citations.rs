//! Every source that a profile file names, with the place of what it supports.

use super::Profile;
use crate::document::{Faults, Source};
use toml::{Table, Value};

/// One `source` of a profile file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// Path of the table that has the source, as `engines.sparse.slices.feature-port`; engines and memories go by
    /// name.
    pub place: String,
    /// The source as it is written.
    pub source: String,
}

impl Citation {
    /// Whether the figure is assumed or fitted instead of measured or published.
    #[must_use]
    pub fn is_own_choice(&self) -> bool {
        self.source.starts_with("assumed") || self.source.starts_with("fitted")
    }
}

/// All sources of a profile, those of structural tables included, in the order of the file.
///
/// # Errors
/// The faults of the profile.
pub fn citations(source: &Source) -> Result<Vec<Citation>, Faults> {
    Profile::from_source(source)?;
    let table: Table = source.text.parse().map_err(|error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        source.faults(vec![crate::document::Fault::new(
            span,
            error.message(),
            "write valid TOML",
        )])
    })?;
    let mut found = Vec::new();
    walk(&table, "", &mut found);
    Ok(found)
}

fn walk(table: &Table, place: &str, found: &mut Vec<Citation>) {
    if let Some(source) = table.get("source").and_then(Value::as_str) {
        found.push(Citation {
            place: place.into(),
            source: source.into(),
        });
    }
    let below = |key: &str| {
        if place.is_empty() {
            key.into()
        } else {
            format!("{place}.{key}")
        }
    };
    for (key, value) in table {
        match value {
            Value::Table(table) => walk(table, &below(key), found),
            Value::Array(items) => {
                for item in items.iter().filter_map(Value::as_table) {
                    let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
                    walk(item, &below(&format!("{key}.{name}")), found);
                }
            }
            _ => {}
        }
    }
}
