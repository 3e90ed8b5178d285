//! Put, remove and switch. Each holds the task in the engine, writes the change, then lets the engine go on with it.

use std::future::Future;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::auditing::{After, Step, Told};
use super::{Catalog, CatalogError, Rooms};
use crate::dispatch::Cancelled;
use crate::engine::{Held, Settlement};
use crate::journal::{AskedBy, change_record};
use crate::model::{Identity, Masking, RecordKind, Revision, Shard, Task, Timestamp};
use crate::store::{Change, StoreError};

/// A task to put.
#[derive(Debug)]
pub struct Put {
    /// The definition, whole: it replaces an earlier one.
    pub task: Task,
    /// The switch.
    pub enabled: bool,
    /// The request for the history, its credentials masked.
    pub request: Box<RawValue>,
    /// Only if the revision in force has this number; 0: only if there is none.
    pub revision: Option<u64>,
    /// Who asks.
    pub by: Option<Arc<str>>,
    /// What its audit record says of who asks; `None`: there is none.
    pub asked_by: Option<Arc<AskedBy>>,
}

/// A task to switch on or off.
#[derive(Debug)]
pub struct Switch {
    /// The task.
    pub identity: Identity,
    /// Where the switch goes.
    pub enabled: bool,
    /// The request for the history.
    pub request: Box<RawValue>,
    /// Only if the revision in force has this number.
    pub revision: Option<u64>,
    /// Who asks.
    pub by: Option<Arc<str>>,
    /// What is said about it.
    pub note: Option<Arc<str>>,
    /// What its audit record says of who asks; `None`: there is none.
    pub asked_by: Option<Arc<AskedBy>>,
}

/// A task to delete.
#[derive(Debug)]
pub struct Removal {
    /// The task.
    pub identity: Identity,
    /// The request for the history.
    pub request: Box<RawValue>,
    /// Only if the revision in force has this number; 0: only if there is none.
    pub revision: Option<u64>,
    /// What its audit record says of who asks; `None`: there is none.
    pub asked_by: Option<Arc<AskedBy>>,
}

impl Catalog {
    /// Puts a task. Gives the number of its revision.
    pub async fn put(&self, put: Put) -> Result<u64, CatalogError> {
        self.put_in(None, put).await
    }

    /// Deletes a task. One that is unknown is fine, too.
    pub async fn remove(&self, removal: Removal) -> Result<(), CatalogError> {
        self.apart(move |rooms| async move {
            let is_free = removal.revision.is_none();
            again_if(is_free, || rooms.remove(&removal)).await
        })
        .await
    }

    /// Switches a task on or off. Gives the number of the revision that is in force then.
    pub async fn switch(&self, switch: Switch) -> Result<u64, CatalogError> {
        self.apart(move |rooms| async move {
            let is_free = switch.revision.is_none();
            again_if(is_free, || rooms.switch(&switch)).await
        })
        .await
    }

    /// Whether a task could be put that may hold masks of credentials.
    pub fn check_masks(&self, task: &mut Task) -> Result<(), CatalogError> {
        let current = self.rooms.get(&task.identity);
        keep_masked(task, current.as_deref(), self.rooms.journal.masking())
    }

    /// Whether the revision in force has this number; 0: whether there is none.
    pub fn check_revision(&self, identity: &Identity, known: u64) -> Result<(), CatalogError> {
        self.rooms.check(identity, Some(known))
    }

    /// Runs a change to its end even if the client that asked for it goes away in the middle.
    pub(super) async fn apart<T, F>(&self, change: impl FnOnce(Arc<Rooms>) -> F) -> Result<T, CatalogError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CatalogError>> + Send + 'static,
    {
        tokio::spawn(change(self.rooms.clone())).await.unwrap_or(Err(CatalogError::BrokeOff))
    }
}

/// Puts the credentials that are stored in the places of masks. One-shots are never read to be put back.
fn keep_masked(task: &mut Task, current: Option<&Revision>, masking: &Masking) -> Result<(), CatalogError> {
    if task.is_one_shot {
        return Ok(());
    }
    let unkept = task.keep_masked(current.map(|current| &*current.task), masking);
    let lines: Vec<String> = unkept.iter().map(ToString::to_string).collect();
    if lines.is_empty() { Ok(()) } else { Err(CatalogError::Masked(lines.join("\n"))) }
}

/// Makes a change once more if what is stored was another state than this node knew: it knows it by then. Whoever said which
/// revision it is about is told instead.
async fn again_if<T, F>(is_free: bool, change: impl Fn() -> F) -> Result<T, CatalogError>
where
    F: Future<Output = Result<T, CatalogError>>,
{
    match change().await {
        Err(CatalogError::Store(StoreError::Conflict { .. })) if is_free => change().await,
        done => done,
    }
}

impl Rooms {
    pub(super) async fn put(&self, put: Put) -> Result<u64, CatalogError> {
        let Put { mut task, enabled, request, revision, by, asked_by } = put;
        let identity = task.identity.clone();
        let held = self.engine.hold(&identity).await?;
        self.check(&identity, revision)?;
        let current = self.get(&identity);
        keep_masked(&mut task, current.as_deref(), self.journal.masking())?;
        if let Some(current) = current {
            task.follow(&current.task);
        }
        let task = Arc::new(task);
        let next = |since| Revision { enabled, by: by.clone(), ..Revision::new(task.clone(), since) };
        match self.put_held(held, next, &request, asked_by.as_ref()).await {
            Err(CatalogError::Store(StoreError::Conflict { .. })) if revision.is_none() => {
                let held = self.engine.hold(&identity).await?;
                self.put_held(held, next, &request, asked_by.as_ref()).await
            }
            done => done,
        }
    }

