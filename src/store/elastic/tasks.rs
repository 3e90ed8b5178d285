//! Tasks: changes by compare-and-set on one document, and reading all of them.

use std::sync::Arc;
use std::time::Duration;

use elasticsearch::http::Method;
use log::warn;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Inner;
use super::bulk::{self, Op, Seen, Write, Written};
use super::client::{NOTHING, WHOLE, unavailable};
use super::format::Formatted;
use super::leases::{LeaseDocument, lease_id};
use super::task_document::{Hit, PAST, Page, RecordDocument, RevisionDocument, TASK, TaskDocument, page, task_id};
use crate::model::{Identity, Revision, Shard, ShardSet, Timestamp};
use crate::observe::with_causes;
use crate::store::{Change, StoreError};

const DOING: &str = "changing a task";
const LOADING: &str = "loading tasks";
/// How long a change whose result is unknown waits before it looks again, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How many shards are read at once.
const SHARDS_READ_AT_ONCE: usize = 4;
/// How many documents the first page of a shard holds; later ones hold more or less, by their size.
pub(super) const PAGE_FIRST: usize = 200;
/// No page holds more: Elasticsearch's own limit.
const PAGE_MAX: usize = 10_000;
/// As many documents as the first pages of the shards that are read at once hold: if there are fewer, one search gives all.
const FEW: usize = SHARDS_READ_AT_ONCE * PAGE_FIRST;
/// How large a page should be, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How long a snapshot of the index is kept between two pages.
pub(super) const SNAPSHOT_KEPT: &str = "5m";

/// What is stored of a task and its lease.
pub(super) struct Standing {
    pub(super) lease: Option<LeaseDocument>,
    pub(super) task: Option<(Seen, TaskDocument)>,
}

impl Inner {
    /// Carries a change out. Once something was written whose answer was lost, this looks until it knows: until then the
    /// task is held, and neither state of it fires.
    pub(super) async fn change(&self, change: Change) -> Result<u64, StoreError> {
        self.clear_way(&change.identity).await?;
        let mut standing = self.standing(&change.identity).await?;
        let (mut backoff, mut in_doubt) = (LOOK_AGAIN.0, false);
        loop {
            if let Some(number) = self.already_done(&change, &standing) {
                self.follow(&change, standing.task.map(|(_, task)| task)).await;
                return Ok(number);
            }
            let (seen, next) = self.next_state(&change, standing)?;
            match self.write_state(&change.identity, seen, &next).await {
                Ok(Written::Done(_)) => {
                    let number = next.revision.number;
                    self.follow(&change, Some(next)).await;
                    return Ok(number);
                }
                Ok(Written::Refused(why)) => return Err(unavailable(DOING, why)),
                Ok(Written::Later(why)) if !in_doubt => return Err(unavailable(DOING, why)),
                // An earlier try may still be done.
                Ok(Written::Later(_) | Written::Conflict) => {}
                Err(error) => {
                    in_doubt = true;
                    warn!(identity:% = change.identity.as_str(); "a change may be written or not, it is looked for: {}", with_causes(&error));
                }
            }
            standing = loop {
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(LOOK_AGAIN.1);
                match self.standing(&change.identity).await {
                    Ok(standing) => break standing,
                    Err(_) if !self.is_closed() => {}
                    Err(error) => return Err(error),
                }
            };
        }
    }

    pub(super) async fn standing(&self, identity: &Identity) -> Result<Standing, StoreError> {
        let shard = Shard::of(identity).index();
        let ids = [(&*self.names.leases, lease_id(shard)), (&*self.names.tasks, task_id(identity))];
        let mut got = bulk::get_many::<Box<RawValue>>(&self.client, DOING, ids.into_iter()).await?.into_iter();
        let lease = got.next().flatten().map(|(_, source)| LeaseDocument::read(shard, source.get())).transpose()?;
        let read = |(seen, source): (Seen, Box<RawValue>)| {
            TaskDocument::read(&task_id(identity), source.get()).map(|task| (seen, task))
        };
        let task = got.next().flatten().map(read).transpose()?;
        // With a lease of a newer format this node holds nothing.
        Ok(Standing { lease: lease.and_then(Formatted::known), task })
    }

    /// The number that this very change gave, if it has happened.
    fn already_done(&self, change: &Change, standing: &Standing) -> Option<u64> {
        let (_, task) = standing.task.as_ref()?;
        let is_ours = task.record.as_ref().is_some_and(|record| record.id == change.record.id.to_string());
        is_ours.then_some(task.revision.number)
    }

