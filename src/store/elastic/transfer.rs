//! Everything, as it stands: read in pages from a snapshot.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::client::{WHOLE, read, unavailable};
use super::query::Marked;
use super::results::PieceDocument;
use super::runs::is_unfinished;
use super::task_document::{MARK, PAST, TASK, TaskDocument};
use super::{Elastic, Inner, log_document, problem};
use crate::model::{Identity, Record, ShardSet, Timestamp};
use crate::store::transfer::{Items, Kind, Mark, Page, Pages, Position, ResultPiece, StoredRevision, Transfer};
use crate::store::{BoxError, StoreError};

const READING: &str = "reading all there is";
/// How many documents the first page holds; later ones hold more or less, by their size.
const PAGE_FIRST: usize = 200;
const PAGE_MAX: usize = 1_000;
/// How large a page should be, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How many pages are read ahead.
const PAGES_AHEAD_MAX: usize = 2;
/// How long a snapshot is kept between two pages.
const SNAPSHOT_KEPT: &str = "10m";

#[async_trait]
impl Transfer for Elastic {
    async fn complete(&self) -> Result<(), StoreError> {
        self.inner.check_open()?;
        let leases = self.inner.all_leases().await?;
        self.inner.refresh(&self.inner.names.tasks).await?;
        self.inner.repeat_consequences(ShardSet::ALL, &leases).await
    }

    fn pages(&self, kind: Kind, after: Option<Position>) -> Pages {
        let (pages, receiver) = mpsc::channel(PAGES_AHEAD_MAX);
        let inner = self.inner.clone();
        tokio::spawn(async move {
            if let Err(error) = inner.give_pages(kind, after, &pages).await {
                // Who asked may have gone.
                let _ = pages.send(Err(error)).await;
            }
        });
        receiver
    }

    async fn restore(&self, items: Items) -> Result<(), StoreError> {
        self.inner.check_open()?;
        match items {
            Items::Revisions(items) => self.inner.restore_revisions(&items).await,
            Items::Marks(marks) => self.inner.restore_marks(&marks).await,
            Items::Records(records) => self.inner.append(&records).await,
            Items::Results(pieces) => self.inner.restore_pieces(&pieces).await,
            Items::Pauses(pauses) => self.inner.restore_pauses(&pauses).await,
            Items::Registers(registers) => self.inner.restore_registers(&registers).await,
            Items::Leases(leases) => self.inner.restore_leases(&leases).await,
        }
    }

    async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        let names = &self.inner.names;
        match kind {
            Kind::Revisions => self.inner.count_of(&names.tasks, &json!({ "terms": { "kind": [TASK, PAST] } })).await,
            Kind::Cleared => Ok(0),
            Kind::Marks => self.inner.count_of(&names.tasks, &json!({ "term": { "kind": MARK } })).await,
            Kind::Records => self.inner.count_of(&names.all_logs(), &json!({ "match_all": {} })).await,
            Kind::Audit => self.inner.count_of(&names.all_audit(), &json!({ "match_all": {} })).await,
            Kind::Results => self.inner.count_of(&names.all_results(), &json!({ "match_all": {} })).await,
            Kind::Pauses => Ok(u64::from(self.inner.pauses().await?.version > 0)),
            Kind::Registers => Ok(self.inner.copied_registers().await?.len() as u64),
            Kind::Leases => Ok(self.inner.all_leases().await?.len() as u64),
        }
    }

    async fn count_foreign(&self) -> Result<u64, StoreError> {
        match self.inner.has_legacy {
            true => self.inner.count_of(&self.inner.names.alias, &json!({ "match_all": {} })).await,
            false => Ok(0),
        }
    }
}

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
    _id: String,
    _source: Box<RawValue>,
    sort: Vec<Value>,
}

impl Hit {
    fn corrupt(&self, source: impl Into<BoxError>) -> StoreError {
        StoreError::Corrupt { what: format!("document {:?}", self._id), source: source.into() }
    }

