//! Deleting history: whole months by age, what was cleared, and the oldest where there is too much.

use std::collections::BTreeMap;

use bytes::Bytes;
use elasticsearch::http::Method;
use log::info;
use serde::Deserialize;
use serde_json::{Value, json};

use super::bulk::{self, Op, Write, Written};
use super::client::{NOTHING, WHOLE, is_missing, unavailable};
use super::query::{Mark, Marked, mark_id};
use super::runs::is_unfinished;
use super::task_document::{MARK, Page};
use super::{Inner, problem};
use crate::model::{Identity, Timestamp};
use crate::store::{AuditRetention, Pruned, Retention, StoreError};

const DOING: &str = "pruning the history";
const MARKING: &str = "marking a deletion";
/// The identity under which deletions stand that concern all tasks. No task has it: identities are never empty.
const ALL_TASKS: &str = "";
/// How many clears one step works on.
const MARKS_MAX: usize = 100;

/// A month of history.
#[derive(Debug)]
pub(super) struct Month {
    pub(super) index: String,
    /// Its last moment.
    pub(super) end: Timestamp,
    records: u64,
    bytes: u64,
}

#[derive(Deserialize)]
pub(super) struct Stats {
    #[serde(default)]
    pub(super) indices: BTreeMap<String, IndexStats>,
}

#[derive(Deserialize)]
pub(super) struct IndexStats {
    primaries: Primaries,
}

#[derive(Deserialize)]
struct Primaries {
    docs: Docs,
    store: StoreStats,
}

#[derive(Deserialize)]
struct Docs {
    count: u64,
    #[serde(default)]
    deleted: u64,
}

#[derive(Deserialize)]
struct StoreStats {
    size_in_bytes: u64,
}

impl IndexStats {
    /// How many documents it holds.
    pub(super) fn documents(&self) -> u64 {
        self.primaries.docs.count
    }

    /// What the index would take if deleted documents were gone already: they go when segments are merged.
    fn used_bytes(&self) -> u64 {
        let Docs { count, deleted } = self.primaries.docs;
        let bytes = u128::from(self.primaries.store.size_in_bytes);
        let used = bytes * u128::from(count) / u128::from((count + deleted).max(1));
        u64::try_from(used).unwrap_or(u64::MAX)
    }
}

impl Inner {
    /// Hides the records of a task up to now. They are deleted by the next pruning.
    pub(super) async fn clear(&self, identity: &Identity, at: Timestamp) -> Result<(), StoreError> {
        // What a change of the task still has to write was logged before the clear, too.
        self.clear_way(identity).await?;
        let known = self.mark(identity.as_str()).await?;
        let mark = Mark { through: known.through.max(at.millis()), cleared_seq: self.next_seq() };
        self.write_mark(identity.as_str(), mark).await
    }

    pub(super) fn mark_write(&self, identity: &str, mark: Mark) -> Write {
        let source = json!({
            "kind": MARK, "identity": identity, "through": mark.through, "cleared_seq": mark.cleared_seq,
        });
        let source = serde_json::to_vec(&source).expect("a mark can be written as JSON").into();
        Write { index: self.names.tasks.clone(), id: mark_id(identity), op: Op::Index, source }
    }

    async fn write_mark(&self, identity: &str, mark: Mark) -> Result<(), StoreError> {
        self.write_mark_if(identity, mark, Op::Index).await
    }

    /// Writes a mark by an operation; a conflict leaves the newer one.
    async fn write_mark_if(&self, identity: &str, mark: Mark, op: Op) -> Result<(), StoreError> {
        let write = Write { op, ..self.mark_write(identity, mark) };
        let written = self.shared.write(MARKING, vec![write]).await?;
        bulk::first_failure(&written).map_or(Ok(()), |why| Err(unavailable(MARKING, why)))
    }

    pub(super) async fn deleted_through(&self, identities: &[Identity]) -> Result<Vec<Timestamp>, StoreError> {
        let all: Vec<&str> = std::iter::once(ALL_TASKS).chain(identities.iter().map(Identity::as_str)).collect();
        let marks = self.marks(&all).await?;
        let of_all = marks.first().copied().unwrap_or_default().through;
        Ok(marks.iter().skip(1).map(|mark| Timestamp::from_millis(mark.through.max(of_all))).collect())
    }

