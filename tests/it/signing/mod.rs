//! Signed requests, as they arrive: an independent library verifies them. And what requests show in `Authorization`.

mod auth;
mod named;
mod oauth2;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schedule_service::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::{Arrival, BoxedNode, Target, post, post_ok};

/// The program whose Python has the library; `scripts/check` installs it and says so.
const VARIABLE: &str = "SCHEDULE_TEST_SCHEMATHESIS";
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDl6FOH3P1hxg=";
const UNKNOWN: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn soon() -> String {
    SystemClock.now().plus(Duration::from_secs(2)).to_string()
}

async fn put(node: &BoxedNode, identity: &str, entry: &Value) {
    let body = json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": { "e": entry } });
    post_ok(&node.base, "/put", body.to_string()).await;
}

/// The record of the one run of a task, once it is there.
async fn record(node: &BoxedNode, identity: &str) -> Value {
    records(node, identity, 1).await.remove(0)
}

/// The messages of so many runs of a task, once they have ended.
async fn messages(node: &BoxedNode, identity: &str, count: usize) -> Vec<String> {
    let records = records(node, identity, count).await;
    records.iter().map(|record| record["message"][0].as_str().unwrap().to_owned()).collect()
}

async fn records(node: &BoxedNode, identity: &str, count: usize) -> Vec<Value> {
    let search = json!({ "identity": [identity], "type": ["success", "error"] }).to_string();
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let mut answer = post_ok(&node.base, "/logs/search", search.clone()).await;
            let logs = answer["data"]["logs"].as_array_mut().expect("a list of records");
            if logs.len() >= count {
                return logs.iter_mut().map(|log| log["log"].take()).collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("the runs end")
}

fn case(arrival: &Arrival, secret: &str) -> Value {
    let headers: serde_json::Map<String, Value> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (name.to_owned(), arrival.header(name).into()))
        .into_iter()
        .collect();
    json!({ "secret": secret, "headers": headers, "body": STANDARD.encode(&arrival.body) })
}

