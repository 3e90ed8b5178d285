//! What a stop, a crash and an outage leave behind.

use serde_json::Value;

use crate::support::{Arrival, BoxedNode, Process, Target, post_ok, task};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_no_task_no_switch_and_no_history() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    post_ok(&node.base, "/put", task("kept", "* * * * * *", &target.url("/kept"))).await;
    post_ok(&node.base, "/put", task("off", "0 0 0 1 1 *", &target.url("/off"))).await;
    post_ok(&node.base, "/running", r#"{"identity":"off","running":false}"#).await;
    target.wait_until(|arrivals| arrivals.len() >= 2).await;

    let folder = node.stop().await;
    let arrived = target.count();
    let node = BoxedNode::start_in(folder, |_| {}).await;

    let kept = post_ok(&node.base, "/get", r#"{"identity":"kept"}"#).await;
    assert_ne!(kept["data"]["entries"]["e"]["last_date"], "0001-01-01T00:00:00Z");
    assert_eq!(post_ok(&node.base, "/get", r#"{"identity":"off"}"#).await["data"]["start"], false);
    let history = post_ok(&node.base, "/search", r#"{"identity":"off","limit":10,"skip":0}"#).await;
    assert_eq!(history["data"]["hits"]["total"]["value"], 2);
    target.wait_until(|arrivals| arrivals.len() >= arrived + 2).await;
    assert!(target.arrivals_by_run().values().all(|&count| count == 1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_answers_in_flight_and_records_them() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    post_ok(&node.base, "/put", task("slow", "* * * * * *", &target.url("/slow"))).await;
    target.wait_until(|arrivals| arrivals.len() >= 2).await;

    let folder = node.stop().await;

    let runs = target.arrivals_by_run();
    let verified = verify_store(folder.path(), &["--json"]).await;
    assert_eq!(verified.len(), runs.len(), "{verified:?}");
    assert!(verified.iter().all(|line| line["verdict"] == "success"), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_come_within_the_grace_are_settled_by_the_next_start() {
    let target = Target::start().await;
    let node = BoxedNode::start_with(|settings| settings.shutdown_grace = std::time::Duration::from_millis(50)).await;
    post_ok(&node.base, "/put", task("hang", "* * * * * *", &target.url("/hang"))).await;
    target.wait_until(|arrivals| !arrivals.is_empty()).await;
    let run = target.arrivals()[0].header("idempotency-key").to_owned();

    let folder = node.stop().await;
    let node =
        BoxedNode::start_in(folder, |settings| settings.shutdown_grace = std::time::Duration::from_millis(50)).await;
    let again = |arrivals: &[Arrival]| arrivals.iter().filter(|it| it.header("idempotency-key") == run).count() == 2;
    let arrivals = target.wait_until(again).await;

    let last = arrivals.iter().rfind(|it| it.header("idempotency-key") == run).unwrap();
    assert_eq!(last.header("x-schedule-trigger"), "catch_up");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_folder_is_refused_and_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path()).await;

    let refused = Process::try_start(folder.path()).await.err().expect("the second is refused");

    assert!(refused.contains(&format!("process {}", first.pid())), "{refused}");
    first.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_without_certificates_is_no_reason_not_to_fire() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Target::start().await);
    let none = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    let process = Process::try_start_with(folder.path(), &none).await.unwrap();

    post_ok(&process.base, "/put", task("plain", "* * * * * *", &target.url("/ok"))).await;
    target.wait_until(|arrivals| !arrivals.is_empty()).await;

    process.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_catches_up_and_every_instant_has_one_outcome() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Target::start().await);
    let process = Process::start(folder.path()).await;
    post_ok(&process.base, "/put", task("paused", "* * * * * *", &target.url("/ok"))).await;
    target.wait_until(|arrivals| arrivals.len() >= 2).await;

    process.signal("STOP").await;
    // The outage is what is tested: it has to take its time.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    process.signal("CONT").await;
    let arrived = target.count();
    target.wait_until(|arrivals| arrivals.len() >= arrived + 4).await;
    process.signal("TERM").await;
    assert!(process.wait().await.success());

    assert!(target.arrivals_by_run().values().all(|&count| count == 1), "{:?}", target.arrivals_by_run());
    let verified = verify(folder.path(), &["--json"]).await;
    assert!(verified.iter().all(|line| line["verdict"] == "success"), "{verified:?}");
    assert!(verified.len() >= 6, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn misfires_of_an_outage_are_recorded_and_the_newest_is_fired() {
    let target = Target::start().await;
    let short = |settings: &mut schedule_service::config::NodeSettings| {
        settings.engine.misfire_grace = std::time::Duration::from_millis(500);
    };
    let node = BoxedNode::start_with(short).await;
    post_ok(&node.base, "/put", task("late", "* * * * * *", &target.url("/ok"))).await;
    target.wait_until(|arrivals| arrivals.len() >= 2).await;

    let folder = node.stop().await;
    // The outage is what is tested: it has to take its time.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let arrived = target.count();
    let node = BoxedNode::start_in(folder, short).await;
    target.wait_until(|arrivals| arrivals.len() >= arrived + 2).await;
    let folder = node.stop().await;

    let verified = verify_store(folder.path(), &["--json"]).await;
    let skipped: Vec<&Value> = verified.iter().filter(|line| line["verdict"] == "skipped").collect();
    assert_eq!(skipped.len(), 1, "{verified:?}");
    assert!(skipped[0]["count"].as_u64().unwrap() >= 2, "{skipped:?}");
    assert!(verified.iter().all(|line| line["verdict"] == "success" || line["verdict"] == "skipped"), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_when_an_outcome_is_missing_and_exits_with_1() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    post_ok(&node.base, "/put", task("proof", "* * * * * *", &target.url("/ok"))).await;
    target.wait_until(|arrivals| arrivals.len() >= 2).await;
    let folder = node.stop().await;
    let database = rusqlite::Connection::open(folder.path().join("schedule.db")).unwrap();
    let deleted = "DELETE FROM history WHERE seq = (SELECT max(seq) FROM history)";
    assert_eq!(database.execute(deleted, []).unwrap(), 1);
    drop(database);

    let verified = Process::command(folder.path())
        .env("SCHEDULE__STORE__PATH", folder.path())
        .args(["verify", "--from", "2020-01-01T00:00:00Z"])
        .output()
        .await
        .unwrap();

    let said = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(1), "{said}");
    assert!(said.contains("MISSING"), "{said}");
}

async fn verify(folder: &std::path::Path, options: &[&str]) -> Vec<Value> {
    verify_store(&folder.join("data"), options).await
}

async fn verify_store(store: &std::path::Path, options: &[&str]) -> Vec<Value> {
    let verified = Process::command(store)
        .env("SCHEDULE__STORE__PATH", store)
        .args(["verify", "--from", "2020-01-01T00:00:00Z"])
        .args(options)
        .output()
        .await
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
    assert!(verified.status.success(), "{said}{complained}");
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["identity"].is_string())
        .collect()
}