    fn revision(&self) -> Result<StoredRevision, StoreError> {
        let document = TaskDocument::read(&self._id, self._source.get())?;
        Ok(StoredRevision { revision: document.to_revision()?, is_newest: document.kind == TASK })
    }

    fn mark(&self) -> Result<Mark, StoreError> {
        let Marked { identity, mark } =
            serde_json::from_str(self._source.get()).map_err(|error| self.corrupt(error))?;
        let identity = (!identity.is_empty()).then(|| Identity::parse(&identity)).transpose();
        Ok(Mark {
            identity: identity.map_err(|error| self.corrupt(error))?,
            through: Timestamp::from_millis(mark.through),
            hides: mark.cleared_seq > 0,
        })
    }

    fn piece(&self) -> Result<ResultPiece, StoreError> {
        let document: PieceDocument = serde_json::from_str(self._source.get()).map_err(|error| self.corrupt(error))?;
        let (run, number) = document.name().ok_or_else(|| self.corrupt("its run has no name"))?;
        Ok(ResultPiece { run, number, bytes: document.to_bytes()? })
    }

    /// The record and its number.
    fn record(&self) -> Result<(Record, u64), StoreError> {
        let record = log_document::read(&self._id, self._source.get());
        let seq = self.sort.first().and_then(Value::as_u64);
        record.zip(seq).ok_or_else(|| self.corrupt("it is no log document of ours"))
    }
}

/// All there is of a kind, in one page; no page where there is nothing.
async fn send_whole(items: Items, pages: &mpsc::Sender<Result<Page, StoreError>>) -> Result<(), StoreError> {
    if !items.is_empty() {
        // Who asked may have gone.
        let _ = pages.send(Ok(Page { items, after: Position::of(()) })).await;
    }
    Ok(())
}

impl Inner {
    async fn settled_through(&self) -> Result<Timestamp, StoreError> {
        let leases = self.all_leases().await?;
        Ok(leases.iter().map(|lease| lease.settled_through).min().unwrap_or_default())
    }

    async fn give_pages(
        self: Arc<Self>,
        kind: Kind,
        after: Option<Position>,
        pages: &mpsc::Sender<Result<Page, StoreError>>,
    ) -> Result<(), StoreError> {
        let indices = match kind {
            Kind::Pauses => {
                let pauses = self.pauses().await?;
                return send_whole(Items::Pauses((pauses.version > 0).then_some(pauses).into_iter().collect()), pages)
                    .await;
            }
            Kind::Registers => return send_whole(Items::Registers(self.copied_registers().await?), pages).await,
            Kind::Leases => return send_whole(Items::Leases(self.all_leases().await?), pages).await,
            Kind::Revisions | Kind::Marks => self.names.tasks.to_string(),
            Kind::Cleared | Kind::Records => self.names.all_logs(),
            Kind::Audit => self.names.all_audit(),
            Kind::Results => self.names.all_results(),
        };
        let body = self.question(kind, after).await?;
        let snapshot = self.open_snapshot(&indices).await?;
        let given = self.give_hits(kind, body, &snapshot, pages).await;
        self.close_snapshot(&snapshot).await;
        given
    }

    /// What is asked for, in which order, and after which place.
    async fn question(&self, kind: Kind, after: Option<Position>) -> Result<Value, StoreError> {
        let after: Option<Vec<Value>> = after.map(|after| after.read()).transpose()?;
        let mut body = match kind {
            Kind::Revisions => json!({
                "query": { "terms": { "kind": [TASK, PAST] } }, "sort": ["shard", "identity", "number"],
            }),
            Kind::Marks => json!({ "query": { "term": { "kind": MARK } }, "sort": ["identity"] }),
            Kind::Results => json!({ "query": { "match_all": {} }, "sort": ["run_id", "number"] }),
            Kind::Cleared | Kind::Records | Kind::Audit | Kind::Pauses | Kind::Registers | Kind::Leases => {
                // Two nodes may have given the same number: what has that of the place is given again.
                let begin = after.as_ref().and_then(|after| after.first()).unwrap_or(&Value::Null);
                let mut filter = vec![json!({ "exists": { "field": "record.seq" } })];
                filter.push(json!({ "range": { "record.seq": { "gte": begin } } }));
                if kind == Kind::Cleared {
                    let settled_through = self.settled_through().await?.millis();
                    let is_unsettled = json!({ "range": { "record.last": { "gt": settled_through } } });
                    filter.push(json!({ "bool": { "should": [is_unsettled, is_unfinished()] } }));
                }
                return Ok(json!({ "query": { "bool": { "filter": filter } }, "sort": ["record.seq"] }));
            }
        };
        if let Some(after) = after {
            body["search_after"] = after.into();
        }
        Ok(body)
    }

