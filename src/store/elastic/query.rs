//! Reading the history.

use std::collections::HashMap;

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{NOTHING, WHOLE};
use super::task_document::MARK;
use super::tasks::SNAPSHOT_KEPT;
use super::{Inner, bulk, log_document};
use crate::model::{EntryName, Identity, Record, RecordKind, Stretch, Timestamp};
use crate::store::{Found, Outcome, Search, StoreError};

/// Elasticsearch gives no more than this in one page.
const WINDOW_MAX: usize = 10_000;
const SEARCHING: &str = "searching";
const OUTCOMES: &str = "reading outcomes";

/// Until when the history of a task was cleared.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Mark {
    #[serde(default)]
    pub(super) through: i64,
    /// Records up to this number are hidden; zero: none are.
    #[serde(default)]
    pub(super) cleared_seq: u64,
}

impl Mark {
    /// Whether it hides a record with this number, or one of the mirrored service with none.
    pub(super) fn hides(self, seq: Option<u64>, time: Timestamp) -> bool {
        match seq {
            Some(seq) => seq <= self.cleared_seq,
            None => (self.cleared_seq > 0 || self.through > 0) && time.secs() <= self.through.div_euclid(1_000),
        }
    }
}

/// A mark as it is found: with the task it is of, which is empty for all tasks.
#[derive(Debug, Deserialize)]
pub(super) struct Marked {
    pub(super) identity: String,
    #[serde(flatten)]
    pub(super) mark: Mark,
}

#[derive(Deserialize)]
struct Searched {
    hits: SearchedHits,
}

#[derive(Deserialize)]
struct SearchedHits {
    total: Option<Total>,
    hits: Vec<SearchedHit>,
}

#[derive(Deserialize)]
pub(super) struct Total {
    pub(super) value: usize,
    pub(super) relation: String,
}

#[derive(Deserialize)]
struct SearchedHit {
    _id: String,
    _source: Option<Box<RawValue>>,
    #[serde(default)]
    sort: Vec<Value>,
}

/// Where a page of a search begins.
enum From<'a> {
    /// Counted from the newest.
    Start,
    /// Behind a record, within a snapshot.
    Behind { after: Vec<Value>, snapshot: &'a str },
}

pub(super) fn mark_id(identity: &str) -> String {
    format!("{MARK}:{identity}")
}

impl Inner {
    /// Finds records of a task, newest first.
    pub(super) async fn search(&self, search: &Search) -> Result<Found, StoreError> {
        let mark = self.mark(search.identity.as_str()).await?;
        let query = self.query_of(search, mark);
        if search.skip + search.limit <= WINDOW_MAX {
            return self.search_from(&query, search, &From::Start).await;
        }
        // Within a snapshot records that are equal in all that orders them have an order, too.
        let snapshot = self.open_snapshot_of_logs(SEARCHING, &self.names.searched()).await?;
        let found = match self.walk(&query, search.skip, &snapshot).await {
            Ok(Some(after)) => self.search_from(&query, search, &From::Behind { after, snapshot: &snapshot }).await,
            Ok(None) => self.count(&query).await,
            Err(error) => Err(error),
        };
        self.close_snapshot(&snapshot).await;
        found
    }

    async fn search_from(&self, query: &Value, search: &Search, from: &From<'_>) -> Result<Found, StoreError> {
        let mut body = json!({
            "query": query, "size": search.limit, "sort": newest_first(),
            "track_total_hits": Found::TOTAL_MAX, "_source": true,
        });
        let found: Searched = match from {
            From::Start => {
                body["from"] = search.skip.into();
                self.ask_logs(SEARCHING, &body).await?
            }
            From::Behind { after, snapshot } => {
                body["search_after"] = after.as_slice().into();
                self.ask_snapshot(snapshot, body).await?
            }
        };
        let (total, total_is_lower_bound) = counted(&found);
        let read = |hit: &SearchedHit| log_document::read(&hit._id, hit._source.as_ref()?.get());
        let records: Vec<Record> = found.hits.hits.iter().filter_map(read).collect();
        Ok(Found { records, total, total_is_lower_bound })
    }

