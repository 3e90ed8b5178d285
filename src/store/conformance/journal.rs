use super::*;
use crate::store::{Pruned, Retention, StoreError};

pub(crate) async fn a_record_replaces_the_earlier_one_of_its_run(store: &impl Store) {
    store.append(vec![outcome(RecordKind::Error, "a", at(1)), outcome(RecordKind::Error, "a", at(2))]).await.unwrap();

    store.append(vec![outcome(RecordKind::Success, "a", at(1))]).await.unwrap();

    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Error, RecordKind::Success]);
}

pub(crate) async fn a_search_matches_the_identity_exactly(store: &impl Store) {
    let names = ["tok-one", "tok-two", "tok", "TOK-ONE", "tok-one ", "tok_one", "t%", "中"];
    store.append(names.iter().map(|name| note(RecordKind::Put, name, at(0))).collect()).await.unwrap();

    for name in names {
        let found = store.search(all_of(name)).await.unwrap();
        assert_eq!((found.total, found.records[0].identity.as_str()), (1, name));
    }
    assert_eq!(store.search(all_of("tok-")).await.unwrap().total, 0);
}

pub(crate) async fn a_search_gives_the_newest_first_in_pages(store: &impl Store) {
    let records: Vec<Record> = (0..25).map(|second| outcome(RecordKind::Success, "a", at(second))).collect();
    store.append(records.clone()).await.unwrap();

    let page = store.search(Search { limit: 10, skip: 20, ..all_of("a") }).await.unwrap();
    let beyond = store.search(Search { limit: 10, skip: 50, ..all_of("a") }).await.unwrap();

    let expected: Vec<Record> = records[..5].iter().rev().cloned().collect();
    assert_eq!((page.records, page.total, page.total_is_lower_bound), (expected, 25, false));
    assert_eq!((beyond.records.len(), beyond.total), (0, 25));
}

pub(crate) async fn a_search_keeps_to_kind_and_seconds(store: &impl Store) {
    let almost = Timestamp::from_millis(at(2).millis() + 999);
    let records = vec![
        note(RecordKind::Put, "a", at(1)),
        note(RecordKind::Running, "a", almost),
        note(RecordKind::Put, "a", at(3)),
    ];
    store.append(records).await.unwrap();
    let secs = |second: i64| Some(at(second).secs());

    assert_eq!(kinds(store, Search { kind: Some(RecordKind::Running), ..all_of("a") }).await, [RecordKind::Running]);
    let within = Search { since_secs: secs(2), until_secs: secs(2), ..all_of("a") };
    assert_eq!(kinds(store, within).await, [RecordKind::Running]);
    let inverted = Search { since_secs: secs(3), until_secs: secs(1), ..all_of("a") };
    assert!(kinds(store, inverted).await.is_empty());
}

pub(crate) async fn a_cleared_log_is_empty_but_its_outcomes_stay_known(store: &impl Store) {
    let records = vec![
        note(RecordKind::Put, "a", at(0)),
        outcome(RecordKind::Success, "a", at(1)),
        note(RecordKind::Put, "b", at(0)),
    ];
    store.append(records).await.unwrap();

    store.clear(&identity("a"), at(5)).await.unwrap();

    assert_eq!(store.search(all_of("a")).await.unwrap().total, 0);
    assert_eq!(store.search(all_of("b")).await.unwrap().total, 1);
    assert_eq!(outcomes_of(store, "a", at(0)).await.len(), 1);
    assert_eq!(deleted_through(store, "a").await, at(5));
    assert_eq!(deleted_through(store, "b").await, Timestamp::EPOCH);
}

pub(crate) async fn a_record_after_a_clear_is_found(store: &impl Store) {
    store.append(vec![note(RecordKind::Put, "a", at(1))]).await.unwrap();
    store.clear(&identity("a"), at(1)).await.unwrap();

    // In the same millisecond: what comes later is later, whatever the clock says.
    store.append(vec![note(RecordKind::Running, "a", at(1))]).await.unwrap();

    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Running]);
}

pub(crate) async fn a_record_after_a_clear_and_a_pruning_is_found(store: &impl Store) {
    store.append(vec![note(RecordKind::Put, "a", at(1)), note(RecordKind::Put, "a", at(2))]).await.unwrap();
    store.clear(&identity("a"), at(2)).await.unwrap();
    let retention = Retention { before: at(0), bytes_max: u64::MAX, step_max: 100 };
    assert_eq!(store.prune(retention, at(9)).await.unwrap().records, 2);

    store.append(vec![note(RecordKind::Running, "a", at(3))]).await.unwrap();

    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Running]);
}

