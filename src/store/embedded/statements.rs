//! The SQL. Each function works within the transaction of its caller.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::folder::unavailable;
use crate::model::{
    Claim, EntryName, Epoch, Identity, Lease, Record, RecordId, RecordKind, Revision, Settled, Shard, Stretch,
    Timestamp,
};
use crate::store::document;
use crate::store::{BoxError, Change, Found, Outcome, Pruned, Retention, Search, StoreError};

/// How many free pages one step of pruning gives back to the system.
const VACUUMED_MAX: usize = 512;
/// The identity under which store-wide deletions stand. No task has it: identities are never empty.
pub(super) const ALL_TASKS: &str = "";

pub(super) type Stored<T> = Result<T, StoreError>;

pub(super) fn writing(error: rusqlite::Error) -> StoreError {
    unavailable("writing", error)
}

pub(super) fn reading(error: rusqlite::Error) -> StoreError {
    unavailable("reading", error)
}

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

/// Rows hold what this program wrote: anything else is damage.
pub(super) fn corrupt(what: &str, source: impl Into<BoxError>) -> StoreError {
    StoreError::Corrupt { what: what.to_owned(), source: source.into() }
}

pub(super) fn change(database: &Connection, change: &Change) -> Stored<u64> {
    let Change { identity, replaces, epoch, at, next, record } = change;
    check_epoch(database, Shard::of(identity), *epoch)?;
    let in_force = number_in_force(database, identity)?;
    if in_force != *replaces {
        return Err(StoreError::Conflict { identity: identity.clone() });
    }
    if in_force.is_some() {
        let end = "UPDATE revisions SET in_force_until = ?2 WHERE identity = ?1 AND in_force_until IS NULL";
        let mut end = database.prepare_cached(end).map_err(writing)?;
        end.execute(params![identity.as_str(), at.millis()]).map_err(writing)?;
    }
    let number = match next {
        Some(next) => insert_revision(database, next)?,
        None => in_force.unwrap_or_default(),
    };
    append(database, std::slice::from_ref(record))?;
    Ok(number)
}

fn check_epoch(database: &Connection, shard: Shard, ours: Epoch) -> Stored<()> {
    let mut held = database.prepare_cached("SELECT epoch FROM leases WHERE shard = ?1").map_err(writing)?;
    let held: Option<u64> = held.query_row([shard.index()], |row| row.get(0)).optional().map_err(writing)?;
    if held == Some(ours.0) { Ok(()) } else { Err(StoreError::Fenced { shard, ours }) }
}

fn number_in_force(database: &Connection, identity: &Identity) -> Stored<Option<u64>> {
    let sql = "SELECT number FROM revisions WHERE identity = ?1 AND in_force_until IS NULL";
    let mut number = database.prepare_cached(sql).map_err(writing)?;
    number.query_row([identity.as_str()], |row| row.get(0)).optional().map_err(writing)
}

fn insert_revision(database: &Connection, next: &Revision) -> Stored<u64> {
    let identity = next.task.identity.as_str();
    let highest = "SELECT coalesce(max(number), 0) FROM revisions WHERE identity = ?1";
    let mut highest = database.prepare_cached(highest).map_err(writing)?;
    let number = highest.query_row([identity], |row| row.get::<_, u64>(0)).map_err(writing)? + 1;
    let sql = "INSERT INTO revisions (identity, number, shard, enabled, put_at, in_force_from, document)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut insert = database.prepare_cached(sql).map_err(writing)?;
    let (shard, document) = (next.shard().index(), document::write(&next.task));
    let (put_at, from) = (next.put_at.millis(), next.in_force_from.millis());
    insert.execute(params![identity, number, shard, next.enabled, put_at, from, document]).map_err(writing)?;
    Ok(number)
}

/// A page of revisions, in the order of identity and number, after the one given.
pub(super) fn revisions(
    database: &Connection,
    ended_after: Timestamp,
    after: &(String, u64),
    max: usize,
) -> Stored<Vec<Revision>> {
    let sql = "SELECT identity, number, enabled, put_at, in_force_from, in_force_until, document FROM revisions
               WHERE (identity, number) > (?1, ?2) AND (in_force_until IS NULL OR in_force_until > ?3)
               ORDER BY identity, number LIMIT ?4";
    let mut select = database.prepare_cached(sql).map_err(reading)?;
    let mut rows = select.query(params![after.0, after.1, ended_after.millis(), max]).map_err(reading)?;
    let mut page = Vec::new();
    while let Some(row) = rows.next().map_err(reading)? {
        page.push(revision(row)?);
    }
    Ok(page)
}

