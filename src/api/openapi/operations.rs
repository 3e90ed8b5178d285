//! What people do with tasks and runs: pause and resume, run past instants, deal with dead letters.

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;
use utoipa::openapi::schema::{AdditionalProperties, AllOfBuilder, AnyOfBuilder, ObjectBuilder, OneOfBuilder};
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::document::{self, BODY_FAILURES};
use super::operation::{Needs, OPERATE, Operation, READ, Schemas, reference};
use super::options::Tag as EntryTag;
use super::words::{Count, EntryName, Identity, LooseDate, RecordUuid, Relation, text, whole, words};
use crate::api::jobs::RunView;
use crate::api::operations::PauseView;
use crate::api::reply::Done;

const TAG: &str = "operations";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "Pause and resume, run past instants, deal with runs that failed for good.")
}

words! {
    /// Why: 1 to 1024 bytes.
    Note = text(1, 1_024).examples(["the disk is full"]);

    /// Always `true`.
    Yes = ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::Boolean)
        .enum_values(Some([true]));

    /// How many runs go at once.
    AtOnce = whole(1, 100).default(Some(json!(1)));

    /// How many are listed at most.
    LettersLimit = whole(1, 1_000).default(Some(json!(100)));

    /// How many are dealt with at most, the newest first.
    ChosenLimit = whole(1, 10_000).default(Some(json!(10_000)));

    /// How many are left out before the first one listed.
    LettersSkip = whole(0, i64::from(u32::MAX)).default(Some(json!(0)));
}

/// What is paused or resumed: one task, all entries with a tag, or all firing.
struct PauseRequest;

impl PartialSchema for PauseRequest {
    fn schema() -> RefOr<Schema> {
        let scopes = [("identity", Identity::name()), ("tag", EntryTag::name()), ("all", Yes::name())];
        let note = || OneOfBuilder::new().item(Ref::from_schema_name(Note::name())).item(null());
        let one = |(key, name)| {
            ObjectBuilder::new()
                .property(key, Ref::from_schema_name(name))
                .required(key)
                .property("note", note())
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        let scopes = scopes.into_iter().map(one).fold(OneOfBuilder::new(), OneOfBuilder::item);
        scopes.description(Some("What is paused or resumed: one task, all entries with a tag, or all firing.")).into()
    }
}

impl ToSchema for PauseRequest {
    fn schemas(schemas: &mut Schemas) {
        reference::<Identity>(schemas);
        reference::<EntryTag>(schemas);
        reference::<Yes>(schemas);
        reference::<Note>(schemas);
    }
}

fn null() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::Null)
}

/// What is paused at present, beside single tasks.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `operations` writes")]
struct Pauses<'a> {
    /// All firing.
    #[schema(required)]
    all: Option<PauseView<'a>>,
    /// Entries by their tags.
    tags: BTreeMap<String, PauseView<'a>>,
}

/// Past instants of an entry.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `operations` reads")]
struct BackfillRequest {
    identity: Identity,
    entry: EntryName,
    from: LooseDate,
    /// A bare day means its end.
    to: LooseDate,
    at_once: Option<AtOnce>,
}

/// Runs of past instants.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `operations` writes")]
struct Backfill {
    backfill: RecordUuid,
    /// How many runs there are.
    runs: Count,
}

/// Which dead letters are listed.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `dead_letters` reads")]
struct DeadLettersRequest {
    identity: Option<Identity>,
    entry: Option<EntryName>,
    /// Without an offset in the zone of the task `identity`; in UTC if none is given or known.
    from: Option<LooseDate>,
    /// The same; a bare day means its end.
    to: Option<LooseDate>,
    all: Option<bool>,
    limit: Option<LettersLimit>,
    skip: Option<LettersSkip>,
}

/// Which dead letters are dealt with.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `dead_letters` reads")]
struct DeadLettersChosen {
    /// This one, of the task `identity`.
    run_id: Option<RecordUuid>,
    identity: Option<Identity>,
    entry: Option<EntryName>,
    /// Without an offset in the zone of the task `identity`; in UTC if none is given or known.
    from: Option<LooseDate>,
    /// The same; a bare day means its end.
    to: Option<LooseDate>,
    all: Option<bool>,
    limit: Option<ChosenLimit>,
}

/// The same, and something has to be said of which.
struct DeadLettersChoice;

impl PartialSchema for DeadLettersChoice {
    fn schema() -> RefOr<Schema> {
        let said = [
            ("identity", Identity::name()),
            ("from", LooseDate::name()),
            ("to", LooseDate::name()),
            ("all", Yes::name()),
        ];
        let one = |(key, name)| ObjectBuilder::new().property(key, Ref::from_schema_name(name)).required(key);
        let said = said.into_iter().map(one).fold(AnyOfBuilder::new(), AnyOfBuilder::item);
        AllOfBuilder::new()
            .item(Ref::from_schema_name(DeadLettersChosen::name()))
            .item(said)
            .description(Some("One by `run_id` and `identity`, those of a filter, or `all`: at most 10,000 at once."))
            .into()
    }
}

