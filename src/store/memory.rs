//! A store in memory, for tests: a second node can be started on what a first one left.

mod journal;
mod results;
mod transfer;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{CatalogStore, Change, LeaseStore, StoreError};
use crate::model::{Claim, Epoch, Identity, Lease, Pauses, Record, Revision, RunId, Shard, Timestamp};

/// How many revisions make a page.
const PAGE_MAX: usize = 100;
/// Names our places in cursors.
const STORE: &str = "memory";

/// The store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    is_away: Arc<AtomicBool>,
    refuses_claims: Arc<AtomicBool>,
    loses_answers: Arc<AtomicBool>,
    refuses: Arc<Mutex<Option<Identity>>>,
    is_closed: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Tables {
    revisions: BTreeMap<(Identity, u64), Revision>,
    leases: Vec<Lease>,
    records: Vec<Row>,
    cleared: HashMap<Identity, Timestamp>,
    pruned_through: Timestamp,
    newest_row: i64,
    pieces: BTreeMap<(RunId, u32), Bytes>,
    pauses: Pauses,
}

#[derive(Clone, Debug)]
struct Row {
    seq: i64,
    record: Record,
    is_cleared: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another node's access to the same data: it is not closed with this one.
    pub fn reopen(&self) -> Self {
        Self { is_closed: Arc::default(), ..self.clone() }
    }

    /// From now on every write fails, and every look at what is paused, or none.
    pub fn fail_writes(&self, fail: bool) {
        self.is_away.store(fail, Ordering::SeqCst);
    }

    /// From now on records are appended, and the answer to it is lost, or not.
    pub fn lose_answers(&self, lose: bool) {
        self.loses_answers.store(lose, Ordering::SeqCst);
    }

    /// From now on no record of this task is appended, nor what comes with it; or every one is.
    pub fn fail_writes_of(&self, identity: Option<Identity>) {
        *self.refuses.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// From now on every claim fails, and only claims, or none.
    pub fn fail_claims(&self, fail: bool) {
        self.refuses_claims.store(fail, Ordering::SeqCst);
    }

    /// All records, oldest first, also cleared ones.
    pub fn records(&self) -> Vec<Record> {
        self.read().records.iter().map(|row| row.record.clone()).collect()
    }

    fn read(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(StoreError::Refused("the store is closed".to_owned()));
        }
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { doing: "writing", source: "the test made it fail".into() });
        }
        Ok(self.read())
    }
}

impl Tables {
    fn in_force(&self, identity: &Identity) -> Option<u64> {
        let of_task = self.revisions.range((identity.clone(), 0)..=(identity.clone(), u64::MAX));
        of_task.filter(|(_, revision)| revision.in_force_until.is_none()).map(|(&(_, number), _)| number).next()
    }

    fn lease(&mut self, shard: Shard, ours: Epoch) -> Result<&mut Lease, StoreError> {
        let lease = self.leases.get_mut(shard.index()).filter(|lease| lease.epoch == ours);
        lease.ok_or(StoreError::Fenced { shard, ours })
    }
}

#[async_trait]
impl CatalogStore for MemoryStore {
    async fn change(&self, change: Change) -> Result<u64, StoreError> {
        let mut tables = self.write()?;
        let Change { identity, replaces, epoch, at, next, record } = change;
        tables.lease(Shard::of(&identity), epoch)?;
        let in_force = tables.in_force(&identity);
        if in_force != replaces {
            return Err(StoreError::Conflict { identity });
        }
        if let Some(number) = in_force
            && let Some(ended) = tables.revisions.get_mut(&(identity.clone(), number))
        {
            ended.in_force_until = Some(at);
        }
        let mut number = in_force.unwrap_or_default();
        if let Some(next) = next {
            let of_task = tables.revisions.range((identity.clone(), 0)..=(identity.clone(), u64::MAX));
            number = of_task.map(|(&(_, number), _)| number).max().unwrap_or_default() + 1;
            tables.revisions.insert((identity, number), Revision { number, ..next });
        }
        tables.append(record);
        Ok(number)
    }

    async fn note(&self, record: Record) -> Result<(), StoreError> {
        self.write()?.append(record);
        Ok(())
    }

    fn revisions(&self, ended_after: Timestamp) -> mpsc::Receiver<Result<Vec<Revision>, StoreError>> {
        let wanted = |revision: &&Revision| revision.in_force_until.is_none_or(|until| until > ended_after);
        let all: Vec<Revision> = self.read().revisions.values().filter(wanted).cloned().collect();
        let (pages, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for page in all.chunks(PAGE_MAX) {
                if pages.send(Ok(page.to_vec())).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    async fn history_of(
        &self,
        identity: &Identity,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Revision>, StoreError> {
        let tables = self.read();
        let of_task = tables.revisions.range((identity.clone(), 0)..(identity.clone(), before.unwrap_or(u64::MAX)));
        Ok(of_task.rev().take(max).map(|(_, revision)| revision.clone()).collect())
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        Ok(self.write()?.pauses.clone())
    }

    async fn set_pauses(&self, pauses: &Pauses) -> Result<bool, StoreError> {
        let mut tables = self.write()?;
        let is_next = pauses.version == tables.pauses.version + 1;
        if is_next {
            tables.pauses = pauses.clone();
        }
        Ok(is_next)
    }

    async fn forget_revisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tables = self.write()?;
        let known = tables.revisions.len();
        tables.revisions.retain(|_, revision| revision.in_force_until.is_none_or(|until| until >= before));
        Ok((known - tables.revisions.len()) as u64)
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn take_all(&self, _owner: &str) -> Result<Vec<Lease>, StoreError> {
        let mut tables = self.write()?;
        if tables.leases.is_empty() {
            let (epoch, claimed_through, settled_through) = (Epoch(0), Timestamp::EPOCH, Timestamp::EPOCH);
            tables.leases =
                Shard::all().map(|shard| Lease { shard, epoch, claimed_through, settled_through }).collect();
        }
        for lease in &mut tables.leases {
            lease.epoch.0 += 1;
        }
        Ok(tables.leases.clone())
    }

    async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        Ok(self.read().leases.clone())
    }

    async fn claim(&self, claims: &[Claim]) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        if self.refuses_claims.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { doing: "claiming", source: "the test made it fail".into() });
        }
        for claim in claims {
            tables.lease(claim.shard, claim.epoch)?;
        }
        for claim in claims {
            let lease = tables.lease(claim.shard, claim.epoch)?;
            lease.claimed_through = lease.claimed_through.max(claim.through);
            lease.settled_through = lease.settled_through.max(claim.settled_through);
        }
        Ok(())
    }

    async fn release(&self, claims: &[Claim]) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        for claim in claims {
            tables.lease(claim.shard, claim.epoch)?;
        }
        for claim in claims {
            let lease = tables.lease(claim.shard, claim.epoch)?;
            lease.settled_through = lease.settled_through.max(claim.settled_through);
            lease.claimed_through = claim.through.max(lease.settled_through);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::store_conformance;

    store_conformance!((MemoryStore::new(), ()));
}
