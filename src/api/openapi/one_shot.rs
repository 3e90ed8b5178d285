//! One request at one instant: the contract's second family.

use http::Method;
use serde_json::json;
use utoipa::openapi::header::Header;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{Content, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::document;
use super::operation::{JSON, Needs, Operation, READ, Schemas, WRITE, reference};
use super::security;
use super::words::{MethodList, Moment, OneShotId, Seconds, Url, any_text};
use crate::api::one_shot::OneShotView;

const TAG: &str = "one-shots";
const FORM: &str = "application/x-www-form-urlencoded";
/// What goes wrong at any of these paths.
const FAILURES: [(u16, &str); 6] = [
    (405, "OneShotOtherMethod"),
    (408, "OneShotTooSlow"),
    (413, "OneShotTooLarge"),
    (415, "OneShotUnknownType"),
    (500, "OneShotBrokeOff"),
    (503, "OneShotBusy"),
];

pub(super) fn tag() -> Tag {
    document::tag(TAG, "One GET at one instant. Errors are messages by field, or a detail.")
}

/// One request at one instant.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `one_shot` reads")]
struct ScheduleRequest {
    /// In the future and before 2200; without an offset `[server] default_time_zone` holds.
    date_time: FutureMoment,
    url: Url,
}

/// ISO 8601, with an offset or without.
type FutureMoment = Moment;

/// What is wrong.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `one_shot` writes")]
struct Detail {
    detail: String,
}

/// Messages by field.
struct FieldMessages;

impl PartialSchema for FieldMessages {
    fn schema() -> RefOr<Schema> {
        let messages = || ArrayBuilder::new().items(any_text()).min_items(Some(1));
        ["date_time", "url", "non_field_errors"]
            .into_iter()
            .fold(ObjectBuilder::new().schema_type(Type::Object), |object, field| object.property(field, messages()))
            .min_properties(Some(1))
            .description(Some("Messages by field."))
            .examples([json!({ "date_time": ["This field is required."], "url": ["Enter a valid URL."] })])
            .into()
    }
}

impl ToSchema for FieldMessages {}

/// Answers that these operations share, by their names.
pub(super) fn responses(schemas: &mut Schemas) -> Vec<(&'static str, Response)> {
    let detail = reference::<Detail>(schemas);
    let (methods, seconds) = (reference::<MethodList>(schemas), reference::<Seconds>(schemas));
    let challenge = security::challenge(schemas);
    let response =
        |text: &str| ResponseBuilder::new().description(text).content(JSON, Content::new(Some(detail.clone())));
    vec![
        ("OneShotNoKey", security::challenged(response(security::NO_KEY), &challenge)),
        ("OneShotNotAllowed", response(security::NOT_ALLOWED).build()),
        ("OneShotTooMany", response(security::TOO_MANY).header("Retry-After", Header::new(seconds.clone())).build()),
        ("OneShotUnknown", response("There is no such request, or retention took it").build()),
        ("OneShotOtherMethod", response("The path takes another method").header("Allow", Header::new(methods)).build()),
        ("OneShotTooSlow", response("The body did not come in time (`[server] body_timeout_s`)").build()),
        ("OneShotTooLarge", response("The body is larger than `[server] max_body`").build()),
        ("OneShotUnknownType", response("The type or the encoding of the body is not known").build()),
        ("OneShotBrokeOff", response("It may be done or not: read it back before asking again").build()),
        (
            "OneShotBusy",
            response("Overloaded, loading or going down").header("Retry-After", Header::new(seconds)).build(),
        ),
    ]
}

pub(super) fn operations() -> Vec<Operation> {
    vec![schedule(), status(), cancel()]
}

fn schedule() -> Operation {
    let example = json!({ "date_time": "2199-12-24T18:00:00+01:00", "url": "http://127.0.0.1:8080/bell" });
    let mut operation = Operation::new(Method::POST, "/schedule", WRITE, "scheduleOneShot", TAG, "Schedules a request");
    let body = operation.reference::<ScheduleRequest>();
    let wrong = AnyOfBuilder::new().item(operation.reference::<FieldMessages>()).item(operation.reference::<Detail>());
    operation
        .description("At that instant one GET without parameters goes to the URL, as it was given.")
        .also_at(&["/api/schedule"])
        .body(&[JSON, FORM], true, body, example)
        .answer::<OneShotView<'_>>(201, "Scheduled")
        .content(400, "Messages by field, or the body cannot be read", JSON, Content::new(Some(wrong)))
        .shared(&FAILURES)
}

/// An operation on one request.
fn of_one(method: Method, needs: Needs, id: &'static str, summary: &str) -> Operation {
    let mut operation = Operation::new(method, "/schedule/{id}", needs, id, TAG, summary);
    let detail = operation.reference::<Detail>();
    operation
        .also_at(&["/api/schedule/{id}"])
        .path_parameter::<OneShotId>("id", "The id that was answered", "019b5271-ae80-7000-8000-000000000000")
        .content(400, "A body that came along cannot be read", JSON, Content::new(Some(detail)))
        .shared(&[(404, "OneShotUnknown")])
        .shared(&FAILURES)
}

fn status() -> Operation {
    of_one(Method::GET, READ, "getOneShot", "Tells where a request stands")
        .answer::<OneShotView<'_>>(200, "`scheduled`, `succeeded` (any 2xx) or `failed`")
}

fn cancel() -> Operation {
    let mut operation = of_one(Method::DELETE, WRITE, "cancelOneShot", "Cancels a request")
        .response(204, ResponseBuilder::new().description("Cancelled"));
    let detail = operation.reference::<Detail>();
    operation.content(409, "It has been sent", JSON, Content::new(Some(detail)))
}
