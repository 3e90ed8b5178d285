//! How far it is and how fast, for who watches.

use std::fmt::Write;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::store::transfer::Kind;

/// A bar on standard error, where that is a terminal; it is gone when it is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(kind: Kind, doing: &'static str, count: u64) -> Self {
        let template = "{wide_bar} {human_pos} of about {human_len} {prefix} {msg}, {rate}, {eta} to go";
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        // Its own rate has four places behind the point.
        let style = style.with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
            let _ = write!(text, "{:.0}/s", state.per_sec());
        });
        let is_watched = count > 0 && std::io::stderr().is_terminal();
        let bar = if is_watched { ProgressBar::new(count) } else { ProgressBar::hidden() };
        Self(bar.with_style(style).with_prefix(kind.as_str()).with_message(doing))
    }

    pub(super) fn step(&self, count: u64) {
        self.0.inc(count);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
