use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use super::{ADMIN_KEY, ask, ask_ok};
use crate::support::{BoxedNode, Target};

/// Where the program is that makes up requests; `scripts/check` installs it and says so.
const VARIABLE: &str = "SCHEDULE_TEST_SCHEMATHESIS";
/// How many requests are made up for an operation, beside those that try each bound of its schema.
const EXAMPLES_MAX: &str = "30";
/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Requests are made up from the document, good ones and bad ones, and every answer is held against it: no 5xx, no status, type,
/// header or field that is not described; what the document forbids is refused, and what it allows is taken.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_is_answered_as_described() {
    let node = super::node_with(|settings| settings.access.failed_tries_per_min = 1_000_000).await;
    let target = Target::start().await;
    let prepared = prepare(&node, &target).await;

    let ran = make_up_requests(&node, &prepared).await;

    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert_all_stayed_here(&node, &target).await;
    node.stop().await;
}

/// Tasks that fire, so that there are records to be found, and the words that requests are made of.
async fn prepare(node: &BoxedNode, target: &Target) -> Value {
    let entry = |path: &str| json!({ "cron_time": "* * * * * *", "url": target.url(path) });
    let mut failing = entry("/status/503");
    failing["retry"] = json!({ "attempts_max": 2, "backoff": { "initial": "1ms" } });
    let entries = json!({ "nightly": entry("/ok"), "failing": failing, "text": entry("/text") });
    let task = json!({ "identity": "steady", "time_zone": "Europe/Berlin", "start": true, "entries": entries });
    ask_ok(&node.base, "/put", task.to_string()).await;
    let runs = runs(node).await;
    let one_shots =
        [one_shot(node, target, "2199-01-01T00:00:00Z").await, one_shot(node, target, "2198-01-01T00:00:00Z").await];
    let (_, key) = ask(&node.base, "/keys", json!({ "name": "steady", "role": "read" }).to_string()).await;
    let key = key["data"]["id"].clone();
    let urls = ["/ok", "/status/404", "/text", "/a%20b?c=d"].map(|path| target.url(path));
    json!({
        "target": target.url(""),
        "steady": "steady",
        "formats": {
            "http-url": urls,
            "time-zone": ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"],
            "cron-time": [
                "* * * * * *", "0 0 3 * * MON-FRI", "@every 1h30m", "@daily", "0 30 2 L * ?", "CRON_TZ=Asia/Tokyo 0 0 9 1 1 *",
            ],
            "date-time": ["2026-12-24T18:00:00+01:00", "2199-01-01T00:00:00Z"],
            "loose-date": ["20261121", "20261121T061500", "2026-11-21T06:15:00+01:00", "2026-11-21", "20270101"],
            "job-id": ["steady:nightly", "steady:failing", "steady:text"],
            "uuid": runs,
            "one-shot-id": one_shots,
            "signing-secret": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            "auth-user": ["ann", "", "é"],
            "auth-password": ["a:b", "", "é"],
            "auth-token": ["a.b-c~d+e/f==", "1|a"],
            "auth-text": ["scheduler", "a b", "é:"],
            "identity": ["backup", "report", "é/%:"],
            "key-id": [key],
            "key-name": ["ci", "dashboard", "é"],
            "entry-name": ["nightly", "failing", "text"],
        },
    })
}

/// Runs of the entries that fire, once there are some of each kind.
async fn runs(node: &BoxedNode) -> Vec<Value> {
    let ids = |page: &Value| page["logs"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect::<Vec<_>>();
    let asked = async {
        loop {
            let mut found = Vec::new();
            for kind in ["success", "error"] {
                let asked = json!({ "identity": "steady", "type": kind, "limit": 3 });
                found.push(ids(&ask_ok(&node.base, "/logs/search", asked.to_string()).await["data"]));
            }
            if found.iter().all(|ids| ids.len() == 3) {
                return found.concat();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("the records are written")
}

/// Schedules a request and gives its id.
async fn one_shot(node: &BoxedNode, target: &Target, date_time: &str) -> Value {
    let body = json!({ "date_time": date_time, "url": target.url("/ok") });
    let (status, answer) = ask(&node.base, "/schedule", body.to_string()).await;
    assert_eq!(status, 201, "{answer}");
    answer["id"].clone()
}

async fn make_up_requests(node: &BoxedNode, prepared: &Value) -> Output {
    let program = std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run scripts/check, or set it to what scripts/schemathesis prints")
    });
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi");
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("prepared.json");
    std::fs::write(&values, prepared.to_string()).unwrap();
    let running = Command::new(program)
        .current_dir(folder.path())
        .env("SCHEDULE_TEST_PREPARED", values)
        .env("PYTHONPATH", &own)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .arg("--config-file")
        .arg(own.join("schemathesis.toml"))
        .args(["run", &format!("{}/openapi.json", node.base), "--url", &node.base])
        .args(["--header", &format!("X-API-Key: {ADMIN_KEY}")])
        .args(["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", EXAMPLES_MAX])
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(TIMEOUT, running).await.expect("it ends in time").expect("the program can be run")
}

/// Whatever was made up: no run went anywhere but to the target, and some did go there.
async fn assert_all_stayed_here(node: &BoxedNode, target: &Target) {
    let here = target.url("/");
    let mut asked = json!({ "type": ["success", "error"], "limit": 1_000 });
    let mut runs = 0;
    loop {
        let page = ask_ok(&node.base, "/logs/search", asked.to_string()).await["data"].take();
        for item in page["logs"].as_array().unwrap() {
            assert!(item["log"]["url"].as_str().unwrap().starts_with(&here), "{item}");
            runs += 1;
        }
        asked["cursor"] = page["next_cursor"].clone();
        if asked["cursor"].is_null() {
            break;
        }
    }
    assert!(runs > 0, "nothing was fired");
}
