//! What follows from a change: its log document, and the state that it ended, each written where it belongs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use serde_json::json;

use super::Inner;
use super::bulk::{Op, Write, first_failure};
use super::client::unavailable;
use super::outbox::Consequence;
use super::task_document::{Hit, RevisionDocument, TASK, TaskDocument, past_id};
use super::tasks::PAGE_FIRST;
use crate::model::{Identity, Lease, Shard, ShardSet, Timestamp};
use crate::observe::with_causes;
use crate::store::{Change, StoreError};

const DOING: &str = "writing what follows from a change";

impl Inner {
    /// What an earlier change of the task left to be written comes first: the next change writes over it.
    pub(super) async fn clear_way(&self, identity: &Identity) -> Result<(), StoreError> {
        if self.outbox.is_full() {
            return Err(unavailable(DOING, "the log documents of too many changes wait to be written"));
        }
        if let Some((ticket, consequence)) = self.outbox.of_task(identity) {
            self.write_consequence(&consequence).await?;
            self.outbox.remove(ticket);
        }
        Ok(())
    }

    /// Writes what follows from a change that has happened; what cannot be written waits in the outbox.
    pub(super) async fn follow(&self, change: &Change, done: Option<TaskDocument>) {
        let replaced = done.and_then(|task| task.replaced);
        let consequence = Consequence {
            identity: change.identity.clone(),
            changed_at: change.at,
            past: replaced.map(|replaced| self.past_write(&change.identity, change.at, replaced)),
            records: std::iter::once(&change.record).chain(&change.audit).cloned().collect(),
        };
        let ticket = self.outbox.add(consequence.clone());
        match self.write_consequence(&consequence).await {
            Ok(()) => self.outbox.remove(ticket),
            Err(error) => {
                warn!(identity:% = change.identity.as_str(); "the log document of a change waits: {}", with_causes(&error));
                self.outbox_filled.notify_one();
            }
        }
    }

    /// A state whose end was moved is not overwritten by who still knows it as it was.
    pub(super) fn past_write(&self, identity: &Identity, changed_at: Timestamp, replaced: RevisionDocument) -> Write {
        let version = replaced.in_force_until.and_then(|until| u64::try_from(until).ok());
        let id = past_id(identity, replaced.number);
        let source = TaskDocument::past(identity, changed_at, replaced).to_bytes();
        Write { index: self.names.tasks.clone(), id, op: version.map_or(Op::Index, Op::Version), source }
    }

    async fn write_consequence(&self, consequence: &Consequence) -> Result<(), StoreError> {
        self.write_pasts(consequence.past.iter().cloned().collect()).await?;
        self.write_change_records(&consequence.records).await
    }

    /// Tries again what waits, until the store is closed.
    pub(super) async fn empty_outbox(self: Arc<Self>) {
        const PAUSE: Duration = Duration::from_millis(500);
        while !self.is_closed() {
            if self.outbox.is_empty() {
                self.outbox_filled.notified().await;
            }
            tokio::time::sleep(PAUSE).await;
            for (ticket, consequence) in self.outbox.all() {
                if self.write_consequence(&consequence).await.is_err() {
                    break;
                }
                self.outbox.remove(ticket);
            }
        }
    }

    /// Writes the consequences of changes that a crash may have kept from being written: of tasks that changed after their
    /// shard, one of these, was settled last.
    pub(super) async fn repeat_consequences(&self, shards: ShardSet, leases: &[Lease]) -> Result<(), StoreError> {
        let settled: HashMap<usize, i64> =
            leases.iter().map(|lease| (lease.shard.index(), lease.settled_through.millis())).collect();
        let since = settled.values().min().copied().unwrap_or_default();
        let numbers: Vec<usize> = shards.iter().map(Shard::index).collect();
        let query = json!({ "bool": { "filter": [
            { "term": { "kind": TASK } }, { "terms": { "shard": numbers } }, { "range": { "changed_at": { "gte": since } } },
        ] } });
        let (mut after, mut changes) = (None, 0);
        loop {
            let found = self.task_page(&query, PAGE_FIRST, after, None).await?.1;
            let Some(last) = found.hits.hits.last() else { break };
            after = Some(last.sort.clone());
            let mut tasks = found.hits.hits.iter().map(Hit::task).collect::<Result<Vec<_>, _>>()?;
            tasks.retain(|task| settled.get(&task.shard).is_none_or(|&settled| task.changed_at >= settled));
            changes += self.repeat_page(tasks).await?;
        }
        if changes > 0 {
            info!(changes; "the consequences of the newest changes are written");
        }
        Ok(())
    }

    pub(super) async fn repeat_page(&self, tasks: Vec<TaskDocument>) -> Result<usize, StoreError> {
        let (mut pasts, mut records, mut changes) = (Vec::new(), Vec::new(), 0);
        for task in tasks {
            let corrupt =
                |what: &str| StoreError::Corrupt { what: what.to_owned(), source: task.identity.clone().into() };
            let identity = Identity::parse(&task.identity).map_err(|_| corrupt("identity"))?;
            let Some(record) = &task.record else { continue };
            records.extend(record.to_records(&identity).ok_or_else(|| corrupt("log document"))?);
            changes += 1;
            let changed_at = Timestamp::from_millis(task.changed_at);
            pasts.extend(task.replaced.map(|replaced| self.past_write(&identity, changed_at, replaced)));
        }
        self.write_pasts(pasts).await?;
        self.write_change_records(&records).await?;
        Ok(changes)
    }

    pub(super) async fn write_pasts(&self, pasts: Vec<Write>) -> Result<(), StoreError> {
        if pasts.is_empty() {
            return Ok(());
        }
        let written = self.shared.write(DOING, pasts).await?;
        first_failure(&written).map_or(Ok(()), |why| Err(unavailable(DOING, why)))
    }
}
