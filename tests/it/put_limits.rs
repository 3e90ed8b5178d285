//! Each limit of `[limits]`, at the limit and one above it; and that what is stored stays as it is when a limit gets smaller.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{BoxedNode, Target, client, post, post_ok};

fn task(identity: &str, entries: usize, trigger: (&str, &str), url: &str) -> Value {
    let entry = json!({ trigger.0: trigger.1, "url": url, "retry": { "attempts_max": 1 } });
    let entries: serde_json::Map<String, Value> =
        (0..entries).map(|number| (format!("e{number}"), entry.clone())).collect();
    json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": entries })
}

const YEARLY: (&str, &str) = ("cron_time", "0 0 0 1 1 *");
const NOWHERE: &str = "http://127.0.0.1:1/";

async fn told(node: &BoxedNode, path: &str, body: &Value) -> String {
    let (status, answer) = post(&node.base, path, body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    answer["msg"].as_str().unwrap_or("ok").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_has_as_many_entries_as_allowed_and_one_that_is_stored_with_more_loads_and_fires() {
    let target = Target::start().await;
    let node = BoxedNode::start().await;
    post_ok(&node.base, "/put", task("large", 4, ("every", "1s"), &target.url("/large")).to_string()).await;

    let folder = node.stop().await;
    let before = target.count();
    let node = BoxedNode::start_in(folder, |settings| settings.api.put_limits.entries_max = 3).await;

    target.wait_until(|arrivals| arrivals.len() > before + 4).await;
    assert_eq!(told(&node, "/put", &task("a", 3, YEARLY, NOWHERE)).await, "ok");
    let refused = "entries: are 4, expected at most 3 ([limits] entries_max)";
    assert_eq!(told(&node, "/put", &task("b", 4, YEARLY, NOWHERE)).await, refused);
    let validated = post_ok(&node.base, "/validate", task("b", 4, YEARLY, NOWHERE).to_string()).await.to_string();
    assert!(validated.contains("entries_max"), "{validated}");
    let line = format!("{{\"put\":{}}}\n", task("b", 4, YEARLY, NOWHERE));
    let bulk = client().post(format!("{}/bulk", node.base)).body(line).send().await.unwrap().text().await.unwrap();
    assert!(bulk.contains(refused), "{bulk}");
    assert_eq!(told(&node, "/history/large/restore", &json!({ "revision": 1 })).await, refused);
    let got = post_ok(&node.base, "/get", r#"{"identity":"large"}"#).await;
    assert_eq!(got["data"]["entries"].as_object().unwrap().len(), 4);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_names_as_many_tasks_as_allowed() {
    let node = BoxedNode::start_with(|settings| settings.api.put_limits.lists_max = 2).await;

    assert_eq!(told(&node, "/lists", &json!({ "identity": ["a", "b"] })).await, "ok");
    assert_eq!(
        told(&node, "/lists", &json!({ "identity": ["a", "b", "c"] })).await,
        "identity: has 3 values, expected 0 to 2"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_would_fire_more_often_than_allowed_is_refused_with_its_distance() {
    let node = BoxedNode::start_with(|settings| settings.api.put_limits.interval_min = Duration::from_secs(10)).await;
    let put = async |key: &str, text: &str| told(&node, "/put", &task("a", 1, (key, text), NOWHERE)).await;
    let refused = |key: &str, distance: u32| {
        format!("entries.e0.{key}: names instants {distance} s apart, expected at least 10 s ([limits] interval_min_s)")
    };

    for (key, text) in [("cron_time", "0/10 * * * * *"), ("every", "10s"), ("at", "2190-01-01T00:00:00Z")] {
        assert_eq!(put(key, text).await, "ok", "{text}");
    }
    for (key, text, distance) in [
        ("cron_time", "* * * * * *", 1),
        ("cron_time", "0,51 * * * * *", 9),
        ("cron_time", "0,51 59,0 23,0 * * *", 9),
        ("cron_time", "@every 9s", 9),
        ("every", "9s", 9),
    ] {
        assert_eq!(put(key, text).await, refused(key, distance), "{text}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_grows_by_templates_as_far_as_allowed_and_the_run_fails_above() {
    let target = Target::start().await;
    let node = BoxedNode::start_with(|settings| {
        (settings.dispatch.growth.header_bytes_max, settings.dispatch.growth.body_bytes_max) = (4, 6);
    })
    .await;
    // `{{args}}` is 8 bytes long.
    let entry = |more: Value| {
        let mut entry =
            json!({ "cron_time": "0 0 0 1 1 *", "url": target.url("/grown"), "retry": { "attempts_max": 1 } });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    let entries = json!({
        "header": entry(json!({ "headers": { "X-Args": "{{args}}" } })),
        "body": entry(json!({ "body": ["{{args}}"] })),
    });
    let put = json!({ "identity": "grow", "time_zone": "UTC", "start": true, "entries": entries });
    post_ok(&node.base, "/put", put.to_string()).await;

    let ended = async |entry: &str, args: usize| -> Value {
        let runs = format!("{}/scheduled-jobs/grow:{entry}/runs", node.base);
        let body = json!({ "args": "x".repeat(args) }).to_string();
        let queued = client().post(&runs).header("content-type", "application/json").body(body).send().await.unwrap();
        let queued: Value = serde_json::from_str(&queued.text().await.unwrap()).unwrap();
        let run = format!("{runs}/{}", queued["runId"].as_str().unwrap_or_else(|| panic!("{queued}")));
        loop {
            let shown: Value =
                serde_json::from_str(&client().get(&run).send().await.unwrap().text().await.unwrap()).unwrap();
            if shown["status"] != "IN_PROGRESS" {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    };
    for (name, most) in [("header", 12), ("body", 14)] {
        let (at, above) = (ended(name, most).await, ended(name, most + 1).await);
        assert_eq!(at["status"], "SUCCEEDED", "{at}");
        assert_eq!(above["status"], "FAILED", "{above}");
        assert!(above.to_string().contains(&format!("the {name} is longer than")), "{above}");
    }
    assert_eq!(target.count(), 2, "what grows too large is not sent");
    node.stop().await;
}
