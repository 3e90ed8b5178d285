//! Tasks of one request at one instant: they go when their only run has ended.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use log::warn;
use serde::Serialize;

use super::auditing::Told;
use super::{Catalog, CatalogError, Removal, Rooms};
use crate::dispatch::{Cancelled, TakenBack};
use crate::engine::{EngineError, Settlement};
use crate::journal::change_record;
use crate::model::{Entry, RecordKind, Revision, RunId, Timestamp};
use crate::observe::with_causes;

/// How many are removed in one sweep. At one sweep a second this is far more than fire.
const SWEPT_MAX: usize = 10_000;
/// How many removals are under way at once: the store writes what waits together.
const AT_ONCE: usize = 64;

/// The log document of a removal that nobody asked for.
#[derive(Serialize)]
struct Finished<'a> {
    identity: &'a str,
    reason: &'static str,
}

impl Catalog {
    /// Removes the one-shot tasks whose run has its durable outcome. Gives how many. It looks only at those that are finished.
    pub async fn sweep(&self) -> usize {
        let finished = self.rooms.engine.take_finished(SWEPT_MAX);
        let removals = stream::iter(finished).map(|revision| {
            let rooms = self.rooms.clone();
            async move {
                let removed = rooms.remove_finished(&revision).await;
                (revision, removed)
            }
        });
        let ended: Vec<(Arc<Revision>, _)> = removals.buffer_unordered(AT_ONCE).collect().await;
        let gone = ended.iter().filter(|(_, removed)| matches!(removed, Ok(true))).count();
        let left: Vec<_> = ended.into_iter().filter(|(_, removed)| removed.is_err()).collect();
        if let Some((revision, Err(error))) = left.first() {
            let (tasks, identity, why) = (left.len(), revision.task.identity.as_str(), with_causes(error));
            warn!(tasks, identity; "one-shots that have ended cannot be removed yet: {why}");
        }
        self.rooms.engine.give_back_finished(left.into_iter().map(|(revision, _)| revision).collect());
        gone
    }

    /// Deletes a one-shot of which nothing was sent. `false`: it was sent, or has its outcome, and nothing is changed.
    pub async fn cancel_one_shot(&self, removal: Removal) -> Result<bool, CatalogError> {
        self.apart(move |rooms| async move { rooms.cancel_one_shot(removal).await }).await
    }

    /// How many one-shot tasks there are.
    pub fn one_shots(&self) -> usize {
        self.rooms.tasks().one_shots
    }
}

impl Rooms {
    async fn cancel_one_shot(&self, removal: Removal) -> Result<bool, CatalogError> {
        let held = self.engine.hold(&removal.identity).await?;
        let current = self.find(&removal.identity)?.filter(|current| current.task.is_one_shot);
        let current = current.ok_or(CatalogError::Unknown)?;
        // While it is held nothing of it is handed out: what is to come stays so.
        let is_free = current.names_any_after(held.since) || self.take_back(&current).await?;
        if is_free {
            self.remove_held(held, &removal).await?;
        }
        Ok(is_free)
    }

    /// Gives up the only run of a one-shot whose instant has come. `false`: it is too late for that.
    async fn take_back(&self, revision: &Revision) -> Result<bool, CatalogError> {
        for entry in &revision.task.entries {
            let Some(instant) = revision.instants(entry).latest(revision.in_force_from, Timestamp::FAR_FUTURE) else {
                continue;
            };
            let run_id = RunId::planned(&revision.task.identity, &entry.name, instant);
            let why = Cancelled::Deleted.as_str().to_owned();
            let is_free = match self.dispatch.take_back(run_id, why).await.map_err(|_| EngineError::Stopped)? {
                TakenBack::Yes => true,
                TakenBack::TooLate => false,
                // It has ended; or it stands aside to be caught up, or was switched off when its instant came.
                TakenBack::Unknown => !self.has_ended(revision, entry, instant, run_id).await?,
            };
            if !is_free {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an instant of which dispatch holds no run has its outcome, be it on its way to the store.
    async fn has_ended(
        &self,
        revision: &Revision,
        entry: &Entry,
        instant: Timestamp,
        run_id: RunId,
    ) -> Result<bool, CatalogError> {
        let identity = &revision.task.identity;
        if self.journal.unsettled().is_open(revision.shard(), instant) {
            return Ok(true);
        }
        // What was just written is found by its name at once, and by a search perhaps later.
        if self.store.run(identity, run_id).await?.is_some_and(|record| record.kind.is_fire()) {
            return Ok(true);
        }
        let before = Timestamp::from_millis(instant.millis() - 1);
        let outcomes = self.store.outcomes(&[(identity.clone(), entry.name.clone())], before).await?;
        Ok(outcomes.iter().flatten().any(|outcome| outcome.stretch.first <= instant))
    }

    /// `false`: somebody was first.
    async fn remove_finished(&self, finished: &Arc<Revision>) -> Result<bool, CatalogError> {
        let identity = &finished.task.identity;
        let held = self.engine.hold(identity).await?;
        let is_same = |current: &Arc<Revision>| current.number == finished.number && current.task.is_one_shot;
        if !self.get(identity).as_ref().is_some_and(is_same) {
            return Ok(false);
        }
        let document = Finished { identity: identity.as_str(), reason: "finished" };
        let record = change_record(RecordKind::Delete, identity, &document, held.since);
        let (held, _) = self.write(held, identity, None, Told::unasked(record)).await?;
        self.set(identity, None);
        self.engine.settle(held, Settlement::Finished).await?;
        Ok(true)
    }
}
