//! One machine's store: SQLite in one folder, in WAL mode, every answer after an fsync.
//!
//! One thread writes. It takes what waits, carries it out in one transaction, and answers all of it after one commit: so
//! concurrent callers share one fsync. Readers have connections of their own and never wait for the writer.

mod audit;
mod checkpoint;
mod folder;
mod history;
mod logs;
mod operation;
mod prune;
mod reader;
mod results;
mod runs;
mod schema;
mod statements;
mod transfer;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use log::debug;
use tokio::sync::{Semaphore, mpsc};

use self::folder::{Folder, unavailable};
use self::operation::Operation;
use self::reader::Readers;
use self::writer::Writer;
use super::{
    AuditRetention, Pruned, RegisterName, RegisterStore, Registered, ResultStore, Retention, RunQuery, Search,
    StoreError,
};
use super::{CatalogStore, Change, Found, JournalStore, LeaseStore, LogCursor, LogPage, LogQuery, NewestRun, Outcome};
use crate::model::{Claim, EntryName, Epoch, Identity, Lease, Pauses, Record, Revision, RunId, ShardSet, Timestamp};

/// How many pieces of results may wait to be written, in memory. Further ones wait for a place.
const PIECES_WAITING_MAX: usize = 64;

fn piece_places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PIECES_WAITING_MAX))
}

/// The embedded store. Cheap to clone.
#[derive(Clone)]
pub struct Embedded {
    folder: Arc<Folder>,
    readers: Readers,
    /// `None`: opened for reading only.
    writer: Option<Writer>,
    /// For pieces of results that wait to be written.
    piece_places: Arc<Semaphore>,
}

impl Embedded {
    /// Opens the store in a folder, which is made if there is none. Another process on it is refused.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let folder = Arc::new(Folder::lock(path)?);
        let mut database = folder.connect_for_writing()?;
        schema::migrate(&mut database)?;
        let readers = Readers::new(folder.clone());
        let writer = Writer::start(database)?;
        checkpoint::start(&folder, folder.connect_for_writing()?)?;
        Ok(Self { folder, readers, writer: Some(writer), piece_places: piece_places() })
    }

    /// Opens the store for reading, also beside a process that writes.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let folder = Arc::new(Folder::existing(path)?);
        schema::known_version(&folder.connect_for_reading()?)?;
        Ok(Self { readers: Readers::new(folder.clone()), folder, writer: None, piece_places: piece_places() })
    }

    async fn write<T: Send + 'static>(
        &self,
        make: impl FnOnce(operation::Answer<T>) -> Operation + Send,
    ) -> Result<T, StoreError> {
        match &self.writer {
            Some(writer) => writer.carry_out(make).await,
            None => Err(StoreError::Refused("the store is open for reading only".to_owned())),
        }
    }
}

#[async_trait]
impl CatalogStore for Embedded {
    async fn change(&self, change: Change) -> Result<u64, StoreError> {
        self.write(|answer| Operation::Change(Box::new(change), answer)).await
    }

    async fn note(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.write(|answer| Operation::Append(records, answer)).await
    }

    fn revisions(&self, shards: ShardSet, ended_after: Timestamp) -> mpsc::Receiver<Result<Vec<Revision>, StoreError>> {
        self.readers.revisions(shards, ended_after)
    }

    async fn history_of(
        &self,
        identity: &Identity,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Revision>, StoreError> {
        let identity = identity.clone();
        let read = move |database: &_| statements::history_of(database, &identity, before, max);
        self.readers.read("reading the states of a task", read).await
    }

    async fn defer(
        &self,
        identity: &Identity,
        epoch: Epoch,
        known: Option<u64>,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        let identity = identity.clone();
        self.write(|answer| Operation::Defer(identity, epoch, known, since, answer)).await
    }

    async fn settle_late(&self, _: &[Lease], _: Timestamp) -> Result<usize, StoreError> {
        // A change and the look at its epoch are one transaction: none comes late.
        Ok(0)
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.readers.read("reading pauses", statements::pauses).await
    }

    async fn set_pauses(&self, pauses: &Pauses) -> Result<bool, StoreError> {
        let pauses = pauses.clone();
        self.write(|answer| Operation::SetPauses(pauses, answer)).await
    }

    async fn forget_revisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|answer| Operation::ForgetRevisions(before, answer)).await
    }
}

#[async_trait]
impl LeaseStore for Embedded {
    async fn take(&self, shards: ShardSet, owner: &str) -> Result<Vec<Lease>, StoreError> {
        let owner = owner.to_owned();
        self.write(|answer| Operation::Take(shards, owner, answer)).await
    }

    async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        self.readers.read("reading leases", statements::leases).await
    }

    async fn claim(&self, claims: &[Claim]) -> Result<(), StoreError> {
        let claims = claims.to_vec();
        self.write(|answer| Operation::Claim(claims, answer)).await
    }

    async fn release(&self, claims: &[Claim]) -> Result<(), StoreError> {
        let claims = claims.to_vec();
        self.write(|answer| Operation::Release(claims, answer)).await
    }
}

