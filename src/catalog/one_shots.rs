//! Tasks of one request at one instant: they go when their only run has ended.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use log::warn;
use serde::Serialize;

use super::{Catalog, CatalogError, Rooms};
use crate::engine::Settlement;
use crate::journal::change_record;
use crate::model::{RecordKind, Revision};
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

    /// How many one-shot tasks there are.
    pub fn one_shots(&self) -> usize {
        self.rooms.tasks().one_shots
    }
}

impl Rooms {
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
        self.write(&held, identity, None, record).await?;
        self.set(identity, None);
        self.engine.settle(held, Settlement::Finished).await?;
        Ok(true)
    }
}
