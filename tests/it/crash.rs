//! kill -9 in the middle of runs: each goes on or is settled, as its entry says.

use std::path::Path;
use std::time::Duration;

use schedule_service::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::support::{Process, Target, client, post_ok};

/// Puts a task with one entry, `e`.
async fn put(process: &Process, identity: &str, entry: Value) {
    let body = json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": { "e": entry } });
    post_ok(&process.base, "/put", body.to_string()).await;
}

/// Asks for a run and gives its name.
async fn run_now(process: &Process, identity: &str) -> String {
    let path = format!("{}/scheduled-jobs/{identity}:e/runs", process.base);
    let answer = client().post(path).send().await.unwrap();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    answer["runId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// The newest run of a task, once it is as wanted.
async fn run_when(process: &Process, identity: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let path = format!("{}/scheduled-jobs/{identity}:e/runs", process.base);
    let asking = async {
        loop {
            let answer = client().get(&path).send().await.unwrap().text().await.unwrap();
            let runs: Vec<Value> = serde_json::from_str(&answer).unwrap();
            if let Some(run) = runs.into_iter().next().filter(|run| is_wanted(run)) {
                return run;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.unwrap_or_else(|_| panic!("no such run of {identity}"))
}

async fn ended(process: &Process, identity: &str) -> Value {
    run_when(process, identity, |run| run["status"] != "IN_PROGRESS").await
}

async fn kill_and_start(process: Process, folder: &Path) -> Process {
    process.kill().await;
    Process::start(folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_is_sent_again_or_given_up_as_its_delivery_says() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Target::start().await);
    let process = Process::start(folder.path()).await;
    let entry = |path: &str, delivery: &str| {
        let (at, url) = (SystemClock.now().plus(Duration::from_secs(1)).to_string(), target.url(path));
        json!({ "at": at, "url": url, "delivery": delivery })
    };
    for (identity, delivery) in [("again", "at_least_once"), ("once", "at_most_once")] {
        put(&process, identity, entry(&format!("/hang/planned/{identity}"), delivery)).await;
        let asked = format!("asked-{identity}");
        put(
            &process,
            &asked,
            json!({ "cron_time": "0 0 0 1 1 *", "url": target.url(&format!("/hang/{asked}")),
            "delivery": delivery }),
        )
        .await;
        run_now(&process, &asked).await;
    }
    target.wait_until(|arrivals| arrivals.len() == 4).await;
    for identity in ["again", "once", "asked-again", "asked-once"] {
        run_when(&process, identity, |run| run["status"] == "IN_PROGRESS").await;
    }

    let process = kill_and_start(process, folder.path()).await;
    let arrivals = target.wait_until(|arrivals| arrivals.len() == 6).await;

    for identity in ["once", "asked-once"] {
        let run = ended(&process, identity).await;
        assert_eq!(run["status"], "FAILED", "{run}");
        assert!(run["message"].as_str().unwrap().contains("delivery is at_most_once"), "{run}");
    }
    for identity in ["again", "asked-again"] {
        let run = run_when(&process, identity, |run| run["redelivered"] == true).await;
        assert_eq!(run["status"], "IN_PROGRESS", "{run}");
    }
    for path in ["/hang/planned/again", "/hang/asked-again"] {
        let of_run: Vec<&str> = arrivals
            .iter()
            .filter(|arrival| arrival.uri.path() == path)
            .map(|arrival| arrival.header("idempotency-key"))
            .collect();
        assert!(of_run.len() == 2 && of_run[0] == of_run[1], "{path}: {of_run:?}");
    }
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attempts_that_remain_are_made_after_a_crash() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Target::start().await);
    let process = Process::start(folder.path()).await;
    let retry = json!({ "attempts_max": 4, "backoff": { "initial": "2s", "jitter": "none", "factor": 1 } });
    put(&process, "tried", json!({ "cron_time": "0 0 0 1 1 *", "url": target.url("/status/503"), "retry": retry }))
        .await;
    let id = run_now(&process, "tried").await;
    run_when(&process, "tried", |run| run["attempts"] == 2).await;

    let process = kill_and_start(process, folder.path()).await;
    let run = ended(&process, "tried").await;

    assert_eq!((&run["id"], &run["attempts"], &run["status"]), (&json!(id), &json!(4), &json!("FAILED")), "{run}");
    assert_eq!((target.arrivals().len(), target.arrivals_by_run().len()), (4, 1));
    process.kill().await;
}
