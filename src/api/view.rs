//! What clients get: tasks and search answers in the words of the contract.

use std::collections::BTreeMap;

use http::Method;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::masked::MaskedOption;
use super::openapi::{EntryAnswer, LogDocument, words};
use crate::journal::MaskedHeaders;
use crate::model::object::{Mistakes, Object};
use crate::model::{
    Callback, Entry, EntryOptions, EntryState, Header, JsonText, Masking, NEVER, Record, Request, Revision, Task,
    TimeZone, Timestamp,
};
use crate::store::{Found, LogPage};

/// A task as `/get` shows it and as the log document of its put keeps it.
#[derive(Serialize, ToSchema)]
#[schema(as = Task)]
pub(super) struct TaskView<'a> {
    #[schema(value_type = words::Identity)]
    identity: &'a str,
    #[schema(value_type = words::TimeZone)]
    time_zone: &'static str,
    /// Whether it is switched on.
    start: bool,
    /// Its number, in detail only.
    #[schema(value_type = u64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[schema(value_type = PausedView<'a>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<PausedView<'a>>,
    #[schema(value_type = BTreeMap<String, EntryAnswer>)]
    entries: BTreeMap<&'a str, EntryView<'a>>,
}

/// Why a task is switched off.
#[derive(Serialize, ToSchema)]
#[schema(as = Paused)]
struct PausedView<'a> {
    note: &'a str,
    /// Who did it, if that is known.
    #[schema(required)]
    by: Option<&'a str>,
    #[schema(value_type = words::ZonedDate)]
    since: String,
}

struct EntryView<'a> {
    entry: &'a Entry,
    zone: TimeZone,
    /// `None`: as it would be put, without what is ours and without what is not given.
    dates: Option<Dates>,
    state: Option<EntryState>,
    /// By what credentials are masked; `None`: they are shown.
    mask: Option<&'a Masking>,
}

/// The two dates of an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dates {
    pub(super) next: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
}

struct PlainHeaders<'a>(&'a [Header]);

impl Serialize for PlainHeaders<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|header| (header.name(), header.value())))
    }
}

impl<'a> TaskView<'a> {
    /// For a client, with the dates of each entry. `mask`: the client may not see credentials.
    pub(super) fn for_client(
        revision: &'a Revision,
        dates: &[Dates],
        details: bool,
        mask: Option<&'a Masking>,
    ) -> Self {
        let task = &*revision.task;
        let view = |(entry, dates): (&'a Entry, &Dates)| {
            let state = EntryState::of(revision, entry, dates.next);
            let state = Some(state).filter(|state| details || *state == EntryState::Finished);
            let (zone, dates) = (task.time_zone, Some(*dates));
            (entry.name.as_str(), EntryView { entry, zone, dates, state, mask })
        };
        Self {
            revision: details.then_some(revision.number),
            paused: PausedView::of(revision).filter(|_| details),
            entries: task.entries.iter().zip(dates).map(view).collect(),
            ..Self::without_entries(task, revision.enabled)
        }
    }

    /// For the history: no dates, and no credentials.
    pub(super) fn for_log(task: &'a Task, start: bool, masking: &'a Masking) -> Self {
        let view = |entry: &'a Entry| {
            let (zone, dates) = (task.time_zone, Some(Dates::default()));
            (entry.name.as_str(), EntryView { entry, zone, dates, state: None, mask: Some(masking) })
        };
        Self { entries: task.entries.iter().map(view).collect(), ..Self::without_entries(task, start) }
    }

    /// As it would be put again, with the number of the revision if that is wanted. `mask`: the client may not see credentials.
    pub(super) fn for_put(task: &'a Task, start: bool, revision: Option<u64>, mask: Option<&'a Masking>) -> Self {
        let view = |entry: &'a Entry| {
            (entry.name.as_str(), EntryView { entry, zone: task.time_zone, dates: None, state: None, mask })
        };
        let entries = task.entries.iter().map(view).collect();
        Self { revision, entries, ..Self::without_entries(task, start) }
    }

    fn without_entries(task: &'a Task, start: bool) -> Self {
        let (identity, time_zone) = (task.identity.as_str(), task.time_zone.name());
        Self { identity, time_zone, start, revision: None, paused: None, entries: BTreeMap::new() }
    }
}

impl<'a> PausedView<'a> {
    fn of(revision: &'a Revision) -> Option<Self> {
        let note = revision.note.as_deref().filter(|_| !revision.enabled)?;
        let since = revision.in_force_from.rfc3339_in(revision.task.time_zone);
        Some(Self { note, by: revision.by.as_deref(), since })
    }
}

