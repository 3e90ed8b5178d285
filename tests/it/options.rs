//! Each option of an entry, from the put to the record.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{BoxedNode, Target, post, post_ok};

/// Puts a task with one entry, `e`.
async fn put(node: &BoxedNode, identity: &str, entry: Value) {
    let body = json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": { "e": entry } });
    let answer = post_ok(&node.base, "/put", body.to_string()).await;
    assert!(answer.get("warnings").is_none(), "{answer}");
}

async fn get(node: &BoxedNode, identity: &str) -> Value {
    let answer = post_ok(&node.base, "/get", json!({ "identity": identity }).to_string()).await;
    answer["data"]["entries"]["e"].clone()
}

/// Waits until there are records of this type, and gives them, newest first.
async fn records(node: &BoxedNode, identity: &str, kind: &str, at_least: usize) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let search = json!({ "identity": identity, "type": kind, "limit": 100, "skip": 0 });
        let answer = post_ok(&node.base, "/search", search.to_string()).await;
        let hits = answer["data"]["hits"]["hits"].as_array().unwrap();
        if hits.len() >= at_least {
            return hits.iter().map(|hit| hit["_source"].clone()).collect();
        }
        assert!(tokio::time::Instant::now() < deadline, "only {} of {at_least} {kind} came", hits.len());
        tokio::task::yield_now().await;
    }
}

fn at(record: &Value, key: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(record[key].as_str().unwrap_or_else(|| panic!("{key}: {record}")))
        .unwrap()
        .timestamp_millis()
}

