use http::Method;
use serde_json::{Value, json};

use super::{ADMIN_KEY, ask, closed, closed_with, get_as, make_key, post_as};
use crate::support::BoxedNode;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_once_and_its_name_is_on_what_is_done_with_it() {
    let node = closed().await;
    let (id, key) = make_key(&node.base, "ci", "write", &["team/"]).await;
    let task = json!({ "identity": "team/x", "time_zone": "UTC", "start": true,
        "entries": { "e": { "cron_time": "0 0 0 1 1 *", "url": "http://127.0.0.1:1/" } } });

    assert_eq!(post_as(&key, &node.base, "/put", task).await.json()["error"], 0);

    let versions = get_as(&key, &node.base, "/history/team%2Fx").await.json();
    assert_eq!(versions["data"]["versions"][0]["by"], "ci");
    let listed = get_as(ADMIN_KEY, &node.base, "/keys").await;
    let (_, secret) = key.rsplit_once('_').unwrap();
    assert!(!listed.text.contains(secret), "{}", listed.text);
    let shown = &listed.json()["data"][0];
    assert_eq!(
        (&shown["id"], &shown["created_by"], &shown["standing"]),
        (&json!(id), &json!("admin"), &json!("valid"))
    );
    assert_eq!((&shown["prefixes"], &shown["expires_at"]), (&json!(["team/"]), &Value::Null));
    let again = post_as(ADMIN_KEY, &node.base, "/keys", json!({ "name": "ci", "role": "read" })).await;
    assert!(again.status == 200 && again.json()["msg"].as_str().unwrap().starts_with("name: `ci`"), "{}", again.text);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_has_another_secret_and_the_one_before_opens_only_as_long_as_was_said() {
    let node = closed().await;
    let (id, first) = make_key(&node.base, "ci", "read", &[]).await;
    let rotate = async |body: Value| {
        let told = post_as(ADMIN_KEY, &node.base, &format!("/keys/{id}/rotate"), body).await;
        told.json()["data"]["key"].as_str().unwrap().to_owned()
    };
    let opens = async |key: &str| post_as(key, &node.base, "/all", json!({})).await.status == 200;

    let second = rotate(json!({ "overlap": "1h" })).await;
    assert!(opens(&first).await && opens(&second).await);
    let third = rotate(Value::Null).await;
    assert!(opens(&third).await && !opens(&second).await && !opens(&first).await);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_opens_nothing_from_then_on_also_after_a_restart() {
    let node = closed().await;
    let (id, key) = make_key(&node.base, "ci", "read", &[]).await;
    let (_, kept) = make_key(&node.base, "kept", "read", &[]).await;
    let path = format!("/keys/{id}");

    let revoked = ask(&node.base, Method::DELETE, &path, &[("x-api-key", ADMIN_KEY)], &Value::Null).await;
    assert_eq!((revoked.status, &revoked.json()["error"]), (200, &json!(0)));

    let refused = post_as(&key, &node.base, "/all", json!({})).await;
    assert_eq!((refused.status, &refused.json()["msg"]), (401, &json!("this key was revoked")));
    // Without the admin key: the keys alone close the service.
    let node = BoxedNode::start_in(node.stop().await, |_| ()).await;
    assert_eq!(post_as(&key, &node.base, "/all", json!({})).await.status, 401);
    assert_eq!(post_as(&kept, &node.base, "/all", json!({})).await.status, 200);
    assert_eq!(ask(&node.base, Method::POST, "/all", &[], &Value::Null).await.status, 401);
    let nowhere = ask(&node.base, Method::POST, "/all", &[("x-api-key", ADMIN_KEY)], &Value::Null).await;
    assert_eq!(nowhere.status, 401);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_refused_a_few_times_and_then_not_looked_at() {
    let node = closed_with(|settings| settings.access.failed_tries_per_min = 3).await;
    let (_, key) = make_key(&node.base, "ci", "read", &[]).await;

    for _ in 0..3 {
        let told = post_as("sk_wrong", &node.base, "/all", json!({})).await;
        assert_eq!(told.status, 401, "{}", told.text);
    }

    let told = post_as("sk_wrong", &node.base, "/all", json!({})).await;
    let wait: u64 = told.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(told.status == 429 && (1..=61).contains(&wait), "{} {wait} {}", told.status, told.text);
    assert_eq!(post_as(ADMIN_KEY, &node.base, "/all", json!({})).await.status, 429);
    assert_eq!(post_as(&key, &node.base, "/all", json!({})).await.status, 200);
    assert_eq!(ask(&node.base, Method::GET, "/ping", &[], &Value::Null).await.status, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_a_page_from_elsewhere_and_a_name_that_leads_here_are_refused() {
    let node = BoxedNode::start().await;
    let own = node.base.clone();
    let all = async |headers: &[(&str, &str)]| ask(&node.base, Method::POST, "/all", headers, &json!({})).await;

    assert_eq!(all(&[]).await.status, 200);
    assert_eq!(all(&[("origin", &own)]).await.status, 200);
    for headers in [&[("origin", "http://evil.example")][..], &[("origin", "null")], &[("host", "evil.example")]] {
        let told = all(headers).await;
        assert_eq!(told.status, 403, "{headers:?}: {}", told.text);
        assert!(told.text.contains("without a key"), "{}", told.text);
    }
    let first = ask(&node.base, Method::POST, "/keys", &[], &json!({ "name": "first", "role": "admin" })).await;
    let key = first.json()["data"]["key"].as_str().unwrap().to_owned();
    let with_key = [("origin", "http://evil.example"), ("host", "evil.example"), ("x-api-key", key.as_str())];
    assert_eq!(all(&with_key).await.status, 200);
    assert_eq!(all(&[]).await.status, 401, "from the first key on one is needed");
    node.stop().await;
}
