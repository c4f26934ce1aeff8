//! The terminal: answers on standard output, everything else on standard error.

use super::failure::Failure;
use miette::{GraphicalReportHandler, GraphicalTheme};
use std::io::{self, IsTerminal, Write};

/// Columns of an error screen.
const WIDTH: usize = 100;

/// Where the program speaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    quiet: bool,
    colour: bool,
    terminal: bool,
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            quiet,
            colour: terminal && !refused,
            terminal,
        }
    }

    /// Whether progress may be drawn.
    pub(super) fn draws(self) -> bool {
        self.terminal && !self.quiet
    }

    /// The answer. A reader that has gone away, as `head` does, is no error.
    #[allow(
        clippy::unused_self,
        reason = "the terminal is one: what it is told goes through it"
    )]
    pub(super) fn answer(self, text: &str) {
        let mut out = io::stdout().lock();
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let _ = write!(out, "{text}{end}").and_then(|()| out.flush());
    }

    /// A line beside the answer.
    pub(super) fn note(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// What went wrong, with place and cure.
    pub(super) fn failure(self, failure: &Failure) {
        let theme = if self.colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(WIDTH)
            .with_links(false);
        let mut text = String::new();
        for report in failure.reports() {
            if handler.render_report(&mut text, report.as_ref()).is_err() {
                text.push_str(&report.to_string());
            }
            text.push('\n');
        }
        let _ = write!(io::stderr().lock(), "{text}");
    }
}
