//! Put, remove and switch. Each holds the task in the engine, writes the change, then lets the engine go on with it.

use std::future::Future;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Catalog, CatalogError, Rooms};
use crate::dispatch::Cancelled;
use crate::engine::{Held, Settlement};
use crate::journal::change_record;
use crate::model::{Identity, Record, RecordKind, Revision, Task, Timestamp};
use crate::store::Change;

/// A task to put.
#[derive(Debug)]
pub struct Put {
    /// The definition, whole: it replaces an earlier one.
    pub task: Task,
    /// The switch.
    pub enabled: bool,
    /// The request for the history, its credentials masked.
    pub request: Box<RawValue>,
}

impl Catalog {
    /// Puts a task.
    pub async fn put(&self, put: Put) -> Result<(), CatalogError> {
        self.apart(move |rooms| async move { rooms.put(put).await }).await
    }

    /// Deletes a task. One that is unknown is fine, too.
    pub async fn remove(&self, identity: Identity, request: Box<RawValue>) -> Result<(), CatalogError> {
        self.apart(move |rooms| async move { rooms.remove(&identity, &request).await }).await
    }

    /// Switches a task on or off.
    pub async fn switch(&self, identity: Identity, enabled: bool, request: Box<RawValue>) -> Result<(), CatalogError> {
        self.apart(move |rooms| async move { rooms.switch(&identity, enabled, &request).await }).await
    }

    /// Runs a change to its end even if the client that asked for it goes away in the middle.
    async fn apart<F>(&self, change: impl FnOnce(Arc<Rooms>) -> F) -> Result<(), CatalogError>
    where
        F: Future<Output = Result<(), CatalogError>> + Send + 'static,
    {
        tokio::spawn(change(self.rooms.clone())).await.unwrap_or(Err(CatalogError::BrokeOff))
    }
}

impl Rooms {
    async fn put(&self, put: Put) -> Result<(), CatalogError> {
        let identity = put.task.identity.clone();
        let held = self.engine.hold(&identity).await?;
        let next = Revision {
            task: Arc::new(put.task),
            number: 0,
            enabled: put.enabled,
            put_at: held.since,
            in_force_from: held.since,
            in_force_until: None,
        };
        let record = change_record(RecordKind::Put, &identity, &put.request, held.since);
        self.replace(held, &identity, next, record).await
    }

    async fn switch(&self, identity: &Identity, enabled: bool, request: &RawValue) -> Result<(), CatalogError> {
        let held = self.engine.hold(identity).await?;
        let current = self.get(identity).ok_or(CatalogError::Unknown)?;
        let record = change_record(RecordKind::Running, identity, &request, held.since);
        if current.enabled == enabled {
            return Ok(self.store.note(record).await?);
        }
        let next = Revision { enabled, in_force_from: held.since, ..Revision::clone(&current) };
        self.replace(held, identity, next, record).await
    }

    async fn remove(&self, identity: &Identity, request: &RawValue) -> Result<(), CatalogError> {
        let held = self.engine.hold(identity).await?;
        let record = change_record(RecordKind::Delete, identity, &request, held.since);
        if self.get(identity).is_none() {
            return Ok(self.store.note(record).await?);
        }
        self.write(&held, identity, None, record).await?;
        self.set(identity, None);
        Ok(self.engine.settle(held, Settlement::Ended(Cancelled::Deleted)).await?)
    }

    async fn replace(
        &self,
        held: Held,
        identity: &Identity,
        mut next: Revision,
        record: Record,
    ) -> Result<(), CatalogError> {
        next.number = self.write(&held, identity, Some(next.clone()), record).await?;
        let next = Arc::new(next);
        self.set(identity, Some(next.clone()));
        let settlement = if next.enabled { Settlement::Replaced(next) } else { Settlement::Ended(Cancelled::Stopped) };
        Ok(self.engine.settle(held, settlement).await?)
    }

    async fn write(
        &self,
        held: &Held,
        identity: &Identity,
        next: Option<Revision>,
        record: Record,
    ) -> Result<u64, CatalogError> {
        let replaces = self.get(identity).map(|current| current.number);
        let (epoch, at): (_, Timestamp) = (held.epoch, held.since);
        let change = Change { identity: identity.clone(), replaces, epoch, at, next, record };
        Ok(self.store.change(change).await?)
    }
}
