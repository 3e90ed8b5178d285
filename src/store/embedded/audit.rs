//! The SQL of the audit. Each function works within the transaction of its caller.

use rusqlite::{Connection, Row, params};

use super::prune;
use super::statements::{Stored, reading, writing};
use crate::model::Record;
use crate::store::{AuditRetention, Pruned};

/// The audit in the columns of the history: what reads one reads the other. 8 is the kind of audit records.
pub(super) const AS_HISTORY: &str = "(SELECT seq, id, identity, 8 AS kind, NULL AS entry, NULL AS first, NULL AS last,
    NULL AS count, time, source, NULL AS phase, 0 AS dead_letter FROM audit) AS history";

/// Writes a record, if it is not there.
pub(super) fn append(database: &Connection, record: &Record) -> Stored<()> {
    let sql = "INSERT INTO audit (id, identity, time, source) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING";
    let mut insert = database.prepare_cached(sql).map_err(writing)?;
    let Record { id, identity, time, source, .. } = record;
    let values = params![id.as_bytes(), identity.as_str(), time.millis(), &**source];
    if insert.execute(values).map_err(writing)? > 0 { grow(database, source.len() as i64) } else { Ok(()) }
}

/// How many bytes all documents have.
pub(super) fn bytes(database: &Connection) -> Stored<u64> {
    database.query_row("SELECT bytes FROM audit_size", [], |row| row.get(0)).map_err(reading)
}

fn grow(database: &Connection, by: i64) -> Stored<()> {
    let mut grow = database.prepare_cached("UPDATE audit_size SET bytes = bytes + ?1").map_err(writing)?;
    grow.execute([by]).map(drop).map_err(writing)
}

/// Deletes what is too old or too much, the oldest first.
pub(super) fn prune(database: &Connection, retention: AuditRetention) -> Stored<Pruned> {
    let sql = "SELECT seq, time, length(CAST(source AS BLOB)) FROM audit ORDER BY time, seq LIMIT ?1";
    let mut select = database.prepare_cached(sql).map_err(writing)?;
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let oldest: Vec<(i64, i64, i64)> =
        select.query_map([retention.step_max], read).and_then(Iterator::collect).map_err(writing)?;
    let all = i64::try_from(bytes(database)?).unwrap_or(i64::MAX);
    let max = i64::try_from(retention.bytes_max).unwrap_or(i64::MAX);
    let mut delete = database.prepare_cached("DELETE FROM audit WHERE seq = ?1").map_err(writing)?;
    let (mut deleted, mut gone) = (0, 0);
    for (seq, time, len) in oldest {
        if time >= retention.before.millis() && all - gone <= max {
            break;
        }
        delete.execute([seq]).map_err(writing)?;
        deleted += 1;
        gone += len;
    }
    if deleted > 0 {
        grow(database, -gone)?;
        prune::vacuum(database)?;
    }
    Ok(Pruned { records: deleted as u64, more: deleted == retention.step_max })
}
