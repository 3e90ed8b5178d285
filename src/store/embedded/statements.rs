//! The SQL of tasks, leases and the register. Each function works within the transaction of its caller.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::folder::unavailable;
use super::history;
use crate::model::{Claim, Epoch, Identity, Lease, Pauses, Revision, Shard, ShardSet, Timestamp};
use crate::store::late::{LATE_MAX, deferred};
use crate::store::{BoxError, Change, RegisterName, Registered, StoreError};
use crate::store::{document, pause_document};

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
    let Change { identity, replaces, epoch, at, next, record, audit } = change;
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
    history::append(database, std::slice::from_ref(record))?;
    history::append(database, audit.as_slice())?;
    Ok(number)
}

pub(super) fn defer(
    database: &Connection,
    identity: &Identity,
    epoch: Epoch,
    known: Option<u64>,
    since: Timestamp,
) -> Stored<()> {
    check_epoch(database, Shard::of(identity), epoch)?;
    let sql =
        "UPDATE revisions SET put_at = ?3, in_force_from = ?4, in_force_until = ?5 WHERE identity = ?1 AND number = ?2";
    let mut update = database.prepare_cached(sql).map_err(writing)?;
    for state in deferred(history_of(database, identity, None, LATE_MAX)?, known, since) {
        let until = state.in_force_until.map(Timestamp::millis);
        let values =
            params![identity.as_str(), state.number, state.put_at.millis(), state.in_force_from.millis(), until];
        update.execute(values).map_err(writing)?;
    }
    Ok(())
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
    let sql = "INSERT INTO revisions (identity, number, shard, enabled, put_at, in_force_from, document, \"by\", note)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut insert = database.prepare_cached(sql).map_err(writing)?;
    let values = params![
        identity,
        number,
        next.shard().index(),
        next.enabled,
        next.put_at.millis(),
        next.in_force_from.millis(),
        document::write(&next.task),
        next.by.as_deref(),
        next.note.as_deref(),
    ];
    insert.execute(values).map_err(writing)?;
    Ok(number)
}

/// What [`revision`] reads, in this order.
pub(super) const REVISION: &str =
    "identity, number, enabled, put_at, in_force_from, in_force_until, document, \"by\", note";

/// A page of the revisions of these shards, in the order of identity and number, after the one given.
pub(super) fn revisions(
    database: &Connection,
    shards: ShardSet,
    ended_after: Timestamp,
    after: &(String, u64),
    max: usize,
) -> Stored<Vec<Revision>> {
    let sql = format!(
        "SELECT {REVISION} FROM revisions
         WHERE (identity, number) > (?1, ?2) AND (in_force_until IS NULL OR in_force_until > ?3)
             AND (?4 >> shard) & 1
         ORDER BY identity, number LIMIT ?5"
    );
    let bits = shards.bits().cast_signed();
    read_revisions(database, &sql, params![after.0, after.1, ended_after.millis(), bits, max])
}

/// The states of one task with a number below one, newest first.
pub(super) fn history_of(
    database: &Connection,
    identity: &Identity,
    before: Option<u64>,
    max: usize,
) -> Stored<Vec<Revision>> {
    let sql =
        format!("SELECT {REVISION} FROM revisions WHERE identity = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3");
    let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
    read_revisions(database, &sql, params![identity.as_str(), before, max])
}

fn read_revisions(database: &Connection, sql: &str, values: &[&dyn ToSql]) -> Stored<Vec<Revision>> {
    let mut select = database.prepare_cached(sql).map_err(reading)?;
    let mut rows = select.query(values).map_err(reading)?;
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
            by: row.get::<_, Option<String>>(7)?.map(Into::into),
            note: row.get::<_, Option<String>>(8)?.map(Into::into),
        })
    };
    rest().map_err(reading)
}

pub(super) fn forget_revisions(database: &Connection, before: Timestamp) -> Stored<u64> {
    let forgotten = database.execute("DELETE FROM revisions WHERE in_force_until < ?1", [before.millis()]);
    forgotten.map(|count| count as u64).map_err(writing)
}

pub(super) fn pauses(database: &Connection) -> Stored<Pauses> {
    let sql = "SELECT version, document FROM pauses";
    let read = |row: &Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?));
    let Some((version, text)) = database.query_row(sql, [], read).optional().map_err(reading)? else {
        return Ok(Pauses::default());
    };
    pause_document::read(version, &text).map_err(|error| corrupt("pauses", error))
}

/// Writes pauses over those of the version before.
pub(super) fn set_pauses(database: &Connection, next: &Pauses) -> Stored<bool> {
    let is_next = next.version == pauses(database)?.version + 1;
    if is_next {
        write_pauses(database, next)?;
    }
    Ok(is_next)
}

pub(super) fn write_pauses(database: &Connection, pauses: &Pauses) -> Stored<()> {
    database.execute("DELETE FROM pauses", []).map_err(writing)?;
    let sql = "INSERT INTO pauses (version, document) VALUES (?1, ?2)";
    database.execute(sql, params![pauses.version, pause_document::write(pauses)]).map(drop).map_err(writing)
}

pub(super) fn register(database: &Connection, name: RegisterName) -> Stored<Option<Registered>> {
    let read = |row: &Row<'_>| Ok(Registered { version: row.get(0)?, text: row.get(1)? });
    let sql = "SELECT version, text FROM registers WHERE name = ?1";
    database.query_row(sql, [name.as_str()], read).optional().map_err(reading)
}

/// Writes a register over the version before.
pub(super) fn set_register(database: &Connection, name: RegisterName, next: &Registered) -> Stored<bool> {
    let version = register(database, name)?.map_or(0, |stands| stands.version);
    if version.checked_add(1) != Some(next.version) {
        return Ok(false);
    }
    write_register(database, name, next).map(|()| true)
}

/// Writes a register, whatever stands there.
pub(super) fn write_register(database: &Connection, name: RegisterName, next: &Registered) -> Stored<()> {
    let sql = "INSERT OR REPLACE INTO registers (name, version, text) VALUES (?1, ?2, ?3)";
    database.execute(sql, params![name.as_str(), next.version, next.text]).map(drop).map_err(writing)
}

pub(super) fn take(database: &Connection, shards: ShardSet, owner: &str) -> Stored<Vec<Lease>> {
    let sql = "INSERT INTO leases (shard, owner, epoch, claimed_through, settled_through) VALUES (?1, ?2, 1, 0, 0)
               ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, epoch = epoch + 1";
    let mut take = database.prepare_cached(sql).map_err(writing)?;
    for shard in shards.iter() {
        take.execute(params![shard.index(), owner]).map_err(writing)?;
    }
    let mut taken = leases(database)?;
    taken.retain(|lease| shards.contains(lease.shard));
    Ok(taken)
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
