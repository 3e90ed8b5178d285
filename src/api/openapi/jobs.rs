//! Job runs: the contract's third family.

use http::Method;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::header::Header;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{Content, ContentBuilder};

use super::document;
use super::operation::{JSON, Needs, OPERATE, Operation, READ, Schemas, reference};
use super::security;
use super::words::{
    JobId, LooseDate, MethodList, RecordUuid, Seconds, any_text, at_least, pattern, text, whole, words,
};
use crate::api::jobs::{Count, JobView, RunView};

const TAG: &str = "jobs";
const PROBLEM: &str = "application/problem+json";
/// What goes wrong at any of these paths.
const FAILURES: [(u16, &str); 8] = [
    (400, "JobBad"),
    (404, "JobUnknown"),
    (405, "JobOtherMethod"),
    (408, "JobTooSlow"),
    (413, "JobTooLarge"),
    (415, "JobUnknownEncoding"),
    (500, "JobBrokeOff"),
    (503, "JobBusy"),
];

pub(super) fn tag() -> Tag {
    document::tag(
        TAG,
        "A job is an entry. Its runs can be listed, asked for, cancelled and run again. Errors are RFC 9457.",
    )
}

words! {
    /// A text that is found in identity, entry, tags or description, in any case.
    JobText = text(0, 256);

    /// How many are left out before the first one given.
    StartAt = at_least(0).default(Some(json!(0)));

    /// How many are given at most.
    MaxResults = whole(1, 1_000).default(Some(json!(100)));

    /// One of `IN_PROGRESS`, `SUCCEEDED`, `FAILED`, or several, separated by commas.
    RunStatuses = pattern("^((IN_PROGRESS|SUCCEEDED|FAILED)(,(IN_PROGRESS|SUCCEEDED|FAILED))*)?$").examples(["FAILED"]);

    /// Words for the target, separated by blanks: at most 8 KiB, no control characters.
    Args = pattern("^[^\\x00-\\x08\\x0A-\\x1F\\x7F-\\x9F]*$").max_length(Some(8 * 1024)).examples(["2026-11-20 full"]);

    /// Which bytes, as HTTP says it.
    RangeText = any_text().examples(["bytes=0-1023"]);

    /// What a header says.
    HeaderText = any_text();
}

/// A run on demand.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `jobs` reads")]
struct RunRequest {
    args: Option<Args>,
}

/// What is wrong with a request (RFC 9457).
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it only describes what `problem` writes")]
struct Problem {
    r#type: String,
    title: String,
    status: u16,
    /// What is wrong, in a sentence.
    detail: String,
    /// The name of the parameter that is wrong.
    #[schema(required = false)]
    parameter: String,
    /// Its value.
    #[schema(required = false)]
    value: String,
    /// What was expected.
    #[schema(required = false)]
    expected: String,
    /// The run that waits already.
    #[schema(required = false)]
    waiting_run: RecordUuid,
}

/// Answers that these operations share, by their names.
pub(super) fn responses(schemas: &mut Schemas) -> Vec<(&'static str, Response)> {
    let problem = reference::<Problem>(schemas);
    let (methods, seconds) = (reference::<MethodList>(schemas), reference::<Seconds>(schemas));
    let challenge = security::challenge(schemas);
    let response =
        |text: &str| ResponseBuilder::new().description(text).content(PROBLEM, Content::new(Some(problem.clone())));
    vec![
        ("JobNoKey", security::challenged(response(security::NO_KEY), &challenge)),
        ("JobNotAllowed", response(security::NOT_ALLOWED).build()),
        ("JobTooMany", response(security::TOO_MANY).header("Retry-After", Header::new(seconds.clone())).build()),
        ("JobBad", response("A parameter or the body is wrong").build()),
        ("JobUnknown", response("There is no such job or run").build()),
        ("JobOtherMethod", response("The path takes another method").header("Allow", Header::new(methods)).build()),
        ("JobTooSlow", response("The body did not come in time (`[server] body_timeout_s`)").build()),
        ("JobTooLarge", response("The body is larger than `[server] max_body`").build()),
        ("JobUnknownEncoding", response("The `Content-Encoding` is neither `gzip` nor `identity`").build()),
        ("JobBrokeOff", response("It may be done or not: read it back before asking again").build()),
        ("JobBusy", response("Overloaded, loading or going down").header("Retry-After", Header::new(seconds)).build()),
    ]
}

