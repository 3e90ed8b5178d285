//! Options of an entry: what is put, stored and shown, and the instants that they leave.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use schedule_service::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::support::{BoxedNode, Target, post, post_ok};

fn put(identity: &str, entries: &Value) -> String {
    json!({ "identity": identity, "time_zone": "Europe/Berlin", "start": true, "entries": entries }).to_string()
}

async fn get(node: &BoxedNode, identity: &str, details: bool) -> Value {
    let body = json!({ "identity": identity, "details": details }).to_string();
    post_ok(&node.base, "/get", body).await["data"].take()
}

fn in_millis(millis: i64) -> String {
    let now = DateTime::<Utc>::from_timestamp_millis(SystemClock.now().millis()).unwrap();
    (now + TimeDelta::milliseconds(millis)).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn all_options() -> Value {
    json!({
        "every": "1d", "url": "http://user:s3cret@127.0.0.1:9/{{run_id}}", "method": "PUT", "headers": { "X-A": "{{ args }}" }, "body": { "z": 1, "a": "{{entry}}" },
        "timeout": "1m30s", "success": { "status": ["2xx", 304], "body_matches": "ok" }, "redirects_max": 3,
        "retry": { "attempts_max": 5, "on": ["timeout", 503], "backoff": { "initial": "2s", "factor": 1.5 } },
        "overlap": "queue_one", "misfire": "fire_all", "catch_up_window": "2d", "delivery": "at_most_once", "jitter": "30s",
        "start_at": "2026-01-01T00:00:00+01:00", "end_at": "2199-01-01T00:00:00Z", "fires_max": 1_000_000, "enabled": true,
        "exclude": { "dates": ["2028-12-25"], "weekdays": ["sat"] }, "tags": ["billing"], "description": "what it is for",
        "on_failure": { "url": "http://user:s3cret@127.0.0.1:9/alarm", "headers": { "Authorization": "Bearer s3cret" } },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_is_shown_as_it_was_put_also_after_a_restart_and_can_be_put_back() {
    let node = BoxedNode::start().await;
    let entry = all_options();
    let answer = post_ok(&node.base, "/put", put("all", &json!({ "e": entry }))).await;
    assert_eq!(answer.get("warnings"), None, "{answer}");

    let before = get(&node, "all", true).await;
    let node = BoxedNode::start_in(node.stop().await, |_| {}).await;
    let after = get(&node, "all", true).await;

    assert_eq!(before, after);
    for (key, value) in entry.as_object().unwrap() {
        assert_eq!(&after["entries"]["e"][key], value, "{key}");
    }
    assert_eq!((&after["entries"]["e"]["state"], &after["revision"]), (&json!("active"), &json!(1)));
    post_ok(&node.base, "/put", get(&node, "all", false).await.to_string()).await;
    let again = get(&node, "all", false).await;
    assert_eq!(again["entries"]["e"]["on_failure"]["headers"]["Authorization"], "Bearer s3cret");
    let logs = post_ok(&node.base, "/logs/search", r#"{"identity":"all"}"#).await;
    assert!(!logs.to_string().contains("s3cret") && logs.to_string().contains("***"), "{logs}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_with_mistakes_in_options_changes_nothing_and_tells_them_all() {
    let node = BoxedNode::start().await;
    let entries = json!({
        "a": { "every": "90", "url": "http://a/", "retry": { "attempts": 3 }, "tags": "x" },
        "b": { "at": "soon", "url": "http://{{identity}}/", "on_failure": {} },
    });

    let (status, answer) = post(&node.base, "/put", put("wrong", &entries)).await;

    assert_eq!((status, &answer["error"]), (200, &json!(1)));
    let lines: Vec<&str> = answer["msg"].as_str().unwrap().lines().collect();
    let places = ["a.every", "a.retry.attempts", "a.tags", "b.at", "b.url", "b.on_failure.url"];
    assert_eq!(lines.len(), places.len(), "{lines:#?}");
    assert!(
        lines.iter().zip(places).all(|(line, place)| line.starts_with(&format!("entries.{place}: "))),
        "{lines:#?}"
    );
    assert_eq!(get(&node, "wrong", false).await, Value::Null);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instant_fires_once_at_its_millisecond_and_is_finished_then() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let instant = in_millis(1_500);
    let entries = json!({
        "once": { "at": instant, "url": target.url("/once") },
        "past": { "at": "2020-01-01T00:00:00Z", "url": target.url("/past") },
    });

    let answer = post_ok(&node.base, "/put", put("at", &entries)).await;
    let arrivals = target.wait_until(|arrivals| !arrivals.is_empty()).await;

    assert_eq!(answer["warnings"], json!(["entries.past.at: is in the past: the entry is finished and does not fire"]));
    assert_eq!(arrivals[0].header("x-schedule-fire-time"), instant);
    let task = get(&node, "at", false).await;
    for entry in ["once", "past"] {
        assert_eq!(task["entries"][entry]["state"], "finished", "{task}");
        assert_eq!(task["entries"][entry]["next_date"], "0001-01-01T00:00:00Z", "{task}");
    }
    assert!(target.arrivals_at("/past").is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_as_many_instants_as_allowed_fire_and_none_that_is_excluded_or_disabled() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let entry = |path: &str, option: Value| {
        let mut entry = option;
        entry["every"] = "1s".into();
        entry["url"] = target.url(path).into();
        entry
    };
    let end_at = in_millis(3_000);
    // The day in Berlin and its neighbours: the test may run around midnight.
    let days: Vec<String> = [-24, 0, 24].iter().map(|hours| in_millis(hours * 3_600_000)[..10].to_owned()).collect();
    let entries = json!({
        "twice": entry("/twice", json!({ "fires_max": 2 })),
        "ends": entry("/ends", json!({ "end_at": end_at })),
        "excluded": entry("/excluded", json!({ "exclude": { "dates": days } })),
        "disabled": entry("/disabled", json!({ "enabled": false })),
        "later": entry("/later", json!({ "start_at": in_millis(3_600_000) })),
        "pace": entry("/pace", json!({})),
    });

    post_ok(&node.base, "/put", put("limits", &entries)).await;
    let paced = |arrivals: &[crate::support::Arrival]| {
        arrivals.iter().filter(|arrival| arrival.uri.path() == "/pace").count() >= 6
    };
    tokio::time::timeout(Duration::from_secs(60), target.wait_until(paced)).await.unwrap();

    assert_eq!(target.arrivals_at("/twice").len(), 2);
    let ends = target.arrivals_at("/ends");
    assert!(!ends.is_empty() && ends.iter().all(|arrival| arrival.header("x-schedule-fire-time") <= end_at.as_str()));
    for path in ["/excluded", "/disabled", "/later"] {
        assert!(target.arrivals_at(path).is_empty(), "{path}");
    }
    let task = get(&node, "limits", true).await;
    let states =
        ["twice", "ends", "excluded", "disabled", "later", "pace"].map(|name| task["entries"][name]["state"].clone());
    assert_eq!(states, ["finished", "finished", "active", "disabled", "active", "active"].map(Value::from));
    node.stop().await;
}
