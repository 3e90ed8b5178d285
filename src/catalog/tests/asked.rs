//! Runs that somebody asks for.

use super::*;
use crate::model::{RunId, ShardSet};

const ONCE_A_YEAR: &str = "0 0 0 1 1 *";

pub(super) async fn node_with(schedule: &str, options: EntryOptions) -> Node {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    node.put_entry("task", Schedule::cron(schedule).unwrap(), options).await;
    node
}

async fn run_now(node: &Node) -> Result<RunId, RunRefused> {
    node.catalog.run_now(&identity("task"), &entry_name(), "one two", "ada").await
}

/// What a record's document says under a key.
pub(super) fn said(record: &Record, key: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(&record.source).unwrap()[key].clone()
}

pub(super) async fn pass(node: &Node, seconds: u64) {
    node.clock.sleep_until(node.clock.now().plus(Duration::from_secs(seconds))).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_now_has_its_record_when_it_is_answered_for_and_settles_no_instant() {
    let node = node_with(ONCE_A_YEAR, EntryOptions::default()).await;
    node.sink.answer(None);

    let run = run_now(&node).await.unwrap();
    let queued = node.store.run(&identity("task"), run).await.unwrap().unwrap();
    assert_eq!((queued.kind, queued.settled.is_none()), (RecordKind::Started, true));
    node.sink.answer(Some(200));
    pass(&node, 1).await;

    let record = node.record(run).await.unwrap();
    assert_eq!((record.kind, record.settled.is_none()), (RecordKind::Success, true));
    assert_eq!(
        [said(&record, "run_by"), said(&record, "args"), said(&record, "trigger")],
        ["ada", "one two", "manual"]
    );
    assert_eq!(node.sink.sent_of("task")[0].run_id, run.to_string());
    assert!(node.verify(at("2026-03-29T00:00:00Z"), at("2026-03-29T00:00:02Z")).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_run_that_was_asked_for_waits_behind_one_in_progress_and_a_further_one_is_refused() {
    let node = node_with(ONCE_A_YEAR, EntryOptions::default()).await;
    node.sink.answer(None);

    let first = run_now(&node).await.unwrap();
    let second = run_now(&node).await.unwrap();
    let refused = run_now(&node).await;
    assert!(matches!(refused, Err(RunRefused::Waiting(waiting)) if waiting == second), "{refused:?}");
    let unknown = node.catalog.run_now(&identity("other"), &entry_name(), "", "ada").await;
    assert!(matches!(unknown, Err(RunRefused::Unknown)));
    node.sink.answer(Some(200));
    pass(&node, 1).await;

    for run in [first, second] {
        assert_eq!(node.record(run).await.unwrap().kind, RecordKind::Success);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_record_the_store_does_not_take_is_refused_and_never_runs() {
    let node = node_with(ONCE_A_YEAR, EntryOptions::default()).await;

    node.store.fail_writes(true);
    assert!(matches!(run_now(&node).await, Err(RunRefused::Failed(CatalogError::Store(_)))));
    node.store.fail_writes(false);
    let run = run_now(&node).await.unwrap();
    pass(&node, 1).await;

    assert_eq!(node.sink.sent_of("task").len(), 1);
    assert_eq!(node.record(run).await.unwrap().kind, RecordKind::Success);
    let refused = node.store.records().into_iter().find(|record| record.kind == RecordKind::Error).unwrap();
    assert!(refused.source.contains("the store did not take its record"), "{}", refused.source);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_answered_for_is_not_forgotten_by_a_crash() {
    let node = node_with(ONCE_A_YEAR, EntryOptions::default()).await;
    node.sink.answer(None);
    let runs = [run_now(&node).await.unwrap(), run_now(&node).await.unwrap()];

    let (clock, store, sink) = node.crash().await;
    sink.answer(Some(200));
    let node = Node::start(clock, store, sink).await;
    pass(&node, 1).await;

    for run in runs {
        let record = node.record(run).await.unwrap();
        assert_eq!((record.kind, said(&record, "run_by")), (RecordKind::Success, "ada".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_lets_pass_what_somebody_asks_for() {
    let node = node_with("* * * * * *", EntryOptions::default()).await;
    node.catalog.pause(PauseScope::All, "ada", None).await.unwrap();
    assert_eq!(node.catalog.pauses().all.unwrap().by, "ada".into());

    let run = run_now(&node).await.unwrap();
    pass(&node, 3).await;

    assert_eq!(node.record(run).await.unwrap().kind, RecordKind::Success);
    assert_eq!(node.sink.sent_of("task").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_cancelled_also_in_flight() {
    let node = node_with(ONCE_A_YEAR, EntryOptions::default()).await;
    node.sink.answer(None);
    let runs = [run_now(&node).await.unwrap(), run_now(&node).await.unwrap()];
    pass(&node, 1).await;

    for run in runs {
        assert_eq!(node.catalog.cancel_run(run, "bob").await.unwrap(), Broken::Off);
    }
    pass(&node, 1).await;

    for run in runs {
        let record = node.record(run).await.unwrap();
        assert!(record.kind == RecordKind::Error && record.source.contains("bob"), "{}", record.source);
        assert_eq!(node.catalog.cancel_run(run, "bob").await.unwrap(), Broken::Not);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backfill_runs_each_past_instant_in_order_and_settles_none() {
    let node = node_with("0 * * * * *", EntryOptions::default()).await;
    let (from, to) = (at("2026-03-28T12:00:00Z"), at("2026-03-28T12:09:59Z"));

    let (id, count) = node.catalog.backfill(&identity("task"), &entry_name(), from, to, 2, "ada").await.unwrap();
    pass(&node, 5).await;
    node.means.journal.flush().await.unwrap();

    assert_eq!(count, 10);
    let sent: Vec<String> = node.sink.sent_of("task").into_iter().map(|sent| sent.fire_time).collect();
    assert_eq!(sent, (0..10).map(|minute| format!("2026-03-28T12:0{minute}:00.000Z")).collect::<Vec<_>>());
    let records: Vec<Record> =
        node.store.records().into_iter().filter(|record| said(record, "backfill") == id.to_string()).collect();
    assert!(records.len() == 10 && records.iter().all(|it| it.kind == RecordKind::Success && it.settled.is_none()));
    assert!(node.verify(from, to).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_backfill_goes_on_after_a_crash_and_only_so_many_go_at_once() {
    let node = node_with("0 * * * * *", EntryOptions::default()).await;
    node.sink.answer(None);
    let (from, to) = (at("2026-03-28T12:00:00Z"), at("2026-03-28T12:19:59Z"));
    node.catalog.backfill(&identity("task"), &entry_name(), from, to, 3, "ada").await.unwrap();
    pass(&node, 5).await;
    assert_eq!(node.sink.sent_of("task").len(), 3);

    let (clock, store, sink) = node.crash().await;
    let node = Node::start(clock, store, sink).await;
    pass(&node, 5).await;
    assert_eq!(node.sink.sent_of("task").len(), 6, "those in progress are sent again, and no others");
    node.sink.answer(Some(200));
    pass(&node, 5).await;

    assert_eq!(node.sink.sent_of("task").len(), 3 + 20);
    assert!(node.store.unfinished(ShardSet::ALL).recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_backfill_of_too_many_instants_is_refused_and_none_of_what_has_not_passed_is_run() {
    let node = node_with("* * * * * *", EntryOptions::default()).await;
    let (task, name) = (identity("task"), entry_name());

    let refused = node.catalog.backfill(&task, &name, at("2026-03-28T00:00:00Z"), at("2026-03-28T23:59:59Z"), 1, "ada");
    assert!(matches!(refused.await, Err(RunRefused::TooMany { count: 86_400, max: BACKFILL_MAX })));
    let (from, to) = (at("2026-03-28T23:59:58Z"), at("2026-03-29T01:00:00Z"));
    let (_, count) = node.catalog.backfill(&task, &name, from, to, 1, "ada").await.unwrap();

    assert_eq!(count, 3);
    let records = node.store.records().into_iter().filter(|record| record.kind == RecordKind::Started);
    assert_eq!(records.count(), 3, "each has its record");
}

#[tokio::test(start_paused = true)]
async fn a_delete_while_the_records_of_a_backfill_are_written_lets_none_of_its_runs_start() {
    let node = node_with("* * * * * *", EntryOptions::default()).await;
    pass(&node, 5).await;
    let rooms = node.catalog.rooms.clone();
    let (now, range) = (node.clock.now(), (at("2026-03-29T00:00:01Z"), at("2026-03-29T00:00:05Z")));
    let backfill = crate::model::Backfill { id: RunId::asked(now), at_once: 2 };
    let asked = crate::model::Asked {
        run_id: RunId::asked(now),
        run_by: "ada".into(),
        args: "".into(),
        rerun_of: None,
        backfill: None,
    };
    let fires = rooms.backfill(&identity("task"), &entry_name(), range, backfill, asked).unwrap();
    let runs: Vec<RunId> = fires.iter().map(crate::model::Fire::run_id).collect();
    node.catalog
        .remove(Removal { identity: identity("task"), request: empty(), revision: None, asked_by: None })
        .await
        .unwrap();
    let sent = node.sink.sent_of("task").len();

    assert!(matches!(rooms.queue(fires, None).await, Err(CatalogError::Unknown)));
    pass(&node, 5).await;

    assert_eq!((runs.len(), node.sink.sent_of("task").len()), (5, sent));
    for run in runs {
        let record = node.record(run).await.unwrap();
        assert_eq!(
            (record.kind, said(&record, "message")[0].as_str()),
            (RecordKind::Error, Some("deleted before it could be sent"))
        );
    }
}