pub(super) fn revision(row: &Row<'_>) -> Stored<Revision> {
    let name: String = row.get(0).map_err(reading)?;
    let what = || format!("task {name:?}");
    let identity = Identity::parse(&name).map_err(|error| corrupt(&what(), error))?;
    let text = row.get_ref(6).map_err(reading)?;
    let text = text.as_str().map_err(|error| corrupt(&what(), error))?;
    let task = document::read(&identity, text).map_err(|error| corrupt(&what(), error))?;
    let rest = || -> rusqlite::Result<Revision> {
        Ok(Revision {
            task: task.into(),
            number: row.get(1)?,
            enabled: row.get(2)?,
            put_at: timestamp(row, 3)?,
            in_force_from: timestamp(row, 4)?,
            in_force_until: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
        })
    };
    rest().map_err(reading)
}

pub(super) fn forget_revisions(database: &Connection, before: Timestamp) -> Stored<u64> {
    let forgotten = database.execute("DELETE FROM revisions WHERE in_force_until < ?1", [before.millis()]);
    forgotten.map(|count| count as u64).map_err(writing)
}

pub(super) fn take_all(database: &Connection, owner: &str) -> Stored<Vec<Lease>> {
    let sql = "INSERT INTO leases (shard, owner, epoch, claimed_through, settled_through) VALUES (?1, ?2, 1, 0, 0)
               ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, epoch = epoch + 1";
    let mut take = database.prepare_cached(sql).map_err(writing)?;
    for shard in Shard::all() {
        take.execute(params![shard.index(), owner]).map_err(writing)?;
    }
    leases(database)
}

pub(super) fn leases(database: &Connection) -> Stored<Vec<Lease>> {
    let sql = "SELECT shard, epoch, claimed_through, settled_through FROM leases ORDER BY shard";
    let mut select = database.prepare_cached(sql).map_err(reading)?;
    let read = |row: &Row<'_>| {
        Ok(Lease {
            shard: Shard::at(row.get(0)?),
            epoch: Epoch(row.get(1)?),
            claimed_through: timestamp(row, 2)?,
            settled_through: timestamp(row, 3)?,
        })
    };
    select.query_map([], read).and_then(Iterator::collect).map_err(reading)
}

pub(super) fn claim(database: &Connection, claims: &[Claim]) -> Stored<()> {
    let sql = "UPDATE leases SET claimed_through = max(claimed_through, ?3), settled_through = max(settled_through, ?4)
               WHERE shard = ?1 AND epoch = ?2";
    set_leases(database, sql, claims)
}

pub(super) fn release(database: &Connection, claims: &[Claim]) -> Stored<()> {
    let sql = "UPDATE leases SET claimed_through = max(?3, settled_through, ?4),
               settled_through = max(settled_through, ?4) WHERE shard = ?1 AND epoch = ?2";
    set_leases(database, sql, claims)
}

fn set_leases(database: &Connection, sql: &str, claims: &[Claim]) -> Stored<()> {
    let mut set = database.prepare_cached(sql).map_err(writing)?;
    for Claim { shard, epoch, through, settled_through } in claims {
        let values = params![shard.index(), epoch.0, through.millis(), settled_through.millis()];
        if set.execute(values).map_err(writing)? == 0 {
            return Err(StoreError::Fenced { shard: *shard, ours: *epoch });
        }
    }
    Ok(())
}

pub(super) fn append(database: &Connection, records: &[Record]) -> Stored<()> {
    let sql = "INSERT INTO history (id, identity, kind, entry, first, last, count, time, source)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT (identity, entry, last) WHERE entry IS NOT NULL DO UPDATE SET
               kind = excluded.kind, first = excluded.first, count = excluded.count, time = excluded.time,
               source = excluded.source";
    insert_records(database, sql, records)
}

/// Inserts records, with what `sql` does about those that are there.
pub(super) fn insert_records(database: &Connection, sql: &str, records: &[Record]) -> Stored<()> {
    let mut insert = database.prepare_cached(sql).map_err(writing)?;
    for record in records {
        let settled = record.settled.as_ref();
        let stretch = settled.map(|settled| settled.stretch);
        let values = params![
            record.id.as_bytes(),
            record.identity.as_str(),
            kind_code(record.kind),
            settled.map(|settled| settled.entry.as_str()),
            stretch.map(|stretch| stretch.first.millis()),
            stretch.map(|stretch| stretch.last.millis()),
            stretch.map(|stretch| stretch.count),
            record.time.millis(),
            &*record.source,
        ];
        insert.execute(values).map_err(writing)?;
    }
    Ok(())
}

/// Stored: the numbers never change their meaning.
pub(super) fn kind_code(kind: RecordKind) -> u8 {
    match kind {
        RecordKind::Put => 0,
        RecordKind::Delete => 1,
        RecordKind::Running => 2,
        RecordKind::Success => 3,
        RecordKind::Error => 4,
        RecordKind::Skipped => 5,
        RecordKind::Missed => 6,
    }
}