fn in_ms(millis: i64) -> String {
    use schedule_service::clock::{Clock, SystemClock};
    let span = Duration::from_millis(millis.unsigned_abs());
    let now = SystemClock.now();
    if millis < 0 { now.minus(span).to_string() } else { now.plus(span).to_string() }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_fires_once_at_its_instant_and_the_entry_is_finished() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let instant = in_ms(700);

    put(&node, "at", json!({ "at": instant, "url": target.url("/ok") })).await;
    assert_ne!(get(&node, "at").await["next_date"], "0001-01-01T00:00:00Z");
    let fired = records(&node, "at", "success", 1).await;

    assert_eq!((fired.len(), &fired[0]["fire_time"]), (1, &Value::from(instant)));
    let entry = get(&node, "at").await;
    assert_eq!((&entry["next_date"], &entry["state"]), (&"0001-01-01T00:00:00Z".into(), &"finished".into()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_is_aligned_to_the_epoch() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);

    put(&node, "every", json!({ "every": "2s", "url": target.url("/ok") })).await;
    let fired = records(&node, "every", "success", 2).await;

    assert!(fired.iter().all(|record| at(record, "fire_time") % 2_000 == 0), "{fired:?}");
    assert_eq!(get(&node, "every").await["every"], "2s");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_is_sent_as_it_is_given() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] {
        let url = target.url(&format!("/{method}"));
        put(&node, method, json!({ "at": in_ms(500), "method": method, "url": url })).await;
    }

    let arrivals = target.wait_until(|arrivals| arrivals.len() >= 6).await;

    assert!(arrivals.iter().all(|arrival| arrival.uri.path()[1..] == *arrival.method.as_str()), "{arrivals:?}");
    assert_eq!(get(&node, "PATCH").await["method"], "PATCH");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_ends_an_attempt() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);

    put(&node, "timeout", json!({ "at": in_ms(300), "timeout": "250ms", "url": target.url("/hang") })).await;
    let failed = records(&node, "timeout", "error", 1).await;

    assert_eq!(failed[0]["message"], json!(["no whole answer within 0.25 s"]));
    assert_eq!(failed[0]["policy"], json!({ "timeout": "250ms" }));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn success_is_what_the_entry_says_it_is() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let entry = |path: &str, success: Value| json!({ "at": in_ms(400), "success": success, "url": target.url(path) });

    put(&node, "moved", entry("/status/302", json!({ "status": ["2xx", 302] }))).await;
    put(&node, "words", entry("/text", json!({ "body_contains": "plain", "body_matches": "^pl.*t$" }))).await;
    put(&node, "other", entry("/text", json!({ "body_contains": "fancy" }))).await;

    assert_eq!(records(&node, "moved", "success", 1).await[0]["status"], 302);
    assert_eq!(records(&node, "words", "success", 1).await[0]["status"], 200);
    let failed = records(&node, "other", "error", 1).await;
    assert!(failed[0]["message"][0].as_str().unwrap().contains("fancy"), "{failed:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_another_attempt_of_the_same_run() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let retry = json!({ "attempts_max": 4, "backoff": { "initial": "50ms", "max": "100ms" } });

    put(&node, "retry", json!({ "at": in_ms(300), "retry": retry, "url": target.url("/flaky/2") })).await;
    let succeeded = records(&node, "retry", "success", 1).await;

    let attempts = succeeded[0]["attempts"].as_array().unwrap();
    let statuses: Vec<&Value> = attempts.iter().map(|attempt| &attempt["status"]).collect();
    assert_eq!(statuses, [503, 503, 200]);
    let arrivals = target.arrivals();
    let numbers: Vec<&str> = arrivals.iter().map(|arrival| arrival.header("x-schedule-attempt")).collect();
    assert_eq!((numbers, target.arrivals_by_run().len()), (vec!["1", "2", "3"], 1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_exhausts_its_attempts_is_a_dead_letter_until_it_is_run_again() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let retry = json!({ "attempts_max": 2, "backoff": { "initial": "10ms" } });

    put(&node, "dead", json!({ "at": in_ms(300), "retry": retry, "url": target.url("/flaky/2") })).await;
    let failed = records(&node, "dead", "error", 1).await;
    assert_eq!((failed[0]["attempts"].as_array().unwrap().len(), &failed[0]["dead_letter"]), (2, &true.into()));

    let listed = post_ok(&node.base, "/dead-letters", "{}").await;
    assert_eq!(listed["data"]["runs"][0]["id"], failed[0]["run_id"]);
    for (path, body) in [("", r#"{"run_id":"x"}"#), ("/rerun", r#"{"all":true,"skip":0}"#)] {
        let (_, refused) = post(&node.base, &format!("/dead-letters{path}"), body).await;
        assert!(refused["msg"].as_str().unwrap().contains("is not known"), "{refused}");
    }
    let again = post_ok(&node.base, "/dead-letters/rerun", r#"{"all":true,"limit":1}"#).await;
    assert_eq!(again["data"]["reruns"][0]["run_id"], failed[0]["run_id"]);
    let succeeded = records(&node, "dead", "success", 1).await;
    assert_eq!(succeeded[0]["rerun_of"], failed[0]["run_id"]);
    let listed = post_ok(&node.base, "/dead-letters", "{}").await;
    assert_eq!(listed["data"]["runs"], json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let retry = json!({ "attempts_max": 2, "backoff": { "initial": "1ms" } });

    put(&node, "busy", json!({ "at": in_ms(300), "retry": retry, "url": target.url("/busy/1") })).await;
    let succeeded = records(&node, "busy", "success", 1).await;

    let attempts = succeeded[0]["attempts"].as_array().unwrap();
    let waited = at(&attempts[1], "started_at") - at(&attempts[0], "started_at");
    assert!(waited >= 1_000, "{attempts:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overlap_skip_leaves_out_what_comes_while_a_run_is_in_progress() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);

    put(&node, "skip", json!({ "every": "1s", "overlap": "skip", "url": target.url("/hang") })).await;
    let skipped = records(&node, "skip", "skipped", 2).await;

    assert_eq!((target.arrivals().len(), &skipped[0]["policy"]), (1, &"overlap skip".into()));
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn overlap_queue_one_lets_the_newest_wait() {
    let node = BoxedNode::start().await;
    let target = Target::start().await;
    let entry = json!({ "every": "1s", "overlap": "queue_one", "timeout": "3500ms", "url": target.url("/hang") });

    put(&node, "queue", entry).await;
    let arrivals = target.wait_until(|arrivals| arrivals.len() >= 2).await;
    let skipped = records(&node, "queue", "skipped", 1).await;

    assert_eq!(skipped[0]["policy"], "overlap queue_one");
    let instants: Vec<&str> = arrivals.iter().map(|arrival| arrival.header("x-schedule-fire-time")).collect();
    assert!(instants[0] < instants[1] && skipped.iter().all(|it| it["fire_time"] != instants[1]), "{instants:?}");
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn overlap_cancel_running_ends_the_run_in_progress() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);

    put(&node, "cancel", json!({ "every": "1s", "overlap": "cancel_running", "url": target.url("/hang") })).await;
    let failed = records(&node, "cancel", "error", 2).await;

    let message = "cancelled: a newer fire took its place (overlap cancel_running)";
    assert!(failed.iter().all(|record| record["message"] == json!([message])), "{failed:?}");
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn misfire_policies_decide_what_becomes_of_instants_that_passed() {
    let target = Target::start().await;
    let quick = |settings: &mut schedule_service::config::NodeSettings| {
        settings.engine.misfire_grace = Duration::from_millis(500);
    };
    let node = BoxedNode::start_with(quick).await;
    put(&node, "skip", json!({ "every": "1s", "misfire": "skip", "url": target.url("/skip") })).await;
    put(&node, "all", json!({ "every": "1s", "misfire": "fire_all", "url": target.url("/all") })).await;
    target.wait_until(|arrivals| arrivals.len() >= 2).await;
    let folder = node.stop().await;
    // Instants must pass while nobody is there to fire them.
    tokio::time::sleep(Duration::from_millis(3_500)).await;

    let node = BoxedNode::start_in(folder, quick).await;
    let skipped = records(&node, "skip", "skipped", 1).await;
    let fired = records(&node, "all", "success", 6).await;

    assert!(skipped[0]["policy"] == "misfire skip" && skipped[0]["count"].as_u64().unwrap() >= 2, "{skipped:?}");
    let mut instants: Vec<i64> = fired.iter().map(|record| at(record, "fire_time")).collect();
    instants.sort_unstable();
    assert!(instants.windows(2).all(|pair| pair[1] - pair[0] == 1_000), "{instants:?}");
    assert!(fired.iter().any(|record| record["trigger"] == "catch_up"), "{fired:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jitter_moves_the_start_and_lateness_is_measured_from_there() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);

    put(&node, "jitter", json!({ "every": "1s", "jitter": "800ms", "url": target.url("/ok") })).await;
    let fired = records(&node, "jitter", "success", 3).await;

    for record in &fired {
        let delay = at(record, "due_at") - at(record, "fire_time");
        assert!((0..800).contains(&delay), "{record}");
        assert_eq!(
            at(record, "started_at") - at(record, "due_at"),
            record["lateness_ms"].as_i64().unwrap(),
            "{record}"
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_fires_within_its_dates_and_no_oftener_than_it_says() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let (start_at, end_at) = (in_ms(1_500), in_ms(4_000));

    put(&node, "few", json!({ "every": "1s", "fires_max": 2, "url": target.url("/few") })).await;
    let dates = json!({ "every": "1s", "start_at": start_at, "end_at": end_at, "url": target.url("/dates") });
    put(&node, "dates", dates).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while get(&node, "dates").await["state"] != "finished" || get(&node, "few").await["state"] != "finished" {
        assert!(tokio::time::Instant::now() < deadline);
    }

    assert_eq!(records(&node, "few", "success", 2).await.len(), 2);
    let within = records(&node, "dates", "success", 2).await;
    let instants = within.iter().map(|record| record["fire_time"].as_str().unwrap().to_owned());
    assert!(instants.into_iter().all(|instant| start_at <= instant && instant <= end_at), "{within:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn excluded_days_and_entries_that_are_not_enabled_name_nothing() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let week = json!(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
    let today = in_ms(0)[..10].to_owned();
    let tomorrow = in_ms(86_400_000)[..10].to_owned();

    put(&node, "off", json!({ "every": "1s", "enabled": false, "url": target.url("/off") })).await;
    put(&node, "dates", json!({ "every": "1s", "exclude": { "dates": [today, tomorrow] }, "url": target.url("/out") }))
        .await;
    put(&node, "on", json!({ "every": "1s", "url": target.url("/on") })).await;
    let body = json!({ "identity": "never", "time_zone": "UTC", "start": true, "entries": {
        "e": { "every": "1s", "exclude": { "weekdays": week }, "url": target.url("/out") },
    } });
    let (_, refused) = post(&node.base, "/put", body.to_string()).await;
    target.wait_until(|arrivals| arrivals.len() >= 3).await;

    assert!(refused["msg"].as_str().unwrap().starts_with("entries.e.exclude"), "{refused}");
    assert!(target.arrivals().iter().all(|arrival| arrival.uri.path() == "/on"), "nothing else is fired");
    assert_eq!(get(&node, "off").await["next_date"], "0001-01-01T00:00:00Z");
    assert!(get(&node, "dates").await["next_date"].as_str().unwrap() > tomorrow.as_str());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_tell_of_changes_of_state() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let entry = json!({
        "every": "1s", "url": target.url("/flaky/2"), "fires_max": 4,
        "on_failure": { "url": target.url("/failed") },
        "on_recovery": { "url": target.url("/recovered"), "headers": { "X-A": "{{entry}}" } },
        "on_success": { "url": target.url("/succeeded"), "every": "run" },
    });

    put(&node, "callbacks", entry).await;
    target
        .wait_until(|arrivals| {
            let count = |path: &str| arrivals.iter().filter(|arrival| arrival.uri.path() == path).count();
            count("/succeeded") >= 2 && count("/recovered") >= 1
        })
        .await;

    let failed = target.arrivals_at("/failed");
    assert_eq!(failed.len(), 1, "the second failure changes nothing");
    let event = failed[0].json();
    assert_eq!(
        (&event["event"], &event["identity"], &event["entry"]),
        (&"on_failure".into(), &"callbacks".into(), &"e".into())
    );
    assert_eq!(event["message"], json!(["answered with status 503"]));
    assert_eq!(target.arrivals_at("/recovered")[0].header("x-a"), "e");
    let told = records(&node, "callbacks", "success", 6).await;
    assert_eq!(told.iter().filter(|record| record["callback"] == "on_failure").count(), 1, "{told:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_filled_in_where_they_stand() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let entry = json!({
        "cron_time": "0 0 0 1 1 *", "url": target.url("/for/{{identity}}?a={{ args }}"),
        "headers": { "X-Run": "{{run_id}} {{attempt}}" }, "body": { "said": "{{args}}", "entry": "{{entry}}" },
    });
    put(&node, "a b", entry).await;

    let (status, run) = post(&node.base, "/scheduled-jobs/a%20b:e/runs", r#"{"args":"say \"hi\""}"#).await;
    let arrivals = target.wait_until(|arrivals| !arrivals.is_empty()).await;

    assert_eq!(status, 200, "{run}");
    assert_eq!(arrivals[0].uri.to_string(), "/for/a%20b?a=say%20%22hi%22");
    assert_eq!(arrivals[0].header("x-run"), format!("{} 1", run["runId"].as_str().unwrap()));
    assert_eq!(arrivals[0].json(), json!({ "said": "say \"hi\"", "entry": "e" }));
    assert_eq!(arrivals[0].header("x-schedule-trigger"), "manual");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_a_description_are_shown_and_found() {
    let node = BoxedNode::start().await;
    let entry =
        json!({ "every": "1h", "url": "http://127.0.0.1:9/", "tags": ["billing"], "description": "Sends bills" });

    put(&node, "bills", entry).await;

    let entry = get(&node, "bills").await;
    assert_eq!((&entry["tags"], &entry["description"]), (&json!(["billing"]), &"Sends bills".into()));
    node.stop().await;
}
