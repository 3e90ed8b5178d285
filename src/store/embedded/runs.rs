//! The SQL of runs. Each listing reads an index in its order, and of the rows it skips or only counts as little as it can.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::history::{self, RECORD, RUN_KINDS, covered, kind_code, kind_of};
use super::statements::{Stored, corrupt, reading, timestamp};
use crate::model::{EntryName, Identity, Record, RecordId, RecordKind, RunId, Timestamp};
use crate::store::listed::listed;
use crate::store::{Found, NewestRun, RunQuery};

/// How many runs make a page of those that have not ended, and at about how many bytes it ends.
const PAGE_MAX: usize = 1_000;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A page of runs, newest instant first.
pub(super) fn list(database: &Connection, query: &RunQuery) -> Stored<Found> {
    // One view for the count and the page.
    let view = database.unchecked_transaction().map_err(reading)?;
    let found = match (&query.identity, &query.entry) {
        (Some(identity), None) if Place::of(query) == Place::Entries => list_of_task(database, query, identity)?,
        _ => {
            let mut sql = Sql::of(query, query.entry.as_ref(), Place::of(query));
            let counted = sql.count(database, Found::TOTAL_MAX + 1)?;
            let is_of_any_time = query.since.is_none() && query.until.is_none();
            if sql.place == Place::Instants && is_of_any_time && counted <= Found::TOTAL_MAX {
                sql = Sql::of(query, query.entry.as_ref(), Place::Few);
            }
            let places =
                if counted > query.skip { sql.newest(database, None, query.skip, query.limit)? } else { Vec::new() };
            found(database, places.into_iter().map(|(_, seq)| seq), counted)?
        }
    };
    view.finish().map_err(reading)?;
    Ok(found)
}

/// There is no index of a task's runs by their instants: it would cost each insert. Those of its entries are merged.
fn list_of_task(database: &Connection, query: &RunQuery, identity: &Identity) -> Stored<Found> {
    let wanted = query.skip.saturating_add(query.limit);
    let mut newest = BinaryHeap::new();
    let mut counted = 0;
    for entry in entries(database, identity)? {
        let sql = Sql::of(query, Some(&entry), Place::Entries);
        counted += sql.count(database, Found::TOTAL_MAX + 1 - counted)?;
        // Older than the oldest of those that fill the page: none of them is on it.
        let oldest = newest.peek().filter(|_| newest.len() >= wanted).map(|Reverse((last, _))| *last);
        for place in sql.newest(database, oldest, 0, wanted)? {
            newest.push(Reverse(place));
            if newest.len() > wanted {
                newest.pop();
            }
        }
    }
    let page = newest.into_sorted_vec().into_iter().skip(query.skip).map(|Reverse((_, seq))| seq);
    found(database, page, counted)
}

/// The entries of a task that stand in its history, one step in the index for each.
fn entries(database: &Connection, identity: &Identity) -> Stored<Vec<EntryName>> {
    let sql = "SELECT entry FROM history WHERE identity = ?1 AND entry > ?2 ORDER BY entry LIMIT 1";
    let mut next = database.prepare_cached(sql).map_err(reading)?;
    let (mut all, mut last) = (Vec::new(), String::new());
    loop {
        let row = next.query_row([identity.as_str(), &last], |row| row.get(0)).optional().map_err(reading)?;
        let Some(name) = row else { return Ok(all) };
        last = name;
        all.push(EntryName::parse(&last).map_err(|error| corrupt(&format!("record of {identity:?}"), error))?);
    }
}

/// Reads the documents of a page, without what a listing leaves out.
fn found(database: &Connection, page: impl Iterator<Item = i64>, counted: usize) -> Stored<Found> {
    let sql = format!("SELECT {RECORD}, identity FROM history WHERE seq = ?1");
    let mut select = database.prepare_cached(&sql).map_err(reading)?;
    let mut records = Vec::new();
    for seq in page {
        let mut rows = select.query([seq]).map_err(reading)?;
        // The row is there: all statements see the same state.
        let row = rows.next().and_then(|row| row.ok_or(rusqlite::Error::QueryReturnedNoRows)).map_err(reading)?;
        // One after the other, so that only one document is in memory whole.
        records.push(listed(record_of_any_task(row)?));
    }
    let total_is_lower_bound = counted > Found::TOTAL_MAX;
    Ok(Found { records, total: counted.min(Found::TOTAL_MAX), total_is_lower_bound })
}

