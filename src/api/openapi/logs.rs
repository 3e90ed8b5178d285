//! The logs: what became of tasks and runs.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::document::{self, BODY_FAILURES};
use super::operation::{Needs, Operation, READ, Schemas, WRITE};
use super::tasks::IdentityRequest;
use super::words::{
    Count, EntryName, Identity, Millis, Moment, RecordType, RecordUuid, Status, TriggerWord, UnixSeconds, UtcDate,
    one_of, pattern, requiring, text, whole, words,
};
use crate::api::reply::Done;
use crate::api::view::{LogPageView, SearchView};
use crate::model::RecordKind;
use crate::store::{LogCursor, LogQuery, LogSort, Words};

const TAG: &str = "logs";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "What became of tasks and runs. Every answer is 200 with an envelope.")
}

/// One value, or an array of 1 to 100 of them.
fn one_or_several<T: ToSchema>() -> AnyOfBuilder {
    let several = ArrayBuilder::new().items(T::schema()).min_items(Some(1)).max_items(Some(100));
    AnyOfBuilder::new().item(T::schema()).item(several)
}

words! {
    /// One task, or 1 to 100 of them.
    Identities = one_or_several::<Identity>();

    /// One entry name, or 1 to 100 of them.
    EntryNames = one_or_several::<EntryName>();

    /// One kind of records, or several.
    RecordTypes = one_or_several::<RecordType>();

    /// A status, or a class such as `"4xx"`.
    StatusOrClass = AnyOfBuilder::new().item(whole(100, 999)).item(pattern("^[1-9]xx$"));

    /// A status or a class such as `"4xx"`, or 1 to 100 of both.
    StatusChoice = one_or_several::<StatusOrClass>();

    /// Words that all have to occur in message, URL or response: at most 1 KiB and 32 words.
    QueryText = text(0, Words::LEN_MAX).examples(["connection refused"]);

    /// In which order; of a stretch of instants the last one counts.
    SortOrder = one_of(LogSort::ALL.map(LogSort::as_str)).default(Some(json!("time_desc")));

    /// The `next_cursor` of the page before.
    Cursor = text(0, LogCursor::LEN_MAX);

    /// How many log documents a page holds at most.
    PageLimit = whole(1, i64::try_from(LogQuery::LIMIT_MAX).unwrap_or(i64::MAX)).default(Some(json!(100)));

    /// A moment, or seconds since the Unix epoch: as an upper bound they count to their end.
    MomentOrSeconds = AnyOfBuilder::new()
        .item(Moment::schema())
        .item(ObjectBuilder::new().schema_type(Type::Integer));

    /// How many hits are given.
    SearchLimit = whole(1, 100);

    /// How many hits are left out before the first one given.
    Skip = whole(0, i64::from(u32::MAX));

    /// What records tell of; empty: all.
    RecordTypeOrAll = one_of(RecordKind::HISTORY.map(RecordKind::as_str).into_iter().chain([""]));
}

/// Bounds in seconds since the Unix epoch, both included. Zero is none.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `wire` reads")]
struct SecondsWithin {
    gte: Option<i64>,
    lte: Option<i64>,
}

/// Which log documents of a task.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `wire` reads")]
struct SearchRequest {
    identity: Identity,
    limit: SearchLimit,
    skip: Skip,
    r#type: Option<RecordTypeOrAll>,
    time: Option<SecondsWithin>,
}

/// Bounds in time, both included.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `log_search` reads")]
struct MomentsWithin {
    gte: Option<Moment>,
    lte: Option<Moment>,
}

/// Bounds in time, both included.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `log_search` reads")]
struct TimeWithin {
    gte: Option<MomentOrSeconds>,
    lte: Option<MomentOrSeconds>,
}

/// Bounds in milliseconds, both included.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `log_search` reads")]
struct MillisWithin {
    gte: Option<Millis>,
    lte: Option<Millis>,
}

