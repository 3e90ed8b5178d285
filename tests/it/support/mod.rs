//! What the tests stand on: a target that records, a service that is played, a node in a box, a process that can be killed.

mod authority;
mod cluster;
mod double;
pub(crate) mod elasticsearch;
mod exposition;
mod issuer;
mod loaded;
mod node;
mod process;
mod proxy;
mod signer;
mod target;

pub(crate) use self::authority::{Authority, Issued, put};
pub(crate) use self::cluster::Cluster;
pub(crate) use self::double::{Double, Reply, play_mirrored};
pub(crate) use self::exposition::Exposition;
pub(crate) use self::issuer::Issuer;
pub(crate) use self::loaded::Loaded;
pub(crate) use self::node::{BoxedNode, targets, with_keys};
pub(crate) use self::process::Process;
pub(crate) use self::proxy::{Deed, Proxy};
pub(crate) use self::signer::Signer;
pub(crate) use self::target::{Arrival, Target};

use serde_json::Value;

/// An HTTP client. It brings its TLS provider, as the service does, and waits two minutes for an answer.
pub(crate) fn client() -> reqwest::Client {
    // Only the first call of a process installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(std::time::Duration::from_secs(120)).build().unwrap()
}

/// Posts a JSON text and gives status and answer.
pub(crate) async fn post(base: &str, path: &str, body: impl Into<String>) -> (u16, Value) {
    let answer = client()
        .post(format!("{base}{path}"))
        .header("content-type", "application/json")
        .body(body.into())
        .send()
        .await
        .expect("the service answers");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).expect("every answer is JSON"))
}

/// Posts and expects `{"error":0,…}`.
pub(crate) async fn post_ok(base: &str, path: &str, body: impl Into<String>) -> Value {
    let (status, answer) = post(base, path, body).await;
    assert_eq!((status, &answer["error"]), (200, &Value::from(0)), "{path}: {answer}");
    answer
}

/// A one-entry task.
pub(crate) fn task(identity: &str, cron_time: &str, url: &str) -> String {
    serde_json::json!({
        "identity": identity, "time_zone": "UTC", "start": true,
        "entries": { "e": { "cron_time": cron_time, "url": url } },
    })
    .to_string()
}
