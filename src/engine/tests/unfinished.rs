//! Runs that had not ended when a crash came: each kind of their records.

use super::*;
use crate::journal::{RunStage, started_record};
use crate::model::{Asked, Attempt, Callback, Delivery, Fire, Notice, Occasion, Record, RunId, ShardSet, Trigger};

const T3: &str = "2026-03-29T00:00:03Z";

fn with(delivery: Delivery) -> EntryOptions {
    EntryOptions { delivery, ..EntryOptions::default() }
}

/// A task that names each second, and its state in force.
async fn each_second(options: EntryOptions) -> (Rooms, Arc<Revision>) {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.put("task", Some(task("task", entry("* * * * * *", options)))).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;
    let revision = in_force(&rooms, "task").await;
    (rooms, revision)
}

async fn in_force(rooms: &Rooms, identity: &str) -> Arc<Revision> {
    let states = rooms.store.history_of(&Identity::parse(identity).unwrap(), None, 1).await.unwrap();
    Arc::new(states[0].clone())
}

fn planned(revision: &Arc<Revision>, instant: &str) -> Fire {
    Fire::planned(revision.clone(), 0, at(instant), Trigger::Schedule)
}

fn asked(revision: &Arc<Revision>, instant: &str) -> Fire {
    let run_id = RunId::asked(at(instant));
    let asked = Asked { run_id, run_by: "ada".into(), args: "one two".into(), rerun_of: None, backfill: None };
    Fire { asked: Some(Arc::new(asked)), trigger: Trigger::Manual, ..planned(revision, instant) }
}

fn failed_once(instant: &str) -> Vec<Attempt> {
    let (started_at, duration) = (at(instant), Duration::from_millis(5));
    vec![Attempt { number: 1, started_at, duration, status: Some(503), error: Some("503".into()), bytes: 0 }]
}

/// Stops the answers, lets the crash come while the third second is under way, and leaves a record of it.
async fn crash_with(rooms: Rooms, records: Vec<Record>) -> Rooms {
    rooms.sink.answer(false);
    rooms.until("2026-03-29T00:00:03.500Z").await;
    let (clock, store, sink) = rooms.crash().await;
    store.append(records).await.unwrap();
    sink.answer(true);
    clock.sleep_until(at("2026-03-29T00:00:09.500Z")).await;
    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:00:12.500Z").await;
    rooms.journal.flush().await.unwrap();
    rooms
}

fn sent_at(rooms: &Rooms, instant: &str) -> usize {
    let instant = at(instant).to_string();
    rooms.sink.sent().iter().filter(|sent| sent.fire_time == instant).count()
}

fn record_of(rooms: &Rooms, fire: &Fire) -> Record {
    let id = fire.run_id().into();
    rooms.store.records().into_iter().find(|record| record.id == id).unwrap()
}

async fn assert_none_unfinished(rooms: &Rooms) {
    assert!(rooms.store.unfinished(ShardSet::ALL).recv().await.is_none(), "{:?}", rooms.store.records());
}

