//! Why a report could not be made.

use miette::Diagnostic;
use std::io;
use std::path::PathBuf;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum ReportError {
    /// The directory for the reports cannot be made or written.
    #[error("the reports cannot be written to `{}`", path.display())]
    #[diagnostic(
        code(cosparse::report::directory),
        help("give a directory that can be written with `--out DIR`")
    )]
    Directory {
        /// The directory as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written, although the directory could when the job began.
    #[error("`{}` cannot be written", path.display())]
    #[diagnostic(
        code(cosparse::report::write),
        help("free space on the disk, or give another directory with `--out DIR`, and run again")
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A row without a CSV form.
    #[error("`{file}` has no CSV form")]
    #[diagnostic(code(cosparse::report::csv))]
    Csv {
        /// The file.
        file: String,
        /// What the writer said.
        source: csv::Error,
    },
    /// Two counts of a report sum to more than 2^64 - 1.
    #[error("the sum of `{column}` over the layers exceeds 2^64 - 1")]
    #[diagnostic(code(cosparse::report::overflow), help("report a smaller batch or network"))]
    Overflow {
        /// The column.
        column: &'static str,
    },
    /// A figure that is not a number.
    #[error("{what}: a figure is not a number")]
    #[diagnostic(
        code(cosparse::report::not_finite),
        help("the training has diverged: lower the learning rate of the workload")
    )]
    NotFinite {
        /// Whose figure.
        what: String,
    },
    /// A compressed layer whose bytes do not hold its weights.
    #[error("candidate `{candidate}`, layer `{layer}`: {message}")]
    #[diagnostic(
        code(cosparse::report::model),
        help(
            "nothing is reported of a model that does not decode to its weights; this is a fault of the program"
        )
    )]
    Model {
        /// The candidate.
        candidate: String,
        /// The layer.
        layer: String,
        /// What differs.
        message: String,
    },
}
