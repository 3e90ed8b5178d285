//! Who is told of ends, when a task is put again meanwhile.

use super::*;
use crate::model::{Callback, RunId};

async fn put(node: &Node) {
    let told = || {
        let request = Request::post(TargetUrl::parse("http://127.0.0.1/told").unwrap());
        Some(Callback { request, each: false, credentials: Default::default() })
    };
    let options = EntryOptions { on_failure: told(), on_recovery: told(), ..EntryOptions::default() };
    node.put_entry("t", Schedule::cron("* * * * * *").unwrap(), options).await;
}

/// How often somebody was told of the end of the run of each second.
async fn told(node: &Node, occasion: &str, seconds: std::ops::Range<i64>) -> Vec<i64> {
    node.means.journal.flush().await.unwrap();
    let records = node.store.records();
    let is_told = |second: &i64| {
        let instant = Timestamp::from_secs(at("2026-03-29T00:00:00Z").secs() + second);
        let about = RunId::planned(&identity("t"), &entry_name(), instant);
        records.iter().any(|record| record.id == about.following(occasion).into())
    };
    seconds.filter(is_told).collect()
}

#[tokio::test(start_paused = true)]
async fn who_puts_a_failing_task_again_is_told_of_its_recovery_and_not_of_its_failure_once_more() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    put(&node).await;
    // The first run is under way when the task is put again, and fails after that.
    node.sink.answer(None);
    node.until("2026-03-29T00:00:01.500Z").await;
    put(&node).await;
    node.sink.answer(Some(500));
    node.until("2026-03-29T00:00:03.500Z").await;
    put(&node).await;
    node.until("2026-03-29T00:00:05.500Z").await;
    put(&node).await;
    node.sink.answer(Some(200));
    node.until("2026-03-29T00:00:08.500Z").await;

    assert_eq!(told(&node, "on_failure", 1..9).await, [1]);
    assert_eq!(told(&node, "on_recovery", 1..9).await, [6]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_deleted_and_is_put_again_goes_on_from_what_the_history_says() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    put(&node).await;
    node.sink.answer(Some(500));
    node.until("2026-03-29T00:00:02.500Z").await;
    let removal = Removal { identity: identity("t"), request: empty(), revision: None, asked_by: None };
    node.catalog.remove(removal).await.unwrap();
    node.means.journal.flush().await.unwrap();
    put(&node).await;
    node.until("2026-03-29T00:00:04.500Z").await;
    node.sink.answer(Some(200));
    node.until("2026-03-29T00:00:06.500Z").await;

    assert_eq!(told(&node, "on_failure", 1..7).await, [1]);
    assert_eq!(told(&node, "on_recovery", 1..7).await, [5]);
}
