use super::*;
use crate::store::memory::MemoryStore;
use crate::store::transfer::{Kind, MovableStore, Transfer};
use crate::store::{LeaseStore, RegisterName, RegisterStore, Registered};

fn text(version: u64, text: &str) -> Registered {
    Registered { version, text: text.to_owned() }
}

pub(crate) async fn the_register_holds_nothing_before_the_first_is_written(store: &impl Store) {
    store.take(ShardSet::ALL, "one").await.unwrap();

    assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), None);
    assert!(!store.set_register(RegisterName::Cluster, &text(0, "none")).await.unwrap());
    assert!(!store.set_register(RegisterName::Cluster, &text(2, "second")).await.unwrap());
    assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), None);
    assert!(store.set_register(RegisterName::Cluster, &text(1, "first \"é\u{0}\n")).await.unwrap());
    assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), Some(text(1, "first \"é\u{0}\n")));
}

pub(crate) async fn the_register_is_replaced_by_its_next_version_only(store: &impl Store) {
    for version in 1..=3 {
        assert!(store.set_register(RegisterName::Cluster, &text(version, "before")).await.unwrap());
    }

    for version in [0, 1, 2, 3, 5, u64::MAX] {
        assert!(!store.set_register(RegisterName::Cluster, &text(version, "not the next")).await.unwrap(), "{version}");
        assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), Some(text(3, "before")));
    }
    let long = "x".repeat(100_000);
    assert!(store.set_register(RegisterName::Cluster, &text(4, &long)).await.unwrap());
    assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), Some(text(4, &long)));
}

pub(crate) async fn of_many_that_write_the_register_at_once_one_succeeds(store: &impl Store) {
    for version in 1..=3 {
        let texts: Vec<Registered> = (0..8).map(|node| text(version, &format!("by node {node}"))).collect();

        let written =
            futures_util::future::join_all(texts.iter().map(|text| store.set_register(RegisterName::Cluster, text)))
                .await;

        let written: Vec<bool> = written.into_iter().map(Result::unwrap).collect();
        assert_eq!(written.iter().filter(|&&is_written| is_written).count(), 1, "{written:?}");
        let winner = written.iter().position(|&is_written| is_written).unwrap();
        assert_eq!(store.register(RegisterName::Cluster).await.unwrap().as_ref(), Some(&texts[winner]));
    }
}

pub(crate) async fn the_register_is_no_lease_and_stays_where_it_is_when_all_is_copied(store: &impl MovableStore) {
    let target = MemoryStore::new();
    assert!(store.set_register(RegisterName::Cluster, &text(1, "of these nodes")).await.unwrap());
    assert_eq!(store.leases().await.unwrap(), []);

    let leases = store.take(ShardSet::ALL, "one").await.unwrap();
    assert!(store.set_register(RegisterName::Cluster, &text(2, "of these nodes")).await.unwrap());
    assert!(store.set_register(RegisterName::Keys, &text(1, "of all stores")).await.unwrap());
    for kind in Kind::ALL {
        let mut pages = store.pages(kind, None);
        while let Some(page) = pages.recv().await {
            target.restore(page.unwrap().items).await.unwrap();
        }
        let expected = match kind {
            Kind::Leases => 64,
            Kind::Registers => 1,
            Kind::Revisions | Kind::Cleared | Kind::Marks | Kind::Records | Kind::Audit => 0,
            Kind::Results | Kind::Pauses => 0,
        };
        assert_eq!(store.count(kind).await.unwrap(), expected, "{kind:?}");
    }

    assert_eq!(target.leases().await.unwrap(), leases);
    assert_eq!(target.register(RegisterName::Cluster).await.unwrap(), None);
    assert_eq!(target.register(RegisterName::Keys).await.unwrap(), Some(text(1, "of all stores")));
    store.restore(crate::store::transfer::Items::Leases(leases)).await.unwrap();
    assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), Some(text(2, "of these nodes")));
}

pub(crate) async fn each_register_goes_its_own_way(store: &impl Store) {
    for (name, count) in RegisterName::ALL.into_iter().zip(1..) {
        for version in 1..=count {
            assert!(store.set_register(name, &text(version, name.as_str())).await.unwrap());
        }
    }

    for (name, count) in RegisterName::ALL.into_iter().zip(1..) {
        assert_eq!(store.register(name).await.unwrap(), Some(text(count, name.as_str())));
    }
}
