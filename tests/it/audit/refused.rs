//! What is refused, and who may read the audit.

use http::Method;
use serde_json::{Value, json};

use super::{audit_as, audit_of, put_of, watched};
use crate::access::{ADMIN_KEY, ask, make, make_key, post_as};

#[tokio::test(flavor = "multi_thread")]
async fn who_lacks_a_right_leaves_a_document_with_status_and_reason() {
    let node = watched().await;
    let (_, reader) = make_key(&node.base, "reader", "read", &[]).await;
    let (_, writer) = make_key(&node.base, "writer", "write", &["a/"]).await;

    let role = post_as(&reader, &node.base, "/put", put_of("b/1", "http://a.example/")).await;
    let prefix = post_as(&writer, &node.base, "/put", put_of("b/1", "http://a.example/")).await;
    let look = post_as(&writer, &node.base, "/get", json!({ "identity": "b/1" })).await;
    assert_eq!((role.status, prefix.status, look.status), (403, 403, 403));
    let lines = format!("{}\n", json!({ "delete": { "identity": "b/1" } }));
    let request = crate::support::client().post(format!("{}/bulk", node.base)).header("x-api-key", &writer);
    request.body(lines).send().await.unwrap().text().await.unwrap();
    // The next change waits until what was noted before it is safe.
    post_as(ADMIN_KEY, &node.base, "/pause", json!({ "all": true })).await;

    let mut refused = audit_as(ADMIN_KEY, &node.base, json!({})).await;
    refused.retain(|document| document["outcome"] == "refused");
    let told: Vec<(&Value, &Value)> = refused.iter().map(|it| (&it["by"], &it["operation"])).collect();
    let expected = [("reader", "putTask"), ("writer", "putTask"), ("writer", "getTask"), ("writer", "changeTasks")];
    assert_eq!(told, expected.map(|(by, operation)| (json!(by), json!(operation))).each_ref().map(|(a, b)| (a, b)));
    assert_eq!(refused[0]["reason"], "this needs the role write, and the key `reader` has the role read");
    assert_eq!(refused[0]["status"], 403);
    assert!(refused[1]["reason"].as_str().unwrap().contains("`a/`"), "{refused:?}");
    for document in &refused[1..] {
        assert_eq!(document["identity"], "b/1", "{document}");
    }
    assert_eq!(audit_of(&node.base, "putTask").await.len(), 2, "nothing was done");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_noted_without_what_was_sent() {
    let node = watched().await;
    let mut wrong = put_of("t", "http://a.example/");
    wrong["entries"]["e"]["url"] = json!("hunter2://hunter2");
    let told = post_as(ADMIN_KEY, &node.base, "/put", wrong).await;
    assert_eq!(told.json()["error"], 1, "{}", told.text);
    let told =
        ask(&node.base, Method::DELETE, "/keys/0123456789abcdef", &[("x-api-key", ADMIN_KEY)], &Value::Null).await;
    assert_eq!(told.json()["error"], 1);
    post_as(ADMIN_KEY, &node.base, "/pause", json!({ "all": true })).await;

    let documents = audit_as(ADMIN_KEY, &node.base, json!({})).await;

    let told: Vec<(&str, &str)> =
        documents.iter().map(|it| (it["operation"].as_str().unwrap(), it["outcome"].as_str().unwrap())).collect();
    assert_eq!(told, [("putTask", "refused"), ("revokeKey", "refused"), ("pause", "done")]);
    assert!(!Value::from(documents).to_string().contains("hunter2"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_keys_leaves_one_document() {
    let node = watched().await;
    for number in 0..20 {
        let told = post_as(&format!("wrong-{number}"), &node.base, "/put", put_of("t", "http://a.example/")).await;
        assert_eq!(told.status, 401);
    }
    post_as(ADMIN_KEY, &node.base, "/pause", json!({ "all": true })).await;

    let documents = audit_of(&node.base, "putTask").await;

    let [document] = &documents[..] else { panic!("{documents:?}") };
    assert_eq!((&document["by"], &document["status"]), (&json!("unknown"), &json!(401)));
    assert_eq!(document["from"], "127.0.0.1");
    assert!(!document.to_string().contains("wrong-"), "{document}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_has_a_few_documents_with_its_name() {
    let node = watched().await;
    let (id, slow) = make(&node.base, json!({ "name": "slow", "role": "read", "requests_per_second": 1 })).await;
    let asks = (0..60).map(|_| post_as(&slow, &node.base, "/all", json!({})));
    let begun = tokio::time::Instant::now();
    let answers = futures_util::future::join_all(asks).await;
    let refused = answers.iter().filter(|told| told.status == 429).count();
    // Ten a second, and the seconds may have begun before.
    let most = 10 * (2 + usize::try_from(begun.elapsed().as_secs()).unwrap());
    post_as(ADMIN_KEY, &node.base, "/pause", json!({ "all": true })).await;

    let documents = audit_of(&node.base, "getIdentities").await;

    let unlogged: u64 = documents.iter().filter_map(|document| document["unlogged"].as_u64()).sum();
    assert!((1..=most).contains(&documents.len()), "{refused} refused: {documents:?}");
    assert!(documents.len() + usize::try_from(unlogged).unwrap() <= refused, "{refused} refused: {documents:?}");
    for document in &documents {
        let who = (&document["by"], &document["source"], &document["from"]);
        assert_eq!(who, (&json!("slow"), &json!(format!("key {id}")), &json!("127.0.0.1")));
        assert_eq!((&document["outcome"], &document["status"]), (&json!("refused"), &json!(429)));
        let reason = "the key `slow` may send 1 requests a second (its requests_per_second), wait 1 s";
        assert_eq!(document["reason"], reason);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_for_admins_of_all_tasks_and_is_asked_for_alone() {
    let node = watched().await;
    let (_, writer) = make_key(&node.base, "writer", "write", &[]).await;
    let (_, limited) = make_key(&node.base, "limited", "admin", &["a/"]).await;
    let (_, admin) = make_key(&node.base, "another", "admin", &[]).await;
    let query = || json!({ "type": "audit" });

    for key in [&writer, &limited] {
        assert_eq!(post_as(key, &node.base, "/logs/search", query()).await.status, 403);
    }
    assert_eq!(post_as(&admin, &node.base, "/logs/search", query()).await.json()["error"], 0);
    let mixed = post_as(&admin, &node.base, "/logs/search", json!({ "type": ["audit", "put"] })).await;
    assert!(mixed.json()["msg"].as_str().unwrap().contains("expected `audit` alone"), "{}", mixed.text);
    let search = json!({ "identity": "t", "limit": 1, "skip": 0, "type": "audit" });
    assert_eq!(post_as(&admin, &node.base, "/search", search).await.json()["error"], 1);
    node.stop().await;
}
