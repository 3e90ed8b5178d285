//! The turn to read a line: lines are taken from what a key may send a second, as requests are.

use std::time::Duration;

use crate::access::{Access, Turns};

/// Whether the next line may be read.
pub(super) struct Turn {
    access: Access,
    turns: Turns,
    /// One was taken, and no line was read for it.
    is_held: bool,
}

impl Turn {
    pub(super) fn new(access: Access, turns: Turns) -> Self {
        Self { access, turns, is_held: false }
    }

    /// How long to wait before a line may be read; zero: not at all. It may be asked again and again: no more than one is taken.
    pub(super) fn wait(&mut self) -> Duration {
        if self.is_held {
            return Duration::ZERO;
        }
        match self.access.take_turn(&self.turns) {
            Ok(()) => {
                self.is_held = true;
                Duration::ZERO
            }
            Err(too_often) => too_often.wait,
        }
    }

    /// A line was read.
    pub(super) fn use_up(&mut self) {
        self.is_held = false;
    }
}
