//! One-shot tasks that name nothing more: they wait here until their only run has its durable outcome, then they can go.
//!
//! No task is looked for: each comes here when its instant has been handed out or recorded, or when a start finds it past.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::journal::Journal;
use crate::model::{Identity, Revision, Timestamp};

/// How many that are not ready are looked at for one look: it bounds the time that a look takes.
const LOOKED_AT_MAX: usize = 20_000;

pub(super) struct Finished {
    journal: Journal,
    waiting: Mutex<Waiting>,
}

/// Those that wait, each once: a change that fails puts its task back on the agenda, which gives it here again.
#[derive(Default)]
struct Waiting {
    queue: VecDeque<Arc<Revision>>,
    names: HashSet<(Identity, u64)>,
}

fn name_of(revision: &Revision) -> (Identity, u64) {
    (revision.task.identity.clone(), revision.number)
}

impl Finished {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal, waiting: Mutex::default() }
    }

    pub(super) fn add(&self, finished: Vec<Arc<Revision>>) {
        if finished.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for revision in finished {
            if waiting.names.insert(name_of(&revision)) {
                waiting.queue.push_back(revision);
            }
        }
    }

    /// Takes those whose outcomes are durable, at most `max`. The others wait on, behind those that were not looked at.
    pub(super) fn take(&self, max: usize) -> Vec<Arc<Revision>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready = Vec::new();
        for _ in 0..waiting.queue.len().min(LOOKED_AT_MAX) {
            if ready.len() >= max {
                break;
            }
            let Some(revision) = waiting.queue.pop_front() else { break };
            if self.is_open(&revision) {
                waiting.queue.push_back(revision);
            } else {
                waiting.names.remove(&name_of(&revision));
                ready.push(revision);
            }
        }
        ready
    }

    /// Whether the outcome of its last instant is still on its way.
    fn is_open(&self, revision: &Revision) -> bool {
        let unsettled = self.journal.unsettled();
        revision.task.entries.iter().any(|entry| {
            let last = revision.instants(entry).latest(revision.in_force_from, Timestamp::FAR_FUTURE);
            last.is_some_and(|last| unsettled.is_open(revision.shard(), last))
        })
    }
}
