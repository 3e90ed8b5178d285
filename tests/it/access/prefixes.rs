use http::Method;
use serde_json::{Value, json};

use super::{ADMIN_KEY, Told, ask, closed, get_as, make_key, post_as};
use crate::support::{BoxedNode, Target};

/// Two tasks of one team and two of another, each with a dead letter, and a key that is for the first.
async fn two_teams() -> (BoxedNode, String, Target) {
    let (node, target) = (closed().await, Target::start().await);
    for name in ["a/1", "b/1", "a/2", "b/2"] {
        let entry =
            json!({ "cron_time": "0 0 0 1 1 *", "url": target.url("/status/500"), "retry": { "attempts_max": 1 } });
        let task = json!({ "identity": name, "time_zone": "UTC", "start": true, "entries": { "e": entry } });
        assert_eq!(post_as(ADMIN_KEY, &node.base, "/put", task).await.json()["error"], 0);
        let job = format!("/scheduled-jobs/{}:e/runs", name.replace('/', "%2F"));
        assert_eq!(post_as(ADMIN_KEY, &node.base, &job, Value::Null).await.status, 200);
    }
    let dead = async {
        while post_as(ADMIN_KEY, &node.base, "/dead-letters", json!({})).await.json()["data"]["total"]["value"] != 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), dead).await.expect("each run fails");
    let (_, key) = make_key(&node.base, "team-a", "write", &["a/"]).await;
    (node, key, target)
}

