//! A store in memory, for tests: a second node can be started on what a first one left.

mod journal;
mod results;
mod transfer;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::late::{LATE_MAX, deferred};
use super::{CatalogStore, Change, LeaseStore, RegisterName, RegisterStore, Registered, StoreError};
use crate::model::{Claim, Epoch, Identity, Lease, Pauses, Record, Revision, RunId, Shard, ShardSet, Timestamp};

/// How many revisions make a page.
const PAGE_MAX: usize = 100;
/// Names our places in cursors.
const STORE: &str = "memory";

/// The store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    faults: Arc<Faults>,
    is_closed: Arc<AtomicBool>,
}

/// What goes wrong.
#[derive(Debug, Default)]
struct Faults {
    is_away: AtomicBool,
    is_cut_off: AtomicBool,
    loses_answers: AtomicBool,
    refuses_claims: AtomicBool,
    refuses: Mutex<Option<Identity>>,
    changes_take_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Tables {
    revisions: BTreeMap<(Identity, u64), Revision>,
    leases: BTreeMap<Shard, Lease>,
    registers: BTreeMap<RegisterName, Registered>,
    records: Vec<Row>,
    audit: Vec<Row>,
    cleared: HashMap<Identity, Timestamp>,
    pruned_through: Timestamp,
    newest_row: i64,
    pieces: BTreeMap<(RunId, u32), Bytes>,
    pauses: Pauses,
    /// Changes that were stored after the lease of their sender was over, and what was in force before each.
    late: BTreeMap<Identity, Option<u64>>,
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

    /// The same, with faults of its own: what fails here goes on there.
    pub fn beside(&self) -> Self {
        Self { faults: Arc::default(), ..self.reopen() }
    }

    /// From now on every write fails, and every look at what is paused, or none.
    pub fn fail_writes(&self, fail: bool) {
        self.faults.is_away.store(fail, Ordering::SeqCst);
    }

    /// From now on every write and every look at leases, register and tasks fails, or none.
    pub fn cut_off(&self, cut_off: bool) {
        self.faults.is_cut_off.store(cut_off, Ordering::SeqCst);
    }

    /// From now on every write of leases, register, tasks and records is done and answered with an error, or none.
    pub fn lose_answers(&self, lose: bool) {
        self.faults.loses_answers.store(lose, Ordering::SeqCst);
    }

    /// From now on no record of this task is appended, nor what comes with it; or every one is.
    pub fn fail_writes_of(&self, identity: Option<Identity>) {
        *self.faults.refuses.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// From now on every claim fails, and only claims, or none.
    pub fn fail_claims(&self, fail: bool) {
        self.faults.refuses_claims.store(fail, Ordering::SeqCst);
    }

    /// From now on a change of a task takes this long on its way, after it was looked whether its epoch is that of the lease: it
    /// is made even if the lease is lost meanwhile, or whoever sent it does not wait.
    pub fn delay_changes(&self, by: Duration) {
        self.faults.changes_take_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
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
        if self.faults.is_away.load(Ordering::SeqCst) {
            return Err(made_to_fail("writing"));
        }
        self.look()
    }

    /// Reads, if this node reaches the store.
    fn look(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        if self.faults.is_cut_off.load(Ordering::SeqCst) { Err(made_to_fail("asking")) } else { Ok(self.read()) }
    }

    /// Answers a write that is done.
    fn answer<T>(&self, done: T) -> Result<T, StoreError> {
        if self.faults.loses_answers.load(Ordering::SeqCst) { Err(made_to_fail("writing")) } else { Ok(done) }
    }

    /// Gives items in pages.
    fn paged<T: Clone + Send + Sync + 'static>(&self, all: Vec<T>) -> mpsc::Receiver<Result<Vec<T>, StoreError>> {
        let (pages, receiver) = mpsc::channel(1);
        let reached = self.look().map(drop);
        tokio::spawn(async move {
            if let Err(error) = reached {
                return drop(pages.send(Err(error)).await);
            }
            for page in all.chunks(PAGE_MAX) {
                if pages.send(Ok(page.to_vec())).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

fn made_to_fail(doing: &'static str) -> StoreError {
    StoreError::Unavailable { doing, source: "the test made it fail".into() }
}

impl Tables {
    fn in_force(&self, identity: &Identity) -> Option<u64> {
        let of_task = self.revisions.range((identity.clone(), 0)..=(identity.clone(), u64::MAX));
        of_task.filter(|(_, revision)| revision.in_force_until.is_none()).map(|(&(_, number), _)| number).next()
    }

    fn lease(&mut self, shard: Shard, ours: Epoch) -> Result<&mut Lease, StoreError> {
        let lease = self.leases.get_mut(&shard).filter(|lease| lease.epoch == ours);
        lease.ok_or(StoreError::Fenced { shard, ours })
    }
}

#[async_trait]
impl CatalogStore for MemoryStore {
    async fn change(&self, change: Change) -> Result<u64, StoreError> {
        let Change { identity, replaces, epoch, at, next, record, audit } = change;
        self.write()?.lease(Shard::of(&identity), epoch)?;
        match self.faults.changes_take_ms.load(Ordering::SeqCst) {
            0 => {}
            delay_ms => tokio::time::sleep(Duration::from_millis(delay_ms)).await,
        }
        let mut tables = self.read();
        let in_force = tables.in_force(&identity);
        if in_force != replaces {
            return Err(StoreError::Conflict { identity });
        }
        match tables.lease(Shard::of(&identity), epoch) {
            Ok(_) => tables.late.remove(&identity),
            Err(_) => tables.late.insert(identity.clone(), in_force),
        };
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
        audit.into_iter().for_each(|audit| tables.append(audit));
        self.answer(number)
    }

    async fn note(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        records.into_iter().for_each(|record| tables.append(record));
        drop(tables);
        self.answer(())
    }

    fn revisions(&self, shards: ShardSet, ended_after: Timestamp) -> mpsc::Receiver<Result<Vec<Revision>, StoreError>> {
        let wanted = |revision: &&Revision| {
            shards.contains(revision.shard()) && revision.in_force_until.is_none_or(|until| until > ended_after)
        };
        let all = self.read().revisions.values().filter(wanted).cloned().collect();
        self.paged(all)
    }

    async fn history_of(
        &self,
        identity: &Identity,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Revision>, StoreError> {
        let tables = self.look()?;
        let of_task = tables.revisions.range((identity.clone(), 0)..(identity.clone(), before.unwrap_or(u64::MAX)));
        Ok(of_task.rev().take(max).map(|(_, revision)| revision.clone()).collect())
    }

    async fn defer(
        &self,
        identity: &Identity,
        epoch: Epoch,
        known: Option<u64>,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        tables.lease(Shard::of(identity), epoch)?;
        let of_task = tables.revisions.range((identity.clone(), 0)..=(identity.clone(), u64::MAX));
        let states = of_task.rev().take(LATE_MAX).map(|(_, state)| state.clone()).collect();
        for state in deferred(states, known, since) {
            tables.revisions.insert((identity.clone(), state.number), state);
        }
        tables.late.remove(identity);
        self.answer(())
    }

    async fn settle_late(&self, leases: &[Lease], now: Timestamp) -> Result<usize, StoreError> {
        let late: Vec<(Identity, Option<u64>)> = self.look()?.late.clone().into_iter().collect();
        let lease_of = |identity: &Identity| leases.iter().find(|lease| lease.shard == Shard::of(identity));
        let mut count = 0;
        for (identity, known) in late {
            let Some(lease) = lease_of(&identity) else { continue };
            self.defer(&identity, lease.epoch, known, lease.claimed_through.min(now)).await?;
            count += 1;
        }
        Ok(count)
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
        self.answer(is_next)
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
    async fn take(&self, shards: ShardSet, _owner: &str) -> Result<Vec<Lease>, StoreError> {
        let mut tables = self.write()?;
        let (epoch, claimed_through, settled_through) = (Epoch(0), Timestamp::EPOCH, Timestamp::EPOCH);
        let mut taken = Vec::with_capacity(shards.len());
        for shard in shards.iter() {
            let untouched = Lease { shard, epoch, claimed_through, settled_through };
            let lease = tables.leases.entry(shard).or_insert(untouched);
            lease.epoch.0 += 1;
            taken.push(lease.clone());
        }
        self.answer(taken)
    }

    async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        Ok(self.look()?.leases.values().cloned().collect())
    }

    async fn claim(&self, claims: &[Claim]) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        if self.faults.refuses_claims.load(Ordering::SeqCst) {
            return Err(made_to_fail("claiming"));
        }
        for claim in claims {
            tables.lease(claim.shard, claim.epoch)?;
        }
        for claim in claims {
            let lease = tables.lease(claim.shard, claim.epoch)?;
            lease.claimed_through = lease.claimed_through.max(claim.through);
            lease.settled_through = lease.settled_through.max(claim.settled_through);
        }
        self.answer(())
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
        self.answer(())
    }
}

#[async_trait]
impl RegisterStore for MemoryStore {
    async fn register(&self, name: RegisterName) -> Result<Option<Registered>, StoreError> {
        Ok(self.look()?.registers.get(&name).cloned())
    }

    async fn set_register(&self, name: RegisterName, next: &Registered) -> Result<bool, StoreError> {
        let mut tables = self.write()?;
        let version = tables.registers.get(&name).map_or(0, |stands| stands.version);
        let is_next = version.checked_add(1) == Some(next.version);
        if is_next {
            tables.registers.insert(name, next.clone());
        }
        self.answer(is_next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::store_conformance;

    store_conformance!((MemoryStore::new(), ()));

    #[tokio::test]
    async fn a_write_whose_answer_is_lost_is_done() {
        let store = MemoryStore::new();
        let next = Registered { version: 1, text: "one".to_owned() };

        store.lose_answers(true);
        assert!(store.set_register(RegisterName::Cluster, &next).await.is_err());
        assert!(store.take(ShardSet::ALL, "one").await.is_err());
        store.lose_answers(false);

        assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), Some(next));
        assert_eq!(store.leases().await.unwrap().len(), Shard::COUNT);
    }

    #[tokio::test]
    async fn a_node_that_is_cut_off_reaches_nothing_and_the_one_beside_it_does() {
        let store = MemoryStore::new();
        let other = store.beside();

        store.cut_off(true);

        assert!(store.register(RegisterName::Cluster).await.is_err() && store.leases().await.is_err());
        assert!(store.revisions(ShardSet::ALL, Timestamp::EPOCH).recv().await.unwrap().is_err());
        assert!(
            other
                .set_register(RegisterName::Cluster, &Registered { version: 1, text: "one".to_owned() })
                .await
                .unwrap()
        );
        store.cut_off(false);
        assert_eq!(
            store.register(RegisterName::Cluster).await.unwrap(),
            other.register(RegisterName::Cluster).await.unwrap()
        );
    }
}