    async fn put_held(
        &self,
        held: Held,
        next: impl Fn(Timestamp) -> Revision,
        request: &RawValue,
        asked_by: Option<&Arc<AskedBy>>,
    ) -> Result<u64, CatalogError> {
        let next = next(held.since);
        let identity = next.task.identity.clone();
        // Whoever asked looked before the hold, and a hold may take long. Stored, it would name nothing, and go without a record.
        if next.task.is_one_shot && !next.names_any_after(held.since) {
            return Err(CatalogError::Passed);
        }
        let record = change_record(RecordKind::Put, &identity, &request, held.since);
        let before = self.get(&identity);
        let step =
            Step { identity: &identity, before: before.as_deref(), after: After::Shown(request), at: held.since };
        let told = self.told(record, asked_by, &step);
        self.replace(held, &identity, next, told).await
    }

    async fn switch(&self, switch: &Switch) -> Result<u64, CatalogError> {
        let Switch { identity, enabled, request, revision, by, note, asked_by } = switch;
        let (enabled, by, note) = (*enabled, by.clone(), note.clone());
        let held = self.engine.hold(identity).await?;
        let current = self.find(identity)?.ok_or(CatalogError::Unknown)?;
        self.check(identity, *revision)?;
        let record = change_record(RecordKind::Running, identity, request, held.since);
        let step = Step { identity, before: Some(&current), after: After::Switched(enabled), at: held.since };
        let told = self.told(record, asked_by.as_ref(), &step);
        if current.enabled == enabled {
            self.note(told).await?;
            return Ok(current.number);
        }
        let next = Revision { enabled, in_force_from: held.since, by, note, ..Revision::clone(&current) };
        self.replace(held, identity, next, told).await
    }

    async fn remove(&self, removal: &Removal) -> Result<(), CatalogError> {
        let held = self.engine.hold(&removal.identity).await?;
        self.check(&removal.identity, removal.revision)?;
        self.remove_held(held, removal).await
    }

    pub(super) async fn remove_held(&self, held: Held, removal: &Removal) -> Result<(), CatalogError> {
        let identity = &removal.identity;
        let record = change_record(RecordKind::Delete, identity, &removal.request, held.since);
        let current = self.find(identity)?;
        let step = Step { identity, before: current.as_deref(), after: After::Nothing, at: held.since };
        let told = self.told(record, removal.asked_by.as_ref(), &step);
        if current.is_none() {
            return self.note(told).await;
        }
        let (held, _) = self.write(held, identity, None, told).await?;
        self.set(identity, None);
        Ok(self.engine.settle(held, Settlement::Ended(Cancelled::Deleted)).await?)
    }

    /// Whether the revision in force is the one that the caller knows. Asked while the task is held, so that it stays so.
    fn check(&self, identity: &Identity, known: Option<u64>) -> Result<(), CatalogError> {
        let current = self.find(identity)?.map_or(0, |revision| revision.number);
        match known.filter(|&known| known != current) {
            Some(known) => Err(CatalogError::Outdated { known, current }),
            None => Ok(()),
        }
    }

    async fn replace(
        &self,
        held: Held,
        identity: &Identity,
        mut next: Revision,
        told: Told,
    ) -> Result<u64, CatalogError> {
        let (held, number) = self.write(held, identity, Some(next.clone()), told).await?;
        next.number = number;
        self.bring_into_force(held, identity, next).await?;
        Ok(number)
    }

    pub(super) async fn bring_into_force(
        &self,
        held: Held,
        identity: &Identity,
        next: Revision,
    ) -> Result<(), CatalogError> {
        let next = Arc::new(next);
        self.set(identity, Some(next.clone()));
        let settlement = if next.enabled { Settlement::Replaced(next) } else { Settlement::Ended(Cancelled::Stopped) };
        Ok(self.engine.settle(held, settlement).await?)
    }

    /// Only writes of a change that changes nothing.
    async fn note(&self, told: Told) -> Result<(), CatalogError> {
        let (record, audit, note_written) = told.into_parts();
        self.store.note(std::iter::once(record).chain(audit).collect()).await?;
        note_written();
        Ok(())
    }

    /// Makes a change durable, and gives the hold back: this node acts for the task still, so that it can bring the change into
    /// force and answer. A hold that is not given back is over, and the task is as it was, or as it is stored.
    pub(super) async fn write(
        &self,
        held: Held,
        identity: &Identity,
        next: Option<Revision>,
        told: Told,
    ) -> Result<(Held, u64), CatalogError> {
        let (shard, replaces) = (Shard::of(identity), self.get(identity).map(|current| current.number));
        let term = self.tenure.term(shard);
        let (epoch, at): (_, Timestamp) = (held.epoch, held.since);
        let (record, audit, note_written) = told.into_parts();
        let change = Change { identity: identity.clone(), replaces, epoch, at, next, record, audit };
        match self.store.change(change).await.inspect(|_| note_written()) {
            // It may have taken long: another node may have loaded the task, before this change or after it. Where only a sign of
            // life is missing nobody has.
            Ok(number) if self.tenure.may_act(shard, term).await => Ok((held, number)),
            Ok(_) => Err(CatalogError::BrokeOff),
            Err(conflict @ StoreError::Conflict { .. }) => {
                self.adopt_held(held, identity).await?;
                Err(conflict.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
