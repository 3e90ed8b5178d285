//! Tables, and the steps from one version of them to the next.

use log::info;
use rusqlite::{Connection, TransactionBehavior};

use crate::store::{BoxError, StoreError};

/// Marks the file as ours: "schd".
const APPLICATION_ID: i32 = 0x7363_6864;

/// Step n leads from version n to n + 1. A step that was released is never changed.
const MIGRATIONS: &[&str] = &["
CREATE TABLE revisions (
    identity TEXT NOT NULL,
    number INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    put_at INTEGER NOT NULL,
    in_force_from INTEGER NOT NULL,
    in_force_until INTEGER,
    document TEXT NOT NULL,
    PRIMARY KEY (identity, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX revisions_in_force ON revisions (identity) WHERE in_force_until IS NULL;
CREATE INDEX revisions_ended ON revisions (in_force_until) WHERE in_force_until IS NOT NULL;

CREATE TABLE leases (
    shard INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    claimed_through INTEGER NOT NULL,
    settled_through INTEGER NOT NULL
);

-- entry, first, last and count are NULL for put, delete and running.
CREATE TABLE history (
    -- Never used again: the mark of a clear hides every row up to it.
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    identity TEXT NOT NULL,
    kind INTEGER NOT NULL,
    entry TEXT,
    first INTEGER,
    last INTEGER,
    count INTEGER,
    time INTEGER NOT NULL,
    source TEXT NOT NULL
);
-- A record's id is a function of these three where they are given: so the same run is never recorded twice.
CREATE UNIQUE INDEX history_run ON history (identity, entry, last) WHERE entry IS NOT NULL;
CREATE INDEX history_time ON history (identity, time);

-- Until when, and up to which row, the history of a task was deleted; the empty identity stands for all.
CREATE TABLE deletions (
    identity TEXT PRIMARY KEY,
    through INTEGER NOT NULL,
    seq INTEGER NOT NULL
) WITHOUT ROWID;
", "
-- A page of all tasks' log documents begins at its place. Without these each page would read the whole history: 200 ms for
-- 400,000 records, in place of 0.1 ms. They cost 3% of the file and 5% of the time of an insert.
CREATE INDEX history_recorded ON history (time);
CREATE INDEX history_instant ON history (coalesce(last, time));
", "
-- The phase of a run, and whether it failed for good and nobody has dealt with it. Where phase is NULL, what was fired has
-- ended: so it is in rows of earlier versions. A run that somebody asked for has an entry and its instant as first and last,
-- but no count: it is the outcome of no instant.
ALTER TABLE history ADD COLUMN phase INTEGER;
ALTER TABLE history ADD COLUMN dead_letter INTEGER NOT NULL DEFAULT 0;

-- A run is found by its id. Ids begin with the instant, so they are inserted side by side.
DELETE FROM history WHERE entry IS NULL
    AND seq NOT IN (SELECT max(seq) FROM history WHERE entry IS NULL GROUP BY id);
CREATE UNIQUE INDEX history_id ON history (id);
-- No longer unique: an instant may have an outcome and be the moment at which somebody asked for a run. With the kind, runs
-- are counted without their rows.
DROP INDEX history_run;
CREATE INDEX history_run ON history (identity, entry, last, kind) WHERE entry IS NOT NULL;
-- 7 is the kind of runs that have not ended.
CREATE INDEX history_started ON history (last) WHERE kind = 7;
CREATE INDEX history_dead_letters ON history (last) WHERE dead_letter = 1;

ALTER TABLE revisions ADD COLUMN \"by\" TEXT;
ALTER TABLE revisions ADD COLUMN note TEXT;

-- One row, or none while nothing was ever paused.
CREATE TABLE pauses (
    version INTEGER NOT NULL,
    document TEXT NOT NULL
);

-- Bodies of answers, in pieces.
CREATE TABLE results (
    run_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (run_id, number)
);
-- How many bytes all pieces have: a sum would read them all.
CREATE TABLE results_size (
    bytes INTEGER NOT NULL
);
INSERT INTO results_size (bytes) VALUES (0);
", "
-- What nodes have agreed on: one row, or none before the first.
CREATE TABLE register (
    version INTEGER NOT NULL,
    text TEXT NOT NULL
);
", "
-- Texts that all nodes share, by name. The one that stood alone is what nodes have agreed on.
CREATE TABLE registers (
    name TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    text TEXT NOT NULL
);
INSERT INTO registers (name, version, text) SELECT 'cluster', version, text FROM register;
DROP TABLE register;
", "
-- Who did what. Apart from the history: no clear and no limit of the history reaches it, and no search of a task's log.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    -- Empty for what concerns no task.
    identity TEXT NOT NULL,
    time INTEGER NOT NULL,
    source TEXT NOT NULL
);
CREATE INDEX audit_time ON audit (time);
CREATE INDEX audit_identity ON audit (identity, time);
-- How many bytes all documents have: a sum would read them all.
CREATE TABLE audit_size (
    bytes INTEGER NOT NULL
);
INSERT INTO audit_size (bytes) VALUES (0);
"];

/// Brings a database to the newest version. A file that is not ours, or is newer than this program, is refused.
pub(super) fn migrate(database: &mut Connection) -> Result<(), StoreError> {
    let version = known_version(database)?;
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    if version > 0 {
        info!(from = version, to = MIGRATIONS.len(); "the tables of the store are brought to a newer version, a large history takes minutes");
    }
    let stepped = step_up(database, version, MIGRATIONS.len());
    stepped.map_err(|source| StoreError::Unavailable { doing: "preparing the tables", source: source.into() })
}

/// From one version to another, or not at all.
pub(super) fn step_up(database: &mut Connection, from: usize, to: usize) -> rusqlite::Result<()> {
    if from == 0 {
        // Takes effect only before the first table.
        database.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in &MIGRATIONS[from..to] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()
}

/// The version of the tables, 0 for an empty file.
pub(super) fn known_version(database: &Connection) -> Result<usize, StoreError> {
    let read =
        read_marks(database).map_err(|error| StoreError::Corrupt { what: "database".to_owned(), source: error })?;
    let (application_id, version, tables) = read;
    if application_id != APPLICATION_ID && (application_id != 0 || tables > 0) {
        let text = "the database file belongs to another program, set [store] path to another folder";
        return Err(StoreError::Refused(text.to_owned()));
    }
    if version > MIGRATIONS.len() {
        return Err(StoreError::Refused(format!(
            "the store was written by a newer version of this program (format {version}, this program knows {}), \
             use that version or set [store] path to another folder",
            MIGRATIONS.len()
        )));
    }
    Ok(version)
}

fn read_marks(database: &Connection) -> Result<(i32, usize, usize), BoxError> {
    let application_id = database.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = database.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    Ok((application_id, usize::try_from(version)?, usize::try_from(tables)?))
}