fn kind_of(row: &Row<'_>, column: usize) -> rusqlite::Result<RecordKind> {
    let code: u8 = row.get(column)?;
    let known = RecordKind::ALL.into_iter().find(|kind| kind_code(*kind) == code);
    known.ok_or(rusqlite::Error::IntegralValueOutOfRange(column, code.into()))
}

pub(super) fn search(database: &Connection, search: &Search) -> Stored<Found> {
    const FILTER: &str = "identity = ?1 AND time BETWEEN ?2 AND ?3 AND (?4 IS NULL OR kind = ?4) AND seq > ?5";
    let identity = search.identity.as_str();
    let since = search.since_secs.map_or(i64::MIN, |secs| secs.saturating_mul(1_000));
    let until = search.until_secs.map_or(i64::MAX, |secs| secs.saturating_mul(1_000).saturating_add(999));
    let kind = search.kind.map(kind_code);
    let cleared = cleared_through_row(database, identity)?;
    let count = format!("SELECT count(*) FROM (SELECT 1 FROM history WHERE {FILTER} LIMIT {})", Found::TOTAL_MAX + 1);
    let mut count = database.prepare_cached(&count).map_err(reading)?;
    let counted: usize =
        count.query_row(params![identity, since, until, kind, cleared], |row| row.get(0)).map_err(reading)?;
    let page = format!(
        "SELECT id, kind, entry, first, last, count, time, source FROM history WHERE {FILTER}
         ORDER BY time DESC, seq DESC LIMIT ?6 OFFSET ?7"
    );
    let mut page = database.prepare_cached(&page).map_err(reading)?;
    let values = params![identity, since, until, kind, cleared, search.limit, search.skip];
    let records = page.query_map(values, |row| record(row, &search.identity));
    let records = records.and_then(Iterator::collect).map_err(reading)?;
    let total = counted.min(Found::TOTAL_MAX);
    Ok(Found { records, total, total_is_lower_bound: counted > Found::TOTAL_MAX })
}

pub(super) fn record(row: &Row<'_>, identity: &Identity) -> rusqlite::Result<Record> {
    let entry: Option<String> = row.get(2)?;
    let settled = entry.and_then(|entry| EntryName::parse(&entry).ok()).map(|entry| -> rusqlite::Result<Settled> {
        let stretch = Stretch { first: timestamp(row, 3)?, last: timestamp(row, 4)?, count: row.get(5)? };
        Ok(Settled { entry, stretch })
    });
    Ok(Record {
        id: RecordId::from_bytes(row.get(0)?),
        identity: identity.clone(),
        kind: kind_of(row, 1)?,
        settled: settled.transpose()?,
        time: timestamp(row, 6)?,
        source: row.get::<_, String>(7)?.into(),
    })
}

fn cleared_through_row(database: &Connection, identity: &str) -> Stored<i64> {
    let mut seq = database.prepare_cached("SELECT seq FROM deletions WHERE identity = ?1").map_err(reading)?;
    let seq = seq.query_row([identity], |row| row.get(0)).optional().map_err(reading)?;
    Ok(seq.unwrap_or(0))
}

pub(super) fn outcomes(
    database: &Connection,
    identity: &Identity,
    entry: &EntryName,
    after: Timestamp,
) -> Stored<Vec<Outcome>> {
    let sql =
        "SELECT kind, first, last, count FROM history WHERE identity = ?1 AND entry = ?2 AND last > ?3 ORDER BY last";
    let mut select = database.prepare_cached(sql).map_err(reading)?;
    let read = |row: &Row<'_>| {
        let stretch = Stretch { first: timestamp(row, 1)?, last: timestamp(row, 2)?, count: row.get(3)? };
        Ok(Outcome { kind: kind_of(row, 0)?, stretch })
    };
    let values = params![identity.as_str(), entry.as_str(), after.millis()];
    select.query_map(values, read).and_then(Iterator::collect).map_err(reading)
}

pub(super) fn last_fire(
    database: &Connection,
    identity: &Identity,
    entry: &EntryName,
    after: Timestamp,
) -> Stored<Option<Timestamp>> {
    let sql = "SELECT last FROM history WHERE identity = ?1 AND entry = ?2 AND last > ?3 AND kind IN (?4, ?5)
               ORDER BY last DESC LIMIT 1";
    let mut select = database.prepare_cached(sql).map_err(reading)?;
    let (success, error) = (kind_code(RecordKind::Success), kind_code(RecordKind::Error));
    let values = params![identity.as_str(), entry.as_str(), after.millis(), success, error];
    select.query_row(values, |row| timestamp(row, 0)).optional().map_err(reading)
}

