//! Pauses: what they keep from firing, what is recorded of it, and what a crash makes of it.

use super::*;
use crate::model::{Misfire, PauseScope};

fn tagged(tags: &[&str]) -> EntryOptions {
    EntryOptions { tags: tags.iter().map(|&tag| tag.into()).collect(), ..EntryOptions::default() }
}

fn tag(name: &str) -> PauseScope {
    PauseScope::Tag(name.into())
}

/// One task with the tag `red`, one with `red` and `blue`, one with none; each names every second.
async fn three() -> Rooms {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    for (identity, tags) in [("red", &["red"][..]), ("both", &["blue", "red"]), ("plain", &[])] {
        rooms.put(identity, Some(task(identity, entry("* * * * * *", tagged(tags))))).await;
    }
    rooms.until("2026-03-29T00:00:03.500Z").await;
    rooms
}

fn seconds(rooms: &Rooms, identity: &str) -> Vec<i64> {
    let zero = at("2026-03-29T00:00:00Z").secs();
    let mut seconds: Vec<i64> =
        rooms.sink.sent_of(identity).iter().map(|sent| at(&sent.fire_time).secs() - zero).collect();
    seconds.sort_unstable();
    seconds
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_a_tag_keeps_its_entries_from_firing_and_no_others() {
    let rooms = three().await;

    let pause = rooms.engine.pause(tag("red"), "ada", Some("the target is down")).await.unwrap();
    assert_eq!((pause.since, &*pause.by), (at("2026-03-29T00:00:03.500Z"), "ada"));
    rooms.until("2026-03-29T00:00:10.500Z").await;
    let lifted = rooms.engine.resume(tag("red"), "bob").await.unwrap();
    assert_eq!(lifted, Some(pause));
    rooms.until("2026-03-29T00:00:12.500Z").await;

    assert_eq!(seconds(&rooms, "plain"), (1..=12).collect::<Vec<_>>());
    for identity in ["red", "both"] {
        assert_eq!(seconds(&rooms, identity), [1, 2, 3, 11, 12]);
        assert_eq!(rooms.counts(identity).await[2], (RecordKind::Skipped, 7));
        rooms.assert_each_second_once(identity, "2026-03-29T00:00:01Z", "2026-03-29T00:00:12Z").await;
    }
    assert_eq!(rooms.told(RecordKind::Skipped, "policy"), ["paused: tag red"; 2]);
    assert_eq!(rooms.told(RecordKind::Skipped, "by"), ["ada"; 2]);
    assert_eq!(rooms.told(RecordKind::Skipped, "note"), ["the target is down"; 2]);
    assert!(rooms.engine.pauses().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_entry_fires_only_when_no_pause_covers_it() {
    let rooms = three().await;

    rooms.engine.pause(tag("red"), "ada", None).await.unwrap();
    rooms.until("2026-03-29T00:00:05.500Z").await;
    rooms.engine.pause(PauseScope::All, "bob", None).await.unwrap();
    rooms.engine.pause(tag("blue"), "cyd", None).await.unwrap();
    rooms.until("2026-03-29T00:00:07.500Z").await;
    rooms.engine.resume(tag("red"), "bob").await.unwrap();
    rooms.until("2026-03-29T00:00:09.500Z").await;
    rooms.engine.resume(PauseScope::All, "bob").await.unwrap();
    rooms.until("2026-03-29T00:00:11.500Z").await;
    rooms.engine.resume(tag("blue"), "bob").await.unwrap();
    rooms.until("2026-03-29T00:00:13.500Z").await;

    assert_eq!(seconds(&rooms, "plain"), [1, 2, 3, 4, 5, 10, 11, 12, 13]);
    assert_eq!(seconds(&rooms, "red"), [1, 2, 3, 10, 11, 12, 13]);
    assert_eq!(seconds(&rooms, "both"), [1, 2, 3, 12, 13]);
    for identity in ["red", "both", "plain"] {
        rooms.assert_each_second_once(identity, "2026-03-29T00:00:01Z", "2026-03-29T00:00:13Z").await;
    }
}

#[tokio::test(start_paused = true)]
async fn to_lift_what_is_not_paused_changes_nothing_and_a_second_pause_says_why_anew() {
    let rooms = three().await;

    assert_eq!(rooms.engine.resume(PauseScope::All, "bob").await.unwrap(), None);
    let first = rooms.engine.pause(PauseScope::All, "ada", None).await.unwrap();
    rooms.until("2026-03-29T00:00:05.500Z").await;
    let second = rooms.engine.pause(PauseScope::All, "bob", Some("still")).await.unwrap();

    assert_eq!((second.since, &*second.by, second.note.as_deref()), (first.since, "bob", Some("still")));
    assert_eq!(rooms.store.pauses().await.unwrap(), *rooms.engine.pauses());
    assert_eq!(rooms.engine.pauses().version, 2);
}

#[tokio::test(start_paused = true)]
async fn a_pause_outlasts_a_crash_and_nothing_later_than_its_beginning_is_uncertain() {
    for crash_ms in (0..1_000).step_by(53) {
        let rooms = three().await;
        rooms.engine.pause(tag("red"), "ada", None).await.unwrap();
        let crash_at = at("2026-03-29T00:00:04Z").plus(Duration::from_millis(crash_ms));
        rooms.clock.sleep_until(crash_at).await;

        let rooms = rooms.restart("2026-03-29T00:00:20.500Z").await;
        rooms.until("2026-03-29T00:00:25.500Z").await;
        assert_eq!(rooms.engine.pauses().tags.len(), 1);
        rooms.engine.resume(tag("red"), "bob").await.unwrap();
        rooms.until("2026-03-29T00:00:27.500Z").await;

        for identity in ["red", "both"] {
            let sent = seconds(&rooms, identity);
            assert!(sent.iter().all(|&second| second <= 3 || second >= 26), "{crash_ms} ms: {sent:?}");
            assert_eq!(rooms.counts(identity).await[2], (RecordKind::Skipped, 22), "{crash_ms} ms");
            rooms.assert_each_second_once(identity, "2026-03-29T00:00:01Z", "2026-03-29T00:00:27Z").await;
        }
        rooms.assert_each_second_once("plain", "2026-03-29T00:00:01Z", "2026-03-29T00:00:27Z").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_long_pause_keeps_from_firing_is_recorded_every_ten_minutes() {
    let rooms = three().await;
    rooms.engine.pause(PauseScope::All, "ada", None).await.unwrap();

    rooms.until("2026-03-29T00:55:00.500Z").await;
    // As the planning job does each second.
    rooms.engine.plan();
    rooms.until("2026-03-29T01:00:00.500Z").await;
    rooms.journal.flush().await.unwrap();

    let records = rooms.told(RecordKind::Skipped, "count").len();
    assert!((12..=18).contains(&records), "{records}");
    let oldest = rooms.store.leases().await.unwrap().iter().map(|lease| lease.settled_through).min().unwrap();
    assert!(oldest > at("2026-03-29T00:48:00Z"), "what is settled moves on: {oldest}");
    rooms.engine.resume(PauseScope::All, "bob").await.unwrap();
    rooms.until("2026-03-29T01:00:02.500Z").await;
    for identity in ["red", "both", "plain"] {
        rooms.assert_each_second_once(identity, "2026-03-29T00:00:01Z", "2026-03-29T01:00:02Z").await;
        assert_eq!(seconds(&rooms, identity), [1, 2, 3, 3_601, 3_602]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_paused_task_first_records_what_was_not_fired() {
    let rooms = three().await;
    rooms.engine.pause(PauseScope::All, "ada", None).await.unwrap();
    rooms.until("2026-03-29T00:00:06.500Z").await;

    rooms.put("red", Some(task("red", entry("* * * * * *", tagged(&[]))))).await;
    rooms.change("plain", None).await;
    rooms.until("2026-03-29T00:00:09.500Z").await;
    rooms.engine.resume(PauseScope::All, "bob").await.unwrap();
    rooms.until("2026-03-29T00:00:11.500Z").await;

    assert_eq!(rooms.outcomes("plain").await.iter().map(|(_, count)| count).sum::<u64>(), 6);
    assert_eq!(rooms.counts("red").await[2], (RecordKind::Skipped, 6));
    rooms.assert_each_second_once("plain", "2026-03-29T00:00:01Z", "2026-03-29T00:00:06Z").await;
    rooms.assert_each_second_once("red", "2026-03-29T00:00:01Z", "2026-03-29T00:00:11Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_put_with_another_tag_moves_a_task_into_a_pause_or_out_of_it() {
    let rooms = three().await;
    rooms.engine.pause(tag("red"), "ada", None).await.unwrap();
    rooms.until("2026-03-29T00:00:05.500Z").await;

    rooms.put("red", Some(task("red", entry("* * * * * *", tagged(&["green"]))))).await;
    rooms.put("plain", Some(task("plain", entry("* * * * * *", tagged(&["red"]))))).await;
    rooms.until("2026-03-29T00:00:08.500Z").await;
    rooms.engine.resume(tag("red"), "bob").await.unwrap();
    rooms.until("2026-03-29T00:00:10.500Z").await;

    assert_eq!(seconds(&rooms, "red"), [1, 2, 3, 6, 7, 8, 9, 10]);
    assert_eq!(seconds(&rooms, "plain"), [1, 2, 3, 4, 5, 9, 10]);
    for identity in ["red", "plain"] {
        rooms.assert_each_second_once(identity, "2026-03-29T00:00:01Z", "2026-03-29T00:00:10Z").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_store_does_not_take_changes_nothing() {
    let rooms = three().await;
    rooms.store.fail_writes(true);

    assert_eq!(rooms.engine.pause(PauseScope::All, "ada", None).await, Err(EngineError::NotKept));
    rooms.store.fail_writes(false);
    rooms.until("2026-03-29T00:00:10.500Z").await;

    assert!(rooms.engine.pauses().is_empty() && rooms.store.pauses().await.unwrap().is_empty());
    for identity in ["red", "both", "plain"] {
        assert_eq!(seconds(&rooms, identity), (1..=10).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_a_pause_is_not_lifted() {
    let rooms = three().await;
    rooms.engine.pause(PauseScope::All, "ada", None).await.unwrap();
    rooms.until("2026-03-29T00:00:05.500Z").await;

    rooms.store.fail_writes(true);
    let resuming = tokio::spawn({
        let engine = rooms.engine.clone();
        async move { engine.resume(PauseScope::All, "bob").await }
    });
    rooms.until("2026-03-29T00:00:40.500Z").await;
    assert_eq!(resuming.await.unwrap(), Err(EngineError::CannotClaim));
    rooms.store.fail_writes(false);
    rooms.until("2026-03-29T00:00:50.500Z").await;

    assert_eq!(seconds(&rooms, "plain"), [1, 2, 3]);
    rooms.engine.resume(PauseScope::All, "bob").await.unwrap();
    rooms.until("2026-03-29T00:00:52.500Z").await;
    assert_eq!(seconds(&rooms, "plain"), [1, 2, 3, 51, 52]);
    rooms.assert_each_second_once("plain", "2026-03-29T00:00:01Z", "2026-03-29T00:00:52Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_what_is_caught_up() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    let options = EntryOptions { misfire: Misfire::FireAll, ..tagged(&["red"]) };
    rooms.put("task", Some(task("task", entry("* * * * * *", options)))).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;
    let rooms = rooms.restart("2026-03-29T00:10:00.250Z").await;
    rooms.until("2026-03-29T00:10:01.500Z").await;

    rooms.engine.pause(tag("red"), "ada", None).await.unwrap();
    let sent = rooms.sink.total();
    rooms.until("2026-03-29T00:10:05.500Z").await;
    assert_eq!(rooms.sink.total(), sent);
    let rooms = rooms.restart("2026-03-29T00:10:08.500Z").await;
    rooms.engine.resume(tag("red"), "bob").await.unwrap();
    rooms.until("2026-03-29T00:10:10.500Z").await;

    assert_eq!(rooms.sink.total(), sent + 2);
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:10:10Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_amid_catching_up_and_a_pause_leave_nothing_open() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    let options = EntryOptions { misfire: Misfire::FireAll, ..tagged(&["red"]) };
    rooms.put("task", Some(task("task", entry("* * * * * *", options)))).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;
    let rooms = rooms.restart("2026-03-29T00:10:00.250Z").await;
    rooms.until("2026-03-29T00:10:01.500Z").await;

    // The pause is durable, and a crash comes before anything is recorded of what was caught up.
    let pause = crate::model::Pause { since: at("2026-03-29T00:10:01.500Z"), by: "ada".into(), note: None };
    let paused = rooms.engine.pauses().with(&tag("red"), pause);
    assert!(rooms.store.set_pauses(&paused).await.unwrap());
    let sent = rooms.sink.total();
    let rooms = rooms.restart("2026-03-29T00:10:05.500Z").await;
    rooms.until("2026-03-29T00:10:06.500Z").await;

    assert_eq!(rooms.sink.total(), sent);
    rooms.engine.resume(tag("red"), "bob").await.unwrap();
    rooms.until("2026-03-29T00:10:10.500Z").await;
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:10:10Z").await;
    assert!(rooms.told(RecordKind::Missed, "reason").iter().all(|reason| reason.ends_with("firing was paused since")));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_limit_is_given_up_and_what_is_in_flight_goes_on() {
    let clock = Arc::new(SimClock::starting_at(at("2026-03-29T00:00:00.500Z")));
    let one_at_a_time = dispatch::Settings { in_flight_per_host_max: 1, ..dispatch::Settings::default() };
    let rooms = Rooms::start_with(clock.clone(), MemoryStore::new(), Sink::new(clock), one_at_a_time).await;
    rooms.put("red", Some(task("red", entry("* * * * * *", tagged(&["red"]))))).await;
    rooms.put("plain", Some(task("plain", entry("*/2 * * * * *", tagged(&[]))))).await;
    rooms.sink.answer(false);
    rooms.until("2026-03-29T00:00:05.500Z").await;

    rooms.engine.pause(tag("red"), "ada", None).await.unwrap();
    assert_eq!(rooms.told(RecordKind::Skipped, "policy").len(), 4, "what was given up has its record by then");
    rooms.sink.answer(true);
    rooms.until("2026-03-29T00:00:07.500Z").await;
    rooms.engine.resume(tag("red"), "bob").await.unwrap();
    rooms.until("2026-03-29T00:00:09.500Z").await;

    assert_eq!(seconds(&rooms, "red"), [1, 8, 9], "the first was in flight, four waited");
    assert_eq!(seconds(&rooms, "plain"), [2, 4, 6, 8]);
    assert_eq!(rooms.told(RecordKind::Skipped, "policy"), ["paused: tag red"; 5]);
    rooms.assert_each_second_once("red", "2026-03-29T00:00:01Z", "2026-03-29T00:00:09Z").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_uncertain_of_a_paused_entry_is_not_sent_again() {
    let rooms = three().await;
    rooms.sink.answer(false);
    rooms.until("2026-03-29T00:00:04.100Z").await;
    rooms.engine.pause(tag("red"), "ada", None).await.unwrap();
    let (clock, store, sink) = rooms.crash().await;
    sink.answer(true);
    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:00:06.500Z").await;
    rooms.engine.resume(tag("red"), "bob").await.unwrap();
    rooms.until("2026-03-29T00:00:07.500Z").await;

    for identity in ["red", "both"] {
        assert_eq!(seconds(&rooms, identity), [1, 2, 3, 4, 7]);
        rooms.assert_each_second_once(identity, "2026-03-29T00:00:01Z", "2026-03-29T00:00:07Z").await;
    }
    assert_eq!(seconds(&rooms, "plain"), [1, 2, 3, 4, 4, 5, 6, 7]);
    let reasons = rooms.told(RecordKind::Missed, "reason");
    assert!(
        reasons.len() == 2 && reasons.iter().all(|reason| reason.ends_with("firing was paused since")),
        "{reasons:?}"
    );
}

/// A task that has ten minutes to catch up, and is held for a change.
async fn held_while_it_catches_up() -> (Rooms, Held) {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    let options = EntryOptions { misfire: Misfire::FireAll, ..tagged(&["red"]) };
    rooms.put("task", Some(task("task", entry("* * * * * *", options)))).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;
    let rooms = rooms.restart("2026-03-29T00:10:00.250Z").await;
    rooms.until("2026-03-29T00:10:01.500Z").await;
    let held = rooms.engine.hold(&Identity::parse("task").unwrap()).await.unwrap();
    (rooms, held)
}

#[tokio::test(start_paused = true)]
async fn a_pause_reaches_what_is_caught_up_and_stands_aside_for_a_change() {
    let (rooms, held) = held_while_it_catches_up().await;

    rooms.engine.pause(tag("red"), "ada", None).await.unwrap();
    let sent = rooms.sink.total();
    drop(held);
    rooms.until("2026-03-29T00:10:05.500Z").await;
    assert_eq!(rooms.sink.total(), sent);
    rooms.engine.resume(tag("red"), "bob").await.unwrap();
    rooms.until("2026-03-29T00:10:07.500Z").await;

    assert_eq!(rooms.sink.total(), sent + 2);
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:10:07Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_store_does_not_take_leaves_what_is_caught_up_to_the_change() {
    let (rooms, held) = held_while_it_catches_up().await;

    rooms.store.fail_writes(true);
    assert_eq!(rooms.engine.pause(tag("red"), "ada", None).await, Err(EngineError::NotKept));
    rooms.store.fail_writes(false);
    rooms.until("2026-03-29T00:10:03.500Z").await;
    let sent = rooms.sink.total();
    rooms.until("2026-03-29T00:10:04.500Z").await;
    assert_eq!(rooms.sink.total(), sent, "the task is held still");
    drop(held);
    rooms.until("2026-03-29T00:10:20.500Z").await;

    assert_eq!(rooms.counts("task").await[0], (RecordKind::Success, 620));
}

#[tokio::test(start_paused = true)]
async fn a_delete_while_a_pause_is_refused_ends_what_is_caught_up() {
    let (rooms, held) = held_while_it_catches_up().await;

    // The store does not say what holds: what is caught up stands aside further.
    rooms.store.fail_writes(true);
    assert_eq!(rooms.engine.pause(tag("red"), "ada", None).await, Err(EngineError::NotKept));
    let since = held.since;
    rooms.engine.settle(held, Settlement::Ended(Cancelled::Deleted)).await.unwrap();
    rooms.store.fail_writes(false);
    rooms.until("2026-03-29T00:10:03.500Z").await;

    assert!(rooms.sink.sent_of("task").iter().all(|sent| sent.at <= since));
    assert!(rooms.told(RecordKind::Skipped, "policy").iter().all(|policy| policy.contains("before it could be sent")));
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:10:01Z").await;
}
