//! Searching the log documents of all tasks. Columns are compared by SQLite, in the order of an index where there is one;
//! what only the document tells is looked at row by row, so that memory holds no more than a page.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, params_from_iter};

use super::audit;
use super::history::{RECORD, RUN_KINDS, covered, kind_code};
use super::runs::record_of_any_task;
use super::statements::{Stored, reading};
use crate::model::{EntryName, Record, Timestamp};
use crate::store::log_cursor::RowPlace;
use crate::store::{Found, LogCursor, LogPage, LogQuery, LogTotal};

/// Names our places in cursors.
const STORE: &str = "row";
/// How many bytes one search looks at. Then the page ends, full or not, and its cursor leads on from there.
pub(super) const LOOKED_AT_MAX: usize = 256 * 1024 * 1024;
/// What a row costs besides its document, in bytes.
const ROW_COST: usize = 128;

/// A page of the records that match, after a cursor. At most `looked_at_max` bytes are looked at.
pub(super) fn search(
    database: &Connection,
    query: &LogQuery,
    after: Option<&LogCursor>,
    looked_at_max: usize,
) -> Stored<LogPage> {
    // One view for the mark, the rows and their documents.
    let view = database.unchecked_transaction().map_err(reading)?;
    let place = after.map(|cursor| RowPlace::parse(cursor.place(), STORE)).transpose()?;
    let table = if query.filter.is_of_audit() { audit::AS_HISTORY } else { "history" };
    let newest = match place {
        Some(place) => place.newest,
        None => newest_row(database, table)?,
    };
    let sql = Sql::of(query, newest, place);
    let mut rows = database.prepare_cached(&sql.text).map_err(reading)?;
    let mut rows = rows.query(params_from_iter(&sql.values)).map_err(reading)?;
    let mut page = PageInWork::new(query, after.is_none());
    let mut looked_at = 0;
    let mut documents = Documents::prepare(database, table)?;
    let ran_out = loop {
        if page.is_done() {
            break false;
        }
        let Some(row) = rows.next().map_err(reading)? else { break false };
        if looked_at >= looked_at_max {
            break true;
        }
        let (seq, key) = (row.get(0).map_err(reading)?, row.get(1).map_err(reading)?);
        looked_at += ROW_COST + page.take(seq, key, &mut documents)?;
    };
    drop((rows, documents));
    view.finish().map_err(reading)?;
    Ok(page.finish(after.map(LogCursor::total), newest, ran_out))
}

fn newest_row(database: &Connection, table: &str) -> Stored<i64> {
    let sql = format!("SELECT coalesce(max(seq), 0) FROM {table}");
    database.query_row(&sql, [], |row| row.get(0)).map_err(reading)
}

/// What is known of a page while its rows are read.
struct PageInWork<'a> {
    query: &'a LogQuery,
    /// Only the first page counts beyond itself.
    is_first: bool,
    records: Vec<Record>,
    counted: usize,
    /// The last row of the page, or of those looked at while it is not full.
    last: Option<(i64, i64)>,
}

impl<'a> PageInWork<'a> {
    fn new(query: &'a LogQuery, is_first: bool) -> Self {
        Self { query, is_first, records: Vec::new(), counted: 0, last: None }
    }

    fn is_full(&self) -> bool {
        self.records.len() >= self.query.limit
    }

    /// Whether further rows tell nothing more.
    fn is_done(&self) -> bool {
        let enough = if self.is_first { Found::TOTAL_MAX } else { self.records.len() };
        self.is_full() && self.counted > enough
    }

    /// Takes the next row in. Gives the bytes of the document that was looked at.
    fn take(&mut self, seq: i64, key: i64, documents: &mut Documents<'_>) -> Stored<usize> {
        let filter = &self.query.filter;
        if self.is_full() && !filter.needs_document() {
            self.counted += 1;
            return Ok(0);
        }
        let record = documents.read(seq)?;
        let len = record.source.len();
        let matches = !filter.needs_document() || filter.matches_document(&record.source);
        self.counted += usize::from(matches);
        if !self.is_full() {
            self.last = Some((seq, key));
            self.records.extend(matches.then_some(record));
        }
        Ok(len)
    }

    fn finish(self, total: Option<LogTotal>, newest: i64, ran_out: bool) -> LogPage {
        let total = total.unwrap_or(LogTotal::counted(self.counted, ran_out));
        let is_more = ran_out || self.counted > self.records.len();
        let place = |(seq, key)| LogCursor::new(self.query, total, RowPlace { newest, key, seq }.write(STORE));
        LogPage { next: self.last.filter(|_| is_more).map(place), records: self.records, total }
    }
}

