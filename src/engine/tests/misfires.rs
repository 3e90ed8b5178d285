//! What becomes of instants that passed while nothing could be fired.

use super::*;
use crate::model::Misfire;

fn with(misfire: Misfire) -> EntryOptions {
    EntryOptions { misfire, ..EntryOptions::default() }
}

fn fire_all(window: Option<Duration>) -> EntryOptions {
    EntryOptions { catch_up_window: window, ..with(Misfire::FireAll) }
}

async fn each_second(options: EntryOptions) -> Rooms {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.put("task", Some(task("task", entry("* * * * * *", options)))).await;
    rooms.until("2026-03-29T00:00:03.500Z").await;
    rooms
}

fn seconds_of(sent: &[Sent]) -> Vec<i64> {
    let zero = at("2026-03-29T00:00:00Z").secs();
    sent.iter().map(|sent| at(&sent.fire_time).secs() - zero).collect()
}

#[tokio::test(start_paused = true)]
async fn skip_fires_nothing_that_has_passed() {
    let rooms = each_second(with(Misfire::Skip)).await.restart("2026-03-29T00:02:00.500Z").await;
    rooms.until("2026-03-29T00:02:05.500Z").await;

    // Those of the claimed window may have been sent: they are sent again.
    let sent = seconds_of(&rooms.sink.sent());
    assert!(sent.iter().all(|second| (1..=6).contains(second) || (121..=125).contains(second)), "{sent:?}");
    assert!(rooms.told(RecordKind::Skipped, "policy").iter().all(|policy| policy == "misfire skip"));
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:02:05Z").await;
}

#[tokio::test(start_paused = true)]
async fn fire_all_fires_each_instant_within_the_window_oldest_first_and_not_more_than_allowed_a_second() {
    let rooms = each_second(fire_all(Some(Duration::from_secs(900)))).await;
    let before = rooms.sink.total();
    let rooms = rooms.restart("2026-03-29T00:20:00.250Z").await;
    rooms.until("2026-03-29T00:20:20.500Z").await;

    let sent = rooms.sink.sent()[before..].to_vec();
    let zero = at("2026-03-29T00:20:00Z");
    let (caught_up, on_time): (Vec<Sent>, Vec<Sent>) = sent.into_iter().partition(|sent| at(&sent.fire_time) <= zero);
    assert!(on_time.iter().all(|sent| sent.at.since(at(&sent.fire_time)) < Duration::from_millis(20)), "{on_time:?}");
    assert_eq!(seconds_of(&on_time), (1_201..=1_220).collect::<Vec<_>>());
    assert!(caught_up.iter().all(|sent| sent.trigger == "catch_up"));
    let seconds = seconds_of(&caught_up);
    assert!(seconds.is_sorted(), "{seconds:?}");
    // Those of the claimed window are uncertain and have no age; the others lie within the window.
    assert!(seconds.iter().all(|&second| second <= 6 || (300..=1_200).contains(&second)), "{seconds:?}");
    assert_eq!(seconds.iter().filter(|second| **second > 6).count(), 900);
    for second in 0..20 {
        let from = zero.plus(Duration::from_secs(second));
        let within = |sent: &&Sent| from <= sent.at && sent.at < from.plus(Duration::from_secs(1));
        assert!(caught_up.iter().filter(within).count() <= 100, "in second {second}");
    }
    assert!(caught_up.last().unwrap().at < zero.plus(Duration::from_secs(11)), "it goes as fast as it may");
    assert_eq!(rooms.told(RecordKind::Missed, "reason"), ["older than the catch-up window of 900 s"]);
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:20:20Z").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_caught_up_is_settled_only_when_it_has_gone() {
    let rooms = each_second(fire_all(None)).await.restart("2026-03-29T00:10:00.250Z").await;
    rooms.until("2026-03-29T00:10:03.500Z").await;
    let sent = rooms.sink.sent_of("task");
    let rooms = rooms.restart("2026-03-29T00:10:05.250Z").await;
    rooms.until("2026-03-29T00:10:30.500Z").await;

    assert!(sent.len() < 450, "the first start had not caught up: {}", sent.len());
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:10:30Z").await;
    assert_eq!(rooms.counts("task").await[0], (RecordKind::Success, 630));
    // Of what was on its way, some may be sent again; never what has its outcome.
    let again = rooms.sink.total() - 630;
    assert!(again < 60, "{again}");
}

