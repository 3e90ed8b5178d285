use super::*;
use crate::model::{Header, JsonText};
use crate::store::StoreError;

pub(crate) async fn a_change_needs_the_epoch_of_the_lease(store: &impl Store) {
    let epoch = take(store, "a").await;

    let stale = store.change(put(Epoch(epoch.0 + 1), "a", None, at(0))).await;

    assert!(matches!(stale, Err(StoreError::Fenced { .. })), "{stale:?}");
    assert!(revisions(store, Timestamp::EPOCH).await.is_empty());
    assert!(kinds(store, all_of("a")).await.is_empty());
}

pub(crate) async fn a_change_on_a_stale_revision_is_refused_and_changes_nothing(store: &impl Store) {
    let epoch = take(store, "a").await;
    assert_eq!(store.change(put(epoch, "a", None, at(0))).await.unwrap(), 1);

    for stale in [put(epoch, "a", None, at(1)), put(epoch, "a", Some(2), at(1)), delete(epoch, "a", 7, at(1))] {
        let refused = store.change(stale).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    }

    let known = revisions(store, Timestamp::EPOCH).await;
    assert_eq!((known.len(), known[0].number, known[0].in_force_until), (1, 1, None));
    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Put]);
}

pub(crate) async fn a_replaced_revision_ends_where_the_next_begins(store: &impl Store) {
    let epoch = take(store, "a").await;
    store.change(put(epoch, "a", None, at(0))).await.unwrap();

    assert_eq!(store.change(put(epoch, "a", Some(1), at(9))).await.unwrap(), 2);

    let known = revisions(store, Timestamp::EPOCH).await;
    let spans: Vec<_> = known.iter().map(|it| (it.number, it.in_force_from, it.in_force_until)).collect();
    assert_eq!(spans, [(1, at(0), Some(at(9))), (2, at(9), None)]);
}

pub(crate) async fn a_deleted_task_is_no_longer_in_force_and_its_numbers_go_on(store: &impl Store) {
    let epoch = take(store, "a").await;
    store.change(put(epoch, "a", None, at(0))).await.unwrap();

    assert_eq!(store.change(delete(epoch, "a", 1, at(5))).await.unwrap(), 1);
    assert!(revisions(store, at(5)).await.is_empty());
    assert_eq!(store.change(put(epoch, "a", None, at(6))).await.unwrap(), 2);

    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Put, RecordKind::Delete, RecordKind::Put]);
}

pub(crate) async fn every_part_of_a_task_comes_back(store: &impl Store) {
    let name = "a b/é中\"<>&\u{0}\n";
    let epoch = take(store, name).await;
    let mut change = put(epoch, name, None, at(0));
    let body = JsonText::from_raw(serde_json::from_str(r#"{"z":1.50,"big":123456789012345678901234567890}"#).unwrap());
    let headers = Some([Header::parse("X-A", "1").unwrap(), Header::parse("x-a", "é").unwrap()].into());
    let request = Request { url: TargetUrl::parse("http://127.0.0.1/a b?q#f").unwrap(), headers, body };
    let cron_time = "CRON_TZ=Asia/Tokyo 0 0 12 L * ?";
    let entry = Entry {
        name: EntryName::parse(name).unwrap(),
        cron_time: cron_time.into(),
        cron: CronExpr::parse(cron_time).unwrap(),
        request: request.clone(),
        last_fire: LastFire::never(),
    };
    let time_zone = TimeZone::parse("Europe/Berlin").unwrap();
    let task = Task { identity: identity(name), time_zone, entries: [entry].into() };
    change.next = Some(Revision { task: Arc::new(task), enabled: false, put_at: at(-3), ..change.next.unwrap() });

    store.change(change).await.unwrap();

    let known = revisions(store, Timestamp::EPOCH).await.remove(0);
    assert_eq!((known.enabled, known.put_at, known.in_force_from), (false, at(-3), at(0)));
    assert_eq!((known.task.identity.as_str(), known.task.time_zone), (name, time_zone));
    let entry = &known.task.entries[0];
    assert_eq!((entry.name.as_str(), &*entry.cron_time), (name, cron_time));
    assert_eq!((&entry.request, &entry.cron), (&request, &CronExpr::parse(cron_time).unwrap()));
}

pub(crate) async fn ended_revisions_are_given_as_far_back_as_asked_and_forgotten_before(store: &impl Store) {
    let epoch = take(store, "a").await;
    store.change(put(epoch, "a", None, at(0))).await.unwrap();
    store.change(put(epoch, "a", Some(1), at(10))).await.unwrap();
    store.change(put(epoch, "a", Some(2), at(20))).await.unwrap();
    let numbers = |revisions: Vec<Revision>| revisions.into_iter().map(|it| it.number).collect::<Vec<_>>();

    assert_eq!(numbers(revisions(store, at(9)).await), [1, 2, 3]);
    assert_eq!(numbers(revisions(store, at(10)).await), [2, 3]);
    assert_eq!(numbers(revisions(store, at(20)).await), [3]);
    assert_eq!(store.forget_revisions(at(11)).await.unwrap(), 1);
    assert_eq!(numbers(revisions(store, Timestamp::EPOCH).await), [2, 3]);
}

pub(crate) async fn a_note_is_found_by_a_search(store: &impl Store) {
    store.note(note(RecordKind::Delete, "gone", at(0))).await.unwrap();

    assert_eq!(kinds(store, all_of("gone")).await, [RecordKind::Delete]);
}
