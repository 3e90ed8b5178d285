//! The history.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{MemoryStore, Row, STORE, Tables};
use crate::model::{EntryName, Identity, Record, RecordKind, RunId, RunState, Shard, ShardSet, Timestamp};
use crate::store::listed::listed;
use crate::store::log_cursor::RowPlace;
use crate::store::{AuditRetention, Pruned, Retention, RunQuery, Search, StoreError};
use crate::store::{Found, JournalStore, LogCursor, LogPage, LogQuery, LogTotal, NewestRun, Outcome};

impl Tables {
    pub(super) fn append(&mut self, record: Record) {
        let record = with_run(record);
        match self.rows(record.kind == RecordKind::Audit).iter_mut().find(|other| other.record.id == record.id) {
            Some(other) if other.record.phase() > record.phase() => {}
            Some(other) => {
                // What comes after a clear is found; what was cleared and comes again is not.
                let is_cleared = other.is_cleared && other.record.phase() == record.phase();
                *other = Row { seq: other.seq, record, is_cleared };
            }
            None => self.push(record),
        }
    }

    pub(super) fn push(&mut self, record: Record) {
        self.newest_row += 1;
        let row = Row { seq: self.newest_row, record: with_run(record), is_cleared: false };
        self.rows(row.record.kind == RecordKind::Audit).push(row);
    }

    /// The rows of the audit, or of the history.
    fn rows(&mut self, of_audit: bool) -> &mut Vec<Row> {
        if of_audit { &mut self.audit } else { &mut self.records }
    }

    fn runs(&self) -> impl Iterator<Item = &Row> {
        self.records.iter().filter(|row| row.record.is_of_run())
    }

    fn outcomes(&self, identity: &Identity, entry: &EntryName, after: Timestamp) -> Vec<Outcome> {
        let of_task = self.records.iter().map(|row| &row.record).filter(|record| record.identity == *identity);
        let mut outcomes: Vec<Outcome> = of_task
            .filter_map(|record| Some((record.kind, record.settles()?)))
            .filter(|(_, settled)| settled.entry == *entry && settled.stretch.last > after)
            .map(|(kind, settled)| Outcome { kind, stretch: settled.stretch })
            .collect();
        outcomes.sort_by_key(|outcome| outcome.stretch.last);
        outcomes
    }
}

/// What was fired is a run, also where the record does not say so: earlier versions wrote nothing of runs.
fn with_run(record: Record) -> Record {
    let fired = record.settled.as_ref().filter(|_| record.kind.is_fire());
    let run = record.run.or_else(|| fired.map(|settled| RunState::ended(settled.entry.clone())));
    Record { run, ..record }
}

#[async_trait]
impl JournalStore for MemoryStore {
    async fn append(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        let failed = |why: &str| Err(StoreError::Unavailable { doing: "writing", source: why.into() });
        let refused = self.faults.refuses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if records.iter().any(|record| Some(&record.identity) == refused.as_ref()) {
            return failed("the test made it fail");
        }
        for record in records {
            tables.append(record);
        }
        self.answer(())
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
        let mut found: Vec<Record> =
            self.look()?.records.iter().filter(matches).map(|row| row.record.clone()).collect();
        // Newest first, and of one moment the one that was written last.
        found.reverse();
        found.sort_by_key(|record| std::cmp::Reverse(record.time));
        let total = found.len();
        let records = found.into_iter().skip(search.skip).take(search.limit).collect();
        let total_is_lower_bound = total > Found::TOTAL_MAX;
        Ok(Found { records, total: total.min(Found::TOTAL_MAX), total_is_lower_bound })
    }

    async fn search_logs(&self, query: LogQuery, after: Option<LogCursor>) -> Result<LogPage, StoreError> {
        let tables = self.look()?;
        let place = after.as_ref().map(|cursor| RowPlace::parse(cursor.place(), STORE)).transpose()?;
        let newest = place.map_or(tables.newest_row, |place| place.newest);
        let order = |row: &Row| (query.sort.key_of(&row.record).millis(), row.seq);
        let rows = if query.filter.is_of_audit() { &tables.audit } else { &tables.records };
        let visible = rows.iter().filter(|row| !row.is_cleared && row.seq <= newest);
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
        let tables = self.look()?;
        Ok(entries.iter().map(|(identity, entry)| tables.outcomes(identity, entry, after)).collect())
    }

