//! Who did what: each request that changes something leaves one audit document, over real sockets.

mod nodes;
mod refused;

use http::Method;
use schedule_service::api::{AuditSettings, WatchedReads};
use serde_json::{Value, json};

use crate::access::{ADMIN_KEY, ask, closed_with, get_as, make_key, post_as};
use crate::support::{BoxedNode, Process, Target, post_ok, task, with_keys};

/// The audit documents, oldest first, as somebody sees them; without a key, as nobody in particular.
pub(super) async fn audit_as(key: &str, base: &str, filter: Value) -> Vec<Value> {
    let mut query = json!({ "type": "audit", "sort": "time_asc", "limit": 1_000 });
    query.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
    let shown = [("x-api-key", key)];
    let headers = if key.is_empty() { &[][..] } else { &shown };
    let found = ask(base, Method::POST, "/logs/search", headers, &query).await.json();
    assert_eq!(found["error"], 0, "{found}");
    found["data"]["logs"].as_array().unwrap().iter().map(|log| log["log"].clone()).collect()
}

/// The same of one operation.
async fn audit_of(base: &str, operation: &str) -> Vec<Value> {
    let mut all = audit_as(ADMIN_KEY, base, json!({})).await;
    all.retain(|document| document["operation"] == operation);
    all
}

/// A node that needs a key, with a store of secrets.
async fn watched() -> BoxedNode {
    closed_with(with_keys).await
}

