//! The task endpoints: the contract's first family.

use http::Method;
use serde_json::{Value, json};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::document::{self, BODY_FAILURES};
use super::entry::EntryRequest;
use super::operation::{Needs, Operation, READ, Schemas, WRITE, reference};
use super::words::{Identity, RevisionNumber, TimeZone, text};
use crate::api::reply::Done;
use crate::api::view::TaskView;
use crate::model::{NAME_LEN_MAX, Task};

const TAG: &str = "tasks";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "Put, get, switch and delete tasks. Every answer is 200 with an envelope.")
}

/// A task as it is put. Keys that are not known are kept out and told in `warnings`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `wire` reads")]
pub(super) struct PutRequest {
    identity: Identity,
    time_zone: TimeZone,
    /// Whether it is switched on.
    start: bool,
    entries: EntryRequests,
    /// The revision that must be in force, 0 for none. Otherwise nothing is changed.
    revision: Option<RevisionNumber>,
}

/// Entries by their names.
pub(super) struct EntryRequests;

impl PartialSchema for EntryRequests {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .property_names(Some(text(1, NAME_LEN_MAX).build()))
            .additional_properties(Some(Ref::from_schema_name(EntryRequest::name())))
            .max_properties(Some(Task::ENTRIES_MAX))
            .description(Some("Entries by their names, each of 1 to 256 bytes."))
            .into()
    }
}

impl ToSchema for EntryRequests {
    fn schemas(schemas: &mut Schemas) {
        reference::<EntryRequest>(schemas);
    }
}

/// Which task.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `wire` reads")]
pub(super) struct IdentityRequest {
    identity: Identity,
}

/// Which task, and how much of it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `wire` reads")]
struct GetRequest {
    identity: Identity,
    /// Also the revision, why it is paused, and the state of each entry.
    details: Option<bool>,
}

/// Which task.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `changes` reads")]
pub(super) struct DeleteRequest {
    identity: Identity,
    /// The revision that must be in force.
    revision: Option<RevisionNumber>,
}

/// Which tasks, and how much of them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `wire` reads")]
struct ListsRequest {
    #[schema(max_items = 10_000)]
    identity: Vec<Identity>,
    details: Option<bool>,
}

/// Which task, and where the switch goes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `changes` reads")]
pub(super) struct RunningRequest {
    identity: Identity,
    running: bool,
    /// The revision that must be in force.
    revision: Option<RevisionNumber>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![put(), get(), lists(), all(), running(), delete()]
}

fn operation(path: &'static str, needs: Needs, id: &'static str, summary: &str) -> Operation {
    Operation::new(Method::POST, path, needs, id, TAG, summary).shared(&BODY_FAILURES)
}

pub(super) fn example() -> Value {
    json!({
        "identity": "backup", "time_zone": "Europe/Berlin", "start": true,
        "entries": { "nightly": { "cron_time": "0 0 3 * * *", "url": "http://127.0.0.1:8080/backup", "body": { "full": true } } },
    })
}

pub(super) fn shown() -> Value {
    json!({
        "identity": "backup", "time_zone": "Europe/Berlin", "start": true,
        "entries": { "nightly": {
            "cron_time": "0 0 3 * * *", "url": "http://127.0.0.1:8080/backup", "headers": null, "body": { "full": true },
            "next_date": "2026-11-22T03:00:00+01:00", "last_date": "2026-11-21T03:00:00+01:00",
        } },
    })
}

fn put() -> Operation {
    let text = "Replaces the whole task. `ok` means durable and in force; a task that is refused leaves everything as it \
        was. What `/get` gave can be put back.";
    operation("/put", WRITE, "putTask", "Stores a task whole")
        .description(text)
        .json::<PutRequest>(example())
        .done::<Done<'_>>(STORED)
}

const STORED: &str = "Stored and in force, or refused with every mistake";

fn get() -> Operation {
    operation("/get", READ, "getTask", "Shows a task")
        .json::<GetRequest>(json!({ "identity": "backup" }))
        .data_or_null::<TaskView<'_>>("The task; `null` if there is none", shown())
}

fn lists() -> Operation {
    operation("/lists", READ, "getTasks", "Shows several tasks")
        .json::<ListsRequest>(json!({ "identity": ["backup", "report"] }))
        .data_list::<TaskView<'_>>("The tasks in the order asked; unknown ones are left out", json!([shown()]))
}

fn all() -> Operation {
    operation("/all", READ, "getIdentities", "Names all tasks")
        .description("A body is not looked at.")
        .data_list::<Identity>("The identities, in order", json!(["backup", "report"]))
}

fn running() -> Operation {
    operation("/running", WRITE, "switchTask", "Switches a task on or off")
        .description("After `ok` to a switch-off no run of the task starts.")
        .json::<RunningRequest>(json!({ "identity": "backup", "running": false }))
        .done::<Done<'_>>("Switched; or `this identity does not exists`")
}

fn delete() -> Operation {
    operation("/delete", WRITE, "deleteTask", "Deletes a task")
        .description("Also `ok` for a task that is not there. Its log stays. After `ok` no run of the task starts.")
        .json::<DeleteRequest>(json!({ "identity": "backup" }))
        .done::<Done<'_>>("Deleted")
}