#[tokio::test(start_paused = true)]
async fn a_run_under_way_is_sent_again_where_delivery_is_at_least_once() {
    let (rooms, revision) = each_second(with(Delivery::AtLeastOnce)).await;
    let fire = planned(&revision, T3);
    let rooms = crash_with(rooms, vec![started_record(&fire, RunStage::Running, &[], 1, at(T3))]).await;

    assert_eq!(sent_at(&rooms, T3), 2);
    let record = record_of(&rooms, &fire);
    assert!(record.kind == RecordKind::Success && record.source.contains(r#""redelivered":true"#), "{record:?}");
    assert_none_unfinished(&rooms).await;
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:12Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_run_under_way_is_an_error_where_delivery_is_at_most_once() {
    let (rooms, revision) = each_second(with(Delivery::AtMostOnce)).await;
    let fire = planned(&revision, T3);
    let rooms = crash_with(rooms, vec![started_record(&fire, RunStage::Running, &[], 1, at(T3))]).await;

    assert_eq!(sent_at(&rooms, T3), 1);
    let record = record_of(&rooms, &fire);
    assert_eq!(record.kind, RecordKind::Error);
    assert!(record.source.contains("delivery is at_most_once"), "{}", record.source);
    assert_none_unfinished(&rooms).await;
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:12Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_crash_ends_as_an_error_is_told_of_and_is_a_dead_letter_as_any_other_that_failed() {
    let request = Request::post(TargetUrl::parse("http://127.0.0.1/told").unwrap());
    let on_failure = Some(Callback { request, each: false, credentials: Default::default() });
    let retry = Some(crate::model::RetryPolicy::default());
    let (rooms, revision) = each_second(EntryOptions { on_failure, retry, ..with(Delivery::AtMostOnce) }).await;
    let (fire, on_demand) = (planned(&revision, T3), asked(&revision, "2026-03-29T00:00:02.123Z"));
    let running = started_record(&fire, RunStage::Running, &failed_once(T3), 3, at(T3));
    let running_too = started_record(&on_demand, RunStage::Running, &[], 1, on_demand.fire_time);
    let rooms = crash_with(rooms, vec![running, running_too]).await;

    for fire in [&fire, &on_demand] {
        let record = record_of(&rooms, fire);
        assert!(record.kind == RecordKind::Error && record.run.unwrap().is_dead_letter, "{}", record.source);
        assert!(record.source.contains("delivery is at_most_once"), "{}", record.source);
    }
    assert!(record_of(&rooms, &fire).source.contains(r#""status":503"#), "its last attempt got it");
    let callbacks = rooms.told(RecordKind::Success, "callback_of");
    let told: Vec<&String> = callbacks.iter().filter(|about| *about != "null").collect();
    assert_eq!(told.len(), 1, "both failed, and the second is no change: {told:?}");
    assert_none_unfinished(&rooms).await;
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:12Z").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_at_most_once_and_was_not_begun_was_not_sent_and_is_fired_late() {
    let (rooms, revision) = each_second(with(Delivery::AtMostOnce)).await;
    // The third second is claimed, and has not come.
    let rooms = rooms.restart("2026-03-29T00:00:09.500Z").await;
    rooms.until("2026-03-29T00:00:12.500Z").await;
    rooms.journal.flush().await.unwrap();

    assert_eq!(sent_at(&rooms, T3), 1);
    let record = record_of(&rooms, &planned(&revision, T3));
    assert!(record.kind == RecordKind::Success && !record.source.contains("redelivered"), "{record:?}");
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:12Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_run_between_two_attempts_goes_on_and_is_not_redelivered() {
    for delivery in [Delivery::AtLeastOnce, Delivery::AtMostOnce] {
        let (rooms, revision) = each_second(with(delivery)).await;
        let fire = planned(&revision, T3);
        let backing_off = started_record(&fire, RunStage::BackingOff, &failed_once(T3), 2, at(T3));
        let rooms = crash_with(rooms, vec![backing_off]).await;

        let record = record_of(&rooms, &fire);
        assert!(record.kind == RecordKind::Success && !record.source.contains("redelivered"), "{record:?}");
        assert_none_unfinished(&rooms).await;
        rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:12Z").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_asked_for_goes_on_by_how_far_it_had_come() {
    let (once, at_most_once) = (with(Delivery::AtLeastOnce), with(Delivery::AtMostOnce));
    for (options, stage, is_sent) in [
        (once, RunStage::Queued, true),
        (with(Delivery::AtLeastOnce), RunStage::Running, true),
        (at_most_once, RunStage::Queued, true),
        (with(Delivery::AtMostOnce), RunStage::Running, false),
    ] {
        let (rooms, revision) = each_second(options).await;
        let instant = "2026-03-29T00:00:02.123Z";
        let fire = asked(&revision, instant);
        let rooms = crash_with(rooms, vec![started_record(&fire, stage, &[], 0, at(instant))]).await;

        assert_eq!(sent_at(&rooms, instant), usize::from(is_sent), "{stage:?}");
        let record = record_of(&rooms, &fire);
        assert_eq!(record.kind, if is_sent { RecordKind::Success } else { RecordKind::Error }, "{stage:?}");
        assert!(record.settled.is_none());
        assert_none_unfinished(&rooms).await;
        rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:12Z").await;
    }
}

#[tokio::test(start_paused = true)]
async fn runs_of_a_task_that_is_gone_are_errors() {
    let (rooms, revision) = each_second(with(Delivery::AtLeastOnce)).await;
    rooms.sink.answer(false);
    rooms.until("2026-03-29T00:00:03.250Z").await;
    rooms.change("task", None).await;
    let (on_demand, fire) = (asked(&revision, "2026-03-29T00:00:02.123Z"), planned(&revision, T3));
    let queued = started_record(&on_demand, RunStage::Queued, &[], 0, on_demand.fire_time);
    let running = started_record(&fire, RunStage::Running, &[], 1, at(T3));
    let rooms = crash_with(rooms, vec![queued, running]).await;

    for fire in [&on_demand, &fire] {
        let record = record_of(&rooms, fire);
        assert_eq!(record.kind, RecordKind::Error);
        assert!(record.source.contains("its task or entry is gone"), "{}", record.source);
    }
    assert_none_unfinished(&rooms).await;
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", T3).await;
}

#[tokio::test(start_paused = true)]
async fn a_planned_run_of_an_earlier_definition_is_an_error_that_keeps_its_attempts() {
    let (rooms, revision) = each_second(with(Delivery::AtLeastOnce)).await;
    rooms.sink.answer(false);
    rooms.until("2026-03-29T00:00:03.250Z").await;
    rooms.put("task", Some(task("task", entry("* * * * * *", EntryOptions::default())))).await;
    let fire = planned(&revision, T3);
    let backing_off = started_record(&fire, RunStage::BackingOff, &failed_once(T3), 2, at(T3));
    let rooms = crash_with(rooms, vec![backing_off]).await;

    let record = record_of(&rooms, &fire);
    assert_eq!(record.kind, RecordKind::Error);
    assert!(record.source.contains("the task has changed since") && record.source.contains(r#""attempts""#));
    assert_none_unfinished(&rooms).await;
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:12Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_begin_whose_instant_has_its_outcome_is_closed_and_settles_nothing_twice() {
    let (rooms, revision) = each_second(with(Delivery::AtLeastOnce)).await;
    let (instant, name) = (at("2026-03-29T00:00:00Z"), EntryName::parse("e").unwrap());
    // An instant long settled, one that a stretch covers, and one that was lost.
    let covered = Stretch { first: instant.minus(Duration::from_secs(10)), last: instant, count: 11 };
    let skipped = journal::skipped_record(&revision.task.identity, &name, covered, "fire_once", instant);
    let begun = [5, 100]
        .map(|seconds| Fire { fire_time: instant.minus(Duration::from_secs(seconds)), ..planned(&revision, T3) });
    let mut records: Vec<Record> =
        begun.iter().map(|fire| started_record(fire, RunStage::Running, &[], 1, fire.fire_time)).collect();
    records.push(skipped);
    let rooms = crash_with(rooms, records).await;

    let [in_stretch, lost] = begun.each_ref().map(|fire| record_of(&rooms, fire));
    assert_eq!((in_stretch.kind, lost.kind), (RecordKind::Error, RecordKind::Error));
    assert!(in_stretch.settled.is_none() && in_stretch.source.contains("has its outcome already"), "{in_stretch:?}");
    assert!(lost.settled.is_some(), "{lost:?}");
    assert_none_unfinished(&rooms).await;
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_was_under_way_is_sent_again_also_where_runs_are_not() {
    let request = Request::post(TargetUrl::parse("http://127.0.0.1/told").unwrap());
    let on_failure = Some(Callback { request, each: false, credentials: Default::default() });
    let (rooms, revision) = each_second(EntryOptions { on_failure, ..with(Delivery::AtMostOnce) }).await;
    let about = planned(&revision, "2026-03-29T00:00:01Z").run_id();
    let notice = Notice { run_id: about.following("on_failure"), about, occasion: Occasion::Failure, event: None };
    let fire = Fire { notice: Some(Arc::new(notice)), ..planned(&revision, "2026-03-29T00:00:01Z") };
    let sent = sent_at(&rooms, "2026-03-29T00:00:01Z");
    let rooms = crash_with(rooms, vec![started_record(&fire, RunStage::Running, &[], 1, at(T3))]).await;

    assert_eq!(sent_at(&rooms, "2026-03-29T00:00:01Z"), sent + 1);
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:12Z").await;
}

#[tokio::test(start_paused = true)]
async fn what_was_caught_up_and_had_begun_is_taken_out_of_what_is_caught_up() {
    let fire_all = EntryOptions { misfire: crate::model::Misfire::FireAll, ..with(Delivery::AtMostOnce) };
    let (rooms, revision) = each_second(fire_all).await;
    let rooms = rooms.restart("2026-03-29T00:10:00.250Z").await;
    rooms.until("2026-03-29T00:10:01.500Z").await;
    let sent: Vec<Timestamp> = rooms.sink.sent_of("task").iter().map(|sent| at(&sent.fire_time)).collect();

    // Behind what has gone: as if it had been begun, and not ended.
    let begun = planned(&revision, "2026-03-29T00:09:00Z");
    assert!(!sent.contains(&begun.fire_time));
    let (clock, store, sink) = rooms.crash().await;
    let running = started_record(&begun, RunStage::Running, &[], 1, begun.fire_time);
    store.append(vec![running]).await.unwrap();
    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:10:30.500Z").await;

    assert_eq!(sent_at(&rooms, "2026-03-29T00:09:00Z"), 0);
    assert_eq!(record_of(&rooms, &begun).kind, RecordKind::Error);
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:10:30Z").await;
    assert_none_unfinished(&rooms).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_under_way_is_not_sent_again_when_the_clock_is_behind_it_where_delivery_is_at_most_once() {
    let (rooms, revision) = each_second(with(Delivery::AtMostOnce)).await;
    rooms.sink.answer(false);
    rooms.until("2026-03-29T00:00:03.500Z").await;
    let (clock, store, sink) = rooms.crash().await;
    sink.answer(true);
    clock.step(-3_600_000);
    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:00:05.500Z").await;
    rooms.journal.flush().await.unwrap();

    assert_eq!(sent_at(&rooms, T3), 1);
    assert_eq!(record_of(&rooms, &planned(&revision, T3)).kind, RecordKind::Error);
    assert_none_unfinished(&rooms).await;
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:05Z").await;
}
