//! Requests that begin well, before something is done to them. A seed and a number decide what; the keys in them are put in last.

mod base;
mod bytes;
mod frames;
mod framing;
mod json;

use self::base::Body;
pub(crate) use self::base::{Base, PREFIX, bases};

use super::dice::Dice;
use super::service::ADMIN_KEY;
use super::wire::{PREFACE, frame};

/// Stands for the key that is made for the run, and is as long, so that the same bytes are hit whatever that one is.
pub(crate) const PLACEHOLDER: &str =
    "sk_0000000000000000_this-stands-for-the-key-of-the-run-which-nobody-knows-before-000";

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) bytes: Vec<u8>,
}

impl Case {
    /// The one of this number.
    pub(crate) fn new(seed: u64, number: usize, bases: &[Base]) -> Self {
        // Numbers next to each other share nothing.
        let mut dice = Dice::new(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17));
        let base = &bases[dice.below(bases.len())];
        let bytes = match dice.below(10) {
            0..=3 => json::done_to(base, &mut dice).written(key(base, &mut dice)),
            4 | 5 => bytes::done_to(base.written(key(base, &mut dice)), &mut dice),
            6 => framing::path_of(base, &mut dice).written(key(base, &mut dice)),
            7 => framing::done_to(base, key(base, &mut dice), &mut dice),
            8 => frames::made(base, key(base, &mut dice), &mut dice),
            _ => bytes::garbage(&mut dice),
        };
        Self { bytes }
    }

    /// The same with the key that was made for this run.
    pub(crate) fn with_key(mut self, key: &str) -> Self {
        let Some(at) = self.bytes.windows(PLACEHOLDER.len()).position(|part| part == PLACEHOLDER.as_bytes()) else {
            return self;
        };
        drop(self.bytes.splice(at..at + PLACEHOLDER.len(), key.bytes()));
        self
    }

    /// On one line, as it can be written in a program.
    pub(crate) fn escaped(&self) -> String {
        const SHOWN_MAX: usize = 4_000;
        let shown = self.bytes[..self.bytes.len().min(SHOWN_MAX)].escape_ascii();
        match self.bytes.len().checked_sub(SHOWN_MAX + 1) {
            None => format!("b\"{shown}\""),
            Some(_) => format!("b\"{shown}\"… ({} bytes in all)", self.bytes.len()),
        }
    }
}

/// Which key is shown. What only reads may be asked with the key that opens everything; what changes something only with the one
/// for tasks that nobody needs.
fn key(base: &Base, dice: &mut Dice) -> Option<&'static str> {
    match (dice.below(8), base.is_harmless) {
        (0, _) => None,
        (1, _) => Some("sk_0123456789abcdef_wrong"),
        (_, true) => Some(ADMIN_KEY),
        (_, false) => Some(PLACEHOLDER),
    }
}

/// One of these.
fn one_of<T: Copy>(values: &[T], dice: &mut Dice) -> T {
    values[dice.below(values.len())]
}
