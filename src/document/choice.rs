//! Which variant of a `oneOf` or `anyOf` a value is meant to be.

use super::check::{Checker, MOST_STEPS, Node};
use super::wording::{Name, accepts, brief, kind, mismatch, types, words};
use serde_json::{Map, Value as Json};
use toml::de::{DeTable, DeValue};

/// One variant with the schema objects it consists of.
struct Branch<'a> {
    schema: &'a Json,
    parts: Vec<&'a Map<String, Json>>,
}

impl<'a> Branch<'a> {
    fn properties(&self) -> impl Iterator<Item = (&'a str, &'a Json)> + '_ {
        let all = self.parts.iter().filter_map(|m| m.get("properties")?.as_object());
        all.flatten().map(|(k, v)| (k.as_str(), v))
    }

    fn is_table(&self) -> bool {
        self.parts
            .iter()
            .any(|m| m.get("type").is_some_and(|t| types(t).any(|t| t == "object")))
    }

    fn words(&self) -> Vec<&'a str> {
        self.parts.iter().flat_map(|m| words(m)).collect()
    }

    /// The word that a key must have in this variant.
    fn tag(&self, key: &str) -> Option<&'a str> {
        let (_, schema) = self.properties().find(|(k, _)| *k == key)?;
        match words(schema.as_object()?).as_slice() {
            [word] => Some(word),
            _ => None,
        }
    }

    /// The key of a variant that is written as `{ key = … }`.
    fn outer_key(&self) -> Option<&'a str> {
        let mut all = self.properties();
        let (key, _) = all.next()?;
        let required = self.parts.iter().any(|m| {
            m.get("required")
                .and_then(Json::as_array)
                .is_some_and(|r| r.len() == 1)
        });
        (all.next().is_none() && required && self.tag(key).is_none()).then_some(key)
    }

    fn accepts(&self, value: &DeValue<'_>) -> bool {
        self.parts
            .iter()
            .all(|m| m.get("type").is_none_or(|t| types(t).any(|t| accepts(t, value))))
    }
}

