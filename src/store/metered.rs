//! A store that tells how long it takes.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{
    AuditRetention, CatalogStore, Change, Found, JournalStore, LeaseStore, LogCursor, LogPage, LogQuery, NewestRun,
    Outcome, Pruned, RegisterName, RegisterStore, Registered, ResultStore, Retention, RunQuery, Search, Store,
    StoreError,
};
use crate::model::{Claim, EntryName, Epoch, Identity, Lease, Pauses, Record, Revision, RunId, ShardSet, Timestamp};
use crate::observe::metrics::{StoreFailure, StoreMetrics, StoreOperation};

/// Any store, each answer of which is measured. What is given page by page is not: it goes as fast as its reader.
pub struct Metered {
    store: Arc<dyn Store>,
    metrics: StoreMetrics,
}

impl Metered {
    /// Measures a store.
    pub fn new(store: Arc<dyn Store>, metrics: StoreMetrics) -> Self {
        Self { store, metrics }
    }

    async fn timed<T>(
        &self,
        operation: StoreOperation,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let answer = work.await;
        self.metrics.note(operation, begun.elapsed(), answer.as_ref().err().map(failure));
        answer
    }
}

fn failure(error: &StoreError) -> StoreFailure {
    match error {
        StoreError::Unavailable { .. } => StoreFailure::Unavailable,
        StoreError::Conflict { .. } => StoreFailure::Conflict,
        StoreError::Fenced { .. } => StoreFailure::Fenced,
        StoreError::Corrupt { .. } => StoreFailure::Corrupt,
        StoreError::Refused(_) | StoreError::Cursor(_) => StoreFailure::Refused,
    }
}

#[async_trait]
impl CatalogStore for Metered {
    async fn change(&self, change: Change) -> Result<u64, StoreError> {
        self.timed(StoreOperation::Change, self.store.change(change)).await
    }

    async fn note(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.timed(StoreOperation::Append, self.store.note(records)).await
    }

    fn revisions(&self, shards: ShardSet, ended_after: Timestamp) -> mpsc::Receiver<Result<Vec<Revision>, StoreError>> {
        self.store.revisions(shards, ended_after)
    }

    async fn history_of(
        &self,
        identity: &Identity,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Revision>, StoreError> {
        self.timed(StoreOperation::LookUp, self.store.history_of(identity, before, max)).await
    }

    async fn defer(
        &self,
        identity: &Identity,
        epoch: Epoch,
        known: Option<u64>,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        self.timed(StoreOperation::Change, self.store.defer(identity, epoch, known, since)).await
    }

    async fn settle_late(&self, leases: &[Lease], now: Timestamp) -> Result<usize, StoreError> {
        self.timed(StoreOperation::Lease, self.store.settle_late(leases, now)).await
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.timed(StoreOperation::Register, self.store.pauses()).await
    }

    async fn set_pauses(&self, pauses: &Pauses) -> Result<bool, StoreError> {
        self.timed(StoreOperation::Register, self.store.set_pauses(pauses)).await
    }

    async fn forget_revisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.timed(StoreOperation::Prune, self.store.forget_revisions(before)).await
    }
}

#[async_trait]
impl LeaseStore for Metered {
    async fn take(&self, shards: ShardSet, owner: &str) -> Result<Vec<Lease>, StoreError> {
        self.timed(StoreOperation::Lease, self.store.take(shards, owner)).await
    }

    async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        self.timed(StoreOperation::Lease, self.store.leases()).await
    }

    async fn claim(&self, claims: &[Claim]) -> Result<(), StoreError> {
        self.timed(StoreOperation::Claim, self.store.claim(claims)).await
    }

    async fn release(&self, claims: &[Claim]) -> Result<(), StoreError> {
        self.timed(StoreOperation::Lease, self.store.release(claims)).await
    }
}

#[async_trait]
impl RegisterStore for Metered {
    async fn register(&self, name: RegisterName) -> Result<Option<Registered>, StoreError> {
        self.timed(StoreOperation::Register, self.store.register(name)).await
    }

    async fn set_register(&self, name: RegisterName, next: &Registered) -> Result<bool, StoreError> {
        self.timed(StoreOperation::Register, self.store.set_register(name, next)).await
    }
}

#[async_trait]
impl ResultStore for Metered {
    async fn put_piece(&self, run: RunId, number: u32, bytes: Bytes) -> Result<(), StoreError> {
        self.timed(StoreOperation::Result, self.store.put_piece(run, number, bytes)).await
    }

    async fn piece(&self, run: RunId, number: u32) -> Result<Option<Bytes>, StoreError> {
        self.timed(StoreOperation::Result, self.store.piece(run, number)).await
    }

    async fn prune_results(&self, before: Timestamp, bytes_max: u64, step_max: usize) -> Result<Pruned, StoreError> {
        self.timed(StoreOperation::Prune, self.store.prune_results(before, bytes_max, step_max)).await
    }
}

#[async_trait]
impl JournalStore for Metered {
    async fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.timed(StoreOperation::Append, self.store.append(records)).await
    }

    async fn search(&self, search: Search) -> Result<Found, StoreError> {
        self.timed(StoreOperation::Search, self.store.search(search)).await
    }

    async fn search_logs(&self, query: LogQuery, after: Option<LogCursor>) -> Result<LogPage, StoreError> {
        self.timed(StoreOperation::Search, self.store.search_logs(query, after)).await
    }

    async fn clear(&self, identity: &Identity, at: Timestamp) -> Result<(), StoreError> {
        self.timed(StoreOperation::Prune, self.store.clear(identity, at)).await
    }

    async fn outcomes(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Vec<Outcome>>, StoreError> {
        self.timed(StoreOperation::LookUp, self.store.outcomes(entries, after)).await
    }

    async fn last_fires(
        &self,
        identity: &Identity,
        entries: &[&EntryName],
        after: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        self.timed(StoreOperation::LookUp, self.store.last_fires(identity, entries, after)).await
    }

    async fn newest_runs(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Option<NewestRun>>, StoreError> {
        self.timed(StoreOperation::LookUp, self.store.newest_runs(entries, after)).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Found, StoreError> {
        self.timed(StoreOperation::Search, self.store.runs(query)).await
    }

    async fn run(&self, identity: &Identity, run: RunId) -> Result<Option<Record>, StoreError> {
        self.timed(StoreOperation::LookUp, self.store.run(identity, run)).await
    }

    fn unfinished(&self, shards: ShardSet) -> mpsc::Receiver<Result<Vec<Record>, StoreError>> {
        self.store.unfinished(shards)
    }

    async fn prune(&self, retention: Retention, settled_through: Timestamp) -> Result<Pruned, StoreError> {
        self.timed(StoreOperation::Prune, self.store.prune(retention, settled_through)).await
    }

    async fn prune_audit(&self, retention: AuditRetention) -> Result<Pruned, StoreError> {
        self.timed(StoreOperation::Prune, self.store.prune_audit(retention)).await
    }

    async fn deleted_through(&self, identities: &[Identity]) -> Result<Vec<Timestamp>, StoreError> {
        self.timed(StoreOperation::LookUp, self.store.deleted_through(identities)).await
    }

    async fn size(&self) -> Result<u64, StoreError> {
        self.timed(StoreOperation::Check, self.store.size()).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.timed(StoreOperation::Check, self.store.check()).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}
