//! Reading tasks and their history.

use std::sync::{Arc, PoisonError};

use super::{Catalog, CatalogError};
use crate::engine::EngineError;
use crate::model::{Entry, Identity, Revision, Timestamp};
use crate::store::{Found, Search, StoreError};

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

    /// The newest instant that an entry has fired since it was put.
    pub async fn last_fire(&self, revision: &Revision, entry: &Entry) -> Result<Option<Timestamp>, StoreError> {
        if let Some(known) = entry.last_fire.get() {
            return Ok(known);
        }
        // Loaded from the store and not fired since: the journal knows, and is asked once.
        let stored = self.rooms.store.last_fire(&revision.task.identity, &entry.name, revision.put_at).await?;
        match stored {
            Some(fire_time) => entry.last_fire.note(fire_time),
            None => entry.last_fire.note_never(),
        }
        Ok(entry.last_fire.get().flatten())
    }

    /// Finds records of a task.
    pub async fn search(&self, search: Search) -> Result<Found, CatalogError> {
        Ok(self.rooms.store.search(search).await?)
    }

    /// Deletes the log of a task.
    pub async fn clear(&self, identity: &Identity) -> Result<(), CatalogError> {
        // What waits to be written was logged before the clear, too.
        self.rooms.journal.flush().await.map_err(|_| EngineError::Stopped)?;
        Ok(self.rooms.store.clear(identity, self.rooms.clock.now()).await?)
    }
}