/// Which log documents of all tasks. All that is given must hold.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `log_search` reads")]
struct LogSearchRequest {
    query: Option<QueryText>,
    identity: Option<Identities>,
    entry: Option<EntryNames>,
    r#type: Option<RecordTypes>,
    status: Option<StatusChoice>,
    run_id: Option<RecordUuid>,
    fire_time: Option<MomentsWithin>,
    time: Option<TimeWithin>,
    lateness_ms: Option<MillisWithin>,
    duration_ms: Option<MillisWithin>,
    sort: Option<SortOrder>,
    limit: Option<PageLimit>,
    cursor: Option<Cursor>,
}

/// A log document. Which fields it has depends on its `type`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `journal` writes")]
struct LogFields {
    r#type: RecordType,
    identity: Identity,
    /// When it was recorded.
    time: UnixSeconds,
    /// The same to the millisecond.
    #[serde(rename = "@timestamp")]
    timestamp: UtcDate,
    /// The name of the entry.
    key: EntryName,
    /// Where the request went; a password in it is `***`.
    url: Option<String>,
    /// The headers of the request; values that carry credentials are `***`.
    header: Option<BTreeMap<String, String>>,
    /// The body of the request to the target, or to `/put`, `/delete`, `/running`.
    body: Value,
    /// The answer of the target, as far as it is kept: JSON as it is, anything else as a text.
    response: Value,
    /// White space that stood before and after an answer in JSON.
    response_lead: String,
    response_trail: String,
    response_truncated: bool,
    /// Why a run failed.
    message: Vec<String>,
    run_id: RecordUuid,
    /// The planned instant.
    fire_time: UtcDate,
    /// The first and the last of a stretch of instants.
    first: UtcDate,
    last: UtcDate,
    /// How many instants it stands for.
    count: Count,
    /// Of a skipped instant what decided so.
    policy: Value,
    /// Why an instant was missed, or a request was refused.
    reason: String,
    /// Who paused it, and why; who asked.
    by: String,
    note: String,
    trigger: TriggerWord,
    /// `schedule`, `catch_up`, or who asked for it.
    run_by: String,
    /// The words that whoever asked for the run gave.
    args: String,
    redelivered: bool,
    rerun_of: RecordUuid,
    rerun_as: RecordUuid,
    discarded_by: String,
    /// The backfill that it belongs to, and how many of its runs go at once.
    backfill: RecordUuid,
    backfill_at_once: Count,
    /// Which callback it was, and of which run.
    callback: CallbackWord,
    callback_of: RecordUuid,
    /// When it was to start, with its jitter.
    due_at: UtcDate,
    started_at: UtcDate,
    lateness_ms: Millis,
    duration_ms: Millis,
    status: Status,
    attempts: Vec<AttemptAnswer>,
    /// It failed for good, and nobody has dealt with it.
    dead_letter: bool,
    /// Bytes of the answer.
    result_size: Count,
    content_type: String,
    result_pieces: Count,
    result_truncated: bool,
    result_error: String,
    /// How many redirects were followed, and where the last one led; a password in it is `***`.
    redirects: Count,
    last_url: String,
    /// Of a run that has not ended: what it waits for, and what the service needs to go on after a crash.
    state: StageWord,
    phase: Count,
    revision: Count,
    resume_at: UtcDate,
    /// Of an audit document: which operation was asked for, and at which path.
    operation: String,
    path: String,
    /// By what it is known who asked, and the address that the request came from.
    source: String,
    from: String,
    outcome: AuditOutcomeWord,
    /// What it was about beside the task of `identity`, if it was about one.
    object: String,
    name: String,
    /// The states before and after, without credentials; a long one is told by its `sha256` and its `bytes`.
    before: Value,
    before_revision: Count,
    after: Value,
    /// How many requests like it have no document, as there were too many.
    unlogged: Count,
}

