//! Firing, changes, and what a crash leaves.

use super::*;
use crate::journal::skipped_record;

#[tokio::test(start_paused = true)]
async fn an_instant_fires_when_it_has_come_and_not_before() {
    let rooms = Rooms::new("2026-03-29T11:00:00Z").await;
    rooms.change("backup", Some("0 0 12 * * *")).await;

    rooms.until("2026-03-29T11:59:59.990Z").await;
    assert!(rooms.sink.fire_times().is_empty());
    rooms.until("2026-03-29T12:00:00.050Z").await;

    assert_eq!(rooms.sink.fire_times(), ["2026-03-29T12:00:00.000Z"]);
}

#[tokio::test(start_paused = true)]
async fn a_simulated_day_fires_every_instant_once() {
    let rooms = Rooms::new("2026-03-29T00:00:00Z").await;
    rooms.change("quarters", Some("0 */15 * * * *")).await;
    rooms.change("daily", Some("30 0 6 * * *")).await;

    rooms.until("2026-03-30T00:00:00.500Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 4 * 24 + 1);
    assert_eq!(rooms.outcomes("quarters").await.len(), 96);
}

#[tokio::test(start_paused = true)]
async fn a_put_within_the_claimed_window_fires_on_its_first_instant() {
    let rooms = Rooms::new("2026-03-29T00:00:00Z").await;
    rooms.change("first", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:10.900Z").await;

    rooms.change("late-comer", Some("11 0 0 * * *")).await;
    rooms.until("2026-03-29T00:00:11.100Z").await;

    assert_eq!(rooms.outcomes("late-comer").await, [(RecordKind::Success, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_task_fires_by_its_new_definition_only() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.500Z").await;

    rooms.change("task", Some("0 * * * * *")).await;
    rooms.until("2026-03-29T00:02:30Z").await;

    let seconds: Vec<String> = rooms.sink.fire_times().iter().map(|time| time[14..19].to_owned()).collect();
    assert_eq!(seconds, ["00:01", "00:02", "00:03", "01:00", "02:00"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_delete_nothing_fires() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;

    rooms.change("task", None).await;
    rooms.until("2026-03-29T01:00:00Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 2);
    assert_eq!(rooms.engine.status().entries(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_stepped_back_fires_nothing_twice() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:10.500Z").await;
    assert_eq!(rooms.sink.total(), 10);

    rooms.clock.step(-5_000);
    rooms.until("2026-03-29T00:00:10.400Z").await;
    assert_eq!(rooms.sink.total(), 10);
    rooms.until("2026-03-29T00:00:20.500Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_clock_stepped_back_at_a_restart_fires_nothing_twice_also_after_a_change() {
    let rooms = Rooms::new("2026-03-29T01:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T01:00:10.500Z").await;
    rooms.journal.flush().await.unwrap();
    let (clock, store, sink) = rooms.crash().await;
    clock.step(-3_600_000);
    let rooms = Rooms::start(clock, store, sink).await;

    let identity = Identity::parse("task").unwrap();
    drop(rooms.engine.hold(&identity).await.unwrap());
    rooms.change("task", Some("*/2 * * * * *")).await;
    let state = rooms.store.history_of(&identity, None, 1).await.unwrap().remove(0);
    rooms.until("2026-03-29T01:00:20.500Z").await;

    assert!(state.in_force_from >= at("2026-03-29T01:00:10Z"), "{}", state.in_force_from);
    assert_eq!(rooms.sink.fire_times().len(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_is_told_of_until_it_is_there() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.clock.step(-60_000);
    rooms.until("2026-03-28T23:59:10.500Z").await;
    let problem = rooms.engine.status().clock_problem();
    rooms.until("2026-03-29T00:00:01.500Z").await;

    assert!(matches!(problem, Some(ClockProblem::Behind { behind_s: 49..=50 })), "{problem:?}");
    assert_eq!(rooms.engine.status().clock_problem(), None);
}

const A_LIFETIME_MS: i64 = 73 * 365 * 24 * 3_600 * 1_000;

#[tokio::test(start_paused = true)]
async fn a_clock_that_shows_another_year_for_a_moment_does_not_end_firing() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;

    rooms.clock.step(A_LIFETIME_MS);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let problem = rooms.engine.status().clock_problem();
    rooms.change("other", Some("* * * * * *")).await;
    rooms.clock.step(-A_LIFETIME_MS);
    let rooms = rooms.restart("2026-03-29T00:00:25.500Z").await;
    rooms.until("2026-03-29T00:00:30.500Z").await;

    assert_eq!((problem, rooms.engine.status().clock_problem()), (Some(ClockProblem::HasLeapt), None));
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:00:30Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_by_a_leap_is_followed() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;

    rooms.clock.step(2 * 24 * 3_600 * 1_000);
    rooms.until("2026-03-31T00:00:55.500Z").await;
    let sent = rooms.sink.total();
    rooms.until("2026-03-31T00:01:10.500Z").await;

    assert!(sent <= 4, "{sent}");
    assert_eq!(rooms.engine.status().clock_problem(), None);
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-31T00:01:10Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_stepped_far_ahead_makes_misfires_of_which_the_newest_is_fired() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;

    rooms.clock.step(2 * 60 * 60 * 1_000);
    rooms.until("2026-03-29T02:00:05.500Z").await;

    // Two hours: the hour beyond the catch-up window is missed, the hour within it stands behind its newest instant.
    let outcomes = rooms.outcomes("task").await;
    let of = |wanted: RecordKind| -> u64 {
        outcomes.iter().filter(|(kind, _)| *kind == wanted).map(|(_, count)| count).sum()
    };
    let total: u64 = outcomes.iter().map(|(_, count)| count).sum();
    assert!((3_590..=3_605).contains(&of(RecordKind::Missed)), "{outcomes:?}");
    assert!((3_590..=3_605).contains(&of(RecordKind::Skipped)), "{outcomes:?}");
    assert_eq!(total, 2 * 60 * 60 + 5, "every instant has one outcome: {outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_makes_fires_late_and_loses_none() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;

    rooms.store.fail_writes(true);
    rooms.until("2026-03-29T00:00:12.500Z").await;
    assert!(!rooms.engine.status().is_claiming());
    let identity = Identity::parse("task").unwrap();
    assert_eq!(rooms.engine.hold(&identity).await.err(), Some(EngineError::CannotClaim));
    rooms.store.fail_writes(false);
    rooms.until("2026-03-29T00:00:20.500Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 20);
    assert_eq!(rooms.outcomes("task").await.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_dropped_leaves_the_task_as_it_was() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;

    let held = rooms.engine.hold(&Identity::parse("task").unwrap()).await.unwrap();
    rooms.until("2026-03-29T00:00:05.500Z").await;
    assert_eq!(rooms.sink.total(), 0);
    drop(held);
    rooms.until("2026-03-29T00:00:06.500Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 6, "what came meanwhile is fired late");
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_every_instant_has_exactly_one_outcome() {
    // Each moment of two seconds, so that a crash meets every state between a claim and its record.
    for crash_ms in (0..2_000).step_by(37) {
        let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
        rooms.change("task", Some("* * * * * *")).await;
        let crash_at = Timestamp::from_millis(at("2026-03-29T00:00:03Z").millis() + crash_ms);
        rooms.clock.sleep_until(crash_at).await;
        let (clock, store, sink) = rooms.crash().await;
        clock.sleep_until(at("2026-03-29T00:00:09.500Z")).await;

        let rooms = Rooms::start(clock, store, sink).await;
        rooms.until("2026-03-29T00:00:12.500Z").await;

        let outcomes = rooms.outcomes("task").await;
        assert_eq!(outcomes, vec![(RecordKind::Success, 1); 12], "crash {crash_ms} ms after the third second");
        // At most the fires of one unwritten batch are sent again, with the same key.
        assert!(rooms.sink.total() <= 12 + 2, "crash {crash_ms} ms after the third second: {:?}", rooms.sink.sent());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_open_of_a_task_that_is_gone_is_missed_and_not_sent() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.001Z").await;
    rooms.change("task", None).await;
    let (clock, store, sink) = rooms.crash().await;
    let sent = sink.total();

    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:00:06.500Z").await;

    let outcomes = rooms.outcomes("task").await;
    assert_eq!(rooms.sink.total(), sent);
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
    assert!(outcomes.contains(&(RecordKind::Missed, 1)), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_planned_stop_leaves_nothing_uncertain() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.200Z").await;

    let stopped = rooms.engine.stop().await.unwrap();
    rooms.dispatch.drain(Duration::from_secs(1)).await.unwrap();
    rooms.journal.flush().await.unwrap();
    rooms.store.release(&stopped.claims(rooms.journal.unsettled())).await.unwrap();
    let (clock, store, sink) = rooms.crash().await;
    let leases = store.take(ShardSet::ALL, "next").await.unwrap();

    assert!(leases.iter().all(|lease| lease.claimed_through <= at("2026-03-29T00:00:03.200Z")));
    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:00:06.500Z").await;
    assert_eq!(rooms.sink.fire_times().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn claims_that_fail_for_long_make_misfires_with_one_outcome_each() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.500Z").await;

    // Records can be written, claims cannot: each planning finds misfires, and the next must not find them again.
    rooms.store.fail_claims(true);
    rooms.until("2026-03-29T00:02:00.500Z").await;
    rooms.store.fail_claims(false);
    rooms.until("2026-03-29T00:02:10.500Z").await;

    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:02:10Z").await;
}

#[tokio::test(start_paused = true)]
async fn of_the_records_of_one_planning_a_crash_may_leave_only_the_newer() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.500Z").await;
    let (clock, store, sink) = rooms.crash().await;
    let (identity, entry) = (Identity::parse("task").unwrap(), EntryName::parse("e").unwrap());
    let stretch = Stretch { first: at("2026-03-29T00:00:40Z"), last: at("2026-03-29T00:00:50Z"), count: 11 };
    let newer = skipped_record(&identity, &entry, stretch, "fire_once", stretch.last);
    store.append(vec![newer]).await.unwrap();
    clock.sleep_until(at("2026-03-29T00:00:55.500Z")).await;

    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:01:00.500Z").await;

    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:01:00Z").await;
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_right_behind_a_switch_nothing_of_the_task_fires() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03Z").await;
    let identity = Identity::parse("task").unwrap();
    let held = rooms.engine.hold(&identity).await.unwrap();
    let current = rooms.store.history_of(&identity, None, 1).await.unwrap().remove(0);
    let (since, epoch) = (held.since, held.epoch);
    let off = Revision { enabled: false, in_force_from: since, ..current.clone() };
    let record = change_record(RecordKind::Running, &identity, &(), since);
    let change =
        Change { identity, replaces: Some(current.number), epoch, at: since, next: Some(off), record, audit: None };
    rooms.store.change(change).await.unwrap();
    let sent = rooms.sink.total();

    // Outcomes are asked for as the state before may have something open.
    let rooms = rooms.restart("2026-03-29T00:00:05Z").await;
    rooms.until("2026-03-29T00:00:08Z").await;

    assert_eq!(rooms.sink.total(), sent);
}
