//! Many tasks at once, and the versions that a task went through.

use http::Method;
use serde_json::json;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::document::{self, BODY_FAILURES};
use super::operation::{Operation, READ, Schemas, WRITE, reference};
use super::tasks::{self, DeleteRequest, PutRequest, RunningRequest};
use super::words::{Identity, any_text, one_of, whole, words};
use crate::api::bulk::{EndView, LineView};
use crate::api::reply::Done;
use crate::api::versions::VersionsView;

const BULK: &str = "bulk";
const VERSIONS: &str = "versions";
const NDJSON: &str = "application/x-ndjson";

pub(super) fn tags() -> [Tag; 2] {
    [
        document::tag(BULK, "Many tasks at once, a JSON object in each line. Both ways are streamed."),
        document::tag(VERSIONS, "The versions that a task went through, with who and when."),
    ]
}

/// A change of one task.
struct BulkLine;

impl PartialSchema for BulkLine {
    fn schema() -> RefOr<Schema> {
        let kinds =
            [("put", PutRequest::name()), ("delete", DeleteRequest::name()), ("running", RunningRequest::name())];
        let one = |(word, name)| {
            ObjectBuilder::new()
                .property(word, Ref::from_schema_name(name))
                .required(word)
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        let kinds = kinds.into_iter().map(one).fold(OneOfBuilder::new(), OneOfBuilder::item);
        kinds.description(Some("A change of one task, as the endpoint of that name would be asked.")).into()
    }
}

impl ToSchema for BulkLine {
    fn schemas(schemas: &mut Schemas) {
        reference::<PutRequest>(schemas);
        reference::<DeleteRequest>(schemas);
        reference::<RunningRequest>(schemas);
    }
}

/// What comes back for each line, and at the end.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes what `bulk` writes")]
enum BulkAnswer<'a> {
    Line(LineView<'a>),
    End(EndView),
}

/// The number of a version.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `versions` reads")]
struct RestoreRequest {
    revision: VersionNumber,
}

words! {
    /// The number of a version.
    VersionNumber = whole(1, i64::MAX);

    /// How many versions a page holds at most.
    VersionsLimit = whole(1, 100).default(Some(json!(20)));

    /// The beginning of identities.
    IdentityPrefix = any_text();

    /// `true` or `false`.
    Flag = one_of(["true", "false"]);

    /// How the tasks are written.
    ExportFormat = one_of(["ndjson"]);
}

/// A text of which each line is a JSON object of this kind.
fn lines_of(line: RefOr<Schema>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).content_media_type(NDJSON).content_schema(Some(line))
}

pub(super) fn operations() -> Vec<Operation> {
    vec![bulk(), export(), versions(), restore()]
}

fn bulk() -> Operation {
    let text = "Each line is atomic and durable by itself. Lines about one task are carried out in their order. What went wrong \
        with a line is told in its answer and keeps no other line.";
    let example = [
        json!({ "put": tasks::example() }).to_string(),
        json!({ "running": { "identity": "backup", "running": false } }).to_string(),
        json!({ "delete": { "identity": "report" } }).to_string(),
    ];
    let answer = "{\"line\":1,\"error\":0,\"msg\":\"ok\",\"revision\":7}\n{\"lines\":1,\"failed\":0}\n";
    let mut operation = Operation::new(Method::POST, "/bulk", WRITE, "changeTasks", BULK, "Changes many tasks");
    let change = lines_of(operation.reference::<BulkLine>())
        .description(Some("A change in each line, which may be as long as `[server] max_body`."));
    let line = operation.reference::<BulkAnswer<'_>>();
    let content = ContentBuilder::new().schema(Some(lines_of(line))).example(Some(answer.into())).build();
    operation
        .description(text)
        .body(&[NDJSON], false, change.into(), (example.join("\n") + "\n").into())
        .content(200, "An answer for each line in the order of the lines, then one for all", NDJSON, content)
        .shared(&[(405, "OtherMethod"), (415, "UnknownEncoding"), (503, "Busy")])
}

fn export() -> Operation {
    let mut operation =
        Operation::new(Method::GET, "/export", READ, "exportTasks", BULK, "Gives all tasks as they would be put")
            .description(
                "One task in each line, in the order of their identities. Each is as it is when its line is written.",
            )
            .query_parameter::<IdentityPrefix>("identity", "Only tasks whose identity begins so")
            .query_parameter::<Flag>(
                "revisions",
                "With the numbers of the revisions, so that putting them back is conditional",
            )
            .query_parameter::<ExportFormat>("format", "How the tasks are written");
    let line = operation.reference::<PutRequest>();
    let example = tasks::example().to_string() + "\n";
    let content = ContentBuilder::new().schema(Some(lines_of(line))).example(Some(example.into())).build();
    operation.content(200, "The tasks", NDJSON, content).shared(&[
        (400, "Unclear"),
        (405, "OtherMethod"),
        (503, "Busy"),
    ])
}

fn versions() -> Operation {
    let example = json!({ "identity": "backup", "next_before": null, "versions": [{
        "revision": 7, "type": "put", "by": "anonymous", "at": "2026-11-21T07:15:30.123Z", "until": null, "start": true,
        "note": null, "changes": null, "task": tasks::shown(),
    }] });
    Operation::new(Method::GET, "/history/{identity}", READ, "getVersions", VERSIONS, "Shows the versions of a task")
        .description("Newest first. Also of a task that was deleted, as long as its history is kept.")
        .path_parameter::<Identity>("identity", "The task, percent-encoded", "backup")
        .query_parameter::<VersionNumber>("before", "Only versions before this one: `next_before` of the page before")
        .query_parameter::<VersionsLimit>("limit", "How many a page holds at most")
        .data::<VersionsView<'_>>("A page of versions; an empty one if there is none", example)
        .shared(&[(400, "Unclear"), (405, "OtherMethod"), (503, "Busy")])
}

fn restore() -> Operation {
    Operation::new(
        Method::POST,
        "/history/{identity}/restore",
        WRITE,
        "restoreVersion",
        VERSIONS,
        "Puts a version again",
    )
    .description("As a new version, with its switch. The answer has the number of the new revision.")
    .path_parameter::<Identity>("identity", "The task, percent-encoded", "backup")
    .json::<RestoreRequest>(json!({ "revision": 1 }))
    .done::<Done<'_>>("Stored and in force, or there is no such version")
    .shared(&BODY_FAILURES)
}