/// Reads [`RECORD`] and the identity behind it.
pub(super) fn record_of_any_task(row: &Row<'_>) -> Stored<Record> {
    let name: String = row.get(10).map_err(reading)?;
    let kind = kind_of(row, 1).map_err(reading)?;
    let identity = Record::identity_of(kind, &name).map_err(|error| corrupt(&format!("record of {name:?}"), error))?;
    history::record(row, &identity).map_err(reading)
}

/// The index that a listing reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    DeadLetters,
    Started,
    /// The runs of an entry.
    Entries,
    /// All records by their instants.
    Instants,
    /// Those of all entries, which have to be sorted: to look for a few errors in the order of all instants would read the
    /// row of every success.
    Few,
}

impl Place {
    fn of(query: &RunQuery) -> Self {
        if query.dead_letters {
            Self::DeadLetters
        } else if query.kinds == [RecordKind::Started] {
            Self::Started
        } else if query.identity.is_some() {
            Self::Entries
        } else {
            Self::Instants
        }
    }

    /// Where the rows come from. The small indices are named: SQLite would rather read all runs of an entry.
    fn table(self) -> &'static str {
        match self {
            Self::DeadLetters => "history INDEXED BY history_dead_letters",
            Self::Started => "history INDEXED BY history_started",
            Self::Entries | Self::Instants => "history",
            Self::Few => "history INDEXED BY history_run",
        }
    }

    /// What the index is ordered by, and what else of it comes before the number of the row.
    fn key(self) -> (&'static str, &'static str) {
        match self {
            Self::DeadLetters | Self::Started | Self::Few => ("last", ""),
            Self::Entries => ("last", "kind DESC, "),
            Self::Instants => ("coalesce(last, time)", ""),
        }
    }
}

/// The rows of a listing: what stands behind WHERE.
struct Sql {
    place: Place,
    conditions: String,
    values: Vec<Value>,
}

impl Sql {
    fn of(query: &RunQuery, entry: Option<&EntryName>, place: Place) -> Self {
        // Written out, not as values: that is how SQLite sees that an index holds all that is asked for.
        let kinds: Vec<String> = kinds_of(query).map(|kind| kind_code(kind).to_string()).collect();
        let conditions = match place {
            Place::DeadLetters => format!("dead_letter = 1 AND kind IN ({})", kinds.join(", ")),
            Place::Started => "kind = 7 AND entry IS NOT NULL".to_owned(),
            // With the plus a single kind does not count as fixed: the order would no longer be seen to be that of the index.
            Place::Entries | Place::Instants | Place::Few => {
                format!("entry IS NOT NULL AND +kind IN ({})", kinds.join(", "))
            }
        };
        let mut sql = Self { place, conditions, values: Vec::new() };
        // What a clear has hidden.
        let mark = "seq > coalesce((SELECT deletions.seq FROM deletions WHERE deletions.identity = ";
        match &query.identity {
            Some(identity) => {
                sql.and("identity = ?", identity.as_str().to_owned());
                sql.and(&format!("{mark}?), 0)"), identity.as_str().to_owned());
            }
            None => sql.conditions.push_str(&format!(" AND {mark}history.identity), 0)")),
        }
        if let Some(entry) = entry {
            sql.and("entry = ?", entry.as_str().to_owned());
        }
        if let Some((condition, values)) = covered(&query.prefixes) {
            sql.conditions.push_str(" AND ");
            sql.conditions.push_str(&condition);
            sql.values.extend(values);
        }
        let (key, _) = place.key();
        if let Some(since) = query.since {
            sql.and(&format!("{key} >= ?"), since.millis());
        }
        if let Some(until) = query.until {
            sql.and(&format!("{key} <= ?"), until.millis());
        }
        sql
    }

    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.values.push(value.into());
    }

    fn counting(&self, max: usize) -> String {
        let (table, conditions) = (self.place.table(), &self.conditions);
        format!("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {conditions} LIMIT {max})")
    }

    /// Counts the rows up to a maximum.
    fn count(&self, database: &Connection, max: usize) -> Stored<usize> {
        let mut count = database.prepare_cached(&self.counting(max)).map_err(reading)?;
        count.query_row(params_from_iter(&self.values), |row| row.get(0)).map_err(reading)
    }

    fn ordered(&self, is_bounded: bool) -> String {
        let (key, then) = self.place.key();
        let since = if is_bounded { format!(" AND {key} >= ?") } else { String::new() };
        let (table, conditions) = (self.place.table(), &self.conditions);
        format!(
            "SELECT {key}, seq FROM {table} WHERE {conditions}{since} ORDER BY {key} DESC, {then}seq DESC
             LIMIT ? OFFSET ?"
        )
    }

    /// Instant and number of the newest rows, of those from an instant on.
    fn newest(&self, database: &Connection, since: Option<i64>, skip: usize, limit: usize) -> Stored<Vec<(i64, i64)>> {
        let number = |number: usize| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
        let values = self.values.iter().cloned().chain(since.map(Value::from)).chain([number(limit), number(skip)]);
        let mut select = database.prepare_cached(&self.ordered(since.is_some())).map_err(reading)?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        select.query_map(params_from_iter(values), read).and_then(Iterator::collect).map_err(reading)
    }
}