    /// The sort values of the last of the newest `count` records; `None` when there are not as many.
    async fn walk(&self, query: &Value, count: usize, snapshot: &str) -> Result<Option<Vec<Value>>, StoreError> {
        let (mut left, mut after) = (count, None::<Vec<Value>>);
        while left > 0 {
            let size = left.min(WINDOW_MAX);
            let mut body = json!({
                "query": query, "size": size, "sort": newest_first(), "track_total_hits": false, "_source": false,
            });
            if let Some(after) = after {
                body["search_after"] = after.into();
            }
            let found = self.ask_snapshot(snapshot, body).await?;
            if found.hits.hits.len() < size {
                return Ok(None);
            }
            left -= size;
            after = found.hits.hits.into_iter().next_back().map(|hit| hit.sort);
        }
        Ok(after)
    }

    async fn ask_snapshot(&self, snapshot: &str, mut body: Value) -> Result<Searched, StoreError> {
        body["pit"] = json!({ "id": snapshot, "keep_alive": "1m" });
        self.client.ask(SEARCHING, Method::Post, format!("/_search?{WHOLE}"), Some(&body)).await
    }

    async fn count(&self, query: &Value) -> Result<Found, StoreError> {
        let body = json!({ "query": query, "size": 0, "track_total_hits": Found::TOTAL_MAX });
        let (total, total_is_lower_bound) = counted(&self.ask_logs(SEARCHING, &body).await?);
        Ok(Found { records: Vec::new(), total, total_is_lower_bound })
    }

    async fn ask_logs<T: serde::de::DeserializeOwned>(
        &self,
        doing: &'static str,
        body: &Value,
    ) -> Result<T, StoreError> {
        let path = format!("/{}/_search?{WHOLE}&ignore_unavailable=true&allow_no_indices=true", self.names.searched());
        self.client.ask(doing, Method::Post, path, Some(body)).await
    }

    fn query_of(&self, search: &Search, mark: Mark) -> Value {
        let mut filter = vec![self.is_of(search.identity.as_str())];
        let kinds: Vec<&str> = match search.kind {
            Some(kind) => vec![kind.as_str()],
            None => RecordKind::ALL.into_iter().map(RecordKind::as_str).collect(),
        };
        filter.push(self.has_kind(&kinds));
        if search.since_secs.is_some() || search.until_secs.is_some() {
            filter.push(json!({ "range": { "time": { "gte": search.since_secs, "lte": search.until_secs } } }));
        }
        json!({ "bool": { "filter": filter, "must_not": hidden(mark) } })
    }

    /// Exactly this identity. In an index of the mirrored service its words are indexed, and beside them the whole.
    pub(super) fn is_of(&self, identity: &str) -> Value {
        self.exactly("identity", &[identity])
    }

    pub(super) fn has_kind(&self, kinds: &[&str]) -> Value {
        self.exactly("type", kinds)
    }

    pub(super) fn exactly(&self, field: &str, values: &[&str]) -> Value {
        let ours = json!({ "terms": { field: values } });
        if !self.has_legacy {
            return ours;
        }
        let legacy = json!({ "term": { "_index": &*self.names.alias } });
        let whole = json!({ "terms": { format!("{field}.keyword"): values } });
        json!({ "bool": { "should": [
            { "bool": { "filter": [ours], "must_not": [legacy.clone()] } },
            { "bool": { "filter": [whole, legacy] } },
        ] } })
    }

    /// Until when a task's history was cleared.
    pub(super) async fn mark(&self, identity: &str) -> Result<Mark, StoreError> {
        Ok(self.marks(&[identity]).await?.pop().unwrap_or_default())
    }