pub(crate) async fn all_outcomes_are_given_however_many_there_are(store: &impl Store) {
    const MANY: i64 = 10_100;
    store.append((1..=MANY).map(|second| outcome(RecordKind::Success, "a", at(second))).collect()).await.unwrap();

    let given = outcomes_of(store, "a", at(50)).await;

    let expected: Vec<Stretch> = (51..=MANY).map(|second| Stretch::one(at(second))).collect();
    assert_eq!(given.iter().map(|outcome| outcome.stretch).collect::<Vec<_>>(), expected);
}

pub(crate) async fn outcomes_are_given_by_their_last_instant(store: &impl Store) {
    let records = vec![
        outcome(RecordKind::Success, "a", at(9)),
        stretch("a", at(2), at(6), 5),
        outcome(RecordKind::Error, "a", at(1)),
        note(RecordKind::Put, "a", at(9)),
        outcome(RecordKind::Success, "b", at(9)),
    ];
    store.append(records).await.unwrap();
    let skipped = Outcome { kind: RecordKind::Skipped, stretch: Stretch { first: at(2), last: at(6), count: 5 } };
    let success = Outcome { kind: RecordKind::Success, stretch: Stretch::one(at(9)) };

    let of = async |after: i64| outcomes_of(store, "a", at(after)).await;

    assert_eq!(of(0).await.len(), 3);
    assert_eq!(of(1).await, [skipped, success]);
    assert_eq!(of(5).await, [skipped, success]);
    assert_eq!(of(6).await, [success]);
}

pub(crate) async fn the_last_fire_is_the_newest_that_was_sent(store: &impl Store) {
    let records = vec![
        outcome(RecordKind::Success, "a", at(1)),
        outcome(RecordKind::Error, "a", at(2)),
        outcome(RecordKind::Missed, "a", at(3)),
        stretch("a", at(4), at(6), 3),
    ];
    store.append(records).await.unwrap();

    let other = EntryName::parse("other").unwrap();
    let last = async |after: i64| store.last_fires(&identity("a"), &[&entry_name(), &other], at(after)).await.unwrap();

    assert_eq!(last(0).await, [Some(at(2)), None]);
    assert_eq!(last(2).await, [None, None]);
}

pub(crate) async fn pruning_takes_old_months_and_what_was_cleared_but_nothing_unsettled(store: &impl Store) {
    const MONTH: i64 = 31 * 24 * 60 * 60;
    store.append((0..4).map(|second| outcome(RecordKind::Success, "a", at(second))).collect()).await.unwrap();
    store.append((0..5).map(|second| outcome(RecordKind::Success, "a", at(MONTH + second))).collect()).await.unwrap();
    store.append(vec![outcome(RecordKind::Success, "b", at(MONTH + 8))]).await.unwrap();
    store.clear(&identity("b"), at(MONTH + 9)).await.unwrap();
    let retention = Retention { before: at(MONTH - 60), bytes_max: u64::MAX, step_max: 100 };

    assert_eq!(store.prune(retention, at(-1)).await.unwrap(), Pruned { records: 0, more: false });
    assert_eq!(deleted_through(store, "a").await, Timestamp::EPOCH);
    let pruned = store.prune(retention, at(MONTH + 9)).await.unwrap();

    assert_eq!(pruned, Pruned { records: 5, more: false });
    assert_eq!(store.search(all_of("a")).await.unwrap().total, 5);
    let deleted_through = deleted_through(store, "a").await;
    assert!(at(3) <= deleted_through && deleted_through < at(MONTH), "{deleted_through}");
    assert!(outcomes_of(store, "b", at(0)).await.is_empty());
}

pub(crate) async fn pruning_stops_after_a_step(store: &impl Store) {
    store.append((0..10).map(|second| outcome(RecordKind::Success, "a", at(second))).collect()).await.unwrap();
    let too_large = Retention { before: Timestamp::EPOCH, bytes_max: 1, step_max: 4 };

    assert_eq!(store.prune(too_large, at(100)).await.unwrap(), Pruned { records: 4, more: true });
    assert_eq!(store.prune(too_large, at(100)).await.unwrap(), Pruned { records: 4, more: true });
    assert_eq!(store.prune(too_large, at(100)).await.unwrap(), Pruned { records: 2, more: false });
}

pub(crate) async fn a_closed_store_refuses_writes(store: &impl Store) {
    store.append(vec![note(RecordKind::Put, "a", at(0))]).await.unwrap();

    store.close().await.unwrap();

    let refused = store.append(vec![note(RecordKind::Put, "a", at(1))]).await;
    assert!(matches!(refused, Err(StoreError::Refused(_) | StoreError::Unavailable { .. })), "{refused:?}");
}
