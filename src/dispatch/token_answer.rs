//! One request for a token, and what its answer says.

use std::time::Duration;

use futures_util::StreamExt;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use super::OutgoingRequest;
use super::attempt::Transport;
use super::scrub::Scrub;
use super::tokens::{NoToken, broken};
use crate::model::{Failure, OAuth2Client, SecretText, TokenRequest, is_token};

/// A longer answer is an error, in bytes.
const ANSWER_MAX: usize = 64 * 1024;
/// How much is shown of what a server says is wrong, in characters.
const SHOWN_MAX: usize = 200;
/// How long a token is used whose answer does not say how long it lasts.
const LASTS: Duration = Duration::from_secs(5 * 60);
/// No token is used for longer, whatever its answer says.
const LASTS_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A token as it was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) text: SecretText,
    pub(super) lasts: Duration,
}

pub(super) fn request(client: &OAuth2Client, asked: TokenRequest) -> OutgoingRequest {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Some(authorization) = asked.authorization {
        let mut value = HeaderValue::try_from(authorization).expect("Base64 is visible ASCII");
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    OutgoingRequest { method: Method::POST, url: client.token_url.to_url(), headers, body: asked.body.into() }
}

/// Asks once. Redirects are not followed: the secret is for this server only.
pub(super) async fn ask(
    transport: &dyn Transport,
    client: &OAuth2Client,
    request: OutgoingRequest,
    scrub: &Scrub,
) -> Result<Granted, NoToken> {
    let mut answer = transport.send(request).await.map_err(|error| broken(client, error))?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.body.next().await {
        let chunk = chunk.map_err(|error| broken(client, error))?;
        if body.len() + chunk.len() > ANSWER_MAX {
            let why = format!("its answer is longer than {ANSWER_MAX} bytes");
            return Err(told(client, &why, Failure::Status(answer.status)));
        }
        body.extend_from_slice(&chunk);
    }
    granted(answer.status, &body, scrub).map_err(|why| told(client, &why, Failure::Status(answer.status)))
}

fn told(client: &OAuth2Client, why: &str, failure: Failure) -> NoToken {
    let message = format!("no token from {}: {why}", client.token_url.origin());
    NoToken { message, failure: Some(failure) }
}

/// What an answer gives, or why it gives nothing (RFC 6749, section 5). Pure.
fn granted(status: u16, body: &[u8], scrub: &Scrub) -> Result<Granted, String> {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let text = |key: &str| answer.as_ref().and_then(|answer| answer.get(key)).and_then(Value::as_str);
    if status != 200 {
        let shown = |text: &str| shown(text, scrub);
        let said: Vec<String> = ["error", "error_description"].into_iter().filter_map(text).map(shown).collect();
        let said = if said.is_empty() { String::new() } else { format!(" ({})", said.join(": ")) };
        return Err(format!("answered with status {status}{said}"));
    }
    if let Some(kind) = text("token_type").filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(format!("gave a token of the type `{}`, expected `bearer`", shown(kind, scrub)));
    }
    let Some(token) = text("access_token").filter(|token| is_token(token)) else {
        return Err("its answer holds no `access_token` that can be sent".to_owned());
    };
    let expires_in = answer.as_ref().and_then(|answer| answer.get("expires_in"));
    // Some servers write the number as a text.
    let secs = expires_in.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    let lasts = secs.map_or(LASTS, |secs| Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or(LASTS_MAX));
    Ok(Granted { text: SecretText::new(token), lasts: lasts.min(LASTS_MAX) })
}

/// The start of a text of a server on one line, without the secrets that it was sent.
fn shown(text: &str, scrub: &Scrub) -> String {
    // Before it is cut: the beginning of a secret would not be known for one.
    scrub
        .text(text.to_owned())
        .chars()
        .take(SHOWN_MAX)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lasting(json: &str) -> Duration {
        granted(200, json.as_bytes(), &Scrub::default()).unwrap().lasts
    }

    #[test]
    fn an_answer_gives_a_token_and_says_how_long_it_lasts() {
        let whole = br#"{"access_token":"a.b","token_type":"Bearer","expires_in":3600,"scope":"x"}"#;
        assert_eq!(
            granted(200, whole, &Scrub::default()),
            Ok(Granted { text: SecretText::new("a.b"), lasts: Duration::from_secs(3600) })
        );
        assert_eq!(lasting(r#"{"access_token":"a"}"#), LASTS);
        assert_eq!(lasting(r#"{"access_token":"a","expires_in":"90"}"#), Duration::from_secs(90));
        assert_eq!(lasting(r#"{"access_token":"a","expires_in":-1}"#), Duration::ZERO);
        assert_eq!(lasting(r#"{"access_token":"a","expires_in":1e300}"#), LASTS_MAX);
    }

    #[test]
    fn what_gives_none_says_why_and_no_more_than_that() {
        let scrub = Scrub::default().and(["the-s3cret-of-all"]);
        let told = |status, body: &str| granted(status, body.as_bytes(), &scrub).unwrap_err();

        let refused = r#"{"error":"invalid_client","error_description":"no\nsuch client","debug":"s3cret"}"#;
        assert_eq!(told(401, refused), "answered with status 401 (invalid_client: no such client)");
        assert_eq!(told(503, "<html>s3cret</html>"), "answered with status 503");
        assert_eq!(told(302, r#"{"access_token":"a"}"#), "answered with status 302");
        assert_eq!(
            told(200, r#"{"access_token":"a","token_type":"mac"}"#),
            "gave a token of the type `mac`, expected `bearer`"
        );
        for body in
            ["", "s3cret", "[]", "{}", r#"{"access_token":1}"#, r#"{"access_token":""}"#, r#"{"access_token":"a\nb"}"#]
        {
            assert_eq!(told(200, body), "its answer holds no `access_token` that can be sent", "{body}");
        }
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(1_000));
        assert_eq!(told(400, &long), format!("answered with status 400 ({})", "x".repeat(SHOWN_MAX)));
        let cut = format!(r#"{{"error":"{}the-s3cret-of-all"}}"#, "x".repeat(SHOWN_MAX - 5));
        assert_eq!(told(400, &cut), format!("answered with status 400 ({}***)", "x".repeat(SHOWN_MAX - 5)));
        assert_eq!(
            told(200, r#"{"access_token":"a","token_type":"the-s3cret-of-all"}"#),
            "gave a token of the type `***`, expected `bearer`"
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(status in prop::sample::select(vec![200_u16, 400]), body in prop::collection::vec(any::<u8>(), 0..60), secs in any::<f64>()) {
            drop(granted(status, &body, &Scrub::default()));
            let json = serde_json::json!({ "access_token": "a", "expires_in": secs }).to_string();
            prop_assert!(lasting(&json) <= LASTS_MAX);
        }
    }
}
