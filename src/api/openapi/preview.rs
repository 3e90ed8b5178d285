//! What a put would say, and what will fire. Nothing is changed.

use http::Method;
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AllOfBuilder, AnyOfBuilder, OneOfBuilder};
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{Ref, RefOr, Schema};

use super::document::{self, BODY_FAILURES};
use super::entry::{self, EntryOptions};
use super::operation::{Operation, READ, Schemas, reference};
use super::tasks::{self, EntryRequests, PutRequest};
use super::words::{EntryName, Identity, Moment, TimeZone, any_text, requiring, whole, words};
use crate::api::preview::{NextView, Verdict, WindowView};

const TAG: &str = "preview";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "What a put would say, and what will fire. Nothing is changed.")
}

words! {
    /// How many instants of each entry are told.
    PreviewCount = whole(1, 1_000).default(Some(json!(10)));

    /// How many instants of a window are told.
    WindowLimit = whole(0, 10_000).default(Some(json!(100)));

    /// The beginning of identities.
    PreviewPrefix = any_text();
}

/// The next instants of a task that is there.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `preview` reads")]
struct StoredQuestion {
    identity: Identity,
    /// Only of this entry.
    entry: Option<EntryName>,
    /// Instants later than this; now, if it is left out.
    after: Option<Moment>,
    count: Option<PreviewCount>,
}

/// What all tasks fire within a window of at most 31 days.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `preview` reads")]
struct WindowQuestion {
    from: Moment,
    to: Moment,
    limit: Option<WindowLimit>,
    /// Only tasks whose identity begins so.
    identity: Option<PreviewPrefix>,
    /// The zone in which instants are told; that of each task, if it is left out.
    time_zone: Option<TimeZone>,
}

/// The next instants of a task that is not put. `identity` and `start` may be left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `preview` reads")]
struct TaskDraft {
    identity: Option<Identity>,
    time_zone: TimeZone,
    start: Option<bool>,
    entries: EntryRequests,
    after: Option<Moment>,
    count: Option<PreviewCount>,
}

/// The zone in which a draft is read, and how far is looked ahead.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `preview` reads")]
struct DraftFrame {
    /// `UTC`, if it is left out.
    time_zone: Option<TimeZone>,
    after: Option<Moment>,
    count: Option<PreviewCount>,
}

/// The next instants of an entry that is not put.
struct EntryDraft;

impl PartialSchema for EntryDraft {
    fn schema() -> RefOr<Schema> {
        AllOfBuilder::new()
            .item(entry::trigger())
            .item(Ref::from_schema_name(DraftFrame::name()))
            .item(requiring(EntryOptions::schema(), &[]))
            .description(Some("The next instants of an entry that is not put. Its URL may be left out."))
            .into()
    }
}

impl ToSchema for EntryDraft {
    fn schemas(schemas: &mut Schemas) {
        entry::triggers(schemas);
        reference::<DraftFrame>(schemas);
        EntryOptions::schemas(schemas);
    }
}

/// What is to be looked ahead.
struct PreviewRequest;

impl PartialSchema for PreviewRequest {
    fn schema() -> RefOr<Schema> {
        let names = [EntryDraft::name(), TaskDraft::name(), StoredQuestion::name(), WindowQuestion::name()];
        let choices = names.into_iter().map(Ref::from_schema_name).fold(AnyOfBuilder::new(), AnyOfBuilder::item);
        choices
            .description(Some(
                "Which one it is, is told by its keys: `from` or `to` a window, `entries` a task that is not put, `identity` a \
                 task that is there, else an entry that is not put.",
            ))
            .into()
    }
}

impl ToSchema for PreviewRequest {
    fn schemas(schemas: &mut Schemas) {
        reference::<EntryDraft>(schemas);
        reference::<TaskDraft>(schemas);
        reference::<StoredQuestion>(schemas);
        reference::<WindowQuestion>(schemas);
    }
}

/// The instants of one task, or those of all within a window.
struct PreviewAnswer;

impl PartialSchema for PreviewAnswer {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(Ref::from_schema_name(NextView::name()))
            .item(Ref::from_schema_name(WindowView::name()))
            .into()
    }
}

impl ToSchema for PreviewAnswer {
    fn schemas(schemas: &mut Schemas) {
        reference::<NextView>(schemas);
        reference::<WindowView>(schemas);
    }
}

fn forecast() -> Value {
    json!({ "nightly": {
        "description": "at 03:00:00 each day", "zone": "Europe/Berlin", "state": "active",
        "next": ["2026-11-22T03:00:00+01:00"], "remarks": [],
    } })
}

pub(super) fn operations() -> Vec<Operation> {
    let operation =
        |path, id, summary| Operation::new(Method::POST, path, READ, id, TAG, summary).shared(&BODY_FAILURES);
    let valid = json!({ "valid": true, "mistakes": [], "warnings": [], "entries": forecast() });
    let question = json!({ "cron_time": "0 30 2 * * *", "time_zone": "Europe/Berlin", "count": 3 });
    let next = json!({ "after": "2026-11-21T07:15:30+01:00", "time_zone": "Europe/Berlin", "entries": forecast() });
    vec![
        operation("/validate", "validateTask", "Tells what a put would say")
            .description(
                "All mistakes at once, each with its path; and the next instants of each entry if there is none.",
            )
            .json::<PutRequest>(tasks::example())
            .data::<Verdict>("Whether it is valid", valid),
        operation("/preview", "previewFires", "Tells what will fire")
            .description("The next instants of a draft or of a task, or those of all tasks within a window.")
            .json::<PreviewRequest>(question)
            .data::<PreviewAnswer>("The instants, with what is special on days when the clocks change", next),
    ]
}