fn is_refused(told: &Told) {
    assert_eq!(told.status, 403, "{}", told.text);
    assert!(told.text.contains("`a/`"), "it says what the key is for: {}", told.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_names_a_task_is_refused_where_the_key_is_not_for_it() {
    let (node, key, target) = two_teams().await;
    let put = json!({ "identity": "b/3", "time_zone": "UTC", "start": true, "entries": { "e": { "every": "1d", "url": target.url("/ok") } } });
    let of = |name: &str| json!({ "identity": name });
    let search = |name: &str| json!({ "identity": name, "limit": 10, "skip": 0 });
    let switch = |name: &str| json!({ "identity": name, "running": true });
    let backfill = |name: &str| json!({ "identity": name, "entry": "e", "from": "2020-01-01", "to": "2020-01-02" });

    is_refused(&post_as(&key, &node.base, "/put", put).await);
    for (path, body) in [
        ("/get", of as fn(&str) -> Value),
        ("/clear", of),
        ("/pause", of),
        ("/resume", of),
        ("/dead-letters", of),
        ("/preview", of),
        ("/search", search),
        ("/running", switch),
        ("/backfill", backfill),
        ("/dead-letters/discard", of),
        ("/dead-letters/rerun", of),
        ("/delete", of),
    ] {
        is_refused(&post_as(&key, &node.base, path, body("b/1")).await);
        let own = post_as(&key, &node.base, path, body("a/1")).await;
        assert_eq!(own.status, 200, "{path}: {}", own.text);
    }
    for (method, path) in [
        (Method::GET, "/history/{}"),
        (Method::POST, "/history/{}/restore"),
        (Method::GET, "/scheduled-jobs/{}:e"),
        (Method::GET, "/scheduled-jobs/{}:e/runs"),
        (Method::POST, "/rest/ng/scheduled-jobs/{}:e/runs"),
        (Method::GET, "/scheduled-jobs/{}:e/runs/019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f"),
        (Method::DELETE, "/scheduled-jobs/{}:e/runs/019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f"),
        (Method::POST, "/scheduled-jobs/{}:e/runs/019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f/rerun"),
        (Method::GET, "/scheduled-jobs/{}:e/runs/019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f/result-file"),
    ] {
        let with_key = [("x-api-key", key.as_str())];
        is_refused(&ask(&node.base, method.clone(), &path.replace("{}", "b%2F1"), &with_key, &Value::Null).await);
        let own = ask(&node.base, method, &path.replace("{}", "a%2F2"), &with_key, &Value::Null).await;
        assert_ne!(own.status, 403, "{path}: {}", own.text);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_leave_out_what_the_key_is_not_for() {
    let (node, key, _target) = two_teams().await;
    let posted = async |path: &str, body: Value| post_as(&key, &node.base, path, body).await.json()["data"].take();
    let got = async |path: &str| get_as(&key, &node.base, path).await;

    assert_eq!(posted("/all", json!({})).await, json!(["a/1", "a/2"]));
    let listed = posted("/lists", json!({ "identity": ["b/1", "a/2"] })).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["identity"]), (1, &json!("a/2")));
    let exported = got("/export").await.text;
    assert!(exported.lines().count() == 2 && !exported.contains("\"b/"), "{exported}");
    assert_eq!(got("/export?identity=b").await.text, "");
    assert_eq!(got("/scheduled-jobs/count").await.json(), json!({ "count": 2 }));
    let jobs = got("/scheduled-jobs?startAt=1&maxResults=5").await.json();
    assert_eq!((jobs.as_array().unwrap().len(), &jobs[0]["identity"]), (1, &json!("a/2")));
    let window = json!({ "from": "2030-01-01T00:00:00Z", "to": "2030-01-02T00:00:00Z" });
    let coming = posted("/preview", window).await;
    assert_eq!((&coming["total"], &coming["tasks_firing"]), (&json!(2), &json!(2)), "{coming}");
    let logs = posted("/logs/search", json!({ "limit": 1_000 })).await;
    assert!(logs["total"]["value"].as_u64().unwrap() > 0);
    for log in logs["logs"].as_array().unwrap() {
        assert!(log["log"]["identity"].as_str().unwrap().starts_with("a/"), "{log}");
    }
    assert_eq!(posted("/logs/search", json!({ "identity": "b/1" })).await["total"]["value"], 0);
    let letters = posted("/dead-letters", json!({})).await;
    assert_eq!(letters["total"]["value"], 2, "{letters}");
    let discarded = posted("/dead-letters/discard", json!({ "all": true })).await;
    assert_eq!(discarded["discarded"], 2);
    let left = post_as(ADMIN_KEY, &node.base, "/dead-letters", json!({})).await.json();
    assert_eq!(left["data"]["total"]["value"], 2, "those of the other team are still there");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_many_is_refused_by_itself() {
    let (node, key, _target) = two_teams().await;
    let lines = "{\"delete\":{\"identity\":\"b/1\"}}\n{\"delete\":{\"identity\":\"a/1\"}}\n";
    let answer = crate::support::client()
        .post(format!("{}/bulk", node.base))
        .header("x-api-key", &key)
        .body(lines)
        .send()
        .await
        .unwrap();
    let told: Vec<Value> =
        answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    assert!(told[0]["error"] == 1 && told[0]["msg"].as_str().unwrap().contains("`a/`"), "{told:?}");
    assert_eq!((&told[1]["error"], &told[2]["failed"]), (&json!(0), &json!(1)));
    let all = post_as(ADMIN_KEY, &node.base, "/all", json!({})).await.json();
    assert_eq!(all["data"], json!(["a/2", "b/1", "b/2"]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_every_task_needs_a_key_without_prefixes() {
    let (node, key, target) = two_teams().await;
    let (_, admin) = make_key(&node.base, "admin-of-a", "admin", &["a/"]).await;

    for body in [json!({ "all": true }), json!({ "tag": "x" })] {
        for path in ["/pause", "/resume"] {
            is_refused(&post_as(&key, &node.base, path, body.clone()).await);
        }
    }
    let at = json!({ "date_time": "2199-01-01T00:00:00Z", "url": target.url("/ok") });
    is_refused(&post_as(&key, &node.base, "/schedule", at.clone()).await);
    let made = post_as(ADMIN_KEY, &node.base, "/schedule", at).await.json();
    let one_shot = format!("/schedule/{}", made["id"].as_str().unwrap());
    is_refused(&get_as(&key, &node.base, &one_shot).await);
    is_refused(&ask(&node.base, Method::DELETE, &one_shot, &[("x-api-key", &key)], &Value::Null).await);
    is_refused(&get_as(&admin, &node.base, "/keys").await);
    is_refused(&post_as(&admin, &node.base, "/keys", json!({ "name": "more", "role": "admin" })).await);
    is_refused(&post_as(&admin, &node.base, "/cluster/drain", json!({ "node": "x" })).await);
    node.stop().await;
}