    /// One step of pruning.
    pub(super) async fn prune(&self, retention: Retention, settled: Timestamp) -> Result<Pruned, StoreError> {
        self.refresh_logs().await?;
        let cleared = self.prune_cleared(retention.step_max, settled).await?;
        let mut records = cleared;
        let months = self.months(DOING, &self.names.all_logs()).await?;
        let mut bytes: u64 = months.iter().map(|month| month.bytes).sum();
        let mut left = months.len();
        for month in &months {
            let is_old = month.end < retention.before;
            // The newest month is never dropped for its size: it is being written.
            let is_too_much = bytes > retention.bytes_max && left > 1;
            if (is_old || is_too_much) && month.end <= settled && !self.has_unfinished(&month.index).await? {
                self.drop_month(month).await?;
                bytes -= month.bytes;
                left -= 1;
                records += month.records;
            }
        }
        let mut is_more = cleared as usize >= retention.step_max;
        if bytes > retention.bytes_max && left > 0 {
            let oldest = self.prune_oldest(retention.step_max, settled).await?;
            is_more |= oldest as usize >= retention.step_max;
            records += oldest;
        }
        Ok(Pruned { records, more: is_more })
    }

    async fn drop_month(&self, month: &Month) -> Result<(), StoreError> {
        self.mark_all(month.end).await?;
        self.delete_month(month).await
    }

    async fn delete_month(&self, month: &Month) -> Result<(), StoreError> {
        self.client.do_or_find(DOING, Method::Delete, format!("/{}", month.index), NOTHING, is_missing).await?;
        self.months.forget(&month.index);
        info!(index:% = month.index, records = month.records; "retention dropped a month");
        Ok(())
    }

    async fn mark_all(&self, through: Timestamp) -> Result<(), StoreError> {
        let known = self.mark(ALL_TASKS).await?;
        if known.through >= through.millis() {
            return Ok(());
        }
        self.write_mark(ALL_TASKS, Mark { through: through.millis(), cleared_seq: 0 }).await
    }

    /// One step of pruning the audit: whole months go.
    pub(super) async fn prune_audit(&self, retention: AuditRetention) -> Result<Pruned, StoreError> {
        let months = self.months(DOING, &self.names.all_audit()).await?;
        let mut bytes: u64 = months.iter().map(|month| month.bytes).sum();
        let (mut left, mut records) = (months.len(), 0);
        for month in &months {
            let is_too_much = bytes > retention.bytes_max && left > 1;
            if month.end >= retention.before && !is_too_much {
                break;
            }
            self.delete_month(month).await?;
            bytes -= month.bytes;
            left -= 1;
            records += month.records;
        }
        Ok(Pruned { records, more: false })
    }

    /// The months of history or of the audit, oldest first.
    pub(super) async fn months(&self, doing: &'static str, indices: &str) -> Result<Vec<Month>, StoreError> {
        let stats = self.stats(doing, indices).await?;
        let month = |(index, stats): (String, IndexStats)| {
            let end = self.names.logs_end(&index)?;
            Some(Month { end, records: stats.documents(), bytes: stats.used_bytes(), index })
        };
        let mut months: Vec<Month> = stats.indices.into_iter().filter_map(month).collect();
        months.sort_by_key(|month| month.end);
        Ok(months)
    }

    pub(super) async fn stats(&self, doing: &'static str, indices: &str) -> Result<Stats, StoreError> {
        const FIELDS: &str = "indices.*.primaries.docs,indices.*.primaries.store.size_in_bytes";
        self.client.ask(doing, Method::Get, format!("/{indices}/_stats/docs,store?filter_path={FIELDS}"), NOTHING).await
    }

    /// The bytes that our indices take.
    pub(super) async fn size(&self) -> Result<u64, StoreError> {
        Ok(self
            .stats("asking how large the store is", &self.names.all())
            .await?
            .indices
            .values()
            .map(|index| index.primaries.store.size_in_bytes)
            .sum())
    }

