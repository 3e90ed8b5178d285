use super::*;
use crate::model::{Claim, Lease};
use crate::store::StoreError;

fn set(shards: impl IntoIterator<Item = usize>) -> ShardSet {
    shards.into_iter().map(Shard::at).collect()
}

fn claim(lease: &Lease, through: i64, settled_through: i64) -> Claim {
    Claim { shard: lease.shard, epoch: lease.epoch, through: at(through), settled_through: at(settled_through) }
}

pub(crate) async fn taking_leases_makes_earlier_epochs_stale(store: &impl Store) {
    assert!(store.leases().await.unwrap().is_empty());
    let first = store.take(ShardSet::ALL, "one").await.unwrap();

    let second = store.take(ShardSet::ALL, "two").await.unwrap();

    assert_eq!((first.len(), second.len()), (Shard::COUNT, Shard::COUNT));
    assert!(first.iter().zip(&second).all(|(one, two)| one.shard == two.shard && two.epoch > one.epoch));
    let stale = store.claim(&[Claim { through: at(1), ..claim(&first[3], 0, 0) }]).await;
    assert!(matches!(stale, Err(StoreError::Fenced { .. })), "{stale:?}");
    assert_eq!(store.leases().await.unwrap(), second);
}

pub(crate) async fn a_node_takes_some_shards_and_the_others_stay_as_they_are(store: &impl Store) {
    let first = store.take(set([63, 2, 7]), "one").await.unwrap();
    assert_eq!(first.iter().map(|it| (it.shard.index(), it.epoch.0)).collect::<Vec<_>>(), [(2, 1), (7, 1), (63, 1)]);
    assert_eq!(store.leases().await.unwrap(), first);
    store.claim(&[claim(&first[0], 10, 8), claim(&first[1], 20, 18)]).await.unwrap();

    let second = store.take(set([7, 5]), "two").await.unwrap();

    assert_eq!(second.iter().map(|it| (it.shard.index(), it.epoch.0)).collect::<Vec<_>>(), [(5, 1), (7, 2)]);
    assert_eq!((second[1].claimed_through, second[1].settled_through), (at(20), at(18)));
    let known = store.leases().await.unwrap();
    let told: Vec<_> = known.iter().map(|it| (it.shard.index(), it.epoch.0, it.claimed_through)).collect();
    assert_eq!(told, [(2, 1, at(10)), (5, 1, Timestamp::EPOCH), (7, 2, at(20)), (63, 1, Timestamp::EPOCH)]);
    assert_eq!(store.take(ShardSet::EMPTY, "three").await.unwrap(), []);
    assert_eq!(store.leases().await.unwrap(), known);
}

pub(crate) async fn nodes_that_take_at_the_same_moment_all_hold_what_they_took(store: &impl Store) {
    let shares: Vec<ShardSet> = (0..4).map(|node| set((0..Shard::COUNT).filter(|it| it % 4 == node))).collect();
    for round in 1..=3 {
        let taken = futures_util::future::join_all(shares.iter().map(|&share| store.take(share, "a node"))).await;

        for (share, taken) in shares.iter().zip(taken) {
            let taken = taken.unwrap();
            assert_eq!(taken.iter().map(|lease| lease.shard).collect::<ShardSet>(), *share);
            assert!(taken.iter().all(|lease| lease.epoch == Epoch(round)), "{taken:?}");
            store.claim(&taken.iter().map(|lease| claim(lease, 1, 0)).collect::<Vec<_>>()).await.unwrap();
        }
    }
    assert_eq!(store.leases().await.unwrap().len(), Shard::COUNT);
}

pub(crate) async fn a_claim_names_the_shard_that_another_node_has_taken(store: &impl Store) {
    let leases = store.take(ShardSet::ALL, "one").await.unwrap();
    let claims: Vec<Claim> = leases[..4].iter().map(|lease| claim(lease, 10, 8)).collect();
    store.take(set([2]), "two").await.unwrap();

    let refused = store.claim(&claims).await;

    assert!(matches!(refused, Err(StoreError::Fenced { shard, ours }) if shard == Shard::at(2) && ours == Epoch(1)));
    let kept: Vec<Claim> = claims.into_iter().filter(|claim| claim.shard != Shard::at(2)).collect();
    store.claim(&kept).await.unwrap();
    store.release(&kept).await.unwrap();
    let known = store.leases().await.unwrap();
    assert_eq!((known[1].claimed_through, known[2].claimed_through), (at(10), Timestamp::EPOCH));
}

pub(crate) async fn claims_never_move_back_and_a_release_may(store: &impl Store) {
    let lease = store.take(ShardSet::ALL, "one").await.unwrap().remove(5);
    let stored = async || {
        let lease = store.leases().await.unwrap().remove(5);
        (lease.claimed_through, lease.settled_through)
    };

    store.claim(&[claim(&lease, 10, 8)]).await.unwrap();
    store.claim(&[claim(&lease, 9, 7)]).await.unwrap();
    assert_eq!(stored().await, (at(10), at(8)));
    store.release(&[claim(&lease, 9, 7)]).await.unwrap();
    assert_eq!(stored().await, (at(9), at(8)));
}

pub(crate) async fn claims_are_written_all_or_none(store: &impl Store) {
    let leases = store.take(ShardSet::ALL, "one").await.unwrap();
    let stale = Claim { epoch: Epoch(99), ..claim(&leases[2], 10, 8) };

    let refused = store.claim(&[claim(&leases[1], 10, 8), stale]).await;

    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert_eq!(store.leases().await.unwrap(), leases);
}
