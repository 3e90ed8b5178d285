//! What a planned stop leaves, and how the next start goes on with it.

use super::*;
use crate::model::{Misfire, Overlap, RunId};

/// What becomes of a run that waited for the one before it when the node stopped.
async fn outcome_of_what_waited(misfire: Misfire, outage_s: u64) -> (RecordKind, Option<String>) {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    let options = EntryOptions { misfire, overlap: Overlap::QueueOne, ..EntryOptions::default() };
    node.put_entry("task", Schedule::cron("10,20 0 0 * * *").unwrap(), options).await;
    node.sink.answer(None);
    node.until("2026-03-29T00:00:21Z").await;
    let (clock, store, sink) = node.stop().await;
    sink.answer(Some(200));
    clock.sleep_until(clock.now().plus(Duration::from_secs(outage_s))).await;
    let node = Node::start(clock, store, sink).await;
    node.clock.sleep_until(node.clock.now().plus(Duration::from_secs(5))).await;

    let record =
        node.record(RunId::planned(&identity("task"), &entry_name(), at("2026-03-29T00:00:20Z"))).await.unwrap();
    assert!(!record.source.contains("redelivered"), "{}", record.source);
    assert!(node.store.unfinished(ShardSet::ALL).recv().await.is_none());
    let document: serde_json::Value = serde_json::from_str(&record.source).unwrap();
    (record.kind, document["trigger"].as_str().map(str::to_owned))
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waited_at_a_stop_goes_by_how_late_it_is_and_by_its_misfire_policy() {
    let sent = |trigger: &str| (RecordKind::Success, Some(trigger.to_owned()));
    for misfire in Misfire::ALL {
        assert_eq!(outcome_of_what_waited(misfire, 3).await, sent("schedule"), "{misfire:?}");
    }
    for misfire in [Misfire::FireOnce, Misfire::FireAll] {
        assert_eq!(outcome_of_what_waited(misfire, 600).await, sent("catch_up"), "{misfire:?}");
        assert_eq!(outcome_of_what_waited(misfire, 7_200).await, (RecordKind::Missed, None), "{misfire:?}");
    }
    for outage_s in [600, 7_200] {
        assert_eq!(outcome_of_what_waited(Misfire::Skip, outage_s).await, (RecordKind::Skipped, None));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_stop_claims_and_does_not_hand_out_is_not_uncertain() {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    node.put_entry("task", Schedule::cron("* * * * * *").unwrap(), EntryOptions::default()).await;
    node.until("2026-03-29T00:00:02.500Z").await;
    node.store.fail_claims(true);
    node.until("2026-03-29T00:00:08.500Z").await;
    node.store.fail_claims(false);
    // The pause after a claim that failed is over: so the stop finds a planning under way.
    node.clock.step(1_000);
    node.means.engine.plan();
    let (clock, store, sink) = node.stop().await;
    let node = Node::start(clock, store, sink).await;
    node.until("2026-03-29T00:00:12.500Z").await;

    assert!(
        node.verify(at("2026-03-29T00:00:00Z"), at("2026-03-29T00:00:12Z"))
            .await
            .iter()
            .all(|finding| { matches!(finding.verdict, verify::Verdict::Settled(_)) })
    );
    let again = node.store.records().into_iter().filter(|record| record.source.contains("redelivered"));
    assert_eq!(again.count(), 0);
}
