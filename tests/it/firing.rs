//! Requests out on time, history out.

use std::time::Duration;

use serde_json::Value;

use crate::support::{BoxedNode, Target, post, post_ok, task};

async fn search(node: &BoxedNode, identity: &str, kind: &str) -> Vec<Value> {
    let body = serde_json::json!({ "identity": identity, "limit": 100, "skip": 0, "type": kind });
    let answer = post_ok(&node.base, "/search", body.to_string()).await;
    answer["data"]["hits"]["hits"].as_array().unwrap().iter().map(|hit| hit["_source"].clone()).collect()
}

/// Asks until the journal shows `enough`, as records are written in batches.
async fn search_until(node: &BoxedNode, identity: &str, kind: &str, enough: usize) -> Vec<Value> {
    let asked = async {
        loop {
            let found = search(node, identity, kind).await;
            if found.len() >= enough {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("the records are written")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_fires_every_second_once_and_each_fire_has_its_record() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);

    post_ok(&node.base, "/put", task("tick", "* * * * * *", &target.url("/ok"))).await;
    target.wait_until(|arrivals| arrivals.len() >= 3).await;
    post_ok(&node.base, "/running", r#"{"identity":"tick","running":false}"#).await;

    let runs = target.arrivals_by_run();
    assert!(runs.values().all(|&count| count == 1), "{runs:?}");
    let records = search_until(&node, "tick", "success", runs.len()).await;
    assert_eq!(records.len(), runs.len());
    for record in &records {
        assert!(runs.contains_key(record["run_id"].as_str().unwrap()));
        assert_eq!(record["response"], serde_json::json!({ "ok": true }));
        assert_eq!((&record["status"], &record["trigger"]), (&Value::from(200), &Value::from("schedule")));
        assert!(record["lateness_ms"].as_u64().unwrap() < 1_000, "{record}");
    }
    let mut instants: Vec<&str> = records.iter().map(|record| record["fire_time"].as_str().unwrap()).collect();
    instants.sort_unstable();
    instants.dedup();
    assert_eq!(instants.len(), records.len(), "no instant twice");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fire_names_its_task_entry_instant_and_run() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);

    post_ok(&node.base, "/put", task("a é/%", "* * * * * *", &target.url("/ok"))).await;
    let arrivals = target.wait_until(|arrivals| !arrivals.is_empty()).await;

    let first = &arrivals[0];
    assert_eq!(first.header("x-schedule-identity"), "a%20%C3%A9/%25");
    assert_eq!(first.header("x-schedule-entry"), "e");
    assert_eq!(first.header("x-schedule-attempt"), "1");
    assert_eq!(first.header("x-schedule-trigger"), "schedule");
    assert_eq!(first.header("x-schedule-run-id"), first.header("idempotency-key"));
    assert!(first.header("x-schedule-fire-time").ends_with(".000Z"));
    assert_eq!(first.header("traceparent").len(), 55);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_2xx_is_a_success_and_all_else_an_error_with_its_reason() {
    let node = BoxedNode::start_with(|settings| settings.dispatch.timeout = Duration::from_millis(300)).await;
    let target = Target::start().await;
    let closed = Target::start().await.address.port();
    let entry = |path: &str| serde_json::json!({ "cron_time": "* * * * * *", "url": target.url(path) });
    let refused = serde_json::json!({ "cron_time": "* * * * * *", "url": format!("http://127.0.0.1:{}/", closed ^ 1) });
    let entries = serde_json::json!({
        "created": entry("/status/201"), "moved": entry("/status/302"), "failed": entry("/status/500"),
        "text": entry("/text"), "hang": entry("/hang"), "refused": refused,
    });
    let body = serde_json::json!({ "identity": "mix", "time_zone": "UTC", "start": true, "entries": entries });

    post_ok(&node.base, "/put", body.to_string()).await;
    let errors = search_until(&node, "mix", "error", 8).await;
    let successes = search_until(&node, "mix", "success", 4).await;

    let of =
        |records: &[Value], key: &str| records.iter().find(|record| record["key"] == key).cloned().unwrap_or_default();
    assert_eq!(of(&successes, "created")["status"], 201);
    assert_eq!(of(&successes, "text")["response"], "plain text");
    assert_eq!(of(&errors, "moved")["message"], serde_json::json!(["answered with status 302"]));
    assert_eq!(of(&errors, "failed")["message"], serde_json::json!(["answered with status 500"]));
    assert_eq!(of(&errors, "hang")["message"], serde_json::json!(["no whole answer within 0.3 s"]));
    assert!(of(&errors, "refused")["message"][0].as_str().unwrap().contains("onnect"), "{errors:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_cut_with_a_mark() {
    let node = BoxedNode::start_with(|settings| settings.dispatch.response_max = 10).await;
    let target = Target::start().await;

    post_ok(&node.base, "/put", task("big", "* * * * * *", &target.url("/big"))).await;
    let records = search_until(&node, "big", "success", 1).await;

    assert_eq!((&records[0]["response"], &records[0]["response_truncated"]), (&"x".repeat(10).into(), &true.into()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_host_does_not_hold_up_another() {
    let node = BoxedNode::start_with(|settings| settings.dispatch.in_flight_per_host_max = 2).await;
    let (slow, quick) = (Target::start().await, Target::start().await);
    for number in 0..10 {
        post_ok(&node.base, "/put", task(&format!("slow-{number}"), "* * * * * *", &slow.url("/hang"))).await;
    }
    slow.wait_until(|arrivals| arrivals.len() >= 2).await;

    post_ok(&node.base, "/put", task("quick", "* * * * * *", &quick.url("/ok"))).await;
    quick.wait_until(|arrivals| arrivals.len() >= 3).await;

    assert_eq!(slow.arrivals().len(), 2, "the limit per host holds");
    let records = search_until(&node, "quick", "success", 2).await;
    assert!(records.iter().all(|record| record["lateness_ms"].as_u64().unwrap() < 1_000), "{records:?}");
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_delete_or_a_switch_off_nothing_is_fired_any_more() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    post_ok(&node.base, "/put", task("gone", "* * * * * *", &target.url("/gone"))).await;
    post_ok(&node.base, "/put", task("off", "* * * * * *", &target.url("/off"))).await;
    post_ok(&node.base, "/put", task("on", "* * * * * *", &target.url("/on"))).await;
    target
        .wait_until(|arrivals| ["/gone", "/off"].iter().all(|path| arrivals.iter().any(|a| a.uri.path() == *path)))
        .await;

    post_ok(&node.base, "/delete", r#"{"identity":"gone"}"#).await;
    post_ok(&node.base, "/running", r#"{"identity":"off","running":false}"#).await;
    let (gone, off) = (target.arrivals_at("/gone").len(), target.arrivals_at("/off").len());
    let on = target.arrivals_at("/on").len();
    target.wait_until(|arrivals| arrivals.iter().filter(|a| a.uri.path() == "/on").count() >= on + 3).await;

    // A request that was on its way when the answer came may still arrive; no later instant may.
    assert!(target.arrivals_at("/gone").len() <= gone + 1 && target.arrivals_at("/off").len() <= off + 1);
    let off = post_ok(&node.base, "/get", r#"{"identity":"off"}"#).await;
    assert_eq!(off["data"]["start"], false);
    assert_eq!(off["data"]["entries"]["e"]["next_date"], "0001-01-01T00:00:00Z");
    assert_ne!(off["data"]["entries"]["e"]["last_date"], "0001-01-01T00:00:00Z");
    let (_, unknown) = post(&node.base, "/running", r#"{"identity":"gone","running":true}"#).await;
    assert_eq!(unknown, serde_json::json!({ "error": 1, "msg": "this identity does not exists" }));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_do_not_show_in_the_history() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let entry = serde_json::json!({
        "cron_time": "* * * * * *", "url": target.url("/ok"), "headers": { "Authorization": "Bearer s3cret", "X-A": "plain" },
    });
    let body = serde_json::json!({ "identity": "key", "time_zone": "UTC", "start": true, "entries": { "e": entry } });

    post_ok(&node.base, "/put", body.to_string()).await;
    search_until(&node, "key", "success", 1).await;

    let all = post_ok(&node.base, "/search", r#"{"identity":"key","limit":100,"skip":0}"#).await.to_string();
    assert!(!all.contains("s3cret") && all.contains("***") && all.contains("plain"), "{all}");
    assert_eq!(target.arrivals()[0].header("authorization"), "Bearer s3cret");
    node.stop().await;
}
