//! What a simulated cluster is made of.

use std::time::Duration;

use super::super::super::rules::Observer;
use super::super::super::{Holding, Member};

/// The same numbers for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A node begins a turn, if it is still at this step.
    Turn(usize, u64),
    /// Its read reaches the store.
    Reads(usize, u64),
    /// The answer reaches it.
    HasRead(usize, u64, usize),
    /// Its write reaches the store, which may be long after the node has given up waiting.
    Writes(usize, u64, usize),
    /// The answer reaches it: whether it was taken.
    HasWritten(usize, u64, usize, bool),
    /// It has loaded what it took, or stopped what it gives away.
    Took(usize, u64, u8),
    Gave(usize, u64, u8),
    Fault,
    Wakes(usize),
    Starts(usize),
}

pub(super) struct Node {
    /// Drift of its clock, in parts of a million.
    pub(super) drift: i64,
    pub(super) me: Member,
    pub(super) is_up: bool,
    pub(super) is_leaving: bool,
    pub(super) paused_until: u64,
    pub(super) cut_until: u64,
    /// Counts the lives and turns: what belongs to an earlier one is not looked at.
    pub(super) step: u64,
    pub(super) life: u64,
    pub(super) observer: Observer,
    pub(super) has_tried: bool,
    pub(super) deadline: Duration,
    pub(super) holding: Holding,
    /// What came while it was paused.
    pub(super) late: Vec<Event>,
}