impl Serialize for EntryView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Entry { schedule, request, .. } = self.entry;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(schedule.key(), schedule.text())?;
        match self.mask {
            Some(_) => map.serialize_entry("url", &request.url.masked())?,
            None => map.serialize_entry("url", request.url.as_str())?,
        }
        if request.method != Method::POST {
            map.serialize_entry("method", request.method.as_str())?;
        }
        match (request.headers.as_deref(), self.mask) {
            (Some(headers), Some(masking)) => map.serialize_entry("headers", &MaskedHeaders(headers, masking))?,
            (None, _) if self.dates.is_none() => {}
            (headers, _) => map.serialize_entry("headers", &headers.map(PlainHeaders))?,
        }
        if request.body.is_some() || self.dates.is_some() {
            map.serialize_entry("body", &request.body.as_ref().map(JsonText::as_raw))?;
        }
        let mut given: Vec<_> = self.entry.options.iter().flat_map(|options| &options.given).collect();
        if self.dates.is_none() {
            // So that definitions can be compared as texts.
            given.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        }
        for (key, value) in given {
            match (callback(self.entry.options(), key), self.mask) {
                (Some(callback), Some(masking)) => {
                    map.serialize_entry(key, &MaskedCallback { callback, given: value.as_raw(), masking })?;
                }
                (None, Some(_)) => map.serialize_entry(key, &MaskedOption { key, given: value.as_raw() })?,
                (_, None) => map.serialize_entry(key, value.as_raw())?,
            }
        }
        if let Some(dates) = self.dates {
            map.serialize_entry("next_date", &date(dates.next, self.zone))?;
            map.serialize_entry("last_date", &date(dates.last, self.zone))?;
        }
        if let Some(state) = self.state {
            map.serialize_entry("state", state.as_str())?;
        }
        map.end()
    }
}

fn callback<'a>(options: &'a EntryOptions, key: &str) -> Option<&'a Callback> {
    match key {
        "on_failure" => options.on_failure.as_ref(),
        "on_success" => options.on_success.as_ref(),
        "on_recovery" => options.on_recovery.as_ref(),
        _ => None,
    }
}

/// A callback as it was given, with the credentials in its URL and its headers masked.
struct MaskedCallback<'a> {
    callback: &'a Callback,
    given: &'a RawValue,
    masking: &'a Masking,
}

impl Serialize for MaskedCallback<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = Object::read(self.given, String::new(), &mut Mistakes::default());
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in members.map(Object::into_members).into_iter().flatten() {
            let Request { url, headers, .. } = &self.callback.request;
            match (&*key, headers) {
                ("url", _) => map.serialize_entry("url", &url.masked())?,
                ("headers", Some(headers)) => map.serialize_entry("headers", &MaskedHeaders(headers, self.masking))?,
                _ => map.serialize_entry(&key, &MaskedOption { key: &key, given: value })?,
            }
        }
        map.end()
    }
}

fn date(instant: Option<Timestamp>, zone: TimeZone) -> String {
    instant.map_or_else(|| NEVER.to_owned(), |instant| instant.rfc3339_in(zone))
}

/// A search answer in the shape of Elasticsearch's.
#[derive(Serialize, ToSchema)]
#[schema(as = SearchAnswer)]
pub(super) struct SearchView<'a> {
    /// Milliseconds.
    took: u64,
    timed_out: bool,
    _shards: ShardsView,
    hits: HitsView<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Shards)]
struct ShardsView {
    total: u32,
    successful: u32,
    skipped: u32,
    failed: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Hits)]
struct HitsView<'a> {
    total: TotalView,
    #[schema(required)]
    max_score: Option<f64>,
    hits: Vec<HitView<'a>>,
}

/// How many there are in all.
#[derive(Serialize, ToSchema)]
#[schema(as = Total)]
struct TotalView {
    value: usize,
    /// `eq`: so many; `gte`: at least so many.
    #[schema(value_type = words::Relation)]
    relation: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Hit)]
struct HitView<'a> {
    _index: &'a str,
    _type: &'static str,
    _id: String,
    #[schema(required)]
    _score: Option<f64>,
    #[schema(value_type = LogDocument)]
    _source: &'a RawValue,
    /// When it was recorded, in seconds since the Unix epoch.
    #[schema(value_type = Vec<i64>, min_items = 1, max_items = 1)]
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
#[derive(Serialize, ToSchema)]
#[schema(as = LogPage)]
pub(super) struct LogPageView<'a> {
    took_ms: u64,
    total: TotalView,
    logs: Vec<LogView<'a>>,
    /// What to give as `cursor` for the next page; `null` when there is none.
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LogItem)]
struct LogView<'a> {
    #[schema(value_type = words::RecordUuid)]
    id: String,
    #[schema(value_type = LogDocument)]
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
