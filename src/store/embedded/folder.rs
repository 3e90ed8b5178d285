//! The folder: its lock, its file, its connections.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::store::{BoxError, FolderLock, StoreError};

const DATABASE: &str = "schedule.db";
/// How long a connection waits for another one's lock. Only checkpoints and the writer can meet, and only for moments.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of the file each connection may map into memory, in bytes.
const MAPPED_MAX: i64 = 256 * 1024 * 1024;
/// How much of the database the writer keeps in memory: with less, a full second of records is written to the disk twice.
const WRITER_CACHE_KIB: i64 = 32 * 1024;
/// How many prepared statements a connection keeps.
const STATEMENTS_MAX: usize = 64;

/// The folder of a store.
pub(super) struct Folder {
    path: PathBuf,
    /// Held until the store is closed.
    lock: Mutex<Option<FolderLock>>,
}

impl Folder {
    /// Makes the folder if there is none, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreError> {
        let lock = FolderLock::take(path).map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(Self { path: path.to_owned(), lock: Mutex::new(Some(lock)) })
    }

    /// A folder that holds a store, for reading.
    pub(super) fn existing(path: &Path) -> Result<Self, StoreError> {
        let database = path.join(DATABASE);
        if !database.is_file() {
            return Err(StoreError::Refused(format!("there is no store: no file {}", database.display())));
        }
        Ok(Self { path: path.to_owned(), lock: Mutex::new(None) })
    }

    /// Lets another process have the store.
    pub(super) fn unlock(&self) {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn is_locked(&self) -> bool {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn connect_for_writing(&self) -> Result<Connection, StoreError> {
        let database = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        // FULL: a commit returns after the log has reached the disk. That is what an `ok` promises.
        let set = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
                   PRAGMA temp_store = MEMORY;";
        database.execute_batch(set).map_err(unreadable)?;
        database.pragma_update(None, "cache_size", -WRITER_CACHE_KIB).map_err(unreadable)?;
        Ok(database)
    }

    pub(super) fn connect_for_reading(&self) -> Result<Connection, StoreError> {
        // Not SQLITE_OPEN_READ_ONLY: after a crash the first reader has to rebuild the index of the log.
        let database = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        database.execute_batch("PRAGMA query_only = ON").map_err(unreadable)?;
        Ok(database)
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        let path = self.path.join(DATABASE);
        let opened = Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let database = opened.map_err(|error| cannot("open", &path, &error))?;
        database.busy_timeout(BUSY_TIMEOUT).map_err(unreadable)?;
        database.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        database.pragma_update(None, "mmap_size", MAPPED_MAX).map_err(unreadable)?;
        Ok(database)
    }

    /// How many bytes the write-ahead log takes; 0 when there is none.
    pub(super) fn log_bytes(&self) -> u64 {
        fs::metadata(self.path.join(format!("{DATABASE}-wal"))).map_or(0, |log| log.len())
    }

    /// The bytes that the files take.
    pub(super) fn size(&self) -> Result<u64, StoreError> {
        let items = fs::read_dir(&self.path).map_err(|error| unavailable("measuring the store", error))?;
        let sizes = items.map(|item| item?.metadata().map(|metadata| metadata.len()));
        sizes.sum::<std::io::Result<u64>>().map_err(|error| unavailable("measuring the store", error))
    }
}

fn cannot(what: &str, path: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::Refused(format!("cannot {what} {}: {error} ([store] path)", path.display()))
}

fn unreadable(error: rusqlite::Error) -> StoreError {
    StoreError::Corrupt { what: "database".to_owned(), source: error.into() }
}

pub(super) fn unavailable(doing: &'static str, error: impl Into<BoxError>) -> StoreError {
    StoreError::Unavailable { doing, source: error.into() }
}
