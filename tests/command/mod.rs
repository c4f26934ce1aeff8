//! Running the program as a user does.

use std::path::Path;
use std::process::Command;

/// What a command answered.
pub(crate) struct Run {
    pub(crate) arguments: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program in a directory, without colour.
pub(crate) fn cosparse(directory: &Path, arguments: &[&str]) -> Run {
    with_threads(directory, arguments, "2")
}

/// The same on a number of threads.
pub(crate) fn with_threads(directory: &Path, arguments: &[&str], threads: &str) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_cosparse"))
        .args(arguments)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .env("RAYON_NUM_THREADS", threads)
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run {
        arguments: arguments.join(" "),
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// The screen of a command, for a snapshot.
#[must_use]
pub(crate) fn in_directory(run: &Run) -> String {
    let stderr: Vec<&str> = run.stderr.lines().map(str::trim_end).collect();
    format!(
        "$ cosparse {}\nexit code {}\n{}{}",
        run.arguments,
        run.code,
        run.stdout,
        stderr.join("\n").trim_end()
    )
}
