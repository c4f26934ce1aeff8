//! A TOML tree against the JSON schema of the type it is to become: every fault, not only the first.
//!
//! The schemas are those that `schemars` derives, so the words read here are the ones it writes: `$ref`, `allOf`,
//! `oneOf`, `anyOf`, `type`, `const`, `enum`, `properties`, `required`, `additionalProperties`, `items`,
//! `prefixItems`, limits of numbers, lengths, and the `format` of integers and quantities. Whatever else a
//! type demands is left to its `Deserialize`, which runs after this check.

use super::wording::{Name, accepts, allowed_keys, brief, kind, mismatch, types, words};
use super::{Fault, nearest};
use crate::units;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// References that lead to references and never to a schema end here.
pub(super) const MOST_STEPS: usize = 64;
/// Enough to see that a file is wrong throughout.
const ENOUGH_FAULTS: usize = 1000;

/// A value of the file with its place.
pub(super) type Node<'d> = Spanned<DeValue<'d>>;

/// All faults of a document against a schema.
pub(super) fn check(schema: &Json, root: Spanned<DeTable<'_>>) -> Vec<Fault> {
    let mut checker = Checker {
        root: schema,
        faults: Vec::new(),
    };
    // the root has no header to point at: its faults stand at the start of the file
    let node = Spanned::new(0..0, DeValue::Table(root.into_inner()));
    checker.value(schema, &node, Name::of(""));
    checker.faults
}

/// The schema objects that all apply to one value.
#[derive(Default)]
pub(super) struct Rules<'a> {
    list: Vec<&'a Map<String, Json>>,
    /// A variant could not be chosen: which keys are allowed is not known.
    undecided: bool,
    /// The value is of another type: nothing below it can be judged.
    refused: bool,
}

