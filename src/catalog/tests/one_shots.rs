//! Tasks of one request at one instant go when it is done.

use super::*;

fn one_shot(name: &str, instant: &str) -> Task {
    let entry = entry(Schedule::at(instant).unwrap(), EntryOptions::default());
    Task { is_one_shot: true, ..Task::new(identity(name), TimeZone::UTC, vec![entry]) }
}

async fn schedule(node: &Node, name: &str, instant: &str) {
    node.put(one_shot(name, instant)).await.unwrap();
}

async fn cancel(node: &Node, name: &str) -> Result<bool, CatalogError> {
    node.catalog
        .cancel_one_shot(Removal { identity: identity(name), request: empty(), revision: None, asked_by: None })
        .await
}

/// What became of the instants of a one-shot.
async fn outcomes(node: &Node, name: &str) -> Vec<RecordKind> {
    node.means.journal.flush().await.unwrap();
    let outcomes = node.store.outcomes(&[(identity(name), entry_name())], Timestamp::EPOCH).await.unwrap();
    outcomes.into_iter().flatten().map(|outcome| outcome.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_is_removed_when_its_run_has_ended_and_is_not_listed() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    node.put_entry("task", Schedule::cron("0 0 0 1 1 *").unwrap(), EntryOptions::default()).await;
    schedule(&node, "one", "2026-03-29T00:00:02.250Z").await;
    schedule(&node, "two", "2026-03-29T00:00:20Z").await;

    assert_eq!((node.catalog.len(), node.catalog.one_shots()), (1, 2));
    let slice = node.catalog.page(ShardSet::ALL, "", None, 9);
    let listed = slice.tasks.iter().filter(|revision| !revision.task.is_one_shot);
    assert_eq!(listed.map(|revision| &revision.task.identity).collect::<Vec<_>>(), [&identity("task")]);
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

#[tokio::test(start_paused = true)]
async fn one_whose_instant_passes_while_its_put_waits_is_refused_and_nothing_is_written() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    let held = node.means.engine.hold(&identity("one")).await.unwrap();
    let putting = tokio::spawn({
        let (catalog, task) = (node.catalog.clone(), one_shot("one", "2026-03-29T00:00:00.800Z"));
        async move {
            catalog
                .put(Put { task, enabled: true, request: empty(), revision: Some(0), by: None, asked_by: None })
                .await
        }
    });

    node.until("2026-03-29T00:00:01Z").await;
    drop(held);
    let put = putting.await.unwrap();

    assert!(matches!(put, Err(CatalogError::Passed)), "{put:?}");
    assert_eq!((node.catalog.one_shots(), node.store.records().len()), (0, 0));
    schedule(&node, "one", "2026-03-29T00:00:02Z").await;
    node.until("2026-03-29T00:00:03Z").await;
    assert_eq!(outcomes(&node, "one").await, [RecordKind::Success], "the task is free for the next one");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_fails_again_and_again_leaves_each_one_shot_in_the_queue_once() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    schedule(&node, "one", "2026-03-29T00:00:02Z").await;
    schedule(&node, "two", "2026-03-29T00:00:02Z").await;
    node.until("2026-03-29T00:00:03Z").await;

    node.store.fail_writes(true);
    for second in 4..9 {
        assert_eq!(node.catalog.sweep().await, 0);
        node.until(&format!("2026-03-29T00:00:0{second}Z")).await;
    }
    node.store.fail_writes(false);

    let queued = node.means.engine.take_finished(100);
    assert_eq!(queued.len(), 2);
    node.means.engine.give_back_finished(queued);
    assert_eq!((node.catalog.sweep().await, node.catalog.one_shots()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_under_way_is_not_cancelled_and_keeps_its_outcome() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    node.sink.answer(None);
    schedule(&node, "one", "2026-03-29T00:00:02Z").await;
    node.until("2026-03-29T00:00:03Z").await;

    for _ in 0..3 {
        assert!(!cancel(&node, "one").await.unwrap());
    }
    assert_eq!(node.catalog.one_shots(), 1, "nothing is changed");
    node.sink.answer(Some(200));
    node.until("2026-03-29T00:00:04Z").await;

    assert!(!cancel(&node, "one").await.unwrap(), "it has ended");
    assert_eq!(outcomes(&node, "one").await, [RecordKind::Success]);
    assert_eq!((node.catalog.sweep().await, node.catalog.one_shots()), (1, 0));
    assert!(matches!(cancel(&node, "one").await, Err(CatalogError::Unknown)));
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_a_limit_is_cancelled_and_its_record_says_that_it_was_not_sent() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    node.sink.answer(None);
    for number in 0..dispatch::Settings::default().in_flight_per_host_max {
        schedule(&node, &format!("shot-{number}"), "2026-03-29T00:00:02Z").await;
    }
    schedule(&node, "waits", "2026-03-29T00:00:02.500Z").await;
    node.until("2026-03-29T00:00:03Z").await;

    assert!(cancel(&node, "waits").await.unwrap());
    node.sink.answer(Some(200));
    node.until("2026-03-29T00:00:04Z").await;

    assert_eq!(node.sink.sent_of("waits"), []);
    assert_eq!(
        (node.catalog.get(&identity("waits")).is_none(), outcomes(&node, "waits").await),
        (true, vec![RecordKind::Skipped])
    );
    let findings = node.verify(at("2026-03-29T00:00:02.400Z"), at("2026-03-29T00:00:02.600Z")).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_switched_off_when_its_instant_came_can_be_cancelled() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    schedule(&node, "one", "2026-03-29T00:00:02Z").await;
    let (identity, request) = (identity("one"), empty());
    let off = Switch { identity, enabled: false, request, revision: None, by: None, note: None, asked_by: None };
    node.catalog.switch(off).await.unwrap();
    node.until("2026-03-29T00:00:03Z").await;

    assert!(cancel(&node, "one").await.unwrap());

    assert_eq!((node.catalog.one_shots(), outcomes(&node, "one").await), (0, vec![]));
}
