use super::*;
use crate::model::Claim;
use crate::store::StoreError;

pub(crate) async fn taking_leases_makes_earlier_epochs_stale(store: &impl Store) {
    assert!(store.leases().await.unwrap().is_empty());
    let first = store.take_all("one").await.unwrap();

    let second = store.take_all("two").await.unwrap();

    assert_eq!((first.len(), second.len()), (Shard::COUNT, Shard::COUNT));
    assert!(first.iter().zip(&second).all(|(one, two)| one.shard == two.shard && two.epoch > one.epoch));
    let stale = store.claim(&[Claim { through: at(1), ..claim(&first[3], 0, 0) }]).await;
    assert!(matches!(stale, Err(StoreError::Fenced { .. })), "{stale:?}");
    assert_eq!(store.leases().await.unwrap(), second);
}

fn claim(lease: &crate::model::Lease, through: i64, settled_through: i64) -> Claim {
    Claim { shard: lease.shard, epoch: lease.epoch, through: at(through), settled_through: at(settled_through) }
}

pub(crate) async fn claims_never_move_back_and_a_release_may(store: &impl Store) {
    let lease = store.take_all("one").await.unwrap().remove(5);
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
    let leases = store.take_all("one").await.unwrap();
    let stale = Claim { epoch: Epoch(99), ..claim(&leases[2], 10, 8) };

    let refused = store.claim(&[claim(&leases[1], 10, 8), stale]).await;

    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert_eq!(store.leases().await.unwrap(), leases);
}
