//! What a change still has to write after it has happened: its log document, and the state that it ended.
//!
//! Mostly that is done when the change is answered. If the cluster goes away between the two, it waits here; a restart finds
//! it in the task's own document.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Identity, Record, Shard, Timestamp};

use super::bulk::Write;

/// How many changes may wait. Further changes are refused.
const WAITING_MAX: usize = 10_000;

/// What follows from one change.
#[derive(Clone, Debug)]
pub(super) struct Consequence {
    pub(super) identity: Identity,
    pub(super) changed_at: Timestamp,
    pub(super) past: Option<Write>,
    /// Its log document, and its audit record.
    pub(super) records: Vec<Record>,
}

/// The consequences that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    consequences: BTreeMap<u64, Consequence>,
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a consequence, and gives the ticket to take it back with.
    pub(super) fn add(&self, consequence: Consequence) -> u64 {
        let mut waiting = self.waiting();
        waiting.next += 1;
        let ticket = waiting.next;
        waiting.consequences.insert(ticket, consequence);
        ticket
    }

    /// Forgets what has been written.
    pub(super) fn remove(&self, ticket: u64) {
        self.waiting().consequences.remove(&ticket);
    }

    /// All that waits, oldest first.
    pub(super) fn all(&self) -> Vec<(u64, Consequence)> {
        self.waiting().consequences.iter().map(|(&ticket, consequence)| (ticket, consequence.clone())).collect()
    }

    pub(super) fn of_task(&self, identity: &Identity) -> Option<(u64, Consequence)> {
        let waiting = self.waiting();
        let mut of_task = waiting.consequences.iter().filter(|(_, consequence)| consequence.identity == *identity);
        of_task.next().map(|(&ticket, consequence)| (ticket, consequence.clone()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting().consequences.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting().consequences.len() >= WAITING_MAX
    }

    /// Up to which instant a shard may count as settled: a restart looks for consequences only after it.
    pub(super) fn settled_through(&self, shard: Shard, asked: Timestamp) -> Timestamp {
        let waiting = self.waiting();
        let of_shard = waiting.consequences.values().filter(|it| Shard::of(&it.identity) == shard);
        let oldest = of_shard.map(|it| Timestamp::from_millis(it.changed_at.millis() - 1)).min();
        oldest.map_or(asked, |oldest| oldest.min(asked))
    }
}
