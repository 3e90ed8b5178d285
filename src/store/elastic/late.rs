//! States that were stored after their task had been loaded by another node.

use super::Inner;
use super::bulk::Written;
use super::client::unavailable;
use super::task_document::{RevisionDocument, TaskDocument};
use crate::model::{Epoch, Identity, Revision, Shard, Timestamp};
use crate::store::StoreError;
use crate::store::late::{LATE_MAX, deferred};

const DOING: &str = "moving a change that was stored late";

impl Inner {
    pub(super) async fn defer(
        &self,
        identity: &Identity,
        epoch: Epoch,
        known: Option<u64>,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        self.clear_way(identity).await?;
        let standing = self.standing(identity).await?;
        let shard = Shard::of(identity);
        if standing.lease.is_none_or(|lease| lease.epoch != epoch.0) {
            return Err(StoreError::Fenced { shard, ours: epoch });
        }
        let conflict = || StoreError::Conflict { identity: identity.clone() };
        let (seen, task) = standing.task.ok_or_else(conflict)?;
        // Whoever sent the change may have died before this, and who loads the task next looks only at newer changes.
        self.repeat_page(vec![task.clone()]).await?;
        let states = self.history_of(identity, None, LATE_MAX).await?;
        if states.first().map(|newest| newest.number) != Some(task.revision.number) {
            return Err(conflict());
        }
        let states = deferred(states, known, since);
        let moved = moved(task, &states, since);
        match self.write_state(identity, Some(seen), &moved).await? {
            Written::Done(_) => {}
            Written::Conflict => return Err(conflict()),
            Written::Later(why) | Written::Refused(why) => return Err(unavailable(DOING, why)),
        }
        let pasts = states.iter().filter(|state| state.number != moved.revision.number);
        let write = |state: &Revision| self.past_write(identity, since, RevisionDocument::of(state));
        self.write_pasts(pasts.map(write).collect()).await
    }
}

/// The document of the newest state, with the moments that the states have now.
fn moved(task: TaskDocument, states: &[Revision], since: Timestamp) -> TaskDocument {
    let now = |old: RevisionDocument| {
        let state = states.iter().find(|state| state.number == old.number);
        state.map_or(old, RevisionDocument::of)
    };
    TaskDocument {
        changed_at: task.changed_at.max(since.millis()),
        revision: now(task.revision),
        replaced: task.replaced.map(now),
        ..task
    }
}