/// An operation with what all of them take and answer. `path` stands behind each of the two prefixes.
fn operation(
    method: Method,
    paths: &'static [&'static str; 2],
    needs: Needs,
    id: &'static str,
    summary: &str,
) -> Operation {
    let [path, _] = paths;
    let operation = Operation::new(method, path, needs, id, TAG, summary).also_at(&paths[1..]).shared(&FAILURES);
    let operation = match path.contains("{jobId}") {
        true => operation.path_parameter::<JobId>("jobId", "The job, as the listing gives it", "backup:nightly"),
        false => operation,
    };
    match path.contains("{runId}") {
        true => operation.path_parameter::<RecordUuid>("runId", "The run", "019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f"),
        false => operation,
    }
}

/// A path with both of its prefixes.
macro_rules! paths {
    ($path:literal) => {
        &[concat!("/scheduled-jobs", $path), concat!("/rest/ng/scheduled-jobs", $path)]
    };
}

pub(super) fn operations() -> Vec<Operation> {
    vec![list(), count(), one(), run_now(), runs(), one_run(), cancel(), rerun(), result(), result_head()]
}

fn job() -> Value {
    json!({
        "id": "backup:nightly", "name": "backup:nightly", "identity": "backup", "entry": "nightly",
        "cronExpression": "0 0 3 * * *", "timeZone": "Europe/Berlin", "nextRunOn": "2026-11-22T03:00:00.000+01:00",
        "lastRunOn": "2026-11-21T03:00:00.000+01:00", "lastRunStatus": "SUCCEEDED", "activityStatus": "IDLE", "enabled": true,
    })
}

fn run() -> Value {
    json!({
        "id": "019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f", "jobId": "backup:nightly", "jobName": "backup:nightly",
        "startedAt": "2026-11-21T03:00:00.002+01:00", "finishedAt": "2026-11-21T03:00:00.120+01:00", "status": "SUCCEEDED",
        "message": "answered with status 200", "runBy": "schedule", "rtArgs": null,
        "fireTime": "2026-11-21T03:00:00.000+01:00", "trigger": "schedule", "attempts": 1, "statusCode": 200, "latenessMs": 2,
        "durationMs": 118, "resultSize": 11,
    })
}

/// A 200 with an example.
fn answered<T: ToSchema>(mut operation: Operation, text: &str, example: Value) -> Operation {
    let schema = operation.reference::<T>();
    let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
    operation.content(200, text, JSON, content)
}

fn answered_by_list<T: ToSchema>(mut operation: Operation, text: &str, example: Value) -> Operation {
    let schema = ArrayBuilder::new().items(operation.reference::<T>());
    let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
    operation.content(200, text, JSON, content)
}

fn paged(operation: Operation) -> Operation {
    operation
        .query_parameter::<StartAt>("startAt", "How many are left out before the first one given")
        .query_parameter::<MaxResults>("maxResults", "How many are given at most")
}

fn list() -> Operation {
    let operation = operation(Method::GET, paths!(""), READ, "getJobs", "Lists jobs")
        .query_parameter::<JobText>("query", "Found in identity, entry, tags and description, in any case");
    answered_by_list::<JobView<'_>>(paged(operation), "The jobs, by identity and entry", json!([job()]))
}

fn count() -> Operation {
    let operation = operation(Method::GET, paths!("/count"), READ, "countJobs", "Counts jobs")
        .query_parameter::<JobText>("query", "Found in identity, entry, tags and description, in any case");
    answered::<Count>(operation, "How many there are", json!({ "count": 12 }))
}

fn one() -> Operation {
    let operation = operation(Method::GET, paths!("/{jobId}"), READ, "getJob", "Shows a job");
    answered::<JobView<'_>>(operation, "The job", job())
}