#[tokio::test(start_paused = true)]
async fn a_second_outage_is_caught_up_behind_the_first() {
    let rooms = each_second(fire_all(None)).await.restart("2026-03-29T00:20:00.250Z").await;
    rooms.until("2026-03-29T00:20:02.500Z").await;
    rooms.clock.step(120_000);
    rooms.until("2026-03-29T00:23:00.500Z").await;

    assert_eq!(rooms.counts("task").await[0], (RecordKind::Success, 23 * 60));
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:23:00Z").await;
}

#[tokio::test(start_paused = true)]
async fn claims_that_fail_decide_about_what_is_caught_up_again() {
    let rooms = each_second(fire_all(Some(Duration::from_secs(60)))).await;
    rooms.store.fail_claims(true);
    rooms.until("2026-03-29T00:03:00.500Z").await;
    let sent = rooms.sink.total();
    rooms.store.fail_claims(false);
    rooms.until("2026-03-29T00:03:10.500Z").await;

    assert!(sent <= 6, "nothing is fired without a claim: {sent}");
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:03:10Z").await;
    let [(_, fired), _, _, (_, missed)] = rooms.counts("task").await;
    assert!((70..=78).contains(&fired) && fired + missed == 190, "{fired} {missed}");
}

#[tokio::test(start_paused = true)]
async fn a_put_lets_what_is_caught_up_go_on_and_a_delete_ends_it() {
    let rooms = each_second(fire_all(None)).await.restart("2026-03-29T00:10:00.250Z").await;
    rooms.until("2026-03-29T00:10:01.500Z").await;
    rooms.put("task", Some(task("task", entry("0 0 0 1 1 *", fire_all(None))))).await;
    rooms.until("2026-03-29T00:10:02.500Z").await;
    let after_put = rooms.sink.total();
    rooms.change("task", None).await;
    let after_delete = rooms.sink.total();
    rooms.until("2026-03-29T00:10:30.500Z").await;

    assert!(after_put > 200, "{after_put}");
    assert_eq!(rooms.sink.total(), after_delete);
    assert!(rooms.told(RecordKind::Skipped, "policy").iter().all(|policy| policy == "deleted before it could be sent"));
    rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:10:01Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_fails_lets_what_is_caught_up_go_on() {
    let rooms = each_second(fire_all(None)).await.restart("2026-03-29T00:10:00.250Z").await;
    rooms.until("2026-03-29T00:10:01.500Z").await;

    let held = rooms.engine.hold(&Identity::parse("task").unwrap()).await.unwrap();
    let sent = rooms.sink.total();
    rooms.until("2026-03-29T00:10:03.500Z").await;
    assert_eq!(rooms.sink.total(), sent, "a held task hands nothing out");
    drop(held);
    rooms.until("2026-03-29T00:10:30.500Z").await;

    assert_eq!(rooms.counts("task").await[0], (RecordKind::Success, 630));
}

#[tokio::test(start_paused = true)]
async fn what_is_caught_up_goes_on_while_the_clock_is_behind() {
    let rooms = each_second(fire_all(None)).await.restart("2026-03-29T00:10:00.250Z").await;
    rooms.until("2026-03-29T00:10:02.500Z").await;
    rooms.journal.flush().await.unwrap();
    let (clock, store, sink) = rooms.crash().await;
    clock.step(-3_600_000);
    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-28T23:10:15.500Z").await;

    let fired: std::collections::BTreeSet<i64> = seconds_of(&rooms.sink.sent()).into_iter().collect();
    assert!((1..=600).all(|second| fired.contains(&second)), "{fired:?}");
}

#[tokio::test(start_paused = true)]
async fn what_passed_while_a_task_was_held_goes_by_its_misfire_policy() {
    for misfire in Misfire::ALL {
        let rooms = each_second(with(misfire)).await;
        // Its instants are claimed together with those of this one.
        rooms.change("other", Some("* * * * * *")).await;
        let held = rooms.engine.hold(&Identity::parse("task").unwrap()).await.unwrap();
        let before = rooms.sink.sent_of("task").len();
        rooms.until("2026-03-29T00:10:00.250Z").await;
        drop(held);
        rooms.until("2026-03-29T00:10:00.750Z").await;
        let at_once = rooms.sink.sent_of("task").len() - before;
        rooms.until("2026-03-29T00:10:10.500Z").await;

        let (at_once_max, skipped) = match misfire {
            Misfire::FireOnce => (1, 596),
            Misfire::Skip => (0, 597),
            Misfire::FireAll => (100, 0),
        };
        assert!(at_once <= at_once_max, "{misfire:?}: {at_once}");
        assert_eq!(rooms.counts("task").await[2], (RecordKind::Skipped, skipped), "{misfire:?}");
        rooms.assert_each_second_once("task", "2026-03-29T00:00:01Z", "2026-03-29T00:10:10Z").await;
    }
}
