//! The commands of README.md do what it shows.
//!
//! A fenced block marked `console` is run, command by command, and must print what stands below it (`...` for
//! lines that are left out, `[..]` for a part of a line). A block marked `console,ignore` is not run: the main
//! command trains for minutes, and has its own test.

use std::path::Path;

#[test]
fn readme_commands_print_what_readme_shows() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&readme).unwrap_or_default();
    if !text.lines().any(|line| line.trim_end() == "```console") {
        #[allow(clippy::print_stderr, reason = "a test that does nothing says so")]
        {
            eprintln!("skipped: README.md shows no command that can be run here");
        }
        return;
    }
    trycmd::TestCases::new()
        .register_bin("cosparse", Path::new(env!("CARGO_BIN_EXE_cosparse")))
        .env("COLUMNS", "100")
        .case(readme);
}