    /// The same of several tasks, in their order. One that was never cleared has a mark that hides nothing.
    pub(super) async fn marks(&self, identities: &[&str]) -> Result<Vec<Mark>, StoreError> {
        let ids = identities.iter().map(|identity| (&*self.names.tasks, mark_id(identity)));
        let marks: Vec<Option<(_, Mark)>> = bulk::get_many(&self.client, "reading deletions", ids).await?;
        Ok(marks.into_iter().map(|mark| mark.map(|(_, mark)| mark).unwrap_or_default()).collect())
    }

    /// The outcomes of entries of some tasks, each whose last instant is later than `after`.
    pub(super) async fn outcomes_of(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Vec<Outcome>>, StoreError> {
        self.refresh_logs().await?;
        let mut of_entry: HashMap<(String, String), Vec<Outcome>> =
            entries.iter().map(|entry| (key_of(entry), Vec::new())).collect();
        let mut identities: Vec<&str> = entries.iter().map(|(identity, _)| identity.as_str()).collect();
        identities.sort_unstable();
        identities.dedup();
        let mut keys: Vec<&str> = entries.iter().map(|(_, entry)| entry.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let query = json!({ "bool": { "filter": [
            { "terms": { "identity": identities } }, { "terms": { "key": keys } },
            { "range": { "record.last": { "gt": after.millis() } } },
        ] } });
        let snapshot = self.open_snapshot_of_logs(OUTCOMES, &self.names.all_logs()).await?;
        let mut after = None;
        let read = loop {
            let found = match self.outcome_page(&query, &snapshot, after).await {
                Ok(found) => found,
                Err(error) => break Err(error),
            };
            let Some(last) = found.last() else { break Ok(()) };
            after = Some(last.sort.clone());
            for hit in found {
                let outcome = hit.outcome();
                if let Some(outcomes) = hit.into_entry().and_then(|key| of_entry.get_mut(&key)) {
                    outcomes.extend(outcome);
                }
            }
        };
        self.close_snapshot(&snapshot).await;
        read?;
        let mut take = |entry| {
            let mut outcomes = of_entry.remove(&key_of(entry)).unwrap_or_default();
            outcomes.sort_by_key(|outcome| outcome.stretch.last);
            outcomes
        };
        Ok(entries.iter().map(&mut take).collect())
    }

    /// What searches find now. Unlike [`Inner::open_snapshot`] it makes nothing visible first.
    pub(super) async fn open_snapshot_of_logs(&self, doing: &'static str, indices: &str) -> Result<String, StoreError> {
        #[derive(Deserialize)]
        struct Opened {
            id: String,
        }
        let path = format!("/{indices}/_pit?keep_alive={SNAPSHOT_KEPT}&ignore_unavailable=true");
        Ok(self.client.ask::<Opened>(doing, Method::Post, path, NOTHING).await?.id)
    }

    async fn outcome_page(
        &self,
        query: &Value,
        snapshot: &str,
        after: Option<Vec<Value>>,
    ) -> Result<Vec<OutcomeHit>, StoreError> {
        let mut body = json!({
            "query": query, "size": WINDOW_MAX, "sort": ["_shard_doc"], "track_total_hits": false, "_source": false,
            "docvalue_fields": ["identity", "key", "type", "record.first", "record.last", "record.count"],
            "pit": { "id": snapshot, "keep_alive": SNAPSHOT_KEPT },
        });
        if let Some(after) = after {
            body["search_after"] = after.into();
        }
        #[derive(Deserialize)]
        struct Answer {
            hits: Hits,
        }
        #[derive(Deserialize)]
        struct Hits {
            hits: Vec<OutcomeHit>,
        }
        let answer: Answer = self.client.ask(OUTCOMES, Method::Post, format!("/_search?{WHOLE}"), Some(&body)).await?;
        Ok(answer.hits.hits)
    }

    /// The newest instants that entries of a task fired, of those later than `after`.
    pub(super) async fn last_fires(
        &self,
        identity: &Identity,
        entries: &[&EntryName],
        after: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let keys: Vec<&str> = entries.iter().map(|entry| entry.as_str()).collect();
        let body = json!({
            "size": 0,
            "query": { "bool": { "filter": [
                { "term": { "identity": identity.as_str() } }, { "terms": { "key": keys } },
                { "terms": { "type": [RecordKind::Success.as_str(), RecordKind::Error.as_str()] } },
                { "range": { "record.last": { "gt": after.millis() } } },
            ] } },
            "aggs": { "entries": {
                "terms": { "field": "key", "size": entries.len().max(1) },
                "aggs": { "last": { "max": { "field": "record.last" } } },
            } },
        });
        let path = format!("/{}/_search?{WHOLE}&ignore_unavailable=true&allow_no_indices=true", self.names.all_logs());
        let answer: Value = self.client.ask("reading the last fires", Method::Post, path, Some(&body)).await?;
        let mut last: HashMap<&str, Timestamp> = HashMap::new();
        for bucket in answer["aggregations"]["entries"]["buckets"].as_array().into_iter().flatten() {
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds come as a float")]
            if let (Some(key), Some(millis)) = (bucket["key"].as_str(), bucket["last"]["value"].as_f64()) {
                last.insert(key, Timestamp::from_millis(millis as i64));
            }
        }
        Ok(keys.iter().map(|key| last.get(key).copied()).collect())
    }
}

fn key_of((identity, entry): &(Identity, EntryName)) -> (String, String) {
    (identity.as_str().to_owned(), entry.as_str().to_owned())
}

/// A hit with the fields of an outcome in place of the document.
#[derive(Deserialize)]
struct OutcomeHit {
    fields: OutcomeFields,
    #[serde(default)]
    sort: Vec<Value>,
}

#[derive(Deserialize)]
struct OutcomeFields {
    #[serde(default)]
    identity: Vec<String>,
    #[serde(default)]
    key: Vec<String>,
    #[serde(default)]
    r#type: Vec<String>,
    #[serde(default, rename = "record.first")]
    first: Vec<i64>,
    #[serde(default, rename = "record.last")]
    last: Vec<i64>,
    #[serde(default, rename = "record.count")]
    count: Vec<u64>,
}

impl OutcomeHit {
    fn into_entry(mut self) -> Option<(String, String)> {
        Some((self.fields.identity.pop()?, self.fields.key.pop()?))
    }

    fn outcome(&self) -> Option<Outcome> {
        let fields = &self.fields;
        let millis = |values: &[i64]| values.first().copied().map(Timestamp::from_millis);
        let (first, last) = (millis(&fields.first)?, millis(&fields.last)?);
        let stretch = Stretch { first, last, count: *fields.count.first()? };
        Some(Outcome { kind: RecordKind::parse(fields.r#type.first()?)?, stretch })
    }
}

/// Newest first; of one second by our own order, and documents of the mirrored service last.
pub(super) fn newest_first() -> Value {
    json!([
        { "time": { "order": "desc", "unmapped_type": "long" } },
        { "record.at": { "order": "desc", "unmapped_type": "long" } },
        { "record.seq": { "order": "desc", "unmapped_type": "long" } },
    ])
}

/// What a clear has hidden.
pub(super) fn hidden(mark: Mark) -> Value {
    if mark.cleared_seq == 0 && mark.through == 0 {
        return json!([]);
    }
    let through_secs = mark.through.div_euclid(1_000);
    json!([
        { "range": { "record.seq": { "lte": mark.cleared_seq } } },
        { "bool": {
            "filter": [{ "range": { "time": { "lte": through_secs } } }],
            "must_not": [{ "exists": { "field": "record.seq" } }],
        } },
    ])
}

fn counted(found: &Searched) -> (usize, bool) {
    let total = found.hits.total.as_ref();
    let value = total.map_or(0, |total| total.value);
    (value.min(Found::TOTAL_MAX), total.is_some_and(|total| total.relation == "gte"))
}
