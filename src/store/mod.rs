//! Keeps tasks, leases and the journal. Knows databases; decides nothing about time or policy.
//!
//! A few traits say what the rooms above need. [`memory`] serves tests, [`embedded`] one machine, [`elastic`] a cluster; each
//! passes the same conformance suite.

pub mod document;
pub mod elastic;
pub mod embedded;
mod folder_lock;
mod late;
mod listed;
mod log_cursor;
mod log_query;
mod log_sort;
mod log_words;
pub mod memory;
mod metered;
pub mod pause_document;
mod register;
mod run_query;
pub mod tally;
pub mod transfer;
pub mod unfinished;

#[cfg(test)]
mod conformance;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::model::{
    Claim, EntryName, Epoch, Identity, Lease, Pauses, Record, RecordKind, Revision, RunId, Shard, ShardSet, Stretch,
    Timestamp,
};

pub use self::folder_lock::{FolderLock, FolderLockError};
pub use self::log_cursor::{CursorError, LogCursor, LogPage, LogTotal};
pub use self::log_query::{LogFilter, LogQuery, StatusRange, Within};
pub use self::log_sort::LogSort;
pub use self::log_words::{Words, WordsError};
pub use self::metered::Metered;
pub use self::register::{RegisterName, RegisterStore, Registered};
pub use self::run_query::{NewestRun, RunQuery};

/// The cause of a failure inside a store.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, by what the caller should do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Someone else wrote first. Read again and decide anew; never overwrite.
    #[error("`{identity}` changed since it was read")]
    Conflict {
        /// The task.
        identity: Identity,
    },
    /// This node lost its lease while it worked. Stop; do not retry.
    #[error("epoch {} of shard {} is stale", ours.0, shard.index())]
    Fenced {
        /// The shard.
        shard: Shard,
        /// The epoch that was refused.
        ours: Epoch,
    },
    /// The store cannot be reached or cannot write. Nothing was changed; try again later.
    #[error("store unavailable while {doing}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: BoxError,
    },
    /// What is stored cannot be read. Someone must look.
    #[error("stored {what} cannot be read")]
    Corrupt {
        /// What cannot be read.
        what: String,
        /// The cause.
        source: BoxError,
    },
    /// Another process, another format: the store must not be opened.
    #[error("{0}")]
    Refused(String),
    /// A search cannot go on from here. Begin it again.
    #[error("cursor: {0}")]
    Cursor(#[from] CursorError),
}

/// A step from one state of a task to the next. It happens whole, with its record, or not at all.
#[derive(Clone, Debug)]
pub struct Change {
    /// The task.
    pub identity: Identity,
    /// The number of the revision in force that is replaced; `None` when there must be none.
    pub replaces: Option<u64>,
    /// The holder's epoch of the task's shard.
    pub epoch: Epoch,
    /// When the revision that is replaced goes out of force.
    pub at: Timestamp,
    /// The revision that comes into force; `None` for a delete.
    pub next: Option<Revision>,
    /// The log document of the change.
    pub record: Record,
    /// The audit record of the change; `None`: nobody asked for it, or none is kept.
    pub audit: Option<Record>,
}

/// What tasks exist, and existed.
#[async_trait]
pub trait CatalogStore: Send + Sync {
    /// Makes a change durable and gives the number of the new revision: one more than the highest of this task that is
    /// still known; the number in `change.next` is not looked at. A delete gives the number that it ended. A stale `epoch` is [`StoreError::Fenced`]; a revision in force other than `replaces` is
    /// [`StoreError::Conflict`].
    async fn change(&self, change: Change) -> Result<u64, StoreError>;

    /// Only writes the records, when a change changes nothing (a switch to where it is, a delete of nothing).
    async fn note(&self, records: Vec<Record>) -> Result<(), StoreError>;

    /// Gives, in pages, every revision of a task of these shards that is in force or went out of force later than
    /// `ended_after`: by task, and for each task by number. The last page is followed by the end of the channel; an error
    /// ends it too.
    fn revisions(&self, shards: ShardSet, ended_after: Timestamp) -> mpsc::Receiver<Result<Vec<Revision>, StoreError>>;

