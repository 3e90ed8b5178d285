//! The SQL of retention. Each function works within the transaction of its caller. A run that has not ended (kind 7) is never
//! deleted: a start has to find it.

use rusqlite::{Connection, Row, params};

use super::statements::{ALL_TASKS, Stored, writing};
use super::{audit, results};
use crate::model::Timestamp;
use crate::store::{Pruned, Retention};

/// How many free pages one step of pruning gives back to the system.
const VACUUMED_MAX: usize = 512;

pub(super) fn prune(database: &Connection, retention: Retention, settled_through: Timestamp) -> Stored<Pruned> {
    let cleared = prune_cleared(database, retention.step_max, settled_through)?;
    // Results and the audit have limits of their own.
    let others = results::bytes(database)? + audit::bytes(database)?;
    let is_too_large = used_bytes(database)?.saturating_sub(others) > retention.bytes_max;
    let before = if is_too_large { Timestamp::FAR_FUTURE } else { retention.before };
    let old = prune_old(database, before, retention.step_max, settled_through)?;
    if cleared + old > 0 {
        vacuum(database)?;
    }
    let more = cleared == retention.step_max || old == retention.step_max;
    Ok(Pruned { records: (cleared + old) as u64, more })
}

/// Gives some free pages back to the system.
pub(super) fn vacuum(database: &Connection) -> Stored<()> {
    let sql = format!("PRAGMA incremental_vacuum({VACUUMED_MAX})");
    let mut vacuum = database.prepare(&sql).map_err(writing)?;
    let mut rows = vacuum.query([]).map_err(writing)?;
    // Each step of the statement gives one page back.
    while rows.next().map_err(writing)?.is_some() {}
    Ok(())
}

/// Deletes rows that a clear has hidden. Once none is left its mark is lifted: it would be looked for at every turn.
fn prune_cleared(database: &Connection, max: usize, settled_through: Timestamp) -> Stored<usize> {
    let sql = "DELETE FROM history WHERE seq IN (
                   SELECT history.seq FROM deletions JOIN history ON history.identity = deletions.identity
                   WHERE deletions.seq > 0 AND history.seq <= deletions.seq AND (count IS NULL OR last <= ?1)
                   AND kind <> 7 LIMIT ?2)";
    let mut delete = database.prepare_cached(sql).map_err(writing)?;
    let deleted = delete.execute(params![settled_through.millis(), max]).map_err(writing)?;
    if deleted < max {
        // What a clear has hidden was recorded before it, so its instants were settled up to then. Runs may go on for longer.
        let lift = "UPDATE deletions SET seq = 0 WHERE seq > 0 AND through <= ?1 AND NOT EXISTS (
                        SELECT 1 FROM history WHERE kind = 7 AND history.identity = deletions.identity
                        AND history.seq <= deletions.seq)";
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
    let sql = "SELECT seq, time FROM (SELECT seq, time, count, last FROM history WHERE kind <> 7 ORDER BY seq LIMIT ?1)
               WHERE time < ?2 AND (count IS NULL OR last <= ?3)";
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
