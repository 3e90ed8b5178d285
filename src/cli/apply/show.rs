//! What is seen of an application: each change with its difference, then the counts.

use std::fmt::Write as _;
use std::io::Write;

use super::carry_out::{Done, Failure};
use super::diff::{Sign, difference};
use super::plan::{Deed, Plan, Step};

/// How many lines of one difference are shown, and of how many tasks. The others are only counted.
const LINES_MAX: usize = 200;
const TASKS_MAX: usize = 500;

const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// Writes for people.
pub(super) struct Show<'a, W> {
    output: &'a mut W,
    is_coloured: bool,
    shown: usize,
    /// Who reads has seen enough: what was asked for is done all the same.
    is_closed: bool,
}

impl<'a, W: Write> Show<'a, W> {
    pub(super) fn new(output: &'a mut W, is_coloured: bool) -> Self {
        Self { output, is_coloured, shown: 0, is_closed: false }
    }

    /// One change, with its difference.
    pub(super) fn step(&mut self, step: &Step<'_>) -> std::io::Result<()> {
        let identity = &step.identity;
        let (colour, word, place) = match &step.deed {
            Deed::Create { task } => (GREEN, "create", format!("  {}", task.place)),
            Deed::Change { task, .. } => (YELLOW, "change", format!("  {}", task.place)),
            Deed::Delete { .. } => (RED, "delete", String::new()),
        };
        self.line(colour, &format!("{word}  {identity:?}"), &place)?;
        self.shown += 1;
        if self.shown > TASKS_MAX {
            return Ok(());
        }
        let lines = match &step.deed {
            Deed::Create { task } => difference(None, Some(&task.draft.normal)),
            Deed::Change { task, old, .. } => difference(Some(old), Some(&task.draft.normal)),
            Deed::Delete { .. } => Vec::new(),
        };
        for (sign, text) in lines.iter().take(LINES_MAX) {
            let (colour, sign) = match sign {
                Sign::Old => (RED, "-"),
                Sign::New => (GREEN, "+"),
                Sign::Both => ("", " "),
                Sign::Gap => (DIM, " "),
            };
            self.line(colour, &format!("  {sign} {text}"), "")?;
        }
        let more = lines.len().saturating_sub(LINES_MAX);
        if more > 0 { self.line(DIM, &format!("    … {more} more lines"), "") } else { Ok(()) }
    }

    /// A change that was not made.
    pub(super) fn failure(&mut self, failure: &Failure) -> std::io::Result<()> {
        let place = failure.place.as_ref().map(|place| format!("  {place}")).unwrap_or_default();
        self.line(RED, &format!("failed  {:?}", failure.identity), &place)?;
        failure.text.lines().try_for_each(|text| self.line("", &format!("    {text}"), ""))
    }

    /// What a dry run found, and how many of the changes would fail.
    pub(super) fn outlook(&mut self, plan: &Plan<'_>, failing: usize) -> std::io::Result<()> {
        let ([create, change, delete], unchanged) = (plan.counts(), plan.unchanged);
        let mut text = format!("{create} to create, {change} to change, {delete} to delete, {unchanged} unchanged");
        if failing > 0 {
            // A text takes everything.
            let _ = write!(text, ", {failing} would fail");
        }
        self.line("", &format!("dry run, nothing was changed: {text}"), "")
    }

    /// What was done.
    pub(super) fn end(&mut self, plan: &Plan<'_>, done: &Done) -> std::io::Result<()> {
        let ([created, changed, deleted], unchanged) = (done.counts, plan.unchanged);
        let mut text = format!("{created} created, {changed} changed, {deleted} deleted, {unchanged} unchanged");
        if !done.failures.is_empty() {
            // A text takes everything.
            let _ = write!(text, ", {} failed", done.failures.len());
        }
        let left = plan.steps.len().saturating_sub(done.answered());
        if left > 0 {
            let _ = write!(text, ", {left} not come to");
        }
        self.line("", &text, "")
    }

    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.output.flush();
        self.or_closed(flushed)
    }

    fn line(&mut self, colour: &str, text: &str, rest: &str) -> std::io::Result<()> {
        let seen = |text: &str| -> String {
            text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
        };
        if self.is_closed {
            return Ok(());
        }
        let (text, rest) = (seen(text), seen(rest));
        let written = if self.is_coloured && !colour.is_empty() {
            writeln!(self.output, "{colour}{text}{PLAIN}{rest}")
        } else {
            writeln!(self.output, "{text}{rest}")
        };
        self.or_closed(written)
    }

    fn or_closed(&mut self, written: std::io::Result<()>) -> std::io::Result<()> {
        self.is_closed |= written.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
        if self.is_closed { Ok(()) } else { written }
    }
}