/// Reads rows whole, one by one: a statement that sorts must not carry the documents along.
struct Documents<'a> {
    select: CachedStatement<'a>,
}

impl<'a> Documents<'a> {
    fn prepare(database: &'a Connection, table: &str) -> Stored<Self> {
        let sql = format!("SELECT {RECORD}, identity FROM {table} WHERE seq = ?1");
        Ok(Self { select: database.prepare_cached(&sql).map_err(reading)? })
    }

    fn read(&mut self, seq: i64) -> Stored<Record> {
        let mut rows = self.select.query([seq]).map_err(reading)?;
        // The row is there: both statements see the same state.
        let row = rows.next().and_then(|row| row.ok_or(rusqlite::Error::QueryReturnedNoRows)).map_err(reading)?;
        record_of_any_task(row)
    }
}

/// A statement that gives the number and the key of the rows whose columns match, in order.
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    fn of(query: &LogQuery, newest: i64, place: Option<RowPlace>) -> Self {
        let of_audit = query.filter.is_of_audit();
        // What happened is what an audit record belongs to.
        let key = if query.sort.is_by_instant() && !of_audit { "coalesce(last, time)" } else { "time" };
        let table = if of_audit { audit::AS_HISTORY } else { "history" };
        let mut sql =
            Self { text: format!("SELECT seq, {key} FROM {table} WHERE seq <= ?"), values: vec![newest.into()] };
        if !of_audit {
            // What a clear has hidden.
            sql.text.push_str(
                " AND seq > coalesce((SELECT deletions.seq FROM deletions WHERE deletions.identity = history.identity), 0)",
            );
        }
        sql.add_columns(query);
        let (direction, beyond, at_most) =
            if query.sort.is_descending() { ("DESC", "<", "<=") } else { ("ASC", ">", ">=") };
        if let Some(place) = place {
            let after = format!("{key} {at_most} ? AND ({key} {beyond} ? OR seq {beyond} ?)");
            sql.and(&after, [place.key.into(), place.key.into(), place.seq.into()]);
        }
        sql.text.push_str(&format!(" ORDER BY {key} {direction}, seq {direction}"));
        sql
    }

    fn add_columns(&mut self, query: &LogQuery) {
        let filter = &query.filter;
        self.one_of("identity", filter.identities.iter().map(|identity| identity.as_str().to_owned().into()));
        if let Some((condition, values)) = covered(&filter.prefixes) {
            self.and(&condition, values);
        }
        self.of_entries(&filter.entries);
        self.one_of("kind", filter.kinds.iter().map(|kind| i64::from(kind_code(*kind)).into()));
        if let Some(run_id) = filter.run_id {
            self.and("id = ?", [Value::Blob(run_id.as_bytes().to_vec())]);
        }
        self.bound("time >= ?", filter.time.gte);
        self.bound("time <= ?", filter.time.lte);
        if !filter.fire_time.is_open() {
            // A callback belongs to no instant.
            self.and("entry IS NOT NULL", []);
        }
        // A change has no instant, and NULL compares with nothing.
        self.bound("last >= ?", filter.fire_time.gte);
        self.bound("first <= ?", filter.fire_time.lte);
        if query.sort.is_by_instant() {
            // It follows from the one above, and the index can use it.
            self.bound("coalesce(last, time) >= ?", filter.fire_time.gte);
        }
    }

    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self.values.extend(values);
    }

    fn bound(&mut self, condition: &str, value: Option<Timestamp>) {
        if let Some(value) = value {
            self.and(condition, [value.millis().into()]);
        }
    }

    fn one_of(&mut self, column: &str, values: impl ExactSizeIterator<Item = Value>) {
        if values.len() > 0 {
            self.and(&format!("{column} IN ({})", places(values.len())), values);
        }
    }

    /// Records of one of these entries, and those of callbacks, whose documents tell of which they are.
    fn of_entries(&mut self, entries: &BTreeSet<EntryName>) {
        if !entries.is_empty() {
            let callbacks = RUN_KINDS.map(|kind| kind_code(kind).to_string()).join(", ");
            let condition =
                format!("(entry IN ({}) OR entry IS NULL AND kind IN ({callbacks}))", places(entries.len()));
            self.and(&condition, entries.iter().map(|entry| entry.as_str().to_owned().into()));
        }
    }
}

fn places(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// How SQLite goes about the first page.
#[cfg(test)]
pub(super) fn plan(database: &Connection, query: &LogQuery) -> Vec<String> {
    let sql = Sql::of(query, i64::MAX, None);
    let mut explain = database.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.text)).unwrap();
    let steps = explain.query_map(params_from_iter(&sql.values), |row| row.get(3));
    steps.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}
