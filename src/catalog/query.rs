//! Reading tasks and their history.

use std::sync::{Arc, PoisonError};

use super::{Catalog, CatalogError};
use crate::engine::EngineError;
use crate::model::{Entry, EntryName, Identity, Revision, Timestamp};
use crate::store::{Found, LogCursor, LogPage, LogQuery, Search, StoreError};

impl Catalog {
    /// The task as it is now.
    pub fn get(&self, identity: &Identity) -> Option<Arc<Revision>> {
        self.rooms.get(identity)
    }

    /// All identities, in order.
    pub fn identities(&self) -> Vec<Identity> {
        self.rooms.tasks.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.rooms.tasks.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next instant of an entry; `None` when it names none or its task is switched off.
    pub fn next_fire(&self, revision: &Revision, entry: &Entry) -> Option<Timestamp> {
        let now = self.rooms.clock.now().max(revision.in_force_from);
        revision.ticks(entry).next(now).filter(|_| revision.enabled)
    }

    /// The newest instant that each entry has fired since the task was put.
    pub async fn last_fires(&self, revision: &Revision) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let entries = &revision.task.entries;
        let unknown: Vec<&Entry> = entries.iter().filter(|entry| entry.last_fire.get().is_none()).collect();
        if !unknown.is_empty() {
            // Loaded from the store and not fired since: the journal knows, and is asked once.
            let names: Vec<&EntryName> = unknown.iter().map(|entry| &entry.name).collect();
            let stored = self.rooms.store.last_fires(&revision.task.identity, &names, revision.put_at).await?;
            for (entry, stored) in unknown.iter().zip(stored) {
                match stored {
                    Some(fire_time) => entry.last_fire.note(fire_time),
                    None => entry.last_fire.note_never(),
                }
            }
        }
        Ok(entries.iter().map(|entry| entry.last_fire.get().flatten()).collect())
    }

    /// Finds records of a task.
    pub async fn search(&self, search: Search) -> Result<Found, CatalogError> {
        Ok(self.rooms.store.search(search).await?)
    }

    /// Finds records of all tasks, a page after the one that gave the cursor.
    pub async fn search_logs(&self, query: LogQuery, after: Option<LogCursor>) -> Result<LogPage, CatalogError> {
        Ok(self.rooms.store.search_logs(query, after).await?)
    }

    /// Deletes the log of a task.
    pub async fn clear(&self, identity: &Identity) -> Result<(), CatalogError> {
        // What waits to be written was logged before the clear, too.
        self.rooms.journal.flush().await.map_err(|_| EngineError::Stopped)?;
        Ok(self.rooms.store.clear(identity, self.rooms.clock.now()).await?)
    }
}
