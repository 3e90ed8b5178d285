//! A cluster's store: tasks, leases and history in Elasticsearch 8.x or 9.x.
//!
//! Elasticsearch changes one document at a time, and finds a change only some time later. So every step that must happen whole
//! is one document, written by compare-and-set and read by its id; a search is for history, never for a decision.
//!
//! | index | |
//! |---|---|
//! | `<default_index>-tasks` | the newest state of each task, its past states, how far histories were deleted, and what is paused |
//! | `<default_index>-leases` | one document for each shard, and one with what the nodes have agreed on |
//! | `<default_index>-logs-YYYY.MM` | the log documents of the instants of one month; the alias `<default_index>` names all |
//! | `<default_index>-results-YYYY.MM` | the bodies of answers to the runs of one month, in pieces |

mod bulk;
mod client;
mod consequences;
mod exchange;
mod format;
mod history;
mod hosts;
mod indices;
mod late;
mod leases;
mod log_document;
mod log_page;
mod log_query;
mod mappings;
mod newest_runs;
mod outbox;
mod outcomes;
mod pauses;
mod problem;
mod prune;
mod query;
mod register;
mod restore;
mod results;
mod runs;
mod settings;
mod states;
mod task_document;
mod tasks;
mod transfer;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use log::info;
use tokio::sync::{Notify, mpsc};

use self::bulk::SharedBulk;
use self::client::Client;
use self::history::KnownMonths;
use self::indices::Names;
use self::leases::{LeaseCache, Moves};
use self::outbox::Outbox;
use self::register::RegisterCache;
use super::{
    AuditRetention, Pruned, RegisterName, RegisterStore, Registered, ResultStore, Retention, RunQuery, Search,
    StoreError,
};
use super::{CatalogStore, Change, Found, JournalStore, LeaseStore, LogCursor, LogPage, LogQuery, NewestRun, Outcome};
use crate::clock::Clock;
use crate::model::{Claim, EntryName, Epoch, Identity, Lease, Pauses, Record, Revision, RunId, ShardSet, Timestamp};

pub use self::settings::{Address, Credentials, Durability, Refresh, Settings};

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Elastic {
    inner: Arc<Inner>,
}

struct Inner {
    client: Arc<Client>,
    shared: SharedBulk,
    names: Names,
    leases: LeaseCache,
    register_seen: RegisterCache,
    outbox: Outbox,
    outbox_filled: Notify,
    months: KnownMonths,
    has_legacy: bool,
    refreshes_at_once: bool,
    is_unrefreshed: AtomicBool,
    is_closed: AtomicBool,
    seq: AtomicU64,
    parked: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Elastic {
    /// Opens the store, and makes the indices that are missing. [`StoreError::Refused`]: no waiting will mend it.
    pub async fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let store = Self::connect(settings, clock, true).await?;
        tokio::spawn(store.inner.clone().empty_outbox());
        Ok(store)
    }

    /// Opens the store for reading, also beside nodes that use it.
    pub async fn open_read_only(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::connect(settings, clock, false).await
    }

