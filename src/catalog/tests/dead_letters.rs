//! Runs that failed for good, and what becomes of them.

use super::asked::{node_with, pass, said};
use super::*;
use crate::catalog::Letter;
use crate::model::{RetryPolicy, RunId};
use crate::store::RunQuery;

/// Without a second attempt: what fails is a dead letter at once.
fn with_retry() -> EntryOptions {
    let retry = RetryPolicy { attempts_max: 1, ..RetryPolicy::default() };
    EntryOptions { retry: Some(retry), ..EntryOptions::default() }
}

/// A node with these tasks, of which each has failed once in each of so many seconds. What is sent from now on succeeds.
async fn node_with_letters(names: &[&str], seconds: u32) -> Node {
    let node = Node::new("2026-03-29T00:00:00.500Z").await;
    for name in names {
        node.put_entry(name, Schedule::cron("* * * * * *").unwrap(), with_retry()).await;
    }
    node.sink.answer(Some(503));
    node.until(&format!("2026-03-29T00:00:{seconds:02}.500Z")).await;
    node.catalog.pause(PauseScope::All, "ada", None).await.unwrap();
    pass(&node, 1).await;
    node.means.journal.flush().await.unwrap();
    assert_eq!(letters(&node).await.len(), names.len() * usize::try_from(seconds).unwrap());
    node.sink.answer(Some(200));
    node
}

async fn letters(node: &Node) -> Vec<Letter> {
    let query = RunQuery { limit: crate::catalog::DEAD_LETTERS_MAX, ..RunQuery::default() };
    node.catalog.dead_letters(&query).await.unwrap()
}

async fn records(node: &Node) -> Vec<Record> {
    pass(node, 2).await;
    node.means.journal.flush().await.unwrap();
    node.store.records()
}