    /// The state that the change leads to, and what it replaces.
    fn next_state(&self, change: &Change, standing: Standing) -> Result<(Option<Seen>, TaskDocument), StoreError> {
        let Change { identity, replaces, epoch, at, next, record, audit } = change;
        let shard = Shard::of(identity);
        if standing.lease.is_none_or(|lease| lease.epoch != epoch.0) {
            return Err(StoreError::Fenced { shard, ours: *epoch });
        }
        let (seen, before) = standing.task.unzip();
        if before.as_ref().and_then(TaskDocument::number_in_force) != *replaces {
            return Err(StoreError::Conflict { identity: identity.clone() });
        }
        let before = before.map(|before| before.revision);
        let (revision, replaced) = match (next, before) {
            (Some(next), before) => {
                let number = before.as_ref().map_or(0, |before| before.number) + 1;
                (RevisionDocument { number, ..RevisionDocument::of(next) }, before.map(|before| before.ended(*at)))
            }
            // A delete: the state that it ends stays, ended.
            (None, Some(before)) => (before.ended(*at), None),
            (None, None) => return Err(StoreError::Conflict { identity: identity.clone() }),
        };
        let task = TaskDocument {
            kind: TASK.into(),
            identity: identity.as_str().to_owned(),
            shard: shard.index(),
            in_force: next.is_some(),
            changed_at: at.millis(),
            epoch: Some(epoch.0),
            revision,
            record: Some(RecordDocument::of(record, audit.as_ref())),
            replaced,
        };
        Ok((seen, task))
    }

    pub(super) async fn write_state(
        &self,
        identity: &Identity,
        seen: Option<Seen>,
        next: &TaskDocument,
    ) -> Result<Written, StoreError> {
        let op = seen.map_or(Op::Create, Op::Replace);
        let write = Write { index: self.names.tasks.clone(), id: task_id(identity), op, source: next.to_bytes() };
        let mut written = self.shared.write(DOING, vec![write]).await?;
        written.pop().ok_or_else(|| unavailable(DOING, "no answer"))
    }

    /// A page of task documents, in the order of shard, identity and number, with its length in bytes.
    pub(super) async fn task_page(
        &self,
        query: &Value,
        size: usize,
        after: Option<Vec<Value>>,
        snapshot: Option<&str>,
    ) -> Result<(usize, Page<Box<RawValue>>), StoreError> {
        let mut body = json!({
            "size": size, "query": query, "track_total_hits": false,
            "sort": ["shard", "identity", "number"],
        });
        if let Some(after) = after {
            body["search_after"] = after.into();
        }
        let path = match snapshot {
            Some(id) => {
                body["pit"] = json!({ "id": id, "keep_alive": SNAPSHOT_KEPT });
                format!("/_search?{WHOLE}")
            }
            None => format!("/{}/_search?{WHOLE}", self.names.tasks),
        };
        let answer = self.client.call(LOADING, Method::Post, path, Some(&body)).await?;
        if !answer.status.is_success() {
            return Err(unavailable(LOADING, super::problem::of_answer(&answer)));
        }
        Ok((answer.body.len(), page(LOADING, &answer.body)?))
    }

    /// Gives the revisions of these shards that are in force or ended later than `ended_after`, in pages.
    pub(super) async fn give_revisions(
        self: Arc<Self>,
        shards: ShardSet,
        ended_after: Timestamp,
        pages: mpsc::Sender<Result<Vec<Revision>, StoreError>>,
    ) {
        let snapshot = match self.give_few_revisions(shards, ended_after, &pages).await {
            Ok(None) => return,
            Ok(Some(snapshot)) => Arc::<str>::from(snapshot),
            // Who asked may have gone: then nobody needs the error.
            Err(error) => return drop(pages.send(Err(error)).await),
        };
        let mut reading = std::collections::VecDeque::new();
        let mut shards = shards.iter();
        loop {
            while reading.len() < SHARDS_READ_AT_ONCE
                && let Some(shard) = shards.next()
            {
                let (sender, receiver) = mpsc::channel(1);
                tokio::spawn(self.clone().read_shard(shard, ended_after, snapshot.clone(), sender));
                reading.push_back(receiver);
            }
            let Some(mut shard) = reading.pop_front() else { break };
            while let Some(page) = shard.recv().await {
                let is_over = page.is_err();
                if pages.send(page).await.is_err() || is_over {
                    return self.close_snapshot(&snapshot).await;
                }
            }
        }
        self.close_snapshot(&snapshot).await;
    }

    /// Gives them if they are few, in one search, which sees all of them at one moment. Else the snapshot from which they are read.
    async fn give_few_revisions(
        &self,
        shards: ShardSet,
        ended_after: Timestamp,
        pages: &mpsc::Sender<Result<Vec<Revision>, StoreError>>,
    ) -> Result<Option<String>, StoreError> {
        let shards: Vec<usize> = shards.iter().map(Shard::index).collect();
        self.refresh(&self.names.tasks).await?;
        let query = revision_query(&shards, ended_after);
        let (_, found) = self.task_page(&query, FEW, None, None).await?;
        if found.hits.hits.len() == FEW {
            return self.open_snapshot(&self.names.tasks).await.map(Some);
        }
        let revisions = read_revisions(found).await?;
        if !revisions.is_empty() {
            // Who asked may have gone.
            let _ = pages.send(Ok(revisions)).await;
        }
        Ok(None)
    }

