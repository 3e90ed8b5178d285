//! Short names for tasks and entries.

use std::hash::{BuildHasher, RandomState};

use crate::model::{EntryName, Identity};

/// Names an entry within this process: a hash of its task, and one of both names.
///
/// The names themselves may take half a kilobyte, and ten thousand fires a second look for theirs. The hashes are keyed with
/// secrets of the process, so nobody can choose names that meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryKey {
    pub(super) task: TaskKey,
    entry: u64,
}

/// Names a task within this process. Two tasks may share one: who needs to be sure compares identities.
pub(super) type TaskKey = u64;

/// Makes keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    of_task: RandomState,
    of_entry: RandomState,
}

impl Keys {
    pub(super) fn task(&self, identity: &Identity) -> TaskKey {
        self.of_task.hash_one(identity.as_str())
    }

    pub(super) fn entry(&self, identity: &Identity, entry: &EntryName) -> EntryKey {
        EntryKey { task: self.task(identity), entry: self.of_entry.hash_one((identity.as_str(), entry.as_str())) }
    }
}
