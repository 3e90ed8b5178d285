//! Moves the write-ahead log into the database file, beside the writer and never in its way.

use std::sync::{Arc, Weak};
use std::time::Duration;

use log::warn;
use rusqlite::Connection;

use super::folder::{Folder, unavailable};
use crate::store::StoreError;

/// How often the log is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// A log of this many bytes is moved. PASSIVE: it waits for nobody, takes what it can, and the log is written from its
/// start again.
const BYTES_MIN: u64 = 4 * 1024 * 1024;
/// A log of this many bytes is also cut off; for that moment writers wait.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Starts the thread. It ends with the store.
pub(super) fn start(folder: &Arc<Folder>, database: Connection) -> Result<(), StoreError> {
    let folder = Arc::downgrade(folder);
    let work = move || run(&folder, &database);
    let spawned = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| unavailable("starting the checkpoints", error))
}

fn run(folder: &Weak<Folder>, database: &Connection) {
    // A thread of its own, not a task: SQLite blocks.
    while let Some(open) = folder.upgrade().filter(|folder| folder.is_locked()) {
        let bytes = open.log_bytes();
        drop(open);
        let mode = if bytes > BYTES_MAX { "TRUNCATE" } else { "PASSIVE" };
        if bytes > BYTES_MIN
            && let Err(error) = database.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
        {
            warn!("the write-ahead log could not be moved, the next turn tries again: {error}");
        }
        std::thread::sleep(EVERY);
    }
}
