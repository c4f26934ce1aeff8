//! Hardware profiles: the shipped ones, what a bad file is told, and the constants' derivations.

use cosparse::hardware::{Profile, zoo};

#[test]
fn every_shipped_profile_is_read() {
    for shipped in zoo::list() {
        let profile = shipped
            .profile()
            .unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        assert_eq!(profile.name, shipped.name);
    }
    assert!(zoo::find("no-such").is_none());
}

#[test]
fn a_file_is_opened_by_path() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_profiles/tpu-v1-28nm.toml");
    let profile = Profile::open(&path).expect("shipped");
    assert_eq!(profile.engines.len(), 1);
    let missing = Profile::open(std::path::Path::new("no/such.toml")).expect_err("no file");
    assert!(missing.to_string().contains("no/such.toml"), "{missing}");
}
