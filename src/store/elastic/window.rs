//! A stretch of what a search finds, counted from its beginning: also far behind what Elasticsearch counts to. And how much a
//! search finds.

use elasticsearch::http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{NOTHING, WHOLE, is_missing, read, unavailable};
use super::tasks::SNAPSHOT_KEPT;
use super::{Inner, log_document, problem};
use crate::model::Record;
use crate::store::{Found, StoreError};

const SEARCHING: &str = "searching";
const COUNTING: &str = "counting";
/// Elasticsearch gives no more than this in one page.
pub(super) const WINDOW_MAX: usize = 10_000;

/// Which part of which search is wanted.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The indices that are looked into.
    pub(super) indices: String,
    pub(super) query: Value,
    pub(super) sort: Value,
    /// Which fields of the documents are left out.
    pub(super) without: &'static [&'static str],
    /// How many of the first to leave out.
    pub(super) skip: usize,
    /// How many at most.
    pub(super) limit: usize,
}

impl Window {
    /// What is wanted of each document.
    pub(super) fn source(&self) -> Value {
        if self.without.is_empty() { true.into() } else { json!({ "excludes": self.without }) }
    }
}

#[derive(Deserialize)]
pub(super) struct Searched {
    pub(super) hits: SearchedHits,
}

#[derive(Deserialize)]
pub(super) struct SearchedHits {
    total: Option<Total>,
    pub(super) hits: Vec<SearchedHit>,
}

#[derive(Deserialize)]
pub(super) struct Total {
    pub(super) value: usize,
    pub(super) relation: String,
}

#[derive(Deserialize)]
pub(super) struct SearchedHit {
    pub(super) _id: String,
    _source: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) sort: Vec<Value>,
}

impl SearchedHit {
    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self._source.as_ref().map_or(0, |source| source.get().len())
    }

    /// The record, if it is one.
    pub(super) fn record(&self) -> Option<Record> {
        log_document::read(&self._id, self._source.as_ref()?.get())
    }
}

/// Where a page of a search begins.
enum From<'a> {
    /// Counted from the first.
    Start,
    /// Behind a record, within a snapshot.
    Behind { after: Vec<Value>, snapshot: &'a str },
}

impl Inner {
    /// Finds the records of a window.
    pub(super) async fn found_in(&self, window: &Window) -> Result<Found, StoreError> {
        if window.skip.saturating_add(window.limit) <= WINDOW_MAX {
            return self.found_from(window, &From::Start).await;
        }
        // Within a snapshot records that are equal in all that orders them have an order, too.
        let snapshot = self.open_snapshot_of_logs(SEARCHING, &window.indices).await?;
        let found = match self.walk(window, &snapshot).await {
            Ok(Some(after)) => self.found_from(window, &From::Behind { after, snapshot: &snapshot }).await,
            Ok(None) => self.count(window).await,
            Err(error) => Err(error),
        };
        self.close_snapshot(&snapshot).await;
        found
    }

    async fn found_from(&self, window: &Window, from: &From<'_>) -> Result<Found, StoreError> {
        let mut body = json!({
            "query": window.query, "size": window.limit, "sort": window.sort,
            "track_total_hits": Found::TOTAL_MAX, "_source": window.source(),
        });
        let found: Searched = match from {
            From::Start => {
                body["from"] = window.skip.into();
                self.ask_logs(SEARCHING, &window.indices, &body).await?
            }
            From::Behind { after, snapshot } => {
                body["search_after"] = after.as_slice().into();
                self.ask_snapshot(snapshot, body).await?
            }
        };
        let (total, total_is_lower_bound) = counted(&found);
        let records: Vec<Record> = found.hits.hits.iter().filter_map(SearchedHit::record).collect();
        Ok(Found { records, total, total_is_lower_bound })
    }

    /// The sort values of the last record that is left out; `None` when there are not as many.
    async fn walk(&self, window: &Window, snapshot: &str) -> Result<Option<Vec<Value>>, StoreError> {
        let (mut left, mut after) = (window.skip, None::<Vec<Value>>);
        while left > 0 {
            let size = left.min(WINDOW_MAX);
            let mut body = json!({
                "query": window.query, "size": size, "sort": window.sort, "track_total_hits": false, "_source": false,
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

    /// A page of a snapshot.
    pub(super) async fn hits_of_snapshot(
        &self,
        snapshot: &str,
        mut body: Value,
    ) -> Result<Vec<SearchedHit>, StoreError> {
        body["track_total_hits"] = false.into();
        Ok(self.ask_snapshot(snapshot, body).await?.hits.hits)
    }

    async fn count(&self, window: &Window) -> Result<Found, StoreError> {
        let body = json!({ "query": window.query, "size": 0, "track_total_hits": Found::TOTAL_MAX });
        let (total, total_is_lower_bound) = counted(&self.ask_logs(SEARCHING, &window.indices, &body).await?);
        Ok(Found { records: Vec::new(), total, total_is_lower_bound })
    }

    /// Counts what is stored by now. No index: none.
    pub(super) async fn count_of(&self, index: &str, query: &Value) -> Result<u64, StoreError> {
        #[derive(Deserialize)]
        struct Counted {
            count: u64,
        }
        self.refresh(index).await?;
        let path = format!("/{index}/_count?ignore_unavailable=true&allow_no_indices=true");
        let answer = self.client.call(COUNTING, Method::Post, path, Some(&json!({ "query": query }))).await?;
        if is_missing(&answer) {
            return Ok(0);
        }
        if !answer.status.is_success() {
            return Err(unavailable(COUNTING, problem::of_answer(&answer)));
        }
        Ok(read::<Counted>(COUNTING, &answer.body)?.count)
    }

    /// Searches indices of which none may be there.
    pub(super) async fn ask_logs<T: DeserializeOwned>(
        &self,
        doing: &'static str,
        indices: &str,
        body: &Value,
    ) -> Result<T, StoreError> {
        let path = format!("/{indices}/_search?{WHOLE}&ignore_unavailable=true&allow_no_indices=true");
        self.client.ask(doing, Method::Post, path, Some(body)).await
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
}

fn counted(found: &Searched) -> (usize, bool) {
    let total = found.hits.total.as_ref();
    let value = total.map_or(0, |total| total.value);
    (value.min(Found::TOTAL_MAX), total.is_some_and(|total| total.relation == "gte"))
}
