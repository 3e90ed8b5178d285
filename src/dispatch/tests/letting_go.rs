//! Runs of shards for which another node is to act, or acts.

use super::*;
use crate::dispatch::{LetGo, Letting};
use crate::model::{Callback, Delivery, Progress, Shard};

fn shard_of(revision: &Arc<Revision>) -> ShardSet {
    std::iter::once(revision.shard()).collect()
}

/// One request to a host at once, each takes five seconds.
async fn one_at_once() -> Rooms {
    let settings = Settings { in_flight_per_host_max: 1, ..Settings::default() };
    Rooms::with(settings, |_| Deed::Answer(secs(5), 200)).await
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_given_away_with_a_record_and_what_is_under_way_ends_here() {
    let (rooms, task) = (one_at_once().await, task("t", EntryOptions::default()));
    for second in 0..3 {
        rooms.fire_at(&task, second).await;
    }

    let let_go = rooms.dispatch.let_go(shard_of(&task), Letting::Given).await.unwrap();
    rooms.until(30).await;

    assert_eq!((let_go, rooms.came().len()), (LetGo { reserved: 0, lingering: shard_of(&task) }, 1));
    assert_eq!(rooms.end(run(&task, 0)).await, succeeded());
    let given: Vec<RunId> = rooms.unfinished(&task).await.iter().map(Fire::run_id).collect();
    assert_eq!(given.len(), 2);
    assert!(given.contains(&run(&task, 1)) && given.contains(&run(&task, 2)));
    assert_eq!((rooms.dispatch.in_flight(), rooms.dispatch.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_forgotten_and_other_shards_go_on() {
    let (rooms, task, other) =
        (one_at_once().await, task("t", EntryOptions::default()), task("u", EntryOptions::default()));
    assert_ne!(task.shard(), other.shard());
    for second in 0..3 {
        rooms.fire_at(&task, second).await;
        rooms.fire_at(&other, second).await;
    }

    rooms.dispatch.let_go(shard_of(&task), Letting::Lost).await.unwrap();
    rooms.until(30).await;

    let of = |host: &str| rooms.came().iter().filter(|came| came.url.contains(host)).count();
    assert_eq!((of("//t/"), of("//u/")), (1, 3));
    assert_eq!(rooms.unfinished(&task).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn runs_behind_others_of_their_entry_and_pausing_ones_are_let_go_too() {
    let options = EntryOptions { overlap: Overlap::QueueOne, ..retried(5) };
    let rooms = Rooms::new(|_| Deed::Answer(Duration::ZERO, 503)).await;
    let task = task("t", options);
    rooms.fire_at(&task, 0).await;
    rooms.fire_at(&task, 2).await;
    let came = rooms.came().len();

    let let_go = rooms.dispatch.let_go(shard_of(&task), Letting::Given).await.unwrap();
    rooms.until(60).await;

    assert_eq!((let_go.lingering, rooms.came().len()), (ShardSet::EMPTY, came));
    rooms.journal.flush().await.unwrap();
    let mut unfinished = rooms.unfinished(&task).await;
    unfinished.sort_by_key(|fire| fire.fire_time);
    let attempts: Vec<usize> = unfinished.iter().map(|fire| fire.progress.as_ref().unwrap().attempts.len()).collect();
    assert_eq!(attempts, [came, 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_a_shard_that_this_node_does_not_own_or_while_the_others_do_not_count_on_it() {
    let clock = Arc::new(SimClock::starting_at(START));
    let target =
        Target { clock: clock.clone(), came: Arc::default(), script: Arc::new(|_| Deed::Answer(Duration::ZERO, 200)) };
    let (store, tenure) = (MemoryStore::new(), Tenure::shared(clock.clone()));
    let journal = journal::start(Arc::new(store.clone()), &journal::Settings::default(), None, tenure.clone());
    let results = Arc::new(store.clone());
    let settings = Settings::default();
    let rooms = Rooms::start_under(tenure.clone(), clock, store, target, &settings, results, journal);
    let task = task("t", EntryOptions::default());
    tenure.extend(secs(2));

    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;
    assert_eq!((rooms.came().len(), rooms.dispatch.waiting()), (0, 0));

    tenure.open(Shard::of(&task.task.identity));
    rooms.fire_at(&task, 1).await;
    rooms.fire_at(&task, 3).await;
    rooms.until(6).await;
    assert_eq!(rooms.came_ms(), [1_000]);
    tenure.extend(secs(20));
    rooms.until(8).await;

    assert_eq!(rooms.came().len(), 2);
    assert_eq!(rooms.end(run(&task, 3)).await, succeeded());
}

/// How far the records say that runs of a task have come.
async fn progress(rooms: &Rooms, task: &Arc<Revision>) -> Vec<Progress> {
    rooms.journal.flush().await.unwrap();
    let fires = rooms.unfinished(task).await;
    fires.iter().map(|fire| (**fire.progress.as_ref().unwrap()).clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_of_a_shard_that_is_given_away_has_a_record_that_says_so_and_is_told_when_it_has_ended() {
    let (rooms, task) = (one_at_once().await, task("t", EntryOptions::default()));
    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;

    rooms.dispatch.let_go(shard_of(&task), Letting::Given).await.unwrap();
    let told = progress(&rooms, &task).await;
    assert_eq!((told.len(), told[0].is_under_way), (1, true));
    let waiting = tokio::spawn({
        let (dispatch, shards) = (rooms.dispatch.clone(), shard_of(&task));
        async move { dispatch.ended(shards).await }
    });
    rooms.until(4).await;
    assert!(!waiting.is_finished());
    rooms.until(6).await;

    assert_eq!(waiting.await.unwrap(), Ok(shard_of(&task)));
    assert_eq!(rooms.end(run(&task, 0)).await, succeeded());
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_has_not_gone_when_its_shard_is_given_away_goes_no_more_and_is_the_next_owners() {
    let rooms = Rooms::new(|_| Deed::Answer(Duration::ZERO, 200)).await;
    let task = task("t", EntryOptions { delivery: Delivery::AtMostOnce, ..EntryOptions::default() });
    // Its record is to be durable first, and the store is away.
    rooms.store.fail_writes(true);
    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;

    let let_go = rooms.dispatch.let_go(shard_of(&task), Letting::Given).await.unwrap();
    rooms.store.fail_writes(false);
    rooms.until(10).await;

    let told = progress(&rooms, &task).await;
    assert_eq!((let_go.lingering, rooms.came().len(), rooms.dispatch.in_flight()), (ShardSet::EMPTY, 0, 0));
    assert_eq!((told.len(), told[0].is_under_way, told[0].attempts.len()), (1, false, 0));
}

#[tokio::test(start_paused = true)]
async fn the_next_attempt_of_what_was_given_away_under_way_and_the_message_about_its_end_are_the_next_owners() {
    let callback = Callback {
        request: Request::post(TargetUrl::parse("http://told/").unwrap()),
        each: true,
        credentials: Default::default(),
    };
    let rooms = Rooms::new(|came| match came.url.as_str() {
        "http://failing/" => Deed::Answer(secs(5), 503),
        _ => Deed::Answer(secs(5), 200),
    });
    let rooms = rooms.await;
    let (failing, told) =
        (task("failing", retried(5)), task("t", EntryOptions { on_success: Some(callback), ..Default::default() }));
    rooms.fire_at(&failing, 0).await;
    rooms.fire_at(&told, 0).await;
    rooms.until(1).await;

    rooms.dispatch.let_go(ShardSet::ALL, Letting::Given).await.unwrap();
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0, 0]);
    let of_failing = progress(&rooms, &failing).await;
    assert_eq!((of_failing[0].is_under_way, of_failing[0].attempts.len()), (false, 1));
    assert_eq!(rooms.end(run(&told, 0)).await, succeeded());
    assert_eq!(rooms.unfinished(&told).await[0].notice.as_ref().unwrap().about, run(&told, 0));
    assert_eq!((rooms.dispatch.in_flight(), rooms.dispatch.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_just_being_asked_for_when_its_shard_is_given_away_keeps_its_record_and_nothing_else_is_taken() {
    let (rooms, task) = (one_at_once().await, task("t", EntryOptions::default()));
    let reserved = rooms.dispatch.ask(asked(&task, 0)).await.unwrap();

    assert_eq!(rooms.dispatch.let_go(shard_of(&task), Letting::Given).await.unwrap().reserved, 1);
    assert_eq!(rooms.dispatch.ask(asked(&task, 1)).await.err(), Some(AskRefused::NotOwned));
    rooms.dispatch.resume(vec![asked(&task, 2)]).await.unwrap();
    reserved.start();
    rooms.until(1).await;

    let let_go = rooms.dispatch.let_go(shard_of(&task), Letting::Given).await.unwrap();
    assert_eq!((let_go.reserved, rooms.came().len(), rooms.dispatch.waiting()), (0, 0, 0));
}
