//! Keys.

use http::Method;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{Content, ContentBuilder};

use super::document::{self, BODY_FAILURES};
use super::operation::{ADMIN, JSON, Operation};
use super::words::{Duration, KeyId, Moment, Refused, RoleWord, text, whole, words};
use crate::access::{NAME_MAX, REQUESTS_PER_SECOND_MAX, TASKS_MAX_MAX};
use crate::api::keys::{KeyView, NewKeyView};
use crate::api::reply::Done;
use crate::model::NAME_LEN_MAX;

const TAG: &str = "keys";
const ID: &str = "0123456789abcdef";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "Keys: who may ask for what.")
}

words! {
    /// The name of a key: what is done with it bears this name. Two valid keys never have the same.
    KeyName = text(1, NAME_MAX).format(super::words::format("key-name")).examples(["ci"]);

    /// The beginning of an identity.
    KeyPrefix = text(1, NAME_LEN_MAX).format(super::words::format("identity")).examples(["team-a/"]);

    /// Requests a second, and as many at once.
    RequestRate = whole(0, REQUESTS_PER_SECOND_MAX.into());

    /// A number of tasks.
    TaskLimit = whole(0, TASKS_MAX_MAX as i64);
}

/// A key that is to be made. At most one of `expires_in` and `expires_at` is given; without either it is valid for ever.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `keys` reads")]
struct KeyRequest {
    name: KeyName,
    role: RoleWord,
    /// It is for tasks whose identity begins with one of these; none: for all.
    #[schema(max_items = 20)]
    prefixes: Option<Vec<KeyPrefix>>,
    /// How often it may be used; 0: as often as one likes. Without it `[limits] requests_per_key_per_second` holds.
    requests_per_second: Option<RequestRate>,
    /// How many tasks there may be of those that it is for, whoever puts them; 0: as many as one likes. Without it `[limits]
    /// tasks_per_key_max` holds. A put of one more is refused.
    tasks_max: Option<TaskLimit>,
    /// For how long it is valid, 1s to 3660d.
    expires_in: Option<Duration>,
    /// Until when it is valid.
    expires_at: Option<Moment>,
}

/// A rotation.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `keys` reads")]
struct RotateRequest {
    /// For how long the secret before goes on to open, at most 30d; without it for no time.
    overlap: Option<Duration>,
}

fn shown() -> Value {
    json!({
        "id": ID, "name": "ci", "role": "write", "prefixes": ["team-a/"], "requests_per_second": 50, "tasks_max": null,
        "standing": "valid",
        "created_at": "2026-11-21T07:15:30.123Z", "created_by": "admin", "expires_at": "2027-02-19T07:15:30.123Z",
        "rotated_at": null, "overlaps_until": null, "revoked_at": null,
    })
}

fn with_key() -> Value {
    let mut shown = shown();
    shown["key"] = format!("sk_{ID}_{}", "0".repeat(64)).into();
    shown
}

pub(super) fn operations() -> Vec<Operation> {
    vec![create(), list(), rotate(), revoke()]
}

fn create() -> Operation {
    let text = "The answer holds the key, this once: only a hash of it is kept. The first key has to be of the role `admin` and without \
        prefixes, unless the configuration has an admin key. From the first key on, requests without a key are refused.";
    let mut operation = Operation::new(Method::POST, "/keys", ADMIN, "createKey", TAG, "Makes a key").description(text);
    let schema = utoipa::openapi::schema::ObjectBuilder::new()
        .property("error", operation.reference::<super::words::Zero>())
        .required("error")
        .property("data", operation.reference::<NewKeyView<'_>>())
        .required("data");
    let example = json!({ "error": 0, "data": with_key() });
    let made = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
    let refused = Content::new(Some(operation.reference::<Refused>()));
    operation
        .json::<KeyRequest>(json!({ "name": "ci", "role": "write", "prefixes": ["team-a/"], "expires_in": "90d" }))
        .content(201, "Made", JSON, made)
        .content(200, "Not made, and why", JSON, refused)
        .shared(&BODY_FAILURES)
}

fn list() -> Operation {
    Operation::new(Method::GET, "/keys", ADMIN, "getKeys", TAG, "Lists the keys, without their secrets")
        .description("The oldest first. Keys that have expired or were revoked are listed for 30 days.")
        .data_list::<KeyView<'_>>("The keys", json!([shown()]))
        .shared(&[(405, "OtherMethod"), (503, "Busy")])
}

fn rotate() -> Operation {
    let mut operation =
        Operation::new(Method::POST, "/keys/{id}/rotate", ADMIN, "rotateKey", TAG, "Gives a key another secret")
            .description(
                "Name, role and prefixes stay. With `overlap` the secret before goes on to open for that long.",
            )
            .path_parameter::<KeyId>("id", "The key", ID);
    let schema = operation.reference::<RotateRequest>();
    operation
        .body(&[JSON], false, schema, json!({ "overlap": "1h" }))
        .data::<NewKeyView<'_>>("The key with its new text", with_key())
        .shared(&BODY_FAILURES)
}

fn revoke() -> Operation {
    Operation::new(Method::DELETE, "/keys/{id}", ADMIN, "revokeKey", TAG, "Revokes a key")
        .description(
            "Here it opens nothing from then on, on other nodes of the cluster two seconds later at the latest.",
        )
        .path_parameter::<KeyId>("id", "The key", ID)
        .done::<Done<'_>>("Revoked; or there is no such key")
        .shared(&BODY_FAILURES)
}
