//! Changes that are stored after their sender has lost the task to another node.

use super::tenancy::{SECOND_LOOK, START, Sharing, each_seed, pass};
use super::*;
use crate::cluster::played::Dice;
use crate::model::Shard;
use crate::store::CatalogStore;

fn task(number: u8, cron_time: &str) -> Task {
    let schedule = Schedule::cron(cron_time).unwrap();
    Task::new(identity(&format!("task-{number}")), TimeZone::UTC, vec![entry(schedule, EntryOptions::default())])
}

async fn two() -> (Arc<SimClock>, MemoryStore, Vec<Sharing>) {
    let (clock, store, sink) = (Arc::new(SimClock::starting_at(at(START))), MemoryStore::new(), Sink::new());
    let mut nodes = Vec::new();
    for number in 1..=2 {
        nodes.push(Sharing::join(number, &clock, &store, &sink).await);
    }
    pass(8).await;
    (clock, store, nodes)
}

fn owner_of<'a>(nodes: &'a [Sharing], identity: &Identity) -> Option<&'a Sharing> {
    nodes.iter().find(|sharing| sharing.tenure.holds(Shard::of(identity)))
}

async fn stored(store: &MemoryStore, identity: &Identity) -> Option<u64> {
    let newest = store.reopen().history_of(identity, None, 1).await.unwrap();
    newest.first().filter(|newest| newest.in_force_until.is_none()).map(|newest| newest.number)
}

/// The owner sends a change that takes eight seconds, is cut off meanwhile, and comes back.
async fn stored_late(change: impl AsyncFnOnce(Catalog) -> Result<(), CatalogError>) -> (MemoryStore, Vec<Sharing>) {
    let (_, store, mut nodes) = two().await;
    let identity = task(1, "* * * * * *").identity;
    owner_of(&nodes, &identity).unwrap().node.put(task(1, "* * * * * *")).await.unwrap();
    if nodes[1].tenure.holds(Shard::of(&identity)) {
        nodes.reverse();
    }
    let former = &nodes[0];
    former.node.store.delay_changes(Duration::from_secs(8));
    let cut = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        former.node.store.cut_off(true);
        pass(12).await;
        // Now it learns that it was taken out. The shards stay with the other one: it leaves at once.
        former.node.store.cut_off(false);
        former.keeper.leave().await;
    };
    let (answer, ()) = tokio::join!(change(former.node.catalog.clone()), cut);
    assert!(matches!(answer, Err(CatalogError::BrokeOff)), "{answer:?}");
    assert!(nodes[1].tenure.holds(Shard::of(&identity)));
    (store, nodes)
}

