//! What all verbs that report share: where the files go and how the answer is shown.

use super::failure::Failure;
use super::screen::Screen;
use crate::report::{Files, OutDirectory, RunFile};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Where reports go.
#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// Directory for the CSV files and run.toml [default: reports/runs/WORKLOAD-PROFILE-VERB]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object with the rows of the CSV files instead of tables
    #[arg(long)]
    json: bool,
}

impl ReportArguments {
    /// The directory of a run, made and tried: nothing is computed for a directory that refuses its result.
    pub(super) fn open(&self, run: &str) -> Result<OutDirectory, Failure> {
        let default = || Path::new("reports").join("runs").join(run);
        Ok(OutDirectory::open(self.out.clone().unwrap_or_else(default))?)
    }
}

/// Writes the files, then shows the answer: the tables, or the JSON object.
pub(super) fn finish<T: Serialize>(
    screen: Screen,
    arguments: &ReportArguments,
    out: &OutDirectory,
    run: &RunFile,
    files: &Files,
    answer: &T,
    tables: &str,
) -> Result<(), Failure> {
    out.write(run, files)?;
    if arguments.json {
        let text = serde_json::to_string_pretty(answer).map_err(|e| {
            Failure::job(
                format!("the rows have no JSON form: {e}"),
                "leave `--json` out; the CSV files are written",
            )
        })?;
        screen.answer(&text);
    } else {
        screen.answer(tables);
    }
    screen.note(&format!("reports: {}", out.path().display()));
    Ok(())
}