impl ToSchema for DeadLettersChoice {
    fn schemas(schemas: &mut Schemas) {
        reference::<DeadLettersChosen>(schemas);
        reference::<Yes>(schemas);
    }
}

/// Runs that failed for good, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `dead_letters` writes")]
struct DeadLetters<'a> {
    total: LettersTotal,
    runs: Vec<RunView<'a>>,
}

/// How many there are in all.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `dead_letters` writes")]
struct LettersTotal {
    value: Count,
    relation: Relation,
}

/// What was run again, and what was not.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `dead_letters` writes")]
struct Reruns {
    reruns: Vec<Rerun>,
    left: Vec<LeftLetter>,
}

/// A run, and the run that does it again.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `dead_letters` writes")]
struct Rerun {
    run_id: RecordUuid,
    rerun_as: RecordUuid,
}

/// A run that stays on the list, and why.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `dead_letters` writes")]
struct LeftLetter {
    run_id: RecordUuid,
    reason: String,
}

/// How many were taken off the list.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `dead_letters` writes")]
struct Discarded {
    discarded: Count,
    left: Vec<LeftLetter>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![pause(), resume(), pauses(), backfill(), dead_letters(), rerun(), discard()]
}

fn operation(path: &'static str, needs: Needs, id: &'static str, summary: &str) -> Operation {
    Operation::new(Method::POST, path, needs, id, TAG, summary).shared(&BODY_FAILURES)
}

fn pause() -> Operation {
    let text = "Pauses survive restarts. While an entry is paused by its tag or with all others, its instants are recorded as \
        `skipped`. A request in flight ends as it would have. Runs on demand go on.";
    operation("/pause", OPERATE, "pause", "Stops firing")
        .description(text)
        .json::<PauseRequest>(json!({ "identity": "backup", "note": "the disk is full" }))
        .done::<Done<'_>>("Paused; or `this identity does not exists`")
}

fn resume() -> Operation {
    operation("/resume", OPERATE, "resume", "Lets it fire again")
        .json::<PauseRequest>(json!({ "identity": "backup" }))
        .done::<Done<'_>>("Resumed; or `this identity does not exists`")
}

fn pauses() -> Operation {
    let pause = json!({ "since": "2026-11-21T06:15:30.123Z", "by": "ada", "note": "the bill is wrong" });
    Operation::new(Method::GET, "/pauses", READ, "getPauses", TAG, "Tells what is paused by tag or in all")
        .data::<Pauses<'_>>("The pauses", json!({ "all": null, "tags": { "billing": pause } }))
        .shared(&[(405, "OtherMethod"), (503, "Busy")])
}

fn backfill() -> Operation {
    let request =
        json!({ "identity": "backup", "entry": "nightly", "from": "2026-11-01", "to": "2026-11-07", "at_once": 2 });
    let answer = json!({ "backfill": "019aa2d4-11f0-7c1e-8d53-6f0a4b1c2d3e", "runs": 7 });
    operation("/backfill", OPERATE, "backfill", "Runs past instants")
        .description("At most 10,000 in one request. The outcomes that the instants already have stay as they are.")
        .json::<BackfillRequest>(request)
        .data::<Backfill>("Queued: a crash does not forget them", answer)
}

fn dead_letters() -> Operation {
    let answer = json!({ "total": { "value": 0, "relation": "eq" }, "runs": [] });
    operation("/dead-letters", READ, "getDeadLetters", "Lists runs that failed for good")
        .description("Runs of entries with `retry`, until they are run again or discarded. `{}` lists all.")
        .json::<DeadLettersRequest>(json!({ "identity": "backup", "limit": 20 }))
        .data::<DeadLetters<'_>>("They, newest first", answer)
}

fn rerun() -> Operation {
    let answer = json!({ "reruns": [{
        "run_id": "019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f", "rerun_as": "019aa2d4-11f0-7c1e-8d53-6f0a4b1c2d3e",
    }], "left": [] });
    operation("/dead-letters/rerun", OPERATE, "rerunDeadLetters", "Runs dead letters again")
        .description(
            "Those of one entry run one after the other. What is left stays on the list: the entry is gone, another \
            request deals with it, or the store failed; then so does the rest.",
        )
        .json::<DeadLettersChoice>(json!({ "all": true }))
        .data::<Reruns>("Queued", answer)
}

fn discard() -> Operation {
    operation("/dead-letters/discard", OPERATE, "discardDeadLetters", "Takes dead letters off the list")
        .description("Their records stay. What is left stays on the list.")
        .json::<DeadLettersChoice>(json!({ "identity": "backup" }))
        .data::<Discarded>("Done", json!({ "discarded": 3, "left": [] }))
}
