//! A store in memory, for tests: a second node can be started on what a first one left.

mod transfer;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::log_cursor::RowPlace;
use super::{CatalogStore, Change, Found, JournalStore, LeaseStore, LogCursor, LogPage, LogQuery, LogTotal, Outcome};
use super::{Pruned, Retention, Search, StoreError};
use crate::model::{Claim, EntryName, Epoch, Identity, Lease, Record, Revision, Shard, Timestamp};

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

    /// From now on every write fails, or none.
    pub fn fail_writes(&self, fail: bool) {
        self.is_away.store(fail, Ordering::SeqCst);
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

    fn append(&mut self, record: Record) {
        match self.records.iter_mut().find(|other| other.record.id == record.id) {
            Some(other) => *other = Row { seq: other.seq, record, is_cleared: false },
            None => {
                self.newest_row += 1;
                self.records.push(Row { seq: self.newest_row, record, is_cleared: false });
            }
        }
    }

    fn outcomes(&self, identity: &Identity, entry: &EntryName, after: Timestamp) -> Vec<Outcome> {
        let of_task = self.records.iter().map(|row| &row.record).filter(|record| record.identity == *identity);
        let mut outcomes: Vec<Outcome> = of_task
            .filter_map(|record| Some((record.kind, record.settled.as_ref()?)))
            .filter(|(_, settled)| settled.entry == *entry && settled.stretch.last > after)
            .map(|(kind, settled)| Outcome { kind, stretch: settled.stretch })
            .collect();
        outcomes.sort_by_key(|outcome| outcome.stretch.last);
        outcomes
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

#[async_trait]
impl JournalStore for MemoryStore {
    async fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        for record in records {
            tables.append(record);
        }
        Ok(())
    }

    async fn search(&self, search: Search) -> Result<Found, StoreError> {
        let matches = |row: &&Row| {
            let Record { identity, kind, time, .. } = &row.record;
            !row.is_cleared
                && *identity == search.identity
                && search.kind.is_none_or(|wanted| wanted == *kind)
                && search.since_secs.is_none_or(|since| time.secs() >= since)
                && search.until_secs.is_none_or(|until| time.secs() <= until)
        };
        let mut found: Vec<Record> = self.read().records.iter().filter(matches).map(|row| row.record.clone()).collect();
        // Newest first, and of one moment the one that was written last.
        found.reverse();
        found.sort_by_key(|record| std::cmp::Reverse(record.time));
        let total = found.len();
        let records = found.into_iter().skip(search.skip).take(search.limit).collect();
        let total_is_lower_bound = total > Found::TOTAL_MAX;
        Ok(Found { records, total: total.min(Found::TOTAL_MAX), total_is_lower_bound })
    }

    async fn search_logs(&self, query: LogQuery, after: Option<LogCursor>) -> Result<LogPage, StoreError> {
        let tables = self.read();
        let place = after.as_ref().map(|cursor| RowPlace::parse(cursor.place(), STORE)).transpose()?;
        let newest = place.map_or(tables.newest_row, |place| place.newest);
        let order = |row: &Row| (query.sort.key_of(&row.record).millis(), row.seq);
        let visible = tables.records.iter().filter(|row| !row.is_cleared && row.seq <= newest);
        let mut found: Vec<&Row> = visible.filter(|row| query.filter.matches(&row.record)).collect();
        found.sort_by(|one, other| query.sort.compare(&order(one), &order(other)));
        let total = after.as_ref().map_or(LogTotal::counted(found.len(), false), LogCursor::total);
        if let Some(place) = place {
            found.retain(|row| query.sort.compare(&order(row), &(place.key, place.seq)).is_gt());
        }
        let is_more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| is_more).map(|row| {
            let (key, seq) = order(row);
            LogCursor::new(&query, total, RowPlace { newest, key, seq }.write(STORE))
        });
        Ok(LogPage { records: found.into_iter().map(|row| row.record.clone()).collect(), total, next })
    }

    async fn clear(&self, identity: &Identity, at: Timestamp) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        for row in tables.records.iter_mut().filter(|row| row.record.identity == *identity) {
            row.is_cleared = true;
        }
        let through = tables.cleared.entry(identity.clone()).or_default();
        *through = at.max(*through);
        Ok(())
    }

    async fn outcomes(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Vec<Outcome>>, StoreError> {
        let tables = self.read();
        Ok(entries.iter().map(|(identity, entry)| tables.outcomes(identity, entry, after)).collect())
    }

    async fn last_fires(
        &self,
        identity: &Identity,
        entries: &[&EntryName],
        after: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let tables = self.read();
        let last = |entry: &&EntryName| {
            let fires = tables.outcomes(identity, entry, after).into_iter().filter(|outcome| outcome.kind.is_fire());
            fires.map(|outcome| outcome.stretch.last).max()
        };
        Ok(entries.iter().map(last).collect())
    }

    async fn prune(&self, retention: Retention, settled_through: Timestamp) -> Result<Pruned, StoreError> {
        let mut tables = self.write()?;
        let (mut deleted, mut newest) = (0, tables.pruned_through);
        let is_too_large = size_of(&tables) > retention.bytes_max;
        tables.records.retain(|row| {
            let is_settled = row.record.settled.as_ref().is_none_or(|it| it.stretch.last <= settled_through);
            let is_old = is_too_large || row.record.time < retention.before;
            let goes = is_settled && (is_old || row.is_cleared) && deleted < retention.step_max;
            if goes {
                deleted += 1;
                if !row.is_cleared {
                    newest = newest.max(row.record.time);
                }
            }
            !goes
        });
        tables.pruned_through = newest;
        Ok(Pruned { records: deleted as u64, more: deleted == retention.step_max })
    }

    async fn deleted_through(&self, identities: &[Identity]) -> Result<Vec<Timestamp>, StoreError> {
        let tables = self.read();
        let of = |identity| tables.cleared.get(identity).copied().unwrap_or_default().max(tables.pruned_through);
        Ok(identities.iter().map(of).collect())
    }

    async fn size(&self) -> Result<u64, StoreError> {
        Ok(size_of(&self.read()))
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.write().map(drop)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.is_closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

fn size_of(tables: &Tables) -> u64 {
    tables.records.iter().map(|row| row.record.source.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::store_conformance;

    store_conformance!((MemoryStore::new(), ()));
}
