//! Runs of shards for which another node is to act, or acts.

use super::*;
use crate::dispatch::{LetGo, Letting};
use crate::model::Shard;

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
    let journal = journal::start(Arc::new(store.clone()), &journal::Settings::default(), None);
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
