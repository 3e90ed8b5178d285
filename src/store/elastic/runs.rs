//! Runs: listed, looked up by their names, and those that have not ended.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::log_query::Cleared;
use super::query::Mark;
use super::task_document::Page;
use super::window::{Searched, SearchedHit, Window};
use super::{Inner, bulk, log_document};
use crate::model::{Identity, Record, RecordKind, RunId, Shard, ShardSet};
use crate::store::listed::LEFT_OUT;
use crate::store::{BoxError, Found, RunQuery, StoreError};

const LOOKING_UP: &str = "looking up a run";
const LOADING: &str = "loading runs that have not ended";
/// How many runs the first page holds; later ones hold more or less, by their size.
const PAGE_FIRST: usize = 200;
const PAGE_MAX: usize = 1_000;
/// How large a page should be, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// The kinds of records that tell of runs.
pub(super) const KINDS: [RecordKind; 3] = [RecordKind::Started, RecordKind::Success, RecordKind::Error];

/// The instant that is later comes first, and of one instant what was recorded later.
pub(super) fn newest_instant_first() -> Value {
    json!([
        { "record.instant": { "order": "desc", "unmapped_type": "long" } },
        { "record.seq": { "order": "desc", "unmapped_type": "long" } },
    ])
}

/// The number of a record among these sort values.
const SEQ: usize = 1;

/// Records of runs, of these kinds. Earlier versions did not say that a fire is a run: it is one if it stands for an instant.
pub(super) fn are_runs(kinds: &[RecordKind]) -> [Value; 2] {
    let kinds: Vec<&str> = kinds.iter().filter(|kind| KINDS.contains(kind)).map(|kind| kind.as_str()).collect();
    [
        json!({ "terms": { "type": kinds } }),
        json!({ "bool": { "should": [
            { "term": { "record.run": true } }, { "exists": { "field": "record.last" } },
        ] } }),
    ]
}

impl Inner {
    /// Finds runs.
    pub(super) async fn runs(&self, query: &RunQuery) -> Result<Found, StoreError> {
        let cleared = self.cleared(query.identity.as_slice().iter()).await?;
        let window = Window {
            indices: self.names.all_logs(),
            query: self.run_query(query, &cleared),
            sort: newest_instant_first(),
            without: &LEFT_OUT,
            skip: query.skip,
            limit: query.limit,
        };
        if cleared.are_all { self.found_in(&window).await } else { self.found_beside_many_clears(&window).await }
    }

    fn run_query(&self, query: &RunQuery, cleared: &Cleared) -> Value {
        let RunQuery { identity, entry, prefixes, kinds, dead_letters, since, until, skip: _, limit: _ } = query;
        let mut filter = are_runs(if kinds.is_empty() { &KINDS } else { kinds }).to_vec();
        filter.extend(identity.iter().map(|identity| json!({ "term": { "identity": identity.as_str() } })));
        filter.extend(self.covered(prefixes));
        filter.extend(entry.iter().map(|entry| json!({ "term": { "key": entry.as_str() } })));
        if *dead_letters {
            filter.push(json!({ "term": { "record.dead": true } }));
        }
        if since.is_some() || until.is_some() {
            let (since, until) = (since.map(|it| it.millis()), until.map(|it| it.millis()));
            filter.push(json!({ "range": { "record.instant": { "gte": since, "lte": until } } }));
        }
        json!({ "bool": { "filter": filter, "must_not": self.hidden_by(cleared) } })
    }

    /// With more clears than a query can name, each run is compared with the mark of its task, from the newest one on.
    async fn found_beside_many_clears(&self, window: &Window) -> Result<Found, StoreError> {
        let snapshot = self.open_snapshot_of_logs("searching", &window.indices).await?;
        let found = self.found_one_by_one(window, &snapshot).await;
        self.close_snapshot(&snapshot).await;
        found
    }

    async fn found_one_by_one(&self, window: &Window, snapshot: &str) -> Result<Found, StoreError> {
        let (mut found, mut after) = (Found::default(), None::<Vec<Value>>);
        let end = window.skip.saturating_add(window.limit);
        // What is behind the page is not counted: that would mean to read it.
        found.total_is_lower_bound = true;
        while found.total <= end {
            let source = window.source();
            let mut body = json!({ "query": window.query, "size": PAGE_FIRST, "sort": window.sort, "_source": source });
            if let Some(after) = after {
                body["search_after"] = after.into();
            }
            let hits = self.hits_of_snapshot(snapshot, body).await?;
            let Some(last) = hits.last() else {
                found.total_is_lower_bound = false;
                break;
            };
            after = Some(last.sort.clone());
            for record in self.visible(&hits).await? {
                if (window.skip..end).contains(&found.total) {
                    found.records.push(record);
                }
                found.total += 1;
            }
        }
        found.total_is_lower_bound |= found.total > Found::TOTAL_MAX;
        found.total = found.total.min(Found::TOTAL_MAX);
        Ok(found)
    }

    /// The records that no clear has hidden.
    async fn visible(&self, hits: &[SearchedHit]) -> Result<Vec<Record>, StoreError> {
        let read = |hit: &SearchedHit| Some((hit.record()?, hit.sort.get(SEQ).and_then(Value::as_u64)));
        let records: Vec<(Record, Option<u64>)> = hits.iter().filter_map(read).collect();
        let names: BTreeSet<&str> = records.iter().map(|(record, _)| record.identity.as_str()).collect();
        let marks: HashMap<String, Mark> = self.marks_of(names.into_iter()).await?.into_iter().collect();
        let is_hidden =
            |record: &Record, seq| marks.get(record.identity.as_str()).is_some_and(|mark| mark.hides(seq, record.time));
        Ok(records.into_iter().filter(|(record, seq)| !is_hidden(record, *seq)).map(|(record, _)| record).collect())
    }

