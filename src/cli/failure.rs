//! Every way a command ends without an answer, and its exit code.

use crate::document::{DocumentError, Fault, Faults, Source};
use crate::hardware::{OpenError, Profile};
use crate::report::ReportError;
use crate::simulate::SimulateError;
use miette::{Diagnostic, Report};
use std::process::ExitCode;

/// Why a command has no answer.
#[derive(Debug)]
pub enum Failure {
    /// The request was wrong: exit code 2.
    BadInput(Vec<Report>),
    /// The request was right and the job failed: exit code 1.
    Failed(Vec<Report>),
}

/// A message with its cure, for errors of modules that know nothing of screens.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
struct Complaint {
    message: String,
    #[help]
    help: Option<String>,
}

impl Failure {
    /// Wrong input: what, and the cure.
    pub(super) fn input(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::BadInput(vec![Report::new(Complaint {
            message: message.into(),
            help: Some(help.into()),
        })])
    }

    /// A job that failed: what, and the cure.
    pub(super) fn job(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Failed(vec![Report::new(Complaint {
            message: message.into(),
            help: Some(help.into()),
        })])
    }

    /// A layer that a profile cannot run: shown at its place in the profile where there is one.
    pub(super) fn simulate(
        error: &SimulateError,
        workload: &str,
        source: &Source,
        profile: &Profile,
    ) -> Self {
        let at = |path: &[&str], message: String, help: String| {
            let fault = Fault::new(
                source.place(path),
                format!("workload `{workload}`, {message}"),
                help,
            );
            Self::from(source.faults(vec![fault]))
        };
        match error {
            SimulateError::Tile {
                layer,
                memory,
                needed,
                available,
                cure,
            } => {
                let index = profile
                    .memories
                    .iter()
                    .position(|m| m.name == *memory)
                    .unwrap_or(0)
                    .to_string();
                let message = format!(
                    "layer `{layer}`: its smallest tile needs {needed} bits of `{memory}`, which has {available}"
                );
                at(
                    &["memories", &index, "buffer", "capacity"],
                    message,
                    format!("raise the capacity of `{memory}`, {cure}"),
                )
            }
            SimulateError::Unsupported {
                layer,
                engine,
                message,
            } => {
                let index = profile.engines.iter().position(|e| e.name == *engine);
                at(
                    &["engines", &index.unwrap_or(0).to_string(), "name"],
                    format!("layer `{layer}`: engine `{engine}` {message}"),
                    "change the layer in the workload, or add an engine that can run it".into(),
                )
            }
            SimulateError::NoEngine { layer, reasons, .. } => at(
                &["engines"],
                format!("layer `{layer}`: no engine can run it"),
                distinct(reasons),
            ),
            SimulateError::MissingArea { what, .. } => at(
                &["name"],
                format!("an equal-area comparison needs the {what}, which this profile does not give"),
                "add it with its source: `pe-area` to the engine, `sram-per-bit` to `[area]`".into(),
            ),
            other => Self::input(
                format!("workload `{workload}` on profile `{}`: {other}", profile.name),
                "change the layer in the workload, or take a profile whose engines can run it",
            ),
        }
    }

    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::BadInput(_) => ExitCode::from(2),
        }
    }

    /// What to show, in order.
    #[must_use]
    pub fn reports(&self) -> &[Report] {
        match self {
            Self::BadInput(reports) | Self::Failed(reports) => reports,
        }
    }
}

/// What the engines said, each thing once.
fn distinct(reasons: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in reasons.replace("; layer `", "\nlayer `").lines() {
        if !lines.iter().any(|l| l == line) {
            lines.push(line.into());
        }
    }
    lines.join("\n")
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        Self::BadInput(vec![Report::new(error)])
    }
}

impl From<Faults> for Failure {
    fn from(error: Faults) -> Self {
        Self::BadInput(vec![Report::new(error)])
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::BadInput(vec![Report::new(error)])
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Directory { .. } => Self::BadInput(vec![Report::new(error)]),
            _ => Self::Failed(vec![Report::new(error)]),
        }
    }
}