fn run_now() -> Operation {
    let text = "A job has at most one run on demand in progress: one asked for while any run of the job is in progress waits \
        behind it. Once `runId` is answered, the run survives a crash. The args reach the target as `{{args}}`, as header \
        `X-Schedule-Args`, and for a GET as the query `args`.";
    let mut operation =
        operation(Method::POST, paths!("/{jobId}/runs"), OPERATE, "runJob", "Runs a job now").description(text);
    let schema = operation.reference::<RunRequest>();
    let operation = operation.body(&[JSON], false, schema, json!({ "args": "2026-11-20 full" }));
    let mut example = job();
    example["runId"] = json!("019aa2d4-11f0-7c1e-8d53-6f0a4b1c2d3e");
    conflict(answered::<JobView<'_>>(operation, "Queued: the job, with the run", example), "A run waits already")
}

/// An answer of 409.
fn conflict(mut operation: Operation, text: &str) -> Operation {
    let schema = operation.reference::<Problem>();
    operation.content(409, text, PROBLEM, Content::new(Some(schema)))
}

fn runs() -> Operation {
    let operation = operation(Method::GET, paths!("/{jobId}/runs"), READ, "getRuns", "Lists the runs of a job")
        .description("Newest first. Dates look at the planned instant of a run, or at the moment it was asked for.")
        .query_parameter::<LooseDate>("fromDate", "Only runs from then on")
        .query_parameter::<LooseDate>("toDate", "Only runs until then; a bare day means its end")
        .query_parameter::<RunStatuses>("status", "Only runs with one of these");
    answered_by_list::<RunView<'_>>(paged(operation), "The runs", json!([run()]))
}

fn one_run() -> Operation {
    let operation =
        operation(Method::GET, paths!("/{jobId}/runs/{runId}"), READ, "getRun", "Shows a run with its attempts");
    answered::<RunView<'_>>(operation, "The run", run())
}

fn cancel() -> Operation {
    let operation = operation(Method::DELETE, paths!("/{jobId}/runs/{runId}"), OPERATE, "cancelRun", "Cancels a run")
        .response(204, ResponseBuilder::new().description("Cancelled, waiting or under way"));
    conflict(operation, "It has ended, or its request is under way at the node that had the job before")
}

fn rerun() -> Operation {
    let operation =
        operation(Method::POST, paths!("/{jobId}/runs/{runId}/rerun"), OPERATE, "rerunRun", "Runs a run again")
            .description("With the same args. A body is not looked at.");
    conflict(
        answered::<JobView<'_>>(operation, "Queued: the job, with the new run", job()),
        "It is in progress, or a run waits",
    )
}

fn result() -> Operation {
    result_operation(Method::GET, "getResult", "Gives the answer of the target")
}

fn result_head() -> Operation {
    result_operation(Method::HEAD, "getResultHead", "Tells of the answer of the target")
}

fn result_operation(method: Method, id: &'static str, summary: &str) -> Operation {
    let has_body = method == Method::GET;
    let mut operation = operation(method, paths!("/{jobId}/runs/{runId}/result-file"), READ, id, summary)
        .description("As a download with the type that the target gave.")
        .header_parameter::<RangeText>("Range", "One range of bytes; what is not understood is left alone")
        .header_parameter::<RangeText>("If-Range", "The `ETag` that the range belongs to");
    let header = operation.reference::<HeaderText>();
    let with_headers = |text: &str, names: &[&str]| {
        let response = ResponseBuilder::new().description(text);
        names.iter().fold(response, |response, name| response.header(*name, Header::new(header.clone())))
    };
    let with_content = |response: ResponseBuilder| match has_body {
        true => response.content("*/*", Content::default()),
        false => response,
    };
    let names = ["Accept-Ranges", "Content-Disposition", "ETag"];
    let ranged = ["Accept-Ranges", "Content-Disposition", "ETag", "Content-Range"];
    let operation = operation
        .response(200, with_content(with_headers("All of it", &names)))
        .response(206, with_content(with_headers("The part that was asked for", &ranged)))
        .response(416, with_headers("No such part", &ranged));
    gone(operation)
}

fn gone(mut operation: Operation) -> Operation {
    let schema = operation.reference::<Problem>();
    operation.content(410, "Retention took it", PROBLEM, Content::new(Some(schema)))
}