    /// A run by its name.
    pub(super) async fn run(&self, identity: &Identity, run: RunId) -> Result<Option<Record>, StoreError> {
        let mark = self.mark(identity.as_str()).await?;
        let source = if run.tells_instant() { self.stored_run(run).await? } else { self.found_run(run).await? };
        let Some(source) = source else { return Ok(None) };
        let is_wanted = |record: &Record| {
            let is_hidden = mark.hides(log_document::seq_of(source.get()), record.time);
            record.identity == *identity && record.is_of_run() && !is_hidden
        };
        Ok(log_document::read(&run.to_string(), source.get()).filter(is_wanted))
    }

    /// As it is now, not as a search sees it: the name says in which month it stands.
    async fn stored_run(&self, run: RunId) -> Result<Option<Box<RawValue>>, StoreError> {
        let logs = self.names.logs_of(run.instant());
        let ids = [(&*logs, run.to_string())];
        let mut got = bulk::get_many::<Box<RawValue>>(&self.client, LOOKING_UP, ids.into_iter()).await?;
        Ok(got.pop().flatten().map(|(_, source)| source))
    }

    /// A name that an earlier version gave says nothing of the month.
    async fn found_run(&self, run: RunId) -> Result<Option<Box<RawValue>>, StoreError> {
        let body = json!({ "size": 1, "query": { "ids": { "values": [run.to_string()] } }, "track_total_hits": false });
        let found: Page<Box<RawValue>> = self.ask_logs(LOOKING_UP, &self.names.all_logs(), &body).await?;
        Ok(found.hits.hits.into_iter().next().map(|hit| hit._source))
    }

    /// Gives the runs of these shards that have not ended, in pages.
    pub(super) async fn give_unfinished(
        self: Arc<Self>,
        shards: ShardSet,
        pages: mpsc::Sender<Result<Vec<Record>, StoreError>>,
    ) {
        if let Err(error) = self.send_unfinished(shards, &pages).await {
            // Who asked may have gone: then nobody needs the error.
            let _ = pages.send(Err(error)).await;
        }
    }

    async fn send_unfinished(
        &self,
        shards: ShardSet,
        pages: &mpsc::Sender<Result<Vec<Record>, StoreError>>,
    ) -> Result<(), StoreError> {
        let logs = self.names.all_logs();
        self.refresh(&logs).await?;
        // Mostly there are few, and one search sees all of them at one moment.
        let body = json!({ "query": unfinished_query(), "size": PAGE_FIRST, "track_total_hits": false });
        let hits = self.ask_logs::<Searched>(LOADING, &logs, &body).await?.hits.hits;
        if hits.len() < PAGE_FIRST {
            let page = unfinished_of(shards, &hits)?;
            if !page.is_empty() {
                // Who asked may have gone.
                let _ = pages.send(Ok(page)).await;
            }
            return Ok(());
        }
        let snapshot = self.open_snapshot_of_logs(LOADING, &logs).await?;
        let sent = self.send_unfinished_of(shards, &snapshot, pages).await;
        self.close_snapshot(&snapshot).await;
        sent
    }

    async fn send_unfinished_of(
        &self,
        shards: ShardSet,
        snapshot: &str,
        pages: &mpsc::Sender<Result<Vec<Record>, StoreError>>,
    ) -> Result<(), StoreError> {
        let mut body = json!({ "query": unfinished_query(), "size": PAGE_FIRST, "sort": ["_shard_doc"] });
        let mut size = PAGE_FIRST;
        loop {
            let hits = self.hits_of_snapshot(snapshot, body.clone()).await?;
            let Some(last) = hits.last() else { return Ok(()) };
            body["search_after"] = last.sort.as_slice().into();
            let bytes: usize = hits.iter().map(SearchedHit::len).sum();
            let page = unfinished_of(shards, &hits)?;
            let is_last = hits.len() < size;
            if !page.is_empty() && pages.send(Ok(page)).await.is_err() || is_last {
                return Ok(());
            }
            size = (PAGE_BYTES / (bytes / hits.len()).max(1)).clamp(1, PAGE_MAX).min(size * 4);
            body["size"] = size.into();
        }
    }
}

/// Records of runs that have not ended.
pub(super) fn is_unfinished() -> Value {
    json!({ "term": { "type": RecordKind::Started.as_str() } })
}

fn unfinished_query() -> Value {
    json!({ "bool": { "filter": is_unfinished() } })
}

/// The records of these shards.
fn unfinished_of(shards: ShardSet, hits: &[SearchedHit]) -> Result<Vec<Record>, StoreError> {
    let unreadable = |hit: &SearchedHit| corrupt(&hit._id, "it is no log document of ours");
    let mut page: Vec<Record> =
        hits.iter().map(|hit| hit.record().ok_or_else(|| unreadable(hit))).collect::<Result<_, _>>()?;
    page.retain(|record| shards.contains(Shard::of(&record.identity)));
    Ok(page)
}

fn corrupt(id: &str, source: impl Into<BoxError>) -> StoreError {
    StoreError::Corrupt { what: format!("document {id:?}"), source: source.into() }
}
