//! Users, passwords and tokens, as they arrive.

use serde_json::json;

use super::{put, record, soon};
use crate::support::{BoxedNode, Target, post_ok};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_and_a_token_arrive_go_nowhere_else_and_stand_in_no_record() {
    let (node, target, other) = (BoxedNode::start().await, Target::start().await, Target::start().await);
    let basic = json!({ "type": "basic", "username": "Aladdin", "password": "open sesame" });
    let bearer = json!({ "type": "bearer", "token": "s3cret-token" });
    let redirected = format!("{}?{}", target.url("/to/303"), other.url("/elsewhere"));
    let told = json!({ "url": target.url("/told"), "auth": bearer, "every": "run" });
    put(&node, "basic", &json!({ "at": soon(), "url": target.url("/basic"), "auth": basic, "on_success": told })).await;
    put(&node, "bearer", &json!({ "at": soon(), "url": redirected, "auth": bearer, "redirects_max": 1 })).await;

    drop(target.wait_until(|arrivals| arrivals.len() == 3).await);
    drop(other.wait_until(|arrivals| arrivals.len() == 1).await);

    let header = |path: &str| target.arrivals_at(path)[0].header("authorization").to_owned();
    assert_eq!(header("/basic"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!((header("/told"), header("/to")), ("Bearer s3cret-token".to_owned(), "Bearer s3cret-token".to_owned()));
    assert_eq!(other.arrivals()[0].headers.get("authorization"), None);
    assert_eq!(record(&node, "bearer").await["redirects"], 1);
    assert_eq!(record(&node, "basic").await["type"], "success");
    let log = post_ok(&node.base, "/logs/search", "{}").await.to_string();
    for secret in ["open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ", "s3cret-token"] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(log.contains(r#""auth":{"password":"***","type":"basic","username":"Aladdin"}"#), "{log}");
    let shown = post_ok(&node.base, "/get", r#"{"identity":"basic"}"#).await;
    assert_eq!(shown["data"]["entries"]["e"]["auth"], basic);
    node.stop().await;
}
