//! Keepers on one store in memory, each with faults of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::clock::SimClock;
use crate::cluster::played::member;
use crate::cluster::{Holder, Keeper, KeeperSettings, Member, Tenure};
use crate::model::{Shard, ShardSet, Timestamp};
use crate::store::memory::MemoryStore;
use crate::store::{RegisterStore, StoreError};

const TTL: Duration = Duration::from_secs(3);

/// Knows what it was told to do.
#[derive(Default)]
struct Told {
    acts_for: Mutex<ShardSet>,
    lost: Mutex<usize>,
    pauses: AtomicU64,
}

#[async_trait]
impl Holder for Told {
    async fn take(&self, shards: ShardSet) -> Result<(), StoreError> {
        sleep(Duration::from_millis(100)).await;
        let mut acts_for = self.acts_for.lock().unwrap();
        shards.iter().for_each(|shard| {
            acts_for.insert(shard);
        });
        Ok(())
    }

    async fn stop(&self, shards: ShardSet) {
        let mut acts_for = self.acts_for.lock().unwrap();
        shards.iter().for_each(|shard| {
            acts_for.remove(shard);
        });
    }

    async fn lose(&self) {
        *self.acts_for.lock().unwrap() = ShardSet::EMPTY;
        *self.lost.lock().unwrap() += 1;
    }

    async fn follow_pauses(&self) -> Result<u64, StoreError> {
        sleep(Duration::from_millis(10)).await;
        Ok(self.pauses.load(Ordering::SeqCst))
    }
}

struct Node {
    store: MemoryStore,
    told: Arc<Told>,
    tenure: Tenure,
    keeper: Keeper,
}

impl Node {
    fn start(store: &MemoryStore, me: Member) -> Self {
        let (store, told) = (store.beside(), Arc::new(Told::default()));
        let clock = Arc::new(SimClock::starting_at(Timestamp::EPOCH));
        let tenure = Tenure::shared(clock.clone());
        let shared: Arc<dyn RegisterStore> = Arc::new(store.clone());
        let settings = KeeperSettings { ttl: TTL };
        let keeper = Keeper::start(me, shared, told.clone(), tenure.clone(), clock, settings);
        Self { store, told, tenure, keeper }
    }

    fn acts_for(&self) -> ShardSet {
        let told = *self.told.acts_for.lock().unwrap();
        told.iter().filter(|shard| self.tenure.holds(*shard)).collect()
    }
}

fn shares(nodes: &[&Node]) -> Vec<usize> {
    let all: Vec<ShardSet> = nodes.iter().map(|node| node.acts_for()).collect();
    for shard in Shard::all() {
        let owners = all.iter().filter(|shards| shards.contains(shard)).count();
        assert!(owners <= 1, "{owners} act for {shard:?}");
    }
    all.iter().map(|shards| shards.len()).collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_acts_for_everything_and_shares_with_who_comes() {
    let store = MemoryStore::new();
    let one = Node::start(&store, member(1));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(shares(&[&one]), [64]);

    let two = Node::start(&store, member(2));
    sleep(Duration::from_secs(4)).await;

    assert_eq!(shares(&[&one, &two]), [32, 32]);
    assert_eq!(one.keeper.view().borrow().membership.members().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_has_given_everything_away_when_it_goes() {
    let store = MemoryStore::new();
    let (one, two) = (Node::start(&store, member(1)), Node::start(&store, member(2)));
    sleep(Duration::from_secs(4)).await;
    assert_eq!(shares(&[&one, &two]), [32, 32]);

    one.keeper.leave().await;
    assert_eq!(shares(&[&one, &two])[0], 0);
    two.keeper.look();
    sleep(Duration::from_millis(500)).await;

    assert_eq!(shares(&[&one, &two]), [0, 64]);
    assert_eq!(two.keeper.view().borrow().membership.members().len(), 1);
    assert_eq!(*one.told.lost.lock().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_stops_before_another_begins_and_joins_anew() {
    let store = MemoryStore::new();
    let (one, two) = (Node::start(&store, member(1)), Node::start(&store, member(2)));
    sleep(Duration::from_secs(4)).await;

    one.store.cut_off(true);
    // More often than anything happens.
    for _ in 0..1_000 {
        sleep(Duration::from_millis(7)).await;
        shares(&[&one, &two]);
    }
    assert_eq!(shares(&[&one, &two]), [0, 64]);
    one.store.cut_off(false);
    sleep(Duration::from_secs(5)).await;

    assert_eq!((shares(&[&one, &two]), *one.told.lost.lock().unwrap()), (vec![32, 32], 1));
}

#[tokio::test(start_paused = true)]
async fn who_starts_anew_in_the_same_home_needs_not_wait_for_its_former_life() {
    let store = MemoryStore::new();
    let one = Node::start(&store, member(1));
    sleep(Duration::from_millis(500)).await;
    one.store.cut_off(true);

    let anew = Node::start(&store, member(1));
    sleep(Duration::from_millis(200)).await;

    assert_eq!(anew.acts_for(), ShardSet::ALL);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_cost_the_right_to_act_and_nothing_else() {
    let store = MemoryStore::new();
    let one = Node::start(&store, member(1));
    sleep(Duration::from_millis(500)).await;

    one.store.lose_answers(true);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(shares(&[&one]), [0]);
    one.store.lose_answers(false);
    sleep(Duration::from_secs(2)).await;

    assert_eq!((shares(&[&one]), *one.told.lost.lock().unwrap()), (vec![64], 0));
}
