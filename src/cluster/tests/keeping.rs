//! Keepers on one store in memory, each with faults of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::SimClock;
use crate::cluster::played::member;
use crate::cluster::{Holder, Keeper, KeeperSettings, Member, Tenure, ToLook};
use crate::model::{Shard, ShardSet, Timestamp};
use crate::store::memory::MemoryStore;
use crate::store::{RegisterStore, StoreError};

const TTL: Duration = Duration::from_secs(3);

/// Knows what it was told to do.
struct Told {
    acts_for: Mutex<ShardSet>,
    lost: Mutex<usize>,
    /// Of which shards something is under way, whoever owns them.
    under_way: watch::Sender<ShardSet>,
    /// Of what it took, what a former owner had under way.
    lingering: Mutex<ShardSet>,
    /// What it looked at and nobody lingers for any more, as often as it was told.
    over: Mutex<Vec<ShardSet>>,
    pauses: AtomicU64,
}

impl Default for Told {
    fn default() -> Self {
        let under_way = watch::channel(ShardSet::EMPTY).0;
        let (acts_for, lost, lingering, over, pauses) = Default::default();
        Self { acts_for, lost, under_way, lingering, over, pauses }
    }
}

#[async_trait]
impl Holder for Told {
    async fn take(&self, shards: ShardSet, lingering: ShardSet) -> Result<(), StoreError> {
        sleep(Duration::from_millis(100)).await;
        *self.lingering.lock().unwrap() = lingering;
        let mut acts_for = self.acts_for.lock().unwrap();
        shards.iter().for_each(|shard| {
            acts_for.insert(shard);
        });
        Ok(())
    }

    async fn stop(&self, shards: ShardSet) -> ShardSet {
        let mut acts_for = self.acts_for.lock().unwrap();
        *acts_for = *acts_for - shards;
        *self.under_way.borrow() & shards
    }

    async fn ended(&self, lingering: ShardSet) -> ShardSet {
        let mut under_way = self.under_way.subscribe();
        let under_way = under_way.wait_for(|under_way| !(lingering - *under_way).is_empty()).await.unwrap();
        lingering - *under_way
    }

    async fn look(&self, to_look: ToLook) -> Result<(), StoreError> {
        if !to_look.over.is_empty() {
            self.over.lock().unwrap().push(to_look.over);
        }
        Ok(())
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

/// Two nodes, and what the first has under way of shards that the second takes.
async fn lingering() -> (MemoryStore, Node, Node, ShardSet) {
    let store = MemoryStore::new();
    let one = Node::start(&store, member(1));
    sleep(Duration::from_millis(500)).await;
    one.told.under_way.send_replace(ShardSet::ALL);
    let two = Node::start(&store, member(2));
    sleep(Duration::from_secs(4)).await;
    let given = two.acts_for();
    (store, one, two, given)
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_given_away_although_something_of_it_is_under_way_and_its_next_owner_knows_until_it_has_ended() {
    let (_, one, two, given) = lingering().await;
    assert_eq!((given.len(), *two.told.lingering.lock().unwrap()), (32, given));
    assert_eq!(one.keeper.view().borrow().membership.lingering(), given);
    assert!(two.told.over.lock().unwrap().is_empty());

    let [first, second] = [0, 1].map(|place| ShardSet::of(given.iter().nth(place)));
    one.told.under_way.send_replace(ShardSet::ALL - first);
    sleep(Duration::from_millis(10)).await;
    // At once, not with the next sign of life.
    assert_eq!(one.keeper.view().borrow().membership.lingering(), given - first);
    sleep(Duration::from_secs(2)).await;
    one.told.under_way.send_replace(ShardSet::ALL - first - second);
    sleep(Duration::from_secs(2)).await;

    assert_eq!(*two.told.over.lock().unwrap(), [first, second]);
    assert_eq!(one.keeper.view().borrow().membership.lingering(), given - first - second);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_goes_when_nothing_is_under_way_there_any_more() {
    let (_, one, two, _) = lingering().await;

    let leaving = tokio::spawn({
        let keeper = one.keeper.clone();
        async move { keeper.leave().await }
    });
    sleep(Duration::from_secs(5)).await;
    assert_eq!((two.acts_for(), leaving.is_finished()), (ShardSet::ALL, false));
    one.told.under_way.send_replace(ShardSet::EMPTY);
    sleep(Duration::from_secs(2)).await;

    assert!(leaving.is_finished());
    let view = two.keeper.view();
    assert_eq!((view.borrow().membership.members().len(), view.borrow().membership.lingering()), (1, ShardSet::EMPTY));
    let over = two.told.over.lock().unwrap().iter().fold(ShardSet::EMPTY, |all, over| all | *over);
    assert_eq!(over, ShardSet::ALL);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_had_under_way_is_over_when_it_is_taken_out_and_nothing_of_it_comes_back_with_it() {
    let (_, one, two, given) = lingering().await;

    one.store.cut_off(true);
    sleep(Duration::from_secs(6)).await;
    assert_eq!((two.acts_for(), two.told.over.lock().unwrap().clone()), (ShardSet::ALL, vec![given]));
    one.store.cut_off(false);
    sleep(Duration::from_secs(5)).await;

    // What it had under way, whatever that was, is no part of its second life.
    assert_eq!(shares(&[&one, &two]), [32, 32]);
    assert_eq!(
        (one.keeper.view().borrow().membership.lingering(), *one.told.lost.lock().unwrap()),
        (ShardSet::EMPTY, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_comes_back_while_its_owner_lingers_for_it_itself_is_looked_at_when_that_is_over() {
    let (_, one, two, given) = lingering().await;

    two.keeper.leave().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!((one.acts_for(), *one.told.lingering.lock().unwrap()), (ShardSet::ALL, given));
    assert!(one.told.over.lock().unwrap().is_empty());
    one.told.under_way.send_replace(ShardSet::EMPTY);
    sleep(Duration::from_secs(2)).await;

    assert_eq!(*one.told.over.lock().unwrap(), [given]);
}
