//! What can be asked of runs, the same for every store.

use crate::model::{EntryName, Identity, Prefixes, RecordKind, Timestamp};

/// Which runs are wanted, newest first by [`Record::instant`](crate::model::Record::instant). A record is of a run if it says so, and so is what was fired: earlier
/// versions wrote nothing of runs, theirs have ended.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Of this task only.
    pub identity: Option<Identity>,
    /// Of this entry only.
    pub entry: Option<EntryName>,
    /// Of tasks that these cover only.
    pub prefixes: Prefixes,
    /// Of these kinds only (started, success, error); empty: of all.
    pub kinds: Vec<RecordKind>,
    /// Only those that failed for good and that nobody has dealt with.
    pub dead_letters: bool,
    /// Only those of this instant or later.
    pub since: Option<Timestamp>,
    /// Only those of this instant or earlier.
    pub until: Option<Timestamp>,
    /// How many of the newest to leave out.
    pub skip: usize,
    /// How many at most.
    pub limit: usize,
}

/// How the newest run of an entry that has ended did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewestRun {
    /// Its instant.
    pub instant: Timestamp,
    /// Success or error.
    pub kind: RecordKind,
}
