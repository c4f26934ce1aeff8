//! What commands say of an FPGA: what each engine takes of the part, and whether it fits.

mod command;

use command::{cosparse, in_directory};
use std::fs;

const PROFILE: &str = include_str!("../hw_profiles/zynq-7020.toml");

#[test]
fn estimate_sets_used_beside_available() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = [
        "estimate",
        "lenet5",
        "--hw",
        "zynq-7020",
        "--recipe",
        "lenet5-han-2015",
        "--out",
        "out",
    ];
    let run = cosparse(directory.path(), &arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("dense fits: DSP binds, 192 of 220 (87 %)"),
        "{}",
        run.stdout
    );
    let text = fs::read_to_string(directory.path().join("out/resources.csv")).expect("written");
    let mut file = csv::Reader::from_reader(text.as_bytes());
    let columns = file.headers().expect("a header").clone();
    let rows: Vec<_> = file.records().map(|row| row.expect("a row")).collect();
    // two candidates, two engines, five resources
    assert_eq!(rows.len(), 2 * 2 * 5, "{text}");
    let cell = |row: &csv::StringRecord, name: &str| {
        let at = columns.iter().position(|c| c == name).expect("a column");
        row[at].to_owned()
    };
    let ff = |candidate: &str| {
        let of = |row: &&csv::StringRecord| {
            (cell(row, "candidate"), cell(row, "engine"), cell(row, "resource"))
                == (candidate.into(), "dense".into(), "FF".into())
        };
        let row = rows.iter().find(of).expect("the row");
        (
            cell(row, "weight_bits"),
            cell(row, "used"),
            cell(row, "available"),
            cell(row, "fits"),
        )
    };
    // the recipe's widest weight has 8 bits or fewer: PEs are as wide as that
    let (bits, used, ..) = ff("recipe");
    let bits: u64 = bits.parse().expect("a count");
    assert!(bits <= 8);
    assert_eq!(used, (192 * (bits + 8)).to_string());
    assert_eq!(
        ff("dense"),
        ("8".into(), "3072".into(), "106400".into(), "true".into())
    );
}

#[test]
fn profiles_that_are_no_fpga_have_no_resources() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = cosparse(
        directory.path(),
        &["estimate", "lenet5", "--hw", "eie-45nm", "--out", "out"],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!directory.path().join("out/resources.csv").exists());
    assert!(!run.stdout.contains("bitstream"), "{}", run.stdout);
}

/// A design that is too large is estimated, and marked wherever it is shown.
#[test]
fn a_design_that_does_not_fit_is_marked() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    assert!(PROFILE.contains("dsp = 220"));
    let small = PROFILE
        .replace("dsp = 220", "dsp = 150")
        .replace("bram18 = 280", "bram18 = 120");
    fs::write(directory.path().join("small.toml"), small).expect("a writable directory");
    let check = cosparse(directory.path(), &["profile", "check", "small.toml"]);
    assert_eq!(check.code, 0, "{}", check.stderr);
    insta::assert_snapshot!("check", in_directory(&check));
    let show = cosparse(directory.path(), &["profile", "show", "small.toml"]);
    let shown = show.stdout.find("xc7z020 at").expect("resources");
    insta::assert_snapshot!("show", &show.stdout[shown..]);
    let run = cosparse(
        directory.path(),
        &["estimate", "lenet5", "--hw", "small.toml", "--out", "out"],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let words =
        "dense does not fit: needs 192 DSP, the part has 150; 200 BRAM18, the part has 120; BRAM18 binds";
    assert!(run.stdout.contains(words), "{}", run.stdout);
    let rows = fs::read_to_string(directory.path().join("out/resources.csv")).expect("written");
    assert!(rows.lines().skip(1).all(|row| row.ends_with("false")), "{rows}");
}

#[test]
fn a_part_of_another_maker_is_not_modelled() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let other = PROFILE.replace("value = \"xc7z020\"", "value = \"5CSEMA5\"");
    fs::write(directory.path().join("other.toml"), other).expect("a writable directory");
    let run = cosparse(directory.path(), &["profile", "check", "other.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("not modelled"), "{}", run.stdout);
    assert!(run.stdout.contains("5CSEMA5"), "{}", run.stdout);
}

#[test]
fn a_memory_that_the_part_does_not_have() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ultra = PROFILE.replacen(
        "capacity = \"192 KiB\"",
        "capacity = \"192 KiB\"\nfpga-memory = \"uram\"",
        1,
    );
    fs::write(directory.path().join("ultra.toml"), ultra).expect("a writable directory");
    let run = cosparse(directory.path(), &["estimate", "lenet5", "--hw", "ultra.toml"]);
    assert_eq!(run.code, 2, "{}", run.stdout);
    insta::assert_snapshot!("no_ultra_ram", in_directory(&run));
}
