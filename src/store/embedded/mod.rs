//! One machine's store: SQLite in one folder, in WAL mode, every answer after an fsync.
//!
//! One thread writes. It takes what waits, carries it out in one transaction, and answers all of it after one commit: so
//! concurrent callers share one fsync. Readers have connections of their own and never wait for the writer.

mod checkpoint;
mod folder;
mod logs;
mod operation;
mod reader;
mod schema;
mod statements;
mod transfer;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use log::debug;
use tokio::sync::mpsc;

use self::folder::Folder;
use self::operation::Operation;
use self::reader::Readers;
use self::writer::Writer;
use super::{CatalogStore, Change, Found, JournalStore, LeaseStore, LogCursor, LogPage, LogQuery, Outcome};
use super::{Pruned, Retention, Search, StoreError};
use crate::model::{Claim, EntryName, Identity, Lease, Record, Revision, Timestamp};

/// The embedded store. Cheap to clone.
#[derive(Clone)]
pub struct Embedded {
    folder: Arc<Folder>,
    readers: Readers,
    /// `None`: opened for reading only.
    writer: Option<Writer>,
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
        Ok(Self { folder, readers, writer: Some(writer) })
    }

    /// Opens the store for reading, also beside a process that writes.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let folder = Arc::new(Folder::existing(path)?);
        schema::known_version(&folder.connect_for_reading()?)?;
        Ok(Self { readers: Readers::new(folder.clone()), folder, writer: None })
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

    async fn note(&self, record: Record) -> Result<(), StoreError> {
        self.write(|answer| Operation::Append(vec![record], answer)).await
    }

    fn revisions(&self, ended_after: Timestamp) -> mpsc::Receiver<Result<Vec<Revision>, StoreError>> {
        self.readers.revisions(ended_after)
    }

    async fn forget_revisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|answer| Operation::ForgetRevisions(before, answer)).await
    }
}

#[async_trait]
impl LeaseStore for Embedded {
    async fn take_all(&self, owner: &str) -> Result<Vec<Lease>, StoreError> {
        let owner = owner.to_owned();
        self.write(|answer| Operation::TakeAll(owner, answer)).await
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
impl JournalStore for Embedded {
    async fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.write(|answer| Operation::Append(records, answer)).await
    }

    async fn search(&self, search: Search) -> Result<Found, StoreError> {
        self.readers.read("searching", move |database| statements::search(database, &search)).await
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
            entries.iter().map(|(identity, entry)| statements::outcomes(database, identity, entry, after)).collect()
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
            entries.iter().map(|entry| statements::last_fire(database, &identity, entry, after)).collect()
        };
        self.readers.read("reading the last fires", read).await
    }

    async fn prune(&self, retention: Retention, settled_through: Timestamp) -> Result<Pruned, StoreError> {
        self.write(|answer| Operation::Prune(retention, settled_through, answer)).await
    }

    async fn deleted_through(&self, identities: &[Identity]) -> Result<Vec<Timestamp>, StoreError> {
        let identities = identities.to_vec();
        let read = move |database: &_| {
            identities.iter().map(|identity| statements::deleted_through(database, identity)).collect()
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
