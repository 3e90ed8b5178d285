//! Tasks of one request at one instant go when it is done.

use super::*;

async fn schedule(node: &Node, name: &str, instant: &str) {
    let entry = entry(Schedule::at(instant).unwrap(), EntryOptions::default());
    let task = Task { is_one_shot: true, ..Task::new(identity(name), TimeZone::UTC, vec![entry]) };
    node.put(task).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_is_removed_when_its_run_has_ended_and_is_not_listed() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    node.put_entry("task", Schedule::cron("0 0 0 1 1 *").unwrap(), EntryOptions::default()).await;
    schedule(&node, "one", "2026-03-29T00:00:02.250Z").await;
    schedule(&node, "two", "2026-03-29T00:00:20Z").await;

    assert_eq!((node.catalog.len(), node.catalog.one_shots()), (1, 2));
    assert_eq!(node.catalog.identities(), [identity("task")]);
    assert_eq!(node.catalog.sweep().await, 0);
    node.until("2026-03-29T00:00:03Z").await;
    assert_eq!(node.catalog.sweep().await, 1);

    assert_eq!((node.catalog.get(&identity("one")).is_none(), node.catalog.one_shots()), (true, 1));
    let removal = node.store.records().into_iter().rfind(|record| record.kind == RecordKind::Delete).unwrap();
    let document: serde_json::Value = serde_json::from_str(&removal.source).unwrap();
    assert_eq!(document["body"], serde_json::json!({ "identity": "one", "reason": "finished" }));
    let findings = node.verify(at("2026-03-29T00:00:00Z"), at("2026-03-29T00:00:03Z")).await;
    assert_eq!(findings.len(), 1);
    assert!(findings.iter().all(|finding| finding.verdict == verify::Verdict::Settled(RecordKind::Success)));
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_is_made_up_for_also_by_the_next_start() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    schedule(&node, "one", "2026-03-29T00:00:02Z").await;
    schedule(&node, "two", "2026-03-29T00:00:02Z").await;
    node.until("2026-03-29T00:00:03Z").await;

    node.store.fail_writes(true);
    assert_eq!(node.catalog.sweep().await, 0);
    node.store.fail_writes(false);
    let (clock, store, sink) = node.crash().await;
    let node = Node::start(clock, store, sink).await;
    node.until("2026-03-29T00:00:05Z").await;

    assert_eq!((node.catalog.sweep().await, node.catalog.one_shots()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_put_again_meanwhile_stays() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    schedule(&node, "one", "2026-03-29T00:00:02Z").await;
    node.until("2026-03-29T00:00:03Z").await;
    schedule(&node, "one", "2026-03-29T00:00:10Z").await;

    assert_eq!((node.catalog.sweep().await, node.catalog.one_shots()), (0, 1));
    node.until("2026-03-29T00:00:11Z").await;
    assert_eq!((node.catalog.sweep().await, node.catalog.one_shots()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn very_many_are_removed_in_a_few_sweeps() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    for number in 0..3_000 {
        schedule(&node, &format!("shot-{number}"), &format!("2026-03-29T00:00:02.{:03}Z", number % 1_000)).await;
    }
    node.until("2026-03-29T00:00:04Z").await;
    node.means.journal.flush().await.unwrap();

    assert_eq!((node.catalog.sweep().await, node.catalog.one_shots()), (3_000, 0));
}
