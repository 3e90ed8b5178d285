//! The SQL of results. Each function works within the transaction of its caller.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::prune;
use super::statements::{Stored, reading, writing};
use crate::model::{RecordId, RunId, Timestamp};
use crate::store::Pruned;

pub(super) fn put_piece(database: &Connection, run: RunId, number: u32, bytes: &[u8]) -> Stored<()> {
    let run = RecordId::from(run);
    let known = "SELECT length(bytes) FROM results WHERE run_id = ?1 AND number = ?2";
    let mut known = database.prepare_cached(known).map_err(writing)?;
    let known: Option<i64> =
        known.query_row(params![run.as_bytes(), number], |row| row.get(0)).optional().map_err(writing)?;
    let put = "INSERT INTO results (run_id, number, bytes) VALUES (?1, ?2, ?3)
               ON CONFLICT (run_id, number) DO UPDATE SET bytes = excluded.bytes";
    let mut put = database.prepare_cached(put).map_err(writing)?;
    put.execute(params![run.as_bytes(), number, bytes]).map_err(writing)?;
    grow(database, bytes.len() as i64 - known.unwrap_or(0))
}

pub(super) fn piece(database: &Connection, run: RunId, number: u32) -> Stored<Option<Bytes>> {
    let sql = "SELECT bytes FROM results WHERE run_id = ?1 AND number = ?2";
    let mut select = database.prepare_cached(sql).map_err(reading)?;
    let read = |row: &Row<'_>| row.get::<_, Vec<u8>>(0).map(Bytes::from);
    select.query_row(params![RecordId::from(run).as_bytes(), number], read).optional().map_err(reading)
}

/// How many bytes all pieces have.
pub(super) fn bytes(database: &Connection) -> Stored<u64> {
    database.query_row("SELECT bytes FROM results_size", [], |row| row.get(0)).map_err(writing)
}

fn grow(database: &Connection, by: i64) -> Stored<()> {
    let mut grow = database.prepare_cached("UPDATE results_size SET bytes = bytes + ?1").map_err(writing)?;
    grow.execute([by]).map(drop).map_err(writing)
}

/// Deletes what is too old or too much, the oldest first; of a run its first piece first, so that a reader finds out at once.
pub(super) fn prune(database: &Connection, before: Timestamp, bytes_max: u64, step_max: usize) -> Stored<Pruned> {
    let sql = "SELECT rowid, run_id, length(bytes) FROM results ORDER BY run_id, number LIMIT ?1";
    let mut select = database.prepare_cached(sql).map_err(writing)?;
    let read = |row: &Row<'_>| {
        let run = RunId::from(RecordId::from_bytes(row.get(1)?));
        Ok((row.get::<_, i64>(0)?, run, row.get::<_, i64>(2)?))
    };
    let oldest: Vec<(i64, RunId, i64)> =
        select.query_map([step_max], read).and_then(Iterator::collect).map_err(writing)?;
    let all = i64::try_from(bytes(database)?).unwrap_or(i64::MAX);
    let max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let mut delete = database.prepare_cached("DELETE FROM results WHERE rowid = ?1").map_err(writing)?;
    let (mut deleted, mut gone) = (0, 0);
    for (row, run, len) in oldest {
        if run.instant() >= before && all - gone <= max {
            break;
        }
        delete.execute([row]).map_err(writing)?;
        deleted += 1;
        gone += len;
    }
    grow(database, -gone)?;
    if deleted > 0 {
        prune::vacuum(database)?;
    }
    Ok(Pruned { records: deleted as u64, more: deleted == step_max })
}
