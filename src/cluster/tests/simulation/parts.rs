//! What a simulated cluster is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::super::rules::Observer;
use super::super::super::{Holding, Lingering, Member, MemberId};
use crate::model::Shard;

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
    /// The number of its stop stands last.
    Gave(usize, u64, u8, u64),
    /// What was under way of a shard that it gave away has ended.
    Ended(usize, u64, u8, u64),
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
    pub(super) lingering: Lingering,
    /// What is under way of shards that it gave away, as which member: of which stop, and until when.
    pub(super) under_way: BTreeMap<(Shard, MemberId), (u64, u64)>,
    /// What came while it was paused.
    pub(super) late: Vec<Event>,
}
