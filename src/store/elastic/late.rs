//! Changes that were stored after their task had been loaded by another node than their sender.
//!
//! Elasticsearch has no transaction over the lease and the task, so a write that takes long on its way is made although its sender
//! has lost the shard. Whoever takes a shard leaves a mark among the tasks: what was written after the mark and bears an epoch
//! before that of the mark came late.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Inner;
use super::bulk::{self, Op, Seen, Write, Written, first_failure};
use super::client::unavailable;
use super::task_document::{Hit, RevisionDocument, TASK, TaskDocument};
use super::tasks::PAGE_FIRST;
use crate::model::{Epoch, Identity, Lease, Revision, Shard, Timestamp};
use crate::store::StoreError;
use crate::store::late::{LATE_MAX, deferred};

const DOING: &str = "moving a change that was stored late";
/// The kind of a mark.
const TAKE: &str = "take";

/// That a shard was taken.
#[derive(Debug, Serialize, Deserialize)]
struct TakeMark {
    kind: String,
    shard: usize,
    /// Of the lease with which it was taken.
    epoch: u64,
}

fn mark_id(shard: Shard) -> String {
    format!("{TAKE}:{}", shard.index())
}

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
        let moved = TaskDocument { epoch: Some(epoch.0), ..moved(task, &states, since) };
        match self.write_state(identity, Some(seen), &moved).await? {
            Written::Done(_) => {}
            Written::Conflict => return Err(conflict()),
            Written::Later(why) | Written::Refused(why) => return Err(unavailable(DOING, why)),
        }
        let pasts = states.iter().filter(|state| state.number != moved.revision.number);
        let write = |state: &Revision| self.past_write(identity, since, RevisionDocument::of(state));
        self.write_pasts(pasts.map(write).collect()).await
    }

    pub(super) async fn settle_late(&self, leases: &[Lease], now: Timestamp) -> Result<usize, StoreError> {
        let ids = leases.iter().map(|lease| (&*self.names.tasks, mark_id(lease.shard)));
        let before = bulk::get_many::<TakeMark>(&self.client, DOING, ids).await?;
        let after = self.mark_takes(leases).await?;
        let marks = before.into_iter().flatten().map(|(seen, mark)| (mark, seen)).chain(after);
        let late = self.later_than(marks).await?;
        for task in &late {
            let Some(lease) = leases.iter().find(|lease| lease.shard.index() == task.shard) else { continue };
            let corrupt = |error: crate::model::NameError| StoreError::Corrupt {
                what: format!("task {:?}", task.identity),
                source: error.into(),
            };
            let identity = Identity::parse(&task.identity).map_err(corrupt)?;
            self.defer(&identity, lease.epoch, known_before(task), lease.claimed_through.min(now)).await?;
        }
        Ok(late.len())
    }

    /// Writes that these leases were taken.
    async fn mark_takes(&self, leases: &[Lease]) -> Result<Vec<(TakeMark, Seen)>, StoreError> {
        let mark = |lease: &Lease| TakeMark { kind: TAKE.into(), shard: lease.shard.index(), epoch: lease.epoch.0 };
        let write = |lease: &Lease| {
            let source = serde_json::to_vec(&mark(lease)).expect("a mark can be written as JSON").into();
            Write { index: self.names.tasks.clone(), id: mark_id(lease.shard), op: Op::Index, source }
        };
        let written = bulk::send(&self.client, DOING, false, &leases.iter().map(write).collect::<Vec<_>>()).await?;
        if let Some(why) = first_failure(&written) {
            return Err(unavailable(DOING, why));
        }
        let seen = |written: Written| match written {
            Written::Done(seen) => seen,
            Written::Conflict | Written::Refused(_) | Written::Later(_) => None,
        };
        Ok(leases.iter().zip(written).filter_map(|(lease, written)| Some((mark(lease), seen(written)?))).collect())
    }

    /// The tasks whose newest change was written after a mark, by who held the shard before it was taken.
    async fn later_than(&self, marks: impl Iterator<Item = (TakeMark, Seen)>) -> Result<Vec<TaskDocument>, StoreError> {
        let later = |(mark, seen): (TakeMark, Seen)| {
            json!({ "bool": { "filter": [
                { "term": { "shard": mark.shard } },
                { "range": { "epoch": { "lt": mark.epoch } } },
                { "range": { "_seq_no": { "gt": seen.seq_no } } },
            ] } })
        };
        let later: Vec<Value> = marks.map(later).collect();
        if later.is_empty() {
            return Ok(Vec::new());
        }
        let is_late = json!({ "bool": { "should": later } });
        let query = json!({ "bool": { "filter": [{ "term": { "kind": TASK } }, is_late] } });
        self.refresh(&self.names.tasks).await?;
        let (mut late, mut after) = (Vec::new(), None);
        loop {
            let found = self.task_page(&query, PAGE_FIRST, after, None).await?.1;
            let Some(last) = found.hits.hits.last() else { return Ok(late) };
            after = Some(last.sort.clone());
            late.extend(found.hits.hits.iter().map(Hit::task).collect::<Result<Vec<_>, _>>()?);
        }
    }
}

/// The number of the state that was in force before the newest change.
fn known_before(task: &TaskDocument) -> Option<u64> {
    if !task.in_force {
        return Some(task.revision.number);
    }
    let replaced = task.replaced.as_ref()?;
    // One that had ended before was not in force.
    (replaced.in_force_until == Some(task.changed_at)).then_some(replaced.number)
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