/// What the reference library says of each case; null: it is genuine.
async fn verified(cases: &[Value]) -> Vec<Value> {
    let program = std::env::var_os(VARIABLE).unwrap_or_else(|| {
        panic!("{VARIABLE} is not set; scripts/schemathesis installs the program and prints its path")
    });
    let python = PathBuf::from(program).with_file_name("python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/signing/verify.py");
    let mut command = Command::new(python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().unwrap().write_all(Value::from(cases).to_string().as_bytes()).await.unwrap();
    let ran = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

const NO_MATCH: &str = "No matching signature found";

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_genuine_for_each_key_of_a_rotation_and_for_no_other() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let entry = |secrets: Value, body: Value| json!({ "at": soon(), "url": target.url("/{{entry}}?a=b"), "body": body, "sign": { "secrets": secrets } });
    put(&node, "one", &entry(json!([OLD]), json!({ "run": "{{run_id}}", "é": [1.5] }))).await;
    put(&node, "both", &entry(json!([NEW, OLD]), json!("a={{identity}}&b=2"))).await;
    put(&node, "empty", &entry(json!([&OLD[6..]]), json!({}))).await;

    let arrivals = target.wait_until(|arrivals| arrivals.len() == 3).await;

    let of = |identity: &str| arrivals.iter().find(|it| it.header("x-schedule-identity") == identity).unwrap();
    let (one, both, empty) = (of("one"), of("both"), of("empty"));
    assert_eq!(one.header("webhook-id"), one.header("x-schedule-run-id"));
    let mut tampered = one.clone();
    tampered.body = String::from_utf8(one.body.to_vec()).unwrap().replace("1.5", "1.6").into();
    assert_ne!(tampered.body, one.body);
    let mut later = one.clone();
    let next: i64 = one.header("webhook-timestamp").parse::<i64>().unwrap() + 1;
    later.headers.insert("webhook-timestamp", next.into());
    let (good, bad) = (Value::Null, Value::from(NO_MATCH));
    let expected = [
        (case(one, OLD), &good),
        (case(one, NEW), &bad),
        (case(both, OLD), &good),
        (case(both, NEW), &good),
        (case(both, UNKNOWN), &bad),
        (case(empty, OLD), &good),
        (case(&tampered, OLD), &bad),
        (case(&later, OLD), &bad),
    ];
    let (cases, expected): (Vec<Value>, Vec<Value>) =
        expected.into_iter().map(|(case, told)| (case, told.clone())).unzip();
    assert_eq!(verified(&cases).await, expected);
    assert!(empty.body.is_empty() && both.body.starts_with(b"a=both"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_is_signed_anew_with_the_same_id_and_a_callback_only_with_its_own_key() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let retry = json!({ "attempts_max": 2, "backoff": { "initial": "1100ms", "jitter": "none" } });
    let callback = |path: &str, sign: Value| json!({ "url": target.url(path), "sign": sign });
    let entry = json!({
        "at": soon(), "url": target.url("/status/503"), "retry": retry, "body": { "attempt": "{{attempt}}" },
        "sign": { "secrets": [OLD] },
        "on_failure": callback("/alarm", json!({ "secrets": [NEW] })),
    });
    put(&node, "signed", &entry).await;
    let plain = json!({ "at": soon(), "url": target.url("/status/500"), "sign": { "secrets": [OLD] }, "on_failure": callback("/plain", Value::Null) });
    put(&node, "plain", &plain).await;

    let arrivals = target.wait_until(|arrivals| {
        let told = |path| arrivals.iter().any(|arrival| arrival.uri.path() == path);
        told("/alarm") && told("/plain")
    });
    drop(arrivals.await);

    let attempts = target.arrivals_at("/status/503");
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].header("webhook-id"), attempts[1].header("webhook-id"));
    assert_ne!(attempts[0].header("webhook-timestamp"), attempts[1].header("webhook-timestamp"));
    let (alarm, plain) = (&target.arrivals_at("/alarm")[0], &target.arrivals_at("/plain")[0]);
    assert_eq!(alarm.header("webhook-id"), alarm.header("x-schedule-run-id"));
    assert_ne!(alarm.header("webhook-id"), attempts[0].header("webhook-id"));
    assert_eq!(plain.headers.keys().filter(|name| name.as_str().starts_with("webhook-")).count(), 0);
    let cases = [case(&attempts[0], OLD), case(&attempts[1], OLD), case(alarm, NEW), case(alarm, OLD)];
    assert_eq!(verified(&cases).await, [Value::Null, Value::Null, Value::Null, NO_MATCH.into()]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_given_back_to_who_put_them_and_stand_in_no_record() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let sign = json!({ "secrets": [OLD, NEW] });
    let callback = json!({ "url": target.url("/told"), "sign": sign, "every": "run" });
    put(&node, "t", &json!({ "at": soon(), "url": target.url("/ok"), "sign": sign, "on_success": callback })).await;
    drop(target.wait_until(|arrivals| arrivals.len() == 2).await);
    assert_eq!(record(&node, "t").await["type"], "success");

    let shown = post_ok(&node.base, "/get", r#"{"identity":"t","details":true}"#).await;
    let log = post_ok(&node.base, "/logs/search", r#"{"identity":"t"}"#).await.to_string();

    let entry = &shown["data"]["entries"]["e"];
    assert_eq!((&entry["sign"], &entry["on_success"]["sign"]), (&sign, &sign));
    for secret in [OLD, NEW] {
        assert!(!log.contains(&secret[6..]), "{log}");
    }
    assert!(log.contains(r#""sign":{"secrets":["***","***"]}"#), "{log}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_at_the_put() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let wrong = json!({ "every": "1d", "url": target.url("/never"), "headers": { "Webhook-Id": "1" }, "sign": { "secrets": ["s3cret"] } });
    let body = json!({ "identity": "wrong", "time_zone": "UTC", "start": true, "entries": { "e": wrong } });

    let (_, answer) = post(&node.base, "/put", body.to_string()).await;

    let expected = [
        "entries.e.headers.Webhook-Id: is given by `sign`, expected one of both to be left out",
        "entries.e.sign.secrets[0]: is no signing secret, expected `whsec_` and the Base64 of 24 to 64 bytes",
    ];
    assert_eq!(answer["msg"].as_str().unwrap().lines().collect::<Vec<_>>(), expected);
    node.stop().await;
}
