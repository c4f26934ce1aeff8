//! The command line.

use std::process::ExitCode;

/// Runs the program: parses the arguments, calls the library, renders the error, chooses the exit code.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