    async fn connect(settings: &Settings, clock: Arc<dyn Clock>, for_writing: bool) -> Result<Self, StoreError> {
        let client = Arc::new(Client::new(settings)?);
        let names = Names::new(&settings.index);
        let version = indices::check_version(&client).await?;
        let has_legacy = indices::has_legacy(&client, &names).await?;
        if for_writing {
            indices::prepare(&client, &names, settings, has_legacy).await?;
        }
        let refreshes_at_once = settings.refresh == Refresh::Immediately;
        let inner = Inner {
            shared: SharedBulk::start(client.clone(), refreshes_at_once),
            client,
            names,
            leases: LeaseCache::default(),
            register_seen: RegisterCache::default(),
            outbox: Outbox::default(),
            outbox_filled: Notify::new(),
            months: KnownMonths::default(),
            has_legacy,
            refreshes_at_once,
            is_unrefreshed: AtomicBool::new(true),
            is_closed: AtomicBool::new(!for_writing),
            seq: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            clock,
        };
        if for_writing {
            inner.follow_earlier_holders().await?;
        }
        info!(version:%, index:% = settings.index; "connected to Elasticsearch");
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How many log documents were refused and stand in the history without what others brought.
    pub fn parked(&self) -> u64 {
        self.inner.parked.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.is_closed() { Err(StoreError::Refused("the store is closed for writing".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl CatalogStore for Elastic {
    async fn change(&self, change: Change) -> Result<u64, StoreError> {
        self.inner.check_open()?;
        self.inner.change(change).await
    }

    async fn note(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.append(records).await
    }

    fn revisions(&self, shards: ShardSet, ended_after: Timestamp) -> mpsc::Receiver<Result<Vec<Revision>, StoreError>> {
        let (pages, receiver) = mpsc::channel(1);
        tokio::spawn(self.inner.clone().give_revisions(shards, ended_after, pages));
        receiver
    }

    async fn history_of(
        &self,
        identity: &Identity,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Revision>, StoreError> {
        self.inner.history_of(identity, before, max).await
    }

    async fn defer(
        &self,
        identity: &Identity,
        epoch: Epoch,
        known: Option<u64>,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        self.inner.check_open()?;
        self.inner.defer(identity, epoch, known, since).await
    }

    async fn settle_late(&self, leases: &[Lease], now: Timestamp) -> Result<usize, StoreError> {
        self.inner.check_open()?;
        self.inner.settle_late(leases, now).await
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.inner.pauses().await
    }

    async fn set_pauses(&self, pauses: &Pauses) -> Result<bool, StoreError> {
        self.inner.check_open()?;
        self.inner.set_pauses(pauses).await
    }

    async fn forget_revisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.inner.check_open()?;
        self.inner.forget_revisions(before).await
    }
}

#[async_trait]
impl LeaseStore for Elastic {
    async fn take(&self, shards: ShardSet, owner: &str) -> Result<Vec<Lease>, StoreError> {
        self.inner.check_open()?;
        // With shards missing, what follows would not fail but wait.
        self.check().await?;
        let leases = self.inner.take_leases(shards, owner).await?;
        self.inner.follow_earlier_holders().await?;
        self.inner.repeat_consequences(shards, &leases).await?;
        Ok(leases)
    }

    async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        self.inner.all_leases().await
    }

    async fn claim(&self, claims: &[Claim]) -> Result<(), StoreError> {
        self.inner.check_open()?;
        self.inner.move_leases(claims, Moves::Ahead).await
    }

    async fn release(&self, claims: &[Claim]) -> Result<(), StoreError> {
        self.inner.check_open()?;
        self.inner.move_leases(claims, Moves::ToWhereItWas).await
    }
}

#[async_trait]
impl RegisterStore for Elastic {
    async fn register(&self, name: RegisterName) -> Result<Option<Registered>, StoreError> {
        self.inner.register(name).await
    }

    async fn set_register(&self, name: RegisterName, next: &Registered) -> Result<bool, StoreError> {
        self.inner.check_open()?;
        self.inner.set_register(name, next).await
    }
}

#[async_trait]
impl ResultStore for Elastic {
    async fn put_piece(&self, run: RunId, number: u32, bytes: Bytes) -> Result<(), StoreError> {
        self.inner.check_open()?;
        self.inner.put_piece(run, number, &bytes).await
    }

    async fn piece(&self, run: RunId, number: u32) -> Result<Option<Bytes>, StoreError> {
        self.inner.piece(run, number).await
    }

    async fn prune_results(&self, before: Timestamp, bytes_max: u64, step_max: usize) -> Result<Pruned, StoreError> {
        self.inner.check_open()?;
        self.inner.prune_results(before, bytes_max, step_max).await
    }
}

#[async_trait]
impl JournalStore for Elastic {
    async fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.inner.check_open()?;
        self.inner.append(&records).await
    }

    async fn search(&self, search: Search) -> Result<Found, StoreError> {
        self.inner.search(&search).await
    }

    async fn search_logs(&self, query: LogQuery, after: Option<LogCursor>) -> Result<LogPage, StoreError> {
        self.inner.search_logs(&query, after.as_ref()).await
    }

    async fn clear(&self, identity: &Identity, at: Timestamp) -> Result<(), StoreError> {
        self.inner.check_open()?;
        self.inner.clear(identity, at).await
    }

    async fn outcomes(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Vec<Outcome>>, StoreError> {
        self.inner.outcomes_of(entries, after).await
    }

    async fn last_fires(
        &self,
        identity: &Identity,
        entries: &[&EntryName],
        after: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        self.inner.last_fires(identity, entries, after).await
    }

    async fn newest_runs(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Option<NewestRun>>, StoreError> {
        self.inner.newest_runs(entries, after).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Found, StoreError> {
        self.inner.runs(&query).await
    }

    async fn run(&self, identity: &Identity, run: RunId) -> Result<Option<Record>, StoreError> {
        self.inner.run(identity, run).await
    }

    fn unfinished(&self, shards: ShardSet) -> mpsc::Receiver<Result<Vec<Record>, StoreError>> {
        let (pages, receiver) = mpsc::channel(1);
        tokio::spawn(self.inner.clone().give_unfinished(shards, pages));
        receiver
    }

    async fn prune(&self, retention: Retention, settled_through: Timestamp) -> Result<Pruned, StoreError> {
        self.inner.check_open()?;
        self.inner.prune(retention, settled_through).await
    }

    async fn prune_audit(&self, retention: AuditRetention) -> Result<Pruned, StoreError> {
        self.inner.check_open()?;
        self.inner.prune_audit(retention).await
    }

    async fn deleted_through(&self, identities: &[Identity]) -> Result<Vec<Timestamp>, StoreError> {
        self.inner.deleted_through(identities).await
    }

    async fn size(&self) -> Result<u64, StoreError> {
        self.inner.size().await
    }

    async fn check(&self) -> Result<(), StoreError> {
        indices::check_health(&self.inner.client, &self.inner.names).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.is_closed.store(true, Ordering::Relaxed);
        self.inner.outbox_filled.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
