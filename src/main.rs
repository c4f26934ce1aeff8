//! The `cosparse` binary: parse the arguments, call the library, render the error, choose the exit code.

fn main() -> std::process::ExitCode {
    cosparse::cli::run()
}