#[async_trait]
impl RegisterStore for Embedded {
    async fn register(&self, name: RegisterName) -> Result<Option<Registered>, StoreError> {
        self.readers.read("reading a register", move |database| statements::register(database, name)).await
    }

    async fn set_register(&self, name: RegisterName, next: &Registered) -> Result<bool, StoreError> {
        let next = next.clone();
        self.write(|answer| Operation::SetRegister(name, next, answer)).await
    }
}

#[async_trait]
impl ResultStore for Embedded {
    async fn put_piece(&self, run: RunId, number: u32, bytes: Bytes) -> Result<(), StoreError> {
        let place = self.piece_places.acquire().await;
        let _place = place.map_err(|error| unavailable("writing a result", error))?;
        self.write(|answer| Operation::PutPiece(run, number, bytes, answer)).await
    }

    async fn piece(&self, run: RunId, number: u32) -> Result<Option<Bytes>, StoreError> {
        self.readers.read("reading a result", move |database| results::piece(database, run, number)).await
    }

    async fn prune_results(&self, before: Timestamp, bytes_max: u64, step_max: usize) -> Result<Pruned, StoreError> {
        self.write(|answer| Operation::PruneResults(before, bytes_max, step_max, answer)).await
    }
}

#[async_trait]
impl JournalStore for Embedded {
    async fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.write(|answer| Operation::Append(records, answer)).await
    }

    async fn search(&self, search: Search) -> Result<Found, StoreError> {
        self.readers.read("searching", move |database| history::search(database, &search)).await
    }

    async fn search_logs(&self, query: LogQuery, after: Option<LogCursor>) -> Result<LogPage, StoreError> {
        let read = move |database: &_| logs::search(database, &query, after.as_ref(), logs::LOOKED_AT_MAX);
        self.readers.read_long("searching logs", read).await
    }

    async fn clear(&self, identity: &Identity, at: Timestamp) -> Result<(), StoreError> {
        let identity = identity.clone();
        self.write(|answer| Operation::Clear(identity, at, answer)).await
    }

    async fn outcomes(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Vec<Outcome>>, StoreError> {
        let entries = entries.to_vec();
        let read = move |database: &_| {
            entries.iter().map(|(identity, entry)| history::outcomes(database, identity, entry, after)).collect()
        };
        self.readers.read("reading outcomes", read).await
    }

    async fn last_fires(
        &self,
        identity: &Identity,
        entries: &[&EntryName],
        after: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let identity = identity.clone();
        let entries: Vec<EntryName> = entries.iter().copied().cloned().collect();
        let read = move |database: &_| {
            entries.iter().map(|entry| history::last_fire(database, &identity, entry, after)).collect()
        };
        self.readers.read("reading the last fires", read).await
    }

    async fn newest_runs(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Option<NewestRun>>, StoreError> {
        let entries = entries.to_vec();
        let read = move |database: &_| {
            entries.iter().map(|(identity, entry)| runs::newest_ended(database, identity, entry, after)).collect()
        };
        self.readers.read("reading the newest runs", read).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Found, StoreError> {
        self.readers.read_long("listing runs", move |database| runs::list(database, &query)).await
    }

    async fn run(&self, identity: &Identity, run: RunId) -> Result<Option<Record>, StoreError> {
        let identity = identity.clone();
        self.readers.read("reading a run", move |database| runs::one(database, &identity, run)).await
    }

    fn unfinished(&self, shards: ShardSet) -> mpsc::Receiver<Result<Vec<Record>, StoreError>> {
        self.readers.unended(shards)
    }

    async fn prune(&self, retention: Retention, settled_through: Timestamp) -> Result<Pruned, StoreError> {
        self.write(|answer| Operation::Prune(retention, settled_through, answer)).await
    }

    async fn prune_audit(&self, retention: AuditRetention) -> Result<Pruned, StoreError> {
        self.write(|answer| Operation::PruneAudit(retention, answer)).await
    }

    async fn deleted_through(&self, identities: &[Identity]) -> Result<Vec<Timestamp>, StoreError> {
        let identities = identities.to_vec();
        let read = move |database: &_| {
            identities.iter().map(|identity| history::deleted_through(database, identity)).collect()
        };
        self.readers.read("reading deletions", read).await
    }

    async fn size(&self) -> Result<u64, StoreError> {
        self.folder.size()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.size().await.map(drop)
    }

    async fn close(&self) -> Result<(), StoreError> {
        if let Some(writer) = &self.writer {
            self.write(Operation::Close).await?;
            debug!(commits = writer.commits.load(Ordering::Relaxed); "the store is closed");
        }
        self.folder.unlock();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