impl<'a> Checker<'a> {
    /// The variant that a value is meant to be; when there is none, the fault is noted.
    pub(super) fn choose(
        &mut self,
        branches: &'a [Json],
        node: &Node<'_>,
        name: Name<'_>,
    ) -> Option<&'a Json> {
        let all: Vec<Branch<'a>> = branches
            .iter()
            .map(|schema| Branch {
                schema,
                parts: self.parts(schema),
            })
            .collect();
        let all: Vec<Branch<'a>> = all
            .into_iter()
            .filter(|b| {
                !b.parts
                    .iter()
                    .any(|m| m.get("type") == Some(&Json::String("null".into())))
            })
            .collect();
        if let [only] = all.as_slice() {
            return Some(only.schema);
        }
        let (tables, plain): (Vec<&Branch<'a>>, Vec<&Branch<'a>>) = all.iter().partition(|b| b.is_table());
        match node.get_ref() {
            DeValue::String(word) if !plain.is_empty() && plain.iter().all(|b| !b.words().is_empty()) => {
                self.by_word(&plain, &tables, node, word, name)
            }
            DeValue::Table(table) if !tables.is_empty() => {
                let keys = || tables[0].properties().map(|(k, _)| k);
                let tag = keys().find(|key| tables.iter().all(|b| b.tag(key).is_some()));
                if let Some(tag) = tag {
                    self.by_tag(tag, &tables, node, table)
                } else if tables.iter().all(|b| b.outer_key().is_some()) {
                    self.by_outer_key(&plain, &tables, node, table)
                } else {
                    self.by_trial(branches, &all, node, name)
                }
            }
            _ => self.by_trial(branches, &all, node, name),
        }
    }

    /// The schema objects that apply whatever the value is.
    fn parts(&self, schema: &'a Json) -> Vec<&'a Map<String, Json>> {
        let mut parts = Vec::new();
        let mut open = vec![schema];
        while let Some(map) = open.pop().and_then(Json::as_object) {
            parts.push(map);
            open.extend(self.target(map));
            open.extend(map.get("allOf").and_then(Json::as_array).into_iter().flatten());
            if parts.len() > MOST_STEPS {
                break;
            }
        }
        parts
    }

    fn by_word(
        &mut self,
        plain: &[&Branch<'a>],
        tables: &[&Branch<'a>],
        node: &Node<'_>,
        word: &str,
        name: Name<'_>,
    ) -> Option<&'a Json> {
        if let Some(branch) = plain.iter().find(|b| b.words().contains(&word)) {
            return Some(branch.schema);
        }
        if let Some(key) = tables.iter().filter_map(|b| b.outer_key()).find(|k| *k == word) {
            let message = format!("{name} \"{key}\" needs values of its own");
            self.fault(
                node.span(),
                "a table is needed",
                message,
                format!("write `{{ {key} = … }}`"),
            );
            return None;
        }
        // tables that are told apart by a word of theirs
        let tag = tables.first().and_then(|b| {
            b.properties()
                .map(|(key, _)| key)
                .find(|key| b.tag(key).is_some())
        });
        let tags = || tables.iter().filter_map(|b| b.tag(tag?));
        if let (Some(tag), Some(kind)) = (tag, tags().find(|t| *t == word)) {
            let message = format!("{name} \"{kind}\" needs values of its own");
            let help = format!("write `{{ {tag} = \"{kind}\", … }}`");
            self.fault(node.span(), "a table is needed", message, help);
            return None;
        }
        let mut allowed: Vec<&str> = plain.iter().flat_map(|b| b.words()).collect();
        allowed.extend(tables.iter().filter_map(|b| b.outer_key()));
        for tag in tags() {
            if !allowed.contains(&tag) {
                allowed.push(tag);
            }
        }
        self.not_among(node.span(), name, word, &allowed);
        None
    }

    fn by_tag(
        &mut self,
        tag: &str,
        tables: &[&Branch<'a>],
        node: &Node<'_>,
        table: &DeTable<'_>,
    ) -> Option<&'a Json> {
        let allowed: Vec<&str> = tables.iter().filter_map(|b| b.tag(tag)).collect();
        let Some(value) = table.get(tag) else {
            let list = allowed
                .iter()
                .map(|w| format!("\"{w}\""))
                .collect::<Vec<_>>()
                .join(", ");
            self.fault(
                node.span(),
                &format!("needs `{tag}`"),
                format!("missing key `{tag}`"),
                format!("add `{tag} = …`, one of {list}"),
            );
            return None;
        };
        let tag_name = Name::of(tag);
        let DeValue::String(word) = value.get_ref() else {
            let message = format!("{tag_name} must be a string, not {}", kind(value.get_ref()));
            self.fault(
                value.span(),
                kind(value.get_ref()),
                message,
                "write one of its words in quotes".into(),
            );
            return None;
        };
        let found = tables.iter().find(|b| b.tag(tag) == Some(word.as_ref()));
        if found.is_none() {
            self.not_among(value.span(), tag_name, word, &allowed);
        }
        found.map(|b| b.schema)
    }

    fn by_outer_key(
        &mut self,
        plain: &[&Branch<'a>],
        tables: &[&Branch<'a>],
        node: &Node<'_>,
        table: &DeTable<'_>,
    ) -> Option<&'a Json> {
        let mut allowed: Vec<&str> = tables.iter().filter_map(|b| b.outer_key()).collect();
        let list = allowed
            .iter()
            .map(|w| format!("`{w}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let mut entries = table.iter();
        let (Some((key, _)), None) = (entries.next(), entries.next()) else {
            self.fault(
                node.span(),
                "this table",
                format!("this table has {} keys, it needs one", table.len()),
                format!("give it one of {list}"),
            );
            return None;
        };
        let found = tables
            .iter()
            .find(|b| b.outer_key() == Some(key.get_ref().as_ref()));
        if found.is_none() {
            let near = super::nearest(key.get_ref(), allowed.iter().copied());
            let help = near.map_or_else(String::new, |n| format!("did you mean `{n}`? "));
            allowed.extend(plain.iter().flat_map(|b| b.words()));
            self.fault(
                key.span(),
                "unknown key",
                format!("unknown key `{}`", brief(key.get_ref())),
                format!("{help}allowed here: {list}"),
            );
        }
        found.map(|b| b.schema)
    }

    /// The variant of the value's type; of several, the one with the fewest faults, and of those the first.
    fn by_trial(
        &mut self,
        branches: &'a [Json],
        all: &[Branch<'a>],
        node: &Node<'_>,
        name: Name<'_>,
    ) -> Option<&'a Json> {
        let fitting: Vec<&Branch<'a>> = all.iter().filter(|b| b.accepts(node.get_ref())).collect();
        match fitting.as_slice() {
            [only] => Some(only.schema),
            [] => {
                let mut words: Vec<String> = Vec::new();
                for branch in all {
                    let word = self.expected(branch.schema);
                    if !words.contains(&word) {
                        words.push(word);
                    }
                }
                let schema = branches.first().unwrap_or(&Json::Null);
                let (message, help) = mismatch(name, &words.join(" or "), schema, node.get_ref());
                self.fault(node.span(), kind(node.get_ref()), message, help);
                None
            }
            several => {
                let faults = |branch: &&&Branch<'a>| {
                    let mut trial = Checker {
                        root: self.root,
                        faults: Vec::new(),
                    };
                    trial.value(branch.schema, node, name);
                    trial.faults.len()
                };
                several.iter().min_by_key(faults).map(|b| b.schema)
            }
        }
    }
}