/// Also what was decided between the moment of a late change and the moment it was found is as the stored states name it.
async fn prove_all(nodes: &[Sharing]) {
    for sharing in nodes {
        sharing.node.means.journal.flush().await.unwrap();
    }
    let node = &nodes[1].node;
    let findings = node.verify(at(START), node.clock.now().minus(Duration::from_secs(3))).await;
    assert!(findings.len() > 10, "{findings:?}");
    let broken: Vec<_> = findings.iter().filter(|finding| finding.verdict.is_broken()).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

async fn put_again(catalog: Catalog) -> Result<(), CatalogError> {
    let task = task(1, "*/2 * * * * *");
    catalog.put(Put { task, enabled: true, request: empty(), revision: None, by: None, asked_by: None }).await.map(drop)
}

async fn remove(catalog: Catalog) -> Result<(), CatalogError> {
    catalog.remove(Removal { identity: identity("task-1"), request: empty(), revision: None, asked_by: None }).await
}

fn known(sharing: &Sharing) -> Option<u64> {
    sharing.node.catalog.rooms.get(&identity("task-1")).map(|revision| revision.number)
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_stored_after_its_sender_lost_the_task_is_not_acknowledged_and_comes_into_force_at_the_second_look()
 {
    for is_put in [true, false] {
        let (store, nodes) = if is_put { stored_late(put_again).await } else { stored_late(remove).await };
        assert_eq!(known(&nodes[1]), Some(1));
        pass(SECOND_LOOK.as_secs()).await;

        let expected = is_put.then_some(2);
        assert_eq!((known(&nodes[1]), stored(&store, &identity("task-1")).await), (expected, expected));
        let before = nodes[1].node.sink.sent_of("task-1").len();
        pass(10).await;
        let later = nodes[1].node.sink.sent_of("task-1").len() - before;
        assert_eq!(later, if is_put { 5 } else { 0 });
        prove_all(&nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_follows_before_the_second_look_has_a_late_change_count_from_where_the_one_before_had_gone() {
    for is_put in [true, false] {
        let (store, mut nodes) = if is_put { stored_late(put_again).await } else { stored_late(remove).await };
        let sink = nodes[1].node.sink.clone();
        nodes.push(Sharing::join(3, &nodes[1].node.clock, &store, &sink).await);
        pass(3).await;
        nodes[1].keeper.leave().await;
        pass(10).await;

        let identity = identity("task-1");
        assert!(nodes[2].tenure.holds(Shard::of(&identity)));
        let known = nodes[2].node.catalog.rooms.get(&identity).map(|revision| revision.number);
        assert_eq!((known, stored(&store, &identity).await), (is_put.then_some(2), is_put.then_some(2)));
        prove_all(&nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_change_finds_what_was_stored_late() {
    let (store, nodes) = stored_late(put_again).await;
    let catalog = &nodes[1].node.catalog;
    let switch = |revision| Switch {
        identity: identity("task-1"),
        enabled: false,
        request: empty(),
        revision,
        by: None,
        note: None,
        asked_by: None,
    };

    let refused = catalog.switch(switch(Some(1))).await;
    assert!(matches!(refused, Err(CatalogError::Store(StoreError::Conflict { .. }))), "{refused:?}");
    assert_eq!(known(&nodes[1]), Some(2));
    assert_eq!(catalog.switch(switch(Some(2))).await.unwrap(), 3);

    let (store_of_delete, nodes) = stored_late(remove).await;
    put_again(nodes[1].node.catalog.clone()).await.unwrap();
    assert_eq!((known(&nodes[1]), stored(&store_of_delete, &identity("task-1")).await), (Some(2), Some(2)));
    assert_eq!(stored(&store, &identity("task-1")).await, Some(3));
}

async fn live(seed: u64) {
    let mut dice = Dice::of(seed);
    let (clock, store, nodes) = two().await;
    let until = clock.now().plus(Duration::from_secs(60));
    let mut acknowledged = std::collections::BTreeMap::new();
    while clock.now() < until {
        let place = usize::try_from(dice.below(2)).unwrap();
        let (delay, cut_after, cut_for) = (dice.below(9_000), dice.below(1_000), dice.below(9_000));
        let number = u8::try_from(dice.below(6)).unwrap();
        let identity = task(number, "* * * * * *").identity;
        let node = &nodes[place].node;
        node.store.delay_changes(Duration::from_millis(delay));
        let cut = async {
            tokio::time::sleep(Duration::from_millis(cut_after)).await;
            node.store.cut_off(dice.one_in(2));
            tokio::time::sleep(Duration::from_millis(cut_for)).await;
            node.store.cut_off(false);
        };
        if let Some(owner) = owner_of(&nodes, &identity) {
            let cron_time = format!("{} * * * * *", clock.now().secs() % 60);
            let (done, ()) = tokio::join!(owner.node.put(task(number, &cron_time)), cut);
            if let Ok(revision) = done {
                acknowledged.insert(identity, revision);
            }
        } else {
            cut.await;
        }
        tokio::time::sleep(Duration::from_millis(dice.below(2_000))).await;
    }
    nodes.iter().for_each(|sharing| sharing.node.store.delay_changes(Duration::ZERO));
    pass(SECOND_LOOK.as_secs() + 15).await;
    for sharing in &nodes {
        sharing.node.means.journal.flush().await.unwrap();
    }
    let findings = nodes[0].node.verify(at(START), clock.now().minus(Duration::from_secs(3))).await;
    let broken: Vec<_> = findings.iter().filter(|finding| finding.verdict.is_broken()).collect();
    assert!(broken.is_empty(), "{broken:?}");
    for number in 0..6 {
        let identity = task(number, "* * * * * *").identity;
        let (stored, owner) = (stored(&store, &identity).await, owner_of(&nodes, &identity).unwrap());
        let known = owner.node.catalog.rooms.get(&identity).map(|revision| revision.number);
        assert_eq!(known, stored, "{identity}: what is in force, and what is stored");
        assert!(stored >= acknowledged.get(&identity).copied(), "{identity}: a put was lost");
    }
}

#[test]
fn no_put_that_is_acknowledged_is_lost_and_memory_and_store_agree_and_each_instant_has_one_outcome() {
    each_seed(60, live);
}
