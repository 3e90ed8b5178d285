//! The SQL of the history. Each function works within the transaction of its caller.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};

use super::audit;
use super::statements::{ALL_TASKS, Stored, reading, timestamp, writing};
use crate::model::{
    EntryName, Identity, Prefixes, Record, RecordId, RecordKind, RunState, Settled, Stretch, Timestamp,
};
use crate::store::{Found, Outcome, Search};

/// What [`record`] reads, in this order.
pub(super) const RECORD: &str = "id, kind, entry, first, last, count, time, source, phase, dead_letter";
const VALUES: &str = "(id, identity, kind, entry, first, last, count, time, source, phase, dead_letter)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
/// The phase of a record that tells of none.
const ENDED: u32 = RunState::ENDED;

/// The condition that a row is of a task that these cover, with its values; `None`: any is.
pub(super) fn covered(prefixes: &Prefixes) -> Option<(String, Vec<Value>)> {
    if prefixes.are_all() {
        return None;
    }
    // As bytes: SQLite ends a text at its first NUL, which a name may hold.
    let each = prefixes.iter().map(|_| "substr(CAST(identity AS BLOB), 1, ?) = ?");
    let values = prefixes.iter().flat_map(|prefix| {
        [Value::from(i64::try_from(prefix.len()).unwrap_or(i64::MAX)), Value::Blob(prefix.as_bytes().to_vec())]
    });
    Some((format!("({})", each.collect::<Vec<_>>().join(" OR ")), values.collect()))
}

/// Writes records; those of a phase that is not smaller take the place of earlier ones. Task, entry and last instant follow
/// from the id: they stay.
pub(super) fn append(database: &Connection, records: &[Record]) -> Stored<()> {
    // One that a clear has hidden keeps its number, and so stays hidden, unless it is of a later phase.
    let sql = format!(
        "INSERT INTO history {VALUES} ON CONFLICT (id) DO UPDATE SET
         kind = excluded.kind, first = excluded.first, count = excluded.count, time = excluded.time,
         source = excluded.source, phase = excluded.phase, dead_letter = excluded.dead_letter
         WHERE coalesce(excluded.phase, {ENDED}) = coalesce(history.phase, {ENDED})
         OR coalesce(excluded.phase, {ENDED}) > coalesce(history.phase, {ENDED}) AND history.seq > coalesce(
             (SELECT deletions.seq FROM deletions WHERE deletions.identity = history.identity), 0)"
    );
    let mut write = database.prepare_cached(&sql).map_err(writing)?;
    let delete = format!("DELETE FROM history WHERE id = ?1 AND coalesce(phase, {ENDED}) < ?2");
    for record in records {
        if record.kind == RecordKind::Audit {
            audit::append(database, record)?;
            continue;
        }
        if insert(&mut write, record)? > 0 {
            continue;
        }
        let mut delete = database.prepare_cached(&delete).map_err(writing)?;
        if delete.execute(params![record.id.as_bytes(), record.phase()]).map_err(writing)? > 0 {
            insert(&mut write, record)?;
        }
    }
    Ok(())
}

/// Writes records in place of those of the same id, with numbers of their own: they have to be later than the mark of a clear.
pub(super) fn restore(database: &Connection, records: &[Record]) -> Stored<()> {
    let mut write = database.prepare_cached(&format!("INSERT OR REPLACE INTO history {VALUES}")).map_err(writing)?;
    records.iter().try_for_each(|record| {
        if record.kind == RecordKind::Audit {
            return audit::append(database, record);
        }
        insert(&mut write, record).map(drop)
    })
}