/// The rows stay until pruning finds them; until then the mark hides them from searches. So a clear takes no longer the
/// longer a history is, and outcomes that a crash would ask for stay known.
pub(super) fn clear(database: &Connection, identity: &Identity, at: Timestamp) -> Stored<()> {
    let sql = "INSERT INTO deletions (identity, through, seq)
               VALUES (?1, ?2, (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'history'))
               ON CONFLICT (identity) DO UPDATE SET through = max(through, excluded.through), seq = excluded.seq";
    let mut mark = database.prepare_cached(sql).map_err(writing)?;
    mark.execute(params![identity.as_str(), at.millis()]).map(drop).map_err(writing)
}

pub(super) fn deleted_through(database: &Connection, identity: &Identity) -> Stored<Timestamp> {
    let sql = "SELECT coalesce(max(through), 0) FROM deletions WHERE identity IN (?1, ?2)";
    let mut select = database.prepare_cached(sql).map_err(reading)?;
    select.query_row([identity.as_str(), ALL_TASKS], |row| timestamp(row, 0)).map_err(reading)
}

pub(super) fn prune(database: &Connection, retention: Retention, settled_through: Timestamp) -> Stored<Pruned> {
    let cleared = prune_cleared(database, retention.step_max, settled_through)?;
    let is_too_large = used_bytes(database)? > retention.bytes_max;
    let before = if is_too_large { Timestamp::FAR_FUTURE } else { retention.before };
    let old = prune_old(database, before, retention.step_max, settled_through)?;
    if cleared + old > 0 {
        let sql = format!("PRAGMA incremental_vacuum({VACUUMED_MAX})");
        let mut vacuum = database.prepare(&sql).map_err(writing)?;
        let mut rows = vacuum.query([]).map_err(writing)?;
        // Each step of the statement gives one page back.
        while rows.next().map_err(writing)?.is_some() {}
    }
    let more = cleared == retention.step_max || old == retention.step_max;
    Ok(Pruned { records: (cleared + old) as u64, more })
}

/// Deletes rows that a clear has hidden. Once none is left its mark is lifted: it would be looked for at every turn.
fn prune_cleared(database: &Connection, max: usize, settled_through: Timestamp) -> Stored<usize> {
    let sql = "DELETE FROM history WHERE seq IN (
                   SELECT history.seq FROM deletions JOIN history ON history.identity = deletions.identity
                   WHERE deletions.seq > 0 AND history.seq <= deletions.seq AND (entry IS NULL OR last <= ?1) LIMIT ?2)";
    let mut delete = database.prepare_cached(sql).map_err(writing)?;
    let deleted = delete.execute(params![settled_through.millis(), max]).map_err(writing)?;
    if deleted < max {
        // What a clear has hidden was recorded before it, so its instants were settled up to then.
        let lift = "UPDATE deletions SET seq = 0 WHERE seq > 0 AND through <= ?1";
        database.execute(lift, [settled_through.millis()]).map_err(writing)?;
        let forget = "DELETE FROM deletions WHERE seq = 0 AND identity <> ?1
                      AND through <= (SELECT coalesce(max(through), -1) FROM deletions WHERE identity = ?1)";
        database.execute(forget, [ALL_TASKS]).map_err(writing)?;
    }
    Ok(deleted)
}

/// Deletes the oldest rows. A record is never older than its instants: so all that lies after the newest one deleted is
/// untouched.
fn prune_old(database: &Connection, before: Timestamp, max: usize, settled_through: Timestamp) -> Stored<usize> {
    let sql = "SELECT seq, time FROM (SELECT seq, time, entry, last FROM history ORDER BY seq LIMIT ?1)
               WHERE time < ?2 AND (entry IS NULL OR last <= ?3)";
    let mut select = database.prepare_cached(sql).map_err(writing)?;
    let values = params![max, before.millis(), settled_through.millis()];
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let old: Vec<(i64, i64)> = select.query_map(values, read).and_then(Iterator::collect).map_err(writing)?;
    let Some(newest) = old.iter().map(|&(_, time)| time).max() else { return Ok(0) };
    let mut delete = database.prepare_cached("DELETE FROM history WHERE seq = ?1").map_err(writing)?;
    for (seq, _) in &old {
        delete.execute([seq]).map_err(writing)?;
    }
    let mark = "INSERT INTO deletions (identity, through, seq) VALUES (?1, ?2, 0)
                ON CONFLICT (identity) DO UPDATE SET through = max(through, excluded.through)";
    database.execute(mark, params![ALL_TASKS, newest]).map_err(writing)?;
    Ok(old.len())
}

fn used_bytes(database: &Connection) -> Stored<u64> {
    let pragma =
        |name: &str| -> Stored<u64> { database.pragma_query_value(None, name, |row| row.get(0)).map_err(writing) };
    Ok(pragma("page_count")?.saturating_sub(pragma("freelist_count")?) * pragma("page_size")?)
}
