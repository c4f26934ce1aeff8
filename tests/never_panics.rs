//! Any text and any damage to a good text: readers answer or refuse, and never panic.

use cosparse::compression::mask_file::parse_smtx;
use cosparse::compression::{Recipe, RecipeFile};
use cosparse::document::Source;
use cosparse::hardware::Profile;
use cosparse::network::Workload;
use cosparse::scalesim::{Config, Topology};
use cosparse::simulate::Mappings;
use proptest::prelude::*;

const SMTX: &str = "3, 4, 5\n0 2 2 5\n0 3 0 1 2\n";
const CFG: &str = "[general]\nrun_name = small\n\n[architecture_presets]\nArrayHeight: 8\nArrayWidth: 8\nIfmapSramSzkB: 64\n\
    FilterSramSzkB: 64\nOfmapSramSzkB: 64\nIfmapOffset: 0\nFilterOffset: 10000000\nOfmapOffset: 20000000\nDataflow: ws\n\
    Bandwidth: 10\n\n[run_presets]\nInterfaceBandwidth: CALC\n";
const TOPOLOGY: &str = include_str!("data/scalesim/topologies/mini_conv.csv");
const MAPPING: &str = include_str!("../workloads/mappings/alexnet-eyeriss.toml");
const RECIPE: &str = include_str!("../workloads/recipes/lenet5-han-2015.toml");
const PROFILE: &str = include_str!("../hw_profiles/zynq-7020.toml");
const WORKLOAD: &str = include_str!("../workloads/lenet5.toml");

/// Reads a text as a file of a kind; whether it was taken.
fn read(kind: usize, text: &str) -> bool {
    let source = Source::new("file", text);
    match kind {
        0 => parse_smtx("file.smtx", text).is_ok(),
        1 => Config::read(&source).is_ok(),
        2 => Topology::read(&source).is_ok(),
        3 => Mappings::from_source(&source).is_ok(),
        4 => source
            .parse::<RecipeFile>()
            .is_ok_and(|file| Recipe::from_file(file).is_ok()),
        5 => Profile::from_source(&source).is_ok(),
        _ => Workload::from_source(&source).is_ok(),
    }
}

const GOOD: [&str; 7] = [SMTX, CFG, TOPOLOGY, MAPPING, RECIPE, PROFILE, WORKLOAD];

/// What may stand where something else stood.
fn stranger() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("0".into()),
        Just("-1".into()),
        Just("1099511627776".into()),
        Just("18446744073709551615".into()),
        Just("99999999999999999999999999".into()),
        Just("NaN".into()),
        Just("-inf".into()),
        Just("1e400".into()),
        Just("\"".into()),
        Just("[[".into()),
        Just(", , ,".into()),
        Just("\r\n\0".into()),
        Just("\u{feff}é∞".into()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        ".{0,12}",
    ]
}

/// The text with some words replaced, some lines dropped or doubled, and perhaps cut.
fn damaged(text: &str, words: &[(usize, String)], lines: &[(usize, bool)], cut: Option<usize>) -> String {
    let mut pieces: Vec<String> = Vec::new();
    for c in text.chars() {
        let joins = |last: &String| last.chars().all(char::is_alphanumeric) && c.is_alphanumeric();
        match pieces.last_mut().filter(|last| joins(last)) {
            Some(last) => last.push(c),
            None => pieces.push(c.into()),
        }
    }
    let count = pieces.len();
    for (at, word) in words {
        pieces[at % count].clone_from(word);
    }
    let text = pieces.concat();
    let mut kept: Vec<&str> = text.split('\n').collect();
    for &(at, doubled) in lines {
        if kept.is_empty() {
            break;
        }
        let at = at % kept.len();
        if doubled {
            kept.insert(at, kept[at]);
        } else {
            kept.remove(at);
        }
    }
    let text = kept.join("\n");
    match cut {
        Some(at) => text.chars().take(at % (text.chars().count() + 1)).collect(),
        None => text,
    }
}

#[test]
fn the_texts_are_good() {
    for (kind, text) in GOOD.into_iter().enumerate() {
        assert!(read(kind, text), "kind {kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn damage_is_read_or_refused(
        kind in 0..GOOD.len(),
        words in prop::collection::vec((any::<usize>(), stranger()), 0..4),
        lines in prop::collection::vec((any::<usize>(), any::<bool>()), 0..3),
        cut in prop::option::weighted(0.2, any::<usize>()),
    ) {
        read(kind, &damaged(GOOD[kind], &words, &lines, cut));
    }

    #[test]
    fn any_text_is_read_or_refused(kind in 0..GOOD.len(), text in "(?s).{0,200}") {
        read(kind, &text);
    }

    /// Three lines of numbers, as a mask has.
    #[test]
    fn any_numbers_are_a_mask_or_refused(
        head in prop::collection::vec(stranger(), 0..5),
        rows in prop::collection::vec(0..9u64, 0..9),
        columns in prop::collection::vec(0..9u64, 0..9),
    ) {
        let line = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        read(0, &format!("{}\n{}\n{}\n", head.join(", "), line(&rows), line(&columns)));
    }
}
