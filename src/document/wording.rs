//! The words of messages: what a value is called, what a schema asks for, what it found instead.

use super::check::{Checker, MOST_STEPS};
use serde_json::{Map, Value as Json};
use std::fmt;
use toml::de::DeValue;

/// How a value is called in messages: by its key, and its position if it is in a list.
#[derive(Clone, Copy)]
pub(super) struct Name<'n> {
    pub(super) key: &'n str,
    index: Option<usize>,
}

impl<'n> Name<'n> {
    pub(super) const fn of(key: &'n str) -> Self {
        Self { key, index: None }
    }

    /// An element of the list of this name.
    pub(super) const fn element(self, index: usize) -> Self {
        Self {
            key: self.key,
            index: Some(index),
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { key: "", .. } => f.write_str("the file"),
            Self { key, index: None } => write!(f, "`{}`", brief(key)),
            Self { key, index: Some(i) } => write!(f, "element {} of `{}`", i + 1, brief(key)),
        }
    }
}

impl<'a> Checker<'a> {
    /// " (what the key is for)", from the schema's description.
    pub(super) fn about(&self, schema: &Json) -> String {
        schema.as_object().map(|m| self.about_map(m)).unwrap_or_default()
    }

    pub(super) fn about_map(&self, map: &Map<String, Json>) -> String {
        let own = map.get("description").and_then(Json::as_str);
        let text = own.or_else(|| self.target(map)?.get("description")?.as_str());
        let sentence = text.map(|t| t.split("\n\n").next().unwrap_or(t).replace('\n', " "));
        sentence.map_or_else(String::new, |t| format!(" ({})", t.trim_end_matches('.')))
    }

    /// What a schema asks for, as "an integer or a list".
    pub(super) fn expected(&self, schema: &'a Json) -> String {
        let mut words: Vec<String> = Vec::new();
        self.collect_expected(schema, &mut words, 0);
        match words.split_last() {
            None => "another value".into(),
            Some((only, [])) => only.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        }
    }

    fn collect_expected(&self, schema: &'a Json, words: &mut Vec<String>, steps: usize) {
        let Some(map) = schema.as_object().filter(|_| steps <= MOST_STEPS) else {
            return;
        };
        let mut push = |word: String| {
            if !words.contains(&word) {
                words.push(word);
            }
        };
        if let Some(example) = map.get("examples").and_then(|e| e.get(0)).and_then(Json::as_str) {
            push(format!("a string with its unit, as in \"{example}\""));
        } else if let Some(kind) = map.get("type") {
            for kind in types(kind).filter(|&t| t != "null") {
                push(match kind {
                    "object" => "a table".into(),
                    "integer" => "a whole number".into(),
                    "boolean" => "true or false".into(),
                    "array" => match (map.get("minItems"), map.get("maxItems")) {
                        (Some(a), Some(b)) if a == b => format!("a list of {a}"),
                        _ => "a list".into(),
                    },
                    other => format!("a {other}"),
                });
            }
            return;
        }
        if let Some(target) = self.target(map) {
            self.collect_expected(target, words, steps + 1);
        }
        for word in ["oneOf", "anyOf", "allOf"] {
            for branch in map.get(word).and_then(Json::as_array).into_iter().flatten() {
                self.collect_expected(branch, words, steps + 1);
            }
        }
    }
}

pub(super) fn allowed_keys(keys: &[&str]) -> String {
    if keys.is_empty() {
        return "no keys are allowed here".into();
    }
    let list = keys
        .iter()
        .map(|k| format!("`{k}`"))
        .collect::<Vec<_>>()
        .join(", ");
    format!("allowed here: {list}")
}

/// "must be a number, not a string", and how to mend the usual slips.
pub(super) fn mismatch(
    name: Name<'_>,
    expected: &str,
    schema: &Json,
    value: &DeValue<'_>,
) -> (String, String) {
    let message = format!("{name} must be {expected}, not {}", kind(value));
    let wants = |t: &str| {
        schema
            .get("type")
            .is_some_and(|types_| types(types_).any(|x| x == t))
    };
    let help = match value {
        DeValue::String(s) if (wants("integer") || wants("number")) && s.trim().parse::<f64>().is_ok() => {
            "remove the quotes".into()
        }
        DeValue::String(s) if wants("boolean") && matches!(s.as_ref(), "true" | "false") => {
            "remove the quotes".into()
        }
        DeValue::Float(f)
            if wants("integer") && f.as_str().parse::<f64>().is_ok_and(|f| f.fract() == 0.0) =>
        {
            "write it without a decimal point".into()
        }
        DeValue::Integer(_) | DeValue::Float(_) if wants("string") && schema.get("examples").is_none() => {
            "put it in quotes".into()
        }
        _ => format!("write {expected}"),
    };
    (message, help)
}

/// The words a string may be, if a schema lists them.
pub(super) fn words(map: &Map<String, Json>) -> Vec<&str> {
    match (map.get("const"), map.get("enum")) {
        (Some(Json::String(word)), _) => vec![word],
        (_, Some(Json::Array(list))) => list.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The type names of a `type`.
pub(super) fn types(allowed: &Json) -> impl Iterator<Item = &str> {
    let one = std::slice::from_ref(allowed);
    allowed
        .as_array()
        .map_or(one, Vec::as_slice)
        .iter()
        .filter_map(Json::as_str)
}

/// Whether a schema type takes a TOML value.
pub(super) fn accepts(kind: &str, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(_) => kind == "string",
        DeValue::Integer(_) => matches!(kind, "integer" | "number"),
        DeValue::Float(_) => kind == "number",
        DeValue::Boolean(_) => kind == "boolean",
        DeValue::Array(_) => kind == "array",
        DeValue::Table(_) => kind == "object",
        DeValue::Datetime(_) => false,
    }
}

/// What a TOML value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The start of a word from the file: messages stay short whatever the file holds.
pub(super) fn brief(word: &str) -> String {
    const MOST: usize = 60;
    let mut short: String = word
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if word.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
