//! What is secret, and the secrets that the store keeps.

use http::Method;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::tag::Tag;

use super::document::{self, BODY_FAILURES};
use super::operation::{ADMIN, Operation};
use super::words::{SecretName, text, words};
use crate::api::reply::Done;
use crate::api::secrets::{RotatedView, SecretsView};
use crate::model;

const TAG: &str = "secrets";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "What is filled in for `${secret:NAME}` when a request goes out. No answer holds a value.")
}

words! {
    /// The value: 1 to 65536 bytes.
    SecretValue = text(1, model::SecretText::LEN_MAX).examples(["s3cret"]);
}

/// The value of a secret.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes what `secrets` reads")]
struct SetSecretRequest {
    value: SecretValue,
}

pub(super) fn operations() -> Vec<Operation> {
    let listed = json!({
        "name": "db-password", "sources": ["store"], "changed": "2026-11-21T06:15:30.123Z", "by": "ada", "problem": null,
    });
    let named = |method, id, summary| {
        Operation::new(method, "/secrets/{name}", ADMIN, id, TAG, summary)
            .path_parameter::<SecretName>("name", "Which secret", "db-password")
            .shared(&BODY_FAILURES)
    };
    vec![
        Operation::new(Method::GET, "/secrets", ADMIN, "getSecrets", TAG, "Tells which secrets there are")
            .description("As the node that answers knows them: each has its own environment and files.")
            .data::<SecretsView<'_>>("The secrets, without their values", json!({ "secrets": [listed] }))
            .shared(&BODY_FAILURES),
        named(Method::PUT, "setSecret", "Keeps a secret in the store")
            .description(
                "Encrypted by the first key of `[secrets] key_file`. The node that answers fills it in from now on, others \
                 after two seconds. At most 1000 secrets, 1 MiB in all. Not known by this way: the name `rotate`.",
            )
            .json::<SetSecretRequest>(json!({ "value": "s3cret" }))
            .done::<Done<'_>>("It is kept; or why not"),
        named(Method::DELETE, "deleteSecret", "Takes a secret out of the store")
            .done::<Done<'_>>("It is gone, also if it was not there; or why not"),
        Operation::new(Method::POST, "/secrets/rotate", ADMIN, "rotateSecrets", TAG, "Encrypts the secrets of the store anew")
            .description("By the first key of `[secrets] key_file`, which the other nodes have to hold, too. All or none.")
            .data::<RotatedView>("How many there are; or why not", json!({ "rotated": 3 }))
            .shared(&BODY_FAILURES),
    ]
}