    async fn give_hits(
        &self,
        kind: Kind,
        mut body: Value,
        snapshot: &str,
        pages: &mpsc::Sender<Result<Page, StoreError>>,
    ) -> Result<(), StoreError> {
        body["pit"] = json!({ "id": snapshot, "keep_alive": SNAPSHOT_KEPT });
        body["track_total_hits"] = false.into();
        let mut size = PAGE_FIRST;
        loop {
            body["size"] = size.into();
            let answer = self.client.call(READING, Method::Post, format!("/_search?{WHOLE}"), Some(&body)).await?;
            if !answer.status.is_success() {
                return Err(unavailable(READING, problem::of_answer(&answer)));
            }
            let hits = read::<Found>(READING, &answer.body)?.hits.hits;
            let Some(last) = hits.last().map(|hit| hit.sort.clone()) else { return Ok(()) };
            let count = hits.len();
            let (items, after) = (self.items(kind, &hits).await?, Position::of(&last));
            if pages.send(Ok(Page { items, after })).await.is_err() {
                return Ok(());
            }
            body["search_after"] = last.into();
            size = (PAGE_BYTES / (answer.body.len() / count).max(1)).clamp(1, PAGE_MAX).min(size * 4);
        }
    }

    async fn items(&self, kind: Kind, hits: &[Hit]) -> Result<Items, StoreError> {
        Ok(match kind {
            Kind::Revisions => Items::Revisions(hits.iter().map(Hit::revision).collect::<Result<_, _>>()?),
            Kind::Marks => Items::Marks(hits.iter().map(Hit::mark).collect::<Result<_, _>>()?),
            Kind::Results => Items::Results(hits.iter().map(Hit::piece).collect::<Result<_, _>>()?),
            Kind::Audit => {
                let records = hits.iter().map(|hit| hit.record().map(|(record, _)| record));
                Items::Records(records.collect::<Result<_, _>>()?)
            }
            Kind::Cleared | Kind::Records | Kind::Pauses | Kind::Registers | Kind::Leases => {
                let records = hits.iter().map(Hit::record).collect::<Result<Vec<_>, _>>()?;
                let cleared = self.cleared_seqs(records.iter().map(|(record, _)| &record.identity)).await?;
                let is_cleared = |record: &Record, seq| cleared.get(&record.identity).is_some_and(|&mark| seq <= mark);
                let wanted = records.into_iter().filter(|(it, seq)| is_cleared(it, *seq) == (kind == Kind::Cleared));
                Items::Records(wanted.map(|(record, _)| record).collect())
            }
        })
    }

    /// Up to which record the history of each of these tasks was cleared; zero: it was not.
    pub(super) async fn cleared_seqs<'a>(
        &self,
        identities: impl Iterator<Item = &'a Identity>,
    ) -> Result<HashMap<Identity, u64>, StoreError> {
        let asked: BTreeMap<&str, &Identity> = identities.map(|identity| (identity.as_str(), identity)).collect();
        let names: Vec<&str> = asked.keys().copied().collect();
        let marks = self.marks(&names).await?;
        Ok(asked.into_values().cloned().zip(marks.into_iter().map(|mark| mark.cleared_seq)).collect())
    }
}
