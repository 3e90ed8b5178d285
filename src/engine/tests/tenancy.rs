//! Shards that come and go, between two nodes on one store.

use super::*;
use crate::model::Shard;

/// Two nodes: the first acts for everything, the second for nothing yet.
async fn two() -> (Rooms, Rooms) {
    let clock = Arc::new(SimClock::starting_at(at("2026-03-29T00:00:00.500Z")));
    let (store, sink) = (MemoryStore::new(), Sink::new(clock.clone()));
    let beside = store.beside();
    let one = Rooms::start(clock.clone(), store, sink.clone()).await;
    let settings = dispatch::Settings::default();
    let two = Rooms::start_of(ShardSet::EMPTY, clock, beside, sink, settings).await;
    (one, two)
}

fn shard_of(identity: &str) -> ShardSet {
    std::iter::once(Shard::of(&Identity::parse(identity).unwrap())).collect()
}

async fn give(rooms: &Rooms, shards: ShardSet) {
    let stopped = rooms.engine.give(shards).await.unwrap();
    rooms.journal.flush().await.unwrap();
    rooms.store.release(&stopped.claims(rooms.journal.unsettled())).await.unwrap();
}

async fn take(rooms: &Rooms, shards: ShardSet) {
    let leases = rooms.store.take(shards, "test").await.unwrap();
    let now = rooms.clock.now();
    let recovered = recover(&rooms.store, &rooms.journal, &leases, now, &Settings::default()).await.unwrap();
    rooms.engine.take(recovered).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_given_away_goes_on_at_the_next_owner_and_no_instant_is_lost_or_doubled() {
    let (one, two) = two().await;
    one.change("a", Some("* * * * * *")).await;
    one.change("b", Some("* * * * * *")).await;
    one.until("2026-03-29T00:00:05.300Z").await;

    give(&one, shard_of("a")).await;
    take(&two, shard_of("a")).await;
    one.until("2026-03-29T00:00:10.300Z").await;
    give(&two, shard_of("a")).await;
    take(&one, shard_of("a")).await;
    one.until("2026-03-29T00:00:15.300Z").await;

    two.journal.flush().await.unwrap();
    for identity in ["a", "b"] {
        one.assert_each_second_once(identity, "2026-03-29T00:00:01Z", "2026-03-29T00:00:15Z").await;
        assert_eq!(one.counts(identity).await[0], (RecordKind::Success, 15));
        let sent = one.sink.sent_of(identity);
        let instants: BTreeSet<String> = sent.iter().map(|sent| sent.fire_time.clone()).collect();
        assert_eq!((sent.len(), instants.len()), (15, 15));
    }
    assert_eq!((one.engine.status().entries(), two.engine.status().entries()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_shard_long_after_it_was_given_up_decides_about_what_passed() {
    let (one, two) = two().await;
    one.change("a", Some("* * * * * *")).await;
    one.until("2026-03-29T00:00:05.300Z").await;
    give(&one, shard_of("a")).await;
    one.until("2026-03-29T00:02:00.300Z").await;

    take(&two, shard_of("a")).await;
    two.until("2026-03-29T00:02:10.300Z").await;

    two.assert_each_second_once("a", "2026-03-29T00:00:01Z", "2026-03-29T00:02:10Z").await;
    let counts = two.counts("a").await;
    assert_eq!((counts[0].1, counts[1].1), (16, 0), "{counts:?}");
    assert_eq!(two.sink.sent_of("a").len(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_task_that_is_not_owned_is_refused_and_its_owner_makes_it() {
    let (one, two) = two().await;
    let identity = Identity::parse("a").unwrap();
    assert!(matches!(two.engine.hold(&identity).await, Err(EngineError::NotOwned)));

    give(&one, shard_of("a")).await;
    take(&two, shard_of("a")).await;

    assert!(matches!(one.engine.hold(&identity).await, Err(EngineError::NotOwned)));
    two.change("a", Some("* * * * * *")).await;
    two.until("2026-03-29T00:00:03.300Z").await;
    assert_eq!(two.sink.sent_of("a").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_given_away_when_the_changes_under_way_are_written_and_no_new_one_begins() {
    let (one, two) = two().await;
    one.change("a", Some("* * * * * *")).await;
    let identity = Identity::parse("a").unwrap();
    let held = one.engine.hold(&identity).await.unwrap();

    let engine = one.engine.clone();
    let mut giving = tokio::spawn(async move { engine.give(shard_of("a")).await });
    let early = tokio::time::timeout(Duration::from_secs(3), &mut giving).await;
    assert!(early.is_err(), "a change is under way");
    assert!(matches!(one.engine.hold(&identity).await, Err(EngineError::NotOwned)));
    drop(held);
    let stopped = giving.await.unwrap().unwrap();
    one.journal.flush().await.unwrap();
    one.store.release(&stopped.claims(one.journal.unsettled())).await.unwrap();
    take(&two, shard_of("a")).await;
    two.until("2026-03-29T00:00:08.300Z").await;

    two.assert_each_second_once("a", "2026-03-29T00:00:01Z", "2026-03-29T00:00:08Z").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_not_handed_out_any_more() {
    let (one, two) = two().await;
    one.change("a", Some("* * * * * *")).await;
    one.until("2026-03-29T00:00:03.300Z").await;

    take(&two, shard_of("a")).await;
    one.engine.lose(shard_of("a")).await.unwrap();
    two.until("2026-03-29T00:00:06.300Z").await;

    one.journal.flush().await.unwrap();
    two.assert_each_second_once("a", "2026-03-29T00:00:01Z", "2026-03-29T00:00:06Z").await;
    assert!(!one.engine.status().is_fenced());
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_outcome_comes_while_its_shard_is_taken_is_not_sent_again() {
    let (one, two) = two().await;
    one.change("a", Some("* * * * * *")).await;
    one.until("2026-03-29T00:00:02.500Z").await;
    one.sink.answer(false);
    one.until("2026-03-29T00:00:03.500Z").await;
    one.journal.flush().await.unwrap();
    let unfinished = one.store.unfinished(ShardSet::ALL).recv().await.unwrap().unwrap();
    let [started] = &unfinished[..] else { panic!("{unfinished:?}") };

    // It is written after the outcomes were read, and before the records of what goes on are.
    let ended = crate::journal::abandoned_record(started, "it took too long", one.clock.now()).unwrap();
    two.journal.settle(ended).await.unwrap();
    take(&two, shard_of("a")).await;
    two.sink.answer(true);
    two.until("2026-03-29T00:00:06.300Z").await;

    let instant = at("2026-03-29T00:00:03Z").to_string();
    assert_eq!(two.sink.sent_of("a").iter().filter(|sent| sent.fire_time == instant).count(), 1);
    two.assert_each_second_once("a", "2026-03-29T00:00:01Z", "2026-03-29T00:00:06Z").await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_not_given_away_before_the_journal_has_what_was_decided_about_it() {
    let (one, _two) = two().await;
    let way = one.engine.on_the_way.begin();

    let giving = tokio::spawn({
        let engine = one.engine.clone();
        async move { engine.give(ShardSet::ALL).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!giving.is_finished());
    drop(way);

    giving.await.unwrap();
}