pub(super) struct Checker<'a> {
    pub(super) root: &'a Json,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Checker<'a> {
    pub(super) fn fault(&mut self, span: Range<usize>, label: &str, message: String, help: String) {
        if self.faults.len() < ENOUGH_FAULTS {
            self.faults.push(Fault::new(span, message, help).label(label));
        }
    }

    pub(super) fn value(&mut self, schema: &'a Json, node: &Node<'_>, name: Name<'_>) {
        let mut rules = Rules::default();
        self.gather(schema, node, name, &mut rules, 0);
        if rules.refused {
            return;
        }
        match node.get_ref() {
            DeValue::Table(table) => self.table(&rules, node.span(), table),
            DeValue::Array(list) => self.list(&rules, node, list, name),
            DeValue::String(text) => self.string(&rules, node, text, name),
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(value) => self.integer(&rules, node, value, name),
                Err(_) => self.fault(
                    node.span(),
                    "too large",
                    format!("{name} does not fit 64 bits"),
                    "write a smaller number".into(),
                ),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(value) if value.is_finite() => self.float(&rules, node, value, name),
                _ => self.fault(
                    node.span(),
                    "not finite",
                    format!("{name} must be a finite number"),
                    "write a plain decimal number".into(),
                ),
            },
            DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }

    /// Collects the schema objects that apply, following references and choosing variants.
    fn gather(
        &mut self,
        schema: &'a Json,
        node: &Node<'_>,
        name: Name<'_>,
        rules: &mut Rules<'a>,
        steps: usize,
    ) {
        let Json::Object(map) = schema else { return };
        if steps > MOST_STEPS || rules.refused {
            return;
        }
        if let Some(target) = self.target(map) {
            self.gather(target, node, name, rules, steps + 1);
        }
        if let Some(allowed) = map.get("type")
            && !types(allowed).any(|t| accepts(t, node.get_ref()))
        {
            let (message, help) = mismatch(name, &self.expected(schema), schema, node.get_ref());
            self.fault(node.span(), kind(node.get_ref()), message, help);
            rules.refused = true;
            return;
        }
        for part in map.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            self.gather(part, node, name, rules, steps + 1);
        }
        rules.list.push(map);
        for word in ["oneOf", "anyOf"] {
            let Some(branches) = map.get(word).and_then(Json::as_array) else {
                continue;
            };
            if rules.refused {
                return;
            }
            match self.choose(branches, node, name) {
                Some(branch) => self.gather(branch, node, name, rules, steps + 1),
                None => rules.undecided = true,
            }
        }
    }

    /// What a `$ref` of this schema refers to.
    pub(super) fn target(&self, map: &Map<String, Json>) -> Option<&'a Json> {
        let pointer = map.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer)
    }

    fn table(&mut self, rules: &Rules<'a>, span: Range<usize>, table: &DeTable<'_>) {
        let mut known: Vec<(&'a str, &'a Json)> = Vec::new();
        let mut required: Vec<&'a str> = Vec::new();
        let mut others: Option<&'a Json> = None;
        for map in &rules.list {
            let properties = map.get("properties").and_then(Json::as_object);
            known.extend(properties.into_iter().flatten().map(|(k, v)| (k.as_str(), v)));
            required.extend(
                map.get("required")
                    .and_then(Json::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Json::as_str),
            );
            others = others.or_else(|| {
                map.get("additionalProperties")
                    .filter(|v| v.is_object() || **v == Json::Bool(true))
            });
        }
        // a type without any named key and without a rule for others takes every key
        let open = rules.undecided
            || (known.is_empty()
                && !rules
                    .list
                    .iter()
                    .any(|m| m.get("additionalProperties") == Some(&Json::Bool(false))));
        let mut meant: BTreeSet<&str> = BTreeSet::new();
        for (key, value) in table {
            if self.faults.len() >= ENOUGH_FAULTS {
                return;
            }
            let name = key.get_ref().as_ref();
            if let Some((_, schema)) = known.iter().find(|(k, _)| *k == name) {
                self.value(schema, value, Name::of(name));
            } else if let Some(schema) = others {
                self.value(schema, value, Name::of(name));
            } else if !open {
                let free = known.iter().map(|(k, _)| *k).filter(|k| !table.contains_key(*k));
                let near = nearest(name, free);
                meant.extend(near);
                let allowed: Vec<&str> = known.iter().map(|(k, _)| *k).collect();
                let help = near.map_or_else(String::new, |n| format!("did you mean `{n}`? "))
                    + &allowed_keys(&allowed);
                self.fault(
                    key.span(),
                    "unknown key",
                    format!("unknown key `{}`", brief(name)),
                    help,
                );
            }
        }
        for key in required {
            if !table.contains_key(key) && meant.insert(key) {
                let about = known
                    .iter()
                    .find(|(k, _)| *k == key)
                    .map(|(_, s)| self.about(s))
                    .unwrap_or_default();
                let label = format!("needs `{key}`");
                self.fault(
                    span.clone(),
                    &label,
                    format!("missing key `{key}`"),
                    format!("add `{key} = …`{about}"),
                );
            }
        }
    }

    fn list(&mut self, rules: &Rules<'a>, node: &Node<'_>, list: &[Node<'_>], name: Name<'_>) {
        for map in &rules.list {
            let first = map
                .get("prefixItems")
                .and_then(Json::as_array)
                .map_or(&[][..], Vec::as_slice);
            for (i, element) in list.iter().enumerate() {
                if let Some(schema) = first.get(i).or_else(|| map.get("items")) {
                    self.value(schema, element, name.element(i));
                }
            }
            let limit = |word| map.get(word).and_then(Json::as_u64);
            let (least, most) = (limit("minItems"), limit("maxItems"));
            let count = list.len() as u64;
            if least.is_some_and(|n| count < n) || most.is_some_and(|n| count > n) {
                let want = match (least, most) {
                    (Some(a), Some(b)) if a == b => format!("exactly {a}"),
                    (Some(a), Some(b)) => format!("{a} to {b}"),
                    (Some(a), None) => format!("at least {a}"),
                    (None, b) => format!("at most {}", b.unwrap_or(u64::MAX)),
                };
                let message = format!("{name} has {count} elements, it needs {want}");
                self.fault(node.span(), "this list", message, format!("give it {want}"));
            }
        }
    }

    fn string(&mut self, rules: &Rules<'a>, node: &Node<'_>, text: &str, name: Name<'_>) {
        for map in &rules.list {
            let words = words(map);
            if !words.is_empty() {
                if !words.contains(&text) {
                    self.not_among(node.span(), name, text, &words);
                }
                continue;
            }
            if let Some(Err(error)) = map
                .get("format")
                .and_then(Json::as_str)
                .and_then(|f| units::check(f, text))
            {
                let about = map
                    .get("description")
                    .and_then(Json::as_str)
                    .unwrap_or("a quantity is a number and its unit");
                self.fault(
                    node.span(),
                    "this quantity",
                    format!("{name}: {error}"),
                    about.to_string(),
                );
            }
            let letters = text.chars().count() as u64;
            if map
                .get("minLength")
                .and_then(Json::as_u64)
                .is_some_and(|n| letters < n)
            {
                self.fault(
                    node.span(),
                    "too short",
                    format!("{name} is empty or too short"),
                    format!("write something{}", self.about_map(map)),
                );
            }
            if map
                .get("maxLength")
                .and_then(Json::as_u64)
                .is_some_and(|n| letters > n)
            {
                self.fault(
                    node.span(),
                    "too long",
                    format!("{name} has {letters} letters"),
                    "shorten it".into(),
                );
            }
        }
    }

    /// A word that is not one of the allowed ones.
    pub(super) fn not_among(&mut self, span: Range<usize>, name: Name<'_>, word: &str, allowed: &[&str]) {
        let near = nearest(word, allowed.iter().copied());
        let list = allowed
            .iter()
            .map(|w| format!("\"{w}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let help = near.map_or_else(String::new, |n| format!("did you mean \"{n}\"? "))
            + &format!("allowed: {list}");
        self.fault(
            span,
            "not allowed",
            format!("{name} cannot be \"{}\"", brief(word)),
            help,
        );
    }

    fn integer(&mut self, rules: &Rules<'a>, node: &Node<'_>, value: i128, name: Name<'_>) {
        let (mut least, mut most) = (i128::from(i64::MIN), i128::from(u64::MAX));
        for map in &rules.list {
            if map.get("type").is_some_and(|t| !types(t).any(|t| t == "integer")) {
                return self.float(rules, node, value as f64, name);
            }
            if let Some((a, b)) = map.get("format").and_then(Json::as_str).and_then(width) {
                (least, most) = (least.max(a), most.min(b));
            }
            least = whole(map, "minimum").map_or(least, |n| least.max(n));
            most = whole(map, "maximum").map_or(most, |n| most.min(n));
            least = whole(map, "exclusiveMinimum").map_or(least, |n| least.max(n + 1));
            most = whole(map, "exclusiveMaximum").map_or(most, |n| most.min(n - 1));
        }
        let rule = if value < least {
            format!("at least {least}")
        } else if value > most {
            format!("at most {most}")
        } else {
            return;
        };
        let about = rules
            .list
            .iter()
            .map(|m| self.about_map(m))
            .find(|t| !t.is_empty())
            .unwrap_or_default();
        self.fault(
            node.span(),
            "out of range",
            format!("{name} is {value}, it must be {rule}"),
            format!("write a whole number, {rule}{about}"),
        );
    }

    fn float(&mut self, rules: &Rules<'a>, node: &Node<'_>, value: f64, name: Name<'_>) {
        for map in &rules.list {
            let limit = |word: &str| map.get(word).and_then(Json::as_f64);
            let rule = if let Some(n) = limit("minimum").filter(|&n| value < n) {
                format!("at least {n}")
            } else if let Some(n) = limit("exclusiveMinimum").filter(|&n| value <= n) {
                format!("greater than {n}")
            } else if let Some(n) = limit("maximum").filter(|&n| value > n) {
                format!("at most {n}")
            } else if let Some(n) = limit("exclusiveMaximum").filter(|&n| value >= n) {
                format!("less than {n}")
            } else {
                continue;
            };
            let about = self.about_map(map);
            self.fault(
                node.span(),
                "out of range",
                format!("{name} is {value}, it must be {rule}"),
                format!("write a number {rule}{about}"),
            );
        }
    }
}

/// The range of an integer format.
fn width(format: &str) -> Option<(i128, i128)> {
    Some(match format {
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint" | "uint64" => (0, u64::MAX.into()),
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int" | "int64" => (i64::MIN.into(), i64::MAX.into()),
        _ => return None,
    })
}

/// A limit of whole numbers.
fn whole(map: &Map<String, Json>, word: &str) -> Option<i128> {
    let number = map.get(word)?;
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
        .or_else(|| number.as_f64().map(|f| f as i128))
}