    async fn last_fires(
        &self,
        identity: &Identity,
        entries: &[&EntryName],
        after: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let tables = self.look()?;
        let last = |entry: &&EntryName| {
            let fires = tables.outcomes(identity, entry, after).into_iter().filter(|outcome| outcome.kind.is_fire());
            fires.map(|outcome| outcome.stretch.last).max()
        };
        Ok(entries.iter().map(last).collect())
    }

    async fn newest_runs(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Option<NewestRun>>, StoreError> {
        let tables = self.look()?;
        let newest = |(identity, entry): &(Identity, EntryName)| {
            let of_entry = |record: &&Record| record.identity == *identity && record.entry() == Some(entry);
            let ended = tables.runs().map(|row| &row.record).filter(|record| record.kind.is_fire());
            let runs = ended.filter(of_entry).map(|record| NewestRun { instant: record.instant(), kind: record.kind });
            runs.filter(|run| run.instant > after).max_by_key(|run| run.instant)
        };
        Ok(entries.iter().map(newest).collect())
    }

    async fn runs(&self, query: RunQuery) -> Result<Found, StoreError> {
        let matches = |row: &&Row| {
            let Record { identity, kind, .. } = &row.record;
            let instant = row.record.instant();
            !row.is_cleared
                && query.identity.as_ref().is_none_or(|wanted| wanted == identity)
                && query.prefixes.cover(identity)
                && query.entry.as_ref().is_none_or(|wanted| Some(wanted) == row.record.entry())
                && (query.kinds.is_empty() || query.kinds.contains(kind))
                && (!query.dead_letters || row.record.is_dead_letter())
                && query.since.is_none_or(|since| instant >= since)
                && query.until.is_none_or(|until| instant <= until)
        };
        let tables = self.look()?;
        let mut found: Vec<&Record> = tables.runs().filter(matches).map(|row| &row.record).collect();
        found.sort_by_key(|record| std::cmp::Reverse((record.instant(), *record.id.as_bytes())));
        let total = found.len();
        let records = found.into_iter().skip(query.skip).take(query.limit).cloned().map(listed).collect();
        let total_is_lower_bound = total > Found::TOTAL_MAX;
        Ok(Found { records, total: total.min(Found::TOTAL_MAX), total_is_lower_bound })
    }

    async fn run(&self, identity: &Identity, run: RunId) -> Result<Option<Record>, StoreError> {
        let tables = self.look()?;
        let is_it = |row: &&Row| !row.is_cleared && row.record.id == run.into() && row.record.identity == *identity;
        Ok(tables.runs().find(is_it).map(|row| row.record.clone()))
    }

    fn unfinished(&self, shards: ShardSet) -> mpsc::Receiver<Result<Vec<Record>, StoreError>> {
        // Also those of callbacks, which are no runs.
        let is_unfinished =
            |record: &&Record| record.kind == RecordKind::Started && shards.contains(Shard::of(&record.identity));
        let all = self.read().records.iter().map(|row| &row.record).filter(is_unfinished).cloned().collect();
        self.paged(all)
    }

    async fn prune(&self, retention: Retention, settled_through: Timestamp) -> Result<Pruned, StoreError> {
        let mut tables = self.write()?;
        let (mut deleted, mut newest) = (0, tables.pruned_through);
        let is_too_large = size_of(&tables) > retention.bytes_max;
        tables.records.retain(|row| {
            let is_settled = row.record.settled.as_ref().is_none_or(|it| it.stretch.last <= settled_through)
                && row.record.kind != RecordKind::Started;
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

    async fn prune_audit(&self, retention: AuditRetention) -> Result<Pruned, StoreError> {
        let mut tables = self.write()?;
        let bytes = |rows: &[Row]| rows.iter().map(|row| row.record.source.len() as u64).sum::<u64>();
        let mut deleted = 0;
        while deleted < retention.step_max
            && let Some(oldest) = tables.audit.first()
            && (oldest.record.time < retention.before || bytes(&tables.audit) > retention.bytes_max)
        {
            tables.audit.remove(0);
            deleted += 1;
        }
        Ok(Pruned { records: deleted as u64, more: deleted == retention.step_max })
    }

    async fn deleted_through(&self, identities: &[Identity]) -> Result<Vec<Timestamp>, StoreError> {
        let tables = self.look()?;
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