    /// The states of one task, newest first, those with a number below `before`, at most `max`.
    async fn history_of(
        &self,
        identity: &Identity,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Revision>, StoreError>;

    /// States of a task that were stored after the one with the number `known` (`None`: none was in force) come into force at
    /// `since`, not before, and `known` was in force until then. A stale `epoch` is [`StoreError::Fenced`]; a change meanwhile is
    /// [`StoreError::Conflict`].
    async fn defer(
        &self,
        identity: &Identity,
        epoch: Epoch,
        known: Option<u64>,
        since: Timestamp,
    ) -> Result<(), StoreError>;

    /// Changes that were stored after a later holder than their sender had taken their shard come into force as
    /// [`Self::defer`] has it: when the holders had gone as far as these leases say, at `now` at the latest. For who has taken these
    /// leases, before it reads the tasks. Gives how many there were.
    async fn settle_late(&self, leases: &[Lease], now: Timestamp) -> Result<usize, StoreError>;

    /// What is paused.
    async fn pauses(&self) -> Result<Pauses, StoreError>;

    /// Makes pauses durable, if those that are stored have the version before: `false`, if someone else wrote first.
    async fn set_pauses(&self, pauses: &Pauses) -> Result<bool, StoreError>;

    /// Forgets revisions that went out of force before `before`. Returns how many.
    async fn forget_revisions(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// Who acts for a shard, and how far.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Makes `owner` the holder of these shards, each with the epoch after the one before, and gives their leases in the
    /// order of the shards. The leases of other shards stay as they are. Alone on its store, a node may always do so; among
    /// others it is for the register to say who may. On an error some may have been taken: the caller takes them again.
    async fn take(&self, shards: ShardSet, owner: &str) -> Result<Vec<Lease>, StoreError>;

    /// Reads all leases, in the order of the shards; none of a shard that was never taken.
    async fn leases(&self) -> Result<Vec<Lease>, StoreError>;

    /// Makes claims durable. If an epoch is stale, because another node took the shard, none of them counts, and
    /// [`StoreError::Fenced`] names one such shard: without it the caller may claim again. Values never move back, whatever
    /// is asked. If the store or a shard goes away in between, some may have moved: the caller counts none.
    async fn claim(&self, claims: &[Claim]) -> Result<(), StoreError>;

    /// A planned stop: the holder says how far it really went. `claimed_through` may move back, as the holder knows that
    /// nothing later was sent; `settled_through` never does.
    async fn release(&self, claims: &[Claim]) -> Result<(), StoreError>;
}

/// Which records of a task are wanted, newest first.
#[derive(Clone, Debug)]
pub struct Search {
    /// The task, exactly.
    pub identity: Identity,
    /// Only this kind.
    pub kind: Option<RecordKind>,
    /// Only records at or after this second of the epoch.
    pub since_secs: Option<i64>,
    /// Only records at or before this second of the epoch.
    pub until_secs: Option<i64>,
    /// How many at most.
    pub limit: usize,
    /// How many of the newest to leave out.
    pub skip: usize,
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The page.
    pub records: Vec<Record>,
    /// How many match in all, counted up to [`Found::TOTAL_MAX`].
    pub total: usize,
    /// Whether more match than were counted.
    pub total_is_lower_bound: bool,
}

impl Found {
    /// Counting stops here, as it does by default in Elasticsearch: a count must not read a whole history.
    pub const TOTAL_MAX: usize = 10_000;
}

/// The outcome of one instant or of a stretch, as the journal holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What happened.
    pub kind: RecordKind,
    /// To which instants.
    pub stretch: Stretch,
}

/// How old and how large the history may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records before this are deleted.
    pub before: Timestamp,
    /// While the history is larger than this, its oldest records are deleted.
    pub bytes_max: u64,
    /// How many records one step may delete, so that no fire waits behind it.
    pub step_max: usize,
}

/// How old and how large the audit may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditRetention {
    /// Audit records before this are deleted.
    pub before: Timestamp,
    /// While all of them together are larger than this, the oldest are deleted.
    pub bytes_max: u64,
    /// How many one step may delete.
    pub step_max: usize,
}

/// What a step of pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many records, or pieces of results, were deleted.
    pub records: u64,
    /// Whether another step would delete more.
    pub more: bool,
}

/// The bodies of answers that are too large for a record, or no text. In pieces, so that nobody ever holds a whole one.
#[async_trait]
pub trait ResultStore: Send + Sync {
    /// Writes one piece, which is [`RESULT_PIECE`] bytes long unless it is the last. A piece that is written again is replaced.
    async fn put_piece(&self, run: RunId, number: u32, bytes: Bytes) -> Result<(), StoreError>;

    /// Reads one piece; `None`: there is none, or retention took it.
    async fn piece(&self, run: RunId, number: u32) -> Result<Option<Bytes>, StoreError>;

