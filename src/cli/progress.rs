//! Progress of a long job on standard error: a bar with the time left on a terminal, plain lines elsewhere.

use super::screen::Screen;
use crate::procedure::Observer;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// What takes less needs no bar.
const SHORT: Duration = Duration::from_secs(1);
/// Steps of a bar.
const STEPS: u64 = 1000;

/// Shows one stage at a time.
#[derive(Debug)]
pub(super) struct Progress {
    screen: Screen,
    stage: String,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(screen: Screen) -> Self {
        Self {
            screen,
            stage: String::new(),
            began: Instant::now(),
            bar: None,
        }
    }

    /// Takes the bar off the terminal.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(stage: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>16} [{bar:32}] {percent:>3} %, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(STEPS)
        .with_style(style.progress_chars("=> "))
        .with_prefix(stage.to_string())
}

impl Observer for Progress {
    fn begin(&mut self, stage: &str) {
        self.clear();
        self.stage = stage.into();
        self.began = Instant::now();
    }

    fn progress(&mut self, done: f64) {
        let elapsed = self.began.elapsed();
        if !self.screen.draws() || elapsed < SHORT {
            return;
        }
        let bar = self
            .bar
            .get_or_insert_with(|| bar(&self.stage).with_elapsed(elapsed));
        bar.set_position((done.clamp(0.0, 1.0) * STEPS as f64) as u64);
    }

    fn say(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.screen.note(line)),
            None => self.screen.note(line),
        }
    }
}
