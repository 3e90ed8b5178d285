//! Who may ask for what, over real sockets.

mod commands;
mod keys;
mod logged;
mod oidc;
mod pace;
mod prefixes;
mod quota;
mod roles;
mod start;

use http::Method;
use schedule_service::access::SecretHash;
use schedule_service::config::NodeSettings;
use serde_json::{Value, json};

use crate::support::{BoxedNode, client};

use self::logged::Logged;

pub(super) const ADMIN_KEY: &str = "the-admin-key-of-these-tests-0123456789";

/// A node that needs a key.
pub(super) async fn closed() -> BoxedNode {
    closed_with(|_| ()).await
}

/// The same with other settings.
pub(super) async fn closed_with(change: impl FnOnce(&mut NodeSettings)) -> BoxedNode {
    let close = |settings: &mut NodeSettings| {
        settings.access.admin_key = Some(SecretHash::of(ADMIN_KEY.as_bytes()));
        change(settings);
    };
    BoxedNode::start_with(close).await
}

/// What is answered to a request with these headers.
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) text: String,
}

impl Told {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} {}", self.status, self.text))
    }
}

pub(super) async fn ask(base: &str, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Told {
    let mut request = client().request(method, format!("{base}{path}")).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = request.body(body).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Told { status, headers, text: answer.text().await.unwrap() }
}

/// Posts with a key.
pub(super) async fn post_as(key: &str, base: &str, path: &str, body: Value) -> Told {
    ask(base, Method::POST, path, &[("x-api-key", key)], &body).await
}

/// Gets with a key.
pub(super) async fn get_as(key: &str, base: &str, path: &str) -> Told {
    ask(base, Method::GET, path, &[("x-api-key", key)], &Value::Null).await
}

/// Makes a key and gives its id and its text.
pub(super) async fn make_key(base: &str, name: &str, role: &str, prefixes: &[&str]) -> (String, String) {
    make(base, json!({ "name": name, "role": role, "prefixes": prefixes })).await
}

/// The same of any wish.
pub(super) async fn make(base: &str, wish: Value) -> (String, String) {
    let made = post_as(ADMIN_KEY, base, "/keys", wish).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let data = made.json()["data"].take();
    (data["id"].as_str().unwrap().to_owned(), data["key"].as_str().unwrap().to_owned())
}