/// The runs that do others again and have succeeded.
fn reruns(records: &[Record]) -> usize {
    records.iter().filter(|it| it.kind == RecordKind::Success && !said(it, "rerun_of").is_null()).count()
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_run_again_for_its_instant_and_is_no_dead_letter_then() {
    let node = node_with("0 * * * * *", with_retry()).await;
    node.sink.answer(Some(503));
    node.until("2026-03-29T00:01:01Z").await;
    let planned = RunId::planned(&identity("task"), &entry_name(), at("2026-03-29T00:01:00Z"));
    let failed = node.record(planned).await.unwrap();
    assert!(failed.is_dead_letter(), "{}", failed.source);
    node.sink.answer(Some(200));

    let dealt = node.catalog.rerun_dead_letters(&[(identity("task"), planned)], "ada").await;
    let [(of, Some(run))] = dealt.done[..] else { panic!("{dealt:?}") };
    pass(&node, 1).await;

    assert_eq!(of, planned);
    let record = node.record(run).await.unwrap();
    assert_eq!((record.kind, said(&record, "rerun_of")), (RecordKind::Success, planned.to_string().into()));
    assert_eq!(said(&record, "fire_time"), "2026-03-29T00:01:00.000Z");
    let failed = node.record(planned).await.unwrap();
    assert_eq!((failed.kind, said(&failed, "rerun_as")), (RecordKind::Error, run.to_string().into()));
    assert!(!failed.is_dead_letter() && failed.settled.is_some());
    let findings = node.verify(at("2026-03-29T00:00:30Z"), at("2026-03-29T00:01:30Z")).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[tokio::test(start_paused = true)]
async fn many_dead_letters_are_run_again_one_after_the_other_or_discarded() {
    let node = node_with_letters(&["task"], 10).await;
    let letters = letters(&node).await;

    let again = node.catalog.rerun_dead_letters(&letters[..6], "ada").await;
    let discarded = node.catalog.discard_dead_letters(&letters[6..], "bob").await;

    assert_eq!((again.done.len(), discarded.done.len(), again.left.len() + discarded.left.len()), (6, 4, 0));
    let records = records(&node).await;
    assert!(!records.iter().any(Record::is_dead_letter));
    assert_eq!(reruns(&records), 6);
    assert_eq!(records.iter().filter(|record| said(record, "discarded_by") == "bob").count(), 4);
}

#[tokio::test(start_paused = true)]
async fn as_many_dead_letters_are_named_as_are_wanted_the_newest_first() {
    let node = node_with_letters(&["task"], 4).await;
    let newest = |second: u32| at(&format!("2026-03-29T00:00:0{second}Z"));

    let named = node.catalog.dead_letters(&RunQuery { limit: 2, ..RunQuery::default() }).await.unwrap();

    let planned = [4, 3].map(|second| RunId::planned(&identity("task"), &entry_name(), newest(second)));
    assert_eq!(named, planned.map(|run| (identity("task"), run)));
}

#[tokio::test(start_paused = true)]
async fn requests_that_overlap_deal_with_each_dead_letter_once() {
    let node = node_with_letters(&["task"], 10).await;
    let letters = letters(&node).await;

    let (one, other, discarded, single) = tokio::join!(
        node.catalog.rerun_dead_letters(&letters, "ada"),
        node.catalog.rerun_dead_letters(&letters, "bob"),
        node.catalog.discard_dead_letters(&letters, "eve"),
        node.catalog.rerun_dead_letters(&letters[5..6], "joe"),
    );
    let late = node.catalog.rerun_dead_letters(&letters, "ada").await;

    assert!(late.done.is_empty() && late.left.is_empty(), "{late:?}");
    let again = one.done.len() + other.done.len() + single.done.len();
    assert_eq!(again + discarded.done.len(), 10);
    let records = records(&node).await;
    assert_eq!(reruns(&records), again);
    let is_both = |record: &Record| !said(record, "rerun_as").is_null() && !said(record, "discarded_by").is_null();
    assert!(!records.iter().any(is_both));
}

#[tokio::test(start_paused = true)]
async fn a_discarded_letter_that_was_listed_before_is_not_run_again() {
    let node = node_with_letters(&["task"], 1).await;
    let listed = letters(&node).await;
    let record = node.record(listed[0].1).await.unwrap();

    node.catalog.discard_dead_letters(&listed, "eve").await;
    let dealt = node.catalog.rerun_dead_letters(&listed, "ada").await;
    assert!(dealt.done.is_empty() && dealt.left.is_empty(), "{dealt:?}");
    // Who names the run wants it run again, whatever was done about it: that is kept.
    node.catalog.rerun(record, "ada").await.unwrap();

    let records = records(&node).await;
    assert_eq!(reruns(&records), 1);
    assert_eq!(records.iter().filter(|record| said(record, "discarded_by") == "eve").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_middle_leaves_the_rest_on_the_list_and_tells_what_was_done() {
    let node = node_with_letters(&["a", "b", "c"], 1).await;
    let letters = letters(&node).await;
    let failing = letters[1].clone();

    node.store.fail_writes_of(Some(failing.0.clone()));
    let again = node.catalog.rerun_dead_letters(&letters, "ada").await;
    node.store.fail_writes_of(None);

    assert_eq!(again.done.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [letters[0].1]);
    assert_eq!(again.left.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [letters[1].1, letters[2].1]);
    assert!(again.left.iter().all(|(_, reason)| reason.contains("the test made it fail")), "{again:?}");
    assert_eq!(reruns(&records(&node).await), 1);
    assert_eq!(self::letters(&node).await, letters[1..]);
}

#[tokio::test(start_paused = true)]
async fn a_letter_stays_on_the_list_when_the_store_wrote_it_off_and_failed() {
    let node = node_with_letters(&["task"], 1).await;
    let listed = letters(&node).await;

    node.store.lose_answers(true);
    let failed = node.catalog.rerun_dead_letters(&listed, "ada").await;
    assert!(failed.done.is_empty() && failed.left.len() == 1, "{failed:?}");
    // Until it stands on the list again in the store, nobody may take it for what it is there.
    let early = node.catalog.rerun_dead_letters(&listed, "ada").await;
    assert_eq!(&*early.left[0].1, "another request deals with it");
    node.store.lose_answers(false);
    assert_eq!(reruns(&records(&node).await), 0);
    assert_eq!(letters(&node).await, listed);

    let again = node.catalog.rerun_dead_letters(&listed, "ada").await;

    assert_eq!(again.done.len(), 1);
    assert_eq!(reruns(&records(&node).await), 1);
    assert!(letters(&node).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_of_an_entry_that_is_gone_is_not_run_again() {
    let node = node_with("* * * * * *", with_retry()).await;
    node.sink.answer(Some(503));
    node.until("2026-03-29T00:00:01.500Z").await;
    let planned = RunId::planned(&identity("task"), &entry_name(), at("2026-03-29T00:00:01Z"));
    let failed = node.record(planned).await.unwrap();
    node.catalog
        .remove(Removal { identity: identity("task"), request: empty(), revision: None, asked_by: None })
        .await
        .unwrap();

    assert!(matches!(node.catalog.rerun(failed, "ada").await, Err(RunRefused::Unknown)));
}
