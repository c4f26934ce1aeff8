//! Strict TOML on types of every form that serde has.

use cosparse::document::{At, Fault, Faults, Source, write_schema};
use cosparse::units::{Capacity, Frequency};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Chip {
    /// What it is called
    name: String,
    clock: At<Frequency>,
    #[serde(default)]
    port: Option<Port>,
    #[serde(default)]
    memories: BTreeMap<String, Memory>,
    #[serde(default)]
    order: Vec<Order>,
    #[serde(default)]
    shift: (i8, f32),
}

#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Memory {
    capacity: Capacity,
    /// Banks, a power of two
    #[schemars(range(min = 1, max = 64))]
    banks: At<u32>,
}

/// Externally tagged: words and tables mixed.
#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Order {
    Rows,
    /// Columns first
    Columns,
    Blocks {
        rows: u8,
        cols: u8,
    },
    Stride(u16),
}

/// Internally tagged.
#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
enum Port {
    Narrow,
    Wide { bits: u64 },
}

fn read(text: &str) -> Result<Chip, Faults> {
    Source::new("chip.toml", text).parse()
}

/// Each fault as the text it marks and its message.
fn faults(text: &str) -> Vec<(&str, String)> {
    let marked = |f: &Fault| {
        (
            &text[f.span.offset()..f.span.offset() + f.span.len()],
            f.message.clone(),
        )
    };
    read(text)
        .expect_err("the text has faults")
        .faults
        .iter()
        .map(marked)
        .collect()
}

/// Messages and help of a text with one fault.
fn fault(text: &str) -> (String, String) {
    let found = read(text).expect_err("the text has a fault").faults;
    assert_eq!(found.len(), 1, "{found:?}");
    (
        found[0].message.clone(),
        found[0].help.clone().unwrap_or_default(),
    )
}

const GOOD: &str = "name = \"chip\"\nclock = \"500 MHz\"\n";

#[test]
fn every_form_is_read() {
    let text = format!(
        "{GOOD}port = {{ kind = \"wide\", bits = 64 }}\nshift = [-3, 1]\n\
         order = [\"rows\", \"columns\", {{ blocks = {{ rows = 2, cols = 4 }} }}, {{ stride = 7 }}]\n\
         [memories.weights]\ncapacity = \"128 KiB\"\nbanks = 4\n"
    );
    let chip = read(&text).expect("valid");
    assert_eq!(chip.port, Some(Port::Wide { bits: 64 }));
    assert_eq!(chip.shift, (-3, 1.0));
    assert_eq!(
        chip.order,
        [
            Order::Rows,
            Order::Columns,
            Order::Blocks { rows: 2, cols: 4 },
            Order::Stride(7)
        ]
    );
    assert_eq!(chip.memories["weights"].capacity.bits(), 128 * 8192);
    assert_eq!(&text[chip.memories["weights"].banks.span()], "4");
    assert_eq!(&text[chip.clock.span()], "\"500 MHz\"");
}

#[test]
fn written_and_read_again_it_is_the_same() {
    let text = format!(
        "{GOOD}port = {{ kind = \"narrow\" }}\norder = [\"rows\", {{ stride = 7 }}]\n[memories.x]\ncapacity = \"1 B\"\nbanks = 1\n"
    );
    let chip = read(&text).expect("valid");
    let again = toml::to_string(&chip).expect("serialisable");
    assert_eq!(read(&again).expect("valid"), chip);
}

#[test]
fn all_faults_are_found_in_the_order_of_the_file() {
    let text = "name = 3\nclock = \"500 mV\"\nport = { kind = \"wide\", bit = 64 }\norder = [\"rows\", \"column\", { block = 1 }]\n\
                shift = [200, 1.0, 2]\n[memories.weights]\ncapacity = 128\nbanks = 65\n[memories.inputs]\nbanks = 1\n";
    let found = faults(text);
    let marks: Vec<&str> = found.iter().map(|(mark, _)| *mark).collect();
    assert_eq!(
        marks,
        [
            "3",
            "\"500 mV\"",
            "bit",
            "\"column\"",
            "block",
            "[200, 1.0, 2]",
            "200",
            "128",
            "65",
            "[memories.inputs]"
        ]
    );
    let of = |i: usize| found[i].1.as_str();
    assert_eq!(of(0), "`name` must be a string, not a whole number");
    assert!(of(1).contains("`mV` is not a unit of frequency"), "{}", of(1));
    assert_eq!(of(2), "unknown key `bit`");
    assert_eq!(of(3), "element 2 of `order` cannot be \"column\"");
    assert_eq!(of(4), "unknown key `block`");
    assert_eq!(of(5), "`shift` has 3 elements, it needs exactly 2");
    assert_eq!(of(6), "element 1 of `shift` is 200, it must be at most 127");
    assert_eq!(
        of(7),
        "`capacity` must be a string with its unit, as in \"128 KiB\", not a whole number"
    );
    assert_eq!(of(8), "`banks` is 65, it must be at most 64");
    assert_eq!(of(9), "missing key `capacity`");
}

#[test]
fn a_key_that_is_nearly_right_is_not_missing_too() {
    let (message, help) = fault("nmae = \"chip\"\nclock = \"1 GHz\"\n");
    assert_eq!(message, "unknown key `nmae`");
    assert!(
        help.starts_with("did you mean `name`? allowed here: `name`, `clock`"),
        "{help}"
    );
}