fn kinds_of(query: &RunQuery) -> impl Iterator<Item = RecordKind> {
    RUN_KINDS.into_iter().filter(|kind| query.kinds.is_empty() || query.kinds.contains(kind))
}

/// One run by its name, if no clear has hidden it.
pub(super) fn one(database: &Connection, identity: &Identity, run: RunId) -> Stored<Option<Record>> {
    let mut select = database.prepare_cached(&one_sql()).map_err(reading)?;
    let id = RecordId::from(run);
    let values = params![id.as_bytes(), identity.as_str()];
    let record = select.query_row(values, |row| history::record(row, identity)).optional().map_err(reading)?;
    Ok(record.filter(Record::is_of_run))
}

fn one_sql() -> String {
    format!(
        "SELECT {RECORD} FROM history WHERE id = ?1 AND identity = ?2
         AND seq > coalesce((SELECT deletions.seq FROM deletions WHERE deletions.identity = ?2), 0)"
    )
}

/// The newest run of an entry that has ended, also one that a clear has hidden.
pub(super) fn newest_ended(
    database: &Connection,
    identity: &Identity,
    entry: &EntryName,
    after: Timestamp,
) -> Stored<Option<NewestRun>> {
    let mut select = database.prepare_cached(NEWEST_ENDED).map_err(reading)?;
    let (success, error) = (kind_code(RecordKind::Success), kind_code(RecordKind::Error));
    let values = params![identity.as_str(), entry.as_str(), after.millis(), success, error];
    let read = |row: &Row<'_>| Ok(NewestRun { instant: timestamp(row, 0)?, kind: kind_of(row, 1)? });
    select.query_row(values, read).optional().map_err(reading)
}

const NEWEST_ENDED: &str = "SELECT last, kind FROM history WHERE identity = ?1 AND entry = ?2 AND last > ?3
    AND kind IN (?4, ?5) ORDER BY last DESC, kind DESC LIMIT 1";

/// The place of a run among those that have not ended: its instant and its row.
pub(super) type Unended = (i64, i64);

/// A page of the runs that have not ended, also of those that a clear has hidden, by their instants.
pub(super) fn unended(database: &Connection, after: Unended) -> Stored<Option<(Vec<Record>, Unended)>> {
    let mut select = database.prepare_cached(&unended_sql()).map_err(reading)?;
    let mut rows = select.query(params![after.0, after.1]).map_err(reading)?;
    let (mut page, mut bytes, mut place) = (Vec::new(), 0, None);
    while page.len() < PAGE_MAX
        && bytes < PAGE_BYTES
        && let Some(row) = rows.next().map_err(reading)?
    {
        let record = record_of_any_task(row)?;
        place = Some((row.get(11).map_err(reading)?, row.get(12).map_err(reading)?));
        bytes += record.source.len();
        page.push(record);
    }
    Ok(place.map(|place| (page, place)))
}

fn unended_sql() -> String {
    format!(
        "SELECT {RECORD}, identity, last, seq FROM history WHERE kind = 7 AND (last, seq) > (?1, ?2) ORDER BY last, seq"
    )
}

/// How SQLite goes about a listing, page and count.
#[cfg(test)]
pub(super) fn plan(database: &Connection, query: &RunQuery) -> [String; 2] {
    let entry = query.entry.clone().or(query.identity.as_ref().and_then(|_| EntryName::parse("e").ok()));
    let sql = Sql::of(query, entry.as_ref(), Place::of(query));
    [sql.ordered(false), sql.counting(9)].map(|sql| explain(database, &sql))
}

/// The same for the newest run of an entry, for those that have not ended, and for one by its name.
#[cfg(test)]
pub(super) fn other_plans(database: &Connection) -> [String; 3] {
    [NEWEST_ENDED, &unended_sql(), &one_sql()].map(|sql| explain(database, sql))
}

#[cfg(test)]
fn explain(database: &Connection, sql: &str) -> String {
    let mut explain = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let values = vec![Value::Null; explain.parameter_count()];
    let steps = explain.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
    steps.collect::<rusqlite::Result<Vec<String>>>().unwrap().join("; ")
}
