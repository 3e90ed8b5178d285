//! Reading tasks and their history.

use std::ops::Bound;
use std::sync::Arc;

use super::{Catalog, CatalogError};
use crate::engine::EngineError;
use crate::model::{Entry, EntryName, Identity, Revision, ShardSet, Timestamp};
use crate::store::{Found, LogCursor, LogPage, LogQuery, Search, StoreError};

/// Tasks that stand beside each other.
pub struct Slice {
    /// Of which shards they are.
    pub shards: ShardSet,
    /// In the order of their identities.
    pub tasks: Vec<Arc<Revision>>,
    /// Up to here there are no others of these shards; `None`: to the end.
    pub through: Option<Identity>,
}

impl Catalog {
    /// The task as it is now.
    pub fn get(&self, identity: &Identity) -> Option<Arc<Revision>> {
        self.rooms.get(identity)
    }

    /// The time that decides which instants have passed.
    pub fn now(&self) -> Timestamp {
        self.rooms.clock.now()
    }

    /// Of which shards this node has all tasks.
    pub fn shards(&self) -> ShardSet {
        self.rooms.tasks().shards
    }

    /// Looks at up to `max` tasks and one-shots of some shards in the order of their identities: those that begin with `prefix` and
    /// stand after `after`.
    pub fn page(&self, shards: ShardSet, prefix: &str, after: Option<&str>, max: usize) -> Slice {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let tasks = self.rooms.tasks();
        let shards: ShardSet = shards.iter().filter(|shard| tasks.shards.contains(*shard)).collect();
        let from = tasks.all.range::<str, _>((from, Bound::Unbounded));
        let with_prefix = from.take_while(|(identity, _)| identity.as_str().starts_with(prefix));
        let seen: Vec<&Arc<Revision>> = with_prefix.take(max).map(|(_, revision)| revision).collect();
        let last = seen.last().filter(|_| seen.len() == max);
        let through = last.map(|revision| revision.task.identity.clone());
        let is_wanted = |revision: &&&Arc<Revision>| shards == ShardSet::ALL || shards.contains(revision.shard());
        Slice { shards, tasks: seen.iter().filter(is_wanted).map(|revision| (*revision).clone()).collect(), through }
    }

    /// How many tasks there are, without one-shots.
    pub fn len(&self) -> usize {
        let tasks = self.rooms.tasks();
        tasks.all.len() - tasks.one_shots
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next instant of an entry; `None` when it names none or its task is switched off.
    pub fn next_fire(&self, revision: &Revision, entry: &Entry) -> Option<Timestamp> {
        let now = self.rooms.clock.now().max(revision.in_force_from);
        revision.instants(entry).next(now).filter(|_| revision.enabled)
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

    /// The states of a task, newest first, those with a number below `before`, at most `max`. The task may be deleted.
    pub async fn versions(
        &self,
        identity: &Identity,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Revision>, CatalogError> {
        Ok(self.rooms.store.history_of(identity, before, max).await?)
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