    /// Deletes the results of runs with an instant before `before`, and the oldest while all together are larger than
    /// `bytes_max`: one step of at most `step_max` pieces. It may go by whole months.
    async fn prune_results(&self, before: Timestamp, bytes_max: u64, step_max: usize) -> Result<Pruned, StoreError>;
}

/// How long the pieces of a result are, in bytes.
pub const RESULT_PIECE: usize = 64 * 1024;

/// The history.
#[async_trait]
pub trait JournalStore: Send + Sync {
    /// Makes records durable, those of the history and those of the audit. A record with the id of an earlier one replaces it, unless the earlier one is of a later phase of
    /// its run ([`Record::phase`]). One of a later phase than one that was cleared is found again. On an error some may be durable: appending
    /// them again does no harm.
    async fn append(&self, records: Vec<Record>) -> Result<(), StoreError>;

    /// Finds records of one task. Cleared ones are not found.
    async fn search(&self, search: Search) -> Result<Found, StoreError>;

    /// Finds records of all tasks, a page after the one that gave the cursor. Cleared ones are not found. Audit records are found
    /// if the filter is [`LogFilter::is_of_audit`], all others if it is not. The pages of one
    /// chain of cursors show what was there at the first: no record twice, none left out; only a run that has ended since may
    /// be, where a store keeps no state for a chain.
    async fn search_logs(&self, query: LogQuery, after: Option<LogCursor>) -> Result<LogPage, StoreError>;

    /// Deletes the records of one task from what the searches find, but none of the audit. Their outcomes stay known to
    /// [`JournalStore::outcomes`] until pruning: a crash must not fire a cleared instant again. Until `at`, the task's
    /// history counts as deleted.
    async fn clear(&self, identity: &Identity, at: Timestamp) -> Result<(), StoreError>;

    /// The outcomes of entries whose last instant is later than `after`, for each entry by that instant. All that was
    /// appended before is seen.
    async fn outcomes(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Vec<Outcome>>, StoreError>;

    /// The newest instant that each of these entries of a task fired, if it is later than `after`.
    async fn last_fires(
        &self,
        identity: &Identity,
        entries: &[&EntryName],
        after: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, StoreError>;

    /// How the newest run that has ended did, for each of these entries, if its instant is later than `after`; also a cleared
    /// one, as far as it was not pruned.
    async fn newest_runs(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Option<NewestRun>>, StoreError>;

    /// Finds runs. Cleared ones are not found. Their documents come without what is large: header, body and response. Who needs
    /// those asks for each run by its name.
    async fn runs(&self, query: RunQuery) -> Result<Found, StoreError>;

    /// One run by its name; all that was appended before is seen. Cleared ones are not found.
    async fn run(&self, identity: &Identity, run: RunId) -> Result<Option<Record>, StoreError>;

    /// Gives, in pages, every record of a run of a task of these shards that has not ended, also cleared ones: a crash must
    /// not forget it. All that was appended before is seen.
    fn unfinished(&self, shards: ShardSet) -> mpsc::Receiver<Result<Vec<Record>, StoreError>>;

    /// Deletes old records, one step: a store may keep them until the month that they belong to is old. Outcomes later than
    /// `settled_through` stay.
    async fn prune(&self, retention: Retention, settled_through: Timestamp) -> Result<Pruned, StoreError>;

    /// Deletes old audit records, one step: a store may keep them until the month that they belong to is old.
    async fn prune_audit(&self, retention: AuditRetention) -> Result<Pruned, StoreError>;

    /// Until when the history of each of these tasks was deleted: cleared by hand, or pruned by retention. Nothing can be said
    /// about its instants up to then.
    async fn deleted_through(&self, identities: &[Identity]) -> Result<Vec<Timestamp>, StoreError>;

    /// The bytes that the store takes on disk.
    async fn size(&self) -> Result<u64, StoreError>;

    /// Whether the store can do its work; the error says what is wrong and what to do.
    async fn check(&self) -> Result<(), StoreError>;

    /// Ends the use of the store: what was asked before is written, what is asked later is refused, and another node may
    /// open it.
    async fn close(&self) -> Result<(), StoreError>;
}

/// All of a store.
pub trait Store: CatalogStore + LeaseStore + RegisterStore + JournalStore + ResultStore {}

impl<S: CatalogStore + LeaseStore + RegisterStore + JournalStore + ResultStore> Store for S {}