    /// Deletes what clears have hidden, as far as it is settled. A mark with nothing left to hide is lifted.
    async fn prune_cleared(&self, max: usize, settled: Timestamp) -> Result<u64, StoreError> {
        self.refresh(&self.names.tasks).await?;
        let body = json!({
            "size": MARKS_MAX, "seq_no_primary_term": true,
            "query": { "bool": { "filter": [
                { "term": { "kind": MARK } }, { "range": { "cleared_seq": { "gt": 0 } } },
                // A clear hides what was recorded before it: that is settled when the clear's own moment is.
                { "range": { "through": { "lte": settled.millis() } } },
            ] } },
        });
        let path = format!("/{}/_search?{WHOLE}", self.names.tasks);
        let found: Page<Marked> = self.client.ask(DOING, Method::Post, path, Some(&body)).await?;
        let mut deleted = 0;
        for hit in found.hits.hits {
            let Some(seen) = hit.seen() else { continue };
            let Marked { identity, mark } = hit._source;
            let room = max - usize::try_from(deleted).unwrap_or(max).min(max);
            let query = json!({ "bool": { "filter": [
                { "term": { "identity": identity } }, { "range": { "record.seq": { "lte": mark.cleared_seq } } },
            ] } });
            let of_task = self.delete_found(&query, room).await?;
            deleted += of_task;
            let is_done = (of_task as usize) < room && !self.has_legacy;
            if is_done && self.count_of(&self.names.all_logs(), &query).await? == 0 {
                // Only as it was found: the task may have been cleared again meanwhile.
                let lifted = Mark { cleared_seq: 0, ..mark };
                self.write_mark_if(&identity, lifted, Op::Replace(seen)).await?;
            }
        }
        Ok(deleted)
    }

    /// Whether an index holds a run that has not ended: a crash must not forget it.
    async fn has_unfinished(&self, index: &str) -> Result<bool, StoreError> {
        Ok(self.count_of(index, &is_unfinished()).await? > 0)
    }

    /// Deletes the oldest records.
    async fn prune_oldest(&self, max: usize, settled: Timestamp) -> Result<u64, StoreError> {
        let query = json!({ "bool": {
            "must_not": [{ "range": { "record.last": { "gt": settled.millis() } } }],
        } });
        self.delete_found(&query, max).await
    }

    /// Deletes the oldest records that match, at most so many, and notes how far the history is gone. Runs that have not ended
    /// stay.
    async fn delete_found(&self, query: &Value, max: usize) -> Result<u64, StoreError> {
        #[derive(Deserialize)]
        struct Found {
            hits: Hits,
        }
        #[derive(Deserialize)]
        struct Hits {
            hits: Vec<Hit>,
        }
        #[derive(Deserialize)]
        struct Hit {
            _index: String,
            _id: String,
            _version: u64,
            sort: Vec<i64>,
        }
        if max == 0 {
            return Ok(0);
        }
        let ended = json!({ "bool": { "filter": [query], "must_not": [is_unfinished()] } });
        let body = json!({
            "size": max.min(10_000), "query": ended, "_source": false, "track_total_hits": false, "version": true,
            "sort": [{ "record.at": "asc" }, { "record.seq": "asc" }],
        });
        let path = format!("/{}/_search?{WHOLE}&ignore_unavailable=true&allow_no_indices=true", self.names.all_logs());
        let found: Found = self.client.ask(DOING, Method::Post, path, Some(&body)).await?;
        let Some(newest) = found.hits.hits.last().and_then(|hit| hit.sort.first().copied()) else { return Ok(0) };
        let is_of_all = query["bool"].get("filter").is_none();
        if is_of_all {
            self.mark_all(Timestamp::from_millis(newest)).await?;
        }
        // By version: were it one of Elasticsearch's own, a record written again soon after would count as an older one.
        let delete = |hit: Hit| Write {
            index: hit._index.into(),
            id: hit._id,
            op: Op::DeleteVersion(hit._version),
            source: Bytes::new(),
        };
        let writes: Vec<Write> = found.hits.hits.into_iter().map(delete).collect();
        let written = bulk::send(&self.client, DOING, self.refreshes_at_once, &writes).await?;
        if let Some(Written::Later(why)) = written.iter().find(|written| matches!(written, Written::Later(_))) {
            return Err(unavailable(DOING, why.clone()));
        }
        self.refresh(&self.names.all_logs()).await?;
        Ok(written.len() as u64)
    }

    /// The highest number that a clear has used.
    pub(super) async fn highest_cleared_seq(&self) -> Result<u64, StoreError> {
        self.refresh(&self.names.tasks).await?;
        let body = json!({
            "size": 1, "query": { "term": { "kind": MARK } }, "sort": [{ "cleared_seq": "desc" }],
        });
        let path = format!("/{}/_search?{WHOLE}", self.names.tasks);
        let answer = self.client.call(DOING, Method::Post, path, Some(&body)).await?;
        if !answer.status.is_success() {
            return Err(unavailable(DOING, problem::of_answer(&answer)));
        }
        let found: Page<Mark> = super::task_document::page(DOING, &answer.body)?;
        Ok(found.hits.hits.first().map_or(0, |hit| hit._source.cleared_seq))
    }
}
