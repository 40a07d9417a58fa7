//! How far a long command is, on standard error while that is a terminal.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter work shows nothing.
const SHOW_AFTER: Duration = Duration::from_secs(2);

/// A line that appears when a command takes its time, and goes when it is done.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    shown: Cell<bool>,
}

impl Progress {
    /// Begins work of which nobody knows how much there is, counted in `unit`.
    pub(crate) fn of_unknown_length(unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let template = format!("{{spinner}} {{human_pos}} {unit}, {{per_sec}}, {{elapsed}}");
        bar.set_style(
            ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self { bar, begun: Instant::now(), shown: Cell::new(false) }
    }

    /// Tells how much is done.
    pub(crate) fn at(&self, done: u64) {
        self.bar.set_position(done);
        if !self.shown.get() && self.begun.elapsed() >= SHOW_AFTER {
            self.shown.set(true);
            // Draws nothing when standard error is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Prints a line above.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