#[test]
fn tags_are_explained() {
    let (message, help) = fault(&format!("{GOOD}port = {{ bits = 3 }}\n"));
    assert_eq!(
        (message.as_str(), help.as_str()),
        (
            "missing key `kind`",
            "add `kind = …`, one of \"narrow\", \"wide\""
        )
    );
    let (message, help) = fault(&format!("{GOOD}port = {{ kind = \"wde\" }}\n"));
    assert_eq!(
        (message.as_str(), help.as_str()),
        (
            "`kind` cannot be \"wde\"",
            "did you mean \"wide\"? allowed: \"narrow\", \"wide\""
        )
    );
    let (message, _) = fault(&format!("{GOOD}port = {{ kind = 7 }}\n"));
    assert_eq!(message, "`kind` must be a string, not a whole number");
    let (message, _) = fault(&format!("{GOOD}port = \"wide\"\n"));
    assert_eq!(message, "`port` must be a table, not a string");
    let (message, help) = fault(&format!("{GOOD}order = [\"blocks\"]\n"));
    assert_eq!(
        (message.as_str(), help.as_str()),
        (
            "element 1 of `order` \"blocks\" needs values of its own",
            "write `{ blocks = … }`"
        )
    );
    let (message, _) = fault(&format!("{GOOD}order = [{{ stride = 1, blocks = 2 }}]\n"));
    assert_eq!(message, "this table has 2 keys, it needs one");
    let (message, _) = fault(&format!("{GOOD}order = [1]\n"));
    assert_eq!(
        message,
        "element 1 of `order` must be a string or a table, not a whole number"
    );
}

#[test]
fn numbers_have_limits() {
    for (value, wrong) in [
        ("-1", "`bits` is -1, it must be at least 0"),
        (
            "18_446_744_073_709_551_616",
            "`bits` is 18446744073709551616, it must be at most 18446744073709551615",
        ),
        ("1e3", "`bits` must be a whole number, not a decimal number"),
        ("\"8\"", "`bits` must be a whole number, not a string"),
        ("1979-05-27", "`bits` must be a whole number, not a date or time"),
    ] {
        let (message, _) = fault(&format!("{GOOD}port = {{ kind = \"wide\", bits = {value} }}\n"));
        assert_eq!(message, wrong);
    }
    let (message, _) = fault(&format!("{GOOD}shift = [1, nan]\n"));
    assert_eq!(message, "element 2 of `shift` must be a finite number");
    let (message, _) = fault(&format!(
        "{GOOD}port = {{ kind = \"wide\", bits = {} }}\n",
        "9".repeat(60)
    ));
    assert_eq!(message, "`bits` does not fit 64 bits");
    assert!(
        read(&format!(
            "{GOOD}port = {{ kind = \"wide\", bits = 0xffff_ffff_ffff_ffff }}\n"
        ))
        .is_ok()
    );
}

#[test]
fn a_file_of_another_kind_shows_a_screenful() {
    let keys: Vec<String> = (0..5000).map(|i| format!("key{i} = {i}\n")).collect();
    let found = read(&keys.concat()).expect_err("nothing fits").faults;
    assert_eq!(found.len(), 50);
    assert_eq!(found[49].message, "more faults follow");
}

#[test]
fn places_are_found_by_path() {
    let source = Source::new("x.toml", "[a]\nb = [1, 22]\n[[c]]\nd = 'e'\n");
    let at = |path: &[&str]| &source.text[source.place(path)];
    assert_eq!(at(&["a", "b", "1"]), "22");
    assert_eq!(at(&["c", "0", "d"]), "'e'");
    assert_eq!(at(&["c", "0", "x"]), "[[c]]");
    assert_eq!(at(&["a"]), "[a]");
}

#[test]
fn schemas_are_written_for_editors() {
    let schema = write_schema::<Chip>();
    assert!(schema.ends_with("}\n"));
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!(schema["properties"]["name"]["description"], "What it is called");
    assert_eq!(schema["$defs"]["Frequency"]["format"], "cosparse-frequency");
}

proptest! {
    /// Whatever the text, reading it ends in a value or in faults that lie inside it.
    #[test]
    fn faults_lie_inside_the_text(text in "([a-z.=\\[\\]{}\"' \n0-9,é-]{0,60})|(name = \"x\"\n[a-z.=\\[\\]{}\"' \n0-9,é-]{0,60})") {
        if let Err(found) = read(&text) {
            prop_assert!(!found.faults.is_empty());
            for fault in &found.faults {
                prop_assert!(fault.span.offset() + fault.span.len() <= text.len());
            }
            let shown = format!("{:?}", miette::Report::new(found));
            prop_assert!(shown.contains("chip.toml"));
        }
    }

    /// A value that serde takes is taken, one it refuses is refused: the schema check adds no opinion of its own
    /// but for strictness about numbers that are not finite.
    #[test]
    fn the_check_agrees_with_serde(banks in -2i64..70, rows in -1i64..300, word in "rows|columns|blocks|stride|x") {
        let text = format!("{GOOD}order = [\"{word}\", {{ blocks = {{ rows = {rows}, cols = 1 }} }}]\n[memories.m]\ncapacity = \"1 B\"\nbanks = {banks}\n");
        let good = (1..=64).contains(&banks) && (0..256).contains(&rows) && matches!(word.as_str(), "rows" | "columns");
        prop_assert_eq!(read(&text).is_ok(), good);
    }
}
