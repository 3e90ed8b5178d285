//! The writer and retention, on a store in memory and simulated time.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::SimClock;
use crate::cluster::Tenure;
use crate::model::{EntryName, Identity, RunId, Shard, ShardSet, Stretch, Timestamp};
use crate::store::memory::MemoryStore;
use crate::store::{JournalStore, LeaseStore, ResultStore, Search};

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + second)
}

fn alone() -> Tenure {
    Tenure::alone(Arc::new(SimClock::starting_at(at(0))))
}

fn identity() -> Identity {
    Identity::parse("t").unwrap()
}

fn record(second: i64) -> crate::model::Record {
    missed_record(&identity(), &EntryName::parse("e").unwrap(), Stretch::one(at(second)), "a test", at(second))
}

#[tokio::test(start_paused = true)]
async fn records_wait_for_others_and_are_written_after_the_interval() {
    let store = MemoryStore::new();
    let journal = start(Arc::new(store.clone()), &Settings::default(), None, alone());

    journal.record(record(1)).await.unwrap();
    journal.record(record(2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(90)).await;
    assert!(store.records().is_empty());
    tokio::time::sleep(Duration::from_millis(20)).await;

    assert_eq!(store.records().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_returns_when_all_given_before_is_durable_and_settled() {
    let store = MemoryStore::new();
    let journal = start(Arc::new(store.clone()), &Settings::default(), None, alone());
    let shard = Shard::of(&identity());
    journal.unsettled().open([(shard, at(1)), (shard, at(2))]);

    journal.settle(record(1)).await.unwrap();
    // The record of a stretch settles no fire that was handed out, even at the same instant.
    journal.record(record(2)).await.unwrap();
    journal.flush().await.unwrap();

    assert_eq!(store.records().len(), 2);
    assert_eq!(journal.unsettled().through(shard, at(9)), Timestamp::from_millis(at(2).millis() - 1));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_records_wait_then_their_givers_and_nothing_is_lost() {
    let store = MemoryStore::new();
    let settings = Settings { records_waiting_max: 10, ..Settings::default() };
    let journal = start(Arc::new(store.clone()), &settings, None, alone());
    store.fail_writes(true);
    let giver = {
        let journal = journal.clone();
        tokio::spawn(async move {
            for second in 0..20_000 {
                journal.record(record(second)).await.unwrap();
            }
        })
    };

    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!giver.is_finished() && journal.status().problem().is_some() && journal.waiting() == 10);
    store.fail_writes(false);
    giver.await.unwrap();
    journal.flush().await.unwrap();

    assert_eq!(store.records().len(), 20_000);
    assert_eq!(journal.status().problem(), None);
}

#[tokio::test(start_paused = true)]
async fn retention_deletes_by_age_and_by_size_and_keeps_what_is_not_settled() {
    let store = MemoryStore::new();
    let leases = store.take(ShardSet::ALL, "test").await.unwrap();
    let settled = |through: i64| -> Vec<_> {
        let claim = |lease: &crate::model::Lease| crate::model::Claim {
            shard: lease.shard,
            epoch: lease.epoch,
            through: at(through),
            settled_through: at(through),
        };
        leases.iter().map(claim).collect()
    };
    store.append((0..5_000).map(record).collect()).await.unwrap();
    let day = Settings { retention_age: Duration::from_secs(86_400), ..Settings::default() };
    let left = async || {
        let all = Search { identity: identity(), kind: None, since_secs: None, until_secs: None, limit: 1, skip: 0 };
        store.search(all).await.unwrap().total
    };

    store.claim(&settled(99)).await.unwrap();
    prune(&store, &day, at(86_400 + 1_000)).await;
    assert_eq!(left().await, 4_900);
    store.claim(&settled(10_000)).await.unwrap();
    prune(&store, &day, at(86_400 + 4_500)).await;
    assert_eq!(left().await, 500);
    prune(&store, &Settings { retention_bytes: 0, ..day }, at(86_400)).await;

    assert_eq!(left().await, 0);
}

#[tokio::test(start_paused = true)]
async fn results_go_by_an_age_and_a_size_of_their_own() {
    let store = MemoryStore::new();
    let runs: Vec<RunId> = (0..500).map(|second| RunId::asked(at(second))).collect();
    for run in &runs {
        store.put_piece(*run, 0, vec![0; 10].into()).await.unwrap();
    }
    store.append(vec![record(0)]).await.unwrap();
    let day = Settings { results_retention_age: Duration::from_secs(86_400), ..Settings::default() };
    let first_left = async || {
        let mut index = 0;
        while index < runs.len() && store.piece(runs[index], 0).await.unwrap().is_none() {
            index += 1;
        }
        index
    };

    prune(&store, &day, at(86_400 + 450)).await;
    assert_eq!(first_left().await, 450);
    prune(&store, &Settings { results_bytes: 200, ..day }, at(86_400)).await;

    assert_eq!((first_left().await, store.records().len()), (480, 1));
}

/// Opens what a crash at this moment would leave.
fn crash_image(folder: &std::path::Path) -> (Spill, tempfile::TempDir) {
    let image = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, image.path().join(path.file_name().unwrap())).unwrap();
    }
    (Spill::open(image.path(), 1 << 20).unwrap(), image)
}

fn instants(store: &MemoryStore) -> Vec<i64> {
    let last = |record: &crate::model::Record| record.settled.as_ref().map(|settled| settled.stretch.last);
    store.records().iter().filter_map(last).map(|last| last.secs() - at(0).secs()).collect()
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_records_go_to_the_disk_and_then_arrive_in_order() {
    let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    let settings = Settings { records_waiting_max: 10, ..Settings::default() };
    let journal =
        start(Arc::new(store.clone()), &settings, Some(Spill::open(folder.path(), 1 << 20).unwrap()), alone());
    let shard = Shard::of(&identity());
    store.fail_writes(true);
    journal.record(record(0)).await.unwrap();
    journal.secure().await.unwrap();

    for second in 1..500 {
        journal.record(record(second)).await.unwrap();
    }
    journal.secure().await.unwrap();
    assert_eq!((journal.status().spilled(), journal.waiting(), store.records().len()), (500, 0, 0));
    assert!(journal.status().problem().is_some());
    assert_eq!(journal.unsettled().through(shard, at(999)), Timestamp::from_millis(at(0).millis() - 1));
    store.fail_writes(false);
    for second in 500..600 {
        journal.record(record(second)).await.unwrap();
    }
    journal.flush().await.unwrap();

    assert_eq!(instants(&store), (0..600).collect::<Vec<_>>());
    assert_eq!(
        (journal.status().spilled(), journal.status().spilled_bytes(), journal.status().problem()),
        (0, 0, None)
    );
    assert_eq!(journal.unsettled().through(shard, at(999)), at(999));
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_on_the_disk_is_written_by_the_next_start_before_anything_else() {
    let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    let spill = Spill::open(folder.path(), 1 << 20).unwrap();
    let journal = start(Arc::new(store.clone()), &Settings::default(), Some(spill), alone());
    store.fail_writes(true);
    journal.record(record(1)).await.unwrap();
    journal.secure().await.unwrap();

    let (next, (spill, _image)) = (MemoryStore::new(), crash_image(folder.path()));
    let journal = start(Arc::new(next.clone()), &Settings::default(), Some(spill), alone());
    journal.record(record(2)).await.unwrap();
    journal.flush().await.unwrap();

    assert_eq!(instants(&next), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_without_room_stops_the_givers_and_says_so_and_loses_nothing() {
    let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    let settings = Settings { records_waiting_max: 10, ..Settings::default() };
    let journal = start(Arc::new(store.clone()), &settings, Some(Spill::open(folder.path(), 20_000).unwrap()), alone());
    store.fail_writes(true);
    let giver = {
        let journal = journal.clone();
        tokio::spawn(async move {
            for second in 0..20_000 {
                journal.record(record(second)).await.unwrap();
            }
        })
    };

    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(journal.status().is_full() && !giver.is_finished());
    assert_eq!(journal.status().dropped(), 0);
    store.fail_writes(false);
    giver.await.unwrap();
    journal.flush().await.unwrap();

    let mut arrived = instants(&store);
    arrived.sort_unstable();
    assert_eq!(arrived, (0..20_000).collect::<Vec<_>>());
    assert!(!journal.status().is_full());
}

#[tokio::test(start_paused = true)]
async fn a_disk_without_room_loses_the_oldest_records_where_that_is_wanted_and_counts_them() {
    let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    let settings = Settings { when_spill_full: WhenSpillFull::DropOldest, ..Settings::default() };
    let journal = start(Arc::new(store.clone()), &settings, Some(Spill::open(folder.path(), 60_000).unwrap()), alone());
    store.fail_writes(true);

    for second in 0..3_000 {
        journal.record(record(second)).await.unwrap();
        if second % 50 == 49 {
            journal.secure().await.unwrap();
        }
    }
    store.fail_writes(false);
    journal.flush().await.unwrap();

    let arrived = instants(&store);
    assert_eq!(arrived.last(), Some(&2_999));
    assert_eq!(arrived.len() as u64 + journal.status().dropped(), 3_000);
    assert_eq!(journal.unsettled().count(), 0);
}
