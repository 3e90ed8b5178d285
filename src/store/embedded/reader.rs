//! Reading: a bounded pool of connections, each used by one blocking thread at a time.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc};

use super::folder::{Folder, unavailable};
use super::{runs, statements};
use crate::model::{Record, Revision, Shard, ShardSet, Timestamp};
use crate::store::StoreError;

/// How many reads run at once. Further ones wait.
const READS_MAX: usize = 4;
/// How many of them may be searches of all tasks' log documents: these may be long, and others must not wait for them.
const LONG_READS_MAX: usize = 2;
/// How many revisions make a page.
const PAGE_MAX: usize = 1_000;
/// How many pages are read ahead.
const PAGES_AHEAD_MAX: usize = 4;

/// Pages. The last one is followed by the end of the channel; an error ends it too.
pub(super) type Pages<T> = mpsc::Receiver<Result<Vec<T>, StoreError>>;

/// The pool. Cheap to clone.
#[derive(Clone)]
pub(super) struct Readers {
    folder: Arc<Folder>,
    places: Arc<Semaphore>,
    long_places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        let (places, long_places) = (Semaphore::new(READS_MAX).into(), Semaphore::new(LONG_READS_MAX).into());
        Self { folder, places, long_places, idle: Arc::default() }
    }

    /// Runs a read that may be long.
    pub(super) async fn read_long<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.long_places.clone().acquire_owned().await.map_err(|error| unavailable(doing, error))?;
        // The work holds the place: it goes on when nobody waits for it any more.
        let work = move |database: &Connection| {
            let _place = place;
            work(database)
        };
        self.read(doing, work).await
    }

    /// Runs a read on a connection of the pool.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.places.clone().acquire_owned().await.map_err(|error| unavailable(doing, error))?;
        let readers = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _place = place;
            let database = readers.take()?;
            let result = work(&database);
            readers.give_back(database);
            result
        });
        read.await.map_err(|error| unavailable(doing, error))?
    }

    pub(super) fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.folder.connect_for_reading(), Ok)
    }

    pub(super) fn give_back(&self, database: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(database);
    }

    /// Reads the revisions of these shards in pages.
    pub(super) fn revisions(&self, shards: ShardSet, ended_after: Timestamp) -> Pages<Revision> {
        self.pages((String::new(), 0), move |database, after| {
            let page = statements::revisions(database, shards, ended_after, after, PAGE_MAX)?;
            let place = page.last().map(|last| (last.task.identity.as_str().to_owned(), last.number));
            Ok(place.map(|place| (page, place)))
        })
    }

    /// Reads the runs of these shards that have not ended in pages.
    pub(super) fn unended(&self, shards: ShardSet) -> Pages<Record> {
        self.pages((i64::MIN, i64::MIN), move |database, after| {
            let read = runs::unended(database, *after)?;
            Ok(read.map(|(mut page, place)| {
                page.retain(|record| shards.contains(Shard::of(&record.identity)));
                (page, place)
            }))
        })
    }

    /// Reads in pages; `read` gives the one after a place and its own place, or none at the end. An empty one is left out.
    fn pages<T: Send + 'static, P: Send + 'static>(
        &self,
        begin: P,
        read: impl Fn(&Connection, &P) -> Result<Option<(Vec<T>, P)>, StoreError> + Send + 'static,
    ) -> Pages<T> {
        let (pages, receiver) = mpsc::channel(PAGES_AHEAD_MAX);
        let readers = self.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = readers.send_pages(begin, read, &pages) {
                // Who asked may have gone.
                let _ = pages.blocking_send(Err(error));
            }
        });
        receiver
    }

    fn send_pages<T, P>(
        &self,
        begin: P,
        read: impl Fn(&Connection, &P) -> Result<Option<(Vec<T>, P)>, StoreError>,
        pages: &mpsc::Sender<Result<Vec<T>, StoreError>>,
    ) -> Result<(), StoreError> {
        let database = self.take()?;
        // One view for all pages: what changes meanwhile is not seen in two states at once.
        let view = database.unchecked_transaction().map_err(statements::reading)?;
        let mut after = begin;
        while let Some((page, place)) = read(&database, &after)? {
            after = place;
            if !page.is_empty() && pages.blocking_send(Ok(page)).is_err() {
                break;
            }
        }
        view.finish().map_err(statements::reading)?;
        self.give_back(database);
        Ok(())
    }
}
