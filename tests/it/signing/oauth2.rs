//! OAuth2 clients, with a token server of their own.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{put, record, soon};
use crate::support::{BoxedNode, Double, Reply, Target, post_ok, targets};

/// Gives tokens `t1`, `t2` and so on.
async fn token_server() -> Double {
    let given = AtomicUsize::new(0);
    Double::start(move |_| {
        let token = format!("t{}", given.fetch_add(1, Ordering::Relaxed) + 1);
        Reply::Says(json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }))
    })
    .await
}

fn auth(server: &Double, id: &str) -> Value {
    let url = format!("{}/token", server.base);
    json!({ "type": "oauth2", "token_url": url, "client_id": id, "client_secret": "s3cret", "scope": "jobs", "client_auth": "body" })
}

#[tokio::test(flavor = "multi_thread")]
async fn many_fires_share_a_token_and_one_that_is_not_taken_is_asked_for_anew_by_the_next_attempt() {
    let (node, target, server) = (BoxedNode::start().await, Target::start().await, token_server().await);
    let entry = json!({ "at": soon(), "url": target.url("/ok"), "auth": auth(&server, "a") });
    let entries: serde_json::Map<String, Value> = (0..20).map(|number| (format!("e{number}"), entry.clone())).collect();
    let body = json!({ "identity": "many", "time_zone": "UTC", "start": true, "entries": entries });
    post_ok(&node.base, "/put", body.to_string()).await;
    let arrivals = target.wait_until(|arrivals| arrivals.len() == 20).await;
    assert!(arrivals.iter().all(|arrival| arrival.header("authorization") == "Bearer t1"));
    let asked = server.arrivals();
    assert_eq!(asked.len(), 1);
    let form = b"grant_type=client_credentials&client_id=a&client_secret=s3cret&scope=jobs";
    assert_eq!((asked[0].uri.path(), &asked[0].body[..]), ("/token", &form[..]));

    let retry = json!({ "attempts_max": 2, "on": [401], "backoff": { "initial": "1ms" } });
    let entry = json!({ "at": soon(), "url": target.url("/status/401"), "retry": retry, "auth": auth(&server, "a") });
    put(&node, "unauthorized", &entry).await;
    assert_eq!(record(&node, "unauthorized").await["status"], 401);

    let tries = target.arrivals_at("/status/401");
    let shown: Vec<&str> = tries.iter().map(|arrival| arrival.header("authorization")).collect();
    assert_eq!(shown, ["Bearer t1", "Bearer t2"]);
    let log = post_ok(&node.base, "/logs/search", "{}").await.to_string();
    for secret in ["s3cret", "Bearer t"] {
        assert!(!log.contains(secret), "{log}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_sent_and_the_record_says_why() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let broken = Double::start(|_| Reply::BreaksOff("{\"access_token\":".to_owned())).await;
    let slow = Double::start(|_| Reply::Announces(10)).await;
    let unwell = Double::start(|_| Reply::Status(503, None)).await;
    let other = Double::start(|_| Reply::Text("s3cret".to_owned())).await;
    let servers = [("broken", &broken), ("slow", &slow), ("unwell", &unwell), ("other", &other)];
    for (name, server) in servers {
        let entry = json!({ "at": soon(), "url": target.url("/never"), "timeout": "500ms", "auth": auth(server, "a") });
        put(&node, name, &entry).await;
    }

    let mut messages = Vec::new();
    for (name, server) in servers {
        let message = record(&node, name).await["message"][0].as_str().unwrap().replace(&server.base, "SERVER");
        messages.push(message);
    }

    assert!(messages[0].starts_with("no token from SERVER: "), "{messages:?}");
    assert_eq!(messages[1], "no token within 0.5 s");
    assert_eq!(messages[2], "no token from SERVER: answered with status 503");
    assert_eq!(messages[3], "no token from SERVER: its answer holds no `access_token` that can be sent");
    assert_eq!(target.count(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_only_where_requests_may_go_and_no_redirect_is_followed() {
    let (target, server) = (Target::start().await, token_server().await);
    let only = target.address.to_string();
    let node = BoxedNode::start_with(|settings| settings.dispatch.targets = targets(&only, "")).await;

    put(&node, "t", &json!({ "at": soon(), "url": target.url("/never"), "auth": auth(&server, "a") })).await;

    let message = record(&node, "t").await["message"][0].as_str().unwrap().to_owned();
    assert!(message.starts_with(&format!("no token from {}: refused: ", server.base)), "{message}");
    assert_eq!((target.count(), server.arrivals().len()), (0, 0));

    let redirects = format!("{}?{}", target.url("/to/307"), target.url("/elsewhere"));
    let client = json!({ "type": "oauth2", "token_url": redirects, "client_id": "a", "client_secret": "s3cret" });
    let entry = json!({ "at": soon(), "url": target.url("/never"), "redirects_max": 5, "auth": client });
    put(&node, "redirected", &entry).await;

    let message = record(&node, "redirected").await["message"][0].as_str().unwrap().to_owned();
    assert_eq!(message, format!("no token from http://{}: answered with status 307", target.address));
    assert_eq!((target.count(), target.arrivals_at("/to/307").len()), (1, 1));
    node.stop().await;
}
