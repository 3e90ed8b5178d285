//! How far it is, for who watches.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, where that is a terminal; it is gone when it is dropped.
pub(in crate::cli) struct Progress(ProgressBar);

impl Progress {
    pub(in crate::cli) fn new(tasks: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} tasks, {eta} to go");
        let bar = ProgressBar::new(tasks as u64);
        Self(bar.with_style(style.expect("the template is well formed")))
    }

    /// Where nobody knows how many there are.
    pub(in crate::cli) fn counting() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{spinner} {human_pos} tasks");
        Self(ProgressBar::new_spinner().with_style(style.expect("the template is well formed")))
    }

    pub(in crate::cli) fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
