//! INI text as SCALE-Sim's cfg files write it: `[section]`, `key = value` or `key : value`, `#` and `;` comments.
//! Section names are as written, keys in any case.

use crate::document::{Fault, Source, nearest};
use std::ops::Range;

/// One `key = value` with its place.
#[derive(Debug)]
struct Entry {
    key: String,
    value: String,
    span: Range<usize>,
}

#[derive(Debug)]
struct Section {
    name: String,
    span: Range<usize>,
    entries: Vec<Entry>,
}

/// A file's sections, and what was found wrong on the way.
#[derive(Debug)]
pub(super) struct Ini {
    sections: Vec<Section>,
    end: usize,
    pub(super) faults: Vec<Fault>,
}

/// Where a text stands within another that holds it.
pub(super) fn span_in(outer: &str, inner: &str) -> Range<usize> {
    let start = inner.as_ptr() as usize - outer.as_ptr() as usize;
    start..start + inner.len()
}

impl Ini {
    pub(super) fn read(source: &Source) -> Self {
        let text = source.text.as_str();
        let mut ini = Self {
            sections: Vec::new(),
            end: text.trim_end().len(),
            faults: Vec::new(),
        };
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let span = span_in(text, line);
            if let Some(name) = line.strip_prefix('[') {
                ini.section(name, span);
            } else if let Some((key, value)) = line.split_once(['=', ':']) {
                ini.entry(text, key.trim(), value.trim(), span);
            } else {
                ini.faults.push(Fault::new(
                    span,
                    "this line is neither a `[section]` nor a `key = value`",
                    "write `key = value`; comments begin with `#`",
                ));
            }
        }
        ini
    }

    fn section(&mut self, name: &str, span: Range<usize>) {
        match name.strip_suffix(']').map(str::trim) {
            None | Some("") => self.faults.push(Fault::new(
                span,
                "this section has no name in brackets",
                "write `[name]` on a line of its own",
            )),
            Some(name) if self.sections.iter().any(|s| s.name == name) => self.faults.push(Fault::new(
                span,
                format!("the section `[{name}]` stands twice"),
                "put its keys under the first one",
            )),
            Some(name) => self.sections.push(Section {
                name: name.into(),
                span,
                entries: Vec::new(),
            }),
        }
    }

    fn entry(&mut self, text: &str, key: &str, value: &str, span: Range<usize>) {
        let Some(section) = self.sections.last_mut() else {
            self.faults.push(Fault::new(
                span,
                format!("`{key}` stands before the first section"),
                "begin the file with `[general]`",
            ));
            return;
        };
        if section.entries.iter().any(|e| e.key.eq_ignore_ascii_case(key)) {
            self.faults.push(Fault::new(
                span,
                format!("`{key}` stands twice in `[{}]`", section.name),
                "keep one of them",
            ));
            return;
        }
        let at = if value.is_empty() {
            span
        } else {
            span_in(text, value)
        };
        section.entries.push(Entry {
            key: key.into(),
            value: value.into(),
            span: at,
        });
    }

    /// Whether a section is there.
    pub(super) fn has(&self, section: &str) -> bool {
        self.sections.iter().any(|s| s.name == section)
    }

    /// Whether a section has a key.
    pub(super) fn holds(&self, section: &str, key: &str) -> bool {
        self.sections
            .iter()
            .filter(|s| s.name == section)
            .any(|s| s.entries.iter().any(|e| e.key.eq_ignore_ascii_case(key)))
    }

    /// Says that a section is missing, once.
    pub(super) fn need(&mut self, section: &str, why: &str) -> bool {
        if self.has(section) {
            return true;
        }
        let near = nearest(section, self.sections.iter().map(|s| s.name.as_str()))
            .and_then(|name| self.sections.iter().find(|s| s.name == name));
        let (span, hint) = near.map_or((self.end..self.end, String::new()), |s| {
            (s.span.clone(), format!("; is `[{}]` meant?", s.name))
        });
        self.faults.push(Fault::new(
            span,
            format!("the section `[{section}]` is missing"),
            format!("add it: {why}{hint}"),
        ));
        false
    }

    /// The value of a key, with its place; a missing one is a fault.
    pub(super) fn value(&mut self, section: &str, key: &str) -> Option<(String, Range<usize>)> {
        let found = self.sections.iter().find(|s| s.name == section)?;
        if let Some(entry) = found.entries.iter().find(|e| e.key.eq_ignore_ascii_case(key)) {
            return Some((entry.value.clone(), entry.span.clone()));
        }
        let near = nearest(key, found.entries.iter().map(|e| e.key.as_str()));
        let place = near
            .and_then(|near| found.entries.iter().find(|e| e.key == near))
            .map_or(found.span.clone(), |e| e.span.clone());
        let hint = near.map_or_else(String::new, |near| format!("; is `{near}` meant?"));
        self.faults.push(Fault::new(
            place,
            format!("`{key}` is missing in `[{section}]`"),
            format!("add a line `{key} = ...`{hint}"),
        ));
        None
    }

    /// A whole number within a range.
    pub(super) fn count(&mut self, section: &str, key: &str, range: (u64, u64)) -> Option<u64> {
        let (text, span) = self.value(section, key)?;
        match text.parse::<u64>() {
            Ok(n) if (range.0..=range.1).contains(&n) => Some(n),
            _ => {
                self.faults.push(Fault::new(
                    span,
                    format!("`{key}` is `{text}`"),
                    format!("write a whole number from {} to {}", range.0, range.1),
                ));
                None
            }
        }
    }

    /// One of several words, in any case.
    pub(super) fn word<T: Copy>(&mut self, section: &str, key: &str, words: &[(&str, T)]) -> Option<T> {
        let (text, span) = self.value(section, key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)) {
            return Some(*value);
        }
        let list: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        self.faults.push(Fault::new(
            span,
            format!("`{key}` is `{text}`"),
            format!("write one of {}", list.join(", ")),
        ));
        None
    }
}