/// Gives how many rows it wrote.
fn insert(write: &mut Statement<'_>, record: &Record) -> Stored<usize> {
    let (entry, run) = (record.entry(), record.run.as_ref());
    let stretch = record.settled.as_ref().map(|settled| settled.stretch);
    let of_run = run.map(|_| Stretch::one(record.instant()));
    let instants = stretch.or(of_run);
    let values = params![
        record.id.as_bytes(),
        record.identity.as_str(),
        kind_code(record.kind),
        entry.map(EntryName::as_str),
        instants.map(|instants| instants.first.millis()),
        instants.map(|instants| instants.last.millis()),
        stretch.map(|stretch| stretch.count),
        record.time.millis(),
        &*record.source,
        run.map(|run| run.phase),
        run.is_some_and(|run| run.is_dead_letter),
    ];
    write.execute(values).map_err(writing)
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
        RecordKind::Started => 7,
        RecordKind::Audit => 8,
    }
}

/// Kinds of runs. What is of one of them and has an entry is a run; the record of a callback has none. One of those that has
/// not ended has a phase all the same.
pub(super) const RUN_KINDS: [RecordKind; 3] = [RecordKind::Success, RecordKind::Error, RecordKind::Started];

pub(super) fn kind_of(row: &Row<'_>, column: usize) -> rusqlite::Result<RecordKind> {
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
        "SELECT {RECORD} FROM history WHERE {FILTER}
         ORDER BY time DESC, seq DESC LIMIT ?6 OFFSET ?7"
    );
    let mut page = database.prepare_cached(&page).map_err(reading)?;
    let values = params![identity, since, until, kind, cleared, search.limit, search.skip];
    let records = page.query_map(values, |row| record(row, &search.identity));
    let records = records.and_then(Iterator::collect).map_err(reading)?;
    let total = counted.min(Found::TOTAL_MAX);
    Ok(Found { records, total, total_is_lower_bound: counted > Found::TOTAL_MAX })
}

/// Reads the columns of [`RECORD`].
pub(super) fn record(row: &Row<'_>, identity: &Identity) -> rusqlite::Result<Record> {
    let kind = kind_of(row, 1)?;
    let entry = row.get::<_, Option<String>>(2)?.and_then(|entry| EntryName::parse(&entry).ok());
    let (mut settled, mut run) = (None, None);
    if kind == RecordKind::Started || entry.is_some() && RUN_KINDS.contains(&kind) {
        let phase = row.get::<_, Option<u32>>(8)?.unwrap_or(ENDED);
        run = Some(RunState { entry: entry.clone(), phase, is_dead_letter: row.get(9)? });
    }
    if let Some(entry) = entry
        && let Some(count) = row.get(5)?
    {
        let stretch = Stretch { first: timestamp(row, 3)?, last: timestamp(row, 4)?, count };
        settled = Some(Settled { entry, stretch });
    }
    Ok(Record {
        id: RecordId::from_bytes(row.get(0)?),
        identity: identity.clone(),
        kind,
        settled,
        run,
        time: timestamp(row, 6)?,
        source: row.get::<_, String>(7)?.into(),
    })
}

pub(super) fn cleared_through_row(database: &Connection, identity: &str) -> Stored<i64> {
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
    let sql = "SELECT kind, first, last, count FROM history WHERE identity = ?1 AND entry = ?2 AND last > ?3
               AND kind <> ?4 AND count IS NOT NULL ORDER BY last";
    let mut select = database.prepare_cached(sql).map_err(reading)?;
    let read = |row: &Row<'_>| {
        let stretch = Stretch { first: timestamp(row, 1)?, last: timestamp(row, 2)?, count: row.get(3)? };
        Ok(Outcome { kind: kind_of(row, 0)?, stretch })
    };
    let values = params![identity.as_str(), entry.as_str(), after.millis(), kind_code(RecordKind::Started)];
    select.query_map(values, read).and_then(Iterator::collect).map_err(reading)
}

pub(super) fn last_fire(
    database: &Connection,
    identity: &Identity,
    entry: &EntryName,
    after: Timestamp,
) -> Stored<Option<Timestamp>> {
    let sql = "SELECT last FROM history WHERE identity = ?1 AND entry = ?2 AND last > ?3 AND kind IN (?4, ?5)
               AND count IS NOT NULL ORDER BY last DESC LIMIT 1";
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