    async fn read_shard(
        self: Arc<Self>,
        shard: Shard,
        ended_after: Timestamp,
        snapshot: Arc<str>,
        pages: mpsc::Sender<Result<Vec<Revision>, StoreError>>,
    ) {
        let query = revision_query(&[shard.index()], ended_after);
        let (mut size, mut after) = (PAGE_FIRST, None);
        loop {
            let read = self.task_page(&query, size, after, Some(&snapshot)).await;
            let (bytes, found) = match read {
                Ok(read) => read,
                Err(error) => return drop(pages.send(Err(error)).await),
            };
            let count = found.hits.hits.len();
            let Some(last) = found.hits.hits.last() else { return };
            after = Some(last.sort.clone());
            let parsed = read_revisions(found).await;
            let is_last = count < size || parsed.is_err();
            if pages.send(parsed).await.is_err() || is_last {
                return;
            }
            size = (PAGE_BYTES / (bytes / count).max(1)).clamp(1, PAGE_MAX).min(size * 4);
        }
    }

    /// Opens a snapshot that pages are read from.
    pub(super) async fn open_snapshot(&self, indices: &str) -> Result<String, StoreError> {
        #[derive(serde::Deserialize)]
        struct Opened {
            id: String,
        }
        self.refresh(indices).await?;
        let path = format!("/{indices}/_pit?keep_alive={SNAPSHOT_KEPT}&ignore_unavailable=true");
        Ok(self.client.ask::<Opened>("opening a snapshot", Method::Post, path, NOTHING).await?.id)
    }

    /// Frees a snapshot. One that stays is freed by the cluster after some minutes.
    pub(super) async fn close_snapshot(&self, id: &str) {
        let _ = self.client.call("closing a snapshot", Method::Delete, "/_pit", Some(&json!({ "id": id }))).await;
    }

    pub(super) async fn refresh(&self, indices: &str) -> Result<(), StoreError> {
        let path = format!("/{indices}/_refresh?ignore_unavailable=true");
        self.client.ask::<Value>("making writes visible", Method::Post, path, NOTHING).await.map(drop)
    }

    /// Forgets the states that ended before a moment.
    pub(super) async fn forget_revisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        const DOING: &str = "forgetting old states of tasks";
        self.refresh(&self.names.tasks).await?;
        let query = json!({ "bool": {
            "filter": [{ "term": { "in_force": false } }, { "range": { "in_force_until": { "lt": before.millis() } } }],
        } });
        let body = json!({ "size": 1_000, "query": query, "_source": false, "seq_no_primary_term": true });
        let mut forgotten = 0;
        loop {
            let path = format!("/{}/_search?{WHOLE}", self.names.tasks);
            let found: Page<Option<Value>> = self.client.ask(DOING, Method::Post, path, Some(&body)).await?;
            let writes: Vec<Write> = found.hits.hits.iter().filter_map(|hit| self.forget_write(hit)).collect();
            if writes.is_empty() {
                return Ok(forgotten);
            }
            let written = self.shared.write(DOING, writes).await?;
            let done = written.iter().filter(|written| matches!(written, Written::Done(_))).count();
            if done == 0 {
                return Ok(forgotten);
            }
            forgotten += done as u64;
            self.refresh(&self.names.tasks).await?;
        }
    }

    /// Only as it was found: a task that was put again meanwhile has the same document.
    fn forget_write(&self, hit: &Hit<Option<Value>>) -> Option<Write> {
        let op = Op::DeleteSeen(hit.seen()?);
        Some(Write { index: self.names.tasks.clone(), id: hit._id.clone(), op, source: bytes::Bytes::new() })
    }
}

/// Reading them is work: not on a thread that others wait for.
async fn read_revisions(found: Page<Box<RawValue>>) -> Result<Vec<Revision>, StoreError> {
    let read = move || found.hits.hits.iter().map(|hit| hit.task()?.to_revision()).collect();
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(unavailable(LOADING, error)))
}

fn revision_query(shards: &[usize], ended_after: Timestamp) -> Value {
    json!({ "bool": {
        "filter": [{ "terms": { "shard": shards } }, { "terms": { "kind": [TASK, PAST] } }],
        "must": { "bool": { "should": [
            { "term": { "in_force": true } },
            { "range": { "in_force_until": { "gt": ended_after.millis() } } },
        ] } },
    } })
}
