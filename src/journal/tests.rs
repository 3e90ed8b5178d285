//! The writer and retention, on a store in memory and simulated time.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{EntryName, Identity, Shard, Stretch, Timestamp};
use crate::store::memory::MemoryStore;
use crate::store::{JournalStore, LeaseStore, Search};

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + second)
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
    let journal = start(Arc::new(store.clone()), &Settings::default());

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
    let journal = start(Arc::new(store.clone()), &Settings::default());
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
    let journal = start(Arc::new(store.clone()), &settings);
    store.fail_writes(true);
    let giver = {
        let journal = journal.clone();
        tokio::spawn(async move {
            for second in 0..3_000 {
                journal.record(record(second)).await.unwrap();
            }
        })
    };

    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!giver.is_finished() && !journal.is_writing() && journal.waiting() == 10);
    store.fail_writes(false);
    giver.await.unwrap();
    journal.flush().await.unwrap();

    assert_eq!(store.records().len(), 3_000);
    assert!(journal.is_writing());
}

#[tokio::test(start_paused = true)]
async fn retention_deletes_by_age_and_by_size_and_keeps_what_is_not_settled() {
    let store = MemoryStore::new();
    let leases = store.take_all("test").await.unwrap();
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