/// An attempt that has ended.
#[derive(ToSchema)]
#[schema(as = Attempt)]
#[expect(dead_code, reason = "it only describes what `journal` writes")]
pub(in crate::api) struct AttemptAnswer {
    attempt: Count,
    started_at: UtcDate,
    duration_ms: Millis,
    #[schema(required = false)]
    status: Status,
    #[schema(required = false)]
    error: String,
    /// How long the answer was.
    bytes: Count,
}

words! {
    /// An option that names a callback.
    CallbackWord = one_of(["on_failure", "on_success", "on_recovery"]);

    /// How a request ended.
    AuditOutcomeWord = one_of(["done", "no_change", "refused", "failed"]);

    /// What a run waits for.
    StageWord = one_of(["queued", "running", "backing_off"]);
}

/// A log document.
pub(in crate::api) struct LogDocument;

impl PartialSchema for LogDocument {
    fn schema() -> RefOr<Schema> {
        requiring(LogFields::schema(), &["type", "time"])
    }
}

impl ToSchema for LogDocument {
    fn schemas(schemas: &mut Schemas) {
        LogFields::schemas(schemas);
    }
}

pub(super) fn operations() -> Vec<Operation> {
    vec![search(), clear(), search_all()]
}

fn operation(path: &'static str, needs: Needs, id: &'static str, summary: &str) -> Operation {
    Operation::new(Method::POST, path, needs, id, TAG, summary).shared(&BODY_FAILURES)
}

fn document_example() -> Value {
    json!({
        "type": "success", "identity": "backup", "key": "nightly", "url": "http://127.0.0.1:8080/backup", "header": null,
        "body": { "full": true }, "response": { "files": 12 }, "time": 1_795_000_000, "@timestamp": "2026-11-18T11:06:40.120Z",
        "run_id": "019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f", "fire_time": "2026-11-18T11:06:40.000Z", "trigger": "schedule",
        "started_at": "2026-11-18T11:06:40.002Z", "lateness_ms": 2, "duration_ms": 118, "status": 200,
    })
}

fn search() -> Operation {
    let example = json!({
        "took": 1, "timed_out": false, "_shards": { "total": 1, "successful": 1, "skipped": 0, "failed": 0 },
        "hits": { "total": { "value": 1, "relation": "eq" }, "max_score": null, "hits": [{
            "_index": "schedule-service", "_type": "_doc", "_id": "019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f", "_score": null,
            "_source": document_example(), "sort": [1_795_000_000],
        }] },
    });
    operation("/search", READ, "searchTaskLog", "Finds log documents of a task, newest first")
        .description(
            "The answer has the shape of an Elasticsearch answer. `total` counts to 10,000, then `relation` is `gte`.",
        )
        .json::<SearchRequest>(json!({ "identity": "backup", "limit": 20, "skip": 0, "type": "success" }))
        .data::<SearchView<'_>>("The hits", example)
}

fn clear() -> Operation {
    operation("/clear", WRITE, "clearTaskLog", "Deletes the log of a task")
        .json::<IdentityRequest>(json!({ "identity": "backup" }))
        .done::<Done<'_>>("Deleted")
}

fn search_all() -> Operation {
    let text = "Every key may be left out, and `{}` gives the newest 100. Ask again with the same query and `cursor` until \
        `next_cursor` is `null`; only `limit` may change. The pages show what was there at the first one. The type \
        `audit` is asked for alone, and needs the role `admin` without prefixes; nothing else shows it.";
    let request = json!({
        "query": "connection refused", "type": "error", "status": ["5xx", 404], "time": { "gte": "2026-11-21T00:00:00Z" },
        "sort": "time_desc", "limit": 50,
    });
    let example = json!({
        "took_ms": 3, "total": { "value": 1, "relation": "eq" },
        "logs": [{ "id": "019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f", "log": document_example() }], "next_cursor": null,
    });
    operation("/logs/search", READ, "searchAllLogs", "Finds log documents of all tasks")
        .description(text)
        .json::<LogSearchRequest>(request)
        .data::<LogPageView<'_>>("A page of log documents", example)
}
