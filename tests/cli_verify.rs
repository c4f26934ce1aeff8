//! `cosparse verify`: what a file holds, and nothing else.

mod command;

use command::{cosparse, in_directory};
use cosparse::artefact::{Options, write};
use cosparse::compression::precision::{Levels, Precision};
use cosparse::compression::{ConstraintSet, MaskModel};
use cosparse::network::{Workload, zoo};
use cosparse::training::{Parameters, Role};
use std::fs;
use std::path::Path;

/// LeNet-5 with one weight in fifty on levels of four bits.
fn lenet5() -> Vec<u8> {
    let source = zoo::find("lenet5").expect("shipped");
    let network = Workload::from_source(&source).expect("valid").network;
    let mut parameters = Parameters::init(&network, 1);
    let mut levels = Vec::new();
    for p in parameters.list.iter_mut().filter(|p| p.role == Role::Weight) {
        let (rows, cols) = p.matrix();
        let mask = MaskModel::Uniform.draw(rows, cols, 0.02, 1);
        let fitted = Levels::fit(Precision::equal_interval(4), &p.values, &mask);
        fitted.project(&mut p.values, &mask);
        levels.push(fitted);
    }
    write(&network, "lenet5", &parameters, &levels, Options::default())
        .expect("on its levels")
        .bytes
}

#[test]
fn a_whole_file_is_decoded_and_measured() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (path, bytes) = (directory.path().join("net.cosparse"), lenet5());
    fs::write(&path, &bytes).expect("a file");
    let path = path.to_string_lossy();
    let run = cosparse(directory.path(), &["verify", &path, "--bytes-only"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let line = |word: &str| {
        let lines = run.stdout.lines();
        lines
            .filter(|l| l.starts_with(word))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(
        line("weights ")[0].contains("8 610 of 430 500, 50.0x fewer"),
        "{}",
        run.stdout
    );
    assert!(
        line("weight data")[0].contains("4 305 B of 1 722 000 B in float32, 400.0x"),
        "{}",
        run.stdout
    );
    let file = format!("{:.1}x", 1_722_000.0 / bytes.len() as f64);
    assert!(line("whole file")[0].contains(&file), "{}", run.stdout);
    assert!(line("test accuracy").is_empty());
    let measured = cosparse(Path::new(env!("CARGO_MANIFEST_DIR")), &["verify", &path]);
    assert_eq!(measured.code, 0, "{}", measured.stderr);
    assert!(measured.stdout.contains("test accuracy"), "{}", measured.stdout);
}

#[test]
fn what_is_no_whole_file_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bytes = lenet5();
    let mut corrupt = bytes.clone();
    corrupt[bytes.len() / 2] ^= 16;
    let mut version = bytes.clone();
    version[2] = 77;
    for (content, more, words) in [
        (&corrupt[..], &[][..], "corrupt"),
        (&bytes[..bytes.len() - 1], &[], "corrupt"),
        (&bytes[..3], &[], "truncated"),
        (&version[..], &[], "version 77"),
        (b"not one", &[], "not an artefact"),
        (
            &bytes[..],
            &["--workload", "lenet-300-100"],
            "written from workload `lenet5`",
        ),
    ] {
        fs::write(directory.path().join("net.cosparse"), content).expect("a file");
        let run = cosparse(
            directory.path(),
            &[&["verify", "net.cosparse", "--bytes-only"], more].concat(),
        );
        assert_eq!(run.code, 2, "{words}: {}", in_directory(&run));
        assert!(
            run.stdout.is_empty() && run.stderr.contains(words),
            "{words}: {}",
            run.stderr
        );
    }
    let run = cosparse(directory.path(), &["verify", "absent.cosparse"]);
    assert_eq!(run.code, 2);
}
