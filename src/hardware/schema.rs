//! The JSON schema of profile files, for editors, and the commented text that `profile init` writes.

use super::raw::RawProfile;

/// The JSON schema of a profile file, with a final newline; `hw_profiles/schema.json` is this text.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::schema_for!(RawProfile);
    // the alternate form of a JSON value is its indented text
    format!("{:#}\n", schema.as_value())
}

/// A commented profile to start from; it is valid as it stands.
#[must_use]
pub fn template() -> &'static str {
    include_str!("template.toml")
}