fn put_of(name: &str, url: &str) -> Value {
    json!({
        "identity": name, "time_zone": "UTC", "start": true,
        "entries": { "e": {
            "cron_time": "0 0 0 1 1 *", "url": url, "headers": { "Authorization": "Bearer hunter2-header", "X-Trace": "t" },
        } },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_task_leaves_one_document_with_what_was_before_and_after() {
    let node = watched().await;
    let (id, key) = make_key(&node.base, "ci", "write", &[]).await;
    let put = |url: &str| put_of("t", url);
    for (path, body) in [
        ("/put", put("http://u:hunter2-url@a.example/1")),
        ("/put", put("http://u:hunter2-url@a.example/2")),
        ("/running", json!({ "identity": "t", "running": false })),
        ("/running", json!({ "identity": "t", "running": false })),
        ("/pause", json!({ "identity": "t" })),
        ("/resume", json!({ "identity": "t" })),
        ("/history/t/restore", json!({ "revision": 1 })),
        ("/delete", json!({ "identity": "t" })),
        ("/delete", json!({ "identity": "t" })),
    ] {
        let told = post_as(&key, &node.base, path, body).await;
        assert_eq!(told.json()["error"], 0, "{path}: {}", told.text);
    }
    let lines =
        format!("{}\n{}\n", json!({ "put": put("http://a.example/3") }), json!({ "delete": { "identity": "t" } }));
    let request = crate::support::client().post(format!("{}/bulk", node.base)).header("x-api-key", &key);
    let told = request.body(lines).send().await.unwrap().text().await.unwrap();
    assert!(told.ends_with("{\"lines\":2,\"failed\":0}\n"), "{told}");

    let documents = audit_as(ADMIN_KEY, &node.base, json!({ "identity": "t" })).await;

    let told: Vec<(&str, &str)> = documents
        .iter()
        .map(|document| (document["operation"].as_str().unwrap(), document["outcome"].as_str().unwrap()))
        .collect();
    let expected = [
        ("putTask", "done"),
        ("putTask", "done"),
        ("switchTask", "done"),
        ("switchTask", "no_change"),
        ("pause", "no_change"),
        ("resume", "done"),
        ("restoreVersion", "done"),
        ("deleteTask", "done"),
        ("deleteTask", "no_change"),
        ("changeTasks", "done"),
        ("changeTasks", "done"),
    ];
    assert_eq!(told, expected);
    for document in &documents {
        assert_eq!(document["by"], "ci");
        assert_eq!(document["source"], format!("key {id}"));
        assert_eq!(document["from"], "127.0.0.1");
        assert!(!document.to_string().contains("hunter2"), "{document}");
        assert!(!document.to_string().contains(&key), "{document}");
    }
    let url = |state: &Value| state["entries"]["e"]["url"].as_str().unwrap().to_owned();
    assert_eq!(documents[0].get("before"), None);
    assert!(url(&documents[0]["after"]).ends_with("/1"));
    assert_eq!(documents[0]["after"]["entries"]["e"]["headers"], json!({ "Authorization": "***", "X-Trace": "t" }));
    assert!(url(&documents[1]["before"]).ends_with("/1") && url(&documents[1]["after"]).ends_with("/2"));
    assert_eq!(documents[1]["before_revision"], 1);
    assert_eq!(
        (&documents[2]["before"], &documents[2]["after"]),
        (&json!({ "start": true }), &json!({ "start": false }))
    );
    assert!(url(&documents[7]["before"]).ends_with("/1"));
    assert_eq!(documents[7].get("after"), None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_other_change_leaves_one_document_that_names_what_it_was_about() {
    let (node, target) = (watched().await, Target::start().await);
    let as_admin = [("x-api-key", ADMIN_KEY)];
    let mut entry = put_of("t", &target.url("/status/500"));
    entry["entries"]["e"]["retry"] = json!({ "attempts_max": 1 });
    post_as(ADMIN_KEY, &node.base, "/put", entry).await;
    let (id, secret_key) = make_key(&node.base, "robot", "read", &["a/"]).await;
    let rotated = post_as(ADMIN_KEY, &node.base, &format!("/keys/{id}/rotate"), Value::Null).await;
    let secret = json!({ "value": "hunter2-secret" });
    for (method, path, body) in [
        (Method::PUT, "/secrets/db", secret),
        (Method::POST, "/secrets/rotate", Value::Null),
        (Method::DELETE, "/secrets/db", Value::Null),
        (Method::POST, "/pause", json!({ "tag": "billing" })),
        (Method::POST, "/resume", json!({ "all": true })),
        (Method::POST, "/scheduled-jobs/t:e/runs", Value::Null),
        (Method::POST, "/backfill", json!({ "identity": "t", "entry": "e", "from": "2020-01-01", "to": "2020-01-02" })),
        (Method::POST, "/clear", json!({ "identity": "t" })),
        (Method::DELETE, &*format!("/keys/{id}"), Value::Null),
    ] {
        let told = ask(&node.base, method, path, &as_admin, &body).await;
        assert_eq!(told.status, 200, "{path}: {}", told.text);
    }

    for (operation, object, name) in [
        ("createKey", "key", &*id),
        ("rotateKey", "key", &id),
        ("revokeKey", "key", &id),
        ("setSecret", "secret", "db"),
        ("deleteSecret", "secret", "db"),
        ("pause", "tag", "billing"),
        ("resume", "all", ""),
    ] {
        let documents = audit_of(&node.base, operation).await;
        let [document] = &documents[..] else { panic!("{operation}: {documents:?}") };
        assert_eq!((&document["object"], &document["name"]), (&json!(object), &json!(name)), "{document}");
        assert_eq!((&document["by"], &document["source"]), (&json!("admin"), &json!("admin_key")));
        assert_eq!(document["outcome"], "done", "{document}");
        assert_eq!(document.get("identity"), None, "{document}");
    }
    for operation in ["runJob", "backfill", "clearTaskLog"] {
        let documents = audit_of(&node.base, operation).await;
        assert_eq!(documents.len(), 1, "{operation}: {documents:?}");
        assert_eq!((&documents[0]["identity"], &documents[0]["outcome"]), (&json!("t"), &json!("done")));
    }
    let made = &audit_of(&node.base, "createKey").await[0];
    assert_eq!((&made["after"]["role"], &made["after"]["prefixes"]), (&json!("read"), &json!(["a/"])));
    let all = Value::from(audit_as(ADMIN_KEY, &node.base, json!({})).await).to_string();
    let new_key = rotated.json()["data"]["key"].as_str().unwrap().to_owned();
    for hidden in ["hunter2", ADMIN_KEY, &secret_key, &new_key] {
        assert!(!all.contains(hidden), "{hidden}: {all}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_log_leaves_the_audit_and_old_searches_show_none_of_it() {
    let node = BoxedNode::start().await;
    post_ok(&node.base, "/put", task("t", "0 0 0 1 1 *", "http://127.0.0.1:9/")).await;
    let search = json!({ "identity": "t", "limit": 10, "skip": 0 });

    let before = post_ok(&node.base, "/search", search.to_string()).await;
    assert_eq!(before["data"]["hits"]["total"]["value"], 1);
    assert_eq!(before["data"]["hits"]["hits"][0]["_source"]["type"], "put");
    post_ok(&node.base, "/clear", json!({ "identity": "t" }).to_string()).await;

    let after = post_ok(&node.base, "/search", search.to_string()).await;
    assert_eq!(after["data"]["hits"]["total"]["value"], 0);
    let logs = post_ok(&node.base, "/logs/search", "{}").await;
    assert_eq!(logs["data"]["logs"], json!([]));
    let audit = audit_as("", &node.base, json!({ "identity": "t" })).await;
    let told: Vec<&Value> = audit.iter().map(|document| &document["operation"]).collect();
    assert_eq!(told, ["putTask", "clearTaskLog"]);
    assert_eq!((&audit[0]["by"], &audit[0]["source"]), (&json!("anonymous"), &json!("nothing")));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_right_after_ok_leaves_the_document_of_the_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path()).await;
    for number in 0..5 {
        let name = format!("t-{number}");
        post_ok(&process.base, "/put", task(&name, "0 0 0 1 1 *", "http://127.0.0.1:9/")).await;
        post_ok(&process.base, "/pause", json!({ "tag": name }).to_string()).await;
        process.kill().await;
        process = Process::start(folder.path()).await;
        let audit = audit_as("", &process.base, json!({})).await;

        assert_eq!(audit.len(), 2 * (number + 1), "{audit:?}");
        let newest = &audit[2 * number..];
        assert_eq!((&newest[0]["operation"], &newest[0]["identity"]), (&json!("putTask"), &json!(name)));
        assert_eq!((&newest[1]["operation"], &newest[1]["name"]), (&json!("pause"), &json!(name)));
    }
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_noted_if_the_configuration_says_so() {
    for (reads, expected) in [
        (WatchedReads::None, &[][..]),
        (WatchedReads::Results, &["searchTaskLog"]),
        (WatchedReads::All, &["getTask", "searchTaskLog", "getKeys"]),
    ] {
        let node = closed_with(|settings| settings.api.audit = AuditSettings { is_enabled: true, reads }).await;
        post_as(ADMIN_KEY, &node.base, "/get", json!({ "identity": "t" })).await;
        post_as(ADMIN_KEY, &node.base, "/search", json!({ "identity": "t", "limit": 1, "skip": 0 })).await;
        get_as(ADMIN_KEY, &node.base, "/keys").await;

        let documents = node_audit_after_stop(node, reads).await;

        assert_eq!(documents, expected, "{reads:?}");
    }
}

/// The operations that are noted, once the journal has written all.
async fn node_audit_after_stop(node: BoxedNode, reads: WatchedReads) -> Vec<String> {
    let folder = node.stop().await;
    let open = |settings: &mut schedule_service::config::NodeSettings| {
        settings.api.audit = AuditSettings { is_enabled: true, reads };
    };
    let node = BoxedNode::start_in(folder, open).await;
    let documents = audit_as("", &node.base, json!({})).await;
    node.stop().await;
    documents.iter().map(|document| document["operation"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_notes_nothing() {
    let off = AuditSettings { is_enabled: false, reads: WatchedReads::All };
    let node = BoxedNode::start_with(|settings| settings.api.audit = off).await;
    post_ok(&node.base, "/put", task("t", "0 0 0 1 1 *", "http://127.0.0.1:9/")).await;
    post_ok(&node.base, "/pause", json!({ "all": true }).to_string()).await;

    assert_eq!(audit_as("", &node.base, json!({})).await, Vec::<Value>::new());
    node.stop().await;
}
