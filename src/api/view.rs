//! What clients get: tasks and search answers in the words of the contract.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::journal::MaskedHeaders;
use crate::model::{Entry, Header, JsonText, NEVER, Record, Task, TimeZone, Timestamp};
use crate::store::{Found, LogPage};

/// A task as `/get` shows it and as the log document of its put keeps it.
#[derive(Serialize)]
pub(super) struct TaskView<'a> {
    identity: &'a str,
    time_zone: &'static str,
    start: bool,
    entries: BTreeMap<&'a str, EntryView<'a>>,
}

#[derive(Serialize)]
struct EntryView<'a> {
    cron_time: &'a str,
    url: &'a str,
    headers: Option<HeadersView<'a>>,
    body: Option<&'a RawValue>,
    next_date: String,
    last_date: String,
}

/// The two dates of an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dates {
    pub(super) next: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
}

#[derive(Clone, Copy)]
enum HeadersView<'a> {
    Plain(&'a [Header]),
    Masked(&'a [Header]),
}

impl Serialize for HeadersView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(headers) => {
                serializer.collect_map(headers.iter().map(|header| (header.name(), header.value())))
            }
            Self::Masked(headers) => MaskedHeaders(headers).serialize(serializer),
        }
    }
}

impl<'a> TaskView<'a> {
    /// For a client, with the dates of each entry.
    pub(super) fn for_client(task: &'a Task, start: bool, dates: &[Dates]) -> Self {
        let entries = task.entries.iter().zip(dates).map(|(entry, dates)| {
            let view = EntryView::new(entry, *dates, task.time_zone, HeadersView::Plain);
            (entry.name.as_str(), view)
        });
        Self { entries: entries.collect(), ..Self::without_entries(task, start) }
    }

    /// For the history: no dates, and no credentials.
    pub(super) fn for_log(task: &'a Task, start: bool) -> Self {
        let entries = task.entries.iter().map(|entry| {
            let view = EntryView::new(entry, Dates::default(), task.time_zone, HeadersView::Masked);
            (entry.name.as_str(), view)
        });
        Self { entries: entries.collect(), ..Self::without_entries(task, start) }
    }

    fn without_entries(task: &'a Task, start: bool) -> Self {
        let (identity, time_zone) = (task.identity.as_str(), task.time_zone.name());
        Self { identity, time_zone, start, entries: BTreeMap::new() }
    }
}

impl<'a> EntryView<'a> {
    fn new(
        entry: &'a Entry,
        dates: Dates,
        zone: TimeZone,
        headers: impl FnOnce(&'a [Header]) -> HeadersView<'a>,
    ) -> Self {
        Self {
            cron_time: &entry.cron_time,
            url: entry.request.url.as_str(),
            headers: entry.request.headers.as_deref().map(headers),
            body: entry.request.body.as_ref().map(JsonText::as_raw),
            next_date: date(dates.next, zone),
            last_date: date(dates.last, zone),
        }
    }
}

fn date(instant: Option<Timestamp>, zone: TimeZone) -> String {
    instant.map_or_else(|| NEVER.to_owned(), |instant| instant.rfc3339_in(zone))
}

/// A search answer in the shape of Elasticsearch's.
#[derive(Serialize)]
pub(super) struct SearchView<'a> {
    took: u64,
    timed_out: bool,
    _shards: ShardsView,
    hits: HitsView<'a>,
}

#[derive(Serialize)]
struct ShardsView {
    total: u32,
    successful: u32,
    skipped: u32,
    failed: u32,
}

#[derive(Serialize)]
struct HitsView<'a> {
    total: TotalView,
    max_score: Option<f64>,
    hits: Vec<HitView<'a>>,
}

#[derive(Serialize)]
struct TotalView {
    value: usize,
    relation: &'static str,
}

#[derive(Serialize)]
struct HitView<'a> {
    _index: &'a str,
    _type: &'static str,
    _id: String,
    _score: Option<f64>,
    _source: &'a RawValue,
    sort: [i64; 1],
}

impl<'a> SearchView<'a> {
    pub(super) fn new(found: &'a Found, index: &'a str, took_ms: u64) -> Self {
        Self {
            took: took_ms,
            timed_out: false,
            _shards: ShardsView { total: 1, successful: 1, skipped: 0, failed: 0 },
            hits: HitsView {
                total: TotalView::new(found.total, found.total_is_lower_bound),
                max_score: None,
                hits: found.records.iter().map(|record| HitView::new(record, index)).collect(),
            },
        }
    }
}

impl TotalView {
    fn new(value: usize, is_lower_bound: bool) -> Self {
        Self { value, relation: if is_lower_bound { "gte" } else { "eq" } }
    }
}

impl<'a> HitView<'a> {
    fn new(record: &'a Record, index: &'a str) -> Self {
        Self {
            _index: index,
            _type: "_doc",
            _id: record.id.to_string(),
            _score: None,
            _source: document(record),
            sort: [record.time.secs()],
        }
    }
}

/// The log document as it was stored.
fn document(record: &Record) -> &RawValue {
    serde_json::from_str(&record.source).expect("a log document is JSON")
}

/// A page of log documents.
#[derive(Serialize)]
pub(super) struct LogPageView<'a> {
    took_ms: u64,
    total: TotalView,
    logs: Vec<LogView<'a>>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct LogView<'a> {
    id: String,
    log: &'a RawValue,
}

impl<'a> LogPageView<'a> {
    pub(super) fn new(page: &'a LogPage, took_ms: u64) -> Self {
        let view = |record: &'a Record| LogView { id: record.id.to_string(), log: document(record) };
        Self {
            took_ms,
            total: TotalView::new(page.total.value, page.total.is_lower_bound),
            logs: page.records.iter().map(view).collect(),
            next_cursor: page.next.as_ref().map(ToString::to_string),
        }
    }
}
