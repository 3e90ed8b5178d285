use super::*;
use crate::store::{AuditRetention, LogQuery, LogSort, Retention, RunQuery, Words};

/// Longer than any month.
const MONTH: i64 = 31 * 24 * 60 * 60;

/// An audit record; without a name it is of no task.
pub(super) fn audit(name: Option<&str>, time: Timestamp) -> Record {
    let mut source = json!({
        "type": "audit", "operation": "putTask", "path": "/put", "by": "ada", "source": "nothing", "from": "127.0.0.1",
        "outcome": "refused", "status": 403, "reason": "this needs the role write", "object": "key", "name": "0123",
        "after": { "entries": { "e": { "url": "http://a/" } } }, "before": [1, "two"], "before_revision": 7, "unlogged": 3,
        "time": time.secs(), "@timestamp": time.to_string(),
    });
    let identity = name.map_or_else(Identity::none, identity);
    if identity.is_some() {
        source["identity"] = identity.as_str().into();
    }
    let (kind, source) = (RecordKind::Audit, source.to_string().into());
    Record { id: RecordId::random(), identity, kind, settled: None, run: None, time, source }
}

async fn found(store: &impl Store, change: impl FnOnce(&mut LogQuery)) -> Vec<Record> {
    let mut query = LogQuery { limit: 100, sort: LogSort::TimeAsc, ..LogQuery::default() };
    query.filter.kinds = [RecordKind::Audit].into();
    change(&mut query);
    store.search_logs(query, None).await.unwrap().records
}

async fn all(store: &impl Store) -> Vec<Record> {
    found(store, |_| ()).await
}

pub(crate) async fn the_audit_is_found_by_who_asks_for_it_and_comes_back_as_it_was_written(store: &impl Store) {
    let records = vec![audit(Some("a"), at(1)), audit(None, at(2)), audit(Some("b"), at(3))];
    assert_eq!(all(store).await, [], "none was ever written");
    store.append(records.clone()).await.unwrap();
    // Again, as after an error.
    store.append(records.clone()).await.unwrap();

    assert_eq!(all(store).await, records);
    assert_eq!(found(store, |query| query.filter.identities = [identity("a")].into()).await, records[..1]);
    assert_eq!(found(store, |query| query.filter.time.gte = Some(at(2))).await, records[1..]);
    assert_eq!(found(store, |query| query.filter.run_id = Some(records[1].id)).await, records[1..2]);
    assert_eq!(found(store, |query| query.filter.words = Words::parse("nothing").unwrap()).await, []);
}

pub(crate) async fn the_audit_is_paged_in_every_order(store: &impl Store) {
    let records: Vec<Record> = (0..5).map(|second| audit(None, at(second))).collect();
    store.append(records.clone()).await.unwrap();
    store.append(vec![note(RecordKind::Put, "a", at(2))]).await.unwrap();

    for sort in [LogSort::TimeDesc, LogSort::TimeAsc, LogSort::FireTimeDesc, LogSort::FireTimeAsc] {
        let mut query = LogQuery { limit: 2, sort, ..LogQuery::default() };
        query.filter.kinds = [RecordKind::Audit].into();
        let (mut given, mut next) = (Vec::new(), None);
        loop {
            let page = store.search_logs(query.clone(), next).await.unwrap();
            assert_eq!(page.total.value, 5);
            given.extend(page.records);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        if sort.is_descending() {
            given.reverse();
        }
        assert_eq!(given, records, "{sort:?}");
    }
}

pub(crate) async fn nothing_but_a_search_of_the_audit_shows_it(store: &impl Store) {
    store.append(vec![audit(Some("a"), at(1)), audit(None, at(1)), note(RecordKind::Put, "a", at(2))]).await.unwrap();

    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Put]);
    let logs = store.search_logs(LogQuery { limit: 100, ..LogQuery::default() }, None).await.unwrap();
    assert_eq!((logs.records.len(), logs.total.value), (1, 1));
    assert_eq!(store.runs(RunQuery { limit: 100, ..RunQuery::default() }).await.unwrap().total, 0);
    assert_eq!(outcomes_of(store, "a", at(0)).await, []);
}

pub(crate) async fn a_clear_takes_nothing_of_the_audit(store: &impl Store) {
    let records = vec![audit(Some("a"), at(1)), audit(Some("a"), at(2))];
    store.append(records.clone()).await.unwrap();
    store.append(vec![note(RecordKind::Put, "a", at(2))]).await.unwrap();

    store.clear(&identity("a"), at(3)).await.unwrap();
    let retention = Retention { before: at(0), bytes_max: u64::MAX, step_max: 100 };
    store.prune(retention, at(4)).await.unwrap();

    assert_eq!(kinds(store, all_of("a")).await, []);
    assert_eq!(all(store).await, records);
    assert_eq!(found(store, |query| query.filter.identities = [identity("a")].into()).await, records);
}

pub(crate) async fn a_change_is_stored_with_its_audit_record(store: &impl Store) {
    let epoch = take(store, "a").await;
    let (first, second, third) = (audit(Some("a"), at(1)), audit(Some("a"), at(2)), audit(Some("a"), at(3)));
    let stale = Change { audit: Some(audit(Some("a"), at(2))), ..put(epoch, "a", None, at(2)) };

    store.change(Change { audit: Some(first.clone()), ..put(epoch, "a", None, at(1)) }).await.unwrap();
    assert!(store.change(stale).await.is_err());
    store.note(vec![note(RecordKind::Running, "a", at(2)), second.clone()]).await.unwrap();
    store.change(Change { audit: Some(third.clone()), ..delete(epoch, "a", 1, at(3)) }).await.unwrap();

    assert_eq!(all(store).await, [first, second, third]);
    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Delete, RecordKind::Running, RecordKind::Put]);
}

pub(crate) async fn the_audit_goes_by_its_own_age_and_not_by_that_of_the_history(store: &impl Store) {
    let (old, new) = (audit(None, at(0)), audit(None, at(3 * MONTH)));
    store.append(vec![old.clone(), new.clone(), note(RecordKind::Put, "a", at(0))]).await.unwrap();

    let retention = Retention { before: at(2 * MONTH), bytes_max: u64::MAX, step_max: 100 };
    assert_eq!(store.prune(retention, at(4 * MONTH)).await.unwrap().records, 1);
    assert_eq!(all(store).await, [old, new.clone()]);

    let retention = AuditRetention { before: at(2 * MONTH), bytes_max: u64::MAX, step_max: 100 };
    assert_eq!(store.prune_audit(retention).await.unwrap().records, 1);
    assert_eq!(store.prune_audit(retention).await.unwrap().records, 0);
    assert_eq!(all(store).await, [new]);
}

pub(crate) async fn the_audit_goes_by_its_own_size_the_oldest_first(store: &impl Store) {
    let (old, new) = (audit(None, at(0)), audit(None, at(3 * MONTH)));
    store.append(vec![old, new.clone()]).await.unwrap();

    // A store may go by what its files take: one byte less than there is is too much for all.
    let retention = AuditRetention { before: at(-1), bytes_max: new.source.len() as u64, step_max: 1 };
    assert_eq!(store.prune_audit(retention).await.unwrap().records, 1);

    assert_eq!(all(store).await, [new]);
}
